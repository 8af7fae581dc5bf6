"""Random numbers that a learning rule draws at every step."""

from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, Key, UInt

from neuro_bpl.circuit.circuit import Weights
from neuro_bpl.learning.credit import Credit, protocol
from neuro_bpl.learning.whole_trial import Reroute

Noise = UInt[Array, " words"] | tuple[()]
PREDICTOR = 1 << 19  # folded into the key of a step: an arbitrary number, for the predictor's trace


class StepKeys(NamedTuple):
    """Keys of one step, for the cortical trace, for the credit, and for the predictor's trace."""

    trace: Key[Array, ""]
    credit: Key[Array, ""]
    predictor: Key[Array, ""]


def draw(noise: UInt[Array, " words"]) -> tuple[UInt[Array, " words"], StepKeys]:
    """Return the keys of the next step."""
    # Kept as plain numbers, which can be stored and resumed like any others.
    later, now = jax.random.split(jax.random.wrap_key_data(noise))
    trace, credit = jax.random.split(now)
    return jax.random.key_data(later), StepKeys(trace, credit, jax.random.fold_in(now, PREDICTOR))


def rerouting(credit: Credit, weights: Weights, noise: Noise, n_steps: int) -> Reroute | None:
    """Return how errors of a whole trial reach the cortex, with the noise that a step-wise run would draw."""
    if not isinstance(credit, protocol.Rerouting):
        return None
    if isinstance(noise, tuple):
        return jax.vmap(partial(credit.reroute, weights, key=None))
    _, keys = jax.lax.scan(lambda noise, _: draw(noise), begin(noise)[0], None, length=n_steps)
    return lambda errors, output_errors: jax.vmap(partial(credit.reroute, weights))(errors, output_errors, keys.credit)


def begin(noise: UInt[Array, " words"]) -> tuple[UInt[Array, " words"], Key[Array, ""]]:
    """Return the random numbers of the steps, and a key for what precedes them."""
    later, keys = draw(noise)
    return later, keys.trace
