"""Measures of learning: accuracy, and alignment of gradients."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def cosine(a: Float[Array, "state *batch"], b: Float[Array, "state *batch"]) -> Float[Array, "*batch"]:
    """a·b / (‖a‖ ‖b‖) over the leading axis; NaN where one of them is zero."""
    # Scaled to unit maximum first: squares of small float32 gradients underflow.
    a, b = (x / jnp.max(jnp.abs(x), axis=0, keepdims=True) for x in (a, b))
    return (a * b).sum(0) / jnp.sqrt((a * a).sum(0) * (b * b).sum(0))


def length(a: Float[Array, " weight"]) -> Float[Array, ""]:
    """‖a‖; exact for numbers whose squares underflow."""
    largest = jnp.max(jnp.abs(a))
    scale = jnp.where(largest > 0, largest, 1)
    return scale * jnp.sqrt(((a / scale) ** 2).sum())


def bias_and_variance(
    draws: Float[Array, "draw weight"], exact: Float[Array, " weight"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return squared bias and variance of an estimate of a gradient g, relative to ‖g‖²; docs/theory.md (29).

    The variance is Σ‖ĝ_d − ⟨ĝ⟩‖²/(D − 1) over D draws, 0 for a single one; the squared bias is ‖⟨ĝ⟩ − g‖² less the
    variance/D that the mean of D draws has by chance, so that it is right on average and may fall below zero.
    """
    scale = length(exact)
    deviations, mean = draws - draws.mean(0), draws.mean(0)
    n_draws = draws.shape[0]
    variance = ((deviations / scale) ** 2).sum() / max(n_draws - 1, 1)
    return (length(mean - exact) / scale) ** 2 - variance / n_draws, variance
