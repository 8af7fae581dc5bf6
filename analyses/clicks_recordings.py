"""Rats that count clicks (Hanks et al. 2015): how choices follow the evidence, and when units tell the choice.

Reads the sessions of a folder, those of frontal (FOF) and of parietal (PPC) cortex.  For each region: area under the
ROC curve of choice by time from stimulus onset, rectified at ½ in each unit, mean over units with its 95 % interval
(bootstrap over units), beside the same of choices shuffled within sessions, since what is rectified lies above ½ by
chance, too.  Windows are counted in all trials; in those alone whose stimulus lasts until the window's end, since in
the others the rat is on its way; and in all, but only spikes until the stimulus ends.  Of each rat: psychometric curve,
parameters with their 95 % interval (bootstrap over trials).  Trials in a long run without a spike are left out: there
the recording had broken off.
Draws a figure (PNG and SVG) and prints Markdown tables.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy import stats

from neuro_bpl import figures, neural, scripting
from neuro_bpl.neural import datasets
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOWS = ((-0.3, 0.0), (0.0, 0.2), (0.2, 0.4))  # seconds from stimulus onset
LOOKS = {"FOF": ("#0072B2", "-", "o"), "PPC": ("#D55E00", "--", "s")}
SETS = ("all trials", "stimulus still on", "spikes until it ends")
DRAWN = SETS[:2]
DIGITS = {"bias": "+.2f", "sensitivity": ".3f", "lapse_left": ".2f", "lapse_right": ".2f"}
RATS = (
    "| rat | region | sessions | units | trials (not recorded) | bias (logit) | sensitivity (logit/click) "
    "| lapses left | lapses right |"
)
AREAS = "| region | window (s) | trials | choice AUC, 95 % interval | shuffled: mean, 95th percentile | p |"


@dataclass(frozen=True)
class Parameters:
    """What to read, how to bin it and where to draw."""

    folder: str = field("", "folder of the sessions (empty: neural/hanks2015 of the data folder)")
    download: bool = field(False, "fetch those of the 16 public sessions that the folder lacks")
    width: float = field(0.1, "bins of the course over time", unit="s", above=0)
    course_from: float = field(-0.5, "beginning of the course, from stimulus onset", unit="s")
    course_until: float = field(0.9, "end of the course", unit="s")
    longest_silence: int = field(4, "longest run of trials without a spike that counts as recorded", low=0)
    n_permutations: int = field(2000, "shuffles of choices", low=1)
    n_bootstrap: int = field(2000, "draws of units", low=100)
    n_refits: int = field(500, "draws of the trials of each rat, to which its curve is fitted again", low=100)
    seed: int = field(0, "of shuffles and draws", low=0)
    output: str = field("data/figures/clicks_recordings", "figure, without suffix; an older one there is replaced")

    def __post_init__(self) -> None:
        check(self)
        if self.download and self.folder:
            why = "public sessions are fetched into the data folder"
            raise refusal("folder", self.folder, "none with --download", why, "--download, with NEURO_BPL_DATA=…")


@dataclass(frozen=True)
class Tuning:
    """Rectified choice AUC `(unit, time)` of a region; of shuffles, its mean over units and that over shuffles."""

    areas: xr.DataArray
    shuffled: xr.DataArray
    chance: xr.DataArray


def counts_of(
    session: xr.DataTree, start: float, end: float, width: float, p: Parameters, until_off: bool = False
) -> xr.DataArray:
    """Counts from stimulus onset, of all spikes or those until its end; NaN where the recording had broken off."""
    aligned = neural.align(session, "stimulus_on", (start, end))
    if until_off:
        ends = aligned["stimulus_off"].values[aligned["spike_trial"].values]
        aligned = aligned.isel(spike=aligned["spike_time"].values < ends)
    counts = neural.bin(aligned, width)
    return counts.where(counts["silent_run"] <= p.longest_silence)


def in_windows(session: xr.DataTree, p: Parameters) -> xr.DataArray:
    """Counts in each window `(set, trial, time, unit)`, where a set has no trial NaN."""
    both = [
        xr.concat([counts_of(session, start, end, end - start, p, until_off) for start, end in WINDOWS], "time")
        for until_off in (False, True)
    ]
    ends = xr.DataArray([end for _, end in WINDOWS], {"time": both[0]["time"]})
    still_on = both[0].where(both[0]["stimulus_off"] >= ends)
    return xr.concat([both[0], still_on, both[1]], xr.Variable("set", list(SETS)))


def tuning(counts: list[xr.DataArray], p: Parameters) -> Tuning:
    """Choice AUC of the units of several sessions, and that of choices shuffled within each session."""
    rng = np.random.default_rng(p.seed)
    areas = [neural.rectified(neural.choice_auc(one)) for one in counts]
    shuffled = [
        neural.rectified(neural.choice_auc(one, shuffled_choices(one, p.n_permutations, rng))) for one in counts
    ]
    if sum(one.sizes["unit"] for one in areas) < 2:
        raise refusal("units", 1, "at least two of a region", "intervals are over units", "a folder with more sessions")
    joined, null = (xr.concat(found, "unit", coords="minimal", compat="override") for found in (areas, shuffled))
    chance = null.mean("shuffle").transpose("unit", ...)
    return Tuning(joined.transpose("unit", ...), null.mean("unit", skipna=False), chance)


def shuffled_choices(counts: xr.DataArray, number: int, rng: np.random.Generator) -> xr.DataArray:
    """Choices `(shuffle, trial)` of recorded trials in random order."""
    recorded = counts.notnull().any([dim for dim in counts.dims if dim != "trial"]).values
    choices = np.tile(counts["went_right"].values, (number, 1))
    choices[:, recorded] = rng.permuted(choices[:, recorded], axis=1)
    return xr.DataArray(choices, dims=("shuffle", "trial"))


def interval(samples: list[np.ndarray], p: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of the mean over units, of one region or of the difference of two (bootstrap, percentiles)."""

    def statistic(*drawn: np.ndarray, axis: int) -> np.ndarray:
        means = [values.mean(axis) for values in drawn]
        return means[0] - means[1] if len(means) == 2 else means[0]

    rng = np.random.default_rng(p.seed)
    draws = stats.bootstrap(samples, statistic, axis=0, n_resamples=p.n_bootstrap, method="percentile", rng=rng)
    return draws.confidence_interval.low, draws.confidence_interval.high


def report_rats(sessions: list[xr.DataTree], p: Parameters) -> None:
    """Print what was read of each rat, and how its choices follow the evidence."""
    print(f"{RATS}\n|---|---|---|---|---|---|---|---|---|")
    for rat, own in datasets.hanks2015.by("subject", sessions).items():
        trials = pooled(own)
        fitted, bounds = (
            neural.psychometric(trials),
            neural.measures.psychometry.intervals(trials, n_bootstrap=p.n_refits, seed=p.seed),
        )
        parameters = (f"{float(fitted[name]):{at}} {between(bounds[name], at)}" for name, at in DIGITS.items())
        units = sum(session["units"].sizes["unit"] for session in own)
        silent = int((trials["silent_run"] > p.longest_silence).sum())
        what = f"| {rat} | {own[0].attrs['region']} | {len(own)} | {units} | {trials.sizes['trial']} ({silent})"
        print(f"{what} | {' | '.join(parameters)} |")


def between(bounds: xr.DataArray, digits: str) -> str:
    """An interval, written."""
    return "[{}]".format(", ".join(f"{float(bound):{digits}}" for bound in bounds))


def report_areas(tunings: dict[str, Tuning], p: Parameters) -> None:
    """Print areas by window, and how the regions differ."""
    print(f"\n{AREAS}\n|---|---|---|---|---|---|")
    cases = [(name, at, f"{start:g} to {end:g}") for name in SETS for at, (start, end) in enumerate(WINDOWS)]
    for region, found in tunings.items():
        for name, at, window in cases:
            areas, null = (values.sel(set=name).isel(time=at).values for values in (found.areas, found.shuffled))
            known = np.isfinite(areas).all()  # a unit may lack trials of one choice
            p_value = (1 + (null >= areas.mean()).sum()) / (1 + len(null)) if known else np.nan
            chance = f"{null.mean():.3f}, {np.quantile(null, 0.95):.3f} | {p_value:.4f} |"
            print(f"| {region} ({len(areas)} units) | {window} | {name} | {shown([areas], p)} | {chance}")
    for one, other in itertools.combinations(tunings, 2):
        for name, at, window in cases:
            above = [found.areas - found.chance for found in (tunings[one], tunings[other])]
            both = [values.sel(set=name).isel(time=at).values for values in above]
            print(f"| {one} − {other}, above shuffles | {window} | {name} | {shown(both, p)} | | |")


def shown(samples: list[np.ndarray], p: Parameters) -> str:
    """Mean, or difference of means, with its interval."""
    low, high = interval(samples, p)
    mean = samples[0].mean() - (samples[1].mean() if len(samples) == 2 else 0)
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def pooled(sessions: list[xr.DataTree]) -> xr.Dataset:
    """Trials of several sessions, one behind the other."""
    return xr.concat([session["trials"].to_dataset().drop_vars("trial") for session in sessions], "trial")


def draw_choices(axes: "Axes", sessions: list[xr.DataTree]) -> None:
    """Fractions of choices with their intervals, and the curve of each rat."""
    for region, own in datasets.hanks2015.by("region", sessions).items():
        colour, line, marker = LOOKS[region]
        whole = neural.psychometric(pooled(own))
        errors = abs(np.stack([whole["low"], whole["high"]]) - whole["fraction_right"].values)
        x = whole["mean_evidence"].values
        axes.errorbar(x, whole["fraction_right"], errors, fmt=marker, color=colour, markersize=3, linewidth=0.8)
        for number, rats in enumerate(datasets.hanks2015.by("subject", own).values()):
            trials = pooled(rats)
            grid = np.linspace(float(trials["evidence"].min()), float(trials["evidence"].max()), 200)
            name = region if number == 0 else None
            fit = neural.psychometric(trials)
            axes.plot(
                grid,
                neural.measures.psychometry.curve(fit, grid),
                color=colour,
                linestyle=line,
                linewidth=0.9,
                alpha=0.7,
                label=name,
            )
    axes.set(xlabel="evidence (clicks, right − left)", ylabel="P(right)", ylim=(-0.02, 1.02), title="Choices")
    axes.legend(loc="upper left", title="one line a rat", alignment="left")


def draw_course(axes: "Axes", tunings: dict[str, Tuning], p: Parameters) -> None:
    """Mean over units with its interval, and the 95th percentile of shuffles."""
    for region, found in tunings.items():
        colour, line, _ = LOOKS[region]
        time, (low, high) = found.areas["time"].values, interval([found.areas.values], p)
        axes.plot(time, found.areas.mean("unit"), color=colour, linestyle=line, label=region)
        axes.fill_between(time, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(time, found.shuffled.quantile(0.95, "shuffle"), color=colour, linestyle=line, linewidth=0.7)
    axes.text(0.98, 0.02, "thin: 95 % of shuffles", transform=axes.transAxes, ha="right", fontsize=7)
    axes.axvline(0, ymax=0.72, color="0.6", linewidth=0.6)
    axes.set(xlabel="time from stimulus onset (s)", ylabel="choice AUC, rectified", title="All trials: mean over units")
    axes.set_ylim(bottom=0.5)
    axes.margins(x=0)
    axes.legend(loc="upper left")


def draw_windows(axes: "Axes", tunings: dict[str, Tuning], p: Parameters) -> None:
    """One dot a unit, the mean with its interval (all trials, and those with the stimulus on), the mean of shuffles."""
    for side, (region, found) in zip((-1, 1), tunings.items(), strict=False):
        colour, _, marker = LOOKS[region]
        for at, (shift, name) in itertools.product(range(len(WINDOWS)), zip((-0.09, 0.09), DRAWN, strict=True)):
            values, place = np.sort(found.areas.sel(set=name)[:, at].values), at + 0.2 * side + shift
            low, high = interval([values], p)
            look = {"fmt": marker, "color": colour, "capsize": 2, "markersize": 4.5}
            face, label = (colour, region) if name == SETS[0] else ("white", f"{region}, stimulus on")
            spread = place + np.linspace(-0.05, 0.05, len(values))
            axes.plot(spread, values, marker, color=colour, markersize=2.2, alpha=0.45, markeredgewidth=0)
            bars = [[values.mean() - low], [high - values.mean()]]
            look |= {"markerfacecolor": face, "label": label if at == 0 else None}
            axes.errorbar(place, values.mean(), bars, **look)
            chance = float(found.shuffled.sel(set=name).isel(time=at).mean())
            axes.plot([place - 0.08, place + 0.08], [chance, chance], color="0.35", linewidth=1)
    axes.set_xticks(range(len(WINDOWS)), [f"{start:g} to {end:g}".replace("-", "−") for start, end in WINDOWS])
    axes.set_title("Units and their mean; grey: shuffled")
    axes.set(xlabel="window from stimulus onset (s)", ylabel="choice AUC, rectified", ylim=(0.5, None))
    axes.legend(loc="upper left")


@figures.styled
def draw(
    sessions: list[xr.DataTree], windows: dict[str, Tuning], courses: dict[str, Tuning], p: Parameters
) -> "Figure":
    """Choices, and how well units tell them by time and by window."""
    figure, panels = figures.panels(7.6, 2.7, 3, (1, 1, 1.25))
    draw_choices(panels[0], sessions)
    draw_course(panels[1], courses, p)
    draw_windows(panels[2], windows, p)
    return figure


def analyse(p: Parameters) -> None:
    """Read, compute, report, draw."""
    sessions = datasets.hanks2015.sessions_of(p.folder, p.download)
    report_rats(sessions, p)
    regions, span = datasets.hanks2015.by("region", sessions), (p.course_from, p.course_until, p.width)
    windows = {region: tuning([in_windows(one, p) for one in own], p) for region, own in regions.items()}
    courses = {region: tuning([counts_of(one, *span, p) for one in own], p) for region, own in regions.items()}
    report_areas(windows, p)
    scripting.save(draw(sessions, windows, courses, p), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
