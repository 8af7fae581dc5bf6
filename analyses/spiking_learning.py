"""Does the cerebellum's prediction help a spiking cortex to learn from an error at the end of the trial?

Reads a run of models/spiking_loop_brian.py.  Draws the spikes of one trial after learning, the loss over learning, and
the loss at the end, seed by seed (PNG and SVG); prints the losses, how large they are beside that of the network
without the prediction (ratio paired by seed, 95 % interval of its logarithm's mean), and the cosine of the prediction ĝ
with the gradient that it can learn, that through the leak of filtered spikes, and with the gradient of all paths.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neuro_bpl import figures, scripting
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import schema

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMMAND = "python models/spiking_loop_brian.py --seeds 5"
REFERENCE, GRADIENT = "no cerebellum", "gradient_alignment"
LOOKS = {"cerebellum": "BP(1)", "no cerebellum": "TBPTT(1)", "e-prop": "e-prop", "frozen cortex": "output only"}


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/spiking_loop.nc", "run to read")
    network: str = field("cerebellum", "network whose spikes are drawn")
    seed: int = field(0, "which of its seeds, counted from 0", low=0)
    trial: int = field(0, "cue of that trial", low=0)
    output: str = field("data/figures/spiking_learning", "figure, without suffix; an older one there is replaced")

    def __post_init__(self) -> None:
        check(self)


def load(p: Parameters) -> xr.DataTree:
    """The run; refuses a file that is none, or that has nothing to compare (`ValueError`)."""
    if not Path(p.run).is_file():
        raise refusal("run", p.run, "a NetCDF file that exists", "the analysis reads it", f"{COMMAND} --output {p.run}")
    with xr.open_datatree(p.run, engine="h5netcdf") as opened:
        run = opened.load()
    schema.validate(run)
    loss = run["training"]["loss"]
    if "rule" not in loss.dims or REFERENCE not in loss.rule.values or loss.sizes["seed"] < 2:
        why = "networks are compared with that one, paired by seed"
        allowed = f'a run with "{REFERENCE}" among its networks, and two seeds at least'
        raise refusal("run", p.run, allowed, why, f"{COMMAND} --output {p.run}")
    sizes = {"network": list(loss.rule.values), "seed": range(loss.sizes["seed"])}
    sizes["trial"] = range(run["activity"].sizes["trial"])
    for name, allowed in sizes.items():
        if getattr(p, name) not in allowed:
            said = ", ".join(map(str, allowed))
            raise refusal(name, getattr(p, name), said, "the run has no other", f'--{name} "{allowed[0]}"')
    return run


def final_loss(run: xr.DataTree) -> xr.DataArray:
    """Loss in the last evaluation, in which nothing is learnt: (rule, seed)."""
    return run["evaluation"]["loss"].isel(update=-1).sel(split="test")


def ratio(loss: xr.DataArray, rule: str, reference: str) -> tuple[float, float, float]:
    """Final loss of one network over another's: geometric mean over seeds, 95 % interval."""
    mean, low, high = scripting.interval95(np.log((loss.sel(rule=rule) / loss.sel(rule=reference)).values))
    return float(np.exp(mean)), float(np.exp(low)), float(np.exp(high))


def alignment(run: xr.DataTree, name: str) -> xr.DataArray:
    """Cosine of ĝ with a gradient, mean over the steps of a trial that have a future: (rule, seed, update)."""
    return run["gradients"][name].isel(time=slice(None, -1)).mean("time")


def said_of(cosines: xr.DataArray) -> str:
    """Cosines of the first evaluation in which something is learnt, and of the last one."""
    return ", ".join(scripting.mean_and_spread(cosines.isel(update=at).values, 2) for at in (1, -1))


def report(run: xr.DataTree) -> None:
    """Print a Markdown table."""
    loss = final_loss(run)
    early, late = (int(run["evaluation"]["update"][at]) for at in (1, -1))
    print(f"after {late} trials, {loss.sizes['seed']} seeds; 95 % intervals in brackets; cosines after {early}, {late}")
    print(f'| network | loss, mean ± SD | over that of "{REFERENCE}" | cos(ĝ, leak) | cos(ĝ, all paths) |')
    print("|---|---|---|---|---|")
    for rule in loss.rule.values:
        beside = "–"
        if rule != REFERENCE:
            beside = "{:.2f} [{:.2f}, {:.2f}]".format(*ratio(loss, rule, REFERENCE))
        said = " | ".join(said_of(alignment(run, name).sel(rule=rule)) for name in ("leak_alignment", GRADIENT))
        print(f"| {rule} | {scripting.mean_and_spread(loss.sel(rule=rule).values, 3)} | {beside} | {said} |")


def draw_spikes(axes: "Axes", run: xr.DataTree, p: Parameters) -> None:
    """A raster of the cortex in one trial after learning, with cue and window."""
    spikes = run["activity"]["spikes"].sel(rule=p.network).isel(snapshot=-1, seed=p.seed, trial=p.trial)
    constants = run["parameters"].to_dataset()
    at, unit = np.nonzero(spikes.transpose("time", "unit").values)
    duration = float(constants["duration"])
    axes.axvspan(0, float(constants["cue_duration"]), color="0.92", linewidth=0)
    axes.axvspan(duration - float(constants["window"]), duration, color="0.75", linewidth=0)
    axes.plot(spikes.time.values[at], unit + 1, "|", color="black", markersize=2.5, markeredgewidth=0.7)
    axes.text(float(constants["cue_duration"]) / 2, spikes.sizes["unit"] + 1.2, "cue", ha="center", va="bottom")
    axes.text(duration, spikes.sizes["unit"] + 1.2, "target", ha="right", va="bottom")
    axes.set(xlabel="time in the trial (ms)", ylabel="cortical neuron", xlim=(0, duration))
    axes.set_ylim(0, spikes.sizes["unit"] + 1)
    axes.set_title(f"Spikes of one trial\n({p.network})", pad=14)


def draw_over_learning(axes: "Axes", run: xr.DataTree) -> None:
    """Loss in evaluations."""
    loss = run["evaluation"]["loss"].sel(split="test")
    for rule in loss.rule.values:
        line, low, high = in_logarithms(loss.sel(rule=rule))
        style = figures.look(LOOKS[str(rule)])
        axes.plot(loss["update"], line, label=str(rule), **style)
        axes.fill_between(loss["update"], low, high, color=style["color"], alpha=0.18, linewidth=0)
    axes.set(xlabel="trials learnt from", ylabel="loss", yscale="log")
    axes.set_title("Over learning:\nmean ± SD of logarithms", pad=14)
    axes.margins(x=0)
    plain_numbers(axes)
    axes.legend(loc="upper right", handlelength=2.5)


def plain_numbers(axes: "Axes") -> None:
    """Ticks of a logarithmic axis as 0.1, 0.2, 0.5."""
    from matplotlib import ticker

    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def in_logarithms(values: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Geometric mean over seeds, and one SD of the logarithms below and above it."""
    logs = np.log(values)
    mean, spread = logs.mean("seed"), logs.std("seed", ddof=1)
    return np.exp(mean), np.exp(mean - spread), np.exp(mean + spread)


def draw_ratios(axes: "Axes", run: xr.DataTree) -> None:
    """Final loss over that of the reference: one dot a seed, mean and 95 % interval."""
    loss = final_loss(run)
    others = [str(rule) for rule in loss.rule.values if rule != REFERENCE]
    axes.axhline(1, color="0.6", linewidth=0.8)
    for x, rule in enumerate(others):
        colour = figures.look(LOOKS[rule])["color"]
        seeds = (loss.sel(rule=rule) / loss.sel(rule=REFERENCE)).values
        axes.plot(np.full(len(seeds), x + 0.15), seeds, "o", color=colour, markersize=3, alpha=0.5, markeredgewidth=0)
        mean, low, high = ratio(loss, rule, REFERENCE)
        axes.errorbar(x - 0.1, mean, [[mean - low], [high - mean]], fmt="s", color=colour, markersize=5, capsize=3)
    axes.set_xticks(range(len(others)), [rule.replace(" ", "\n") for rule in others])
    axes.set(xlim=(-0.6, len(others) - 0.4), yscale="log", ylabel="ratio of losses")
    axes.set_title(f"At the end: loss over\nthat of “{REFERENCE}”", pad=14)
    plain_numbers(axes)


@figures.styled
def draw(run: xr.DataTree, p: Parameters) -> "Figure":
    """Spikes, loss over learning, ratios at the end."""
    figure, (spikes, curves, gaps) = figures.panels(7.2, 2.7, 3, (1, 1.15, 1))
    draw_spikes(spikes, run, p)
    draw_over_learning(curves, run)
    draw_ratios(gaps, run)
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    run = load(p)
    report(run)
    scripting.save(draw(run, p), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
