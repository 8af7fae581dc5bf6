"""What a learning rule is made of, and the gradient of all weights that its parts make together."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.credit import Credit
from neuro_bpl.learning.predictor_traces import PredictorTrace
from neuro_bpl.learning.traces import Trace


class RuleParts(NamedTuple):
    """What a rule is made of, as far as a step needs it.

    `eligibility` is the predictor's trace (None without a prediction), `td_error` the way that errors take back to the
    olive, and `held` says that weights do not change during a trial.
    """

    trace: Trace
    credit: Credit
    eligibility: PredictorTrace | None
    td_error: str
    held: bool


def whole_gradient(
    parts: RuleParts, circuit: Circuit, weights: Weights, gradient: Weights, left_t: Int[Array, "*time batch"]
) -> Weights:
    """The gradient with the cost of weights, and those of the weights that follow others, docs/theory.md (22), (32)."""
    if weights.feedback is not None:
        gradient = gradient._replace(feedback=gradient.readout.w.T)
    if weights.olive is not None:
        gradient = gradient._replace(olive=gradient.cortex.w_rec)
    gradient = circuit.regularized_gradient(gradient, weights, left_t)
    return gradient._replace(
        feedback=gradient.feedback if learns_feedback(parts.credit) else no_change(weights.feedback),
        olive=gradient.olive if parts.td_error == "learned" else no_change(weights.olive),
    )


def no_change(weights: PyTree) -> PyTree:
    """Return a gradient of zeros, in the structure of weights."""
    return jax.tree.map(jnp.zeros_like, weights)


def learns_feedback(credit: Credit) -> bool:
    """Return whether the feedback weights follow the readout's."""
    return getattr(credit, "learned", False)
