"""Anatomical constraints on weights: which synapses exist."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def fan_in_mask(
    key: Key[Array, ""], n_cells: int, n_fibres: int, fan_in: int, dtype: jnp.dtype
) -> Float[Array, "cells fibres"]:
    """1 where a synapse exists: every cell draws `fan_in` different fibres at random, equally likely.

    Real granule cells have about 4 (Litwin-Kumar et al. 2017, Neuron 93:1153).
    """
    scores = jax.random.uniform(key, (n_cells, n_fibres), jnp.float32)
    ranks = jnp.argsort(jnp.argsort(scores, axis=1), axis=1)
    return (ranks < fan_in).astype(dtype)
