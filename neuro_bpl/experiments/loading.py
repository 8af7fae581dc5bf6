"""Loading: circuit and weights of a stored run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.experiments.description import rebuild
from neuro_bpl.refusals import expect, refusal
from neuro_bpl.runs import contents, schema, store
from neuro_bpl.runs.pieces import named_leaves


class Trained(NamedTuple):
    """Circuit and weights; networks lie along a leading axis unless a single seed was selected."""

    circuit: Circuit
    weights: Weights


def load(
    run: xr.DataTree | Path | str,
    *,
    at: Mapping[str, Any] | None = None,
    seed: int | None = None,
    snapshot: int | None = None,
    types: Sequence[type] = (),
) -> Trained:
    """Load the circuit and weights of a run.

    Parameters
    ----------
    run : xarray.DataTree or path
        The run, or its folder.
    at : mapping, optional
        The point of a sweep, such as `{"rule": "BP(1)", "lambda_": 0.5}`; not needed where there is one point.
    seed : int, optional
        One network; all of them along a leading axis by default.
    snapshot : int, optional
        Number of updates at the snapshot; the last one by default.
    types : sequence of type, optional
        Classes of your own that the circuit is made of.

    Returns
    -------
    Trained
        `circuit, weights`.

    Raises
    ------
    ValueError
        If there is no such point, seed or snapshot, or the circuit has a class that is not in `types`.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> task = nb.tasks.TargetReaching(n_steps=4)
    >>> circuit = nb.Circuit(nb.RateCortex(task.n_inputs, 5), nb.LinearReadout(2), nb.LinearPredictor())
    >>> run = nb.train(circuit, task, nb.bp_lambda(), n_updates=2, seeds=3, progress=False)
    >>> again, weights = nb.load(run)
    >>> again == circuit, weights.cortex.w_rec.shape
    (True, (3, 5, 5))
    """
    if at is not None:
        expect("at", at, Mapping, "coordinates of a point", "it names one point", 'at={"lambda_": 0.5}')
    if not isinstance(types, (list, tuple)) or not all(isinstance(own, type) for own in types):
        raise refusal("types", types, "a list of classes", "the circuit is made of them", "types=[MyCortex]")
    tree = run if isinstance(run, xr.DataTree) else store.open_run(run)
    schema.validate(tree)
    point = _point(contents.statuses(tree), at or {})
    if "weights" not in tree or point["status"] == contents.FAILED:
        raise refusal(
            "at",
            point["at"],
            "a point that was trained",
            f"this one is {point['status']} {point['error']}".strip(),
            "sweep(..., resume=True) to run it again",
        )
    if "circuit" not in point["run"]:
        why = "its weights are not those of a circuit of the array engine"
        raise refusal("run", tree.attrs.get("model", ""), "a run of a Circuit", why, 'run["weights"] to read them')
    circuit = rebuild(point["run"]["circuit"], types)
    chosen = tree["weights"].to_dataset().sel(point["at"])
    trained = chosen.snapshot.values[np.isfinite(_any(chosen).values)]
    wanted = int(trained[-1]) if snapshot is None else snapshot
    chosen = _selected(chosen, "snapshot", wanted)
    chosen = chosen if seed is None else _selected(chosen, "seed", seed)
    return Trained(circuit, jax.tree.map(jnp.asarray, weights_of(circuit, chosen)))


def _point(points: Sequence[Mapping[str, Any]], at: Mapping[str, Any]) -> Mapping[str, Any]:
    found = [point for point in points if all(point["at"].get(dim) == value for dim, value in at.items())]
    if len(found) != 1:
        shown = ", ".join(str(point["at"]) for point in points[:6])
        raise refusal(
            "at", dict(at), f"one of {shown}", "it names one point of the run", f"load(run, at={points[0]['at']})"
        )
    return found[0]


def _any(chosen: xr.Dataset) -> xr.DataArray:
    """Return one number for each snapshot, NaN where this point has none."""
    values = next(iter(chosen.data_vars.values()))
    return values.isel({dim: 0 for dim in values.dims if dim != "snapshot"})


def _selected(chosen: xr.Dataset, dim: str, value: int) -> xr.Dataset:
    if value not in chosen[dim].values:
        raise refusal(
            dim,
            value,
            ", ".join(map(str, chosen[dim].values)),
            f"the run has no other {dim}",
            f"{dim}={chosen[dim].values[-1]}",
        )
    return chosen.sel({dim: value})


def weights_of(circuit: Circuit, datasets: xr.Dataset) -> Weights:
    """Return weights stored by name in the structure of a circuit; leading axes are those of the dataset."""
    born = jax.eval_shape(circuit.init, jax.random.key(0))
    leaves = []
    for name, like in named_leaves(born).items():
        values = datasets[name].values
        # Points of a sweep over sizes are padded to the largest; the circuit's own synapses come first.
        own: tuple = (..., *(slice(size) for size in like.shape))
        leaves.append(values[own])
    return jax.tree.unflatten(jax.tree.structure(born), leaves)
