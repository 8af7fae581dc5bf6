"""The immediate error alone."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.cortex import State
from neuro_bpl.credit.protocol import Assignment, StepCredit
from neuro_bpl.episode import Episode, add_error


@jax.tree_util.register_static
@dataclass(frozen=True)
class ImmediateError:
    """Fₜ = 0: the cortex learns from lₜ alone."""

    predicting = False
    window = 1
    decay = 0.0

    def assign(self, circuit: Circuit, weights: Weights, episode: Episode) -> Assignment:
        """No future."""
        nothing = jax.tree.map(jnp.zeros_like, episode.predictions)
        return Assignment(nothing, nothing, None)

    def now(self, error_t: Float[Array, "units batch"], prediction_t: State) -> StepCredit:
        """Lₜ alone."""
        nothing = jax.tree.map(jnp.zeros_like, prediction_t)
        signal_t = add_error(error_t, nothing)
        return StepCredit(error_t, signal_t, nothing, signal_t)
