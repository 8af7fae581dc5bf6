"""Figures as a journal prints them: one colour and one dash pattern a rule, PNG and SVG."""

import functools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from neuro_bpl.parameters import refusal

STYLE: dict[Any, Any] = {
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "neuro_bpl",
}

# Okabe & Ito's and Tol's muted colours (safe for colour-blind readers), with a dash pattern each.
_LOOKS: tuple[tuple[str, str, tuple], ...] = (
    (r"BPTT|bptt", "#000000", ()),
    (r"full", "#555555", (1, 1.5)),
    (r"history", "#0072B2", ()),
    (r"true_online", "#332288", (6, 1.5)),
    (r"forward", "#56B4E9", (4, 1, 1, 1)),
    (r"tbptt", "#999999", (3, 1.5, 1, 1.5)),
    (r"eprop", "#117733", (3, 1, 1, 1)),
    (r"diagonal", "#009E73", (5, 1)),
    (r"leak", "#E69F00", (3, 1.5)),
    (r"low_rank", "#CC79A7", (1, 1)),
    (r"projected", "#D55E00", (3, 1.5, 1, 1.5)),
    (r"pca", "#882255", (4, 1)),
    (r"learned", "#AA4499", (2, 1)),
    (r"BP\(1\)", "#0072B2", ()),
    (r"BP\(0\)", "#CC79A7", (1, 1)),
    (r"BP\(", "#009E73", (5, 1)),
    (r"TBPTT\(1\)", "#E69F00", (3, 1.5)),
    (r"TBPTT", "#D55E00", (3, 1.5, 1, 1.5)),
    (r"SG", "#56B4E9", (4, 1, 1, 1)),
    (r"RTRL", "#555555", (1, 1.5)),
    (r"SnAp", "#882255", (4, 1)),
    (r"UORO", "#AA4499", (2, 1)),
    (r"KF-RTRL", "#332288", (6, 1.5)),
    (r"e-prop", "#117733", (3, 1, 1, 1)),
    (r"RFLO \(learned\)", "#44AA99", (5, 2)),
    (r"RFLO", "#88CCEE", (1, 2)),
    (r"feedback alignment", "#DDCC77", (4, 2, 1, 2)),
    (r"node perturbation", "#CC6677", (2, 1, 1, 1)),
    (r"output only", "#999999", (6, 2)),
    (r"random gradient", "#CCCCCC", (1, 3)),
)
_OTHER = ("#666666", (2, 2))


def look(rule: str) -> dict[str, Any]:
    """Colour and dash pattern of a rule's line."""
    colour, dashes = next(((c, d) for pattern, c, d in _LOOKS if re.match(pattern, rule)), _OTHER)
    return {"color": colour, "dashes": dashes}


def line_with_spread(axes: Axes, values: xr.DataArray, along: str, rule: str) -> None:
    """Mean over seeds with a band of ± 1 SD."""
    mean, spread = (
        values.mean("seed"),
        values.std("seed", ddof=1) if values.sizes["seed"] > 1 else 0 * values.mean("seed"),
    )
    style = look(rule)
    axes.plot(values[along], mean, label=rule, **style)
    axes.fill_between(values[along], mean - spread, mean + spread, color=style["color"], alpha=0.18, linewidth=0)


def by_rule(values: xr.DataArray, run: xr.DataTree) -> xr.DataArray:
    """Values with a `rule` dim: that of the run, its λ as BP(λ), or its only rule.

    Raises
    ------
    ValueError
        If the run has further parameters as dims, which no figure of rules can show.
    """
    if "lambda_" in values.dims and "rule" not in values.dims:
        names = [f"BP({value:g})" for value in values.lambda_.values]
        values = values.rename(lambda_="rule").assign_coords(rule=names)
    elif "rule" not in values.dims:
        values = values.expand_dims(rule=[run.attrs["rule"]])
    others = [dim for dim in json.loads(run.attrs["sweep"]) if dim in values.dims and dim != "rule"]
    if others:
        first = {dim: values[dim].values[0].item() for dim in others}
        raise refusal(
            "run",
            f"a sweep over {', '.join(others)}",
            "a run that varies rules or lambda_ only",
            "the figure has one line for each rule",
            f"--select {' '.join(f'{dim}={value}' for dim, value in first.items())}",
        )
    return values


def selected(run: xr.DataTree, selection: Sequence[str]) -> xr.DataTree:
    """The points of a sweep at given values, each as "name=value" (`ValueError` where there is none)."""
    for text in selection:
        name, _, value = text.partition("=")
        grid = json.loads(run.attrs["sweep"])
        labels = {str(label): label for label in grid.get(name, [])}
        if value not in labels:
            allowed = ", ".join(f"{dim}={label}" for dim, axis in grid.items() for label in axis)
            raise refusal(
                "select", text, allowed or "nothing: the run is no sweep", "the run has no other points", allowed
            )
        run = _at(run, name, labels[value])
    return run


def _at(run: xr.DataTree, name: str, value: float | str) -> xr.DataTree:
    groups = {
        str(group): dataset.sel({name: value}, drop=True) if name in dataset.dims else dataset
        for group, dataset in ((group, node.to_dataset()) for group, node in run.children.items())
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {**run.attrs, **_said_of(run, name, value)}
    return tree


def _said_of(run: xr.DataTree, name: str, value: float | str) -> dict[str, str]:
    """What happened to the points that are left."""
    said = json.loads(run.attrs.get("points", "[]"))
    kept = [point for point in said if point["at"].get(name) == value]
    return {"points": json.dumps(kept)} if said else {}


def map_over_learning(axes: Axes, values: xr.DataArray, limits: tuple[float, float], colours: str) -> QuadMesh:
    """Values by step of the trial and update, mean over seeds; dark is low in print, too."""
    mean = values.mean("seed").transpose("update", "time")
    edges = [np.arange(mean.sizes["time"] + 1) + mean.time.values[0] - 0.5, np.arange(mean.sizes["update"] + 1) - 0.5]
    mesh = axes.pcolormesh(*edges, mean, vmin=limits[0], vmax=limits[1], cmap=colours, rasterized=True)
    shown = np.unique(np.linspace(0, mean.sizes["update"] - 1, 5).round().astype(int))
    axes.set_yticks(shown, [f"{int(mean.update.values[at])}" for at in shown])
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return mesh


def interval95(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval over seeds (Student's t)."""
    from scipy import stats

    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def finite95(values: np.ndarray) -> tuple[float, float, float]:
    """`interval95` of the seeds that have a finite value; NaN where fewer than two have one."""
    known = values[np.isfinite(values)]
    return interval95(known) if len(known) > 1 else (np.nan, np.nan, np.nan)


def summary95(values: np.ndarray, form: str = ".3f") -> str:
    """`finite95` in words: "mean [low, high]", with the number of seeds that have a value where some have none.

    Examples
    --------
    >>> summary95(np.array([1.0, 2.0, 3.0, np.nan]), ".1f"), summary95(np.array([np.nan, 2.0]), ".1f")
    ('2.0 [-0.5, 4.5] (3 of 4)', '2.0 (1 of 2)')
    >>> summary95(np.array([np.nan]))
    '–'
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return "–"
    mean, low, high = finite95(known)
    told = f"{mean:{form}} [{low:{form}}, {high:{form}}]" if len(known) > 1 else f"{known[0]:{form}}"
    return told + (f" ({len(known)} of {len(values)})" if len(known) < len(values) else "")


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a drawing function in the house style; titles and legends read it when they are made."""

    @functools.wraps(draw)
    def in_style(*arguments: Any, **options: Any) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return in_style


def panels(
    width: float, height: float, columns: int = 1, ratios: Sequence[float] | None = None
) -> tuple[Figure, np.ndarray]:
    """A figure with panels side by side, sizes in inches; `ratios` are the relative widths."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False, width_ratios=ratios)[0]


def save(figure: Figure, path: Path | str) -> list[Path]:
    """Write `path` as PNG and SVG; the suffix is added. Figures are replaced: they are drawn from runs."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(STYLE):
        for suffix in (".png", ".svg"):
            target = path.with_name(path.name + suffix)
            figure.savefig(target, metadata={"Date": None} if suffix == ".svg" else None)
            written.append(target)
    return written
