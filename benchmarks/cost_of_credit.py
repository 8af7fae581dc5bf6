"""What step-wise credit costs: time and memory of an update by each trace of the predictor, against n and T.

All times come from one run, measured in turn (A B C A B C …), so that a machine that drifts drifts for all of them.
An update is a batch of trials with weights that change at every step (BPTT and the forward view: at their end).  Two
series share one circuit, a rate cortex with a linear predictor: one varies its units n, the other the steps T.  A form
whose update would take more multiply–adds than --most is left out there.  Memory is what XLA sets aside for
intermediate results, traces among them.  --large measures, one after another, the forms that fit where the full trace
does not.  Figure: analyses/cost_of_credit.py.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from stopwatch import Training, interleaved, noise, seconds

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal

TRACES: dict[str, nb.predictor_traces.PredictorTrace] = {
    "full": nb.predictor_traces.FullTrace(),
    "history": nb.HistorySweep(),
    "low_rank": nb.predictor_traces.LowRankTrace(),
    **dict.fromkeys(("projected", "pca", "learned"), nb.predictor_traces.ProjectedTrace()),
    "diagonal": nb.predictor_traces.DiagonalTrace(),
    "leak": nb.predictor_traces.LeakTrace(),
}
FORMS = ("bptt", "forward", *TRACES)
BASES = {"projected": "random", "pca": "pca", "learned": "learned"}
PACKAGES = ("neuro_bpl", "jax", "numpy", "optax")
LAMBDA = 0.9
N_CHANNELS = 10  # inputs and outputs


@dataclass(frozen=True)
class Parameters:
    """The circuit, and how long to measure."""

    rule: str = field(",".join(FORMS), "forms of credit, separated by commas")
    units: tuple[int, ...] = field((16, 32, 64, 128), "units of the first series", symbol="n", low=1)
    steps: tuple[int, ...] = field((10, 20, 50, 100, 200), "steps of the second series", symbol="T", low=1)
    n_units: int = field(64, "units of the second series", symbol="n", low=1)
    n_steps: int = field(50, "steps of the first series", symbol="T", low=1)
    batch_size: int = field(10, "trials of an update", low=1)
    n_dimensions: int = field(16, "dimensions of the projected forms, at most n", symbol="k", low=1)
    large: bool = field(False, "measure at n = 512, T = 200 and 50 trials instead, without full, once each")
    most: float = field(2e11, "most multiply–adds of an update", above=0)
    rounds: int = field(5, "rounds of measurement; the median is kept", low=1)
    seconds: float = field(0.2, "shortest time of one measurement", unit="s", above=0)
    output: str = field("data/runs/cost_of_credit.nc", "NetCDF file of the results; an older one there is replaced")

    def __post_init__(self) -> None:
        check(self)
        for name in self.rule.split(","):
            if name not in FORMS:
                raise refusal("rule", name, ", ".join(FORMS), "these forms are measured", "--rule full,history")


def circuit(p: Parameters, form: str, n_units: int) -> nb.Circuit:
    """Rate units with a linear readout and a linear predictor."""
    linear = nb.LinearPredictor()
    few = nb.ProjectedPredictor(linear, min(p.n_dimensions, n_units), BASES.get(form, "random"))
    return nb.Circuit(
        nb.RateCortex(N_CHANNELS, n_units, tau=0.02, dt=0.01),
        nb.LinearReadout(N_CHANNELS),
        few if form in BASES else linear,
    )


def learning_rule(form: str) -> nb.LearningRule:
    """BPTT, BP(λ) from whole trials, or with one of the traces."""
    if form == "bptt":
        return nb.bptt()
    if form == "forward":
        return nb.bp_lambda(LAMBDA)
    return nb.bp_lambda(LAMBDA, view="backward", update="step", predictor_trace=TRACES[form])


def training(p: Parameters, form: str, n_units: int, n_steps: int, batch_size: int) -> Training:
    """One form in training on noise."""
    batch = noise(N_CHANNELS, N_CHANNELS, n_steps, batch_size)
    return Training(circuit(p, form, n_units), learning_rule(form), batch)


def multiply_adds(p: Parameters, form: str, n_units: int, n_steps: int) -> float:
    """Multiply–adds of an update; NaN where they are unknown."""
    found = nb.cost(circuit(p, form, n_units), learning_rule(form), batch_size=p.batch_size, n_steps=n_steps)
    return np.nan if found.multiply_adds is None else found.multiply_adds


def series(p: Parameters, dim: str, sizes: Sequence[tuple[int, int]]) -> xr.Dataset:
    """Time, memory and multiply–adds of every form at every size."""
    forms, places = p.rule.split(","), [units if dim == "n_units" else steps for units, steps in sizes]
    found = np.full((3, len(forms), len(sizes)), np.nan)
    for column, (units, steps) in enumerate(sizes):
        found[2, :, column] = [multiply_adds(p, form, units, steps) for form in forms]
        rows = np.flatnonzero(found[2, :, column] <= p.most)
        made = [training(p, forms[row], units, steps, p.batch_size) for row in rows]
        found[0, rows, column] = np.median(interleaved([one.run for one in made], p.rounds, p.seconds), axis=0)
        found[1, rows, column] = [one.memory() / 1e6 for one in made]
        print(f"{dim} {places[column]}: {', '.join(forms[row] for row in rows)}", flush=True)
    return labelled(found, dim, {"rule": forms, dim: places})


def labelled(found: np.ndarray, dim: str, coordinates: dict[str, Sequence]) -> xr.Dataset:
    """The three measures with their units; names end with the dim that they vary along."""
    words = {
        "time": ("s", "time of one update"),
        "memory": ("MB", "peak memory for intermediate results"),
        "multiply_adds": ("1", "multiply–adds of one update"),
    }
    variables = {
        f"{name}_by_{dim}": (list(coordinates), values, {"units": units, "long_name": long_name})
        for (name, (units, long_name)), values in zip(words.items(), found, strict=True)
    }
    return xr.Dataset(variables, coordinates)


def large(p: Parameters) -> xr.Dataset:
    """Every form but the full trace, once, where the full trace does not fit."""
    forms = [form for form in p.rule.split(",") if form != "full"]
    found = np.full((3, len(forms), 1), np.nan)
    for row, form in enumerate(forms):
        one = training(p, form, 512, 200, 50)
        one.run()
        bound = nb.cost(circuit(p, form, 512), learning_rule(form), batch_size=50, n_steps=200)
        found[:, row, 0] = seconds(one.run, p.seconds), one.memory() / 1e6, bound.multiply_adds
        print(f"| {form} | {found[0, row, 0]:.2f} | {found[1, row, 0]:.0f} |", flush=True)
    return labelled(found, "n_units", {"rule": forms, "n_units": [512]})


def table(found: xr.Dataset, dim: str) -> str:
    """Times in Markdown, with the full trace's beside the history sweep's."""
    times = found[f"time_by_{dim}"]
    lines = [f"| ms | {' | '.join(str(size) for size in times[dim].values)} |", "|---" * (times.sizes[dim] + 1) + "|"]
    for name in times.rule.values:
        lines.append(f"| {name} | {' | '.join(f'{1e3 * value:.3g}' for value in times.sel(rule=name).values)} |")
    if {"full", "history"} <= set(times.rule.values.tolist()):
        ratio = times.sel(rule="full") / times.sel(rule="history")
        lines.append(f"| full / history | {' | '.join(f'{value:.1f}' for value in ratio.values)} |")
    return "\n".join(lines)


def benchmark(p: Parameters) -> None:
    """Measure, print, write."""
    if p.large:
        found = large(p)
    else:
        by_units = series(p, "n_units", [(units, p.n_steps) for units in p.units])
        by_steps = series(p, "n_steps", [(p.n_units, steps) for steps in p.steps])
        print(table(by_units, "n_units"), table(by_steps, "n_steps"), sep="\n\n", flush=True)
        found = xr.merge([by_units, by_steps])
    settings = {name: value for name, value in asdict(p).items() if name not in ("rule", "output", "large")}
    versions = {f"{package}_version": version(package) for package in PACKAGES}
    found.attrs = {**settings, **versions, "lambda": LAMBDA, "device": jax.devices()[0].device_kind}
    path = Path(p.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.to_netcdf(path, engine="h5netcdf")
    print(f"results: {path}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, benchmark)
