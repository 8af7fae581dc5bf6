"""Every learning rule on four tasks: one cortex, one optimiser, one budget.

The rules learn one by one, or (--observe) all watch one of them learn: on the same trials and weights, each says at
every update what it would have done.  The two streaming tasks, Add and Mimic, are those of Marschall, Cho & Savin 2020
(JMLR 21:135), cut into trials.  Results: docs/results.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.learning import NAMED as RULES
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal
from neuro_bpl.scripting import Storage
from neuro_bpl.training import Point

MARSCHALL = "code of Marschall et al. 2020"
PREDICTING = ("bp_lambda", "dni")
LOSSES = {
    "add": "sigmoid_cross_entropy",
    "mimic": "squared_error",
    "target_reaching": "squared_error",
    "digits": "softmax_cross_entropy",
}


@dataclass(frozen=True)
class Parameters(Storage):
    """Constants of the model."""

    task: str = field(",".join(LOSSES), "tasks, separated by commas")
    rule: str = field(",".join(RULES), "learning rules, separated by commas")
    observe: bool = field(False, "let all rules watch --leader learn, instead of learning themselves")
    leader: str = field("bptt", "the rule that learns with --observe", choices=tuple(RULES))
    draws: int = field(20, "gradients drawn of each random rule with --observe", low=1)
    n_units: int = field(32, "cortical units", symbol="n", source=MARSCHALL, low=1)
    tau: float = field(0.02, "membrane time constant", unit="s", symbol="τ", above=0)
    dt: float = field(0.01, "duration of a step: half of τ", unit="s", symbol="dt", source=MARSCHALL, above=0)
    first_delay: int = field(3, "first delay of Add, in bits", source=MARSCHALL, low=1)
    second_delay: int = field(5, "second delay of Add, in bits", source=MARSCHALL, low=1)
    hold: int = field(2, "steps for which a bit of Add stays", source=MARSCHALL, low=1)
    add_steps: int = field(30, "steps of a trial of Add", symbol="T", low=2)
    mimic_channels: int = field(32, "inputs, units and outputs of Mimic's teacher", source=MARSCHALL, low=1)
    mimic_steps: int = field(20, "steps of a trial of Mimic", symbol="T", low=1)
    reaching_steps: int = field(10, "steps of a trial of target reaching", symbol="T", low=1)
    n_cues: int = field(4, "cues of target reaching", low=1)
    kappa: float = field(1.0, "weight of the synthetic gradient of bp_lambda and dni", symbol="κ", low=0)
    learning_rate: float = field(3e-3, "Adam, cortex and readout", symbol="η", low=0)
    predictor_learning_rate: float = field(3e-3, "Adam, cerebellum", symbol="α", low=0)
    batch_size: int = field(10, "trials of an update", low=1)
    n_updates: int = field(1000, "updates", low=1)
    n_evaluations: int = field(10, "evaluations", low=1)
    seeds: int = field(5, "networks trained at once", low=1)
    sweep: tuple[str, ...] = field((), "parameters to vary, each with its values: learning_rate=0.001,0.003")
    output: str = field("data/runs/rule_comparison", "folder of the runs, one for each task")

    def __post_init__(self) -> None:
        check(self)
        for name, given, known in (("task", self.task, LOSSES), ("rule", self.rule, RULES)):
            for one in given.split(","):
                if one not in known:
                    why = f"these are the {name}s of this model"
                    raise refusal(name, one, ", ".join(known), why, f"--{name} {','.join(list(known)[:2])}")
        if self.observe and self.sweep:
            why = "with --observe one rule learns, with one set of numbers"
            raise refusal("sweep", self.sweep, "nothing with --observe", why, "--observe without --sweep")


def task(p: Parameters) -> Any:
    """The task called `p.task`."""
    makers: Mapping[str, Any] = {
        "add": lambda: nb.tasks.Add((p.first_delay, p.second_delay), p.add_steps, p.hold),
        "mimic": lambda: nb.tasks.Mimic(
            p.mimic_channels,
            p.mimic_channels,
            p.mimic_channels,
            p.mimic_steps,
            cell=nb.RateCortex(p.mimic_channels, p.mimic_channels, tau=p.tau, dt=p.dt),
            inputs="bits",
        ),
        "target_reaching": lambda: nb.tasks.TargetReaching(p.reaching_steps, p.n_cues),
        "digits": nb.tasks.SequentialDigits.load,
    }
    return makers[p.task]()


def circuit(p: Parameters, of: Any) -> nb.Circuit:
    """Leaky rate units with a linear readout, a linear predictor and random feedback weights."""
    return nb.Circuit(
        nb.RateCortex(of.n_inputs, p.n_units, tau=p.tau, dt=p.dt),
        nb.LinearReadout(of.n_outputs, LOSSES[p.task]),
        nb.LinearPredictor(),
        feedback=nb.FeedbackPathway(),
    )


def learning_rule(p: Parameters, name: str) -> nb.LearningRule:
    """A rule by its name."""
    return RULES[name](kappa=p.kappa) if name in PREDICTING else RULES[name]()


def experiment(p: Parameters) -> nb.Experiment:
    """All that determines a run on one task, with one rule that learns."""
    of = task(p)
    adam, predictor = nb.Optimizer("adam", p.learning_rate), nb.Optimizer("adam", p.predictor_learning_rate)
    return nb.Experiment(
        circuit=circuit(p, of),
        task=of,
        rule=learning_rule(p, p.leader if p.observe else p.rule),
        optimizers=nb.Optimizers(adam, adam, predictor),
        schedule=nb.Schedule(p.n_updates, p.batch_size, p.n_evaluations, 1, p.precision),
        seeds=nb.Seeds.count(p.seeds),
        record=("weight_alignment",),
    )


def observing(p: Parameters) -> nb.Experiment:
    """The experiment of the leader, watched by every rule that was asked for."""
    others = tuple(learning_rule(p, name) for name in p.rule.split(","))
    return replace(experiment(p), compare=others, compare_draws=p.draws)


def points_of(p: Parameters, name: str) -> tuple[list[Point], dict[str, list]]:
    """What is trained on one task: every rule, or the leader, watched by them."""
    one = replace(p, task=name)
    if p.observe:
        return scripting.points(replace(one, rule=p.leader), lambda _: observing(one))
    return scripting.points(one, experiment)


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
        path = Path(p.output) / (f"{name}_observed" if p.observe else name)
        points, labels = points_of(p, name)
        print(f"\n{name}", flush=True)
        options = scripting.storage(p) | {"output": path}
        report(nb.run(points, labels, model="models/rule_comparison.py", **options))
        print(f"run: {path}", flush=True)


def report(run: xr.DataTree) -> None:
    """Print the final loss of rules that learnt, or how well those that watched would have pointed."""
    if "comparison" in run:
        cosines = run["comparison"]["cosine"].sel(weight_group="all", drop=True).mean("update")
        for rule in cosines.observed.values:
            cosine = scripting.mean_and_spread(cosines.sel(observed=rule).values.ravel(), 2)
            print(f"  {rule:<20} cosine with BPTT {cosine}")
        return
    loss = run["evaluation"]["loss"].sel(split="test").isel(update=-1)
    print(f"after {int(loss.update)} updates, mean ± SD, seeds: {loss.sizes['seed']}")
    for name, values in scripting.by_point(loss):
        print(f"  {name:<20} loss {scripting.mean_and_spread(values, 4)}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, simulate, plan)
