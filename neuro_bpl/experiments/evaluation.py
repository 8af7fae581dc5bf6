"""Evaluation: how circuits do on trials that they do not learn from."""

from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr

from neuro_bpl.circuit.circuit import Circuit, Weights, shapes
from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.experiments.recording import units
from neuro_bpl.refusals import expect, refusal
from neuro_bpl.tasks.protocol import Task
from neuro_bpl.trials import Trials

TRIALS_AT_ONCE = 1000


@partial(jax.jit, static_argnames="circuit")
def outcomes_of_few(circuit: Circuit, weights: Weights, trials: Trials) -> Outcome:
    """Return `outcomes` of a number of trials that fits one compiled call, one network after another."""
    return jax.lax.map(lambda one: circuit.outcome(one, trials), weights)


def outcomes(circuit: Circuit, weights: Weights, trials: Trials) -> Outcome:
    """Return the loss and accuracy of each network (leading axis of every array), mean over all trials."""
    if trials.n_trials <= TRIALS_AT_ONCE:
        return outcomes_of_few(circuit, weights, trials)
    slices = [slice(at, at + TRIALS_AT_ONCE) for at in range(0, trials.n_trials, TRIALS_AT_ONCE)]
    parts = [jax.tree.map(lambda a, part=part: a[part], trials) for part in slices]
    share = [part.n_trials / trials.n_trials for part in parts]
    found = [outcomes_of_few(circuit, weights, part) for part in parts]
    return jax.tree.map(lambda *values: sum(s * v for s, v in zip(share, values, strict=True)), *found)


def evaluate(circuit: Circuit, weights: Weights, task: Task | Trials, split: str = "test") -> xr.Dataset:
    """Compute loss and accuracy on a split of a task, or on any trials; nothing is learnt.

    Parameters
    ----------
    circuit : Circuit
        The circuit.
    weights : Weights
        Weights of one network, or of several along a leading axis, as `load` gives them.
    task : Task or Trials
        Where trials come from.
    split : str
        Held-out set of the task, "validation" or "test"; not used with trials.

    Returns
    -------
    xarray.Dataset
        `loss` (mean over trials; in nats for cross-entropies) and `accuracy` (NaN for a loss without right answers),
        along `seed` for several networks.

    Raises
    ------
    ValueError
        If the trials or the weights do not fit the circuit.

    Examples
    --------
    >>> import jax, neuro_bpl as nb
    >>> task = nb.tasks.TargetReaching()
    >>> circuit = nb.Circuit(nb.RateCortex(task.n_inputs, 5), nb.LinearReadout(2))
    >>> sorted(nb.evaluate(circuit, circuit.init(jax.random.key(0)), task).data_vars)
    ['accuracy', 'loss']
    """
    expect("circuit", circuit, Circuit, "a Circuit", "it is what is tried", "circuit, weights = load(run)")
    expect("weights", weights, Weights, "Weights", "they belong to the circuit", "circuit, weights = load(run)")
    why = "trials come from it"
    expect("task", task, (Task, Trials), "an instance of a task, or Trials", why, "tasks.TargetReaching(n_steps=10)")
    expect("split", split, str, '"validation" or "test"', "it names the held-out set", 'split="test"')
    trials = task if isinstance(task, Trials) else task.held_out(split)
    circuit.check(trials)
    several = has_network_axis(circuit, weights)
    batch = weights if several else jax.tree.map(lambda leaf: leaf[None], weights)
    found = jax.device_get(outcomes(circuit, batch, trials))
    names = {"loss": "loss, mean over trials", "accuracy": "fraction of targets answered right"}
    variables = {
        name: xr.DataArray(
            getattr(found, name) if several else getattr(found, name)[0],
            dims=("seed",) if several else (),
            attrs={"units": units(name, circuit), "long_name": long_name},
        )
        for name, long_name in names.items()
    }
    coords = {"seed": np.arange(len(found.loss))} if several else {}
    return xr.Dataset(variables, coords, attrs={"split": "" if isinstance(task, Trials) else split})


def has_network_axis(circuit: Circuit, weights: Weights) -> bool:
    """Return whether weights are of several networks; refuse those of another circuit (`ValueError`)."""
    wanted, got = shapes(circuit), jax.tree.map(np.shape, weights)
    if got == wanted:
        return False
    sizes, known = jax.tree.leaves(got, is_leaf=_is_shape), jax.tree.leaves(wanted, is_leaf=_is_shape)
    several = sizes[0][:1] if sizes else ()
    same: Any = jax.tree.structure(weights)
    alike = same == jax.tree.structure(wanted, is_leaf=_is_shape)
    if several and alike and sizes == [(*several, *shape) for shape in known]:
        return True
    raise refusal(
        "weights",
        got,
        f"{wanted}, or the same with a leading axis of networks",
        "the weights must be those of this circuit",
        "circuit.init(key), or circuit, weights = load(run)",
    )


def _is_shape(value: Any) -> bool:
    return type(value) is tuple and all(isinstance(size, int) for size in value)
