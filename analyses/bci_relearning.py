"""Does a cortex relearn a permuted brain–computer interface as a monkey does: with the patterns it already has?

Reads the runs and mappings of models/bci_relearning.py and the session of Golub et al. 2018.  Rules are compared where
they have regained as much of the lost progress as the monkey had, so that one that learns farther is not called
different for that.  Progress, repertoire change, movement-specific change, the change of variance along both mappings
and the share of variance outside the manifold.  Patterns of a model before learning are those of one half of its
trials, and later ones those of the other half, which does not share their noise; what the halves differ by without
learning is taken away.  For the monkey, the same is shown for the two halves of its steps before learning.  Prints a
Markdown table, and draws a figure (PNG and SVG).  Intervals (95 %) of the models are over seeds; those of the monkey
over time steps of one session, so that nothing is said about other monkeys or sessions.
"""

from dataclasses import dataclass
from pathlib import Path
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

COMMAND, RECORDING = "python models/bci_relearning.py", "golub2018"
MONKEY, IDLE = "monkey, learnt", "monkey, halves before learning"
MEASURES = {
    "perturbed": "progress, permuted map (part of intuitive before)",
    "intuitive": "progress, intuitive map (part of intuitive before)",
    "overall": "repertoire change",
    "specific": "movement-specific change",
    "variance_intuitive": "variance along the intuitive map, change",
    "variance_perturbed": "variance along the permuted map, change",
    "outside": "share of variance outside the manifold, change",
}


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/bci_relearning", "folder of the runs and mappings to read")
    recording: str = field("", "file of the monkey's session (empty: that of the folder of recordings)")
    download: bool = field(False, "fetch the public session where that folder lacks it")
    n_permutations: int = field(200, "permutations for the monkey's chance level", low=1)
    output: str = field("data/figures/bci_relearning", "figure, without suffix; an older one there is replaced")


def monkey(
    session: xr.DataTree, n_permutations: int
) -> tuple[xr.Dataset, dict[str, neural.measures.repertoire.Interval], tuple]:
    """Measures of the session before and after, intervals of some, and chance level and p of the repertoire change."""
    trials, decoders = session["trials"].to_dataset(), session["decoders"].to_dataset()
    before = (trials["phase"] == "before").values
    z, angle = session["activity/factors"].isel(time=0).values, trials["angle"].values
    counts = session["activity/spike_counts"]
    progress = neural.measures.cursor.session_progress(session).transpose("mapping", "trial").values
    old, new = (_by_angle(progress[:, chosen], angle[chosen]) for chosen in (before, ~before))
    both, angles = (z[before], z[~before]), (angle[before], angle[~before])
    intervals = {
        name: neural.measures.repertoire.mean_change(values, angles[1])
        for name, values in _changes(both, angles).items()
    }
    measured = _measured(both, angles, (counts[before], counts[~before]), decoders)
    values = {**measured, "perturbed": new[1] / old[0], "intuitive": new[0] / old[0], "start": old[1] / old[0]}
    chance = neural.measures.repertoire.chance_of_change(*both, draws=n_permutations)
    return xr.Dataset(values), intervals, chance


def without_learning(session: xr.DataTree) -> dict[str, neural.measures.repertoire.Interval]:
    """Changes from the first to the second half of each angle's steps before learning, in the order of the file."""
    before = session["trials"]["phase"].values == "before"
    z, angle = session["activity/factors"].isel(time=0).values[before], session["trials"]["angle"].values[before]
    place = np.empty(len(angle))
    for one in np.unique(angle):
        place[angle == one] = np.arange((angle == one).sum()) / (angle == one).sum()
    first, second = place < 0.5, place >= 0.5
    found = _changes((z[first], z[second]), (angle[first], angle[second]))
    return {name: neural.measures.repertoire.mean_change(values, angle[second]) for name, values in found.items()}


def _changes(patterns: tuple, angles: tuple) -> dict[str, np.ndarray]:
    """Change of every later pattern, relative to all earlier ones and to those of the same movement."""
    return {
        "overall": neural.measures.repertoire.repertoire_change(*patterns),
        "specific": neural.measures.repertoire.movement_specific_change(patterns[0], angles[0], patterns[1], angles[1]),
    }


def simulated(rates: xr.DataArray, angles: np.ndarray, decoders: xr.Dataset) -> xr.Dataset:
    """Measures of one network at every snapshot: rates (snapshot, trial, time, unit)."""
    even = np.arange(rates.sizes["trial"]) // len(np.unique(angles)) % 2 == 0
    z = neural.measures.cursor.factors(rates, decoders.isel(mapping=0)).transpose("snapshot", "trial", "time", "factor")
    theta = np.deg2rad(angles)
    direction = xr.DataArray([np.cos(theta), np.sin(theta)], {"velocity": ["x", "y"]}, ("velocity", "trial"))
    progress = neural.measures.cursor.progress(neural.measures.cursor.velocity(rates, decoders), direction).mean(
        ("trial", "time")
    )
    part = progress / progress.isel(snapshot=0, drop=True).sel(mapping="intuitive", drop=True)
    found = [_at_snapshot(z, rates, angles, even, decoders, at) for at in range(rates.sizes["snapshot"])]
    changes = xr.concat(found, rates["snapshot"])
    changes = changes - changes.isel(snapshot=0, drop=True)
    return changes.assign({name: part.sel(mapping=name, drop=True) for name in ("perturbed", "intuitive")})


def _at_snapshot(
    z: xr.DataArray, rates: xr.DataArray, angles: np.ndarray, even: np.ndarray, decoders: xr.Dataset, at: int
) -> xr.Dataset:
    """Change from the first snapshot to another: reference patterns from even trials, tested ones from odd trials."""
    steps = z.sizes["time"]
    both = tuple(z[n, chosen].values.reshape(-1, z.sizes["factor"]) for n, chosen in ((0, even), (at, ~even)))
    labels = tuple(np.repeat(angles[chosen], steps) for chosen in (even, ~even))
    return xr.Dataset(_measured(both, labels, (rates[0, even], rates[at, ~even]), decoders))


def _measured(patterns: tuple, angles: tuple, activity: tuple, decoders: xr.Dataset) -> dict[str, float]:
    """Repertoire, variance and manifold measures of patterns and activity before and after."""
    shares = [neural.measures.manifold.residual_share(part, decoders.isel(mapping=0)) for part in activity]
    variances = {
        f"variance_{name}": neural.measures.repertoire.variance_change(*patterns, _pushing(decoders, name))
        for name in _mappings(decoders)
    }
    means = {
        name: float(np.mean([part.mean() for part in neural.measures.repertoire.by_angle(values, angles[1])]))
        for name, values in _changes(patterns, angles).items()
    }
    return {**means, "outside": shares[1] - shares[0], **variances}


def _mappings(decoders: xr.Dataset) -> list[str]:
    return [str(name) for name in decoders["mapping"].values]


def _pushing(decoders: xr.Dataset, name: str) -> np.ndarray:
    return neural.measures.cursor.pushing_directions(decoders.sel(mapping=name)).transpose("velocity", "factor").values


def _by_angle(progress: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Mean over angles of the mean of each: (mapping,)."""
    return np.mean([progress[:, angle == one].mean(1) for one in np.unique(angle)], axis=0)


def models(folder: Path) -> xr.Dataset:
    """Measures by rule, seed and snapshot."""
    run, decoders = nb.open_run(folder / "perturbed"), xr.load_dataset(folder / "decoders.nc", engine="h5netcdf")
    rates = run["activity"]["rates"] if "activity" in run else xr.DataArray()
    if set(rates.dims) != {"rule", "seed", "snapshot", "trial", "time", "unit"}:
        why = "rules are compared, each with its seeds"
        raise refusal("run", rates.dims, "a run of rules that is no other sweep", why, f"{COMMAND} --rule bptt,rflo")
    onset, n_angles = (int(run["parameters"][f"task.{name}"]) for name in ("onset", "n_angles"))
    rates = rates.isel(time=slice(onset, None)).drop_vars("trial")
    angles = np.tile(360 * np.arange(n_angles) / n_angles, rates.sizes["trial"] // n_angles)

    def one(rule: str, seed: int) -> xr.Dataset:
        return simulated(rates.sel(rule=rule, seed=seed, drop=True), angles, decoders.sel(seed=seed, drop=True))

    by_rule = [xr.concat([one(rule, s) for s in rates.seed.values], rates.seed) for rule in rates.rule.values]
    return xr.concat(by_rule, rates.rule)


def regained(measures: xr.Dataset) -> xr.DataArray:
    """Part of the progress lost to the permutation that is regained: (P − P₀) / (1 − P₀), of intuitive progress 1."""
    start = measures["perturbed"].isel(snapshot=0, drop=True)
    return (measures["perturbed"] - start) / (1 - start)


def matched(measures: xr.Dataset, level: float) -> xr.Dataset:
    """Measures where the regained part first reaches a level, between snapshots by line; NaN where it never does."""
    course = regained(measures)

    def one(values: np.ndarray, along: np.ndarray) -> float:
        above = np.flatnonzero(along >= level)
        if not len(above) or above[0] == 0:
            return float("nan")
        at = above[0]
        share = (level - along[at - 1]) / (along[at] - along[at - 1])
        return float(values[at - 1] + share * (values[at] - values[at - 1]))

    return xr.apply_ufunc(one, measures, course, input_core_dims=[["snapshot"], ["snapshot"]], vectorize=True)


def report(
    found: xr.Dataset, recorded: xr.Dataset, intervals: dict, idle: dict, chance: tuple[float, float], level: float
) -> None:
    """Print the table of measures at matched recovery, and the seeds that come so far."""
    at = matched(found, level)
    rules, total = [str(rule) for rule in found.rule.values], found.sizes["seed"]
    reached = {rule: int(np.isfinite(at["perturbed"].sel(rule=rule)).sum()) for rule in rules}
    print(
        f"regained by the monkey: {level:.2f} of the lost progress; compared at that level (95 % intervals over seeds)"
    )
    print(f"| measure | monkey (1 session) | {' | '.join(rules)} |\n|---|---|{'---|' * len(rules)}")
    print(f"| seeds that come so far | – | {' | '.join(f'{reached[rule]} of {total}' for rule in rules)} |")
    for name, words in MEASURES.items():
        shown = intervals.get(name)
        own = f"{float(recorded[name]):+.3f}" + (f" [{shown.low:+.3f}, {shown.high:+.3f}]" if shown else "")
        cells = [scripting.summary95(at[name].sel(rule=rule).values, "+.3f") for rule in rules]
        print(f"| {words} | {own} | {' | '.join(cells)} |")
    start = scripting.summary95(found["perturbed"].isel(snapshot=0, rule=0).values, "+.3f")
    print(f"\nprogress before, permuted map: monkey {float(recorded['start']):.3f}, models {start}")
    for name, (value, low, high) in idle.items():
        print(f"monkey, halves before learning: {MEASURES[name]} {value:+.3f} [{low:+.3f}, {high:+.3f}]")
    print(f"repertoire change of the monkey: 95 % of label permutations below {chance[0]:+.3f}, p = {chance[1]:.3f}")
    for rule in rules:
        last = regained(found).isel(snapshot=-1).sel(rule=rule).values
        print(f"at the end, {rule}: regained {scripting.summary95(last, '+.3f')}")


def draw_course(axes: "Axes", found: xr.Dataset, recorded: xr.Dataset) -> None:
    """Progress under the permuted mapping by update."""
    for rule in found.rule.values:
        figures.line_with_spread(axes, found["perturbed"].sel(rule=rule), "snapshot", str(rule))
    axes.axhline(1, color="0.6", linewidth=0.8)
    axes.text(
        0.99, 0.985, "intuitive map, before", transform=axes.get_yaxis_transform(), ha="right", va="top", color="0.4"
    )
    for name, words in (("start", "monkey before"), ("perturbed", "monkey after")):
        axes.axhline(float(recorded[name]), color="k", linewidth=0.8, linestyle=":")
        axes.text(
            0.99,
            float(recorded[name]) - 0.01,
            words,
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="top",
            clip_on=True,
        )
    axes.set(xlabel="update", ylabel="progress, permuted map (of intuitive)", title="Relearning", ylim=(0, 1.02))
    axes.margins(x=0)


def draw_against_recovery(axes: "Axes", found: xr.Dataset, name: str, places: dict) -> None:
    """A change against the regained part, mean over seeds at each snapshot, with the monkey as points."""
    course = regained(found).mean("seed")
    for rule in found.rule.values:
        axes.plot(
            course.sel(rule=rule), found[name].mean("seed").sel(rule=rule), label=str(rule), **figures.look(str(rule))
        )
    for (words, filled), (place, (value, low, high)) in places.items():
        face = {"markerfacecolor": "k" if filled else "white", "label": words}
        errors = [[value - low], [high - value]]
        axes.errorbar(place, value, errors, fmt="o", color="k", markersize=5, capsize=3, zorder=5, **face)
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="part of lost progress regained", ylabel=MEASURES[name])


@figures.styled
def draw(found: xr.Dataset, recorded: xr.Dataset, intervals: dict, idle: dict, level: float) -> "Figure":
    """Relearning, and what becomes of the repertoire meanwhile."""
    figure, panels = figures.panels(7.4, 2.8, 3)
    draw_course(panels[0], found, recorded)
    for axes, name, title in (
        (panels[1], "overall", "All patterns"),
        (panels[2], "specific", "Patterns of one movement"),
    ):
        known = {(MONKEY, True): (level, intervals[name]), (IDLE, False): (0.0, idle[name])}
        draw_against_recovery(axes, found, name, known)
        axes.set_title(title)
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def session_file(download: bool) -> Path:
    """The session in the folder of recordings; fetched where that is asked for."""
    return (neural.fetch(RECORDING) if download else neural.sessions.fetching.paths(RECORDING))[0]


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    session = neural.read_golub(p.recording or session_file(p.download))
    recorded, intervals, chance = monkey(session, p.n_permutations)
    idle = without_learning(session)
    found = models(Path(p.run))
    if found.sizes["seed"] < 2:
        got = f"{p.run} with one seed"
        raise refusal("run", got, "at least two", "intervals are over seeds", f"{COMMAND} --seeds 8")
    level = float((recorded["perturbed"] - recorded["start"]) / (1 - recorded["start"]))
    report(found, recorded, intervals, idle, chance, level)
    scripting.save(draw(found, recorded, intervals, idle, level), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
