"""Do climbing fibres that carry the TD error fire more after errors than after correct choices, as in crus I of mice?

Deverett et al. 2018 (eLife 7:e36781) found more activity after errors in four fifths of Purkinje dendrites, and no
effect of how difficult a trial was.  Reads a run of models/evidence_accumulation.py and takes the TD error δ of each
component of the cortical state that is known at a trial's last step.  Climbing fibres may read it out in three ways:
signed (δ), rectified (a low baseline, which δ raises without limit and lowers to zero) and unsigned (|δ|).  For each,
the part of units with a larger mean on error trials than on correct ones, and with a larger mean on difficult trials
than on easy ones of the same outcome (|right − left clicks| up to its median over trials, or above).  Draws a figure
(PNG and SVG) and prints tables with 95 % intervals over seeds, beside what shuffled trials give.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy import stats

import neuro_bpl as nb
from neuro_bpl import figures, neural, scripting
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMMAND = "python models/evidence_accumulation.py"
NUMBERS = ("total_rate", "shortest", "longest", "dt", "click_noise", "n_validation", "n_test", "n_probe")
CONTRASTS = {
    "error > correct": ("error", "correct"),
    "error > correct, difficult": ("difficult error", "difficult correct"),
    "difficult > easy, correct": ("difficult correct", "easy correct"),
    "difficult > easy, error": ("difficult error", "easy error"),
}
LARGEST_Z = 6.0  # of the accuracy on the probe trials, under that of the whole held-out set
MARKERS = {"signed": ("o", "#0072B2"), "rectified": ("s", "#009E73"), "unsigned": ("D", "#D55E00")}


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/evidence_accumulation", "run to read")
    select: tuple[str, ...] = field((), "values of other parameters of a sweep, such as rule=BP(1)")
    recording: str = field("", "file of Deverett et al. (else that of the folder of recordings)")
    rates: str = field("", "rates of the richer side (Hz), for a run that does not say them: 38,33,25")
    baseline: float = field(0.5, "baseline of the rectified read-out, in root mean squares of δ", low=0)
    shuffles: int = field(200, "shuffles of trials", low=1)
    output: str = field("data/figures/climbing_fibre_readout", "figure, without suffix; an older one there is replaced")

    def __post_init__(self) -> None:
        check(self)


def probe_trials(run: xr.DataTree, rates: str) -> nb.Trials:
    """The trials on which the run's activity was recorded, from the numbers of its task; clicks count 1 each."""
    known = run["parameters"].to_dataset()
    missing = [name for name in NUMBERS if f"task.{name}" not in known]
    told = str(known["task.rates"].item()) if "task.rates" in known else rates
    if missing or not told:
        fix = "--rates 38,33,25, the rates of the model" if not missing else COMMAND
        got = ", ".join(missing or ["rates"])
        raise refusal("run", f"without task.{got}", "a run of the clicks", "difficulty is that of its trials", fix)
    numbers = {name: known[f"task.{name}"].item() for name in NUMBERS} | {"click_noise": 0.0}
    return nb.tasks.PoissonClicks(rates=tuple(float(rate) for rate in told.split(",")), **numbers).probe()


def conditions(outputs: xr.DataArray, trials: nb.Trials) -> xr.DataArray:
    """Whether a trial belongs to each condition: outcome, and difficulty within it; (…, condition, trial)."""
    last = xr.DataArray(np.asarray(trials.last_step()) - 1, dims="trial")
    target = xr.DataArray(np.asarray(trials.targets)[:, 0], dims="trial")
    correct = outputs.isel(time=last).argmax("output") == target
    left, right = np.moveaxis(np.asarray(trials.inputs).sum(1), -1, 0)
    evidence = xr.DataArray(np.abs(right - left), dims="trial")
    difficult = evidence <= evidence.median()
    sets = {
        "error": ~correct,
        "correct": correct,
        "difficult correct": correct & difficult,
        "easy correct": correct & ~difficult,
        "difficult error": ~correct & difficult,
        "easy error": ~correct & ~difficult,
    }
    return xr.concat(list(sets.values()), xr.DataArray(list(sets), dims="condition", name="condition"))


def check_accuracy(belongs: xr.DataArray, run: xr.DataTree) -> None:
    """Refuse trials that the networks do not answer as well as those they were evaluated on: they are other trials."""
    n_trials = belongs.sizes["trial"]
    evaluated = selection.by_rule(run["evaluation"]["accuracy"].sel(split="validation", drop=True), run)
    wanted = evaluated.sel(update=belongs.snapshot, rule=belongs.rule, drop=True)
    got = belongs.sel(condition="correct", drop=True).mean("trial")
    off = float((np.abs(got - wanted) / np.sqrt((wanted * (1 - wanted) + 1 / n_trials) / n_trials)).max())
    if off > LARGEST_Z:
        allowed = f"an accuracy as in validation, {float(wanted.mean()):.2f}"
        why, fix = "the trials built again are not those that were recorded", f"--rates as they were, or {COMMAND}"
        raise refusal("accuracy", round(float(got.mean()), 2), allowed, why, fix)


def at_outcome(td_error: xr.DataArray, trials: nb.Trials) -> xr.DataArray:
    """δ that is known at each trial's last step T, the one of step T − 1, in root mean squares of its network."""
    steps = np.asarray(trials.last_step())
    if steps.min() < 2:
        raise refusal("run", "trials of one step", "two steps at least", "δ is of a transition", f"{COMMAND} --dt 0.02")
    delta = td_error.isel(time=xr.DataArray(steps - 2, dims="trial"), drop=True)
    return delta / np.sqrt((delta**2).mean(("trial", "state")))


def read_outs(delta: xr.DataArray, baseline: float) -> xr.DataArray:
    """What climbing fibres say of δ: δ itself, max(0, baseline + δ), |δ|; (read_out, …)."""
    said = {"signed": delta, "rectified": np.maximum(0, baseline + delta), "unsigned": np.abs(delta)}
    return xr.concat(list(said.values()), xr.DataArray(list(said), dims="read_out", name="read_out"))


def shares(said: xr.DataArray, belongs: xr.DataArray) -> xr.DataArray:
    """Part of units whose mean is larger in one condition than in another; NaN where one of them has no trials."""
    weights = belongs.astype(said.dtype)
    count = weights.sum("trial")
    means = xr.dot(said, weights, dim="trial") / count.where(count > 0)
    found = []
    for one, other in CONTRASTS.values():
        difference = means.sel(condition=one, drop=True) - means.sel(condition=other, drop=True)
        found.append((difference > 0).where(difference.notnull()).mean("state"))
    return xr.concat(found, xr.DataArray(list(CONTRASTS), dims="contrast", name="contrast"))


def shuffled(said: xr.DataArray, belongs: xr.DataArray, n_shuffles: int) -> xr.DataArray:
    """Shares when what a contrast compares is dealt out anew among its own trials, `shuffle` times.

    Outcomes are dealt out among all trials (or all difficult ones), difficulty among trials of one outcome: what else
    differs between trials stays where it is.
    """
    rng = np.random.default_rng(0)
    found = []
    for contrast, (one, other) in CONTRASTS.items():
        first, second = (belongs.sel(condition=name, drop=True) for name in (one, other))
        draws = [shares(said, dealt(belongs, one, other, first, first | second, rng)) for _ in range(n_shuffles)]
        found.append(xr.concat(draws, "shuffle").sel(contrast=contrast))
    return xr.concat(found, "contrast")


def dealt(
    belongs: xr.DataArray, one: str, other: str, first: xr.DataArray, among: xr.DataArray, rng: np.random.Generator
) -> xr.DataArray:
    """Conditions in which `one` has as many trials as before, drawn from those of both, for each network."""
    order = xr.DataArray(rng.random(among.sizes["trial"]), dims="trial")  # networks had the same trials
    ranks = xr.where(among, order, np.inf).transpose(*among.dims)
    drawn = among & (
        ranks.argsort(axis=ranks.get_axis_num("trial")).argsort(ranks.get_axis_num("trial")) < first.sum("trial")
    )
    new = belongs.copy()
    new.loc[{"condition": one}] = drawn.transpose(*belongs.sel(condition=one).dims)
    new.loc[{"condition": other}] = (among & ~drawn).transpose(*belongs.sel(condition=other).dims)
    return new


def report(found: xr.DataArray, null: xr.DataArray, belongs: xr.DataArray, recorded: xr.Dataset) -> None:
    """Print a Markdown table: each contrast and read-out; what was recorded; how many trials there are."""
    n_dendrites = recorded.sizes["dendrite"]
    share = neural.share_above(recorded["activity"])
    test = stats.binomtest(round(share * n_dendrites), n_dendrites).proportion_ci(method="wilson")
    print(f"| units with | rule | read-out | part, 95 % interval ({found.sizes['seed']} seeds) | shuffled, 95 % |")
    print("|---|---|---|---|---|")
    print(f"| error > correct | recorded | {n_dendrites} dendrites | {share:.3f} [{test.low:.3f}, {test.high:.3f}] | |")
    for contrast in found.contrast.values:
        for rule in found.rule.values:
            for way in found.read_out.values:
                at = {"contrast": contrast, "rule": rule, "read_out": way}
                mean, low, high = scripting.finite95(found.sel(at).values)
                dealt = null.sel(at).mean("seed").values
                dealt = dealt[np.isfinite(dealt)]
                chance = "[{:.3f}, {:.3f}]".format(*np.quantile(dealt, [0.025, 0.975])) if dealt.size else "–"
                shown = f"{mean:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(mean) else "too few trials"
                print(f"| {contrast} | {rule} | {way} | {shown} | {chance} |")
    for rule in found.rule.values:
        counts = belongs.sel(rule=rule).sum("trial").mean("seed")
        words = ", ".join(f"{name} {float(counts.sel(condition=name)):.1f}" for name in counts.condition.values)
        print(f"{rule}: trials of a network, mean: {words}")


def draw_recorded(axes: "Axes", recorded: xr.Dataset) -> None:
    """Each dendrite after errors against after correct choices."""
    error, correct = (recorded["activity"].sel(outcome=outcome).values for outcome in ("error", "correct"))
    low, high = np.quantile(np.concatenate([error, correct]), [0.002, 0.998])
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8)
    axes.plot(correct, error, ".", color="0.2", markersize=3, alpha=0.5, markeredgewidth=0)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", title="Recorded: crus I of mice")
    axes.set(xlabel="activity after correct (figure's unit)", ylabel="activity after error (figure's unit)")
    share = neural.share_above(recorded["activity"])
    words = f"{100 * share:.1f} % of {error.size}\nabove the line"
    axes.text(0.98, 0.04, words, transform=axes.transAxes, ha="right")


def draw_shares(axes: "Axes", found: xr.DataArray, share: float) -> None:
    """Seeds, mean and 95 % interval of each contrast and read-out of one rule."""
    for number, way in enumerate(found.read_out.values):
        marker, colour = MARKERS[str(way)]
        for place, contrast in enumerate(found.contrast.values):
            values = found.sel(contrast=contrast, read_out=way).values
            x, (mean, low, high) = place + 0.24 * (number - 1), scripting.finite95(values)
            axes.plot(x + 0.05 + 0.02 * np.arange(len(values)), values, marker, color=colour, markersize=2.5, alpha=0.5)
            label = str(way) if place == 0 else None
            bars = [[mean - low], [high - mean]]
            axes.errorbar(x, mean, bars, fmt=marker, color=colour, markersize=5, capsize=2, label=label)
    axes.axhline(0.5, color="0.6", linewidth=0.8)
    axes.plot([-0.45, 0.45], [share, share], color="black", linestyle=(0, (4, 2)), label="recorded")
    words = [str(contrast).replace(" > ", "\n> ").replace(", ", ",\n") for contrast in found.contrast.values]
    axes.set_xticks(range(found.sizes["contrast"]), words)
    axes.set(ylabel="part of units", ylim=(-0.03, 1.03), xlim=(-0.5, found.sizes["contrast"] - 0.5))


@figures.styled
def draw(found: xr.DataArray, recorded: xr.Dataset) -> "Figure":
    """What was recorded, and the parts of units by read-out, a panel for each rule."""
    n_rules = found.sizes["rule"]
    figure, panels = figures.panels(2.6 + 3.4 * n_rules, 2.7, 1 + n_rules, [2.6, *[3.4] * n_rules])
    draw_recorded(panels[0], recorded)
    for axes, rule in zip(panels[1:], found.rule.values, strict=True):
        draw_shares(axes, found.sel(rule=rule), neural.share_above(recorded["activity"]))
        axes.set_title(f"{rule}: seeds, mean, 95 % interval")
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    run = selection.selected(nb.open_run(p.run), p.select)
    wanted = ("td_error", "outputs")
    if "activity" not in run or not set(wanted) <= set(run["activity"].data_vars):
        raise refusal("run", p.run, f"a run that recorded {' and '.join(wanted)}", "δ and choices are read", COMMAND)
    activity = run["activity"].to_dataset().isel(snapshot=-1)
    td_error, outputs = (selection.by_rule(activity[name], run).drop_vars("trial") for name in wanted)
    learns = [bool(np.isfinite(td_error.sel(rule=rule)).any()) for rule in td_error.rule]
    td_error, outputs = td_error.sel(rule=learns), outputs.sel(rule=learns)
    if outputs.sizes["seed"] < 2:
        raise refusal("run", "one seed", "at least two", "intervals are over seeds", f"{COMMAND} --seeds 5")
    trials = probe_trials(run, p.rates)
    belongs = conditions(outputs, trials)
    check_accuracy(belongs, run)
    said = read_outs(at_outcome(td_error, trials), p.baseline)
    recorded = neural.read_deverett(p.recording or neural.fetch("deverett2018")[0])
    found = shares(said, belongs)
    report(found, shuffled(said, belongs, p.shuffles), belongs, recorded)
    scripting.save(draw(found, recorded), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
