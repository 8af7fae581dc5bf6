"""Spikes from arrays, counted from an event and in bins: time and peak memory of each step; and of a file in NWB.

Spikes are Poisson on the clock of one session; trials follow each other evenly.  A file is written and read where pynwb
and the reader of NWB are there.
"""

import gc
import importlib.util
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from stopwatch import seconds

from neuro_bpl import neural, scripting
from neuro_bpl.parameters import check, field

HEADER = "| step | time (s) | peak memory (MB) |\n|---|---|---|"
TRIAL, WINDOW, WIDTH = 3.0, (-0.5, 1.5), 0.02  # seconds


@dataclass(frozen=True)
class Parameters:
    """How much to read, and how often."""

    spikes: int = field(1_000_000, "spikes in all", low=1)
    units: int = field(100, "units", low=1)
    trials: int = field(1000, "trials", low=1)
    rounds: int = field(5, "rounds of measurement; the median is shown", low=1)
    output: str = field("", "Markdown file to write the table to, besides printing it")

    def __post_init__(self) -> None:
        check(self)


def recording(p: Parameters) -> tuple[list[np.ndarray], np.ndarray]:
    """Spike times of each unit, and an event of each trial."""
    rng = np.random.default_rng(0)
    times = rng.uniform(0, p.trials * TRIAL, p.spikes)
    of_unit = np.array_split(times, p.units)
    return [np.sort(train) for train in of_unit], TRIAL * (np.arange(p.trials) + 0.5)


def write_nwb(path: Path, trains: list[np.ndarray], events: np.ndarray) -> None:
    from pynwb import NWBHDF5IO, NWBFile

    file = NWBFile("benchmark", "benchmark", datetime(2020, 1, 1, tzinfo=UTC))
    file.add_trial_column("go", "go cue")
    for event in events:
        file.add_trial(start_time=event - TRIAL / 2, stop_time=event + TRIAL / 2, go=event)
    for train in trains:
        file.add_unit(spike_times=train)
    with NWBHDF5IO(path, "w") as writer:
        writer.write(file)


def steps(p: Parameters, folder: Path) -> dict[str, Callable[[], Any]]:
    """What is measured, by name."""
    trains, events = recording(p)
    trials = {"go": (events, "s", "go cue")}
    session = neural.from_arrays(trains, trials)
    aligned = neural.align(session, "go", WINDOW)
    measured = {
        "from_arrays": lambda: neural.from_arrays(trains, trials),
        "align": lambda: neural.align(session, "go", WINDOW),
        "bin": lambda: neural.bin(aligned, WIDTH),
        "all three": lambda: neural.bin(neural.align(neural.from_arrays(trains, trials), "go", WINDOW), WIDTH),
    }
    if all(map(importlib.util.find_spec, ("pynwb", "neuro_bpl.neural.sessions.nwb"))):
        write_nwb(folder / "spikes.nwb", trains, events)
        measured["read NWB"] = lambda: neural.read(folder / "spikes.nwb")
    return measured


def peak(step: Callable[[], Any]) -> float:
    """Bytes that a step has at most, its result included."""
    gc.collect()
    tracemalloc.start()
    result = step()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    return float(most)


def benchmark(p: Parameters) -> None:
    print(f"{p.spikes:,} spikes, {p.units} units, {p.trials} trials\n\n{HEADER}", flush=True)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, step in steps(p, Path(folder)).items():
            median = float(np.median([seconds(step, 0) for _ in range(p.rounds)]))
            lines.append(f"| {name} | {median:.3f} | {peak(step) / 1e6:.0f} |")
            print(lines[-1], flush=True)
    if p.output:
        Path(p.output).write_text("\n".join([HEADER, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, benchmark)
