"""What an update costs by each rule: its time beside BPTT's, and the memory that it needs.

All times come from one run, measured in turn (A B C A B C …), so that a machine that drifts drifts for all of them.
An update is what training runs: forward pass, gradients, Adam on all weights; several in one compiled scan. Step-wise
rules change the weights at every step of the trial.

Times beside BPTT's are medians of the ratios of single rounds, not ratios of medians.

Memory is what XLA sets aside for intermediate results of one compiled update, at its peak: activity kept for a backward
sweep, traces, gradients. Weights, optimiser state and trials are there before and after it, and are not counted.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from stopwatch import Training, interleaved, labelled, noise

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.learning import NAMED
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal
from neuro_bpl.scripting import rule_words

RULES: dict[str, Callable[[], nb.LearningRule]] = {
    **NAMED,
    "eprop_step": partial(nb.eprop, update="step"),
    "rflo_step": partial(nb.rflo, update="step"),
    "snap_step": partial(nb.snap, update="step"),
    "uoro_step": partial(nb.uoro, update="step"),
    "rtrl_step": partial(nb.rtrl, update="step"),
}
REFERENCE = "bptt"
PACKAGES = ("neuro_bpl", "jax", "numpy", "optax")


@dataclass(frozen=True)
class Parameters:
    """The circuit, and how long to measure."""

    rule: str = field(",".join(RULES), "learning rules, separated by commas, or dni:3 and the like; always BPTT")
    cortex: str = field("rate", "cell, of tanh units or LSTM", choices=("rate", "lstm"))
    n_units: int = field(32, "cortical units", symbol="n", low=1)
    n_inputs: int = field(10, "input channels", low=1)
    n_outputs: int = field(10, "outputs", low=1)
    target: str = field(
        "steps",
        "numbers at every step, or the label of a class at the last one",
        choices=("steps", "label"),
    )
    n_steps: int = field(20, "steps of a trial", symbol="T", low=1)
    batch_size: int = field(10, "trials of an update", low=1)
    tau: float = field(0.02, "membrane time constant of the rate cell", unit="s", symbol="τ", above=0)
    dt: float = field(0.01, "duration of a step", unit="s", symbol="dt", above=0)
    rounds: int = field(7, "rounds of measurement; the median is kept", low=1)
    n_updates: int = field(50, "updates in one compiled scan", low=1)
    seconds: float = field(0.3, "shortest time of one measurement", unit="s", above=0)
    output: str = field("data/runs/online_rules.nc", "NetCDF file of the results; an older one there is replaced")

    def __post_init__(self) -> None:
        check(self)
        for name in self.rule.split(","):
            if ":" in name:
                rule_words.check_words(name)
            elif name not in RULES:
                raise refusal("rule", name, ", ".join(RULES), "these rules are measured", "--rule bptt,eprop")


def learning_rule(word: str) -> nb.LearningRule:
    """The rule that a word names, with a number of its own or without."""
    return rule_words.rule_of(word, lambda_=1.0, discount=1.0, kappa=1.0, window=1) if ":" in word else RULES[word]()


def circuit(p: Parameters) -> nb.Circuit:
    """That of models/rule_comparison.py, or one with an LSTM."""
    rate = p.cortex == "rate"
    return nb.Circuit(
        nb.RateCortex(p.n_inputs, p.n_units, tau=p.tau, dt=p.dt) if rate else nb.LSTMCortex(p.n_inputs, p.n_units),
        nb.LinearReadout(p.n_outputs, "squared_error" if p.target == "steps" else "softmax_cross_entropy"),
        nb.LinearPredictor(),
        feedback=nb.FeedbackPathway(),
    )


def measure(p: Parameters) -> xr.Dataset:
    """Time and memory of one update of every rule."""
    rules = [learning_rule(word) for word in dict.fromkeys([REFERENCE, *p.rule.split(",")])]
    batch = (noise if p.target == "steps" else labelled)(p.n_inputs, p.n_outputs, p.n_steps, p.batch_size)
    trainings = [Training(circuit(p), rule, batch, p.n_updates) for rule in rules]
    times = interleaved([one.run for one in trainings], p.rounds, p.seconds) / p.n_updates
    relative = times / times[:, :1]
    memory = np.array([training.memory() for training in trainings]) / 1e6
    return dataset(p, [rule.name for rule in rules], np.median(times, 0), np.median(relative, 0), memory)


def dataset(p: Parameters, names: list[str], times: np.ndarray, relative: np.ndarray, memory: np.ndarray) -> xr.Dataset:
    """The results with their units, and what was measured on what."""
    settings = {name: value for name, value in asdict(p).items() if name not in ("rule", "output")}
    versions = {f"{package}_version": version(package) for package in PACKAGES}
    return xr.Dataset(
        {
            "time": ("rule", times, {"units": "s", "long_name": "time of one update"}),
            "relative_time": ("rule", relative, {"units": "1", "long_name": "time of one update relative to BPTT's"}),
            "memory": ("rule", memory, {"units": "MB", "long_name": "peak memory for intermediate results"}),
        },
        {"rule": ("rule", names, {"long_name": "learning rule"})},
        {**settings, **versions, "device": jax.devices()[0].device_kind},
    )


def table(found: xr.Dataset) -> str:
    """The results in Markdown."""
    lines = ["| rule | time of an update (ms) | time / BPTT | memory (MB) |", "|---|---|---|---|"]
    for name in found.rule.values:
        one = found.sel(rule=name)
        lines.append(f"| {name} | {1e3 * one.time:.3g} | {one.relative_time:.2f} | {one.memory:.3g} |")
    return "\n".join(lines)


def benchmark(p: Parameters) -> None:
    """Measure, print, write."""
    found = measure(p)
    print(table(found), flush=True)
    path = Path(p.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.to_netcdf(path, engine="h5netcdf")
    print(f"results: {path}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, benchmark)
