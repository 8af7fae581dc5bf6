"""A learner: one network in training, and the compiled loop that trains many at once.

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

from neuro_bpl import optimizers as optimising
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.compilation import Options, compiled
from neuro_bpl.metrics import Outcome
from neuro_bpl.moment import Moment, moments, online_outcome
from neuro_bpl.observers import Comparison, observe, observed
from neuro_bpl.observers import newborn as first_observers
from neuro_bpl.optimizers import Optimizers
from neuro_bpl.rules import LearningRule
from neuro_bpl.tasks.protocol import Curriculum, Streaming, Task
from neuro_bpl.trials import Trials

PARTS = Weights._fields
Keys = tuple[Key[Array, " network"], Key[Array, " network"], Key[Array, " network"]]  # of weights, data and noise
RULE = 715_827_883  # folded into the noise key of an update: an arbitrary number that no task folds in for itself


class Learner(NamedTuple):
    """One network in training.

    `diverged_at` is the update of its first non-finite loss (counted from 1), or −1; `level` its place in a curriculum,
    `stream` the cortical state and traces that an endless input carries from one update to the next, and `observers`
    what the rules that watch have for themselves (all () where there is none).
    """

    weights: Weights
    optimizer_state: PyTree
    diverged_at: Int[Array, ""]
    level: PyTree = ()
    stream: PyTree = ()
    observers: PyTree = ()


class Update(NamedTuple):
    """What one update leaves on record.

    How the trials went, ‖ΔW‖ of each part, how difficult the trials of a curriculum were, and what observers would have
    done.
    """

    outcome: Outcome
    weight_change: Float[Array, " part"]
    difficulty: Shaped[Array, ""] | None = None
    comparison: Comparison | None = None


@partial(jax.tree_util.register_dataclass, data_fields=("varying", "shared"), meta_fields=("structure", "varies"))
@dataclass(frozen=True)
class Hyperparameters:
    """Rules and optimisers of all networks: numbers that vary have a leading network axis, the others are shared."""

    varying: tuple[Float[Array, " network"], ...]
    shared: tuple[Array, ...]
    structure: jax.tree_util.PyTreeDef
    varies: tuple[bool, ...]

    @classmethod
    def stack(cls, pairs: Sequence[tuple[LearningRule, Optimizers]], n_each: int) -> "Hyperparameters":
        """Rule and optimisers of every point, each used by `n_each` networks in a row."""
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
        """Rule and optimisers of one network, from its own numbers."""
        own, shared = iter(varying), iter(self.shared)
        leaves = [next(own) if differs else next(shared) for differs in self.varies]
        return jax.tree.unflatten(self.structure, leaves)


@partial(jax.tree_util.register_dataclass, data_fields=("rules",), meta_fields=("place", "draws"))
@dataclass(frozen=True)
class Watch:
    """All rules of a comparison, the leader's place among them, and how many gradients are drawn of random ones."""

    rules: tuple[LearningRule, ...] = ()
    place: int = 0
    draws: int = 1

    @classmethod
    def of(cls, leader: LearningRule, observers: Sequence[LearningRule], draws: int) -> "Watch":
        """The rules that watch a leader; nobody where there are none."""
        if not observers:
            return NOBODY
        rules = observed(leader, observers)
        return cls(rules, [rule.name for rule in rules].index(leader.name), draws)

    def led_by(self, leader: LearningRule) -> tuple[LearningRule, ...]:
        """All rules, with the leader of one network, whose numbers are its own."""
        return (*self.rules[: self.place], leader, *self.rules[self.place + 1 :])


NOBODY = Watch()


def newborn(
    circuit: Circuit,
    task: Task,
    batch_size: int,
    hyper: Hyperparameters,
    keys: tuple[Key[Array, " network"], Key[Array, " network"]],
    weights: Weights | None,
    watch: Watch = NOBODY,
) -> Learner:
    """Every network before its first update, weights drawn from its key or given; the other key is that of noise."""

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
    """Every network before its first update, and the batch that the first one is going to learn from."""
    level = task.first_level() if isinstance(task, Curriculum) else ()
    data_key, noise_key = (jax.random.fold_in(stream[0], 0) for stream in keys[1:])
    first_batch = sample(task, level, data_key, noise_key, batch_size)
    circuit.check(first_batch)
    return newborn(circuit, task, batch_size, hyper, (keys[0], keys[2]), weights, watch), first_batch


def learn_batch(
    circuit: Circuit,
    rule: LearningRule,
    optimizers: Optimizers,
    learner: Learner,
    trials: Trials,
    key: Key[Array, ""] | None = None,
    endless: bool = False,
) -> tuple[Learner, Outcome]:
    """Learn from one batch of trials: one update at its end, or one at every step.

    `key` is for rules that draw random numbers.

    Without end (`endless`), the trials continue those of the update before: the cortical state and the traces carry on,
    and the last step has a future.
    """
    if rule.update == "trial":
        after, outcome, _ = learn_trials(circuit, rule, optimizers, learner, trials, key)
        return after, outcome

    def advance(carry: tuple, moment: Moment) -> tuple[tuple, tuple]:
        weights, optimizer_state, state = carry
        state, gradient, loss, y_t = rule.step(circuit, weights, state, moment, optimizers.step_size)
        weights, optimizer_state = applied(circuit, rule, optimizers, weights, optimizer_state, gradient)
        return (weights, optimizer_state, state), (loss, y_t)

    circuit.check(trials)
    steps = moments(trials)
    if endless:
        steps = steps._replace(left_t=jnp.ones_like(steps.left_t))
    online = learner.stream if endless else rule.init(circuit, learner.weights, trials.n_trials, key, trials.n_steps)
    carry = (learner.weights, learner.optimizer_state, online)
    (weights, optimizer_state, online), (losses, outputs) = jax.lax.scan(advance, carry, steps)
    after = learner._replace(weights=weights, optimizer_state=optimizer_state, stream=online if endless else ())
    return after, online_outcome(circuit, trials, losses, outputs)


def learn_trials(
    circuit: Circuit,
    rule: LearningRule,
    optimizers: Optimizers,
    learner: Learner,
    trials: Trials,
    key: Key[Array, ""] | None,
) -> tuple[Learner, Outcome, Weights]:
    """One update at the end of a batch of trials, and its gradient."""
    gradient, outcome = rule.learn(circuit, learner.weights, trials, key)
    weights, state = applied(circuit, rule, optimizers, learner.weights, learner.optimizer_state, gradient)
    return learner._replace(weights=weights, optimizer_state=state), outcome, gradient


def learn_watched(
    circuit: Circuit,
    rule: LearningRule,
    optimizers: Optimizers,
    learner: Learner,
    trials: Trials,
    key: Key[Array, ""],
    watch: Watch,
) -> tuple[Learner, Outcome, Comparison]:
    """`learn_trials`, with every observed rule asked what it would have done."""
    after, outcome, gradient = learn_trials(circuit, rule, optimizers, learner, trials, key)
    rules, leader = watch.led_by(rule), (watch.place, gradient)
    observers, comparison = observe(
        circuit, rules, optimizers, learner.observers, learner.weights, trials, key, watch.draws, leader
    )
    return after._replace(observers=observers), outcome, comparison


def applied(
    circuit: Circuit, rule: LearningRule, optimizers: Optimizers, weights: Weights, state: PyTree, gradient: Weights
) -> tuple[Weights, PyTree]:
    """One update of the weights that the rule lets learn; those of feedback and olive may stay as they are."""
    after, state = optimising.apply(optimizers, circuit, weights, state, gradient)
    return rule.held(weights, after), state


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
    """A chunk of updates of all networks, recorded as if there were as many as in the `longest` chunk.

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
    """A chunk of `updates`, compiled with options: one program for all chunks of a run, of whatever length."""
    program = compiled(updates, options, UPDATES_STATIC)
    after, made = program(circuit, task, hyper, learners, keys, first, n_updates, longest, batch_size, watch)
    return after, jax.tree.map(lambda recorded: recorded[:, :n_updates], jax.device_get(made))


def sample(task: Task, level: PyTree, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
    """Training trials, of the learner's own level where the task is a curriculum."""
    if isinstance(task, Curriculum):
        return task.sample_level(level, data_key, noise_key, batch_size)
    return task.sample(data_key, noise_key, batch_size)


def change(old: Weights, new: Weights) -> Float[Array, " part"]:
    """‖ΔW‖ of each part."""

    def norm(old: PyTree, new: PyTree) -> Float[Array, ""]:
        squares = [((b - a) ** 2).sum() for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True)]
        return jnp.sqrt(sum(squares, start=jnp.zeros(())))

    return jnp.stack([norm(a, b) for a, b in zip(old, new, strict=True)])
