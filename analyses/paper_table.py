"""The comparison of the BP(λ) paper with our numbers: every rule on every task, with seeds and intervals.

Reads those runs that are there: target reaching with a frozen cortex (cosine of ĝ with G), sequential digits (test
accuracy), copy-repeat (longest trial solved).  Writes a Markdown table and a figure (PNG and SVG), and prints what
becomes of the paper's claims (Pemberton & Ponte Costa 2024), each with a test that was fixed beforehand:

* alignment grows with λ: each λ above the one below it;
* BP(1) beats TBPTT(n) and BPTT+SG(n), on digits and on copy-repeat: BP(1) less the other, for every n;
* BP(1) comes near BPTT: BP(1) less BPTT, reported with its interval;
* larger λ solves longer sequences: each λ above the one below it, on copy-repeat.

Differences are paired by seed; a claim holds where the 95 % interval of every difference lies above 0, and is undecided
where a seed of one of its rules has no result: the network has diverged, or its training has failed or was stopped.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from credit_horizon import horizons

import neuro_bpl as nb
from neuro_bpl import figures, scripting
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import finished, grid, selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DATASETS = {"digits": "8×8 digits", "mnist": "MNIST", "cifar10": "CIFAR-10"}
VERDICTS = {True: " Holds.", False: " Does not hold.", None: " Undecided: seeds have no result."}
ORDERS = {"rows": "by rows", "pixels": "by pixels", "permuted": "by permuted pixels"}


@dataclass(frozen=True)
class Parameters:
    """What to read and where to write."""

    reaching: str = field("data/runs/target_reaching", "run of models/target_reaching.py, or nothing")
    digits: str = field("data/runs/mnist_rows", "run of models/sequential_digits.py, or nothing")
    copying: str = field("data/runs/copy_repeat", "run of models/copy_repeat.py, or nothing")
    select: tuple[str, ...] = field((), "values of other parameters of those runs that vary them, such as kappa=1")
    output: str = field("data/figures/paper_table", "figure and table, without suffix; older ones are replaced")


@dataclass(frozen=True)
class Column:
    """One task: what is measured there, by rule and seed, and how many digits are shown."""

    title: str
    values: xr.DataArray
    digits: int


Maker = Callable[[xr.DataTree], Column]


def columns(p: Parameters) -> list[Column]:
    """The tasks whose runs are there."""
    runs = {make: nb.open_run(path) for path, make in _makers(p) if path and Path(path).exists()}
    if not runs:
        why = "the table is made from runs"
        typed = "python models/target_reaching.py, then this analysis again"
        raise refusal("runs", [path for path, _ in _makers(p)], "one that is there, at least", why, typed)
    _check_select(p.select, list(runs.values()))
    found = [make(selection.selected(run, _of_run(p.select, run))) for make, run in runs.items()]
    few = [column.title for column in found if column.values.sizes["seed"] < 2]
    if few:
        raise refusal("runs", few, "runs of two seeds, at least", "intervals are over seeds", "--seeds 5")
    return found


def _makers(p: Parameters) -> tuple[tuple[str, Maker], ...]:
    return (p.reaching, alignment), (p.digits, accuracy), (p.copying, horizon)


def _check_select(select: tuple[str, ...], runs: list[xr.DataTree]) -> None:
    """Refuse a choice of a parameter that no run varies (`ValueError`)."""
    known = list(dict.fromkeys(name for run in runs for name in grid(run.attrs)))
    for text in select:
        if text.partition("=")[0] not in known:
            allowed = f"{', '.join(known)}, each with =value" if known else "nothing: no run is a sweep"
            fix = f"--select {known[0]}=…" if known else "the same without --select"
            raise refusal("select", text, allowed, "no run varies another parameter", fix)


def _of_run(select: tuple[str, ...], run: xr.DataTree) -> list[str]:
    """Those choices that are about parameters that a run varies."""
    return [text for text in select if text.partition("=")[0] in grid(run.attrs)]


def alignment(run: xr.DataTree) -> Column:
    """Cosine of ĝ with G after the last update, mean over steps, of rules that predict."""
    given = run["gradients"]["gradient_alignment"].isel(update=-1, drop=True).mean("time")
    values = selection.by_rule(finished(given, run), run)
    predicting = [rule for rule in values.rule.values if not str(rule).startswith(("BPTT", "TBPTT("))]
    return Column("target reaching: cosine of ĝ with G", values.sel(rule=predicting), 2)


def accuracy(run: xr.DataTree) -> Column:
    """Test accuracy after the last update, in per cent."""
    given = run["evaluation"]["accuracy"].sel(split="test", drop=True).isel(update=-1, drop=True)
    values = selection.by_rule(100 * finished(given, run), run)
    dataset, order = (str(run["parameters"][f"task.{name}"].values) for name in ("dataset", "order"))
    return Column(f"{DATASETS[dataset]} {ORDERS[order]}: test accuracy (%)", values, 1)


def horizon(run: xr.DataTree) -> Column:
    """Steps of the longest trial solved."""
    return Column("copy-repeat: longest trial solved (steps)", horizons(run, 1.0)[0], 1)


def order(rule: str) -> tuple[int, float]:
    """Place of a rule in the table: BPTT, then TBPTT(n), SG(n) and BP(λ), each by its number."""
    kinds = ("BPTT", "TBPTT(", "SG(", "BP(")
    kind = next((place for place, start in enumerate(kinds) if rule.startswith(start)), len(kinds))
    inside = rule.partition("(")[2].rstrip(")")
    return kind, float(inside) if inside.replace(".", "", 1).isdigit() else 0.0


def rules_of(found: list[Column]) -> list[str]:
    """All rules, in the order of the table."""
    return sorted({str(rule) for column in found for rule in column.values.rule.values}, key=order)


def table(found: list[Column]) -> str:
    """Mean and 95 % interval of each rule on each task, as Markdown."""
    sizes = [f"{column.title}, {column.values.sizes['seed']} seeds" for column in found]
    lines = [f"| rule | {' | '.join(sizes)} |", "|---" * (len(found) + 1) + "|"]
    for rule in rules_of(found):
        lines.append(f"| {rule} | {' | '.join(_cell(column, rule) for column in found)} |")
    return "\n".join([*lines, ""])


def _cell(column: Column, rule: str) -> str:
    return scripting.summary95(_of(column, rule), f".{column.digits}f")


def _of(column: Column, rule: str) -> np.ndarray:
    """Values of a rule by seed, none where it is not in the column."""
    known = rule in column.values.rule.values
    return column.values.sel(rule=rule).values.astype(float) if known else np.array([])


def claims(found: list[Column]) -> Iterator[tuple[str, dict[str, np.ndarray], bool | None]]:
    """Claim, the differences by seed that decide it, and whether it holds (None: undecided)."""
    for column in found:
        rules = [str(rule) for rule in column.values.rule.values]
        learned = sorted((rule for rule in rules if rule.startswith("BP(")), key=order)
        rising = [(more, less) for less, more in itertools.pairwise(learned)]
        if rising:
            yield _decided(f"{column.title}: more with larger λ", column, rising)
        others = sorted((rule for rule in rules if rule.startswith(("TBPTT(", "SG("))), key=order)
        if "BP(1)" in rules and others:
            yield _decided(f"{column.title}: BP(1) above windows", column, [("BP(1)", other) for other in others])
        if "BP(1)" in rules and "BPTT" in rules:
            yield _decided(f"{column.title}: BP(1) and BPTT", column, [("BP(1)", "BPTT")])


def _decided(
    claim: str, column: Column, pairs: list[tuple[str, str]]
) -> tuple[str, dict[str, np.ndarray], bool | None]:
    differences = {f"{one} − {other}": _of(column, one) - _of(column, other) for one, other in pairs}
    if not all(np.isfinite(paired).all() for paired in differences.values()):
        return claim, differences, None
    return claim, differences, all(scripting.interval95(paired)[1] > 0 for paired in differences.values())


def report(found: list[Column]) -> str:
    """Table and claims, as Markdown."""
    lines = [table(found)]
    for claim, differences, holds in claims(found):
        verdict = "" if claim.endswith("and BPTT") else VERDICTS[holds]
        shown = "; ".join(f"{name} {scripting.summary95(paired, '+.2f')}" for name, paired in differences.items())
        lines.append(f"* {claim}: {shown}.{verdict}")
    return "\n".join([*lines, ""])


def draw_column(axes: "Axes", column: Column, rules: list[str]) -> None:
    """Seeds as dots, mean with its 95 % interval, the rules from above to below."""
    for place, rule in enumerate(rules):
        values = _of(column, rule)
        colour = figures.look(rule)["color"]
        mean, low, high = scripting.finite95(values)
        axes.plot(values, np.full(len(values), place + 0.22), "o", color=colour, markersize=2.5, alpha=0.5, mew=0)
        axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="s", color=colour, markersize=4, capsize=2)
    axes.set_ylim(len(rules) - 0.4, -0.6)
    name, _, measure = column.title.partition(": ")
    axes.set(xlabel=measure, title=name[0].upper() + name[1:])


@figures.styled
def draw(found: list[Column]) -> "Figure":
    """One panel for each task, one row for each rule."""
    rules = rules_of(found)
    figure, panels = figures.panels(2.2 * len(found) + 0.8, 0.9 + 0.2 * len(rules), len(found))
    for axes, column in zip(panels, found, strict=True):
        draw_column(axes, column, rules)
        axes.set_yticks(range(len(rules)), rules if axes is panels[0] else [""] * len(rules))
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, write, draw."""
    found = columns(p)
    text = report(found)
    print(text)
    paths = figures.save(draw(found), p.output)
    markdown = Path(p.output).with_name(Path(p.output).name + ".md")
    markdown.write_text(text, encoding="utf-8")
    for path in [markdown, *paths]:
        print(f"written: {path}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
