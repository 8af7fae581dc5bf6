"""Time of one update: BPTT and BP(λ) beside the ratio of their multiply–adds, and beside PyTorch where it is installed.

All figures come from one run, measured in turn (A B C A B C …), so that a machine that drifts drifts for all of them.
An update is: forward pass, gradients, Adam on all weights; trials are already on the device.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stopwatch import Training, interleaved, labelled

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.parameters import check, field

N_OUTPUTS = 10
RULES = {"BPTT": nb.bptt(), "BP(λ)": nb.bp_lambda(0.9)}


@dataclass(frozen=True)
class Parameters:
    """How long to measure."""

    rounds: int = field(7, "rounds of measurement; the median is shown", low=1)
    n_updates: int = field(10, "updates in one compiled scan", low=1)
    seconds: float = field(0.5, "shortest time of one measurement", unit="s", above=0)
    output: str = field("", "Markdown file to write the table to, besides printing it")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Case:
    """One size of circuit, trial and batch."""

    cell: str
    n_units: int
    n_inputs: int
    n_steps: int
    batch: int

    @property
    def name(self) -> str:
        """Cell, units, steps and batch."""
        return f"{self.cell} {self.n_units}, T {self.n_steps}, batch {self.batch}"


CASES = (
    Case("LSTM", 30, 28, 28, 50),
    Case("LSTM", 100, 10, 23, 100),
    Case("rate", 100, 1, 784, 50),
)


def circuit(case: Case) -> nb.Circuit:
    cell = nb.LSTMCortex if case.cell == "LSTM" else nb.RateCortex
    readout = nb.LinearReadout(N_OUTPUTS, "softmax_cross_entropy")
    return nb.Circuit(cell(case.n_inputs, case.n_units), readout, nb.LinearPredictor())


def multiply_adds(case: Case, rule: nb.LearningRule) -> float:
    """All products of an update, those of element-wise work and of the optimiser among them; NaN where unknown."""
    adam = nb.Optimizer("adam", 1e-3)
    optimizers, sizes = nb.Optimizers(adam, adam, adam), {"batch_size": case.batch, "n_steps": case.n_steps}
    found = nb.cost(circuit(case), rule, optimizers=optimizers, at_last_step=True, **sizes).multiply_adds
    return math.nan if found is None else found


def torch_updates(case: Case, n_updates: int) -> Callable[[], object] | None:
    """The same with torch.nn.LSTM or torch.nn.RNN; None where PyTorch is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.manual_seed(0)
    cell = (torch.nn.LSTM if case.cell == "LSTM" else torch.nn.RNN)(case.n_inputs, case.n_units)
    readout = torch.nn.Linear(case.n_units, N_OUTPUTS)
    adam = torch.optim.Adam([*cell.parameters(), *readout.parameters()], 1e-3, fused=True)
    inputs = torch.randn(case.n_steps, case.batch, case.n_inputs)
    labels = torch.randint(0, N_OUTPUTS, (case.batch,))

    def run() -> None:
        for _ in range(n_updates):
            adam.zero_grad()
            outputs, _ = cell(inputs)
            torch.nn.functional.cross_entropy(readout(outputs[-1]), labels).backward()
            adam.step()

    return run


def measure(case: Case, p: Parameters) -> dict[str, float]:
    """Median time of one update in seconds, by method."""
    batch = labelled(case.n_inputs, N_OUTPUTS, case.n_steps, case.batch)
    runs = {name: Training(circuit(case), rule, batch, p.n_updates).run for name, rule in RULES.items()}
    theirs = torch_updates(case, p.n_updates)
    runs |= {} if theirs is None else {"torch": theirs}
    times = interleaved(list(runs.values()), p.rounds, p.seconds) / p.n_updates
    return dict(zip(runs, np.median(times, axis=0).tolist(), strict=True))


def row(case: Case, times: dict[str, float]) -> str:
    operations = {name: multiply_adds(case, rule) for name, rule in RULES.items()}
    expected = operations["BP(λ)"] / operations["BPTT"]
    measured = times["BP(λ)"] / times["BPTT"]
    torch = f"{1e3 * times['torch']:.2f} | {times['BPTT'] / times['torch']:.2f}" if "torch" in times else "– | –"
    return (
        f"| {case.name} | {1e3 * times['BPTT']:.2f} | {1e3 * times['BP(λ)']:.2f} | {measured:.2f} | {expected:.2f} "
        f"| {measured / expected:.2f} | {torch} |"
    )


HEADER = (
    "| case | BPTT (ms) | BP(λ) (ms) | BP(λ)/BPTT | multiply–adds "
    "| measured/multiply–adds | torch (ms) | BPTT/torch |\n"
    "|---|---|---|---|---|---|---|---|"
)


def benchmark(p: Parameters) -> None:
    print(HEADER, flush=True)
    lines = []
    for case in CASES:
        lines.append(row(case, measure(case, p)))
        print(lines[-1], flush=True)
    if p.output:
        Path(p.output).write_text("\n".join([HEADER, *lines, ""]))


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, benchmark)
