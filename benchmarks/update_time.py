"""Time of one update: BPTT and BP(λ) beside the ratio of their multiply–adds, and beside PyTorch where it is installed.

All figures come from one run, measured in turn (A B C A B C …), so that a machine that drifts drifts for all of them.
An update is: forward pass, gradients, Adam on all weights; trials are already on the device.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import optax

import neuro_bpl as nb
from neuro_bpl import cli
from neuro_bpl.parameters import check, field

N_OUTPUTS = 10


@dataclass(frozen=True)
class Parameters:
    """How long to measure."""

    rounds: int = field(7, "rounds of measurement; the median is shown", low=1)
    seconds: float = field(0.5, "time of one measurement", unit="s", above=0)
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


def multiply_adds(case: Case) -> dict[str, int]:
    """Multiply–adds of the products of an update (leading terms; element-wise work and the readout are left out)."""
    gates, components = (4, 2) if case.cell == "LSTM" else (1, 1)
    n, steps = case.n_units, case.n_steps * case.batch
    recurrent, inputs, predictor = gates * n * n, gates * n * case.n_inputs, (components * n) ** 2
    bptt = steps * (3 * recurrent + 2 * inputs)
    return {"BPTT": bptt, "BP(λ)": bptt + steps * 2 * predictor}


def trials(case: Case) -> nb.Trials:
    k_inputs, k_labels = jax.random.split(jax.random.key(0))
    return nb.Trials(
        jax.random.normal(k_inputs, (case.batch, case.n_steps, case.n_inputs)),
        jax.random.randint(k_labels, (case.batch, 1), 0, N_OUTPUTS),
    )


def jax_updates(case: Case, rule: nb.LearningRule, n_updates: int) -> Callable[[], object]:
    """n updates in one compiled scan, as training runs them."""
    network, batch, adam = circuit(case), trials(case), optax.adam(1e-3)

    def update(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
        weights, state = carry
        gradient, outcome = rule.learn(network, weights, batch)
        updates, state = adam.update(gradient, state)
        return (optax.apply_updates(weights, updates), state), outcome.loss

    weights = network.init(jax.random.key(1))
    run = jax.jit(lambda carry: jax.lax.scan(update, carry, None, length=n_updates))
    carry = (weights, adam.init(weights))
    return lambda: jax.block_until_ready(run(carry))


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


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(case: Case, p: Parameters) -> dict[str, float]:
    """Median time of one update in seconds, by method."""
    makers = {
        "BPTT": lambda n: jax_updates(case, nb.bptt(), n),
        "BP(λ)": lambda n: jax_updates(case, nb.bp_lambda(0.9), n),
        "torch": lambda n: torch_updates(case, n),
    }
    runs, counts = {}, {}
    for name, make in makers.items():
        short = make(3)
        if short is None:
            continue
        short()
        counts[name] = max(3, int(p.seconds / (seconds(short) / 3)))
        runs[name] = make(counts[name])
        runs[name]()
    times = {name: [] for name in runs}
    for _ in range(p.rounds):
        for name, run in runs.items():
            times[name].append(seconds(run) / counts[name])
    return {name: float(np.median(values)) for name, values in times.items()}


def row(case: Case, times: dict[str, float]) -> str:
    operations = multiply_adds(case)
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
    cli.main(Parameters, __doc__, benchmark)
