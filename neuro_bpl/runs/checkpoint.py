"""Checkpoints: a tree of arrays as one flat array for each number format, and back."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Tree = TypeVar("Tree")
NOTHING = "nothing"


class CheckpointError(OSError):
    """Error of a checkpoint whose arrays do not match those of the installed package versions."""


def layout(tree: Tree) -> list[str]:
    """Return the number format and shape of every array of a tree, in order.

    Examples
    --------
    >>> layout((np.zeros((2, 3), "float32"), np.int32(3)))
    ['float32 (2, 3)', 'int32 ()']
    """
    return [f"{leaf.dtype.name} {tuple(leaf.shape)}" for leaf in jax.tree.leaves(tree)]


def pack(tree: Tree) -> dict[str, np.ndarray]:
    """Concatenate all arrays of a tree into one flat array for each number format.

    Examples
    --------
    >>> pack((np.zeros(2, "float32"), np.ones((1, 1), "float32"), np.int32(3)))
    {'float32': array([0., 0., 1.], dtype=float32), 'int32': array([3], dtype=int32)}
    """
    columns: dict[str, list[np.ndarray]] = {}
    for leaf in jax.tree.leaves(jax.device_get(tree)):
        columns.setdefault(np.asarray(leaf).dtype.name, []).append(np.ravel(leaf))
    return {dtype: np.concatenate(arrays) for dtype, arrays in columns.items()}


def unpack(packed: Mapping[str, np.ndarray], stored: Sequence[str] | None, like: Tree) -> Tree:
    """Restore a tree packed with the layout `stored`, in the shapes and formats of `like`.

    Without a layout, as in runs of version 0.1.0, the number of numbers of each format is compared.

    Raises
    ------
    CheckpointError
        If its arrays are not those of `like`.
    """
    if stored is None:
        _check_layout(_counts(packed.items()), _counts((leaf.dtype.name, leaf) for leaf in jax.tree.leaves(like)))
    else:
        _check_layout(stored, layout(like))
    at = dict.fromkeys(packed, 0)

    def take(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        dtype, start = leaf.dtype.name, at.get(leaf.dtype.name, 0)
        at[dtype] = start + leaf.size
        return jnp.asarray(np.asarray(packed[dtype][start : at[dtype]]).reshape(leaf.shape))

    return jax.tree.map(take, like)


def _counts(arrays: Iterable[tuple[str, np.ndarray | jax.ShapeDtypeStruct]]) -> list[str]:
    """Return the number of values of each number format, as a layout."""
    counts: dict[str, int] = {}
    for dtype, array in arrays:
        counts[dtype] = counts.get(dtype, 0) + array.size
    return [f"{dtype} ({n},)" for dtype, n in sorted(counts.items())]


def _check_layout(stored: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a checkpoint with another layout, whose numbers would be misread (`CheckpointError`)."""
    pairs = enumerate(itertools.zip_longest(stored, wanted, fillvalue=NOTHING))
    if different := [(at, old, new) for at, (old, new) in pairs if old != new]:
        at, old, new = different[0]
        raise CheckpointError(
            f"the checkpoint has {old} as array {at}, where the packages of this process have {new}.\n"
            "  Allowed: packages that keep the same state of weights, optimisers and tasks as those that began the "
            "run.\n  Why: its numbers would come to stand for something else.\n"
            '  Type: pip install the versions in open_run(path).attrs["versions"], or --overwrite to begin anew.'
        )
