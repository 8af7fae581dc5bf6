"""Refinement: the same circuit, rule and trials in shorter steps, for the limit of continuous time.

A step of dt becomes k steps of dt/k. What is by the step becomes smaller, so that a trial as a whole keeps its meaning:
γ and λ become γ^(1/k) and λ^(1/k), the loss of a target and the predictor's learning rate a k-th part. The cortical
learning rates stay: ∂s/∂W already holds dt/τ. docs/theory.md, "In continuous time".
"""

import numbers
from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp

from neuro_bpl.circuit.cells.rate import RateCortex
from neuro_bpl.circuit.circuit import Circuit
from neuro_bpl.learning.optimizers import Optimizer, Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import refusal
from neuro_bpl.trials import Trials


class Refined(NamedTuple):
    """What `refine` was given, in shorter steps."""

    circuit: Circuit
    rule: LearningRule
    optimizers: Optimizers
    trials: Trials


def refine(circuit: Circuit, rule: LearningRule, optimizers: Optimizers, trials: Trials, by: int) -> Refined:
    """Return the same learning in steps of dt/`by`.

    Parameters
    ----------
    circuit : Circuit
        With a `RateCortex`.
    rule : LearningRule
        With a local trace; λ and γ are those of a step of dt.
    optimizers : Optimizers
        Plain gradient descent of the predictor.
    trials : Trials
        Inputs are held for `by` steps, and so are targets, each with a `by`-th of its weight. A target at the last step
        becomes one at the last `by` steps.
    by : int
        Steps in the place of one.

    Returns
    -------
    Refined
        Circuit, rule, optimisers and trials.

    Raises
    ------
    ValueError
        If `by` is not a whole number ≥ 1, or there is no limit: for gated cells, λ = 0, and adaptive optimisers.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> task = nb.tasks.TargetReaching(n_steps=10)
    >>> circuit = nb.Circuit(nb.RateCortex(task.n_inputs, 5, tau=0.1, dt=0.01), nb.LinearReadout(2))
    >>> fine = nb.refine(circuit, nb.eprop(update="step"), nb.Optimizers(predictor=None), task.probe(), 4)
    >>> fine.circuit.cortex.dt, fine.trials.n_steps
    (0.0025, 40)
    """
    _check(circuit, rule, optimizers, by)
    if by == 1:
        return Refined(circuit, rule, optimizers, trials)
    cortex: Any = circuit.cortex
    return Refined(
        replace(circuit, cortex=replace(cortex, dt=cortex.dt / by)),
        _rule(rule, by),
        replace(optimizers, predictor=_slower(optimizers.predictor, by)),
        _trials(trials, by),
    )


def _rule(rule: LearningRule, by: int) -> LearningRule:
    credit: Any = rule.credit
    if not credit.predicting:
        return rule
    return replace(
        rule, credit=replace(credit, lambda_=credit.lambda_ ** (1 / by), discount=credit.discount ** (1 / by))
    )


def _slower(optimizer: Any, by: int) -> Any:
    return None if optimizer is None else replace(optimizer, learning_rate=optimizer.learning_rate / by)


def _trials(trials: Trials, by: int) -> Trials:
    n_steps = trials.n_steps * by
    lengths = None if trials.lengths is None else jnp.asarray(trials.lengths) * by
    targets, weights = jnp.asarray(trials.targets), trials.weights().T / by
    if trials.at_last_step:
        left = replace(trials, inputs=jnp.repeat(jnp.asarray(trials.inputs), by, 1), lengths=lengths).steps_left().T
        mask = weights * ((left >= 0) & (left < by))
        targets = jnp.repeat(targets, n_steps, 1)
    else:
        mask, targets = jnp.repeat(weights, by, 1), jnp.repeat(targets, by, 1)
    return Trials(jnp.repeat(jnp.asarray(trials.inputs), by, 1), targets, mask, lengths)


def _check(circuit: Circuit, rule: LearningRule, optimizers: Optimizers, by: int) -> None:
    if isinstance(by, bool) or not isinstance(by, numbers.Integral) or by < 1:
        raise refusal("by", by, "a whole number >= 1", "so many steps take the place of one", "by=2")
    if not isinstance(circuit.cortex, RateCortex):
        why = "gates of the LSTM and the GRU act once a step, whatever it lasts"
        raise refusal("Circuit.cortex", circuit.cortex, "RateCortex(...)", why, "RateCortex(..., tau=0.1, dt=0.01)")
    if getattr(rule.credit, "lambda_", 1.0) == 0 and by > 1:
        why = "a trace that is forgotten at once has no limit in continuous time"
        raise refusal("lambda_", 0.0, "0 < lambda_ <= 1", why, "bp_lambda(0.5, ...)")
    learner = optimizers.predictor
    if learner is not None and not (isinstance(learner, Optimizer) and learner.name == "sgd" and not learner.options):
        why = "steps of adaptive optimisers do not become smaller with the gradient"
        raise refusal("Optimizers.predictor", learner, 'Optimizer("sgd", rate), or None', why, 'Optimizer("sgd", 0.1)')
