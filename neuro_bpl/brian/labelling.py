"""What a Brian2 circuit records, as a run in the schema of the array engine."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import brian2
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from neuro_bpl.brian.network import RECORDED, Clocks
from neuro_bpl.brian.script import Script
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.outcome import Outcome, accuracy
from neuro_bpl.experiments import labelling
from neuro_bpl.experiments import recording as quantities
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.description import describe
from neuro_bpl.experiments.experiment import Experiment, Schedule, Seeds
from neuro_bpl.experiments.updates import Update
from neuro_bpl.learning.algorithms import output_only
from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import nearest, refusal
from neuro_bpl.runs import attributes, contents, pieces, sweep_axes
from neuro_bpl.runs import quantities as recordable
from neuro_bpl.runs.pieces import Label, Piece
from neuro_bpl.runs.provenance import origin
from neuro_bpl.trials import Trials

OUTPUTS = ("readout", "y")
RECORDED_AS = {
    "rates": ("cortex", "r"),
    "outputs": OUTPUTS,
    "granule_rates": ("granule", "rate"),
    "predicted_gradient": ("nuclei", "prediction"),
    "td_error": ("olive", "td_error"),
}


class Plan(NamedTuple):
    """Trials to play, what to record, trials between snapshots, trials whose record is kept, and the probe."""

    trials: Trials
    names: tuple[str, ...]
    blocks: list[int]
    n_recorded: int
    probe: Trials | None


class Played(NamedTuple):
    """What happened: outputs of every step, what else was recorded, and weights after so many trials."""

    outputs: Float[np.ndarray, "trial time outputs"]
    activity: dict[str, Float[np.ndarray, "trial time neurons"]]
    weights: dict[int, Weights]


class Point(NamedTuple):
    """What determined one run, what it found, and the weights at its end."""

    experiment: Experiment
    piece: Piece
    ended: Weights


def check_names(
    record: Sequence[str], circuit: Circuit, rule: LearningRule | None, probe: Trials | None
) -> tuple[str, ...]:
    """Return the names asked for; refuses those that this circuit does not record (`ValueError`)."""
    known = [name for name, (group, _) in RECORDED_AS.items() if group in _populations(rule)]
    if probe is not None and rule is not None:
        evaluated = quantities.probed(recordable.QUANTITIES, recordable.EVALUATION)
        known += [name for name in evaluated if quantities.has(rule, name)]
    if not isinstance(record, (list, tuple)):
        raise refusal("record", record, "a list of names", "each name is a quantity to record", 'record=["rates"]')
    for name in record:
        if name not in known:
            why = "this circuit has no other (quantities of evaluations need `probe`)"
            raise refusal("record", name, ", ".join(known), why, f'record=["{nearest(str(name), known)}"]')
    return tuple(dict.fromkeys(record))


def _populations(rule: LearningRule | None) -> tuple[str, ...]:
    cerebellum = ("granule", "nuclei", "olive") if rule is not None and rule.credit.predicting else ()
    return ("cortex", "readout", *cerebellum)


def monitors(groups: dict[str, Any], names: Sequence[str], clocks: Clocks) -> dict[str, brian2.StateMonitor]:
    """Return monitors of the outputs and of what is asked for, after a step's dynamics and before its learning."""
    wanted = {"outputs": OUTPUTS} | {name: RECORDED_AS[name] for name in names if name in RECORDED_AS}
    return {
        name: brian2.StateMonitor(
            groups[group], variable, record=True, clock=clocks.step, when=RECORDED, name=f"recorded_{name}"
        )
        for name, (group, variable) in wanted.items()
    }


def read(monitor: brian2.StateMonitor, name: str, n_steps: int, dt: float) -> Float[np.ndarray, "trial time neurons"]:
    """Return what a monitor saw, trial by trial; a TD error by the step, at the step whose prediction it judges."""
    variable = RECORDED_AS[name][1]
    values = np.array(getattr(monitor, f"{variable}_")).T.reshape(-1, n_steps, len(monitor.record))
    if name != "td_error":
        return values
    judged = np.zeros_like(values)
    judged[:, :-1] = values[:, 1:] * dt
    return judged


def played(
    monitors: Mapping[str, brian2.StateMonitor], plan: Plan, snapshots: dict[int, Weights], circuit: Circuit
) -> Played:
    """Return what the monitors saw."""
    dt = circuit.cortex.dt  # type: ignore[attr-defined]
    seen = {name: read(monitor, name, plan.trials.n_steps, dt) for name, monitor in monitors.items()}
    kept = slice(plan.trials.n_trials - plan.n_recorded, None)
    return Played(seen["outputs"], {name: seen[name][kept] for name in plan.names if name in seen}, snapshots)


def experiment(
    circuit: Circuit, rule: LearningRule | None, optimizers: Optimizers, plan: Plan, born: Weights
) -> Experiment:
    """Return what determines a run. A circuit without a rule is one whose weights are all held."""
    n_snapshots = len(plan.blocks)
    return Experiment(
        circuit,
        plan.trials,  # type: ignore[arg-type]
        rule or output_only(update="step"),
        Optimizers(None, None, None) if rule is None else optimizers,
        Schedule(plan.trials.n_trials, 1, n_snapshots, n_snapshots, "float64"),
        Seeds.count(1),
        plan.names,
        jax.tree.map(lambda leaf: np.asarray(leaf)[None], born),
    )


def piece(made: Experiment, played: Played, plan: Plan) -> Piece:
    """Return the groups of a run."""
    part = Cohort((made,), ({},))
    with jax.enable_x64(True):
        grown = [_at(part, done, weights, plan) for done, weights in played.weights.items()]
        found = pieces.join([labelling.parameters(part) | _training(part, played), *grown])
    if played.activity:
        one_network = {name: values[None] for name, values in played.activity.items()}
        found["activity"] = _numbered(labelling.probed(part, plan.trials.n_trials, one_network)["activity"], made)
    return found


def _numbered(activity: xr.Dataset, made: Experiment) -> xr.Dataset:
    """Return trials by their number, the last one last."""
    last, n = made.schedule.n_updates, activity.sizes["trial"]
    return activity.assign_coords(
        trial=pieces.coordinate("trial", np.arange(last - n + 1, last + 1), "number of the trial")
    )


def _training(part: Cohort, played: Played) -> Piece:
    """Return loss and accuracy of each trial, as it was played."""
    circuit, trials = part.first.circuit, part.first.task
    outcome = jax.vmap(lambda y, one: _outcome(circuit, y, one))(jnp.asarray(played.outputs), _one_by_one(trials))
    finite = np.isfinite(np.asarray(outcome.loss))
    diverged_at = np.array([-1 if finite.all() else int(np.argmin(finite)) + 1])
    update = Update(Outcome(outcome.loss[None], outcome.accuracy[None]), jnp.zeros((1, 0)))
    return labelling.training(part, 0, update, diverged_at)


def _one_by_one(trials: Any) -> Trials:
    """Return trials as batches of one, along a leading axis."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[:, None], trials)


def _outcome(circuit: Circuit, y: Any, one: Trials) -> Outcome:
    """Return loss and accuracy of the outputs (time, outputs) of one trial."""
    at = (one.last_step() - 1) if one.at_last_step else jnp.arange(one.n_steps)
    outputs = y[at].T[..., None]
    return Outcome(circuit.mean_loss(outputs, one), accuracy(circuit.readout, outputs, one))


def _at(part: Cohort, done: int, weights: Weights, plan: Plan) -> Piece:
    """Return weights after so many trials, and what the probe says of them."""
    stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], weights)
    found = labelling.weights(part, done, stacked)
    if plan.probe is None:
        return found
    made = part.first
    one, probe = jax.tree.map(_in_doubles, (weights, plan.probe))
    outcome = jax.tree.map(lambda value: jnp.asarray(value)[None], made.circuit.outcome(one, probe))
    found |= labelling.evaluation(part, done, {"probe": outcome})
    evaluated = quantities.probed(plan.names, recordable.EVALUATION)
    if evaluated:
        values = quantities.on_probe(made.circuit, made.rule, one, probe, 1, evaluated)
        found |= labelling.probed(part, done, {name: np.asarray(value)[None] for name, value in values.items()})
    return found


def _in_doubles(leaf: Any) -> jax.Array:
    """Return numbers as the simulator had them, also where JAX otherwise computes in single precision."""
    values = np.asarray(leaf)
    return jnp.asarray(values, float if np.issubdtype(values.dtype, np.floating) else None)


def across_seeds(networks: Sequence[Point]) -> Point:
    """Return networks that differ in their seeds, as one point: the first is seed 0, and so on."""
    seeds = pieces.coordinate("seed", np.arange(len(networks)), "network trained")
    groups = {}
    for group in networks[0].piece:
        one_each = [network.piece[group] for network in networks]
        joined = xr.concat(one_each, "seed", data_vars="minimal", coords="minimal", compat="override", join="override")
        groups[group] = joined.assign_coords(seed=seeds) if "seed" in joined.dims else joined
    made = [network.experiment for network in networks]
    together = replace(
        made[0],
        task=jax.tree.map(lambda *leaves: np.stack(leaves), *(one.task for one in made)),
        weights=jax.tree.map(lambda *leaves: np.concatenate(leaves), *(one.weights for one in made)),
        seeds=Seeds.count(len(made)),
    )
    ended = jax.tree.map(lambda *leaves: np.stack(leaves), *(network.ended for network in networks))
    return Point(together, groups, ended)


def tree(found: Sequence[tuple[Point, Label]], grid: dict[str, list], script: Script) -> xr.DataTree:
    """Return points as one run."""
    whole = sweep_axes.combine([(point.piece, [label]) for point, label in found], grid)
    parts = [Cohort((point.experiment,), (label,)) for point, label in found]
    records = [attributes.point(label, _status(point.piece), describe(point.experiment)) for point, label in found]
    whole.attrs = {
        "model": "",
        **labelling.attributes(parts, grid),
        **origin(),
        "simulator": f"Brian2 {brian2.__version__}",
        "equations": str(script),
        **attributes.of_points(records),
    }
    return whole


def _status(piece: Piece) -> str:
    return contents.DIVERGED if (piece["training"]["diverged_at"] >= 0).all() else contents.COMPLETE
