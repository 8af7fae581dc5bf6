"""What a sweep gains from worker processes, as ratios measured in one run.

Every sweep trains the same points (sequential digits by rows, BP(λ), a call for each λ) and stores them.  Times are of
whole sweeps: starting the workers, compiling (kept on disk by a sweep beforehand), training, commits, reading back.
"""

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.parameters import check, field


@dataclass(frozen=True)
class Parameters:
    """What to train, and how often to measure."""

    rounds: int = field(3, "rounds of measurement; the median is shown", low=1)
    workers: int = field(2, "worker processes", low=2)
    points: int = field(4, "points of the sweep", low=2)
    n_updates: int = field(4000, "updates of a training", low=10)
    seeds: int = field(10, "networks of a point", low=1)
    n_units: int = field(30, "cortical units", low=1)
    output: str = field("", "Markdown file to write the table to, besides printing it")

    def __post_init__(self) -> None:
        check(self)


def seconds(p: Parameters, workers: int) -> float:
    """Wall time of one sweep with so many processes that train."""
    circuit = nb.Circuit(
        nb.LSTMCortex(8, p.n_units), nb.LinearReadout(10, "softmax_cross_entropy"), nb.LinearPredictor()
    )
    folder = Path(tempfile.mkdtemp())
    start = time.perf_counter()
    nb.sweep(
        circuit,
        nb.tasks.SequentialDigits.load(),
        nb.bp_lambda(1.0, 0.9),
        {"lambda_": np.linspace(0, 1, p.points).tolist()},
        n_updates=p.n_updates,
        seeds=p.seeds,
        at_once=p.seeds,
        output=folder / "run",
        workers=workers,
        progress=False,
    )
    passed = time.perf_counter() - start
    shutil.rmtree(folder)
    return passed


def benchmark(p: Parameters) -> None:
    """Measure in turn, and print times, gain and efficiency."""
    seconds(p, p.workers)
    times = np.array([[seconds(p, workers) for workers in (1, p.workers)] for _ in range(p.rounds)])
    gain, updates = times[:, 0] / times[:, 1], p.points * p.seeds * p.n_updates
    lines = ["| processes | time (s) | updates of a network a second |", "|---|---|---|"]
    for name, passed in zip(("1", f"{p.workers} workers"), np.median(times, axis=0), strict=True):
        lines.append(f"| {name} | {passed:.1f} | {updates / passed:.0f} |")
    middle = np.median(gain)
    lines.append(f"\ngain {middle:.2f} ({gain.min():.2f}–{gain.max():.2f}), efficiency {middle / p.workers:.0%}")
    print("\n".join(lines))
    if p.output:
        Path(p.output).write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, benchmark)
