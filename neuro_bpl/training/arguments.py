"""Arguments that training and sweeps share: what is refused, and what a run says of itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.experiments import labelling
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.description import describe
from neuro_bpl.experiments.experiment import Experiment, Seeds
from neuro_bpl.learning.optimizers import OptaxOptimizer, Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import expect, refusal
from neuro_bpl.runs.provenance import differences, origin
from neuro_bpl.tasks.protocol import Task


def attributes(parts: Sequence[Cohort], grid: Mapping[str, Sequence], model: str) -> dict[str, str]:
    """Return the root attributes of a run: model, rules, grid, versions, commit and time."""
    return {"model": model, **labelling.attributes(parts, grid), **origin()}


def check_same(path: Path, stored: Mapping[str, Any], experiment: Experiment) -> None:
    """Refuse to continue a run that is, or may be, of another experiment (`ValueError`)."""
    if found := differences(stored, describe(experiment)):
        raise another_experiment(path, found)
    parts = (experiment.optimizers.cortex, experiment.optimizers.readout, experiment.optimizers.predictor)
    if any(isinstance(part, OptaxOptimizer) for part in parts):
        raise refusal(
            "resume",
            str(path),
            "runs whose optimisers are Optimizer(name, numbers)",
            "a raw Optax transformation is code: it cannot be compared with that of the stored run",
            "overwrite=True, or another output",
        )


def another_experiment(path: Path, found: Sequence[str]) -> ValueError:
    """Return the refusal to continue a run of another experiment."""
    shown = "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")
    return refusal(
        "resume",
        str(path),
        "a run of the same experiment",
        f"this one differs: {shown}",
        "--output with another name, --overwrite to replace it, or the stored values",
    )


def as_seeds(seeds: int | Seeds) -> Seeds:
    """Return `Seeds`; a number n stands for seeds 0 to n − 1."""
    return seeds if isinstance(seeds, Seeds) else Seeds.count(seeds)


def check_arguments(
    circuit: Circuit,
    task: Task,
    rule: LearningRule,
    optimizers: Optimizers | None,
    weights: Weights | None,
    output: Path | str | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """Refuse arguments of the wrong type in `train` and `sweep` (`ValueError`)."""
    expect("circuit", circuit, Circuit, "a Circuit", "it is what learns", "Circuit(cortex, readout, cerebellum)")
    why = "it needs sample, held_out and probe"
    expect("task", task, Task, "an instance of a task", why, "tasks.TargetReaching(n_steps=10)")
    expect("rule", rule, LearningRule, "a LearningRule", "it is how the circuit learns", "bp_lambda(), with brackets")
    if optimizers is not None:
        why = "each part has an optimiser of its own"
        expect("optimizers", optimizers, Optimizers, "Optimizers", why, "Optimizers(cortex=Optimizer('adam', 1e-3))")
    if weights is not None:
        expect("weights", weights, Weights, "Weights", "training starts from them", "weights=load(run).weights")
    for name, value in (("resume", resume), ("overwrite", overwrite)):
        expect(name, value, bool, "True or False", "it decides about a stored run", f"{name}=True")
        if value and output is None:
            why = "there is no stored run without it"
            raise refusal(name, value, f"{name}=True with output=…", why, 'output="data/runs/x"')
