"""Does the predicted gradient still point along the true one when the cortex learns, too, and does λ still help?

Reads a run of models/target_reaching.py --plastic with several rules of BP(λ), swept over n_steps or not.  The claim of
the paper is about a frozen cortex: alignment grows with λ.  Draws the cosine of ĝ with G over learning for the shortest
trials and, where there are several lengths, its mean over learning against T (PNG and SVG); prints the differences
between neighbouring λ, paired by seed, with 95 % intervals.  Cosines are means over the steps of a trial; the first
evaluation, where the predictor is silent, is left out, and so are trials so well learnt that G is zero.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMMAND = (
    "python models/target_reaching.py --plastic --rule bp_lambda:0,bp_lambda:0.5,bp_lambda:1 --sweep n_steps=10,20"
)


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/target_reaching_plastic", "run to read")
    select: tuple[str, ...] = field((), "values of other parameters of a sweep, such as kappa=1")
    output: str = field("data/figures/alignment_when_plastic", "figure, without suffix; an older one is replaced")


def cosines(run: xr.DataTree) -> xr.DataArray:
    """Cosine of ĝ with G by rule, n_steps, seed and update, mean over steps of the trial; rules of BP(λ) alone."""
    given = run["gradients"]["gradient_alignment"] if "gradients" in run else xr.DataArray()
    if set(given.dims) - {"n_steps"} != {"rule", "seed", "update", "time"}:
        why = "λ is compared at every length of trial, all else the same"
        raise refusal("run", given.dims, "a run of several rules, swept over n_steps or not", why, COMMAND)
    rules = [str(rule) for rule in given.rule.values if str(rule).startswith("BP(")]
    if len(rules) < 2 or given.sizes["seed"] < 2:
        got = f"{len(rules)} rules of BP(λ), {given.sizes['seed']} seeds"
        raise refusal("run", got, "two of each, at least", "differences are paired by seed", COMMAND)
    if "n_steps" not in given.dims:
        given = given.expand_dims(n_steps=[int(run["parameters"]["task.n_steps"])])
    return given.sel(rule=sorted(rules, key=decay)).isel(update=slice(1, None)).mean("time")


def decay(rule: str) -> float:
    """λ of "BP(0.5)"."""
    return float(rule.removeprefix("BP(").rstrip(")"))


def gains(values: xr.DataArray) -> xr.DataArray:
    """Each λ less the one below it, seed by seed, means over learning."""
    while_learning = values.mean("update")
    more, less = while_learning.isel(rule=slice(1, None)), while_learning.isel(rule=slice(None, -1))
    return more - less.assign_coords(rule=more.rule)


def report(values: xr.DataArray) -> None:
    """Print a Markdown table: mean cosine while learning, and the gain over the λ below with its 95 % interval."""
    gain = gains(values)
    print(f"| T | rule | cosine while learning, mean ± SD | more than the λ below ({values.sizes['seed']} seeds) |")
    print("|---|---|---|---|")
    for steps in values.n_steps.values:
        for rule in values.rule.values:
            own, above = values.sel(n_steps=steps, rule=rule).mean("update").values, "–"
            if rule in gain.rule.values:
                mean, low, high = scripting.interval95(gain.sel(n_steps=steps, rule=rule).values)
                above = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
            print(f"| {steps} | {rule} | {scripting.mean_and_spread(own, 2)} | {above} |")


def draw_over_learning(axes: "Axes", values: xr.DataArray) -> None:
    """Cosine by update, for the shortest trials."""
    shortest = values.isel(n_steps=int(np.argmin(values.n_steps.values)))
    for rule in values.rule.values:
        figures.line_with_spread(axes, shortest.sel(rule=rule), "update", str(rule))
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="update", ylabel="cosine of ĝ with G", title=f"T = {int(shortest.n_steps)}: mean ± SD over seeds")
    axes.margins(x=0)
    axes.legend(loc="best")


def draw_by_length(axes: "Axes", values: xr.DataArray) -> None:
    """Mean cosine while learning, by length of the trial."""
    for rule in values.rule.values:
        figures.line_with_spread(axes, values.sel(rule=rule).mean("update"), "n_steps", str(rule))
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="steps of a trial T", ylabel="cosine of ĝ with G", title="Mean over learning")


@figures.styled
def draw(values: xr.DataArray) -> "Figure":
    """Over learning, and by length of the trial where there are several."""
    several = values.sizes["n_steps"] > 1
    figure, panels = figures.panels(6.6 if several else 3.4, 2.6, 2 if several else 1)
    draw_over_learning(panels[0], values)
    if several:
        draw_by_length(panels[1], values)
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    values = cosines(selection.selected(nb.open_run(p.run), p.select))
    report(values)
    scripting.save(draw(values), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
