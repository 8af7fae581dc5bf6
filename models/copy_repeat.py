"""A cortico-cerebellar circuit repeats patterns of bits that grow longer as it learns: how far back does each rule see?

The copy-repeat task of Pemberton & Ponte Costa 2024 (TMLR) with their curriculum and settings.  A network begins with a
trial of 5 steps and goes on to longer ones whenever its loss falls below 0.15 bit; the longest trial that it has solved
is the horizon of its rule.  Results: docs/results.md.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.experiments import applicable
from neuro_bpl.parameters import check, field
from neuro_bpl.scripting import RuleNumbers, Storage, rule_words

RECORD = ("gradient_alignment",)
PAPER = "Pemberton & Ponte Costa 2024"
ADAM = {"b1": 0.9, "b2": 0.98, "eps": 1e-9}  # Pemberton & Ponte Costa 2024


@dataclass(frozen=True)
class Parameters(RuleNumbers, Storage):
    """Constants of the model."""

    rule: str = field("bptt,tbptt:3,dni:3,bp_lambda:0,bp_lambda:1", rule_words.HELP)
    discount: float = field(0.9, "discount of bp_lambda and dni", symbol="γ", source=PAPER, low=0, high=1)
    kappa: float = field(1.0, "weight of the synthetic gradient", symbol="κ", source=PAPER, low=0)
    n_bits: int = field(8, "bits of a word", source=PAPER, low=1)
    n_steps: int = field(128, "steps of the longest trial that may come", symbol="T", low=5)
    threshold: float = field(0.15, "loss below which trials grow longer", unit="bit", source=PAPER, low=0)
    n_units: int = field(100, "cortical units", symbol="n", source=PAPER, low=1)
    learning_rate: float = field(1e-3, "Adam, cortex and readout", symbol="η", source=PAPER, low=0)
    predictor_learning_rate: float = field(1e-5, "Adam, cerebellum", symbol="α", source=PAPER, low=0)
    batch_size: int = field(100, "trials of an update", source=PAPER, low=1)
    n_updates: int = field(10_000, "updates (the paper: 150 000)", low=1)
    n_evaluations: int = field(50, "held-out evaluations", low=1)
    n_snapshots: int = field(1, "snapshots of weights after the first", low=1)
    seeds: int = field(5, "networks trained at once", low=1)
    sweep: tuple[str, ...] = field((), "parameters to vary, each with its values: kappa=0.1,1")
    output: str = field("data/runs/copy_repeat", "folder of the run")

    def __post_init__(self) -> None:
        check(self)
        rule_words.check_words(self.rule)


def experiment(p: Parameters) -> nb.Experiment:
    """All that determines a run with one rule."""
    task = nb.tasks.CopyRepeat(p.n_bits, p.n_steps, p.threshold)
    rule = rule_words.rule_of(p.rule, lambda_=p.lambda_, discount=p.discount, kappa=p.kappa, window=p.window)
    cortical = nb.Optimizer("adam", p.learning_rate, ADAM)
    predictor = nb.Optimizer("adam", p.predictor_learning_rate, ADAM)
    return nb.Experiment(
        circuit=nb.Circuit(
            nb.LSTMCortex(task.n_inputs, p.n_units),
            nb.LinearReadout(task.n_outputs, "sigmoid_cross_entropy"),
            nb.LinearPredictor(),
        ),
        task=task,
        rule=rule,
        optimizers=nb.Optimizers(cortical, cortical, predictor),
        schedule=nb.Schedule(p.n_updates, p.batch_size, p.n_evaluations, p.n_snapshots, p.precision),
        seeds=nb.Seeds.count(p.seeds),
        record=applicable(RECORD, rule),
    )


def simulate(p: Parameters) -> Path:
    """Train with every rule, at every point of the sweep, and store the run."""
    run = nb.run(*scripting.points(p, experiment), model="models/copy_repeat.py", **scripting.storage(p))
    report(run, Path(p.output))
    return Path(p.output)


def report(run: xr.DataTree, path: Path) -> None:
    """Print how long trials have become, and the loss of the last updates."""
    training = run["training"]
    print(f"\nafter {training.sizes['update']} updates, mean ± SD, seeds: {training.sizes['seed']}")
    bits = dict(scripting.by_point(training["loss"].isel(update=slice(-20, None)).mean("update") / math.log(2)))
    for name, steps in scripting.by_point(training["difficulty"].isel(update=-1)):
        reached = f"{scripting.mean_and_spread(steps, 1)} steps"
        print(f"  {name:<14} trials of {reached}, loss {scripting.mean_and_spread(bits[name], 3)} bit")
    print(f"run: {path}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, simulate, plan=lambda p: scripting.points(p, experiment)[0])
