"""A cortex hears clicks on the left and on the right, and says at the end on which side there were more.

The task of Brunton, Botvinick & Brody 2013 and Hanks et al. 2015, by a cortico-cerebellar circuit of rate units.  Every
rule asked for trains the same networks (same seeds, same clicks in the same order), side by side in one run, which
analyses/evidence_population.py holds against recorded rats.  Results: docs/results.md.
"""

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.experiments import applicable
from neuro_bpl.parameters import check, field
from neuro_bpl.scripting import RuleNumbers, Storage, rule_words
from neuro_bpl.tasks.poisson_clicks import HANKS, TRAINS

RECORD = ("rates", "outputs", "gradient_alignment", "predicted_gradient", "td_error", "td_error_size")
PAPER = "Pemberton & Ponte Costa 2024"


@dataclass(frozen=True)
class Parameters(RuleNumbers, Storage):
    """Constants of the model."""

    rule: str = field("bp_lambda,bptt,tbptt", rule_words.HELP)
    kappa: float = field(1.0, "weight of the synthetic gradient", symbol="κ", source=PAPER, low=0)
    total_rate: float = field(40.0, "clicks of both sides together", unit="Hz", source=HANKS, above=0)
    rates: str = field("38,33,25", "rate of the richer side, one for each difficulty", unit="Hz", source=TRAINS)
    shortest: float = field(0.1, "shortest stimulus", unit="s", source=TRAINS, above=0)
    longest: float = field(1.2, "longest stimulus", unit="s", source=TRAINS, above=0)
    click_noise: float = field(1.0, "SD of what one click counts", symbol="σ", low=0)
    n_test: int = field(1000, "trials of validation, and of test", low=1)
    n_probe: int = field(100, "trials of which activity and gradients are recorded", low=1)
    nonlinearity: str = field(
        "tanh", "transfer function", choices=("identity", "tanh", "relu", "softplus", "sigmoid"), symbol="φ"
    )
    n_units: int = field(100, "cortical units", symbol="n", low=1)
    tau: float = field(0.1, "membrane time constant", unit="s", symbol="τ", above=0)
    dt: float = field(0.02, "duration of a step", unit="s", symbol="dt", above=0)
    predictor: str = field("linear", "cerebellum", choices=("linear", "granular"))
    n_granule: int = field(300, "granule cells of the granular predictor", low=1)
    fan_in: int = field(4, "mossy fibres a granule cell reads", source="Litwin-Kumar et al. 2017", low=1)
    learning_rate: float = field(1e-3, "Adam, cortex and readout", symbol="η", low=0)
    predictor_learning_rate: float = field(1e-3, "Adam, cerebellum", symbol="α", low=0)
    batch_size: int = field(50, "trials of an update", source=PAPER, low=1)
    n_updates: int = field(600, "updates", low=1)
    n_evaluations: int = field(12, "held-out evaluations", low=1)
    n_snapshots: int = field(2, "snapshots of weights and activity after the first", low=1)
    seeds: int = field(5, "networks trained at once", low=1)
    sweep: tuple[str, ...] = field((), "parameters to vary, each with its values: lambda_=0,0.5,1 tau=0.05,0.1")
    output: str = field("data/runs/evidence_accumulation", "folder of the run")

    def __post_init__(self) -> None:
        check(self)
        rule_words.check_words(self.rule)


def task(p: Parameters) -> nb.tasks.PoissonClicks:
    """Clicks, left and right."""
    return nb.tasks.PoissonClicks(
        total_rate=p.total_rate,
        rates=tuple(float(rate) for rate in p.rates.split(",")),
        shortest=p.shortest,
        longest=p.longest,
        dt=p.dt,
        click_noise=p.click_noise,
        n_validation=p.n_test,
        n_test=p.n_test,
        n_probe=p.n_probe,
    )


def circuit(p: Parameters) -> nb.Circuit:
    """Rate units, a choice of two, and a cerebellum."""
    cortex = nb.RateCortex(len(nb.tasks.poisson_clicks.SIDES), p.n_units, p.nonlinearity, p.tau, p.dt)
    readout = nb.LinearReadout(len(nb.tasks.poisson_clicks.SIDES), "softmax_cross_entropy")
    cerebellum = nb.LinearPredictor() if p.predictor == "linear" else nb.GranularPredictor(p.n_granule, p.fan_in)
    return nb.Circuit(cortex, readout, cerebellum)


def learning_rule(p: Parameters) -> nb.LearningRule:
    """The rule called `p.rule`."""
    return rule_words.rule_of(p.rule, lambda_=p.lambda_, discount=p.discount, kappa=p.kappa, window=p.window)


def experiment(p: Parameters) -> nb.Experiment:
    """All that determines a run with one rule."""
    rule, cortical = learning_rule(p), nb.Optimizer("adam", p.learning_rate)
    return nb.Experiment(
        circuit=circuit(p),
        task=task(p),
        rule=rule,
        optimizers=nb.Optimizers(cortical, cortical, nb.Optimizer("adam", p.predictor_learning_rate)),
        schedule=nb.Schedule(p.n_updates, p.batch_size, p.n_evaluations, p.n_snapshots, p.precision),
        seeds=nb.Seeds.count(p.seeds),
        record=applicable(RECORD, rule),
    )


def simulate(p: Parameters) -> Path:
    """Train with every rule, at every point of the sweep, and store the run."""
    run = nb.run(*scripting.points(p, experiment), model="models/evidence_accumulation.py", **scripting.storage(p))
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
