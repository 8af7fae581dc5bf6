"""What the predictor's trace may forget: every form of it on two tasks, one cortex, one optimiser, one budget.

The cerebellum learns from TD errors as the trial runs; weights change when it is over, or (--update step) at every
step.  Its trace is full, swept from a history, random of low rank, of a projected predictor, diagonal, or a leak alone.
References are BP(λ) from whole trials, and rules without a prediction.  Results: docs/results.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.experiments import applicable
from neuro_bpl.learning import ROUTES
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal
from neuro_bpl.scripting import Storage
from neuro_bpl.training import Point

PAPER = "Pemberton & Ponte Costa 2024"
RECORD = ("gradient_alignment", "weight_alignment", "update_alignment", "update_bias", "update_variance")
TASKS = {"target_reaching": ("squared_error", 1.0, 1.0), "digits": ("softmax_cross_entropy", 0.9, 0.1)}  # loss, γ, κ
BASES = {"projected": "random", "pca": "pca", "learned": "learned"}
REFERENCES = ("bptt", "tbptt", "eprop")


def traces(p: "Parameters") -> Mapping[str, nb.predictor_traces.PredictorTrace]:
    """Every form by a name to type."""
    projected = dict.fromkeys(BASES, nb.predictor_traces.ProjectedTrace())
    return {
        "full": nb.predictor_traces.FullTrace(),
        "history": nb.HistorySweep(),
        "low_rank": nb.predictor_traces.LowRankTrace(p.rank),
        **projected,
        "diagonal": nb.predictor_traces.DiagonalTrace(),
        "leak": nb.predictor_traces.LeakTrace(),
        "true_online": nb.HistorySweep(),
    }


FORMS = (*REFERENCES, "forward", "full", "history", "low_rank", *BASES, "diagonal", "leak", "true_online")


@dataclass(frozen=True)
class Parameters(Storage):
    """Constants of the model."""

    task: str = field(",".join(TASKS), "tasks, separated by commas")
    rule: str = field(",".join(FORMS[:-1]), f"forms of the trace, separated by commas: {', '.join(FORMS)}")
    update: str = field(
        "trial",
        "when weights change (bptt, forward: per trial)",
        choices=("trial", "step"),
    )
    td_error: str = field("exact", "how errors come to the climbing fibres", choices=ROUTES)
    lambda_: float = field(1.0, "trace decay", symbol="λ", low=0, high=1)
    rank: int = field(1, "random products of low_rank", symbol="r", low=1)
    n_dimensions: int = field(8, "dimensions of projected, pca and learned", symbol="k", low=1)
    n_units: int = field(32, "cortical units", symbol="n", low=1)
    tau: float = field(0.02, "membrane time constant", unit="s", symbol="τ", above=0)
    dt: float = field(0.01, "duration of a step", unit="s", symbol="dt", above=0)
    reaching_steps: int = field(10, "steps of a trial of target reaching", symbol="T", source=PAPER, low=1)
    n_cues: int = field(4, "cues of target reaching", low=1)
    frozen: bool = field(False, "let the cerebellum learn alone, of a cortex and a readout that stay as they were born")
    optimizer: str = field("adam", "optimiser of the cerebellum", choices=("adam", "sgd"))
    learning_rate: float = field(1e-3, "Adam, cortex and readout", symbol="η", low=0)
    predictor_learning_rate: float = field(1e-3, "cerebellum", symbol="α", low=0)
    batch_size: int = field(10, "trials of an update", source=PAPER, low=1)
    n_updates: int = field(1000, "batches of trials", low=1)
    n_evaluations: int = field(10, "evaluations", low=1)
    seeds: int = field(5, "networks trained at once", low=1)
    output: str = field("data/runs/predictor_traces", "folder of the runs, one for each task")

    def __post_init__(self) -> None:
        check(self)
        for name, given, known in (("task", self.task, tuple(TASKS)), ("rule", self.rule, FORMS)):
            for one in given.split(","):
                if one not in known:
                    why = f"these are the {name}s of this model"
                    raise refusal(name, one, ", ".join(known), why, f"--{name} {','.join(known[:2])}")


def task(p: Parameters) -> Any:
    """The task called `p.task`."""
    makers: Mapping[str, Callable[[], Any]] = {
        "target_reaching": lambda: nb.tasks.TargetReaching(p.reaching_steps, p.n_cues),
        "digits": nb.tasks.SequentialDigits.load,
    }
    return makers[p.task]()


def circuit(p: Parameters, of: Any) -> nb.Circuit:
    """Leaky rate units, a linear readout, and a linear predictor, of the whole state or of a few of its dimensions."""
    predictor: Any = nb.LinearPredictor()
    if p.rule in BASES:
        predictor = nb.ProjectedPredictor(predictor, p.n_dimensions, BASES[p.rule])
    return nb.Circuit(
        nb.RateCortex(of.n_inputs, p.n_units, tau=p.tau, dt=p.dt),
        nb.LinearReadout(of.n_outputs, TASKS[p.task][0]),
        predictor,
        olive=nb.OlivaryPathway() if p.td_error in ("random", "learned") else None,
    )


def learning_rule(p: Parameters) -> nb.LearningRule:
    """A rule without a prediction, BP(λ) from whole trials, or BP(λ) as the trial runs."""
    _, discount, kappa = TASKS[p.task]
    if p.rule in REFERENCES:
        at_steps = nb.LearningRule(nb.Immediate(), nb.ImmediateError(), "backward", "step")
        tbptt = at_steps if p.update == "step" else nb.tbptt(1)
        return {"bptt": nb.bptt(), "tbptt": tbptt, "eprop": nb.eprop(update=p.update)}[p.rule]
    if p.rule == "forward":
        return nb.bp_lambda(p.lambda_, discount, kappa)
    view, update = ("true online", "step") if p.rule == "true_online" else ("backward", p.update)
    options = {"predictor_trace": traces(p)[p.rule], "td_error": p.td_error}
    return nb.bp_lambda(p.lambda_, discount, kappa, view=view, update=update, **options)


def experiment(p: Parameters) -> nb.Experiment:
    """All that determines a run on one task, with one form of the trace."""
    of, rule = task(p), learning_rule(p)
    cortical = None if p.frozen else nb.Optimizer("adam", p.learning_rate)
    predictor = nb.Optimizer(p.optimizer, p.predictor_learning_rate)
    return nb.Experiment(
        circuit=circuit(p, of),
        task=of,
        rule=rule,
        optimizers=nb.Optimizers(cortical, cortical, predictor),
        schedule=nb.Schedule(p.n_updates, p.batch_size, p.n_evaluations, 1, p.precision),
        seeds=nb.Seeds.count(p.seeds),
        record=applicable(RECORD, rule),
    )


def points_of(p: Parameters, name: str) -> tuple[list[Point], dict[str, list]]:
    """What is trained on one task."""
    return scripting.points(replace(p, task=name), experiment, rule_names=False)


def plan(p: Parameters) -> list[Point]:
    """What is trained on all tasks."""
    return [
        replace(point, label={"task": name, **point.label})
        for name in p.task.split(",")
        for point in points_of(p, name)[0]
    ]


def simulate(p: Parameters) -> None:
    """Run one task after another, each into a folder of its own."""
    for name in p.task.split(","):
        points, labels = points_of(p, name)
        path = Path(p.output) / name
        print(f"\n{name}", flush=True)
        options = scripting.storage(p) | {"output": path}
        report(nb.run(points, labels, model="models/predictor_traces.py", **options))
        print(f"run: {path}", flush=True)


def report(run: xr.DataTree) -> None:
    """Print the final loss and the alignment of prediction and update, over the last half of the run."""
    loss = run["evaluation"]["loss"].sel(split="test").isel(update=-1)
    print(f"after {int(loss.update)} updates, mean ± SD, seeds: {loss.sizes['seed']}")
    for name, values in scripting.by_point(loss):
        print(f"  {name:<20} loss {scripting.mean_and_spread(values, 4)}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, simulate, plan)
