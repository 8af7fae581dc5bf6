"""What it costs to train many networks at once, to record, and to store, as ratios measured in one run.

Every line compares two ways of the same training (digits by rows, batch 50), compiled beforehand and timed in turn
(A B A B …), so that a machine that drifts drifts for both.  A time is that of a whole call of `train` or `sweep`:
updates, evaluations, recording, labelling, and storing where asked for.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stopwatch import interleaved

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.parameters import check, field

GRID = {"lambda_": [0.0, 0.5, 1.0]}
PROBED = ["weight_change", "gradient_alignment", "td_error_size", "weight_alignment"]
ACTIVITY = ["rates", "cortical_state", "outputs", "predicted_gradient", "true_gradient", "lambda_target", "td_error"]


@dataclass(frozen=True)
class Parameters:
    """How long to measure."""

    rounds: int = field(5, "rounds of measurement; the median is shown", low=1)
    n_updates: int = field(300, "updates of a training", low=10)
    seeds: int = field(10, "networks", low=2)
    n_units: int = field(30, "cortical units", low=1)
    output: str = field("", "Markdown file to write the table to, besides printing it")

    def __post_init__(self) -> None:
        check(self)


class Trainings:
    """The trainings that are compared."""

    def __init__(self, p: Parameters) -> None:
        self.p = p
        self.task = nb.tasks.SequentialDigits.load()
        cortex, readout = nb.LSTMCortex(8, p.n_units), nb.LinearReadout(10, "softmax_cross_entropy")
        self.circuit = nb.Circuit(cortex, readout, nb.LinearPredictor())
        self.folder = Path(tempfile.mkdtemp())

    def train(self, seeds: int | nb.Seeds, record: tuple[str, ...] = (), store: bool = False) -> None:
        """One call of `train`."""
        output = self.folder / "run" if store else None
        nb.train(
            self.circuit,
            self.task,
            nb.bp_lambda(1.0, 0.9),
            n_updates=self.p.n_updates,
            seeds=seeds,
            record=record,
            output=output,
            overwrite=store,
            progress=False,
        )

    def one_by_one(self) -> None:
        """A run for each seed."""
        for seed in range(self.p.seeds):
            self.train(nb.Seeds((seed,), (seed,), (seed,)))

    def sweep(self, at_once: int) -> None:
        """The grid of λ in calls of at most so many networks."""
        nb.sweep(
            self.circuit,
            self.task,
            nb.bp_lambda(1.0, 0.9),
            GRID,
            n_updates=self.p.n_updates,
            seeds=self.p.seeds,
            at_once=at_once,
            progress=False,
        )


def comparisons(trainings: Trainings) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """Pairs of trainings, by what the ratio of their times says."""
    n = trainings.p.seeds
    plain = lambda: trainings.train(n)  # noqa: E731
    probed, everything = tuple(PROBED), tuple(PROBED + ACTIVITY)
    return {
        f"{n} seeds one after another / at once": (trainings.one_by_one, plain),
        "recording every update and evaluation / loss and accuracy only": (lambda: trainings.train(n, probed), plain),
        "recording everything, with activity / loss and accuracy only": (lambda: trainings.train(n, everything), plain),
        "stored and committed 21 times / in memory": (lambda: trainings.train(n, store=True), plain),
        f"3 λ × {n} seeds in three calls / in one": (lambda: trainings.sweep(n), lambda: trainings.sweep(3 * n)),
    }


def row(name: str, pair: tuple[Callable[[], None], Callable[[], None]], rounds: int) -> str:
    """Median times of a pair, and the median and range of their ratio."""
    times = interleaved(pair, rounds, 0)
    ratio = times[:, 0] / times[:, 1]
    first, second = np.median(times, axis=0)
    return f"| {name} | {first:.2f} | {second:.2f} | {np.median(ratio):.2f} ({ratio.min():.2f}–{ratio.max():.2f}) |"


HEADER = "| A / B | A (s) | B (s) | A/B, median (range) |\n|---|---|---|---|"


def benchmark(p: Parameters) -> None:
    """Measure, print, write."""
    trainings, lines = Trainings(p), []
    print(HEADER, flush=True)
    for name, pair in comparisons(trainings).items():
        lines.append(row(name, pair, p.rounds))
        print(lines[-1], flush=True)
    shutil.rmtree(trainings.folder)
    if p.output:
        Path(p.output).write_text("\n".join([HEADER, *lines, ""]))


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, benchmark)
