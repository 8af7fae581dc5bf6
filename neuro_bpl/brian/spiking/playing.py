"""All trials of a seed, played in one run of its network, and what was noted of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import brian2
import numpy as np

from neuro_bpl.brian import compile_targets
from neuro_bpl.brian.spiking.gradient import cosine, future_gradient, pseudo_derivative
from neuro_bpl.brian.spiking.network import constants, functions_of_time, matrix, network
from neuro_bpl.brian.spiking.protocol import Loop, Timetable, Weights

SHOWN = {"cortex.w_in": "feedforward", "cortex.w_rec": "recurrent", "readout.w": "output", "cerebellum.w": "parallel"}


class Seen(NamedTuple):
    """What the networks of one seed did.

    Losses are (rule, trial), activity (rule, snapshot, trial, time, unit), alignment (rule, evaluation, time).
    """

    losses: np.ndarray
    born: dict[str, np.ndarray]
    grown: dict[str, np.ndarray]
    activity: dict[str, np.ndarray]
    alignment: dict[str, np.ndarray]
    rates: dict[str, float]


def play(p: Loop, seed: int, born: Weights, trials: Timetable, cortical: Mapping[str, Any]) -> Seen:
    """Play all trials of a seed in one run of its network."""
    target = compile_targets.resolve(p.target)
    with compile_targets.computing(target):
        loop, made = network(p, born, cortical)
        before = weights(p, made)
        brian2.seed(int(np.random.SeedSequence((2, seed)).generate_state(1)[0]))
        functions = functions_of_time(p, trials)
        loop.run(len(trials.goals) * p.duration * brian2.ms, namespace={**constants(p), **functions})
    grown, seconds = weights(p, made), len(trials.goals) * p.duration / 1000
    rates = {
        name: made[fired].num_spikes / seconds / len(made[name])
        for name, fired in (("cortex", "fired"), ("granule", "granule_fired"))
    }
    seen = activity(p, made, trials)
    aligned = {
        name: cosine(seen["predicted_gradient"], seen[of])
        for name, of in (("gradient_alignment", "true_gradient"), ("leak_alignment", "leak_gradient"))
    }
    ends = {name: values[:, [0, -1]] for name, values in seen.items()}
    return Seen(losses(p, made), before, grown, ends, aligned, rates)


def weights(p: Loop, made: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Weights of every network as (rule, post, pre), by the names of the schema; in mV, of readout and nuclei 1."""
    sizes = {"feedforward": (p.n_units, p.n_inputs + 1), "recurrent": (p.n_units, p.n_units)}
    sizes |= {"output": (2, p.n_units), "parallel": (p.n_units, p.n_granule)}
    found = {name: matrix(made[pathway], *sizes[pathway], len(p.rules)) for name, pathway in SHOWN.items()}
    return {name: w * 1e3 if name.startswith("cortex") else w for name, w in found.items()}


def losses(p: Loop, made: Mapping[str, Any]) -> np.ndarray:
    """Return loss of every trial: a trial's cost is read when the next one begins, and the last one's at the end."""
    seen = np.column_stack([np.array(made["costs"].cost)[:, 1:], np.array(made["readout"].cost)])
    return seen.reshape(len(p.rules), 2, -1).sum(1)


def activity(p: Loop, made: Mapping[str, Any], trials: Timetable) -> dict[str, np.ndarray]:
    """What was noted in every evaluation, (rule, evaluation, trial, time, unit), and the gradients of its errors."""
    seen = {
        name: _arranged(p, getattr(made[monitor], name))
        for monitor, name in (
            ("cortical", "v"),
            ("cortical", "r"),
            ("cortical", "prediction"),
            ("olivary", "td_error"),
            ("olivary", "climbing_fibre"),
            ("olivary", "error"),
        )
    }
    step = p.dt * 1e-3
    error, spikes = seen["error"] * step, _spikes(p, made, trials)
    slope = pseudo_derivative(p, seen["v"] * 1e3 + p.v_threshold * spikes)
    recurrent = _recurrent(p, made, trials)
    return {
        "spikes": spikes,
        "filtered_spikes": seen["r"],
        "predicted_gradient": seen["prediction"],
        "td_error": _judged(seen["td_error"] * step),
        "climbing_fibre": _judged(seen["climbing_fibre"] * step),
        "leak_gradient": future_gradient(p, error, slope, 0 * recurrent),
        "true_gradient": future_gradient(p, error, slope, recurrent),
    }


def _arranged(p: Loop, values: Any) -> np.ndarray:
    """(step · unit) as (rule, evaluation, trial, time, unit), in SI units."""
    found = np.array(values).reshape(p.n_evaluations + 1, p.n_cues, p.n_steps, len(p.rules), p.n_units)
    return np.moveaxis(found, 3, 0)


def _recurrent(p: Loop, made: Mapping[str, Any], trials: Timetable) -> np.ndarray:
    """Return recurrent weights in mV in every evaluation, (rule, evaluation, post, pre)."""
    first = [int(np.argmax(trials.evaluation == number)) for number in range(p.n_evaluations + 1)]
    w = np.array(made["recurrent_weights"].w)[:, first] * 1e3
    found = np.zeros((len(p.rules), p.n_evaluations + 1, p.n_units, p.n_units))
    post, pre = np.array(made["recurrent"].j), np.array(made["recurrent"].i)
    found[post // p.n_units, :, post % p.n_units, pre % p.n_units] = w
    return found


def _judged(values: np.ndarray) -> np.ndarray:
    """TD errors, known one step later, at the step whose prediction they judge."""
    found = np.zeros_like(values)
    found[..., :-1, :] = values[..., 1:, :]
    return found


def _spikes(p: Loop, made: Mapping[str, Any], trials: Timetable) -> np.ndarray:
    """Return spikes of the trials that were noted, one bin a step."""
    bins = np.zeros((len(trials.goals) * p.n_steps, len(made["cortex"])), np.int8)
    at = np.round(np.array(made["fired"].t / brian2.ms) / p.dt).astype(int)
    bins[at, np.array(made["fired"].i)] = 1
    return _arranged(p, bins.reshape(len(trials.goals), -1)[trials.noted])
