"""Does it matter for a predicted gradient how granule cells are wired: as measured, rewired at random, with few fibres?

Reads a run of models/granule_wiring.py.  Draws the cosine of ĝ with G and the dimension of granule cell activity (the
participation ratio of its covariance over cues and steps) by wiring, and prints a Markdown table with 95 % intervals
over seeds, of the fibres that two cells share, too, and the differences of every wiring from the measured one, paired
by seed: the cortex, its task and the number of synapses of each cell and fibre are the same for "measured" and
"rewired", and only who shares with whom differs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import figures, neural, scripting
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMMAND = "python models/granule_wiring.py --sweep wiring=measured,rewired,4"
MEASURED, REWIRED = "measured", "rewired"
NAMES = {"cosine": "cosine of ĝ with G", "dimension": "dimension of granule activity"}
SHARED = "fibres that two cells share"


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/granule_wiring", "run to read")
    output: str = field("data/figures/granule_fan_in", "figure, without suffix; an older one there is replaced")


def dimension(rates: xr.DataArray) -> xr.DataArray:
    """Participation ratio over trials and steps (Litwin-Kumar et al. 2017)."""
    samples = rates.stack(sample=("trial", "time"))
    return xr.apply_ufunc(neural.participation_ratio, samples, input_core_dims=[["sample", "granule"]], vectorize=True)


def shared(masks: xr.DataArray) -> xr.DataArray:
    """Fibres that two granule cells have in common, root mean square over pairs (`connectome.sharing`)."""
    sides = [dim for dim in masks.dims if dim not in ("wiring", "seed")]
    return xr.apply_ufunc(
        neural.datasets.nguyen2023.sharing, masks.astype(float), input_core_dims=[sides], vectorize=True
    )


def outcomes(run: xr.DataTree) -> xr.Dataset:
    """Cosine of ĝ with G and dimension at the end, and fibres shared, by wiring and seed."""
    cosine = run["gradients"]["gradient_alignment"] if "gradients" in run else xr.DataArray()
    if set(cosine.dims) != {"wiring", "seed", "update", "time"} or MEASURED not in cosine.wiring.values:
        why = "wirings are compared with the measured one"
        raise refusal("run", cosine.dims, "a run swept over wiring alone, with measured", why, COMMAND)
    if cosine.sizes["seed"] < 2:
        raise refusal("run", "one seed", "at least two", "intervals are over seeds", f"{COMMAND} --seeds 10")
    rates = run["activity"]["granule_rates"].isel(snapshot=-1, drop=True)
    found = {"cosine": cosine.isel(update=-1, drop=True).mean("time"), "dimension": dimension(rates)}
    return xr.Dataset({**found, "shared": shared(run["weights"]["cerebellum.mask"].isel(snapshot=-1, drop=True))})


def report(found: xr.Dataset) -> None:
    """Print the table, and the differences from the measured wiring."""
    heads = " | ".join(f"{name}, 95 % interval" for name in NAMES.values())
    print(f"| wiring | {SHARED} | {heads} | less the measured one ({found.sizes['seed']} seeds) |")
    print("|---|---|---|---|---|")
    for wiring in found.wiring.values:
        own = [scripting.summary95(found[name].sel(wiring=wiring).values) for name in ("shared", *NAMES)]
        gap = found.sel(wiring=wiring) - found.sel(wiring=MEASURED)
        apart = (
            "; ".join(scripting.summary95(gap[name].values, "+.3f") for name in NAMES) if wiring != MEASURED else "–"
        )
        print(f"| {wiring} | {' | '.join(own)} | {apart} |")


def draw_by_wiring(axes: "Axes", values: xr.DataArray) -> None:
    """A line a seed, for pairs, and the mean with its 95 % interval."""
    places = np.arange(values.sizes["wiring"])
    for seed in values.seed.values:
        axes.plot(places, values.sel(seed=seed), color="0.8", linewidth=0.5, zorder=1)
    for place, wiring in zip(places, values.wiring.values, strict=True):
        mean, low, high = scripting.interval95(values.sel(wiring=wiring).values)
        known = wiring in (MEASURED, REWIRED)
        colour, marker = ("#D55E00", "s") if known else ("#0072B2", "o")
        axes.errorbar(place, mean, [[mean - low], [high - mean]], fmt=marker, color=colour, markersize=5, capsize=3)
    axes.set_xticks(places, values.wiring.values, rotation=40, ha="right")
    axes.set(xlabel="wiring, or fibres a cell reads", xlim=(-0.5, len(places) - 0.5))
    axes.set_ylim(bottom=min(0, float(values.min())))


@figures.styled
def draw(found: xr.Dataset) -> "Figure":
    """Alignment and dimension by wiring."""
    figure, panels = figures.panels(6.6, 2.7, 2)
    for axes, (name, words) in zip(panels, NAMES.items(), strict=True):
        draw_by_wiring(axes, found[name].transpose("wiring", "seed"))
        axes.set(ylabel=words)
    panels[0].set_title("Seeds, mean, 95 % interval")
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    found = outcomes(nb.open_run(p.run))
    report(found)
    scripting.save(draw(found), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
