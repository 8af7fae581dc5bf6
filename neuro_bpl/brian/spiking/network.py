"""All networks of one seed, side by side, as one Brian2 network."""

from collections.abc import Mapping
from typing import Any

import brian2
import numpy as np

from neuro_bpl.brian.network import clocks
from neuro_bpl.brian.spiking import equations
from neuro_bpl.brian.spiking.protocol import Loop, Timetable, Weights
from neuro_bpl.parameters import flatten

UNITS = {"ms": brian2.ms, "mV": brian2.mV, "mV²": brian2.mV**2, "Hz": brian2.Hz}


def constants(p: Loop) -> dict[str, Any]:
    """Return numbers that the equations know by name, with units."""
    found = {
        name: value * UNITS.get(metadata["unit"], 1)
        for name, (value, metadata) in flatten(p).items()
        if isinstance(value, float)
    }
    found |= {"noise_sd": found.pop("noise"), "eta_out": p.readout_learning_rate}
    found["alpha"] = found.pop("predictor_learning_rate")
    kept = p.lambda_ * p.discount * (1 - p.dt / p.tau_f)  # of a parallel fibre's trace, in a step
    return found | {"tau_parallel": found.pop("dt") / (1 - kept)}  # Brian2 has a dt of its own


def functions_of_time(p: Loop, trials: Timetable) -> dict[str, brian2.TimedArray]:
    """Return values that change from trial to trial, by the names that the equations know them by."""
    values = {"cue": trials.cues, "goal": trials.goals, "learning": trials.learning, "recorded": trials.noted}
    duration = p.duration * brian2.ms
    return {name: brian2.TimedArray(array.astype(float), dt=duration, name=name) for name, array in values.items()}


def network(p: Loop, born: Weights, cortical: Mapping[str, Any]) -> tuple[brian2.Network, dict[str, Any]]:
    """Return all networks of one seed, side by side, as one Brian2 network, and its objects by name.

    `cortical` holds κ (`kappa`), the learning rate (`eta`) and the time constant of traces (`tau_e`) of each network.
    """
    n_rules = len(p.rules)
    step, trial = clocks(p.dt / 1000, p.n_steps)
    made = populations(p, n_rules, step)
    link(made, p)
    for name, value in cortical.items():
        setattr(made["cortex"], name, np.repeat(value, p.n_units))
    made |= pathways(p, made, born, n_rules, step)
    arrange(p, made, step, trial)
    made |= monitors(made, step, trial)
    return brian2.Network(*made.values(), name="loop"), made


def populations(p: Loop, n_rules: int, step: brian2.Clock) -> dict[str, brian2.NeuronGroup]:
    """Return the neurons: inputs and background are shared, others have a copy for each network, one after another."""
    n, spikes, recorded = p.n_units * n_rules, {"method": "euler", "clock": step}, {"recorded": "recorded(t) > 0"}
    fires = {"threshold": "v > v_threshold", **spikes}
    olive = equations.OLIVE + equations.CLIMBING_FIBRE[p.climbing_fibre]
    return {
        "background": brian2.NeuronGroup(p.n_units, equations.BACKGROUND, name="background", **spikes),
        "inputs": brian2.NeuronGroup(p.n_inputs + 1, equations.INPUTS, name="inputs", **spikes),
        "cortex": brian2.NeuronGroup(
            n, equations.CORTEX, reset=equations.CORTEX_SPIKE, events=dict(recorded), name="cortex", **fires
        ),
        "readout": brian2.NeuronGroup(2 * n_rules, equations.READOUT, name="readout", clock=step),
        "granule": brian2.NeuronGroup(
            p.n_granule * n_rules, equations.GRANULE, reset=equations.GRANULE_SPIKE, name="granule", **fires
        ),
        "nuclei": brian2.NeuronGroup(n, equations.NUCLEI, name="nuclei", clock=step),
        "olive": brian2.NeuronGroup(n, olive, events=dict(recorded), name="olive", clock=step),
    }


def link(made: Mapping[str, Any], p: Loop) -> None:
    """Noise and luck are those of the background, the same in every network."""
    cortex, olive, background = (made[name] for name in ("cortex", "olive", "background"))
    shared = np.tile(np.arange(p.n_units), len(p.rules))
    cortex.background = brian2.linked_var(background, "noise", index=shared)
    cortex.onset = brian2.linked_var(background, "onset", index=shared)
    if p.climbing_fibre == "poisson":
        olive.luck = brian2.linked_var(background, "luck", index=shared)


def pathways(
    p: Loop, made: Mapping[str, Any], born: Weights, n_rules: int, step: brian2.Clock
) -> dict[str, brian2.Synapses]:
    """Return synapses of every network, at birth."""
    table = {  # equations, source, target, weights, which exist
        "feedforward": (
            equations.FEEDFORWARD,
            "inputs",
            "cortex",
            born.feedforward * brian2.mV,
            np.ones_like(born.feedforward),
        ),
        "recurrent": (equations.RECURRENT, "cortex", "cortex", born.recurrent * brian2.mV, 1 - np.eye(p.n_units)),
        "output": (equations.OUTPUT, "cortex", "readout", born.output, np.ones_like(born.output)),
        "mossy": (equations.MOSSY, "cortex", "granule", born.mossy * brian2.mV, born.mask),
        "parallel": (equations.PARALLEL, "granule", "nuclei", 0, np.ones((p.n_units, p.n_granule))),
    }
    found = {}
    for name, (code, source, target, w, exists) in table.items():
        synapses = brian2.Synapses(made[source], made[target], code, method="euler", clock=step, name=name)
        post, pre = np.nonzero(exists)
        copies = np.arange(n_rules)[:, None]
        shift = 0 if source == "inputs" else exists.shape[1]
        synapses.connect(i=(pre + shift * copies).ravel(), j=(post + exists.shape[0] * copies).ravel())
        synapses.w = np.tile(w[post, pre], n_rules) if np.ndim(w) else w
        found[name] = synapses
    for name, (source, target, code) in equations.ONE_TO_ONE.items():
        found[name] = brian2.Synapses(made[source], made[target], code, clock=step, name=name)
        found[name].connect(j="i")
    return found


def arrange(p: Loop, made: Mapping[str, Any], step: brian2.Clock, trial: brian2.Clock) -> None:
    """When things happen: sums before what reads them, learning last, and the start of trials before everything."""
    for pathway, variable, when, order in (
        ("feedforward", "feedforward_post", "groups", -1),
        ("recurrent", "recurrent_post", "groups", -1),
        ("mossy", "mossy_post", "groups", -1),
        ("output", "y_post", "after_resets", 0),
        ("parallel", "purkinje_post", "after_resets", 0),
        ("parallel", "purkinje_before_post", "after_resets", 0),
        ("output", "error_pre", "after_resets", 1),
        ("nucleocortical", "prediction_post", "after_resets", 1),
        ("nucleoolivary", "prediction_post", "after_resets", 1),
        ("nucleoolivary", "expected_post", "after_resets", 1),
        ("corticoolivary", "error_post", "after_resets", 2),
        ("climbing", "climbing_fibre_post", "after_resets", 4),
    ):
        updater = made[pathway].summed_updaters[variable]
        updater.when, updater.order = when, order
    for name in ("feedforward", "recurrent"):
        made[name].state_updater.order = 1  # behind the membranes, before they spike
    made["parallel"].state_updater.when, made["parallel"].state_updater.order = "end", 1  # behind its learning
    regular = [  # population or pathway, code, clock, slot, order
        ("background", equations.BACKGROUND_RESET, trial, "start", -1),
        ("inputs", equations.INPUTS_RESET, trial, "start", 0),
        ("cortex", equations.CORTEX_RESET, trial, "start", 0),
        ("readout", equations.READOUT_RESET, trial, "start", 0),
        ("granule", equations.GRANULE_RESET, trial, "start", 0),
        ("nuclei", equations.NUCLEI_RESET, trial, "start", 0),
        ("feedforward", equations.INTO_CORTEX_RESET, trial, "start", 0),
        ("recurrent", equations.INTO_CORTEX_RESET, trial, "start", 0),
        ("parallel", equations.PARALLEL_RESET, trial, "start", 0),
        ("granule", equations.GRANULE_REMEMBER, step, "start", 1),
        ("readout", equations.READOUT_COUNT, step, "end", -1),
        ("feedforward", equations.INTO_CORTEX_LEARN, step, "end", 0),
        ("recurrent", equations.INTO_CORTEX_LEARN, step, "end", 0),
        ("parallel", equations.PARALLEL_LEARN, step, "end", 0),
        ("output", equations.OUTPUT_LEARN, step, "end", 0),
    ]
    if p.climbing_fibre == "poisson":
        regular += [
            ("background", equations.BACKGROUND_LUCK, step, "start", 1),
            ("olive", equations.OLIVE_SPIKE, step, "after_resets", 3),
        ]
    for number, (name, code, clock, when, order) in enumerate(regular):
        made[name].run_regularly(code, clock=clock, when=when, order=order, name=f"{name}_regularly_{number}")


def monitors(made: Mapping[str, Any], step: brian2.Clock, trial: brian2.Clock) -> dict[str, Any]:
    """Return the loss of every trial; in one showing of an evaluation also membranes, and what the cerebellum says."""
    noted = {"when": "before_end"}
    return {
        "costs": brian2.StateMonitor(
            made["readout"], "cost", record=True, clock=trial, when="start", order=-1, name="costs"
        ),
        "cortical": brian2.EventMonitor(made["cortex"], "recorded", ["v", "r", "prediction"], name="cortical", **noted),
        "olivary": brian2.EventMonitor(
            made["olive"], "recorded", ["td_error", "climbing_fibre", "error"], name="olivary", **noted
        ),
        "recurrent_weights": brian2.StateMonitor(
            made["recurrent"], "w", record=True, clock=trial, when="start", order=-1, name="recurrent_weights"
        ),
        "fired": brian2.SpikeMonitor(made["cortex"], name="fired"),
        "granule_fired": brian2.SpikeMonitor(made["granule"], record=False, name="granule_fired"),
    }


def matrix(synapses: brian2.Synapses, n_post: int, n_pre: int, n_rules: int) -> np.ndarray:
    """Return weights as (rule, post, pre), in SI units."""
    w = np.zeros((n_rules, n_post, n_pre))
    post, pre = np.array(synapses.j), np.array(synapses.i)
    w[post // n_post, post % n_post, pre % n_pre] = np.array(synapses.w)
    return w
