"""A cortico-cerebellar circuit learns to name images, handwritten digits above all, one row or one pixel at a time.

Every rule asked for trains the same networks (same seeds, same digits in the same order), side by side in one run.
Results: docs/results.md.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import xarray as xr

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.experiments import applicable, check_names
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import nearest, refusal
from neuro_bpl.runs import QUANTITIES
from neuro_bpl.scripting import RuleNumbers, Storage, rule_words

RECORD = ("rates", "true_gradient", "gradient_alignment", "predicted_gradient", "td_error_size")
ADAM = {"b1": 0.9, "b2": 0.98, "eps": 1e-9}  # Pemberton & Ponte Costa 2024


@dataclass(frozen=True)
class Parameters(RuleNumbers, Storage):
    """Constants of the model."""

    rule: str = field("bp_lambda,bptt,tbptt", rule_words.HELP)
    discount: float = field(
        0.9, "discount of bp_lambda and dni", symbol="γ", source="Pemberton & Ponte Costa 2024", low=0, high=1
    )
    kappa: float = field(0.3, "weight of the synthetic gradient", symbol="κ", source="docs/results.md", low=0)
    dataset: str = field(
        "digits",
        "8x8 digits of scikit-learn, MNIST of <data-dir>/mnist, or CIFAR-10 of <data-dir>/cifar-10-batches-bin",
        choices=("digits", "mnist", "cifar10"),
    )
    order: str = field(
        "rows", "what a step shows", source="Le, Jaitly & Hinton 2015", choices=("rows", "pixels", "permuted")
    )
    pad: int = field(0, "black pixels added on each side: with 2, MNIST has T = 1024 pixels", low=0, high=256)
    permutation: int = field(0, "seed of the order of permuted pixels", low=0, high=2**32 - 1)
    n_held_out: int = field(0, "images of validation and of test that are evaluated (0: all)", low=0)
    n_probe: int = field(100, "images of which activity and gradients are recorded", low=1)
    stream: bool = field(False, "digits without boundaries: state and traces carry on, weights change at every step")
    label_probability: float = field(0.3, "fraction of the digits of a stream that are labelled", low=0, high=1)
    noise: float = field(0.0, "SD of noise on training pixels, in units of full brightness", low=0)
    data_dir: str = field("", "folder with the data sets (else NEURO_BPL_DATA, else data/external)")
    download: bool = field(False, "fetch the files of MNIST that are missing")
    cortex: str = field("lstm", "cell", choices=("lstm", "rate"))
    n_units: int = field(30, "cortical units", symbol="n", source="Pemberton & Ponte Costa 2024", low=1)
    tau: float = field(0.02, "membrane time constant of the rate cell", unit="s", symbol="τ", above=0)
    dt: float = field(0.02, "duration of a step", unit="s", symbol="dt", above=0)
    predictor: str = field("linear", "cerebellum", choices=("linear", "granular"))
    n_granule: int = field(300, "granule cells of the granular predictor", low=1)
    fan_in: int = field(4, "mossy fibres a granule cell reads", source="Litwin-Kumar et al. 2017", low=1)
    adam: str = field(
        "default", "constants of Adam: Optax's, or those of Pemberton & Ponte Costa 2024", choices=("default", "paper")
    )
    learning_rate: float = field(3e-3, "Adam, cortex and readout", symbol="η", source="docs/results.md", low=0)
    predictor_learning_rate: float = field(3e-4, "Adam, cerebellum", symbol="α", source="docs/results.md", low=0)
    batch_size: int = field(50, "trials of an update", source="Pemberton & Ponte Costa 2024", low=1)
    n_updates: int = field(3000, "updates", low=1)
    n_evaluations: int = field(20, "held-out evaluations", low=1)
    n_snapshots: int = field(1, "snapshots of weights and activity after the first", low=1)
    record: str = field(",".join(RECORD), "quantities to record where a rule has them, separated by commas")
    seeds: int = field(5, "networks trained at once", low=1)
    sweep: tuple[str, ...] = field((), "parameters to vary, each with its values: lambda_=0,0.5,1 kappa=0.1,0.3")
    output: str = field("data/runs/sequential_digits", "folder of the run")

    def __post_init__(self) -> None:
        check(self)
        rule_words.check_words(self.rule)
        self._check_data()
        for rule in self.rule.split(","):
            if self.stream and not (rule == "bp_lambda" or (rule == "tbptt" and self.window == 1)):
                raise refusal(
                    "rule",
                    rule,
                    "bp_lambda, or tbptt with window 1, on a stream",
                    "others need the end of a trial to look back from",
                    "--stream --rule bp_lambda,tbptt",
                )

    def _check_data(self) -> None:
        if self.download and self.dataset != "mnist":
            why = "digits come with scikit-learn, and CIFAR-10 is put in place by hand"
            raise refusal("download", True, "--download with --dataset mnist", why, "--dataset mnist --download")
        for name in quantities(self):
            if name not in QUANTITIES:
                like = nearest(name, list(QUANTITIES))
                why = "only what is listed has dims and units"
                raise refusal("record", name, ", ".join(QUANTITIES), why, f"--record {like}")


def quantities(p: Parameters) -> tuple[str, ...]:
    """What is to be recorded, besides loss, accuracy and weights."""
    return tuple(p.record.split(",")) if p.record else ()


def learning_rule(p: Parameters) -> nb.LearningRule:
    """The rule called `p.rule`; on a stream in the form that learns at every step."""
    if p.stream and p.rule == "bp_lambda":
        return nb.bp_lambda(p.lambda_, p.discount, p.kappa, view="backward", update="step")
    if p.stream:
        return nb.LearningRule(nb.Immediate(), nb.ImmediateError(), view="backward", update="step")
    return rule_words.rule_of(p.rule, lambda_=p.lambda_, discount=p.discount, kappa=p.kappa, window=p.window)


def circuit(p: Parameters, task: nb.tasks.SequentialImages) -> nb.Circuit:
    """Cortex, readout and cerebellum."""
    if p.cortex == "lstm":
        cortex = nb.LSTMCortex(task.n_inputs, p.n_units)
    else:
        cortex = nb.RateCortex(task.n_inputs, p.n_units, "tanh", p.tau, p.dt)
    cerebellum = nb.LinearPredictor() if p.predictor == "linear" else nb.GranularPredictor(p.n_granule, p.fan_in)
    return nb.Circuit(cortex, nb.LinearReadout(task.n_outputs, "softmax_cross_entropy"), cerebellum)


@lru_cache(maxsize=1)  # rules that are compared share one copy of the data
def images(**arguments: Any) -> nb.tasks.SequentialImages:
    """The task, read once."""
    return nb.tasks.SequentialImages.load(**arguments)


def experiment(p: Parameters) -> nb.Experiment:
    """All that determines a run with one rule."""
    names = ("dataset", "order", "noise", "n_probe", "pad", "permutation", "n_held_out", "download")
    task = images(**{name: getattr(p, name) for name in names}, data_dir=p.data_dir or None)
    rule, constants = learning_rule(p), ADAM if p.adam == "paper" else {}
    cortical, predictor = (nb.Optimizer("adam", eta, constants) for eta in (p.learning_rate, p.predictor_learning_rate))
    arriving = nb.tasks.Stream(task, p.label_probability) if p.stream else task
    network, recorded = circuit(p, task), applicable(quantities(p), rule)
    check_names(recorded, network, rule)
    return nb.Experiment(
        circuit=network,
        task=arriving,
        rule=rule,
        optimizers=nb.Optimizers(cortical, cortical, predictor),
        schedule=nb.Schedule(p.n_updates, p.batch_size, p.n_evaluations, p.n_snapshots, p.precision),
        seeds=nb.Seeds.count(p.seeds),
        record=recorded,
    )


def simulate(p: Parameters) -> Path:
    """Train with every rule, at every point of the sweep, and store the run."""
    run = nb.run(*scripting.points(p, experiment), model="models/sequential_digits.py", **scripting.storage(p))
    report(run, Path(p.output))
    return Path(p.output)


def report(run: xr.DataTree, path: Path) -> None:
    """Print the test accuracy at every point."""
    accuracy = 100 * run["evaluation"]["accuracy"].sel(split="test").isel(update=-1)
    print(f"\ntest accuracy after {int(accuracy.update)} updates, mean ± SD, seeds: {accuracy.sizes['seed']}")
    for name, values in scripting.by_point(accuracy):
        print(f"  {name:<14} {scripting.mean_and_spread(values, 1)} %")
    print(f"run: {path}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, simulate, plan=lambda p: scripting.points(p, experiment)[0])
