"""Do networks that count clicks respond as frontal and parietal units of rats do, and does it matter how they learnt?

Networks of a run of models/evidence_accumulation.py hear the very clicks of recorded sessions (Hanks et al. 2015).
Both are looked at in trials whose stimulus lasts until the end of the window, and in conditions fixed beforehand:
quantiles of the clicks heard within the window, right less left.  Printed are, for each region and each rule: how
choices follow the evidence; the rectified area under the ROC curve of choice, beside that of shuffled choices; how well
choice and evidence are decoded from as many units as were recorded, of trials put together from different sessions; and
the similarity of responses (docs/neural_comparing.md), with its ceiling, null and baseline.  "newborn" are the networks
before they learn: what learning by any rule adds is the difference from them.  Draws a figure (PNG and SVG).
"""

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import figures, neural, scripting
from neuro_bpl.neural import activity, datasets
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = ("predictivity", "cca", "procrustes", "cka", "rsa")  # too few times for dynamics
LOOKS = {"FOF": ("#117733", "o"), "PPC": ("#882255", "s")}
FOLDS = 5  # of decoders: networks that go to one side less often have no choice to decode
COMMAND = "python models/evidence_accumulation.py --seeds 5"
OTHER, MARKERS = ("#555555", "^"), "osD^v"


@dataclass(frozen=True)
class Parameters:
    """What to read, how to look at it, and where to draw."""

    run: str = field("data/runs/evidence_accumulation", "run to read")
    select: tuple[str, ...] = field((), "values of other parameters of a sweep, such as tau=0.1")
    folder: str = field("", "folder of the sessions (empty: neural/hanks2015 of the data folder)")
    until: float = field(0.3, "end of the window, from stimulus onset", unit="s", above=0)
    width: float = field(0.05, "bins of time", unit="s", above=0)
    n_conditions: int = field(6, "quantiles of evidence", low=3)
    longest_silence: int = field(4, "longest run of trials without a spike that counts as recorded", low=0)
    n_permutations: int = field(200, "shuffles, for nulls", low=1)
    n_bootstrap: int = field(200, "bootstrap samples of units", low=10)
    seed: int = field(0, "of shuffles, draws and the noise of clicks", low=0)
    output: str = field("data/figures/evidence_population", "figure, without suffix; an older one there is replaced")

    def __post_init__(self) -> None:
        check(self)

    @property
    def view(self) -> "activity.heard_clicks.View":
        """What is looked at, of rats and of networks."""
        return activity.heard_clicks.View(self.until, self.width, self.n_conditions, self.longest_silence, self.seed)


@dataclass(frozen=True)
class Findings:
    """What is found of a region, each by who it is: "rats", a rule, or "newborn"; and of shuffles `(time, shuffle)`."""

    trials: dict[str, list[xr.Dataset]]
    areas: dict[str, xr.DataArray]
    shuffled: xr.DataArray
    choice: dict[str, list[xr.Dataset]]
    evidence: dict[str, list[xr.Dataset]]
    similarity: xr.Dataset

    @property
    def rules(self) -> list[str]:
        """Rules, and the newborn."""
        return [name for name in self.trials if name != "rats"]


def findings(found: "activity.heard_clicks.Region", p: Parameters) -> Findings:
    """All that is printed and drawn of a region."""
    trials = behaviour(found)
    return Findings(
        trials,
        tuning(found),
        chance(found, p),
        decoded(found, "went_right", "class", p),
        decoded(found, "condition", "number", p),
        compared(found, trials, p),
    )


# ---------------------------------------------------------------------------------------------------------- choices


def behaviour(found: "activity.heard_clicks.Region") -> dict[str, list[xr.Dataset]]:
    """Evidence and choices on the same trials: of the rats, and of each network of a rule."""
    columns = found.recording.coords
    rats = xr.Dataset({name: columns[name].variable for name in ("evidence", "went_right", "correct_right")})
    networks = {
        name: [rats.assign(went_right=("trial", choices)) for choices in one["choice"].values]
        for name, one in found.models.items()
    }
    return {"rats": [rats], **networks}


def correct(trials: xr.Dataset) -> float:
    """Part of the trials with the rewarded choice."""
    return float((trials["went_right"] == trials["correct_right"]).mean())


def sensitivity(trials: xr.Dataset) -> float:
    """Slope of the psychometric curve, logits per click; NaN for a network that always goes to one side."""
    return float(neural.psychometric(trials)["sensitivity"]) if is_two_sided(trials) else float("nan")


def is_two_sided(trials: xr.Dataset) -> bool:
    """Whether both choices occur; networks at birth may always go to one side."""
    return bool(trials["went_right"].min() < trials["went_right"].max())


def tuning(found: "activity.heard_clicks.Region") -> dict[str, xr.DataArray]:
    """Rectified choice AUC by time: of recorded units, and the mean over units of each network."""
    rats = neural.rectified(neural.choice_auc(found.recording))
    networks = {
        name: neural.rectified(neural.choice_auc(one, one["choice"])).mean("unit") for name, one in found.models.items()
    }
    return {"rats": rats.rename(unit="seed").transpose("seed", "time"), **networks}


def chance(found: "activity.heard_clicks.Region", p: Parameters) -> xr.DataArray:
    """What recorded units have by chance: mean over units of the rectified AUC, of choices shuffled within sessions."""
    null = []
    for unit in found.recording["unit"]:
        own = found.recording.sel(unit=unit).dropna("trial")
        session = str(unit.item()).partition("/")[0]
        rng = np.random.default_rng([p.seed, zlib.crc32(session.encode())])  # units of a session share its shuffles
        orders = rng.permuted(np.tile(own["went_right"].values, (p.n_permutations, 1)), axis=1)
        null.append(neural.rectified(neural.choice_auc(own, xr.DataArray(orders, dims=("shuffle", "trial")))))
    return xr.concat(null, "unit", coords="minimal", compat="override").mean("unit")


# --------------------------------------------------------------------------------------------------------- decoding


def decoded(found: "activity.heard_clicks.Region", label: str, kind: str, p: Parameters) -> dict[str, list[xr.Dataset]]:
    """Choice or condition, read from the last bin of as many units and trials as were recorded (`pseudo_trials`)."""
    rats = neural.pseudo_trials(found.recording.isel(time=[-1]), label, p.seed)
    most = int(np.unique(rats[label], return_counts=True)[1].max())
    scores = {
        "rats": [neural.decode(rats, label, kind=kind, n_splits=FOLDS, n_permutations=p.n_permutations, seed=p.seed)]
    }
    rng = np.random.default_rng(p.seed)
    for name, one in found.models.items():
        own = [_network(one, seed, rats.sizes["unit"], rng) for seed in range(one.sizes["seed"])]
        scores[name] = [_decoded(network, label, kind, most, p.seed) for network in own]
    return scores


def _decoded(network: xr.DataArray, label: str, kind: str, most: int, seed: int) -> xr.Dataset:
    """Score of one network; NaN where too few of its trials have one of the labels."""
    counts = np.unique(network[label], return_counts=True)[1]
    if counts.min() < FOLDS or (label == "went_right" and not is_two_sided(network.coords.to_dataset())):
        return xr.Dataset({"score": ("time", [np.nan])})
    return neural.decode(neural.pseudo_trials(network, label, seed, most), label, kind=kind, n_splits=FOLDS, seed=seed)


def _network(rates: xr.DataArray, seed: int, n_units: int, rng: np.random.Generator) -> xr.DataArray:
    """The last step of one network, some of its units drawn, with its own choices."""
    units = rng.choice(rates.sizes["unit"], min(n_units, rates.sizes["unit"]), replace=False)
    one = rates.isel(seed=seed, time=[-1], unit=units)
    return one.assign_coords(went_right=("trial", one["choice"].values))


# ------------------------------------------------------------------------------------------------------- similarity


def compared(found: "activity.heard_clicks.Region", trials: dict[str, list[xr.Dataset]], p: Parameters) -> xr.Dataset:
    """Similarity of the networks of every rule to one region."""
    return neural.compare(
        {name: one.drop_vars("choice") for name, one in found.models.items()},
        found.recording,
        metrics=METRICS,
        n_permutations=p.n_permutations,
        n_bootstrap=p.n_bootstrap,
        performance={name: [correct(one) for one in trials[name]] for name in found.models},
        recorded_performance=correct(trials["rats"][0]),
        seed=p.seed,
    )


# ----------------------------------------------------------------------------------------------------------- report


def report(name: str, found: Findings, recording: xr.DataArray, p: Parameters) -> None:
    """Print Markdown tables of one region."""
    n_trials, n_units = recording.sizes["trial"], recording.sizes["unit"]
    print(f"\n### {name}: {n_units} units, {n_trials} trials of {p.until:g} s or more\n")
    print("| | correct | logits per click | choice AUC, last bin | choice decoded | evidence decoded (r) |")
    print("|---|---|---|---|---|---|")
    for who, own in found.trials.items():
        values = [[correct(one) for one in own], [sensitivity(one) for one in own], found.areas[who].isel(time=-1)]
        values += [[float(one["score"][0]) for one in scores[who]] for scores in (found.choice, found.evidence)]
        cells = [scripting.summary95(np.asarray(column)) for column in values]
        print(f"| {who} | {' | '.join(cells)} |")
    last = found.shuffled.isel(time=-1)
    nulls = [f"{float(last.mean()):.3f}, {float(last.quantile(0.95)):.3f}"]
    for scores in (found.choice, found.evidence):
        one = scores["rats"][0].isel(time=0)
        nulls.append(f"{float(one['null_mean']):.3f}, {float(one['null_95']):.3f} (p = {float(one['p']):.3f})")
    print(f"| rats, shuffled: mean, 95th percentile | | | {' | '.join(nulls)} |\n\n{neural.table(found.similarity)}")


# ----------------------------------------------------------------------------------------------------------- figure


def draw_choices(axes: "Axes", regions: dict[str, Findings]) -> None:
    """Fractions of the rats' choices with intervals, and curves of rats and of networks that heard the same."""
    for region, found in regions.items():
        colour, marker = LOOKS.get(region, OTHER)
        whole = neural.psychometric(found.trials["rats"][0])
        errors = abs(np.stack([whole["low"], whole["high"]]) - whole["fraction_right"].values)
        look = {"fmt": marker, "color": colour, "markersize": 3, "label": region}
        axes.errorbar(whole["mean_evidence"], whole["fraction_right"], errors, **look)
    for rule in (rule for rule in found.rules if rule != activity.heard_clicks.NEWBORN):
        of_all = xr.concat(found.trials[rule], "trial")
        if not is_two_sided(of_all):
            continue  # no curve to fit
        fit, grid = neural.psychometric(of_all), np.linspace(*np.quantile(of_all["evidence"], (0.01, 0.99)), 100)
        axes.plot(grid, neural.measures.psychometry.curve(fit, grid), label=rule, **figures.look(rule))
    axes.set(xlabel="evidence (clicks, right − left)", ylabel="P(right)", title="Choices on the same trials")
    axes.legend(loc="upper left", fontsize=6.5)


def draw_tuning(axes: "Axes", regions: dict[str, Findings]) -> None:
    """Choice AUC by time: units of each region with their interval, above those of shuffles; and networks."""
    for region, found in regions.items():
        colour, marker = LOOKS.get(region, OTHER)
        rats = found.areas["rats"]
        own, time = np.array([scripting.interval95(column) for column in rats.values.T]), rats["time"].values
        bars = np.abs(own[:, 1:].T - own[:, 0])
        axes.errorbar(time, own[:, 0], bars, fmt=f"-{marker}", color=colour, markersize=3, linewidth=1, label=region)
        axes.plot(time, found.shuffled.quantile(0.95, "shuffle"), color=colour, linewidth=0.7, linestyle=":")
    for rule in found.rules:
        figures.line_with_spread(axes, found.areas[rule], "time", rule)
    axes.set(xlabel="time from stimulus onset (s)", ylabel="choice AUC, rectified", title="Choice in single units")
    axes.text(0.03, 0.97, "dotted: 95 % of shuffles", transform=axes.transAxes, va="top", fontsize=6.5)


def draw_similarity(axes: "Axes", region: str, result: xr.Dataset) -> None:
    """Score of every network by measure and rule, with the ceiling above and the 95th percentile of the null below."""
    rules = [str(rule) for rule in result["rule"].values]
    for at, metric in enumerate(result["metric"].values):
        one = result.sel(metric=metric)
        axes.plot([at - 0.4, at + 0.4], [one["ceiling"].max()] * 2, color="0.2", linewidth=1)
        for place, rule in zip(np.linspace(-0.3, 0.3, len(rules)), rules, strict=True):
            own, colour = one.sel(rule=rule), figures.look(rule)["color"]
            bars = [[own["mean"] - own["low"]], [own["high"] - own["mean"]]]
            label = rule if at == 0 else None
            marker = MARKERS[rules.index(rule) % len(MARKERS)]
            axes.errorbar(at + place, own["mean"], bars, fmt=marker, color=colour, markersize=3.5, label=label)
            axes.plot(at + place, own["null_95"], "_", color=colour, markersize=6)
    names = [name.upper() if len(name) == 3 else name for name in map(str, result["metric"].values)]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.set(ylabel="similarity", title=f"Similarity to {region}")


@figures.styled
def draw(regions: dict[str, Findings]) -> "Figure":
    """Choices, tuning, and similarity to each region."""
    figure, panels = figures.panels(4.6 + 2.6 * len(regions), 2.8, 2 + len(regions))
    draw_choices(panels[0], regions)
    draw_tuning(panels[1], regions)
    for axes, (region, found) in zip(panels[2:], regions.items(), strict=True):
        draw_similarity(axes, region, found.similarity)
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=6.5)
    panels[-1].text(1.04, 0.1, "line: ceiling\ndash: 95 %\nof the null", transform=panels[-1].transAxes, fontsize=6.5)
    return figure


def analyse(p: Parameters) -> None:
    """Read, compute, report, draw."""
    run = selection.selected(nb.open_run(p.run), p.select)
    if (
        activity.heard_clicks.DT not in run["parameters"]
        or activity.heard_clicks.NOISE not in run["parameters"]
        or run["training"].sizes["seed"] < 2
    ):
        why = "networks hear clicks step by step, and intervals are over networks"
        raise refusal("run", p.run, "a run of the clicks task with two networks or more", why, COMMAND)
    regions = {}
    for name, own in datasets.hanks2015.by("region", datasets.hanks2015.sessions_of(p.folder)).items():
        region = activity.heard_clicks.region_of(run, own, p.view)
        regions[name] = findings(region, p)
        report(name, regions[name], region.recording, p)
    scripting.save(draw(regions), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
