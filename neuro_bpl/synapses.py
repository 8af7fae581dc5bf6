"""Synapses: the affine map u = W x + b, features first.

Every array inside the engine has its features (units, gates, outputs) on the leading axis and any number of
batch axes behind it, so that an equation written for one column `(features,)` serves `(features, batch)` and
`(features, time, batch)` alike, and gates are contiguous blocks.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def affine(
    w: Float[Array, "post pre"], b: Float[Array, " post"], x: Float[Array, "pre *batch"]
) -> Float[Array, "post *batch"]:
    """u = W x + b."""
    return jnp.tensordot(w, x, 1) + b.reshape(b.shape + (1,) * (x.ndim - 1))


def uniform(key: Key[Array, ""], shape: tuple[int, ...], fan: int, dtype: jnp.dtype) -> Float[Array, "*shape"]:
    """Weights drawn uniformly from ±1/√fan."""
    bound = fan**-0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def outer(post: Float[Array, "time post batch"], pre: Float[Array, "time pre batch"]) -> Float[Array, "post pre"]:
    """Σ_t Σ_batch post_t preₜᵀ: the weight gradient of a trial as one flat product."""
    return jnp.einsum("tpb,tqb->pq", post, pre)
