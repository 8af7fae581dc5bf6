"""What the predictor's trace forgets: bias and variance of its updates, and what the circuit learns in the end.

Reads a run of models/predictor_traces.py (by form, or by form and λ or TD error), draws a figure (PNG and SVG) and
prints a table.  Bias and variance are those of the predictor's update on the probe batch against the update towards the
true future gradient, mean over the evaluations after the first; loss is that on test trials after the last update.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

import neuro_bpl as nb
from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = {"update_alignment": 2, "update_bias": 2, "update_variance": 1, "gradient_alignment": 2, "loss": 4}
WORDS = {
    "update_alignment": "cosine of update with exact",
    "update_bias": "squared bias of update",
    "update_variance": "variance of update",
    "gradient_alignment": "cosine of ĝ with G",
    "loss": "final test loss",
}
DRAWN = ("update_bias", "update_variance", "loss")


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/predictor_traces/target_reaching", "run to read")
    select: tuple[str, ...] = field((), "values of other parameters of a sweep, such as lambda_=1")
    output: str = field("data/figures/bias_and_variance", "figure, without suffix; an older one there is replaced")


def measures(run: xr.DataTree) -> xr.Dataset:
    """Every measure with a value for each seed."""
    if "gradients" not in run or "update_bias" not in run["gradients"]:
        why = "bias and variance are recorded while the model runs"
        raise refusal("run", "no update_bias", 'record=["update_bias", …]', why, "python models/predictor_traces.py")
    while_learning = run["gradients"].to_dataset().isel(update=slice(1, None)).mean("update")
    found = {name: while_learning[name] for name in list(MEASURES)[:3]}
    found["gradient_alignment"] = while_learning["gradient_alignment"].mean("time")
    found["loss"] = run["evaluation"]["loss"].sel(split="test", drop=True).isel(update=-1, drop=True)
    everything = xr.Dataset({name: values.drop_vars("update", errors="ignore") for name, values in found.items()})
    return everything if "rule" in everything.dims else everything.expand_dims(rule=[run.attrs["rule"]])


def other_dim(found: xr.Dataset) -> str | None:
    """The parameter that varies beside the form of the trace."""
    others = [str(dim) for dim in found["loss"].dims if dim not in ("rule", "seed")]
    if len(others) > 1:
        why = "a figure shows forms, and one parameter beside them"
        raise refusal("run", others, "one parameter beside the form", why, f"--select {others[0]}=…")
    return others[0] if others else None


def report(found: xr.Dataset) -> None:
    """Print all measures as a Markdown table, mean ± SD over seeds."""
    print(f"| form | {' | '.join(WORDS.values())} |\n|---" + "|---" * len(WORDS) + "|")
    dims = [str(dim) for dim in found["loss"].dims if dim != "seed"]
    for at in itertools.product(*(found[dim].values.tolist() for dim in dims)):
        one = found.sel(dict(zip(dims, at, strict=True)))
        name = ", ".join(str(v) if dim == "rule" else f"{dim} {v}" for dim, v in zip(dims, at, strict=True))
        cells = [scripting.mean_and_spread(one[measure].values, digits) for measure, digits in MEASURES.items()]
        print(f"| {name} | {' | '.join(cells)} |")


def by_parameter(axes: "Axes", values: xr.DataArray, dim: str) -> None:
    """One line with a band of ± 1 SD for each form."""
    for form in values.rule.values.tolist():
        figures.line_with_spread(axes, values.sel(rule=form).dropna(dim, how="all"), dim, form)
    axes.set_xlabel({"lambda_": "λ", "td_error": "TD error"}.get(dim, dim))


def by_form(axes: "Axes", values: xr.DataArray) -> None:
    """Seeds as dots, their mean as a bar."""
    for place, form in enumerate(values.rule.values.tolist()):
        one, colour = values.sel(rule=form).values.ravel(), figures.look(form)["color"]
        axes.plot([place] * len(one), one, "o", color=colour, markersize=3, alpha=0.6, markeredgewidth=0)
        axes.hlines(one.mean(), place - 0.35, place + 0.35, color=colour, linewidth=1.5)
    axes.set_xticks(range(values.sizes["rule"]), values.rule.values.tolist(), rotation=60, ha="right")


@figures.styled
def draw(found: xr.Dataset, title: str) -> "Figure":
    """Bias, variance and final loss: by form, or by form and one parameter."""
    figure, panels = figures.panels(8.6, 2.9, 3)
    dim = other_dim(found)
    for axes, name in zip(panels, DRAWN, strict=True):
        values = found[name].dropna("rule", how="all")
        if dim is None:
            by_form(axes, values)
        else:
            by_parameter(axes, values, dim)
        if name == "update_variance":
            axes.set_yscale("log")
        if name == "update_bias":  # an estimate of nothing may fall below zero
            axes.set_yscale("symlog", linthresh=1e-2, linscale=0.5)
            axes.set_ylim(bottom=min(-2e-3, float(values.min())))
        axes.set_ylabel(WORDS[name])
    panels[0].set_title(title)
    if dim is not None:
        figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside right center")
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    run = selection.selected(nb.open_run(p.run), p.select)
    found = measures(run)
    report(found)
    scripting.save(draw(found, Path(p.run).name.replace("_", " ")), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
