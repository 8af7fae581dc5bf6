"""A spiking cortex taught by a spiking cerebellum: BP(λ) with local terms, as Brian2 equations with units.

Leaky integrate-and-fire neurons in the cortex and in the granular layer; nuclei and inferior olive are graded (with
--climbing-fibre poisson the olive speaks in complex spikes).  A cue is shown, falls silent, and at the end of the trial
the filtered spikes of the cortex are to point at its target: credit has to come back in time.  Networks with and
without the cerebellum's prediction, one whose cortex is frozen, and e-prop (Bellec et al. 2020) learn side by side: the
same birth, trials and noise.

The state whose gradient is predicted is r, the filtered spikes.  What the olive hears of the future comes back through
one term of the Jacobian alone, the leak of r, 1 − dt/τ_f.  Dropped are: the path from a unit to the others through
recurrent synapses, and that from a spike to the membrane it resets.  So the best prediction that can be learnt here is
that of e-prop's filtered trace.  What a spike owes to the membrane is kept by a trace in the synapse, as in e-prop; as
the prediction already carries the leak of r, the cortical trace does not (it would count that path twice).

A complex spike is drawn in each step with the rate baseline + sensitivity · δ/dt, no lower than 0 and no higher than
the ceiling; what is learnt from is its departure from the baseline, the error on average where the rate is not cut off.

Results: docs/results.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import brian2
import numpy as np
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.brian import compile_targets
from neuro_bpl.brian.network import clocks
from neuro_bpl.parameters import check, field, flatten
from neuro_bpl.refusals import nearest, refusal
from neuro_bpl.runs import attributes, coordinate, origin

MODEL = "models/spiking_loop_brian.py"
UNITS = {"ms": brian2.ms, "mV": brian2.mV, "mV²": brian2.mV**2, "Hz": brian2.Hz}
RULES = ("cerebellum", "no cerebellum", "e-prop", "frozen cortex")
BELLEC, PAPER = "Bellec et al. 2020", "Pemberton & Ponte Costa 2024"
LITWIN_KUMAR = "Litwin-Kumar et al. 2017"


@dataclass(frozen=True)
class Parameters:
    """Constants of the model. Times are in ms, voltages in mV above rest, rates in Hz."""

    rule: str = field(",".join(RULES), f"networks side by side, separated by commas: {', '.join(RULES)}")
    climbing_fibre: str = field("graded", "how the olive says its error", choices=("graded", "poisson"))
    n_cues: int = field(4, "cues, each with a target", low=1)
    n_inputs: int = field(10, "bits of a cue", source=PAPER, low=1)
    duration: float = field(120.0, "duration of a trial", unit="ms", above=0)
    cue_duration: float = field(40.0, "how long the cue is shown", unit="ms", low=0)
    window: float = field(5.0, "end of the trial in which the output counts", unit="ms", above=0)
    dt: float = field(1.0, "duration of a step", unit="ms", symbol="dt", source=BELLEC, above=0)
    n_units: int = field(40, "cortical neurons", symbol="n", low=2)
    n_granule: int = field(150, "granule cells", low=1)
    fan_in: int = field(4, "mossy fibres of a granule cell", symbol="K", source=LITWIN_KUMAR, low=1)
    tau_m: float = field(20.0, "membrane time constant of the cortex", unit="ms", symbol="τ_m", source=BELLEC, above=0)
    tau_f: float = field(50.0, "time constant of filtered cortical spikes", unit="ms", symbol="τ_f", above=0)
    tau_granule: float = field(5.0, "membrane time constant of granule cells", unit="ms", above=0)
    tau_g: float = field(20.0, "time constant of filtered granule spikes", unit="ms", above=0)
    v_threshold: float = field(15.0, "threshold above rest", unit="mV", above=0)
    steepness: float = field(300.0, "peak of the pseudo-derivative", unit="Hz", source=BELLEC, low=0)
    input_scale: float = field(20.0, "SD of input weights at birth", unit="mV", low=0)
    recurrent_scale: float = field(10.0, "SD of recurrent weights at birth, times √n", unit="mV", low=0)
    bias: float = field(13.0, "mean bias current at birth, times membrane resistance", unit="mV", low=-100, high=100)
    bias_spread: float = field(3.0, "SD of bias currents at birth", unit="mV", low=0)
    mossy_scale: float = field(3.0, "mean weight of mossy fibres", unit="mV", low=0)
    noise: float = field(1.0, "SD of the noise in a membrane's drive", unit="mV", low=0)
    tau_noise: float = field(5.0, "time constant of that noise", unit="ms", above=0)
    learning_rate: float = field(8.0, "cortex with the cerebellum", unit="mV²", symbol="η", low=0)
    learning_rate_without: float = field(10.0, "cortex without it", unit="mV²", symbol="η", low=0)
    learning_rate_eprop: float = field(2.0, "cortex with e-prop", unit="mV²", symbol="η", low=0)
    readout_learning_rate: float = field(0.003, "readout, all networks", low=0)
    predictor_learning_rate: float = field(0.001, "parallel fibres", unit="Hz", symbol="α", low=0)
    lambda_: float = field(1.0, "trace decay", symbol="λ", low=0, high=1)
    discount: float = field(1.0, "discount", symbol="γ", source=PAPER, low=0, high=1)
    kappa: float = field(1.0, "weight of the prediction", symbol="κ", source=PAPER, low=0)
    baseline: float = field(1.0, "complex spikes when there is no error", unit="Hz", above=0)
    ceiling: float = field(10.0, "most complex spikes", unit="Hz", above=0)
    sensitivity: float = field(2.0, "complex spikes for each unit of TD error", above=0)
    n_trials: int = field(300, "trials that are learnt from", low=1)
    n_evaluations: int = field(6, "evaluations after the first, evenly spread", low=1)
    n_probe: int = field(4, "showings of each cue in an evaluation", low=1)
    seeds: int = field(5, "seeds, each of weights, trials and noise", low=1)
    first_seed: int = field(0, "the first of them", low=0)
    target: str = field("auto", "where equations are computed", choices=("auto", "numpy", "cython"))
    output: str = field("data/runs/spiking_loop.nc", "NetCDF file of the run")
    overwrite: bool = field(False, "replace the file that is there")

    def __post_init__(self) -> None:
        check(self)
        _check_words(self)
        _check_times(self)
        if self.fan_in > self.n_units:
            why = "a granule cell hears different cortical neurons"
            raise refusal("Parameters.fan_in", self.fan_in, f"1 to n_units = {self.n_units}", why, "--fan-in 4")
        if self.n_evaluations > self.n_trials:
            why = "there is a trial, at least, between evaluations"
            allowed = f"1 to n_trials = {self.n_trials}"
            raise refusal("Parameters.n_evaluations", self.n_evaluations, allowed, why, "--n-evaluations 1")
        if self.baseline >= self.ceiling:
            why = "the rate must have room to go up"
            raise refusal("Parameters.baseline", self.baseline, f"below ceiling = {self.ceiling}", why, "--baseline 1")

        if self.ceiling * self.dt > 1000:
            why = f"a step of {self.dt} ms has one complex spike at most"
            raise refusal("Parameters.ceiling", self.ceiling, f"at most {1000 / self.dt} Hz", why, "--ceiling 10")

    @property
    def rules(self) -> tuple[str, ...]:
        """Networks that learn side by side."""
        return tuple(self.rule.split(","))

    @property
    def n_steps(self) -> int:
        """Steps of a trial."""
        return round(self.duration / self.dt)


def _check_words(p: Parameters) -> None:
    for name in p.rules:
        if name not in RULES:
            why, fix = "these are the networks of this model", f'--rule "{nearest(name, RULES)}"'
            raise refusal("rule", name, ", ".join(RULES), why, fix)
    if len(set(p.rules)) < len(p.rules):
        raise refusal("rule", p.rule, "each network once", "networks are told apart by name", f'--rule "{RULES[0]}"')


def _check_times(p: Parameters) -> None:
    for name in ("duration", "cue_duration", "window"):
        value, steps = getattr(p, name), getattr(p, name) / p.dt
        if abs(steps - round(steps)) > 1e-6 or value > p.duration:
            why = f"time goes in steps of dt = {p.dt} ms, and a trial has {p.duration} ms"
            allowed = "a whole number of steps, at most the trial's duration"
            raise refusal(f"Parameters.{name}", value, allowed, why, f"--{name.replace('_', '-')} {10 * p.dt}")
    shortest = min(p.tau_m, p.tau_f, p.tau_granule, p.tau_g, p.tau_noise)
    if p.dt > shortest:
        why = "an Euler step longer than a time constant overshoots"
        raise refusal("Parameters.dt", p.dt, f"at most the shortest time constant, {shortest} ms", why, "--dt 1")


# ---------------------------------------------------------------------------------------------------- the equations
# A step: membranes move ("groups"), spikes ("thresholds", "resets"), what follows from them ("after_resets"), learning
# ("end").  TimedArrays cue, goal, learning and recorded have one value a trial; the clock of trials resets the state.

BACKGROUND = """                                   # shared by the networks that are compared
dnoise/dt = -noise/tau_noise + noise_sd*sqrt(2/tau_noise)*xi : volt
onset : 1                                          # of the way to threshold, where a membrane begins the trial
luck : 1                                           # what complex spikes are drawn with
"""
BACKGROUND_RESET = "onset = rand()"
BACKGROUND_LUCK = "luck = rand()"

INPUTS = """                                       # the bits of the cue, and a last channel that is always on
x = cue(t, i)*int((t - began < cue_duration - dt/2) or (i == N - 1)) : 1
dtrace/dt = (x - trace)/tau_m : 1
began : second (shared)
"""
INPUTS_RESET = "began = t; trace = 0"

CORTEX = """
dv/dt = (feedforward + recurrent + background - v)/tau_m : volt
dr/dt = -r/tau_f : 1                               # filtered spikes: the state whose gradient is predicted
dtrace/dt = (r - trace)/tau_m : 1                  # ∂v/∂w of the synapses that it sends out
slope = steepness*clip(1 - abs(v - v_threshold)/v_threshold, 0, 1)/v_threshold : Hz/volt  # pseudo-derivative
feedforward : volt
recurrent : volt
background : volt (linked)
onset : 1 (linked)
error : Hz                                         # lₜ/dt, of the readout, back through its weights
prediction : 1                                     # ĝₜ, of the nuclei
kappa : 1 (constant)                               # weight of the prediction
eta : volt**2 (constant)                           # learning rate
tau_e : second (constant)                          # of traces: dt, or τ_f in e-prop, where they carry the leak of r
"""
CORTEX_RESET = "v = onset*v_threshold; r = 0; trace = 0"
CORTEX_SPIKE = "v -= v_threshold; r += 1"

READOUT = """
y : 1
target = goal(t, i % 2) : 1
importance = int(t - began > duration - window - dt/2)/window : Hz
error = importance*(y - target) : Hz
cost : 1                                           # loss of the trial so far, ½ |y − target|², mean over the window
began : second (shared)
"""
READOUT_RESET = "began = t; cost = 0"
READOUT_COUNT = "cost += 0.5*importance*dt*(y - target)**2"

GRANULE = """
dv/dt = (mossy - v)/tau_granule : volt
dg/dt = -g/tau_g : 1                               # filtered spikes
g_before : 1                                       # one step ago
mossy : volt
"""
GRANULE_RESET = "v = 0*volt; g = 0"
GRANULE_SPIKE = "v = 0*volt; g += 1"
GRANULE_REMEMBER = "g_before = g"

NUCLEI = """                                       # one for each cortical neuron, by way of Purkinje cells
prediction = purkinje*int(t - began < duration - 1.5*dt) : 1   # ĝₜ: nothing follows the last step
purkinje : 1
purkinje_before : 1                                # what present weights make of the step before
climbing_fibre : Hz                                # of the olive
began : second (shared)
"""
NUCLEI_RESET = "began = t"

OLIVE = """
td_error = (heard - expected)/dt : Hz              # δₜ₋₁/dt
heard = (1 - dt/tau_f)*(error*dt + discount*prediction) : 1    # the leak of r stands for the Jacobian
error : Hz
prediction : 1
expected : 1                                       # ĝₜ₋₁
"""
CLIMBING_FIBRE = {
    "graded": "climbing_fibre = td_error : Hz",
    "poisson": """
        rate = clip(baseline + sensitivity*td_error, 0*Hz, ceiling) : Hz
        complex_spike : 1
        luck : 1 (linked)
        climbing_fibre = (complex_spike/dt - baseline)/sensitivity : Hz
        """,
}
OLIVE_SPIKE = "complex_spike = int(luck < rate*dt)"

INTO_CORTEX = """                                  # from the inputs, and from the cortex itself
w : volt
deligibility/dt = slope_post*trace_pre - eligibility/tau_e_post : 1/volt (clock-driven)
"""
FEEDFORWARD = "feedforward_post = w*x_pre : volt (summed)" + INTO_CORTEX
RECURRENT = "recurrent_post = w*r_pre : volt (summed)" + INTO_CORTEX
INTO_CORTEX_RESET = "eligibility = 0/volt"
INTO_CORTEX_LEARN = "w -= learning(t)*eta_post*(error_post*dt + kappa_post*prediction_post)*eligibility"

OUTPUT = """
y_post = w*r_pre : 1 (summed)
error_pre = w*error_post : Hz (summed)
w : 1
"""
OUTPUT_LEARN = "w -= learning(t)*eta_out*error_post*dt*r_pre"

MOSSY = """
mossy_post = w*r_pre : volt (summed)
w : volt (constant)
"""

PARALLEL = """
purkinje_post = w*g_pre : 1 (summed)
purkinje_before_post = w*g_before_pre : 1 (summed)
w : 1
deligibility/dt = g_pre - eligibility/tau_parallel : second (clock-driven)
"""
PARALLEL_RESET = "eligibility = 0*second"
PARALLEL_LEARN = "w += learning(t)*alpha*climbing_fibre_post*eligibility*dt"

ONE_TO_ONE = {  # source, target and what a fibre of its own brings to every unit
    "nucleocortical": ("nuclei", "cortex", "prediction_post = prediction_pre : 1 (summed)"),
    "corticoolivary": ("cortex", "olive", "error_post = error_pre : Hz (summed)"),
    "nucleoolivary": (
        "nuclei",
        "olive",
        "prediction_post = prediction_pre : 1 (summed)\nexpected_post = purkinje_before_pre : 1 (summed)",
    ),
    "climbing": ("olive", "nuclei", "climbing_fibre_post = climbing_fibre_pre : Hz (summed)"),
}

# ------------------------------------------------------------------------------------------------ weights and trials


class Weights(NamedTuple):
    """Weights of one network, (post, pre); the last input is the bias current. `mask`: mossy fibres that exist."""

    feedforward: np.ndarray
    recurrent: np.ndarray
    output: np.ndarray
    mossy: np.ndarray
    mask: np.ndarray


SHOWN = {"cortex.w_in": "feedforward", "cortex.w_rec": "recurrent", "readout.w": "output", "cerebellum.w": "parallel"}


def newborn(p: Parameters, seed: int) -> Weights:
    """Weights at birth, in mV (of the readout: 1); no neuron has a synapse onto itself, parallel fibres are silent."""
    rng, n = np.random.default_rng((0, seed)), p.n_units
    feedforward = p.input_scale * rng.normal(size=(n, p.n_inputs + 1)) / np.sqrt(p.n_inputs)
    feedforward[:, -1] = p.bias + p.bias_spread * rng.normal(size=n)
    recurrent = p.recurrent_scale * rng.normal(size=(n, n)) / np.sqrt(n) * (1 - np.eye(n))
    output = rng.uniform(-1, 1, size=(2, n)) / np.sqrt(n)
    mask = np.zeros((p.n_granule, n), bool)
    for cell in mask:
        cell[rng.choice(n, p.fan_in, replace=False)] = True
    return Weights(feedforward, recurrent, output, mask * p.mossy_scale * rng.uniform(0.5, 1.5, mask.shape), mask)


class Timetable(NamedTuple):
    """What is shown in every trial, whether it is learnt from, and the evaluation that it belongs to (-1: none)."""

    cues: np.ndarray
    goals: np.ndarray
    learning: np.ndarray
    evaluation: np.ndarray
    noted: np.ndarray


def timetable(p: Parameters, seed: int) -> Timetable:
    """Trials to learn from, and between them evaluations, in which every cue is shown and nothing is learnt."""
    task = nb.tasks.TargetReaching(1, p.n_cues, p.n_inputs)
    _, data, noise = nb.Seeds((seed,), (seed,), (seed,)).keys()
    drawn, probe = task.sample(data[0], noise[0], p.n_trials), task.probe()
    blocks, parts = np.linspace(0, p.n_trials, p.n_evaluations + 1).round().astype(int), []
    for number, done in enumerate(blocks):
        if number:
            parts.append((_of(drawn, slice(blocks[number - 1], done)), True, -1, False))
        for showing in range(p.n_probe):
            parts.append((_of(probe, slice(None)), False, number, showing == 0))
    sizes = [len(goals) for (_, goals), *_ in parts]
    flags = [np.repeat([part[at] for part in parts], sizes) for at in (1, 2, 3)]
    return Timetable(*(np.concatenate([part[0][at] for part in parts]) for at in (0, 1)), *flags)


def _of(trials: nb.Trials, which: slice) -> tuple[np.ndarray, np.ndarray]:
    """Cues, with a last channel that is always on, and goals."""
    cues, goals = np.asarray(trials.inputs, float)[which, 0], np.asarray(trials.targets, float)[which, 0]
    return np.column_stack([cues, np.ones(len(cues))]), goals


def functions_of_time(p: Parameters, trials: Timetable) -> dict[str, brian2.TimedArray]:
    """Values that change from trial to trial, by the names that the equations know them by."""
    values = {"cue": trials.cues, "goal": trials.goals, "learning": trials.learning, "recorded": trials.noted}
    duration = p.duration * brian2.ms
    return {name: brian2.TimedArray(array.astype(float), dt=duration, name=name) for name, array in values.items()}


def constants(p: Parameters) -> dict[str, Any]:
    """Numbers that the equations know by name, with units."""
    found = {
        name: value * UNITS.get(metadata["unit"], 1)
        for name, (value, metadata) in flatten(p).items()
        if isinstance(value, float)
    }
    found |= {"noise_sd": found.pop("noise"), "eta_out": p.readout_learning_rate}
    found["alpha"] = found.pop("predictor_learning_rate")
    kept = p.lambda_ * p.discount * (1 - p.dt / p.tau_f)  # of a parallel fibre's trace, in a step
    return found | {"tau_parallel": found.pop("dt") / (1 - kept)}  # Brian2 has a dt of its own


# ---------------------------------------------------------------------------------------------------- the network


def by_rule(p: Parameters) -> dict[str, list]:
    """κ, learning rate and time constant of the cortical traces of each network."""
    table = {
        "cerebellum": (p.kappa, p.learning_rate, p.dt),
        "no cerebellum": (0.0, p.learning_rate_without, p.dt),
        "e-prop": (0.0, p.learning_rate_eprop, p.tau_f),
        "frozen cortex": (0.0, 0.0, p.dt),
    }
    kappa, eta, tau_e = zip(*(table[name] for name in p.rules), strict=True)
    return {"kappa": list(kappa), "eta": eta * UNITS["mV²"], "tau_e": tau_e * UNITS["ms"]}


def network(p: Parameters, seed: int) -> tuple[brian2.Network, dict[str, Any]]:
    """All networks of one seed, side by side, as one Brian2 network; and its objects by name."""
    born, n_rules = newborn(p, seed), len(p.rules)
    step, trial = clocks(p.dt / 1000, p.n_steps)
    made = populations(p, n_rules, step)
    link(made, p)
    for name, value in by_rule(p).items():
        setattr(made["cortex"], name, np.repeat(value, p.n_units))
    made |= pathways(p, made, born, n_rules, step)
    arrange(p, made, step, trial)
    made |= monitors(made, step, trial)
    return brian2.Network(*made.values(), name="loop"), made


def populations(p: Parameters, n_rules: int, step: brian2.Clock) -> dict[str, brian2.NeuronGroup]:
    """Inputs and background are shared; all others have a copy for each network, one after another."""
    n, spikes, recorded = p.n_units * n_rules, {"method": "euler", "clock": step}, {"recorded": "recorded(t) > 0"}
    fires = {"threshold": "v > v_threshold", **spikes}
    olive = OLIVE + CLIMBING_FIBRE[p.climbing_fibre]
    return {
        "background": brian2.NeuronGroup(p.n_units, BACKGROUND, name="background", **spikes),
        "inputs": brian2.NeuronGroup(p.n_inputs + 1, INPUTS, name="inputs", **spikes),
        "cortex": brian2.NeuronGroup(n, CORTEX, reset=CORTEX_SPIKE, events=dict(recorded), name="cortex", **fires),
        "readout": brian2.NeuronGroup(2 * n_rules, READOUT, name="readout", clock=step),
        "granule": brian2.NeuronGroup(p.n_granule * n_rules, GRANULE, reset=GRANULE_SPIKE, name="granule", **fires),
        "nuclei": brian2.NeuronGroup(n, NUCLEI, name="nuclei", clock=step),
        "olive": brian2.NeuronGroup(n, olive, events=dict(recorded), name="olive", clock=step),
    }


def link(made: Mapping[str, Any], p: Parameters) -> None:
    """Noise and luck are those of the background, the same in every network."""
    cortex, olive, background = (made[name] for name in ("cortex", "olive", "background"))
    shared = np.tile(np.arange(p.n_units), len(p.rules))
    cortex.background = brian2.linked_var(background, "noise", index=shared)
    cortex.onset = brian2.linked_var(background, "onset", index=shared)
    if p.climbing_fibre == "poisson":
        olive.luck = brian2.linked_var(background, "luck", index=shared)


def pathways(
    p: Parameters, made: Mapping[str, Any], born: Weights, n_rules: int, step: brian2.Clock
) -> dict[str, brian2.Synapses]:
    """Synapses of every network, at birth."""
    table = {  # equations, source, target, weights, which exist
        "feedforward": (FEEDFORWARD, "inputs", "cortex", born.feedforward * brian2.mV, np.ones_like(born.feedforward)),
        "recurrent": (RECURRENT, "cortex", "cortex", born.recurrent * brian2.mV, 1 - np.eye(p.n_units)),
        "output": (OUTPUT, "cortex", "readout", born.output, np.ones_like(born.output)),
        "mossy": (MOSSY, "cortex", "granule", born.mossy * brian2.mV, born.mask),
        "parallel": (PARALLEL, "granule", "nuclei", 0, np.ones((p.n_units, p.n_granule))),
    }
    found = {}
    for name, (equations, source, target, w, exists) in table.items():
        synapses = brian2.Synapses(made[source], made[target], equations, method="euler", clock=step, name=name)
        post, pre = np.nonzero(exists)
        copies = np.arange(n_rules)[:, None]
        shift = 0 if source == "inputs" else exists.shape[1]
        synapses.connect(i=(pre + shift * copies).ravel(), j=(post + exists.shape[0] * copies).ravel())
        synapses.w = np.tile(w[post, pre], n_rules) if np.ndim(w) else w
        found[name] = synapses
    for name, (source, target, equations) in ONE_TO_ONE.items():
        found[name] = brian2.Synapses(made[source], made[target], equations, clock=step, name=name)
        found[name].connect(j="i")
    return found


def arrange(p: Parameters, made: Mapping[str, Any], step: brian2.Clock, trial: brian2.Clock) -> None:
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
        ("background", BACKGROUND_RESET, trial, "start", -1),
        ("inputs", INPUTS_RESET, trial, "start", 0),
        ("cortex", CORTEX_RESET, trial, "start", 0),
        ("readout", READOUT_RESET, trial, "start", 0),
        ("granule", GRANULE_RESET, trial, "start", 0),
        ("nuclei", NUCLEI_RESET, trial, "start", 0),
        ("feedforward", INTO_CORTEX_RESET, trial, "start", 0),
        ("recurrent", INTO_CORTEX_RESET, trial, "start", 0),
        ("parallel", PARALLEL_RESET, trial, "start", 0),
        ("granule", GRANULE_REMEMBER, step, "start", 1),
        ("readout", READOUT_COUNT, step, "end", -1),
        ("feedforward", INTO_CORTEX_LEARN, step, "end", 0),
        ("recurrent", INTO_CORTEX_LEARN, step, "end", 0),
        ("parallel", PARALLEL_LEARN, step, "end", 0),
        ("output", OUTPUT_LEARN, step, "end", 0),
    ]
    if p.climbing_fibre == "poisson":
        regular += [
            ("background", BACKGROUND_LUCK, step, "start", 1),
            ("olive", OLIVE_SPIKE, step, "after_resets", 3),
        ]
    for number, (name, code, clock, when, order) in enumerate(regular):
        made[name].run_regularly(code, clock=clock, when=when, order=order, name=f"{name}_regularly_{number}")


def monitors(made: Mapping[str, Any], step: brian2.Clock, trial: brian2.Clock) -> dict[str, Any]:
    """The loss of every trial; in one showing of an evaluation also membranes, and what the cerebellum says."""
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
    """Weights as (rule, post, pre), in SI units."""
    w = np.zeros((n_rules, n_post, n_pre))
    post, pre = np.array(synapses.j), np.array(synapses.i)
    w[post // n_post, post % n_post, pre % n_pre] = np.array(synapses.w)
    return w


# --------------------------------------------------------------------------------------------------------- the run


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


def play(p: Parameters, seed: int) -> Seen:
    """Play all trials of a seed in one run of its network."""
    trials, target = timetable(p, seed), compile_targets.resolve(p.target)
    with compile_targets.computing(target):
        loop, made = network(p, seed)
        born = weights(p, made)
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
    return Seen(losses(p, made), born, grown, ends, aligned, rates)


def weights(p: Parameters, made: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Weights of every network as (rule, post, pre), by the names of the schema; in mV, of readout and nuclei 1."""
    sizes = {"feedforward": (p.n_units, p.n_inputs + 1), "recurrent": (p.n_units, p.n_units)}
    sizes |= {"output": (2, p.n_units), "parallel": (p.n_units, p.n_granule)}
    found = {name: matrix(made[pathway], *sizes[pathway], len(p.rules)) for name, pathway in SHOWN.items()}
    return {name: w * 1e3 if name.startswith("cortex") else w for name, w in found.items()}


def losses(p: Parameters, made: Mapping[str, Any]) -> np.ndarray:
    """Loss of every trial: a trial's cost is read when the next one begins, and the last one's at the end."""
    seen = np.column_stack([np.array(made["costs"].cost)[:, 1:], np.array(made["readout"].cost)])
    return seen.reshape(len(p.rules), 2, -1).sum(1)


def activity(p: Parameters, made: Mapping[str, Any], trials: Timetable) -> dict[str, np.ndarray]:
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


def _arranged(p: Parameters, values: Any) -> np.ndarray:
    """(step · unit) as (rule, evaluation, trial, time, unit), in SI units."""
    found = np.array(values).reshape(p.n_evaluations + 1, p.n_cues, p.n_steps, len(p.rules), p.n_units)
    return np.moveaxis(found, 3, 0)


def _recurrent(p: Parameters, made: Mapping[str, Any], trials: Timetable) -> np.ndarray:
    """Recurrent weights in mV in every evaluation, (rule, evaluation, post, pre)."""
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


def _spikes(p: Parameters, made: Mapping[str, Any], trials: Timetable) -> np.ndarray:
    """Spikes of the trials that were noted, one bin a step."""
    bins = np.zeros((len(trials.goals) * p.n_steps, len(made["cortex"])), np.int8)
    at = np.round(np.array(made["fired"].t / brian2.ms) / p.dt).astype(int)
    bins[at, np.array(made["fired"].i)] = 1
    return _arranged(p, bins.reshape(len(trials.goals), -1)[trials.noted])


def pseudo_derivative(p: Parameters, v: np.ndarray) -> np.ndarray:
    """Of a spike with respect to the membrane in front of it, in 1/mV, in a step."""
    return p.steepness * 1e-3 * p.dt * np.clip(1 - abs(v - p.v_threshold) / p.v_threshold, 0, 1) / p.v_threshold


def future_gradient(p: Parameters, error: np.ndarray, slope: np.ndarray, recurrent: np.ndarray) -> np.ndarray:
    """Gₜ = ∂(later losses)/∂rₜ through the leak of r, and through recurrent synapses where there are any.

    Spikes have their pseudo-derivative; as in e-prop, the reset of the membrane by a spike is left out.

    Parameters
    ----------
    error, slope : (rule, evaluation, trial, time, unit)
        lₜ, and the pseudo-derivative in 1/mV.
    recurrent : (rule, evaluation, post, pre)
        Recurrent weights in mV.
    """
    found = np.zeros_like(error)
    of_membrane = np.zeros_like(error[..., 0, :])  # ∂(losses from step t+1 on)/∂vₜ₊₁
    for t in range(p.n_steps - 2, -1, -1):
        whole = error[..., t + 1, :] + found[..., t + 1, :]
        of_membrane = slope[..., t + 1, :] * whole + (1 - p.dt / p.tau_m) * of_membrane
        through = p.dt / p.tau_m * of_membrane @ recurrent
        found[..., t, :] = (1 - p.dt / p.tau_f) * whole + through
    return found


# ------------------------------------------------------------------------------------------------------ the results


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of ĝ and a gradient over units and trials, of every step: (rule, evaluation, time); NaN where one is zero."""
    products = [(a * b).sum((-3, -1)) for a, b in ((one, other), (one, one), (other, other))]
    with np.errstate(invalid="ignore", divide="ignore"):
        return products[0] / np.sqrt(products[1] * products[2])


def tree(p: Parameters, seen: list[Seen]) -> xr.DataTree:
    """All that was seen, in the schema of a run (docs/schema.md)."""
    run = xr.DataTree.from_dict(
        {
            "parameters": parameters(p),
            "training": training(p, seen),
            "evaluation": evaluation(p, seen),
            "activity": shown(p, seen),
            "gradients": gradients(p, seen),
            "weights": kept(p, seen),
        }
    )
    records = [attributes.point({"rule": name}, "complete", flat(p)) for name in p.rules]
    run.attrs = {
        "model": MODEL,
        **attributes.of_run(p.rules, {"rule": p.rules}),
        **origin(),
        "simulator": f"Brian2 {brian2.__version__}, {compile_targets.resolve(p.target)}",
        **attributes.of_points(records),
    }
    return run


def flat(p: Parameters) -> dict[str, Any]:
    """Parameters by name, without what says where the run is stored."""
    return {name: value for name, (value, _) in flatten(p).items() if name not in ("output", "overwrite")}


def axes(p: Parameters) -> dict[str, xr.DataArray]:
    """Coordinates that all groups share."""
    return {
        "rule": coordinate("rule", list(p.rules), "network"),
        "seed": coordinate("seed", np.arange(p.seeds) + p.first_seed, "seed of weights, trials and noise"),
    }


def labelled(p: Parameters, seen: list[np.ndarray], units: str, words: str, /, **coords: xr.DataArray) -> xr.DataArray:
    """Values of every seed, (rule, …), with dims (rule, seed, …)."""
    attrs = {"units": units, "long_name": words}
    return xr.DataArray(np.stack(seen, 1), {**axes(p), **coords}, ("rule", "seed", *coords), attrs=attrs)


def parameters(p: Parameters) -> xr.Dataset:
    """Every constant with its unit, symbol and source."""
    return xr.Dataset(
        {
            name: xr.DataArray(
                value,
                attrs={
                    "units": metadata["unit"],
                    "long_name": metadata["doc"],
                    "symbol": metadata["symbol"],
                    "source": metadata["source"],
                },
            )
            for name, (value, metadata) in flatten(p).items()
            if name not in ("output", "overwrite")
        }
    )


def training(p: Parameters, seen: list[Seen]) -> xr.Dataset:
    """Loss of every trial that was learnt from."""
    trials = timetable(p, p.first_seed)
    at = coordinate("update", np.arange(1, p.n_trials + 1), "number of the trial")
    loss = [one.losses[:, trials.learning] for one in seen]
    lost = [np.where(np.isfinite(x).all(1), -1, np.argmin(np.isfinite(x), 1) + 1) for x in loss]
    return xr.Dataset(
        {
            "loss": labelled(p, loss, "1", "½ |output − target|², mean over the window", update=at),
            "diverged_at": labelled(p, lost, "1", "trial whose loss was not finite (-1: none)"),
        }
    )


def evaluated_at(p: Parameters) -> xr.DataArray:
    """Trials learnt from before every evaluation."""
    done = np.linspace(0, p.n_trials, p.n_evaluations + 1).round().astype(int)
    return coordinate("update", done, "trials learnt from before the evaluation")


def evaluation(p: Parameters, seen: list[Seen]) -> xr.Dataset:
    """Loss while nothing is learnt, mean over showings of all cues, and rates over the whole run."""
    number = timetable(p, p.first_seed).evaluation
    blocks = range(p.n_evaluations + 1)
    loss = [np.stack([one.losses[:, number == at].mean(1) for at in blocks], 1)[..., None] for one in seen]
    split = coordinate("split", ["test"], "cues shown again, with other noise")
    coords = {"update": evaluated_at(p), "split": split}
    return xr.Dataset({"loss": labelled(p, loss, "1", "½ |output − target|², mean over the window", **coords)})


def snapshots(p: Parameters) -> xr.DataArray:
    """When activity is shown and weights are kept."""
    return coordinate("snapshot", [0, p.n_trials], "trials learnt from before the snapshot")


def shown(p: Parameters, seen: list[Seen]) -> xr.Dataset:
    """Activity in one showing of every cue, before learning and after it."""
    units, time = np.arange(p.n_units), np.arange(1, p.n_steps + 1) * p.dt
    common = {
        "snapshot": snapshots(p),
        "trial": coordinate("trial", np.arange(p.n_cues), "cue"),
        "time": coordinate("time", time, "time in the trial", "ms"),
    }
    per_spike = "loss per filtered spike"
    table = {  # unit, words, last dim
        "spikes": ("1", "spikes of the cortex in a step", "unit"),
        "filtered_spikes": ("1", "filtered spikes r of the cortex", "unit"),
        "predicted_gradient": (per_spike, "synthetic gradient ĝ of the nuclei", "state"),
        "td_error": (per_spike, "TD error δ of the olive, at the step that it judges", "state"),
        "climbing_fibre": (per_spike, "what climbing fibres say of it", "state"),
        "leak_gradient": (per_spike, "gradient of later losses through the leak of r alone", "state"),
        "true_gradient": (per_spike, "gradient of later losses, with pseudo-derivatives of spikes", "state"),
    }
    return xr.Dataset(
        {
            name: labelled(
                p,
                [one.activity[name].astype(np.int8 if name == "spikes" else np.float32) for one in seen],
                unit,
                words,
                **common,
                **{last: coordinate(last, units, "cortical neuron")},
            )
            for name, (unit, words, last) in table.items()
        }
    )


def gradients(p: Parameters, seen: list[Seen]) -> xr.Dataset:
    """Cosines of ĝ with the gradient that it can learn, and with all of it."""
    time = coordinate("time", np.arange(1, p.n_steps + 1) * p.dt, "time in the trial", "ms")
    words = {
        "gradient_alignment": "the gradient of later losses, with pseudo-derivatives of spikes",
        "leak_alignment": "its part through the leak of r",
    }
    return xr.Dataset(
        {
            name: labelled(
                p,
                [one.alignment[name] for one in seen],
                "1",
                f"cosine of ĝ with {of}, over units and cues",
                update=evaluated_at(p),
                time=time,
            )
            for name, of in words.items()
        }
    )


def kept(p: Parameters, seen: list[Seen]) -> xr.Dataset:
    """Weights before learning and after it."""
    found = {}
    for name, born in seen[0].born.items():
        coords = {
            f"{name}.{axis}": coordinate(f"{name}.{axis}", np.arange(size), f"{axis} axis of {name}")
            for axis, size in zip(("post", "pre"), born.shape[1:], strict=True)
        }
        values = [np.stack([one.born[name], one.grown[name]], 1) for one in seen]
        unit = "mV" if name.startswith("cortex") else "1"
        found[name] = labelled(p, values, unit, name, snapshot=snapshots(p), **coords)
    return xr.Dataset(found)


def simulate(p: Parameters) -> Path:
    """Run every seed, and store all of them in one file."""
    path = Path(p.output)
    if path.exists() and not p.overwrite:
        why, fix = "nothing is written over silently", "--overwrite, or --output with another name"
        raise refusal("output", str(path), "a file that does not exist yet", why, fix)
    seen = []
    for seed in axes(p)["seed"].values:
        seen.append(play(p, int(seed)))
        rates = ", ".join(f"{name} {rate:.0f} Hz" for name, rate in seen[-1].rates.items())
        print(f"seed {seed}: {rates}", flush=True)
    run = tree(p, seen)
    nb.export_netcdf(run, path, overwrite=p.overwrite)
    report(run)
    print(f"run: {path}")
    return path


def report(run: xr.DataTree) -> None:
    """Print the loss after learning."""
    loss = run["evaluation"]["loss"].isel(update=-1, split=0)
    print(f"after {int(loss.update)} trials, mean ± SD, seeds: {loss.sizes['seed']}")
    for name, values in scripting.by_point(loss):
        print(f"  {name:<14} loss {scripting.mean_and_spread(values, 3)}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, simulate)
