"""A cortex learns to move a cursor through a brain–computer interface whose mapping has been permuted.

After Sadtler et al. 2014 and Golub et al. 2018.  A cortex first learns centre-out movements with a readout of its own.
Factor analysis of its activity gives the intrinsic manifold, regression the intuitive mapping; the cortex goes on under
that fixed mapping (the run `intuitive`).  Then the factors are permuted, so that progress falls to a given part, and
the cortex relearns with one rule or another (the run `perturbed`).  The mappings lie beside the runs, in `decoders.nc`.
Results: docs/results.md.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import xarray as xr

import neuro_bpl as nb
from neuro_bpl import neural, scripting
from neuro_bpl.circuit import ReadoutWeights
from neuro_bpl.learning import NAMED as RULES
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal
from neuro_bpl.scripting import Storage
from neuro_bpl.tasks.center_out import CenterOut

GOLUB, SADTLER = "Golub et al. 2018", "Sadtler et al. 2014"
MAPPINGS = ("intuitive", "perturbed")


@dataclass(frozen=True)
class Parameters(Storage):
    """Constants of the model."""

    rule: str = field("bptt,bp_lambda,tbptt,eprop,rflo,random_gradient", "learning rules, separated by commas")
    lambda_: float = field(1.0, "trace decay of bp_lambda", symbol="λ", low=0, high=1)
    kappa: float = field(1.0, "weight of the synthetic gradient of bp_lambda and dni", symbol="κ", low=0)
    n_units: int = field(50, "cortical units", symbol="n", low=2)
    n_inputs: int = field(16, "input channels, tuned to the angle of the target", low=2)
    tau: float = field(0.09, "membrane time constant", unit="s", symbol="τ", above=0)
    dt: float = field(0.045, "duration of a step", unit="s", symbol="dt", source=GOLUB, above=0)
    n_steps: int = field(8, "steps of a trial", symbol="T", low=1)
    onset: int = field(3, "steps at the beginning that do not count", low=0)
    noise: float = field(8.0, "noise on every input at every step, in units of their tuning", low=0)
    n_factors: int = field(10, "factors of the intrinsic manifold", source=SADTLER, low=1)
    difficulty: float = field(
        0.32, "progress under the permuted mapping, as a part of the intuitive one", source=GOLUB, low=-1, high=1
    )
    n_permutations: int = field(2000, "permutations among which that difficulty is sought", low=1)
    learning_rate: float = field(1e-3, "Adam, cortex, before the perturbation", low=0)
    relearning_rate: float = field(1e-4, "Adam, cortex, after the perturbation", symbol="η", low=0)
    predictor_learning_rate: float = field(3e-3, "Adam, cerebellum", symbol="α", low=0)
    batch_size: int = field(64, "trials of an update", low=1)
    n_development: int = field(1000, "updates with a readout of its own", low=1)
    n_intuitive: int = field(300, "updates under the intuitive mapping", low=1)
    n_updates: int = field(600, "updates under the permuted mapping", low=1)
    n_snapshots: int = field(12, "snapshots of activity while relearning", low=1)
    n_probe: int = field(28, "trials of every target whose activity is kept", low=1)
    seeds: int = field(8, "networks trained at once", low=1)
    sweep: tuple[str, ...] = field((), "parameters of relearning to vary, each with its values: relearning_rate=1e-4,…")
    output: str = field("data/runs/bci_relearning", "folder of the runs and of the mappings")

    def __post_init__(self) -> None:
        check(self)
        for name in self.rule.split(","):
            if name not in RULES:
                raise refusal("rule", name, ", ".join(RULES), "these are the rules of this model", "--rule bptt,rflo")
        for text in self.sweep:
            if text.split("=")[0] not in ("relearning_rate", "predictor_learning_rate", "lambda_", "kappa"):
                why = "networks and mappings are the same at all points"
                allowed = "relearning_rate, predictor_learning_rate, lambda_ or kappa"
                raise refusal("sweep", text, allowed, why, "--sweep relearning_rate=1e-4,3e-4")


def task(p: Parameters) -> CenterOut:
    """Eight targets, in sight all the time."""
    return CenterOut(p.n_steps, n_inputs=p.n_inputs, onset=p.onset, noise=p.noise, n_held_out=p.n_probe)


def circuit(p: Parameters) -> nb.Circuit:
    """Leaky rate units, a linear readout, a linear predictor, and random feedback for rules that use it."""
    cortex = nb.RateCortex(p.n_inputs, p.n_units, "tanh", p.tau, p.dt)
    return nb.Circuit(cortex, nb.LinearReadout(2), nb.LinearPredictor(), feedback=nb.FeedbackPathway())


def learning_rule(p: Parameters) -> nb.LearningRule:
    """The rule called `p.rule`."""
    if p.rule == "bp_lambda":
        return nb.bp_lambda(p.lambda_, kappa=p.kappa)
    return RULES[p.rule](kappa=p.kappa) if p.rule == "dni" else RULES[p.rule]()


def experiment(p: Parameters, weights: nb.Weights | None = None) -> nb.Experiment:
    """Relearning with one rule from weights with the permuted mapping."""
    cortical, predictor = nb.Optimizer("adam", p.relearning_rate), nb.Optimizer("adam", p.predictor_learning_rate)
    return nb.Experiment(
        circuit=circuit(p),
        task=task(p),
        rule=learning_rule(p),
        optimizers=nb.Optimizers(cortical, None, predictor),
        schedule=nb.Schedule(p.n_updates, p.batch_size, p.n_snapshots, p.n_snapshots, p.precision),
        seeds=nb.Seeds.count(p.seeds),
        record=("rates", "weight_alignment"),
        weights=weights,
    )


def trained(
    p: Parameters, n_updates: int, weights: nb.Weights | None, readout_learns: bool, **storage: object
) -> xr.DataTree:
    """A run with the exact gradient, before the perturbation."""
    adam = nb.Optimizer("adam", p.learning_rate)
    return nb.train(
        circuit(p),
        task(p),
        nb.bptt(),
        n_updates=n_updates,
        batch_size=p.batch_size,
        seeds=p.seeds,
        optimizers=nb.Optimizers(adam, adam if readout_learns else None, None),
        weights=weights,
        record=("rates",),
        n_evaluations=1,
        precision=p.precision,
        model="models/bci_relearning.py",
        **storage,  # type: ignore[arg-type]
    )


def counted(p: Parameters, run: xr.DataTree) -> xr.DataArray:
    """Rates at the last snapshot, at the steps that count: (seed, trial, time, unit)."""
    last = run["activity"]["rates"].isel(snapshot=-1, drop=True).drop_vars("trial")
    return last.isel(time=slice(p.onset, None))


def directions(p: Parameters) -> xr.DataArray:
    """Unit vector towards the target of each probe trial: (velocity, trial)."""
    theta = np.deg2rad(task(p).angles())
    return xr.DataArray([np.cos(theta), np.sin(theta)], {"velocity": ["x", "y"]}, ("velocity", "trial"))


def calibrated(p: Parameters, rates: xr.DataArray) -> xr.Dataset:
    """The intuitive mapping of every network, along `seed`."""
    wanted = task(p).speed * directions(p).expand_dims(time=rates["time"])

    def one(seed: int) -> xr.Dataset:
        own = rates.sel(seed=seed, drop=True)
        return neural.measures.manifold.mapping(
            neural.measures.manifold.intrinsic_manifold(own, p.n_factors), own, wanted
        )

    return xr.concat([one(seed) for seed in rates.seed.values], rates.seed)


def perturbed(p: Parameters, intuitive: xr.Dataset, rates: xr.DataArray) -> xr.Dataset:
    """Both mappings of every network, along `mapping` and `seed`."""

    def one(seed: int) -> xr.Dataset:
        mapping, rng = intuitive.sel(seed=seed, drop=True), np.random.default_rng(seed)
        order = permutation(p, mapping, rates.sel(seed=seed, drop=True), rng)
        return neural.measures.manifold.permuted(mapping, order)

    after = xr.concat([one(seed) for seed in rates.seed.values], rates.seed)
    return xr.concat([intuitive, after], xr.Variable("mapping", list(MAPPINGS)), data_vars="all")


def permutation(p: Parameters, intuitive: xr.Dataset, rates: xr.DataArray, rng: np.random.Generator) -> np.ndarray:
    """Of many permutations of the latents, the one whose progress is nearest to the wanted part of the intuitive one.

    Progress without the offset is Σ K ∘ ⟨d ẑᵀ⟩, with the columns of ⟨d ẑᵀ⟩ permuted.
    """
    latents = intuitive["sigma_z"] * neural.measures.cursor.latents(rates, intuitive)
    tuning = (directions(p) * latents).mean(("trial", "time")).transpose("velocity", "latent").values
    gain = intuitive["K"].transpose("velocity", "latent").values
    drawn = np.array([rng.permutation(p.n_factors) for _ in range(p.n_permutations)])
    progress = np.einsum("vl,vpl->p", gain, tuning[:, drawn])
    return drawn[np.argmin(abs(progress - p.difficulty * (gain * tuning).sum()))]


def through(weights: nb.Weights, mapping: xr.Dataset) -> nb.Weights:
    """The weights with a mapping as their readout."""
    like = weights.readout
    w = jnp.asarray(mapping["M2"].transpose("seed", "velocity", "unit").values, like.w.dtype)
    b = jnp.asarray(mapping["m0"].transpose("seed", "velocity").values, like.b.dtype)
    return weights._replace(readout=ReadoutWeights(w, b))


def simulate(p: Parameters) -> Path:
    """Develop, calibrate, go on under the intuitive mapping, perturb, relearn."""
    path, storage = Path(p.output), {"resume": p.resume, "overwrite": p.overwrite}
    developed = trained(p, p.n_development, None, readout_learns=True)
    intuitive = calibrated(p, counted(p, developed))
    start = through(nb.load(developed).weights, intuitive)
    used = trained(p, p.n_intuitive, start, readout_learns=False, output=path / "intuitive", **storage)
    both = perturbed(p, intuitive, counted(p, used))
    both.to_netcdf(path / "decoders.nc", engine="h5netcdf")
    weights = through(nb.load(used).weights, both.sel(mapping="perturbed"))
    points, labels = scripting.points(p, partial(experiment, weights=weights))
    options = scripting.storage(p) | {"output": path / "perturbed"}
    report(nb.run(points, labels, model="models/bci_relearning.py", **options), path)
    return path


def report(run: xr.DataTree, path: Path) -> None:
    """Print the loss under the permuted mapping before and after."""
    loss = run["evaluation"]["loss"].sel(split="test")
    print(f"\nloss under the permuted mapping, mean ± SD, seeds: {loss.sizes['seed']}")
    for name, values in scripting.by_point(loss.isel(update=-1)):
        print(f"  {name:<18} after {int(loss.update[-1])} updates {scripting.mean_and_spread(values, 3)}")
    for _, values in list(scripting.by_point(loss.isel(update=0)))[:1]:
        print(f"  {'before':<18} {scripting.mean_and_spread(values, 3)}")
    print(f"runs and mappings: {path}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, simulate, plan=lambda p: scripting.points(p, experiment)[0])
