"""A cerebellum whose granule cells are wired as measured, rewired at random, or with one fan-in, predicts a gradient.

The cortex and its readout stay as they were born, on target reaching, and only the parallel fibres learn, so that the
prediction can be held against the true gradient.  A wiring is "measured" (a patch of the connectome of Nguyen et al.
2023), "rewired" (as many synapses of every cell and of every fibre, otherwise random), or a fan-in such as 4, "all" for
every fibre.  Mossy fibres carry one cortical unit each.  Results: docs/results.md.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import neural, scripting
from neuro_bpl.circuit import GranularWeights, fan_in_mask
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal
from neuro_bpl.scripting import Storage

PAPER = "Pemberton & Ponte Costa 2024"
GRAPHS = ("measured", "rewired")
RECORD = ("gradient_alignment", "granule_rates", "predicted_gradient", "true_gradient")


@dataclass(frozen=True)
class Parameters(Storage):
    """Constants of the model."""

    connectome: str = field("", "file of the measured graph (empty: that of the folder of recordings)")
    wiring: str = field("measured", "measured, rewired, a number of fibres a cell reads, or all")
    rule: str = field("bp_lambda", "learning rule", choices=("bp_lambda",))
    lambda_: float = field(1.0, "trace decay", symbol="λ", low=0, high=1)
    n_units: int = field(100, "cortical units, and mossy fibres", symbol="n", low=1)
    tau: float = field(0.1, "membrane time constant", unit="s", symbol="τ", above=0)
    dt: float = field(0.02, "duration of a step", unit="s", symbol="dt", above=0)
    threshold: float = field(0.1, "granule thresholds are uniform in ± this, in units of a rate", low=0)
    n_granule: int = field(200, "granule cells, neighbours in the graph", low=1)
    n_steps: int = field(6, "steps of a trial", symbol="T", low=1)
    n_cues: int = field(8, "cues, each with its own target", low=1)
    noise: float = field(0.3, "noise on training inputs", low=0)
    predictor_learning_rate: float = field(3e-3, "Adam, parallel fibres", symbol="α", low=0)
    batch_size: int = field(10, "trials of an update", source=PAPER, low=1)
    n_updates: int = field(600, "updates", low=1)
    n_evaluations: int = field(6, "evaluations", low=1)
    seeds: int = field(20, "networks, each with a patch and a rewiring of its own", low=1)
    sweep: tuple[str, ...] = field(
        ("wiring=measured,rewired,1,2,4,8,16,all",), "parameters to vary, each with its values: wiring=measured,4"
    )
    output: str = field("data/runs/granule_wiring", "folder of the run")

    def __post_init__(self) -> None:
        check(self)
        if self.wiring not in (*GRAPHS, "all") and not (
            self.wiring.isdecimal() and 1 <= int(self.wiring) <= self.n_units
        ):
            why = "granule cells are wired in one of these ways"
            raise refusal(
                "wiring", self.wiring, f"measured, rewired, 1 to {self.n_units}, all", why, "--wiring measured"
            )


@cache
def graph(path: str) -> xr.Dataset:
    """The measured graph, read once."""
    return neural.datasets.nguyen2023.read_connectome(path or neural.fetch("nguyen2023")[0])


def task(p: Parameters) -> nb.tasks.TargetReaching:
    """Many cues, each with a target at the end."""
    return nb.tasks.TargetReaching(p.n_steps, p.n_cues, noise=p.noise)


def circuit(p: Parameters) -> nb.Circuit:
    """A leaky cortex, and granule cells whose wiring comes with the weights."""
    cortex = nb.RateCortex(task(p).n_inputs, p.n_units, "tanh", p.tau, p.dt)
    return nb.Circuit(cortex, nb.LinearReadout(2), nb.GranularPredictor(p.n_granule, fan_in=1))


def mask(p: Parameters, seed: int) -> "neural.datasets.nguyen2023.Mask":
    """Measured wiring of a patch, as many synapses of each cell and fibre at random, or one fan-in."""
    if p.wiring not in GRAPHS:
        fan_in = p.n_units if p.wiring == "all" else int(p.wiring)
        key = jax.random.key(seed)
        return np.asarray(fan_in_mask(key, p.n_granule, p.n_units, fan_in, jnp.dtype("float32")), float)
    patch = neural.datasets.nguyen2023.granule_mask(graph(p.connectome), p.n_granule, p.n_units, seed)
    return patch if p.wiring == "measured" else neural.datasets.nguyen2023.rewired(patch, seed)


def wired(p: Parameters, theta: GranularWeights, mask: "neural.datasets.nguyen2023.Mask", seed: int) -> GranularWeights:
    """Synapses where the mask has them, uniform in ±√(3/K) with the K of their cell, and thresholds alike for all."""
    rng, like = np.random.default_rng(seed), theta.w_granule
    threshold = rng.uniform(-p.threshold, p.threshold, p.n_granule)
    bound = np.sqrt(3 / np.maximum(mask.sum(1, keepdims=True), 1))
    strength = mask * rng.uniform(-bound, bound, mask.shape)
    given = (jnp.asarray(values, like.dtype) for values in (mask, strength, threshold))
    return GranularWeights(*given, theta.w_purkinje, theta.b_purkinje)


def newborn(p: Parameters) -> nb.Weights:
    """Weights of each seed; cortex and readout are the same whatever the wiring."""
    network, keys = circuit(p), nb.Seeds.count(p.seeds).keys()[0]
    with jax.enable_x64(p.precision == "float64"):
        each = [network.init(key) for key in keys]
        each = [w._replace(cerebellum=wired(p, w.cerebellum, mask(p, n), n)) for n, w in enumerate(each)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def experiment(p: Parameters) -> nb.Experiment:
    """All that determines a run with one wiring."""
    return nb.Experiment(
        circuit=circuit(p),
        task=task(p),
        rule=nb.bp_lambda(p.lambda_),
        optimizers=nb.Optimizers(None, None, nb.Optimizer("adam", p.predictor_learning_rate)),
        schedule=nb.Schedule(p.n_updates, p.batch_size, p.n_evaluations, 1, p.precision),
        seeds=nb.Seeds.count(p.seeds),
        record=RECORD,
        weights=newborn(p),
    )


def simulate(p: Parameters) -> Path:
    """Train with every wiring, and store the run."""
    run = nb.run(*scripting.points(p, experiment), model="models/granule_wiring.py", **scripting.storage(p))
    report(run, Path(p.output))
    return Path(p.output)


def report(run: xr.DataTree, path: Path) -> None:
    """Print how well the predicted gradient points along the true one."""
    cosine = run["gradients"]["gradient_alignment"].isel(update=-1).mean("time")
    print(f"\ncosine of ĝ with G after {int(cosine.update)} updates, mean ± SD, seeds: {cosine.sizes['seed']}")
    for name, values in scripting.by_point(cosine):
        print(f"  {name:<20} {scripting.mean_and_spread(values, 3)}")
    print(f"run: {path}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, simulate, plan=lambda p: scripting.points(p, experiment)[0])
