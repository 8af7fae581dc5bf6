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

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import nearest, refusal

if TYPE_CHECKING:
    from neuro_bpl.brian import spiking

MODEL = "models/spiking_loop_brian.py"
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


def newborn(p: Parameters, seed: int) -> "spiking.Weights":
    """Weights at birth, in mV (of the readout: 1); no neuron has a synapse onto itself, parallel fibres are silent."""
    rng, n = np.random.default_rng((0, seed)), p.n_units
    feedforward = p.input_scale * rng.normal(size=(n, p.n_inputs + 1)) / np.sqrt(p.n_inputs)
    feedforward[:, -1] = p.bias + p.bias_spread * rng.normal(size=n)
    recurrent = p.recurrent_scale * rng.normal(size=(n, n)) / np.sqrt(n) * (1 - np.eye(n))
    output = rng.uniform(-1, 1, size=(2, n)) / np.sqrt(n)
    mask = np.zeros((p.n_granule, n), bool)
    for cell in mask:
        cell[rng.choice(n, p.fan_in, replace=False)] = True
    return nb.brian.spiking.Weights(
        feedforward, recurrent, output, mask * p.mossy_scale * rng.uniform(0.5, 1.5, mask.shape), mask
    )


def timetable(p: Parameters, seed: int) -> "spiking.Timetable":
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
    return nb.brian.spiking.Timetable(*(np.concatenate([part[0][at] for part in parts]) for at in (0, 1)), *flags)


def _of(trials: nb.Trials, which: slice) -> tuple[np.ndarray, np.ndarray]:
    """Cues, with a last channel that is always on, and goals."""
    cues, goals = np.asarray(trials.inputs, float)[which, 0], np.asarray(trials.targets, float)[which, 0]
    return np.column_stack([cues, np.ones(len(cues))]), goals


def by_rule(p: Parameters) -> dict[str, Any]:
    """κ, learning rate and time constant of the cortical traces of each network."""
    import brian2

    table = {
        "cerebellum": (p.kappa, p.learning_rate, p.dt),
        "no cerebellum": (0.0, p.learning_rate_without, p.dt),
        "e-prop": (0.0, p.learning_rate_eprop, p.tau_f),
        "frozen cortex": (0.0, 0.0, p.dt),
    }
    kappa, eta, tau_e = zip(*(table[name] for name in p.rules), strict=True)
    return {"kappa": list(kappa), "eta": eta * brian2.mV**2, "tau_e": tau_e * brian2.ms}


def play(p: Parameters, seed: int) -> "spiking.Seen":
    """Play all trials of a seed."""
    return nb.brian.spiking.play(p, seed, newborn(p, seed), timetable(p, seed), by_rule(p))


def tree(p: Parameters, seen: "list[spiking.Seen]") -> xr.DataTree:
    """All that was seen, as a run."""
    return nb.brian.spiking.tree(p, seen, timetable(p, p.first_seed), MODEL)


def simulate(p: Parameters) -> Path:
    """Run every seed, and store all of them in one file."""
    path = Path(p.output)
    if path.exists() and not p.overwrite:
        why, fix = "nothing is written over silently", "--overwrite, or --output with another name"
        raise refusal("output", str(path), "a file that does not exist yet", why, fix)
    seen = []
    for seed in range(p.first_seed, p.first_seed + p.seeds):
        seen.append(play(p, seed))
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
