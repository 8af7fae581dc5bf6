"""Does the predicted gradient point along the true one?  Cosine of ĝₜ with Gₜ over the trial and over learning.

Reads a run that recorded `gradient_alignment` for one rule, several, or several λ; writes a figure (PNG and SVG), and
prints the mean cosine at the end and the paired differences between rules.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import xarray as xr

from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "cividis"


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/target_reaching", "run to read")
    select: tuple[str, ...] = field((), "values of further parameters of a sweep: kappa=0.3")
    output: str = field("data/figures/gradient_alignment", "figure, without suffix; an older one there is replaced")


def over_learning(alignment: xr.DataArray) -> xr.DataArray:
    """Mean over the steps that have a future, t = 1..T − 1, of evaluations at which the predictor predicts."""
    return alignment.mean("time", skipna=True).dropna("update", how="all")


@figures.styled
def draw(alignment: xr.DataArray) -> "Figure":
    """Over learning on the left; by step of the trial and update, one map a rule, on the right."""
    rules = [str(rule) for rule in alignment.rule.values]
    figure, (learning, *maps) = figures.panels(2.6 + 1.6 * len(rules), 2.6, 1 + len(rules), [1.6, *[1] * len(rules)])
    for rule in rules:
        figures.line_with_spread(learning, over_learning(alignment.sel(rule=rule)), "update", rule)
    learning.axhline(0, color="0.6", linewidth=0.8)
    learning.set(xlabel="update", ylabel="cosine of ĝ with G", title="Mean ± SD over seeds")
    learning.legend(loc="best")
    known = alignment.isel(time=slice(None, -1)).dropna("update", how="all")
    mean = known.mean("seed")
    limits = (min(0.0, float(mean.min())), max(float(mean.max()), 0.1))
    for axes, rule in zip(maps, rules, strict=True):
        mesh = figures.map_over_learning(axes, known.sel(rule=rule), limits, COLOURS)
        axes.set(title=rule, xlabel="step of the trial t", ylabel="update" if axes is maps[0] else "")
    figure.colorbar(mesh, ax=maps, label="cosine of ĝ with G", shrink=0.9)
    return figure


def report(alignment: xr.DataArray) -> None:
    """Print the cosine of every rule after the last update, and paired differences between rules."""
    final = over_learning(alignment).isel(update=-1)
    for rule in final.rule.values:
        values = final.sel(rule=rule).values
        cosine = scripting.mean_and_spread(values, 2)
        print(f"{rule}: cosine {cosine} over {len(values)} seeds, {int(final.update)} updates")
    if final.sizes["seed"] > 1:
        for low, high in itertools.pairwise(final.rule.values):
            gap, start, end = scripting.interval95((final.sel(rule=high) - final.sel(rule=low)).values)
            print(f"{high} − {low}: {gap:+.2f}, 95 % interval [{start:+.2f}, {end:+.2f}], paired by seed")


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    why = "without a predictor there is no predicted gradient"
    command = f"python models/target_reaching.py --output {p.run}"
    alignment = scripting.recorded(p.run, "gradients", "gradient_alignment", why=why, command=command, select=p.select)
    report(alignment)
    scripting.save(draw(alignment), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
