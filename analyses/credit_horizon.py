"""How far back does each rule assign credit?  The longest trial that its networks have solved.

Reads a run of models/copy_repeat.py (a trial is solved when its batch's loss falls below the threshold of the
curriculum), or one of models/target_reaching.py swept over n_steps (solved are trials whose test loss at the end is a
small part of that of the newborn circuit, with all shorter ones solved, too).  Draws a figure (PNG and SVG) and prints
a table of means with 95 % intervals over seeds, and the differences of all pairs of rules, paired by seed.  No network
is seen to solve a longer trial than the run has.  What has not come to its end has no horizon, instead of one of 0.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import finished, selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMMANDS = "python models/copy_repeat.py, or python models/target_reaching.py --plastic --sweep n_steps=10,20,40"


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/copy_repeat", "run to read")
    select: tuple[str, ...] = field((), "values of other parameters of a sweep, such as kappa=1")
    solved: float = field(0.05, "part of the loss at birth below which target reaching is solved", above=0, high=1)
    output: str = field("data/figures/credit_horizon", "figure, without suffix; an older one there is replaced")


def solved_so_far(difficulty: xr.DataArray, loss: xr.DataArray, threshold: xr.DataArray | float) -> xr.DataArray:
    """Steps of the longest trial solved until each update, its loss (nat) below the threshold (bit); 0: none.

    Steps up of the curriculum would leave out the longest trials, from which there is none.
    """
    passed = difficulty.where(loss < threshold * math.log(2), 0)
    return passed.reduce(np.maximum.accumulate, "update").assign_attrs(difficulty.attrs)


def longest_solved(loss: xr.DataArray, part: float) -> xr.DataArray:
    """Largest n_steps at which the last loss is below a part of the first one, as at all smaller n_steps; 0: none.

    NaN where a loss is not known.
    """
    first, last = (loss.isel(update=at, drop=True) for at in (0, -1))
    all_shorter = (last < part * first).sortby("n_steps").astype(int).cumprod("n_steps") > 0
    return (all_shorter * all_shorter.n_steps).max("n_steps").where(last.notnull().all("n_steps"))


def horizons(run: xr.DataTree, part: float) -> tuple[xr.DataArray, xr.DataArray | None]:
    """Horizon by rule and seed, and its course over updates where the run has a curriculum.

    Raises
    ------
    ValueError
        If the run has trials of one length, or nothing of it has come to its end.
    """
    if "training" in run and "difficulty" in run["training"]:
        training, threshold = run["training"], run["parameters"]["task.threshold"]
        solved = solved_so_far(training["difficulty"], training["loss"], threshold)
        course = selection.by_rule(_known(finished(solved, run)), run)
        return course.isel(update=-1, drop=True), course
    loss = run["evaluation"]["loss"].sel(split="test", drop=True)
    if "n_steps" not in loss.dims:
        why = "a horizon is told from trials of several lengths"
        raise refusal("run", loss.dims, "a run with a curriculum, or swept over n_steps", why, COMMANDS)
    return selection.by_rule(_known(longest_solved(finished(loss, run), part)), run), None


def _known(values: xr.DataArray) -> xr.DataArray:
    """Values, some of which are there."""
    if not values.notnull().any():
        why = "what was stopped or has failed has no result yet"
        raise refusal("run", "no point at its end", "a run with points that are", why, f"{COMMANDS}, with --resume")
    return values


def report(horizon: xr.DataArray) -> None:
    """Print a Markdown table: each rule, and each against every other one."""
    rules = [str(rule) for rule in horizon.rule.values]
    print(f"| rule | longest trial solved (steps), 95 % interval ({horizon.sizes['seed']} seeds) | of single seeds |")
    print("|---|---|---|")
    for rule in rules:
        values = horizon.sel(rule=rule).values
        seeds = ", ".join(f"{value:.0f}" for value in sorted(values[np.isfinite(values)]))
        print(f"| {rule} | {scripting.summary95(values, '.1f')} | {seeds or '–'} |")
    for number, one in enumerate(rules):
        for other in rules[:number]:
            paired = (horizon.sel(rule=one) - horizon.sel(rule=other)).values
            print(f"{one} − {other}, steps, 95 % interval: {scripting.summary95(paired, '+.1f')}")


def draw_horizons(axes: "Axes", horizon: xr.DataArray) -> None:
    """One dot a seed, and the mean with its 95 % interval."""
    for place, rule in enumerate(horizon.rule.values):
        values, colour = horizon.sel(rule=rule).values, figures.look(str(rule))["color"]
        mean, low, high = scripting.finite95(values)
        spread = place + 0.12 + 0.05 * np.arange(len(values))
        axes.plot(spread, values, "o", color=colour, markersize=3, alpha=0.5, markeredgewidth=0)
        axes.errorbar(place - 0.1, mean, [[mean - low], [high - mean]], fmt="s", color=colour, markersize=5, capsize=3)
    axes.set_xticks(range(horizon.sizes["rule"]), horizon.rule.values, rotation=30, ha="right")
    axes.set(ylabel="longest trial solved (steps)", xlim=(-0.6, horizon.sizes["rule"] - 0.2))
    axes.set_ylim(bottom=0)


@figures.styled
def draw(horizon: xr.DataArray, course: xr.DataArray | None) -> "Figure":
    """Horizons at the end; before them how they grew, where that is known."""
    figure, panels = figures.panels(3.4 if course is None else 6.6, 2.7, 1 if course is None else 2)
    if course is not None:
        for rule in course.rule.values:
            figures.line_with_spread(panels[0], course.sel(rule=rule), "update", str(rule))
        panels[0].set(xlabel="update", ylabel="longest trial solved (steps)", title="Mean ± SD over seeds")
        panels[0].margins(x=0)
        panels[0].set_ylim(bottom=0)
        panels[0].legend(loc="upper left")
    draw_horizons(panels[-1], horizon)
    panels[-1].set_title("At the end: seeds, mean, 95 % interval")
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    run = selection.selected(nb.open_run(p.run), p.select)
    horizon, course = horizons(run, p.solved)
    if horizon.sizes["seed"] < 2:
        raise refusal(
            "run", f"{p.run} with one seed", "at least two", "intervals are over seeds", f"{COMMANDS} --seeds 5"
        )
    report(horizon)
    scripting.save(draw(horizon, course), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
