"""Figures as a journal prints them: one colour and one dash pattern a rule, PNG and SVG."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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

# Okabe & Ito's colours (safe for colour-blind readers), from dark to light in grey, with a dash pattern each.
_LOOKS: tuple[tuple[str, str, tuple], ...] = (
    (r"BPTT", "#000000", ()),
    (r"BP\(1\)", "#0072B2", ()),
    (r"BP\(0\)", "#CC79A7", (1, 1)),
    (r"BP\(", "#009E73", (5, 1)),
    (r"TBPTT\(1\)", "#E69F00", (3, 1.5)),
    (r"TBPTT", "#D55E00", (3, 1.5, 1, 1.5)),
    (r"SG", "#56B4E9", (4, 1, 1, 1)),
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


def interval95(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval over seeds (Student's t)."""
    from scipy import stats

    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a drawing function in the house style; titles and legends read it when they are made."""

    @functools.wraps(draw)
    def in_style(*arguments: Any, **options: Any) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return in_style


def panels(width: float, height: float, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """A figure with panels side by side, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


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
