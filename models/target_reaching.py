"""A linear cortex keeps a cue in mind and points at a target; the cerebellum predicts the error that comes at the end.

The toy task ("line drawing") of Pemberton & Ponte Costa 2024 (TMLR).  As released, cortex and readout are frozen and
only the predictor learns, so that its prediction can be held against the true gradient; --plastic lets all learn.
Results: docs/results.md.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import jax
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.experiments import applicable
from neuro_bpl.parameters import check, field
from neuro_bpl.scripting import RuleNumbers, Storage, rule_words
from neuro_bpl.training import Point

RECORD = ("gradient_alignment", "td_error_size", "td_error", "predicted_gradient", "true_gradient", "rates")
PAPER = "Pemberton & Ponte Costa 2024"
ADAM = {"b1": 0.9, "b2": 0.98, "eps": 1e-9}  # Pemberton & Ponte Costa 2024


@dataclass(frozen=True)
class Parameters(RuleNumbers, Storage):
    """Constants of the model."""

    rule: str = field("bp_lambda", rule_words.HELP)
    discount: float = field(1.0, "discount of bp_lambda and dni", symbol="γ", source=PAPER, low=0, high=1)
    kappa: float = field(1.0, "weight of the synthetic gradient", symbol="κ", source=PAPER, low=0)
    plastic: bool = field(False, "let cortex and readout learn, too (as released they are frozen)")
    n_steps: int = field(10, "steps of a trial", symbol="T", source=PAPER, low=1)
    cues: str = field("1101000001", "cues, separated by commas, one for each target", source=PAPER)
    n_cues: int = field(0, "number of random cues instead (0: those of --cues)", low=0)
    trajectory: str = field("end", "target at the end only, or a line to it at every step", choices=("end", "whole"))
    noise: float = field(0.0, "SD of noise on the inputs", low=0)
    nonlinearity: str = field(
        "identity", "transfer function", source=PAPER, choices=("identity", "tanh", "relu", "softplus", "sigmoid")
    )
    n_units: int = field(30, "cortical units", symbol="n", source=PAPER, low=1)
    learning_rate: float = field(1e-3, "Adam, cortex and readout where they learn", symbol="η", low=0)
    predictor_learning_rate: float = field(1e-4, "Adam, cerebellum", symbol="α", source=PAPER, low=0)
    batch_size: int = field(10, "trials of an update", source=PAPER, low=1)
    n_updates: int = field(1000, "updates", source=PAPER, low=1)
    n_evaluations: int = field(10, "evaluations", source=PAPER, low=1)
    n_snapshots: int = field(1, "snapshots of weights and activity after the first", low=1)
    seeds: int = field(20, "networks trained at once", low=1)
    sweep: tuple[str, ...] = field(
        ("auto",), "parameters to vary, each with its values; auto: lambda_=0,0.5,1 where bp_lambda is the only rule"
    )
    output: str = field("data/runs/target_reaching", "folder of the run")

    def __post_init__(self) -> None:
        check(self)
        rule_words.check_words(self.rule)


def task(p: Parameters) -> nb.tasks.TargetReaching:
    """Cues, targets and steps."""
    cues = None if p.n_cues else tuple(p.cues.split(","))
    n_inputs = 10 if cues is None else len(cues[0])
    n_cues = p.n_cues or len(p.cues.split(","))
    return nb.tasks.TargetReaching(p.n_steps, n_cues, n_inputs, cues, p.trajectory, p.noise)


def circuit(p: Parameters) -> nb.Circuit:
    """A plain recurrent network (τ = dt), a linear readout, a linear predictor."""
    reaching = task(p)
    cortex = nb.RateCortex(reaching.n_inputs, p.n_units, p.nonlinearity)
    return nb.Circuit(cortex, nb.LinearReadout(reaching.n_outputs), nb.LinearPredictor())


@cache
def newborn(network: nb.Circuit, seeds: nb.Seeds, precision: str) -> nb.Weights:
    """Weights of each seed; the cortical bias is the sum of two draws, one for inputs and one for recurrence."""

    def one(key: jax.Array) -> nb.Weights:
        weights = network.init(key)
        second = network.init(jax.random.fold_in(key, 1)).cortex.b
        return weights._replace(cortex=weights.cortex._replace(b=weights.cortex.b + second))

    with jax.enable_x64(precision == "float64"):
        return jax.jit(jax.vmap(one))(seeds.keys()[0])


def learning_rule(p: Parameters) -> nb.LearningRule:
    """The rule called `p.rule`."""
    return rule_words.rule_of(p.rule, lambda_=p.lambda_, discount=p.discount, kappa=p.kappa, window=p.window)


def experiment(p: Parameters) -> nb.Experiment:
    """All that determines a run with one rule."""
    cortical = nb.Optimizer("adam", p.learning_rate, ADAM) if p.plastic else None
    predictor = nb.Optimizer("adam", p.predictor_learning_rate, ADAM)
    network, seeds, rule = circuit(p), nb.Seeds.count(p.seeds), learning_rule(p)
    return nb.Experiment(
        circuit=network,
        task=task(p),
        rule=rule,
        optimizers=nb.Optimizers(cortical, cortical, predictor),
        schedule=nb.Schedule(p.n_updates, p.batch_size, p.n_evaluations, p.n_snapshots, p.precision),
        seeds=seeds,
        record=applicable(RECORD, rule),
        weights=newborn(network, seeds, p.precision),
    )


def points(p: Parameters) -> tuple[list[Point], dict[str, list]]:
    """What is trained; λ varies on its own where all that is asked for has it, and is not told by the word."""
    alone = ("lambda_=0,0.5,1",) if p.rule == "bp_lambda" else ()
    return scripting.points(replace(p, sweep=alone if p.sweep == ("auto",) else p.sweep), experiment)


def simulate(p: Parameters) -> Path:
    """Train at every point asked for, and store the run."""
    run = nb.run(*points(p), model="models/target_reaching.py", **scripting.storage(p))
    report(run, Path(p.output))
    return Path(p.output)


def report(run: xr.DataTree, path: Path) -> None:
    """Print the loss, and how well the predicted gradient points along the true one."""
    loss = run["evaluation"]["loss"].sel(split="test").isel(update=-1)
    print(f"\nafter {int(loss.update)} updates, mean ± SD, seeds: {loss.sizes['seed']}")
    for name, values in scripting.by_point(loss):
        print(f"  {name:<14} loss {scripting.mean_and_spread(values, 4)}")
    if "gradients" in run:
        for name, values in scripting.by_point(run["gradients"]["gradient_alignment"].isel(update=-1).mean("time")):
            print(f"  {name:<14} cosine of ĝ with G {scripting.mean_and_spread(values, 2)}")
    print(f"run: {path}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, simulate, plan=lambda p: points(p)[0])
