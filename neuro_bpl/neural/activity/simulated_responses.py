"""Responses of trained networks to any trials, in the form in which recordings have theirs."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Int

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.experiments.loading import load
from neuro_bpl.refusals import expect, refusal
from neuro_bpl.runs import store
from neuro_bpl.trials import Trials

OWN = ("seed", "snapshot", "trial", "time", "unit", "choice")
TRIALS = "such as neuro_bpl.tasks.PoissonClicks().held_out('test')"


def respond(
    run: xr.DataTree | Path | str,
    trials: Trials,
    dt: float,
    *,
    columns: xr.Dataset | Mapping[str, Any] | None = None,
    at: Mapping[str, Any] | None = None,
    snapshots: Sequence[int] | None = None,
    types: Sequence[type] = (),
) -> xr.DataArray:
    """Return firing rates of a run's networks on any trials; nothing is learnt.

    Parameters
    ----------
    run : DataTree or path
        The run, or its folder.
    trials : Trials
        What the networks are given.
    dt : float
        Duration of a step, s; that of the cortex where it has one.
    columns : Dataset or mapping, optional
        Further coordinates of `trial`, one value each: `session["trials"].to_dataset()`, or arrays by name.
    at : mapping, optional
        The point of a sweep, as in `load`.
    snapshots : sequence of int, optional
        Numbers of updates of which weights are wanted, such as `[0, 600]`; the last weights by default.
    types : sequence of type, optional
        Classes of your own that the circuit is made of.

    Returns
    -------
    DataArray
        Rates `(seed, trial, time, unit)`, with `snapshot` before them where it was asked for; `time` are the ends of
        steps, s from the first one's beginning, and rates after a trial's own end are NaN. Coordinates of `trial` are
        the columns; `choice`, the class that the readout answers at the last step, is one of seed and trial (a circuit
        whose targets are no classes has none).

    Raises
    ------
    ValueError
        If run, point or snapshot are not there, trials do not fit the circuit, columns not the trials, or `dt` is not
        that of the cortex.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> task = nb.tasks.PoissonClicks(shortest=0.1, longest=0.2)
    >>> circuit = nb.Circuit(nb.RateCortex(2, 5, tau=0.1), nb.LinearReadout(2, "softmax_cross_entropy"))
    >>> run = nb.train(circuit, task, nb.bptt(), n_updates=1, seeds=3, progress=False)
    >>> rates = respond(run, task.probe(), dt=0.02)
    >>> dict(rates.sizes), rates.time.values[:2].tolist(), rates["choice"].dims
    ({'seed': 3, 'trial': 100, 'time': 10, 'unit': 5}, [0.02, 0.04], ('seed', 'trial'))
    """
    tree = run if isinstance(run, xr.DataTree) else store.open_run(run)
    expect("trials", trials, Trials, "Trials", "networks are given them", TRIALS)
    labels = _columns(columns, trials.n_trials)
    if snapshots is None:
        return _responses(tree, trials, dt, labels, at, None, types)
    parts = [_responses(tree, trials, dt, labels, at, snapshot, types) for snapshot in snapshots]
    own = ["choice"] if "choice" in parts[0].coords else "minimal"
    return xr.concat(parts, xr.DataArray(list(snapshots), dims="snapshot", name="snapshot"), coords=own)


def _responses(
    run: xr.DataTree,
    trials: Trials,
    dt: float,
    labels: Mapping[str, Any],
    at: Mapping[str, Any] | None,
    snapshot: int | None,
    types: Sequence[type],
) -> xr.DataArray:
    circuit, weights = load(run, at=at, snapshot=snapshot, types=types)
    _check_step(circuit, dt)
    circuit.check(trials)
    rates, choice = jax.device_get(_play(circuit, weights, trials))
    coords = {"trial": np.arange(trials.n_trials), "time": _step_ends(trials.n_steps, dt), **labels}
    if circuit.readout.has_classes:
        coords["choice"] = (("seed", "trial"), choice, {"units": "1", "long_name": "class answered at the last step"})
    dims = ("seed", "trial", "time", "unit")
    coords |= {"seed": run["weights"]["seed"].values, "unit": np.arange(rates.shape[-1])}
    about = {"units": "1", "long_name": "cortical firing rate"}
    return xr.DataArray(rates, coords, dims, name="rates", attrs=about)


@partial(jax.jit, static_argnames="circuit")
def _play(
    circuit: Circuit, weights: Weights, trials: Trials
) -> tuple[Float[Array, "seed trial time unit"], Int[Array, "seed trial"]]:
    """Rates, NaN after each trial's end, and the class of the largest output at its last step, of each network."""
    lasts = trials.steps_left()[:, None] >= 0

    def one(own: Weights) -> tuple[Float[Array, "trial time unit"], Int[Array, " trial"]]:
        trajectory, _ = circuit.run(own, trials)
        rates = jnp.where(lasts, trajectory.s_t[0], jnp.nan)
        at_end = jnp.take_along_axis(trajectory.s_t[0], (trials.last_step() - 1)[None, None], axis=0)[0]
        return jnp.moveaxis(rates, -1, 0), circuit.readout.outputs(own.readout, at_end).argmax(0)

    return jax.lax.map(one, weights)


def _step_ends(n_steps: int, dt: float) -> tuple[str, Float[np.ndarray, " time"], dict[str, str]]:
    return "time", dt * np.arange(1, n_steps + 1), {"units": "s", "long_name": "time from the first step's beginning"}


def _check_step(circuit: Circuit, dt: float) -> None:
    if isinstance(dt, bool) or not isinstance(dt, (int, float)) or not 0 < dt < np.inf:
        raise refusal("dt", dt, "a finite number above 0 (s)", "rates are given in time", "dt=0.02")
    own = getattr(circuit.cortex, "dt", dt)
    if not np.isclose(own, dt):
        raise refusal("dt", dt, f"{own} s, the step of the cortex", "the clock is the cortex's", f"dt={own}")


def _columns(columns: xr.Dataset | Mapping[str, Any] | None, n_trials: int) -> dict[str, tuple[str, Any, dict]]:
    """Return one value a trial under each name, with the attributes that it came with."""
    found = {}
    for name, values in (columns.data_vars if isinstance(columns, xr.Dataset) else columns or {}).items():
        if name in OWN:
            why = "responses have coordinates of these names"
            raise refusal("columns", name, f"a name of its own, not {', '.join(OWN)}", why, f"recorded_{name}")
        if np.shape(values) != (n_trials,):
            fix = 'columns=session["trials"].to_dataset()'
            raise refusal(f"columns[{name!r}]", np.shape(values), f"({n_trials},)", "a trial has one value", fix)
        found[str(name)] = ("trial", np.asarray(values), dict(getattr(values, "attrs", {})))
    return found
