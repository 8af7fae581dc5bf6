"""How trials went: loss, and the fraction of targets answered right."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit.readout import LinearReadout
from neuro_bpl.trials import Trials


class Outcome(NamedTuple):
    """Loss (mean over trials of the sum over targets), and the fraction of targets answered right."""

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]


def accuracy(readout: LinearReadout, outputs: Float[Array, "outputs target batch"], trials: Trials) -> Float[Array, ""]:
    """Return fraction of targets answered right, weighted by the mask; NaN for a loss without right answers."""
    if readout.is_correct is None:
        return jnp.full((), jnp.nan, outputs.dtype)
    weights = trials.weights()
    return (readout.is_correct(outputs, trials.targets_first()) * weights).sum() / weights.sum()
