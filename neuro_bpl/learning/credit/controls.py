"""Controls: credits from which the cortex cannot learn the task."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit.circuit import Weights


@jax.tree_util.register_static
@dataclass(frozen=True)
class NoError:
    """0 in place of lₜ: only the readout learns, from a cortex that stays as it was born (a reservoir).

    Jaeger 2001, GMD Report 148. Costs of rates or weights, where there are some, still change the cortex.
    """

    label = "no error"
    predicting = False
    window = 1
    scope = "now"
    stochastic = False

    def reroute(
        self,
        weights: Weights,
        error_t: Float[Array, "units batch"],
        output_error_t: Float[Array, "outputs batch"],
        key: Any,
    ) -> Float[Array, "units batch"]:
        """Nothing."""
        return jnp.zeros_like(error_t)


@jax.tree_util.register_static
@dataclass(frozen=True)
class RandomError:
    """lₜ turned in a random direction, drawn anew for each step and trial, in place of lₜ: right in size alone."""

    label = "random error"
    predicting = False
    window = 1
    scope = "now"
    stochastic = True

    def reroute(
        self,
        weights: Weights,
        error_t: Float[Array, "units batch"],
        output_error_t: Float[Array, "outputs batch"],
        key: Any,
    ) -> Float[Array, "units batch"]:
        """‖lₜ‖ ξ/‖ξ‖ with normal ξ."""
        noise = jax.random.normal(key, error_t.shape, error_t.dtype)
        return noise * jnp.linalg.norm(error_t, axis=0) / jnp.linalg.norm(noise, axis=0)
