"""Updates: the compiled loop that trains many networks at once.

Networks that are trained together share circuit, task and schedule. Their rules and optimisers may differ in numbers:
λ, γ, κ and learning rates are array leaves, so a grid of them is one more axis of networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.compilation import Options, compiled
from neuro_bpl.experiments.learner import Learner, learn_batch, learn_watched
from neuro_bpl.experiments.observers import NOBODY, Comparison, Watch
from neuro_bpl.experiments.observers import newborn as first_observers
from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.tasks.protocol import Curriculum, Streaming, Task
from neuro_bpl.trials import Trials

PARTS = Weights._fields
Keys = tuple[Key[Array, " network"], Key[Array, " network"], Key[Array, " network"]]  # of weights, data and noise
RULE = 715_827_883  # folded into the noise key of an update: an arbitrary number that no task folds in for itself


class Update(NamedTuple):
    """Records of one update.

    Loss and accuracy, ‖ΔW‖ of each part, the difficulty of the trials of a curriculum, and the comparison of the rules
    where there are observers.
    """

    outcome: Outcome
    weight_change: Float[Array, " part"]
    difficulty: Shaped[Array, ""] | None = None
    comparison: Comparison | None = None


@partial(jax.tree_util.register_dataclass, data_fields=("varying", "shared"), meta_fields=("structure", "varies"))
@dataclass(frozen=True)
class Hyperparameters:
    """Rules and optimisers of all networks: varying numbers have a leading network axis, others are shared."""

    varying: tuple[Float[Array, " network"], ...]
    shared: tuple[Array, ...]
    structure: jax.tree_util.PyTreeDef
    varies: tuple[bool, ...]

    @classmethod
    def stack(cls, pairs: Sequence[tuple[LearningRule, Optimizers]], n_each: int) -> "Hyperparameters":
        """Stack the rule and optimisers of every point, each used by `n_each` networks in a row."""
        structures = {jax.tree.structure(pair) for pair in pairs}
        if len(structures) != 1:
            raise TypeError(f"points of one compiled call differ in more than numbers: {structures}")
        columns = list(zip(*(jax.tree.leaves(pair) for pair in pairs), strict=True))
        varies = tuple(any(value != column[0] for value in column) for column in columns)
        dtype = jnp.zeros(0).dtype
        return cls(
            tuple(
                jnp.repeat(jnp.asarray(column, dtype), n_each)
                for column, differs in zip(columns, varies, strict=True)
                if differs
            ),
            tuple(
                jnp.asarray(column[0], dtype) for column, differs in zip(columns, varies, strict=True) if not differs
            ),
            structures.pop(),
            varies,
        )

    def of(self, varying: Sequence[Array]) -> tuple[LearningRule, Optimizers]:
        """Return the rule and optimisers of one network, from its varying numbers."""
        own, shared = iter(varying), iter(self.shared)
        leaves = [next(own) if differs else next(shared) for differs in self.varies]
        return jax.tree.unflatten(self.structure, leaves)


def newborn(
    circuit: Circuit,
    task: Task,
    batch_size: int,
    hyper: Hyperparameters,
    keys: tuple[Key[Array, " network"], Key[Array, " network"]],
    weights: Weights | None,
    watch: Watch = NOBODY,
) -> Learner:
    """Return every network before its first update; weights are given, or drawn from the first key.

    The second key is that of noise.
    """

    def one(varying: tuple[Array, ...], weights: Weights, noise_key: Key[Array, ""]) -> Learner:
        rule, optimizers = hyper.of(varying)
        return Learner(
            weights,
            optimizers.transform(circuit, weights).init(weights),
            jnp.full((), -1, jnp.int32),
            task.first_level() if isinstance(task, Curriculum) else (),
            rule.init(circuit, weights, batch_size, noise_key) if isinstance(task, Streaming) else (),
            first_observers(circuit, watch.led_by(rule), optimizers, weights) if watch.rules else (),
        )

    return jax.vmap(one)(hyper.varying, jax.vmap(circuit.init)(keys[0]) if weights is None else weights, keys[1])


def birth(
    circuit: Circuit,
    task: Task,
    batch_size: int,
    hyper: Hyperparameters,
    keys: Keys,
    weights: Weights | None,
    watch: Watch = NOBODY,
) -> tuple[Learner, Trials]:
    """Return every network before its first update, and a batch of trials drawn with the first network's keys."""
    level = task.first_level() if isinstance(task, Curriculum) else ()
    data_key, noise_key = (jax.random.fold_in(stream[0], 0) for stream in keys[1:])
    first_batch = sample(task, level, data_key, noise_key, batch_size)
    circuit.check(first_batch)
    return newborn(circuit, task, batch_size, hyper, (keys[0], keys[2]), weights, watch), first_batch


def updates(
    circuit: Circuit,
    task: Task,
    hyper: Hyperparameters,
    learners: Learner,
    keys: tuple[Key[Array, " network"], Key[Array, " network"]],
    first: Int[Array, ""],
    n_updates: Int[Array, ""],
    longest: int,
    batch_size: int,
    watch: Watch = NOBODY,
) -> tuple[Learner, Update]:
    """Train all networks for a chunk of updates, with records padded to the length of the `longest` chunk.

    A network whose loss is not finite stops learning.
    """

    def update(
        varying: tuple[Array, ...],
        learner: Learner,
        data_key: Key[Array, ""],
        noise_key: Key[Array, ""],
        number: Int[Array, ""],
    ) -> tuple[Learner, Update]:
        rule, optimizers = hyper.of(varying)
        keys = jax.random.fold_in(data_key, number), jax.random.fold_in(noise_key, number)
        trials = sample(task, learner.level, *keys, batch_size)
        key = jax.random.fold_in(keys[1], RULE)
        comparison = difficulty = None
        if watch.rules:
            after, outcome, comparison = learn_watched(circuit, rule, optimizers, learner, trials, key, watch)
        else:
            endless = isinstance(task, Streaming)
            after, outcome = learn_batch(circuit, rule, optimizers, learner, trials, key, endless)
        if isinstance(task, Curriculum):
            after = after._replace(level=task.next_level(learner.level, outcome))
            difficulty = task.difficulty(learner.level)
        fails = (learner.diverged_at < 0) & ~jnp.isfinite(outcome.loss)
        diverged_at = jnp.where(fails, number.astype(jnp.int32) + 1, learner.diverged_at)
        kept = jax.tree.map(lambda old, new: jnp.where(diverged_at < 0, new, old), learner, after)
        made = Update(outcome, change(learner.weights, kept.weights), difficulty, comparison)
        return kept._replace(diverged_at=diverged_at), made

    @jax.jit
    def of_all(learners: Learner, number: Int[Array, ""]) -> tuple[Learner, Update]:
        return jax.vmap(update, (0, 0, 0, 0, None))(hyper.varying, learners, *keys, number)

    def none(learners: Learner, number: Int[Array, ""]) -> tuple[Learner, Update]:
        made = jax.eval_shape(of_all, learners, number)[1]
        return learners, jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), made)

    def step(learners: Learner, number: Int[Array, ""]) -> tuple[Learner, Update]:
        return jax.lax.cond(number < first + n_updates, of_all, none, learners, number)

    learners, made = jax.lax.scan(step, learners, first + jnp.arange(longest))
    return learners, jax.tree.map(lambda recorded: recorded.swapaxes(0, 1), made)


UPDATES_STATIC = ("circuit", "longest", "batch_size")


def run_updates(
    circuit: Circuit,
    task: Task,
    hyper: Hyperparameters,
    learners: Learner,
    keys: tuple[Key[Array, " network"], Key[Array, " network"]],
    first: int,
    n_updates: int,
    longest: int,
    batch_size: int,
    watch: Watch = NOBODY,
    options: Options = (),
) -> tuple[Learner, Update]:
    """Train a chunk with `updates`, compiled with options: one program for all chunks of a run."""
    program = compiled(updates, options, UPDATES_STATIC)
    after, made = program(circuit, task, hyper, learners, keys, first, n_updates, longest, batch_size, watch)
    return after, jax.tree.map(lambda recorded: recorded[:, :n_updates], jax.device_get(made))


def sample(task: Task, level: PyTree, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
    """Draw training trials, of the learner's own level where the task is a curriculum."""
    if isinstance(task, Curriculum):
        return task.sample_level(level, data_key, noise_key, batch_size)
    return task.sample(data_key, noise_key, batch_size)


def change(old: Weights, new: Weights) -> Float[Array, " part"]:
    """Return ‖ΔW‖ of each part."""

    def norm(old: PyTree, new: PyTree) -> Float[Array, ""]:
        squares = [((b - a) ** 2).sum() for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True)]
        return jnp.sqrt(sum(squares, start=jnp.zeros(())))

    return jnp.stack([norm(a, b) for a, b in zip(old, new, strict=True)])
