"""Figures as a journal prints them: one colour and one dash pattern a rule, PNG and SVG."""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
# For rules that are not listed: one of these by the letters of its name, the same in every figure.
_OTHERS: tuple[tuple[str, tuple], ...] = (
    ("#666666", (2, 2)),
    ("#8C510A", (5, 1, 1, 1)),
    ("#01665E", (3, 1)),
    ("#762A83", (1, 1, 4, 1)),
    ("#B2182B", (6, 1)),
    ("#4D4D00", (2, 1)),
    ("#2166AC", (4, 2)),
)


def look(rule: str) -> dict[str, Any]:
    """Return the colour and dash pattern of a rule's line."""
    other = _OTHERS[zlib.crc32(rule.encode()) % len(_OTHERS)]
    colour, dashes = next(((c, d) for pattern, c, d in _LOOKS if re.match(pattern, rule)), other)
    return {"color": colour, "dashes": dashes}


def line_with_spread(axes: Axes, values: xr.DataArray, along: str, rule: str) -> None:
    """Draw the mean over seeds with a band of ± 1 SD."""
    # Not `std`: where a single seed has a value there is no spread, and NumPy would warn.
    mean, n_seeds = values.mean("seed"), values.count("seed")
    spread = np.sqrt(((values - mean) ** 2).sum("seed") / np.maximum(n_seeds - 1, 1))
    style = look(rule)
    axes.plot(values[along], mean, label=rule, **style)
    axes.fill_between(values[along], mean - spread, mean + spread, color=style["color"], alpha=0.18, linewidth=0)


def map_over_learning(axes: Axes, values: xr.DataArray, limits: tuple[float, float], colours: str) -> QuadMesh:
    """Draw the mean over seeds as a colour map of steps of the trial by updates."""
    mean = values.mean("seed").transpose("update", "time")
    edges = [np.arange(mean.sizes["time"] + 1) + mean.time.values[0] - 0.5, np.arange(mean.sizes["update"] + 1) - 0.5]
    mesh = axes.pcolormesh(*edges, mean, vmin=limits[0], vmax=limits[1], cmap=colours, rasterized=True)
    shown = np.unique(np.linspace(0, mean.sizes["update"] - 1, 5).round().astype(int))
    axes.set_yticks(shown, [f"{int(mean.update.values[at])}" for at in shown])
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return mesh


def panels(
    width: float, height: float, columns: int = 1, ratios: Sequence[float] | None = None
) -> tuple[Figure, np.ndarray]:
    """Create a figure with panels side by side, sizes in inches; `ratios` are the relative widths."""
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
