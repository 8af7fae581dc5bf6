"""The loop of cortex and cerebellum in continuous time: Brian2 equations with units, beside the array engine.

A leaky rate cortex, granule cells with four mossy fibres each, nuclei that predict the cortex's future gradient, and an
olive that teaches them with TD errors, one trial after another.  By default only parallel fibres learn, so that the
prediction can be held against the true gradient; --plastic lets cortex and readout learn, too.  --simulator, --refine
and --kappa take several values, which become dims of the run.  Equations: docs/theory.md, "In continuous time".
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import xarray as xr
from tqdm import tqdm

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.parameters import check, field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import netcdf

RECORD = ("rates", "outputs", "predicted_gradient", "td_error", "gradient_alignment")
SIMULATORS = ("brian", "array")


@dataclass(frozen=True)
class Parameters:
    """Constants of the model."""

    simulator: str = field("brian", "brian, array (the array engine), or both, separated by commas")
    target: str = field("auto", "where Brian2 computes", choices=("auto", "numpy", "cython", "cpp_standalone"))
    refine: str = field("1", "steps in the place of one, separated by commas: 1,2,4,8")
    kappa: str = field("1", "weight of the prediction in what the cortex learns, separated by commas", symbol="κ")
    plastic: bool = field(False, "let cortex and readout learn, too")
    lambda_: float = field(1.0, "trace decay by step of dt", symbol="λ", low=0, high=1)
    discount: float = field(1.0, "discount by step of dt", symbol="γ", low=0, high=1)
    predictor_trace: str = field("leak", "trace of a parallel fibre", choices=("leak", "diagonal"))
    td_error: str = field("diagonal", "how errors come to the climbing fibres", choices=("exact", "diagonal"))
    n_steps: int = field(10, "steps of dt in a trial", symbol="T", low=2)
    n_cues: int = field(1, "cues, one for each target", low=1)
    n_units: int = field(30, "cortical units", symbol="n", low=1)
    n_granule: int = field(150, "granule cells", low=1)
    fan_in: int = field(4, "mossy fibres of a granule cell", symbol="K", source="Litwin-Kumar et al. 2017", low=1)
    tau: float = field(0.1, "membrane time constant", unit="s", symbol="τ", above=0)
    dt: float = field(0.01, "step", unit="s", symbol="dt", above=0)
    learning_rate: float = field(0.1, "gradient descent of the cortex", symbol="η", low=0)
    readout_learning_rate: float = field(0.01, "gradient descent of the readout", low=0)
    predictor_learning_rate: float = field(
        0.1, "gradient descent of the cerebellum, divided by the mean squared activity of the granule layer", low=0
    )
    n_trials: int = field(2000, "trials", low=1)
    n_snapshots: int = field(10, "evaluations after the first", low=1)
    n_recorded: int = field(1, "trials whose activity is kept, the last ones", low=1)
    seeds: int = field(5, "networks, one after another", low=1)
    output: str = field("data/runs/rate_loop_brian.nc", "file of the run (NetCDF)")
    overwrite: bool = field(False, "replace the file that is there")

    def __post_init__(self) -> None:
        check(self)
        for simulator in self.simulator.split(","):
            if simulator not in SIMULATORS:
                why = "these compute the same"
                raise refusal("simulator", simulator, ", ".join(SIMULATORS), why, "--simulator brian,array")
        for by in self.refine.split(","):
            if not by.isdecimal() or int(by) < 1:
                raise refusal("refine", by, "whole numbers >= 1", "a step becomes so many", "--refine 1,2,4")
        for kappa in self.kappa.split(","):
            try:
                good = float(kappa) >= 0
            except ValueError:
                good = False
            if not good:
                raise refusal(
                    "kappa", kappa, "numbers >= 0", "the prediction is applied with this weight", "--kappa 0,1"
                )


def task(p: Parameters) -> nb.tasks.TargetReaching:
    """Cues at the first step, a target on the unit circle at the last one."""
    return nb.tasks.TargetReaching(p.n_steps, p.n_cues)


def circuit(p: Parameters) -> nb.Circuit:
    """A leaky rate cortex with a granular cerebellum."""
    reaching = task(p)
    cortex = nb.RateCortex(reaching.n_inputs, p.n_units, "tanh", tau=p.tau, dt=p.dt)
    return nb.Circuit(cortex, nb.LinearReadout(reaching.n_outputs), nb.GranularPredictor(p.n_granule, p.fan_in))


def rule(p: Parameters, kappa: float) -> nb.LearningRule:
    """BP(λ), step by step, with one number for the trace of each synapse."""
    traces = {"leak": nb.predictor_traces.LeakTrace(), "diagonal": nb.predictor_traces.DiagonalTrace()}
    return nb.bp_lambda(
        p.lambda_,
        p.discount,
        kappa,
        trace=nb.Leaky(),
        view="backward",
        update="step",
        predictor_trace=traces[p.predictor_trace],
        td_error=p.td_error,
    )


def optimizers(p: Parameters, weights: nb.Weights) -> nb.Optimizers:
    """Plain gradient descent; the predictor's rate is by the mean squared activity that its synapses read."""
    network, probe = circuit(p), task(p).probe()
    trajectory, _ = network.run(weights, probe)
    granule = network.cerebellum.features(weights.cerebellum, jnp.moveaxis(trajectory.s_t[0], 1, 0))
    activity = float((granule**2).sum(0).mean()) + 1  # 1: the bias
    predictor = nb.Optimizer("sgd", p.predictor_learning_rate / activity)
    if not p.plastic:
        return nb.Optimizers(None, None, predictor)
    return nb.Optimizers(nb.Optimizer("sgd", p.learning_rate), nb.Optimizer("sgd", p.readout_learning_rate), predictor)


def network(p: Parameters, simulator: str, by: int, kappa: float, seed: int) -> "nb.brian.labelling.Point":
    """One network: born, and played through its trials in steps of dt/`by`."""
    key = jax.random.key(seed)
    weights = circuit(p).init(jax.random.fold_in(key, 0))
    trials = task(p).sample(jax.random.fold_in(key, 1), jax.random.fold_in(key, 2), p.n_trials)
    learning, optimising = rule(p, kappa), optimizers(p, weights)
    fine, _, _, probe = nb.refine(circuit(p), learning, optimising, task(p).probe(), by)
    _, learning, optimising, trials = nb.refine(circuit(p), learning, optimising, trials, by)
    is_program = simulator == "brian" and p.target == "cpp_standalone"
    blocks = nb.brian.expressible.blocks(p.n_trials, 1 if is_program else p.n_snapshots, is_program)
    if simulator == "array":
        plan = nb.brian.labelling.Plan(trials, RECORD, blocks, p.n_recorded, probe)
        made = nb.brian.labelling.experiment(fine, learning, optimising, plan, weights)
        played = nb.brian.array_engine.play(fine, learning, optimising, weights, plan)
        point = nb.brian.labelling.Point(made, nb.brian.labelling.piece(made, played, plan), played.weights[p.n_trials])
    else:
        with nb.brian.BrianCircuit(
            fine, weights, learning, optimising, n_steps=trials.n_steps, target=p.target
        ) as loop:
            point = loop.play(loop.plan(trials, RECORD, len(blocks), p.n_recorded, probe))
    return at_whole_steps(point, by)


def at_whole_steps(point: "nb.brian.labelling.Point", by: int) -> "nb.brian.labelling.Point":
    """Activity and gradients at the end of every dt, however short the steps were."""
    thinned = {
        group: found.isel(time=slice(by - 1, None, by)).assign_coords(
            time=found.time[: found.sizes["time"] // by].variable
        )
        if "time" in found.dims
        else found
        for group, found in point.piece.items()
    }
    return point._replace(piece=thinned)


def grid(p: Parameters) -> dict[str, list]:
    """What varies, and its values."""
    return {
        "simulator": p.simulator.split(","),
        "refine": [int(by) for by in p.refine.split(",")],
        "kappa": [float(kappa) for kappa in p.kappa.split(",")],
    }


def simulate(p: Parameters) -> Path:
    """Play every network, and store them as one run."""
    netcdf.check_path(Path(p.output), p.overwrite)
    axes = grid(p)
    labels = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    points = []
    with jax.enable_x64(True), tqdm(total=len(labels) * p.seeds, unit="network") as bar:
        for label in labels:
            networks = []
            for seed in range(p.seeds):
                networks.append(network(p, label["simulator"], label["refine"], label["kappa"], seed))
                bar.update()
            points.append(nb.brian.labelling.across_seeds(networks))
    kept = {dim: values for dim, values in axes.items() if len(values) > 1}
    named = [(point, {dim: label[dim] for dim in kept}) for point, label in zip(points, labels, strict=True)]
    run = nb.brian.labelling.tree(named, kept, nb.brian.equations(circuit(p), rule(p, 1.0)))
    run.attrs["model"] = "models/rate_loop_brian.py"
    path = nb.export_netcdf(run, p.output, p.overwrite)
    report(run, path)
    return path


def report(run: xr.DataTree, path: Path) -> None:
    """Print the loss of the probe, and how well the predicted gradient points along the true one."""
    loss = run["evaluation"]["loss"].sel(split="probe").isel(update=-1)
    print(f"\nafter {int(loss.update)} trials, mean ± SD, seeds: {loss.sizes['seed']}")
    for name, values in scripting.by_point(loss):
        print(f"  {name:<30} loss {scripting.mean_and_spread(values, 5)}")
    for name, values in scripting.by_point(run["gradients"]["gradient_alignment"].isel(update=-1).mean("time")):
        print(f"  {name:<30} cosine of ĝ with G {scripting.mean_and_spread(values, 2)}")
    print(f"run: {path}")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, simulate)
