"""Does the predicted gradient point along the true one?  Cosine of ĝₜ with Gₜ over the trial and over learning.

Reads a run that recorded `gradient_alignment`, writes a figure (PNG and SVG) and prints the mean cosine.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import neuro_bpl as nb
from neuro_bpl import cli, figures
from neuro_bpl.parameters import field, refusal


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/sequential_digits.zarr", "run to read")
    output: str = field("data/figures/gradient_alignment", "figure, without suffix; an older one there is replaced")


def over_learning(alignment: xr.DataArray) -> xr.DataArray:
    """Mean over the steps that have a future, t = 1..T − 1, of evaluations at which the predictor predicts."""
    return alignment.mean("time", skipna=True).dropna("update", how="all")


@figures.styled
def draw(alignment: xr.DataArray) -> Figure:
    """Over learning on the left; over the trial, early, midway and late, on the right."""
    figure, (learning, trial) = figures.panels(6.6, 2.8, 2)
    for rule in alignment.rule.values:
        figures.line_with_spread(learning, over_learning(alignment.sel(rule=rule)), "update", str(rule))
    learning.set(xlabel="update", ylabel="cosine of ĝ with G", title="Over learning: mean ± SD over seeds")
    moments = alignment.isel(update=slice(1, None), time=slice(None, -1))
    chosen = np.unique(np.linspace(0, moments.sizes["update"] - 1, 3).round().astype(int))
    rule = str(alignment.rule.values[0])
    for shade, at in zip((1.0, 0.6, 0.3), chosen, strict=False):
        values = moments.sel(rule=rule).isel(update=at)
        label = f"{rule} after {int(values.update)} updates"
        style = {"color": figures.look(rule)["color"], "alpha": shade, "markersize": 3, "linewidth": 1.2}
        trial.errorbar(values.time, values.mean("seed"), values.std("seed"), fmt="o-", label=label, capsize=2, **style)
    trial.set(xlabel="step of the trial t", title="Over the trial")
    for axes in (learning, trial):
        axes.axhline(0, color="0.6", linewidth=0.8)
    low, high = min(a.get_ylim()[0] for a in (learning, trial)), max(a.get_ylim()[1] for a in (learning, trial))
    for axes in (learning, trial):
        axes.set_ylim(max(low, -1), min(high, 1.05))
    learning.legend(loc="upper right")
    figure.legend(*trial.get_legend_handles_labels(), loc="outside lower right", ncols=3, fontsize=7)
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    run = nb.open_run(p.run)
    if "gradients" not in run or "gradient_alignment" not in run["gradients"]:
        raise refusal(
            "run",
            p.run,
            'a run that recorded "gradient_alignment"',
            "without a predictor there is no predicted gradient",
            f"python models/sequential_digits.py --rule bp_lambda --output {p.run}",
        )
    alignment = run["gradients"]["gradient_alignment"]
    alignment = alignment if "rule" in alignment.dims else alignment.expand_dims(rule=[run.attrs["rule"]])
    for rule in alignment.rule.values:
        curve = over_learning(alignment.sel(rule=rule)).mean("seed")
        first, last = curve.isel(update=0), curve.isel(update=-1)
        print(
            f"{rule}: mean cosine {float(first):.2f} after {int(first.update)} updates, "
            f"{float(last):.2f} after {int(last.update)}"
        )
    for path in figures.save(draw(alignment), p.output):
        print(f"figure: {path}")


if __name__ == "__main__":
    cli.main(Parameters, __doc__, analyse)
