"""Measures of learning: accuracy, and alignment of gradients."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.readout import LinearReadout
from neuro_bpl.trials import Trials


class Outcome(NamedTuple):
    """Loss (mean over trials of the sum over targets), and the fraction of targets answered right."""

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]


def accuracy(readout: LinearReadout, outputs: Float[Array, "outputs target batch"], trials: Trials) -> Float[Array, ""]:
    """Fraction of targets answered right, weighted by the mask; NaN for a loss without right answers."""
    if readout.is_correct is None:
        return jnp.full((), jnp.nan, outputs.dtype)
    weights = trials.weights()
    return (readout.is_correct(outputs, trials.targets_first()) * weights).sum() / weights.sum()


def cosine(a: Float[Array, "state *batch"], b: Float[Array, "state *batch"]) -> Float[Array, "*batch"]:
    """a·b / (‖a‖ ‖b‖) over the leading axis; NaN where one of them is zero."""
    # Scaled to unit maximum first: squares of small float32 gradients underflow.
    a, b = (x / jnp.max(jnp.abs(x), axis=0, keepdims=True) for x in (a, b))
    return (a * b).sum(0) / jnp.sqrt((a * a).sum(0) * (b * b).sum(0))
