"""Where in the trial do TD errors arise, and do they move as the cerebellum learns?  ‖δₜ‖ by step and update.

Before learning nothing is predicted, and the error comes with the loss.  What is predicted is no error any more: with
learning the error shrinks and moves to earlier steps, as far as prediction reaches back.  Reads a run that recorded
`td_error_size`, writes a figure (PNG and SVG), and prints size and place of the error before and after learning.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "cividis"


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/target_reaching", "run to read")
    select: tuple[str, ...] = field((), "values of further parameters of a sweep: kappa=0.3")
    output: str = field("data/figures/td_errors", "figure, without suffix; an older one there is replaced")


def total(size: xr.DataArray) -> xr.DataArray:
    """√Σₜ ‖δₜ‖²: size of the error of a whole trial."""
    return np.sqrt((size**2).sum("time"))


def place(size: xr.DataArray) -> xr.DataArray:
    """Σₜ t ‖δₜ‖² / Σₜ ‖δₜ‖²: the step around which the error lies."""
    power = size**2
    return (power * power.time).sum("time") / power.sum("time")


@figures.styled
def draw(size: xr.DataArray) -> "Figure":
    """Size and place over learning; by step of the trial and update, one map a rule."""
    rules = [str(rule) for rule in size.rule.values]
    ratios = [1.4, 1.4, *[1] * len(rules)]
    figure, (sizes, places, *maps) = figures.panels(4.4 + 1.5 * len(rules), 2.6, 2 + len(rules), ratios)
    units = size.attrs["units"]
    for rule in rules:
        figures.line_with_spread(sizes, total(size.sel(rule=rule)), "update", rule)
        figures.line_with_spread(places, place(size.sel(rule=rule)), "update", rule)
    sizes.set(xlabel="update", ylabel=f"TD error of a trial\n({units})", title="Size: mean ± SD", ylim=(0, None))
    places.set(xlabel="update", ylabel="step of the trial t", title="Place: mean ± SD")
    sizes.legend(loc="best")
    share = size.isel(time=slice(None, -1)) / total(size)
    for axes, rule in zip(maps, rules, strict=True):
        mesh = figures.map_over_learning(axes, share.sel(rule=rule), (0, float(share.mean("seed").max())), COLOURS)
        axes.set(title=rule, xlabel="step of the trial t", ylabel="update" if axes is maps[0] else "")
    figure.colorbar(mesh, ax=maps, label="share of the TD error", shrink=0.9)
    return figure


def report(size: xr.DataArray) -> None:
    """Print size and place of the error before and after learning, and the paired shift."""
    for rule in size.rule.values:
        one = size.sel(rule=rule)
        for words, values, digits in (("size", total(one), 4), ("place (step)", place(one), 2)):
            first, last = values.isel(update=0).values, values.isel(update=-1).values
            before, after = (scripting.mean_and_spread(at, digits) for at in (first, last))
            line = f"{rule}: {words} {before} → {after}"
            if len(first) > 1:
                shift, low, high = scripting.interval95(last - first)
                line += f", paired change {shift:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
            print(line)


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    why, command = "only a predictor that learns has TD errors", f"python models/target_reaching.py --output {p.run}"
    size = scripting.recorded(p.run, "gradients", "td_error_size", why=why, command=command, select=p.select)
    report(size)
    scripting.save(draw(size), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
