"""Checkpoints: a tree of arrays as one flat array for each number format, and back."""

from collections.abc import Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Tree = TypeVar("Tree")


def pack(tree: Tree) -> dict[str, np.ndarray]:
    """All arrays of a tree, end to end, by number format.

    Examples
    --------
    >>> pack((np.zeros(2, "float32"), np.ones((1, 1), "float32"), np.int32(3)))
    {'float32': array([0., 0., 1.], dtype=float32), 'int32': array([3], dtype=int32)}
    """
    columns: dict[str, list[np.ndarray]] = {}
    for leaf in jax.tree.leaves(jax.device_get(tree)):
        columns.setdefault(np.asarray(leaf).dtype.name, []).append(np.ravel(leaf))
    return {dtype: np.concatenate(arrays) for dtype, arrays in columns.items()}


def unpack(packed: Mapping[str, np.ndarray], like: Tree) -> Tree:
    """The tree that was packed, in the shapes and formats of `like`.

    Raises
    ------
    ValueError
        If the numbers do not fill `like` exactly.
    """
    at = dict.fromkeys(packed, 0)

    def take(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        dtype, start = leaf.dtype.name, at.get(leaf.dtype.name, 0)
        at[dtype] = start + leaf.size
        return jnp.asarray(np.asarray(packed[dtype][start : at[dtype]]).reshape(leaf.shape))

    tree = jax.tree.map(take, like)
    if at != {dtype: len(array) for dtype, array in packed.items()}:
        raise ValueError(f"the checkpoint holds { ({k: len(v) for k, v in packed.items()}) } numbers, not {at}")
    return tree
