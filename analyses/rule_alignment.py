"""Do learning rules point the same way?  Cosines between the gradients of all rules on the same trials and weights.

Reads a run with observers (models/rule_comparison.py --observe), writes a figure (PNG and SVG) and prints a table: for
each rule the cosine with BPTT's gradient, the relative error of one draw, squared bias and variance.
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
    from matplotlib.figure import Figure

MEASURES = {"cosine": 2, "relative_error": 2, "bias_squared": 2, "variance": 1}


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/rule_comparison/add_observed", "run with observers to read")
    leader: str = field("", "the rule that learns, where several runs are in one (empty: the only one)")
    output: str = field("data/figures/rule_alignment", "figure, without suffix; an older one there is replaced")


def matrix(comparison: xr.Dataset) -> xr.DataArray:
    """Cosine of every rule with every other one, mean over updates and seeds; rules without a gradient left out."""
    cosines = comparison["alignment"].mean(["update", "seed"])
    silent = [rule for rule in cosines.observed.values if not np.isfinite(cosines.sel(observed=rule)).any()]
    return cosines.drop_sel(observed=silent, with_rule=silent)


def table(comparison: xr.Dataset) -> xr.Dataset:
    """Measures against BPTT for all cortical weights: mean over updates, one number for each seed."""
    return comparison[list(MEASURES)].sel(weight_group="all", drop=True).mean("update")


@figures.styled
def draw(cosines: xr.DataArray, title: str) -> "Figure":
    """One cell for each pair of rules, with its cosine."""
    figure, (axes,) = figures.panels(6.6, 5.6)
    names, values = [str(rule) for rule in cosines.observed.values], cosines.values
    image = axes.imshow(values, vmin=-0.2, vmax=1, cmap="cividis")
    for row, column in np.ndindex(*values.shape):
        ink = "white" if values[row, column] < 0.5 else "black"
        shown = f"{round(float(values[row, column]), 2) + 0.0:.2f}"  # never −0.00
        axes.text(column, row, shown, ha="center", va="center", color=ink, fontsize=5.5)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    figure.colorbar(image, ax=axes, label="cosine, mean over updates and seeds", shrink=0.8)
    return figure


def report(measures: xr.Dataset) -> None:
    """Print the measures as a Markdown table, mean ± SD over seeds."""
    print("| rule | cosine with BPTT | relative error | squared bias | variance |\n|---|---|---|---|---|")
    for rule in measures.observed.values:
        one = measures.sel(observed=rule)
        cells = [scripting.mean_and_spread(one[name].values, digits) for name, digits in MEASURES.items()]
        print(f"| {rule} | {' | '.join(cells)} |")


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    run = nb.open_run(p.run)
    if "comparison" not in run:
        raise refusal(
            "run",
            p.run,
            "a run with observers",
            "rules are compared on the same trials and weights",
            "python models/rule_comparison.py --observe",
        )
    comparison = run["comparison"].to_dataset()
    leaders = [str(rule) for rule in comparison.rule.values] if "rule" in comparison.dims else [run.attrs["rule"]]
    leader = p.leader or leaders[0]
    if leader not in leaders or (len(leaders) > 1 and not p.leader):
        raise refusal("leader", p.leader, ", ".join(leaders), "one figure shows one run", f'--leader "{leaders[0]}"')
    comparison = comparison.sel(rule=leader, drop=True) if "rule" in comparison.dims else comparison
    report(table(comparison))
    title = f"Cosines between gradients while {leader} learns"
    scripting.save(draw(matrix(comparison), title), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
