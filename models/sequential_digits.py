"""A cortico-cerebellar circuit learns to read handwritten digits, one row or one pixel at a time.

Every rule asked for trains the same networks (same seeds, same digits in the same order) and is stored side by side in
one run.  Results: docs/results.md.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import xarray as xr

import neuro_bpl as nb
from neuro_bpl import cli
from neuro_bpl.parameters import check, field, refusal
from neuro_bpl.store import check_free

RULES = ("bp_lambda", "bptt", "tbptt", "dni")


@dataclass(frozen=True)
class Parameters:
    """Constants of the model."""

    rule: str = field("bp_lambda,bptt,tbptt", f"learning rules, separated by commas: {', '.join(RULES)}")
    lambda_: float = field(1.0, "trace decay of bp_lambda", symbol="λ", low=0, high=1)
    discount: float = field(
        0.9, "discount of bp_lambda and dni", symbol="γ", source="Pemberton & Ponte Costa 2024", low=0, high=1
    )
    kappa: float = field(0.3, "weight of the synthetic gradient", symbol="κ", source="docs/results.md", low=0)
    window: int = field(1, "steps of a window of tbptt and dni", symbol="n", low=1)
    dataset: str = field(
        "digits", "8x8 digits of scikit-learn, or 28x28 MNIST from <data-dir>/mnist", choices=("digits", "mnist")
    )
    order: str = field("rows", "what a step shows", choices=("rows", "pixels"))
    noise: float = field(0.0, "SD of noise on training pixels, in units of full brightness", low=0)
    data_dir: str = field("", "folder with mnist/ (else NEURO_BPL_DATA, else data/external)")
    cortex: str = field("lstm", "cell", choices=("lstm", "rate"))
    n_units: int = field(30, "cortical units", symbol="n", source="Pemberton & Ponte Costa 2024", low=1)
    tau: float = field(0.02, "membrane time constant of the rate cell", unit="s", symbol="τ", above=0)
    dt: float = field(0.02, "duration of a step", unit="s", symbol="dt", above=0)
    predictor: str = field("linear", "cerebellum", choices=("linear", "granular"))
    n_granule: int = field(300, "granule cells of the granular predictor", low=1)
    fan_in: int = field(4, "mossy fibres a granule cell reads", source="Litwin-Kumar et al. 2017", low=1)
    learning_rate: float = field(3e-3, "Adam, cortex and readout", symbol="η", source="docs/results.md", low=0)
    predictor_learning_rate: float = field(3e-4, "Adam, cerebellum", symbol="α", source="docs/results.md", low=0)
    batch_size: int = field(50, "trials of an update", source="Pemberton & Ponte Costa 2024", low=1)
    n_updates: int = field(3000, "updates", low=1)
    n_evaluations: int = field(20, "held-out evaluations", low=1)
    seeds: int = field(5, "networks trained at once", low=1)
    precision: str = field("float32", "floating-point format", choices=("float32", "float64"))
    output: str = field("data/runs/sequential_digits.zarr", "where the run is stored")
    overwrite: bool = field(False, "replace the run that is there")

    def __post_init__(self) -> None:
        check(self)
        chosen = self.rule.split(",")
        for rule in chosen:
            if rule not in RULES:
                raise refusal(
                    "rule", rule, ", ".join(RULES), "these are the rules of this model", "--rule bp_lambda,bptt"
                )
        names = [learning_rule(self, rule).name for rule in chosen]
        if len(set(names)) < len(names):
            raise refusal("rule", names, "each rule once", "rules are told apart by name", "--rule bp_lambda,bptt")


def learning_rule(p: Parameters, name: str) -> nb.LearningRule:
    """The rule called `name`."""
    makers = {
        "bp_lambda": partial(nb.bp_lambda, p.lambda_, p.discount, p.kappa),
        "bptt": nb.bptt,
        "tbptt": partial(nb.tbptt, p.window),
        "dni": partial(nb.dni, p.window, p.discount, p.kappa),
    }
    return makers[name]()


def circuit(p: Parameters, task: nb.tasks.SequentialDigits) -> nb.Circuit:
    """Cortex, readout and cerebellum."""
    if p.cortex == "lstm":
        cortex = nb.LSTMCortex(task.n_inputs, p.n_units)
    else:
        cortex = nb.RateCortex(task.n_inputs, p.n_units, "tanh", p.tau, p.dt)
    cerebellum = nb.LinearPredictor() if p.predictor == "linear" else nb.GranularPredictor(p.n_granule, p.fan_in)
    return nb.Circuit(cortex, nb.LinearReadout(task.n_outputs, "softmax_cross_entropy"), cerebellum)


def simulate(p: Parameters) -> Path:
    """Train with every rule and store the run."""
    check_free(p.output, p.overwrite)
    task = nb.tasks.SequentialDigits.load(p.dataset, p.order, noise=p.noise, data_dir=p.data_dir or None)
    network, cortical = circuit(p, task), nb.Optimizer("adam", p.learning_rate)
    optimizers = nb.Optimizers(cortical, cortical, nb.Optimizer("adam", p.predictor_learning_rate))
    runs = []
    for rule in (learning_rule(p, name) for name in p.rule.split(",")):
        record = ["rates", "true_gradient"]
        record += ["gradient_alignment", "predicted_gradient"] if rule.credit.predicting else []
        runs.append(
            nb.train(
                network,
                task,
                rule,
                n_updates=p.n_updates,
                batch_size=p.batch_size,
                seeds=p.seeds,
                optimizers=optimizers,
                record=record,
                n_evaluations=p.n_evaluations,
                precision=p.precision,
            )
        )
    run = nb.side_by_side(runs)
    run.attrs["model"] = "models/sequential_digits.py"
    path = nb.save(run, p.output, p.overwrite)
    report(run, path)
    return path


def report(run: xr.DataTree, path: Path) -> None:
    """Print the test accuracy of every rule."""
    accuracy = 100 * run["evaluation"]["accuracy"].sel(split="test").isel(update=-1)
    print(f"\ntest accuracy after {int(accuracy.update)} updates, mean ± SD, seeds: {accuracy.sizes['seed']}")
    for rule in accuracy.rule.values:
        values = accuracy.sel(rule=rule).values
        spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
        print(f"  {rule:<10} {values.mean():5.1f}{spread} %")
    print(f"run: {path}")


if __name__ == "__main__":
    cli.main(Parameters, __doc__, simulate)
