"""Time from `import neuro_bpl` to the first recorded updates: import, trace, lower, compile and run, cold and warm.

Each measurement is a process of its own. A cold one has an empty folder of compiled programs, a warm one the folder
that the cold one has filled.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import psutil

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.parameters import check, field

CASES = ("README", "digits", "target reaching")
STAGES = {
    "trace": "/jax/core/compile/jaxpr_trace_duration",
    "lower": "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "compile": "/jax/core/compile/backend_compile_duration",
}
HEADER = (
    "| case | programs | CPU time (s) | wall time (s) | import (CPU s) | trace (s) | lower (s) | compile (s) "
    "| first updates again (CPU s) |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Parameters:
    """What to measure, and how often."""

    case: str = field(",".join(CASES), "circuits and tasks, separated by commas: " + ", ".join(CASES))
    rounds: int = field(3, "processes of each kind; the median is shown", low=1)
    output: str = field("", "Markdown file to write the table to, besides printing it")

    def __post_init__(self) -> None:
        check(self)


def experiment(case: str) -> tuple[nb.Circuit, nb.tasks.Task, int]:
    """Circuit, task and seeds of a case."""
    if case == "target reaching":
        task = nb.tasks.TargetReaching(n_steps=10)
        return nb.Circuit(nb.RateCortex(task.n_inputs, 50), nb.LinearReadout(2), nb.LinearPredictor()), task, 5
    task, readout = nb.tasks.SequentialDigits.load(), nb.LinearReadout(10, "softmax_cross_entropy")
    if case == "digits":
        return nb.Circuit(nb.LSTMCortex(8, 30), readout, nb.LinearPredictor()), task, 10
    cortex = nb.RateCortex(8, 30, nonlinearity="tanh", tau=0.02, dt=0.02)
    return nb.Circuit(cortex, readout, nb.GranularPredictor(300, fan_in=4)), task, 2


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(case: str) -> dict[str, float]:
    """Times of this process: from its start to five updates, which one commit holds, and of five updates more."""
    found: dict[str, float] = defaultdict(float)
    found["import"] = cpu_seconds()

    def listen(event: str, duration: float, **_: object) -> None:
        for stage, name in STAGES.items():
            found[stage] += duration if event == name else 0.0
        found["programs"] += event == STAGES["compile"]

    jax.monitoring.register_event_duration_secs_listener(listen)
    nb.keep_compiled()
    circuit, task, seeds = experiment(case)
    run = {"n_updates": 5, "seeds": seeds, "n_evaluations": 1, "progress": False}
    nb.train(circuit, task, nb.bp_lambda(), **run)
    found |= {"wall": time.time() - psutil.Process().create_time(), "cpu": cpu_seconds()}
    once = cpu_seconds()
    programs = found["programs"]
    nb.train(circuit, task, nb.bp_lambda(0.5), **run)
    assert found["programs"] == programs, "a second run of the same shapes compiles something"
    return {**found, "again": cpu_seconds() - once}


def in_a_process(case: str, folder: Path) -> dict[str, float]:
    """`measured` in a process of its own, with a folder of compiled programs."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, __file__, "--one", case], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def row(name: str, rounds: list[dict[str, float]]) -> str:
    median = {key: float(np.median([one[key] for one in rounds])) for key in rounds[0]}
    times = " | ".join(f"{median[key]:.2f}" for key in ("cpu", "wall", "import", *STAGES, "again"))
    return f"| {name} | {median['programs']:.0f} | {times} |"


def benchmark(p: Parameters) -> None:
    print(HEADER, flush=True)
    lines = [HEADER]
    for case in p.case.split(","):
        found: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
        for _ in range(p.rounds):
            with tempfile.TemporaryDirectory() as folder:
                for state in found:
                    found[state].append(in_a_process(case, Path(folder)))
        for state, rounds in found.items():
            lines.append(row(f"{case}, {state}", rounds))
            print(lines[-1], flush=True)
    if p.output:
        Path(p.output).write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measured(sys.argv[2])))
    else:
        scripting.main(Parameters, __doc__, benchmark)
