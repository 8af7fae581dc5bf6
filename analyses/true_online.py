"""Does true online BP(λ) learn better than accumulating traces where the step size is large?

Reads a run of models/predictor_traces.py with the forms true_online and history, the cerebellum learning alone, swept
over its learning rate α; draws the cosine of ĝ with G against α, and the difference of the two forms seed by seed (PNG
and SVG); prints the differences with 95 % intervals.  Cosines are means over steps and evaluations, but for the first.
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

FORMS, ALPHA = ("true_online", "history"), "predictor_learning_rate"
COMMAND = (
    "python models/predictor_traces.py --task target_reaching --rule true_online,history --update step --frozen "
    f"--optimizer sgd --batch-size 1 --sweep {ALPHA}=0.03,0.1,0.3"
)


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/true_online/target_reaching", "run to read")
    select: tuple[str, ...] = field((), "values of other parameters of a sweep, such as lambda_=1")
    first_seed: int = field(0, "seeds before this one are left out", low=0)
    output: str = field("data/figures/true_online", "figure, without suffix; an older one there is replaced")


def cosines(run: xr.DataTree, first_seed: int) -> xr.DataArray:
    """Mean cosine of ĝ with G while learning, by form, α and seed."""
    given = run["gradients"]["gradient_alignment"] if "gradients" in run else xr.DataArray()
    if set(given.dims) != {"rule", ALPHA, "seed", "update", "time"} or set(FORMS) - set(given.rule.values.tolist()):
        why = "the two forms are compared at every α, all else the same"
        raise refusal("run", given.dims, f"a run of {' and '.join(FORMS)} swept over {ALPHA}", why, COMMAND)
    while_learning = given.isel(update=slice(1, None)).mean(["update", "time"])
    return while_learning.sel(seed=while_learning.seed >= first_seed)


def difference(values: xr.DataArray) -> xr.DataArray:
    """True online less accumulating, seed by seed."""
    true_online, accumulating = (values.sel(rule=form, drop=True) for form in FORMS)
    return true_online - accumulating


def report(values: xr.DataArray) -> None:
    """Print a Markdown table: means, and their difference with its 95 % interval over seeds."""
    n_seeds = values.sizes["seed"]
    print(f"| α | true online | accumulating | difference, 95 % interval ({n_seeds} seeds) |\n|---|---|---|---|")
    for alpha in values[ALPHA].values:
        one = values.sel({ALPHA: alpha})
        means = [f"{one.sel(rule=form).mean().item():.3f}" for form in FORMS]
        mean, low, high = scripting.interval95(difference(one).values)
        print(f"| {alpha:g} | {' | '.join(means)} | {mean:+.4f} ({low:+.4f} to {high:+.4f}) |")


def draw_difference(axes: "Axes", values: xr.DataArray) -> None:
    """Every seed as a dot, the mean with its interval."""
    gain = difference(values)
    alphas = gain[ALPHA].values
    axes.axhline(0, color="0.6", linewidth=0.8)
    for alpha in alphas:
        seeds = gain.sel({ALPHA: alpha}).values
        mean, low, high = scripting.interval95(seeds)
        axes.plot(np.full(len(seeds), alpha), seeds, "o", color="0.6", markersize=2.5, markeredgewidth=0)
        axes.errorbar(alpha, mean, [[mean - low], [high - mean]], fmt="o", color="black", markersize=4, capsize=2)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate of the cerebellum α")
    axes.set_ylabel("difference of the cosines")


@figures.styled
def draw(values: xr.DataArray) -> "Figure":
    """Cosines by α, and their differences."""
    figure, (left, right) = figures.panels(7.0, 2.7, 2)
    for form in FORMS:
        figures.line_with_spread(left, values.sel(rule=form), ALPHA, form)
    left.set_xscale("log")
    left.set_xlabel("learning rate of the cerebellum α")
    left.set_ylabel("cosine of ĝ with G")
    left.legend(left.get_lines(), ["true online", "accumulating"])
    draw_difference(right, values)
    right.set_title("true online less accumulating")
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    run = selection.selected(nb.open_run(p.run), p.select)
    values = cosines(run, p.first_seed)
    report(values)
    scripting.save(draw(values), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
