"""Training: chunks of compiled updates, each committed with an evaluation before the next begins."""

import dataclasses
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Key
from tqdm import tqdm

from neuro_bpl import checkpoint, contents, evaluation, recording, results, store
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.experiment import Experiment, Schedule, Seeds
from neuro_bpl.learner import Hyperparameters, Learner, newborn, run_updates, sample
from neuro_bpl.optimizers import OptaxOptimizer, Optimizers
from neuro_bpl.parameters import expect, refusal
from neuro_bpl.provenance import describe, differences, origin
from neuro_bpl.recording import EVALUATION, SNAPSHOT
from neuro_bpl.results import Part, Piece
from neuro_bpl.rules import LearningRule
from neuro_bpl.tasks.protocol import Curriculum, Streaming, Task
from neuro_bpl.trials import Trials

EVALUATED = ("validation", "test")


@runtime_checkable
class Sink(Protocol):
    """Where a run goes: to disk (`store.Writer`), or into memory (`contents.Memory`)."""

    @property
    def contents(self) -> contents.Contents:
        """What was committed before this process began."""

    def commit(
        self, name: str, piece: Piece, checkpoint: Mapping[str, np.ndarray], attrs: Mapping[str, Any], growth: int
    ) -> None:
        """Append a piece to a part, and replace its checkpoint and attributes."""


def train(
    circuit: Circuit,
    task: Task,
    rule: LearningRule,
    *,
    n_updates: int,
    batch_size: int = 50,
    seeds: int | Seeds = 1,
    optimizers: Optimizers | None = None,
    weights: Weights | None = None,
    record: Sequence[str] = (),
    n_evaluations: int = 20,
    n_snapshots: int = 1,
    precision: str = "float32",
    output: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    model: str = "",
    progress: bool = True,
) -> xr.DataTree:
    """Train a circuit on a task with a rule, from several seeds at once.

    Parameters
    ----------
    circuit : Circuit
        What learns.
    task : Task
        Where trials come from.
    rule : LearningRule
        How it learns.
    n_updates, batch_size : int
        Number of updates (batches of trials), and trials of a batch.
    seeds : int or Seeds
        Number of networks, or their seeds of weights, data and noise. Same seed, same numbers.
    optimizers : Optimizers, optional
        Optimisers of cortex, readout and predictor; Adam with learning rate 0.001 each by default.
    weights : Weights, optional
        Weights to start from, one network each along a leading axis; drawn from the seeds by default.
    record : sequence of str
        What to record besides loss, accuracy and weights: names of docs/schema.md.
    n_evaluations, n_snapshots : int
        Held-out evaluations, and snapshots of weights and activity, after the first one before training. Snapshots are
        taken at evaluations.
    precision : "float32" or "float64"
        Floating-point format.
    output : path, optional
        Folder to store the run in while it trains; in memory only by default.
    resume : bool
        Go on with the run at `output` where its last commit left it; begin it where there is none.
    overwrite : bool
        Replace the run at `output`.
    model : str
        Name of the model, kept in the attributes of the run.
    progress : bool
        Show a progress bar with loss and time left on stderr.

    Returns
    -------
    xarray.DataTree
        Groups `parameters`, `training`, `evaluation`, `weights`, and `gradients` and `activity` where asked for.

    Raises
    ------
    ValueError
        If an argument is not possible, or `output` holds another experiment.
    FileExistsError
        If there is something at `output` that may not be replaced or resumed.
    OSError
        If `output` cannot be written, or the run would not fit on the disk.
    FloatingPointError
        If the loss of every seed stops being finite; it names the update, the rule and the largest weight. A single
        seed that diverges is frozen, warned of, and marked in `training.diverged_at`.
    """
    check_arguments(circuit, task, rule, optimizers, weights, output, resume, overwrite)
    experiment = Experiment(
        circuit,
        task,
        rule,
        optimizers or Optimizers(),
        Schedule(n_updates, batch_size, n_evaluations, n_snapshots, precision),
        as_seeds(seeds),
        recording.check_names(record, circuit, rule),
        weights,
    )
    part = Part((experiment,), ({},))
    if output is None:
        memory = contents.Memory(attributes([part], {}, model))
        train_part(part, "0", memory, progress, raising=True)
        return memory.contents.tree()
    path = store.as_path(output)
    with store.writing(path, attributes([part], {}, model), resume, overwrite) as writer:
        if writer.contents.grid:
            raise another_experiment(path, [f"it is a sweep over {', '.join(writer.contents.grid)}"])
        stored = writer.contents.parts.get("0")
        if stored is not None:
            check_same(path, stored.descriptions[0], experiment)
        if stored is not None and stored.attrs["status"] == contents.DIVERGED:
            raise FloatingPointError(f"the run at {path} diverged. Type: --overwrite with a lower learning rate.")
        train_part(part, "0", writer, progress, raising=True)
    return store.open_run(path)


def attributes(parts: Sequence[Part], grid: Mapping[str, Sequence], model: str) -> dict[str, str]:
    """Root attributes of a run: what it is, and where it comes from."""
    return {"model": model, **results.attributes(parts, grid), **origin()}


def check_same(path: Path, stored: Mapping[str, Any], experiment: Experiment) -> None:
    """Refuse to go on with a run that is, or may be, another experiment (`ValueError`)."""
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
    """The refusal to go on with a run that is another experiment."""
    shown = "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")
    return refusal(
        "resume",
        str(path),
        "a run of the same experiment",
        f"this one differs: {shown}",
        "--output with another name, --overwrite to replace it, or the stored values",
    )


def as_seeds(seeds: int | Seeds) -> Seeds:
    """Seeds of so many networks."""
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
    """Refuse what is of another kind than `train` and `sweep` ask for (`ValueError`)."""
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


def train_part(part: Part, name: str, sink: Sink, progress: bool, raising: bool) -> None:
    """Train the points of a part from where the sink's checkpoint left them, committing every chunk.

    `raising`: raise `FloatingPointError` when every network has diverged, instead of marking the part and going on.
    """
    stored = sink.contents.parts.get(name)
    if stored is not None and stored.attrs["status"] != contents.RUNNING:
        return
    with jax.enable_x64(part.first.schedule.precision == "float64"):
        training = Training.prepare(part, name, sink)
        learners, done = training.begin(stored)
        bar = tqdm(
            total=part.first.schedule.n_updates,
            initial=done,
            desc=f"{part.name:>9}",
            unit="update",
            disable=not progress,
            file=sys.stderr,
        )
        with bar:
            for first, n in part.first.schedule.chunks():
                if first < done:
                    continue
                learners, loss = training.chunk(learners, first, n, raising)
                bar.update(n)
                bar.set_postfix(loss=f"{loss:.3g}")
                if (np.asarray(learners.diverged_at) >= 0).all():
                    break


@dataclasses.dataclass(frozen=True)
class Training:
    """A part in training: all that stays the same from chunk to chunk."""

    part: Part
    name: str
    sink: Sink
    hyper: Hyperparameters
    keys: tuple[Key[Array, " network"], Key[Array, " network"], Key[Array, " network"]]
    probe: Trials
    held_out: Mapping[str, Trials]
    said: Mapping[str, str]

    @classmethod
    def prepare(cls, part: Part, name: str, sink: Sink) -> "Training":
        """Look at everything that can be refused before anything is compiled."""
        experiment = part.first
        circuit, task = experiment.circuit, experiment.task
        if any(point.rule.credit.predicting for point in part.points):
            circuit.predictor()
        _check_stream(experiment)
        _check_weights(experiment)
        keys = jax.tree.map(lambda stream: jnp.tile(stream, len(part.points)), experiment.seeds.keys())
        level = task.first_level() if isinstance(task, Curriculum) else ()
        data_key, noise_key = (jax.random.fold_in(stream[0], 0) for stream in keys[1:])
        first_batch = sample(task, level, data_key, noise_key, experiment.schedule.batch_size)
        probe, held_out = task.probe(), {split: task.held_out(split) for split in EVALUATED}
        for trials in (first_batch, probe, *held_out.values()):
            circuit.check(trials)
        words = said(part.labels, part.descriptions())
        return cls(part, name, sink, part.hyperparameters(), keys, probe, held_out, words)

    def begin(self, stored: contents.StoredPart | None) -> tuple[Learner, int]:
        """Every network at its first update, or where the checkpoint left it, and the updates done."""
        part = self.part
        start = None if part.first.weights is None else _tiled(part.first.weights, len(part.points))
        make = partial(newborn, part.first.circuit, part.first.task, part.first.schedule.batch_size)
        if stored is not None:
            like = jax.eval_shape(make, self.hyper, self.keys[0], start)
            return checkpoint.unpack(stored.checkpoint, like), int(stored.attrs["updates"])
        learners = make(self.hyper, self.keys[0], start)
        piece = {**results.parameters(part), **self.look(learners, 0)}
        self.check_space(piece, learners)
        self.commit(piece, learners, 0)
        return learners, 0

    def chunk(self, learners: Learner, first: int, n: int, raising: bool) -> tuple[Learner, float]:
        """One chunk of updates, an evaluation, a commit; returns the loss of the last update too."""
        experiment = self.part.first
        learners, update = run_updates(
            experiment.circuit,
            experiment.task,
            self.hyper,
            learners,
            self.keys[1:],
            first,
            n,
            experiment.schedule.batch_size,
        )
        update, diverged_at = jax.device_get((update, learners.diverged_at))
        piece = results.training(self.part, first, update, diverged_at)
        self.commit({**piece, **self.look(learners, first + n)}, learners, first + n)
        _report_divergence(self.part, learners, first, raising)
        loss = update.outcome.loss[:, -1]
        return learners, float(loss[np.isfinite(loss)].mean()) if np.isfinite(loss).any() else float("nan")

    def look(self, learners: Learner, update: int) -> Piece:
        """Held-out evaluation, and what is asked for of the probe batch."""
        experiment, names = self.part.first, self.part.first.record
        found = {
            split: jax.device_get(evaluation.outcomes(experiment.circuit, learners.weights, trials))
            for split, trials in self.held_out.items()
        }
        at_snapshot = update in experiment.schedule.snapshots()
        asked = recording.probed(names, EVALUATION, *([SNAPSHOT] if at_snapshot else []))
        piece = results.evaluation(self.part, update, found)
        if asked:
            batch_size = experiment.schedule.batch_size
            values = _probe(experiment.circuit, self.hyper, learners.weights, self.probe, batch_size, asked)
            piece |= results.probed(self.part, update, jax.device_get(values))
        if at_snapshot:
            piece |= results.weights(self.part, update, jax.device_get(learners.weights))
        return piece

    def commit(self, piece: Piece, learners: Learner, done: int) -> None:
        """Hand a piece to the sink, with the checkpoint to go on from while there is more to do."""
        schedule = self.part.first.schedule
        diverged = (np.asarray(learners.diverged_at) >= 0).all()
        status = (
            contents.DIVERGED if diverged else contents.COMPLETE if done == schedule.n_updates else contents.RUNNING
        )
        saved = checkpoint.pack(learners) if status == contents.RUNNING else {}
        attrs = {**self.said, "status": status, "updates": done}
        self.sink.commit(self.name, piece, saved, attrs, schedule.n_updates)

    def check_space(self, piece: Piece, learners: Learner) -> None:
        """Refuse a run that would fill the disk."""
        if not isinstance(self.sink, store.Writer):
            return
        schedule = self.part.first.schedule
        commits = len(schedule.chunks()) + 1
        saved = sum(array.nbytes for array in checkpoint.pack(learners).values())
        losses = 16 * schedule.n_updates * len(learners.diverged_at)
        store.check_space(self.sink.path, (store.sizes(piece) + saved) * commits + losses)


def _tiled(weights: Weights, n_points: int) -> Weights:
    """The given weights for every point, in the format of this run."""
    dtype = jnp.zeros(0).dtype
    return jax.tree.map(lambda leaf: jnp.tile(jnp.asarray(leaf, dtype), (n_points,) + (1,) * (leaf.ndim - 1)), weights)


def _check_weights(experiment: Experiment) -> None:
    circuit, weights, n_seeds = experiment.circuit, experiment.weights, len(experiment.seeds.weights)
    if weights is None:
        return
    several = evaluation.has_network_axis(circuit, weights)
    for name, leaf in results.named_leaves(weights).items():
        if not np.isfinite(leaf).all():
            fix = "weights of a run that did not diverge"
            raise refusal(f"weights.{name}", float("nan"), "finite numbers", "every loss would be NaN", fix)
    found = len(jax.tree.leaves(weights)[0]) if several else "one network without a leading axis"
    if found != n_seeds:
        raise refusal(
            "weights",
            found,
            f"{n_seeds} networks along a leading axis",
            "every seed starts from weights of its own",
            "jax.vmap(circuit.init)(keys), or load(run).weights of a run with as many seeds",
        )


def said(labels: Sequence[results.Label], descriptions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Attributes by which the points of a part are found again."""
    return {"labels": json.dumps([dict(label) for label in labels]), "experiments": json.dumps(descriptions)}


@partial(jax.jit, static_argnames=("circuit", "batch_size", "names"))
def _probe(
    circuit: Circuit, hyper: Hyperparameters, weights: Weights, trials: Trials, batch_size: int, names: tuple[str, ...]
) -> dict[str, Array]:
    def one(own: tuple) -> dict[str, Array]:
        varying, weights = own
        return recording.on_probe(circuit, hyper.of(varying)[0], weights, trials, batch_size, names)

    return jax.lax.map(one, (hyper.varying, weights))


def _check_stream(experiment: Experiment) -> None:
    if isinstance(experiment.task, Streaming) and experiment.rule.update != "step":
        raise refusal(
            "rule.update",
            experiment.rule.update,
            '"step" on a stream',
            "a stream has no end of trial at which weights could change",
            'bp_lambda(view="backward", update="step")',
        )


def _report_divergence(part: Part, learners: Learner, first: int, raising: bool) -> None:
    """Warn of networks that diverged in the chunk that began at update `first`; raise when none is left."""
    diverged_at = np.asarray(learners.diverged_at)
    new = np.flatnonzero(diverged_at > first)
    if not len(new):
        return
    network = int(new[0])
    point, seed = divmod(network, part.n_seeds)
    size, name = max(
        (float(np.abs(leaf[network]).max()), name)
        for name, leaf in results.named_leaves(jax.device_get(learners.weights)).items()
    )
    where = "".join(f", {dim} {value}" for dim, value in part.labels[point].items())
    message = (
        f"the loss of {part.points[point].rule.name} is not finite at update {diverged_at[network]} "
        f"(network {seed}{where}); its largest weight is {name} with magnitude {size:.3g}. Type: a lower learning "
        f"rate, such as Optimizers(cortex=Optimizer(learning_rate=1e-4)), or Optimizer(clip_norm=1.0)."
    )
    if raising and (diverged_at >= 0).all():
        raise FloatingPointError(message)
    warnings.warn(message + " This network is frozen; the others go on.", RuntimeWarning, stacklevel=5)
