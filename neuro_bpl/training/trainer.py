"""A part in training: chunks of compiled updates, each committed with an evaluation before the next begins."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.compilation import LOOP, ONCE, Options, compiled, known, read, written
from neuro_bpl.costs import fitting
from neuro_bpl.experiments import evaluation, labelling, recording
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.experiment import Experiment
from neuro_bpl.experiments.learner import Learner
from neuro_bpl.experiments.updates import Hyperparameters, Keys, Update, birth, run_updates
from neuro_bpl.learning.legality import check_descent
from neuro_bpl.learning.traces import Sweeping
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import checkpoint, contents, pieces, run_writer
from neuro_bpl.runs.contents import Sink, said
from neuro_bpl.runs.pieces import Piece
from neuro_bpl.runs.quantities import EVALUATION, SNAPSHOT
from neuro_bpl.tasks.held_out import held_out_key
from neuro_bpl.tasks.protocol import Curriculum, Streaming, Task
from neuro_bpl.training.progress import Report
from neuro_bpl.trials import Trials

EVALUATED = ("validation", "test")
SHORT = 4e6  # drives × steps × trials × updates; a loop compiled in a hurry takes a quarter of a second more for them
OPTIONS = "compile_options"  # attribute of a part: what its loop of updates was compiled with


def train_part(part: Cohort, name: str, sink: Sink, report: Report, raising: bool, until: int | None = None) -> None:
    """Train the points of a part from the checkpoint of the sink, committing every chunk.

    `until`: stop at this update. `raising`: raise `FloatingPointError` when every network has diverged,
    instead of marking the part and going on.
    """
    stored = sink.contents.parts.get(name)
    if stored is not None and stored.attrs["status"] != contents.RUNNING:
        return
    with jax.enable_x64(part.first.schedule.precision == "float64"):
        trainer = Trainer.prepare(part, name, sink)
        learners, done = trainer.begin(stored)
        report.begin(done)
        for first, n in part.first.schedule.chunks():
            if first < done:
                continue
            if until is not None and first >= until:
                break
            learners, loss = trainer.chunk(learners, first, n, raising, report)
            report.at(first + n, loss)
            if (np.asarray(learners.diverged_at) >= 0).all():
                break


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Everything about a part in training that is constant from chunk to chunk."""

    part: Cohort
    name: str
    sink: Sink
    hyper: Hyperparameters
    keys: Keys
    probe: Trials
    held_out: Mapping[str, Trials]
    said: Mapping[str, str]
    options: Options

    @classmethod
    def prepare(cls, part: Cohort, name: str, sink: Sink) -> "Trainer":
        """Check everything that can be refused before compilation, and return the trainer of a part."""
        experiment = part.first
        circuit, task = experiment.circuit, experiment.task
        for point in part.points:
            point.rule.check_circuit(circuit)
            check_descent(point.rule.view, point.optimizers.predictor, point.schedule.batch_size)
        _check_stream(experiment)
        _check_weights(experiment)
        probe, held_out = task.probe(), {split: task.held_out(split) for split in EVALUATED}
        for trials in (probe, *held_out.values()):
            circuit.check(trials)
        fitting.check_memory(part)
        options = _compile_options(experiment, probe.n_steps, sink.contents.parts.get(name))
        words = {**said(part.labels, part.descriptions()), OPTIONS: written(options)}
        return cls(part, name, sink, part.hyperparameters(), part.keys(), probe, held_out, words, options)

    def begin(self, stored: contents.StoredPart | None) -> tuple[Learner, int]:
        """Return every network, initial or from the checkpoint, and the number of updates done."""
        part = self.part
        circuit, task, batch_size = part.first.circuit, part.first.task, part.first.schedule.batch_size
        start = part.start()
        if stored is not None:
            make = partial(birth, circuit, task, batch_size, watch=part.watch)
            like, _ = jax.eval_shape(make, self.hyper, self.keys, start)
            layout = json.loads(stored.attrs.get("checkpoint", "null"))
            return checkpoint.unpack(stored.checkpoint, layout, like), int(stored.attrs["updates"])
        program = compiled(birth, known(ONCE), ("circuit", "batch_size"))
        learners, first_batch = program(circuit, task, batch_size, self.hyper, self.keys, start, part.watch)
        circuit.check(first_batch)
        piece = {**labelling.parameters(part), **self.look(learners, 0)}
        self.check_space(piece, learners)
        self.commit(piece, learners, 0)
        return learners, 0

    def chunk(self, learners: Learner, first: int, n: int, raising: bool, report: Report) -> tuple[Learner, float]:
        """Train, evaluate and commit one chunk of updates; return the networks and the last update's mean loss."""
        learners, update = self.updates(learners, first, n)
        update, diverged_at = jax.device_get((update, learners.diverged_at))
        piece = labelling.training(self.part, first, update, diverged_at)
        if update.comparison is not None:
            piece |= labelling.comparison(self.part, first, update.comparison)
        self.commit({**piece, **self.look(learners, first + n)}, learners, first + n)
        _report_divergence(self.part, learners, first, raising, report)
        loss = update.outcome.loss[:, -1]
        return learners, float(loss[np.isfinite(loss)].mean()) if np.isfinite(loss).any() else float("nan")

    def updates(self, learners: Learner, first: int, n: int) -> tuple[Learner, Update]:
        """Train one chunk of updates; trials of a curriculum are padded no more than the chunk needs."""
        part = self.part
        schedule = part.first.schedule
        rest = n, schedule.longest_chunk(), schedule.batch_size, part.watch, self.options
        task, levels = _padded(part.first.task, learners.level)
        while True:
            after, update = run_updates(part.first.circuit, task, self.hyper, learners, self.keys[1:], first, *rest)
            # Trials that outgrew their padding were cut short: the chunk is computed again, with more of it.
            enough, levels = _padded(part.first.task, levels, after.level)
            if _same_shape(enough, task):
                return after, update
            task = enough

    def look(self, learners: Learner, update: int) -> Piece:
        """Evaluate held-out trials, and compute the recorded quantities of the probe batch."""
        experiment, names = self.part.first, self.part.first.record
        found = {
            split: jax.device_get(evaluation.outcomes(experiment.circuit, learners.weights, trials))
            for split, trials in self.held_out.items()
        }
        at_snapshot = update in experiment.schedule.snapshots()
        asked = recording.probed(names, EVALUATION, *([SNAPSHOT] if at_snapshot else []))
        piece = labelling.evaluation(self.part, update, found)
        for own, names in self.probes(learners, asked):
            batch_size = experiment.schedule.batch_size
            values = _probe(experiment.circuit, self.hyper, learners.weights, self.probe, own, batch_size, names)
            piece |= labelling.probed(self.part, update, jax.device_get(values))
        if at_snapshot:
            piece |= labelling.weights(self.part, update, jax.device_get(learners.weights))
        return piece

    def probes(self, learners: Learner, asked: tuple[str, ...]) -> Iterator[tuple[Trials | tuple[()], tuple[str, ...]]]:
        """Yield trials of each network, () where all share the probe batch, and the quantities to compute on them.

        With a curriculum, gradients are measured on trials of the network's own level.
        """
        task = self.part.first.task
        if isinstance(task, Curriculum) and (at_level := recording.of_level(asked)):
            yield _of_level(task, learners.level, self.probe), at_level
            asked = tuple(name for name in asked if name not in at_level)
        if asked:
            yield (), asked

    def commit(self, piece: Piece, learners: Learner, done: int) -> None:
        """Commit a piece, with a checkpoint while there are updates left."""
        schedule = self.part.first.schedule
        diverged = (np.asarray(learners.diverged_at) >= 0).all()
        status = (
            contents.DIVERGED if diverged else contents.COMPLETE if done == schedule.n_updates else contents.RUNNING
        )
        begun = status == contents.RUNNING
        saved = checkpoint.pack(learners) if begun else {}
        layout = {"checkpoint": json.dumps(checkpoint.layout(learners))} if begun else {}
        attrs = {**self.said, "status": status, "updates": done, **layout}
        self.sink.commit(self.name, piece, saved, attrs, schedule.n_updates)

    def check_space(self, piece: Piece, learners: Learner) -> None:
        """Refuse a run that would not fit on the disk (`OSError`)."""
        if self.sink.path is None:
            return
        schedule = self.part.first.schedule
        commits = len(schedule.chunks()) + 1
        saved = sum(array.nbytes for array in checkpoint.pack(learners).values())
        losses = 16 * schedule.n_updates * len(learners.diverged_at)
        run_writer.check_space(self.sink.path, (run_writer.sizes(piece) + saved) * commits + losses)


def _compile_options(experiment: Experiment, n_steps: int, stored: contents.StoredPart | None) -> Options:
    """Return the compile options: those of a stored part, else those of a short or of a long loop."""
    if stored is not None and stored.attrs["status"] != contents.FAILED:
        return read(stored.attrs.get(OPTIONS, "{}"))
    return known(ONCE if _is_short(experiment, n_steps) else LOOP)


def _is_short(experiment: Experiment, n_steps: int) -> bool:
    """Return whether optimising the loop of updates would take longer than running it."""
    rule, schedule = experiment.rule, experiment.schedule
    if not isinstance(rule.trace, Sweeping) or rule.parts.eligibility is not None or experiment.compare:
        return False
    cortex = experiment.circuit.cortex
    n_drives = len(experiment.seeds.weights) * cortex.n_gates * cortex.n_units
    return schedule.n_updates * schedule.batch_size * n_steps * n_drives <= SHORT


def _check_weights(experiment: Experiment) -> None:
    circuit, weights, n_seeds = experiment.circuit, experiment.weights, len(experiment.seeds.weights)
    if weights is None:
        return
    several = evaluation.has_network_axis(circuit, weights)
    for name, leaf in pieces.named_leaves(weights).items():
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


@partial(jax.jit, static_argnames=("circuit", "batch_size", "names"))
def _probe(
    circuit: Circuit,
    hyper: Hyperparameters,
    weights: Weights,
    shared: Trials,
    own: Trials | tuple[()],
    batch_size: int,
    names: tuple[str, ...],
) -> dict[str, Array]:
    """Compute quantities of every network, on its own trials or, where `own` is (), on shared ones."""

    def one(network: tuple) -> dict[str, Array]:
        varying, weights, own = network
        return recording.on_probe(circuit, hyper.of(varying)[0], weights, own or shared, batch_size, names)

    return jax.lax.map(one, (hyper.varying, weights, own))


def _of_level(task: Curriculum, levels: PyTree, like: Trials) -> Trials:
    """Draw trials of every network's level, as many and as long as the probe batch, with held-out keys."""
    enough, key = task.padded(jax.device_get(levels)), held_out_key("validation")
    drawn = jax.vmap(lambda level: enough.sample_level(level, key, key, like.n_trials).padded(like.n_steps))
    return drawn(levels)


def _padded(task: Task, *levels: PyTree) -> tuple[Task, PyTree]:
    """Return a curriculum padded as all these levels need (any other task unchanged), and the levels joined."""
    together = jax.tree.map(lambda *leaves: np.concatenate(jax.device_get(leaves)), *levels)
    return task.padded(together) if isinstance(task, Curriculum) else task, together


def _same_shape(a: Task, b: Task) -> bool:
    """Return whether two tasks differ at most in the values of their arrays."""
    one: Any = jax.tree.structure(a)
    return one == jax.tree.structure(b)


def _check_stream(experiment: Experiment) -> None:
    if isinstance(experiment.task, Streaming) and experiment.rule.update != "step":
        raise refusal(
            "rule.update",
            experiment.rule.update,
            '"step" on a stream',
            "a stream has no end of trial at which weights could change",
            'bp_lambda(view="backward", update="step")',
        )


def _report_divergence(part: Cohort, learners: Learner, first: int, raising: bool, report: Report) -> None:
    """Warn of networks that diverged after update `first`.

    If `raising` and all networks have diverged, raise `FloatingPointError` instead.
    """
    diverged_at = np.asarray(learners.diverged_at)
    new = np.flatnonzero(diverged_at > first)
    if not len(new):
        return
    network = int(new[0])
    point, seed = divmod(network, part.n_seeds)
    size, name = max(
        (float(np.abs(leaf[network]).max()), name)
        for name, leaf in pieces.named_leaves(jax.device_get(learners.weights)).items()
    )
    where = "".join(f", {dim} {value}" for dim, value in part.labels[point].items())
    message = (
        f"the loss of {part.points[point].rule.name} is not finite at update {diverged_at[network]} "
        f"(network {seed}{where}); its largest weight is {name} with magnitude {size:.3g}. Type: a lower learning "
        f"rate, such as Optimizers(cortex=Optimizer(learning_rate=1e-4)), or Optimizer(clip_norm=1.0)."
    )
    if raising and (diverged_at >= 0).all():
        raise FloatingPointError(message)
    report.warn(message + " This network is frozen; the others go on.")
