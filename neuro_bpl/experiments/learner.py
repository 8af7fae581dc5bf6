"""A learner: one network in training, and what it learns from a batch of trials."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.experiments.observers import Comparison, Watch, observe
from neuro_bpl.learning import optimizers as optimising
from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.learning.single_step import SingleStep, online_outcome, single_steps
from neuro_bpl.trials import Trials


class Learner(NamedTuple):
    """State of one network in training.

    `diverged_at` is the update of its first non-finite loss (counted from 1), or −1; `level` its place in a curriculum,
    `stream` the cortical state and traces that an endless input carries from one update to the next, and `observers`
    the weights of observing rules that are their own (all () where there is none).
    """

    weights: Weights
    optimizer_state: PyTree
    diverged_at: Int[Array, ""]
    level: PyTree = ()
    stream: PyTree = ()
    observers: PyTree = ()


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

    With `endless`, the trials continue those of the update before: the cortical state and the traces are carried over,
    and the last step has a future.
    """
    if rule.update == "trial":
        after, outcome, _ = learn_trials(circuit, rule, optimizers, learner, trials, key)
        return after, outcome

    def advance(carry: tuple, single_step: SingleStep) -> tuple[tuple, tuple]:
        weights, optimizer_state, state = carry
        state, gradient, loss, y_t = rule.step(circuit, weights, state, single_step, optimizers.step_size)
        weights, optimizer_state = applied(circuit, rule, optimizers, weights, optimizer_state, gradient)
        return (weights, optimizer_state, state), (loss, y_t)

    circuit.check(trials)
    steps = single_steps(trials)
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
    """Make one update at the end of a batch of trials, and return its outcome and gradient too."""
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
    """Make one update as `learn_trials` does, and compare the gradients of all observed rules."""
    after, outcome, gradient = learn_trials(circuit, rule, optimizers, learner, trials, key)
    rules, leader = watch.led_by(rule), (watch.place, gradient)
    observers, comparison = observe(
        circuit, rules, optimizers, learner.observers, learner.weights, trials, key, watch.draws, leader
    )
    return after._replace(observers=observers), outcome, comparison


def applied(
    circuit: Circuit, rule: LearningRule, optimizers: Optimizers, weights: Weights, state: PyTree, gradient: Weights
) -> tuple[Weights, PyTree]:
    """Apply one gradient to the weights that the rule learns; feedback and olive may be held fixed."""
    after, state = optimising.apply(optimizers, circuit, weights, state, gradient)
    return rule.held(weights, after), state
