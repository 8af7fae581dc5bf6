"""The comparison of the BP(λ) paper with our numbers: every rule on every task, with seeds and intervals.

Reads those runs that are there: target reaching with a frozen cortex (cosine of ĝ with G), MNIST by rows (test
accuracy), copy-repeat (longest trial solved).  Writes a Markdown table and a figure (PNG and SVG), and prints what
becomes of the paper's claims (Pemberton & Ponte Costa 2024), each with a test that was fixed beforehand:

* alignment grows with λ: each λ above the one below it;
* BP(1) beats TBPTT(n) and BPTT+SG(n), on MNIST and on copy-repeat: BP(1) less the other, for every n;
* BP(1) comes near BPTT: BP(1) less BPTT, reported with its interval;
* larger λ solves longer sequences: each λ above the one below it, on copy-repeat.

Differences are paired by seed; a claim holds where the 95 % interval of every difference lies above 0.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from credit_horizon import horizons
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import neuro_bpl as nb
from neuro_bpl import cli, figures
from neuro_bpl.parameters import field, refusal


@dataclass(frozen=True)
class Parameters:
    """What to read and where to write."""

    reaching: str = field("data/runs/target_reaching", "run of models/target_reaching.py, or nothing")
    digits: str = field("data/runs/mnist_rows", "run of models/sequential_digits.py --dataset mnist, or nothing")
    copying: str = field("data/runs/copy_repeat", "run of models/copy_repeat.py, or nothing")
    output: str = field("data/figures/paper_table", "figure and table, without suffix; older ones are replaced")


@dataclass(frozen=True)
class Column:
    """One task: what is measured there, by rule and seed, and how many digits are shown."""

    title: str
    values: xr.DataArray
    digits: int


def columns(p: Parameters) -> list[Column]:
    """The tasks whose runs are there."""
    found = [make(Path(path)) for path, make in _makers(p) if path and Path(path).exists()]
    if not found:
        why = "the table is made from runs"
        typed = "python models/target_reaching.py, then this analysis again"
        raise refusal("runs", [path for path, _ in _makers(p)], "one that is there, at least", why, typed)
    few = [column.title for column in found if column.values.sizes["seed"] < 2]
    if few:
        raise refusal("runs", few, "runs of two seeds, at least", "intervals are over seeds", "--seeds 5")
    return found


def _makers(p: Parameters) -> tuple:
    return (p.reaching, alignment), (p.digits, accuracy), (p.copying, horizon)


def alignment(path: Path) -> Column:
    """Cosine of ĝ with G after the last update, mean over steps."""
    run = nb.open_run(path)
    given = run["gradients"]["gradient_alignment"].isel(update=-1, drop=True).mean("time")
    return Column("target reaching: cosine of ĝ with G", figures.by_rule(given, run), 2)


def accuracy(path: Path) -> Column:
    """Test accuracy after the last update, in per cent."""
    run = nb.open_run(path)
    given = run["evaluation"]["accuracy"].sel(split="test", drop=True).isel(update=-1, drop=True)
    return Column("MNIST by rows: test accuracy (%)", figures.by_rule(100 * given, run), 1)


def horizon(path: Path) -> Column:
    """Steps of the longest trial solved."""
    return Column("copy-repeat: longest trial solved (steps)", horizons(nb.open_run(path), 1.0)[0], 1)


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
    seeds = _of(column, rule)
    if seeds is None:
        return "–"
    mean, low, high = (f"{value:.{column.digits}f}" for value in figures.interval95(seeds))
    return f"{mean} [{low}, {high}]"


def _of(column: Column, rule: str) -> np.ndarray | None:
    """Values of a rule that are numbers; None where there are fewer than two."""
    if rule not in column.values.rule.values:
        return None
    values = column.values.sel(rule=rule).values.astype(float)
    return values if np.isfinite(values).sum() > 1 else None


def claims(found: list[Column]) -> Iterator[tuple[str, list[tuple[str, tuple[float, float, float]]], bool]]:
    """Claim, the differences that decide it with their intervals, and whether it holds."""
    for column in found:
        rules = [str(rule) for rule in column.values.rule.values if _of(column, str(rule)) is not None]
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
) -> tuple[str, list[tuple[str, tuple[float, float, float]]], bool]:
    differences = []
    for one, other in pairs:
        paired = (column.values.sel(rule=one) - column.values.sel(rule=other)).values.astype(float)
        differences.append((f"{one} − {other}", figures.interval95(paired[np.isfinite(paired)])))
    return claim, differences, all(low > 0 for _, (_, low, _) in differences)


def report(found: list[Column]) -> str:
    """Table and claims, as Markdown."""
    lines = [table(found)]
    for claim, differences, holds in claims(found):
        verdict = "" if claim.endswith("and BPTT") else " Holds." if holds else " Does not hold."
        shown = "; ".join(f"{name} {mean:+.2f} [{low:+.2f}, {high:+.2f}]" for name, (mean, low, high) in differences)
        lines.append(f"* {claim}: {shown}.{verdict}")
    return "\n".join([*lines, ""])


def draw_column(axes: Axes, column: Column, rules: list[str]) -> None:
    """Seeds as dots, mean with its 95 % interval, the rules from above to below."""
    for place, rule in enumerate(rules):
        values = _of(column, rule)
        if values is None:
            continue
        colour = figures.look(rule)["color"]
        mean, low, high = figures.interval95(values)
        axes.plot(values, np.full(len(values), place + 0.22), "o", color=colour, markersize=2.5, alpha=0.5, mew=0)
        axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="s", color=colour, markersize=4, capsize=2)
    axes.set_ylim(len(rules) - 0.4, -0.6)
    name, _, measure = column.title.partition(": ")
    axes.set(xlabel=measure, title=name[0].upper() + name[1:])


@figures.styled
def draw(found: list[Column]) -> Figure:
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
    cli.main(Parameters, __doc__, analyse)
