"""Do Brian2's equations compute what the array engine computes, and what do they tend to in shorter steps?

Reads a run of models/rate_loop_brian.py with both simulators and several numbers of steps in the place of one.  Draws
rates and predictions of one trial by both, the growth of the difference between their weights over trials, and the
distance of what was learnt in steps of dt from what was learnt in the shortest ones (PNG and SVG); prints the numbers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import schema, selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMMAND = "python models/rate_loop_brian.py --simulator brian,array --refine 1,2,4,8,16 --plastic --n-cues 4"
SHOWN = 3  # units of which there is a line
PARTS = ("cortex.", "readout.", "cerebellum.w_purkinje", "cerebellum.b_purkinje")


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/rate_loop_brian.nc", "run to read")
    select: tuple[str, ...] = field((), "values of other parameters, such as kappa=1.0")
    output: str = field("data/figures/discrete_vs_continuous", "figure, without suffix; an older one is replaced")


def learnt(run: xr.DataTree) -> xr.DataArray:
    """All weights that may learn in one vector, by simulator, refine, seed and snapshot."""
    weights = run["weights"].to_dataset()
    own = [name for name in weights.data_vars if str(name).startswith(PARTS)]
    flat = [flattened(weights[name]) for name in own]
    return xr.concat(flat, "weight", coords="minimal", compat="override")


def flattened(weights: xr.DataArray) -> xr.DataArray:
    """The axes of a matrix or vector of weights as one."""
    axes = [dim for dim in weights.dims if str(dim).startswith(str(weights.name))]
    return weights.drop_vars(axes).stack(weight=axes, create_index=False)


def length(vector: xr.DataArray) -> xr.DataArray:
    """Euclidean length over all weights."""
    return np.sqrt((vector**2).sum("weight"))


def between_simulators(weights: xr.DataArray) -> xr.DataArray:
    """Distance of Brian2's weights from the array engine's, relative to what was learnt, after each snapshot."""
    array = weights.sel(simulator="array")
    moved = length(array - array.isel(snapshot=0))
    return (length(weights.sel(simulator="brian") - array) / moved).isel(snapshot=slice(1, None))


def from_limit(weights: xr.DataArray) -> xr.DataArray:
    """Distance of Brian2's weights at the end from those of the shortest steps, relative to what these have learnt."""
    ends = weights.sel(simulator="brian")
    finest = ends.isel(refine=-1)
    moved = length(finest.isel(snapshot=-1) - finest.isel(snapshot=0))
    return (length(ends.isel(snapshot=-1) - finest.isel(snapshot=-1)) / moved).isel(refine=slice(None, -1))


@figures.styled
def draw(run: xr.DataTree, weights: xr.DataArray) -> "Figure":
    """One trial, the growth of the difference, and convergence in dt."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 4.8), layout="constrained")
    (rates, predictions), (growth, limit) = figure.subplots(2, 2)
    activity = run["activity"].to_dataset().isel(seed=0, snapshot=-1, trial=-1, refine=0)
    dt = 1e3 * float(run["parameters"]["circuit.cortex.dt"].isel(refine=0).values.flat[0])
    draw_trial(rates, activity["rates"], "unit", dt, "cortical rate")
    draw_trial(predictions, activity["predicted_gradient"], "state", dt, "prediction ĝ (loss per unit of rate)")
    rates.set_title("Last trial, first seed: rates")
    predictions.set_title("Predicted gradient")
    draw_growth(growth, between_simulators(weights).isel(refine=0))
    draw_limit(limit, from_limit(weights), dt)
    return figure


def draw_trial(axes: "Axes", values: xr.DataArray, neurons: str, dt: float, label: str) -> None:
    """Lines: array engine; dots: Brian2."""
    largest = np.abs(values.sel(simulator="array")).max("time").argsort()[-SHOWN:].values
    for shade, one in zip(("#000000", "#0072B2", "#D55E00"), largest, strict=False):
        unit = values.isel({neurons: one})
        axes.plot(dt * unit.time, unit.sel(simulator="array"), color=shade, linewidth=1.2, label="array engine")
        axes.plot(dt * unit.time, unit.sel(simulator="brian"), "o", color=shade, markersize=3, label="Brian2")
    axes.set(xlabel="time in the trial (ms)", ylabel=label)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[:2], labels[:2])


def draw_growth(axes: "Axes", difference: xr.DataArray) -> None:
    """Difference of the weights over trials, a line each seed."""
    for seed in difference.seed.values:
        axes.semilogy(difference.snapshot, difference.sel(seed=seed), "o-", color="#0072B2", markersize=3, alpha=0.6)
    whole_decades(axes, difference)
    axes.set(
        xlabel="trial", ylabel="difference of weights\n(relative to what was learnt)", title="Brian2 and array engine"
    )


def draw_limit(axes: "Axes", distance: xr.DataArray, dt: float) -> None:
    """Distance from the shortest steps against dt, a line each seed, and one of slope 1."""
    from matplotlib import ticker

    steps = dt / distance.refine.values
    for seed in distance.seed.values:
        axes.loglog(steps, distance.sel(seed=seed), "o-", color="#0072B2", markersize=3, alpha=0.6)
    first = float(distance.isel(refine=0).mean())
    axes.loglog(steps, first * steps / steps[0], color="0.5", dashes=(3, 2), label="proportional to dt")
    axes.set(xlabel="step dt (ms)", ylabel="distance from the shortest steps\n(relative to what was learnt)")
    whole_decades(axes, distance)
    axes.set_title("Limit of continuous time")
    axes.set_xticks(steps, [f"{step:g}" for step in steps])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.legend(loc="upper left")


def whole_decades(axes: "Axes", values: xr.DataArray) -> None:
    """Ticks at powers of ten, with one at either end."""
    from matplotlib import ticker

    low, high = np.floor(np.log10(float(values.min()))), np.ceil(np.log10(float(values.max())))
    axes.set_ylim(10**low, 10**high)
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def report(weights: xr.DataArray) -> None:
    """Print both distances."""
    difference = between_simulators(weights)
    for trial in difference.snapshot.values:
        worst = float(difference.sel(snapshot=trial).max())
        print(f"after {int(trial)} trials: largest difference of the weights {worst:.1e} of what was learnt")
    distance = from_limit(weights)
    ratios = distance.isel(refine=slice(None, -1)).values / distance.isel(refine=slice(1, None)).values
    print("\n| steps in the place of one | distance from the shortest steps, mean ± SD | it falls by, smallest |")
    print("|---|---|---|")
    for k, by in enumerate(distance.refine.values):
        values = distance.sel(refine=by)
        fall = f"{ratios[k - 1].min():.2f}" if k else "–"
        print(f"| {int(by)} | {scripting.mean_and_spread(values.values, 4)} | {fall} |")


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    if not Path(p.run).is_file():
        why = "the analysis reads it"
        raise refusal("run", p.run, "a NetCDF file that exists", why, f"{COMMAND} --output {p.run}")
    with xr.open_datatree(p.run, engine="h5netcdf") as stored:
        run = selection.selected(stored.load(), p.select)
    schema.validate(run)
    weights = learnt(run)
    dims = set(weights.dims) - {"weight"}
    if dims != {"simulator", "refine", "seed", "snapshot"} or set(weights.simulator.values) != {"brian", "array"}:
        why = "both are compared, in several steps"
        raise refusal(
            "run", sorted(map(str, dims)), "a run with dims simulator, refine, seed and snapshot", why, COMMAND
        )
    weights = weights.transpose("refine", "seed", "simulator", "snapshot", "weight")
    report(weights)
    scripting.save(draw(run, weights), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
