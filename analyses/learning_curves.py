"""Does a rule learn as well as BPTT?  Held-out accuracy over learning, and the paired difference from BPTT at the end.

Reads a run with a `rule` dimension, writes a figure (PNG and SVG) and prints a table.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REFERENCE = "BPTT"


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/sequential_digits", "run to read")
    output: str = field("data/figures/learning_curves", "figure, without suffix; an older one there is replaced")


def final_differences(accuracy: xr.DataArray, reference: str) -> xr.Dataset:
    """Accuracy at the last evaluation minus the reference's with the same seed, in points: mean, 95 % interval."""
    final = 100 * accuracy.isel(update=-1)
    paired = final - final.sel(rule=reference, drop=True)
    others = [rule for rule in final.rule.values if rule != reference]
    rows = np.array([scripting.interval95(paired.sel(rule=rule).values) for rule in others])
    attrs = {"units": "percentage points", "long_name": f"test accuracy minus that of {reference}"}
    return xr.Dataset(
        {name: ("rule", rows[:, i], attrs) for i, name in enumerate(("mean", "low", "high"))}, coords={"rule": others}
    )


@figures.styled
def draw(accuracy: xr.DataArray) -> "Figure":
    """Learning curves on the left, paired differences on the right."""
    figure, (curves, gaps) = figures.panels(6.6, 2.5, 2)
    for rule in accuracy.rule.values:
        figures.line_with_spread(curves, 100 * accuracy.sel(rule=rule), "update", str(rule))
    curves.set(xlabel="update", ylabel="test accuracy (%)", title="Over learning: mean ± SD over seeds", ylim=(0, 100))
    curves.margins(x=0)
    curves.legend(loc="lower right")
    draw_differences(gaps, accuracy)
    return figure


def draw_differences(axes: "Axes", accuracy: xr.DataArray) -> None:
    """One dot a seed, mean and 95 % interval."""
    from matplotlib import ticker

    final, differences = 100 * accuracy.isel(update=-1), final_differences(accuracy, REFERENCE)
    axes.axhline(0, color="0.6", linewidth=0.8)
    for x, rule in enumerate(differences.rule.values):
        row, colour = differences.sel(rule=rule), figures.look(str(rule))["color"]
        seeds = (final.sel(rule=rule) - final.sel(rule=REFERENCE)).values
        axes.plot(np.full(len(seeds), x + 0.15), seeds, "o", color=colour, markersize=3, alpha=0.4, markeredgewidth=0)
        error = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        axes.errorbar(x - 0.1, row["mean"], error, fmt="s", color=colour, markersize=5, capsize=3)
    axes.set_xticks(range(differences.sizes["rule"]), differences.rule.values)
    axes.set(xlim=(-0.6, differences.sizes["rule"] - 0.4), ylabel="difference (percentage points)")
    axes.set_title(f"At the end: paired differences from {REFERENCE}")
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5))


def report(accuracy: xr.DataArray) -> None:
    """Print the differences of every pair of rules."""
    final = 100 * accuracy.isel(update=-1)
    for rule in accuracy.rule.values:
        mean, low, high = scripting.interval95(final.sel(rule=rule).values)
        print(f"{rule}: test accuracy {mean:.1f} %, 95 % interval [{low:.1f}, {high:.1f}]")
    for number, reference in enumerate(accuracy.rule.values):
        differences = final_differences(accuracy, str(reference))
        for rule in accuracy.rule.values[:number]:
            mean, low, high = (differences.sel(rule=rule)[name].item() for name in ("mean", "low", "high"))
            print(f"{rule} − {reference}: {mean:+.1f} points, 95 % interval [{low:+.1f}, {high:+.1f}]")


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    accuracy = nb.open_run(p.run)["evaluation"]["accuracy"].sel(split="test")
    if "rule" not in accuracy.dims or REFERENCE not in accuracy.rule.values or accuracy.sizes["seed"] < 2:
        raise refusal(
            "run",
            p.run,
            f"a run with a rule dimension that holds {REFERENCE}, and at least two seeds",
            "differences are paired by seed",
            f"python models/sequential_digits.py --rule bp_lambda,bptt --seeds 5 --output {p.run}",
        )
    report(accuracy)
    scripting.save(draw(accuracy), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
