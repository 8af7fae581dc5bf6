"""Does alignment explain performance?  Final loss of every rule against the alignment of its gradient with BPTT's.

The question is decided by a test fixed beforehand: Spearman's ρ between the mean alignment of a rule while it learns
and its mean final loss, over all rules but BPTT and RTRL, which are exact by construction.  Alignment explains
performance on a task where ρ ≤ −0.5 with p < 0.05.  (Marschall, Cho & Savin 2020, JMLR 21:135, find that it does not.)

Reads the runs of models/rule_comparison.py, writes a figure (PNG and SVG) and prints a table, with what an update costs
where benchmarks/online_rules.py has measured it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy import stats

import neuro_bpl as nb
from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXACT = ("BPTT", "RTRL")
STRONG, SIGNIFICANT = -0.5, 0.05
WIDE = 100  # ratio of losses from which on the axis is logarithmic
SOLVED = 1e-6  # losses below are drawn here


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    runs: str = field("data/runs/rule_comparison", "folder with one run for each task")
    tasks: str = field("add,mimic,target_reaching,digits", "tasks, separated by commas")
    cost: str = field("data/runs/online_rules.nc", "measured cost of each rule; left out where there is none")
    output: str = field("data/figures/rule_performance", "figure, without suffix; an older one there is replaced")


def summary(run: xr.DataTree) -> xr.Dataset:
    """Final test loss, and the alignment while learning (mean over evaluations), of every rule and seed."""
    loss = run["evaluation"]["loss"].sel(split="test", drop=True).isel(update=-1, drop=True)
    aligned = run["gradients"]["weight_alignment"].mean("update")
    accuracy = run["evaluation"]["accuracy"].sel(split="test", drop=True).isel(update=-1, drop=True)
    return xr.Dataset({"loss": loss, "alignment": aligned, "accuracy": accuracy})


def rank_correlation(found: xr.Dataset) -> tuple[float, float, int]:
    """Spearman's ρ between mean alignment and mean final loss over inexact rules; its p, and the number of rules."""
    means = found.mean("seed")
    inexact = means.sel(rule=[rule for rule in means.rule.values if rule not in EXACT])
    usable = inexact.where(np.isfinite(inexact["alignment"]) & np.isfinite(inexact["loss"]), drop=True)
    result = stats.spearmanr(usable["alignment"], usable["loss"])
    return float(result.statistic), float(result.pvalue), usable.sizes["rule"]


@figures.styled
def draw(found: dict[str, xr.Dataset]) -> "Figure":
    """One panel for each task, one point for each rule."""
    figure, panels = figures.panels(1.9 * len(found) + 1.6, 2.9, len(found))
    for axes, (task, one) in zip(panels, found.items(), strict=True):
        draw_task(axes, task, one)
    panels[0].set_ylabel("final test loss")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=6.5)
    return figure


def draw_task(axes: "Axes", task: str, found: xr.Dataset) -> None:
    """Mean ± SD over seeds in both directions; a logarithmic axis where losses differ by orders of magnitude."""
    means = found["loss"].mean("seed")
    wide = float(means.max()) > WIDE * float(means.min())
    for number, rule in enumerate(found.rule.values):
        one = found.sel(rule=rule)
        one = one.assign(loss=one["loss"].clip(min=SOLVED)) if wide else one
        x = float(one["alignment"].mean()) if np.isfinite(one["alignment"]).any() else 0.0
        spread = [float(one[name].std(ddof=1)) for name in ("alignment", "loss")]
        marker = "os^vDP*X<>hdp8H"[number % 15]
        axes.errorbar(
            x,
            float(one["loss"].mean()),
            spread[1],
            spread[0],
            fmt=marker,
            label=str(rule),
            markersize=4.5,
            color=figures.look(str(rule))["color"],
            elinewidth=0.6,
            markeredgecolor="black",
            markeredgewidth=0.4,
        )
    rho, p, _ = rank_correlation(found)
    axes.set_title(f"{task.replace('_', ' ')}\nρ = {rho:.2f}, p = {p:.2g}")
    axes.set_xlabel("cosine with BPTT")
    if wide:
        axes.set(yscale="log", ylim=(SOLVED / 2, None))


def report(found: dict[str, xr.Dataset], cost: xr.Dataset | None) -> None:
    """Print losses, alignments and costs as a Markdown table, mean ± SD over seeds; then the test of the claim."""
    tasks = list(found)
    heads = [f"{task.replace('_', ' ')}: loss | cosine" for task in tasks]
    heads += [] if cost is None else ["time / BPTT | memory (MB)"]
    print(f"| rule | {' | '.join(heads)} |\n|{'---|' * (1 + 2 * len(heads))}")
    for rule in found[tasks[0]].rule.values:
        cells = [
            scripting.mean_and_spread(found[task][name].sel(rule=rule).values, digits)
            for task in tasks
            for name, digits in (("loss", 3), ("alignment", 2))
        ]
        if cost is not None:
            one = cost.sel(rule=rule) if rule in cost.rule.values else None
            cells += ["–", "–"] if one is None else [f"{float(one.relative_time):.2f}", f"{float(one.memory):.2f}"]
        print(f"| {rule} | {' | '.join(cells)} |")
    print()
    for task, one in found.items():
        rho, p, n = rank_correlation(one)
        verdict = "explains" if rho <= STRONG and p < SIGNIFICANT else "is not shown to explain"
        print(f"{task}: Spearman's ρ = {rho:.2f} (p = {p:.2g}, {n} rules): alignment {verdict} performance")


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    found = {}
    for task in p.tasks.split(","):
        run = nb.open_run(Path(p.runs) / task)
        if (
            "gradients" not in run
            or "rule" not in run["evaluation"]["loss"].dims
            or run["evaluation"].sizes["seed"] < 2
        ):
            raise refusal(
                "runs",
                f"{p.runs}/{task}",
                "a run with several rules, at least two seeds, and weight_alignment",
                "rules are compared by their spread over seeds",
                f"python models/rule_comparison.py --task {task}",
            )
        found[task] = summary(run)
    cost = xr.load_dataset(p.cost) if Path(p.cost).is_file() else None
    report(found, cost)
    scripting.save(draw(found), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
