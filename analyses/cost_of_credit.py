"""What credit costs: time and memory of an update against units and steps, with the exponents that theory expects.

Reads the results of benchmarks/cost_of_credit.py, draws a figure (PNG and SVG), and prints a table of exponents: slopes
of log time and log memory over the larger half of the sizes, beside those of the leading term.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Leading powers of n and T for a linear predictor, n units, k fixed: docs/theory.md, table of forms.
EXPECTED = {
    "bptt": {"time": (2, 1), "memory": (1, 1)},
    "forward": {"time": (2, 1), "memory": (1, 1)},
    "full": {"time": (4, 1), "memory": (3, 0)},
    "history": {"time": (2, 2), "memory": (2, 1)},
    "low_rank": {"time": (2, 1), "memory": (2, 0)},
    **{form: {"time": (2, 1), "memory": (1, 0)} for form in ("projected", "pca", "learned")},
    "diagonal": {"time": (2, 1), "memory": (2, 0)},
    "leak": {"time": (2, 1), "memory": (2, 0)},
}
DIMS = {"n_units": "units n", "n_steps": "steps T"}


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/cost_of_credit.nc", "results to read")
    output: str = field("data/figures/cost_of_credit", "figure, without suffix; an older one there is replaced")


def exponent(values: xr.DataArray, dim: str) -> float:
    """Slope of the logarithm over the larger half of the sizes; NaN with fewer than two values."""
    known = values.dropna(dim)
    larger = known.isel({dim: slice(known.sizes[dim] // 2 - (known.sizes[dim] < 4), None)})
    if larger.sizes[dim] < 2:
        return float("nan")
    return float(np.polyfit(np.log(larger[dim].values), np.log(larger.values), 1)[0])


def exponents(found: xr.Dataset) -> list[str]:
    """A Markdown table: measured exponent, and that of the leading term in brackets."""
    columns = [(name, dim) for name in ("time", "memory") for dim in DIMS]
    heads = [f"{name} in {'n' if dim == 'n_units' else 'T'}" for name, dim in columns]
    lines = [f"| form | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for form in found.rule.values.tolist():
        cells = []
        for name, dim in columns:
            measured = exponent(found[f"{name}_by_{dim}"].sel(rule=form), dim)
            cells.append(f"{measured:.1f} ({EXPECTED[form][name][list(DIMS).index(dim)]})")
        lines.append(f"| {form} | {' | '.join(cells)} |")
    return lines


def panel(axes: "Axes", values: xr.DataArray, dim: str, factor: float, label: str) -> None:
    """One line for each form, on logarithmic axes."""
    for form in values.rule.values.tolist():
        one = values.sel(rule=form).dropna(dim)
        axes.loglog(one[dim], factor * one, marker="o", markersize=3, label=form, **figures.look(form))
    sizes = values[dim].values
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel(DIMS[dim])
    axes.set_ylabel(label)


@figures.styled
def draw(found: xr.Dataset) -> "Figure":
    """Time and memory, by units and by steps."""
    figure, panels = figures.panels(10.0, 2.9, 4)
    measures = [(name, dim) for name in ("time", "memory") for dim in DIMS]
    labels = {"time": (1e3, "time of an update (ms)"), "memory": (1.0, "memory (MB)")}
    for axes, (name, dim) in zip(panels, measures, strict=True):
        panel(axes, found[f"{name}_by_{dim}"], dim, *labels[name])
        fixed = f"T = {found.attrs['n_steps']}" if dim == "n_units" else f"n = {found.attrs['n_units']}"
        axes.set_title(fixed)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    if not Path(p.run).exists():
        why = "this analysis measures nothing itself"
        raise refusal("run", p.run, "results on disk", why, "python benchmarks/cost_of_credit.py")
    with xr.open_dataset(p.run, engine="h5netcdf") as stored:
        found = stored.load()
    if "time_by_n_steps" not in found:
        why = "the figure shows how costs grow"
        raise refusal("run", p.run, "results with both series", why, "python benchmarks/cost_of_credit.py")
    print("\n".join(exponents(found)))
    scripting.save(draw(found), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
