"""Synapses: the affine map u = W x + b, features first; how weights are drawn, and which of them exist.

Every array inside the engine has its features (units, gates, outputs) on the leading axis and any number of
batch axes behind it, so that an equation written for one column `(features,)` serves `(features, batch)` and
`(features, time, batch)` alike, and gates are contiguous blocks.
"""

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


def affine(
    w: Float[Array, "post pre"], b: Float[Array, " post"], x: Float[Array, "pre *batch"]
) -> Float[Array, "post *batch"]:
    """u = W x + b."""
    return jnp.tensordot(w, x, 1) + b.reshape(b.shape + (1,) * (x.ndim - 1))


def uniform(key: Key[Array, ""], shape: tuple[int, ...], fan: int, dtype: jnp.dtype) -> Float[Array, "*shape"]:
    """Return weights drawn uniformly from ±1/√fan."""
    bound = fan**-0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def outer(post: Float[Array, "time post batch"], pre: Float[Array, "time pre batch"]) -> Float[Array, "post pre"]:
    """Σ_t Σ_batch post_t preₜᵀ: the weight gradient of a trial as one flat product."""
    return jnp.einsum("tpb,tqb->pq", post, pre)
