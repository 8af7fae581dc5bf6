"""Regularisation: large rates and large weights cost, at every step of every trial.

A cost by the step, not by the trial, has the same meaning for trials of any length and for a stream without end. Every
function returns what it was given, untouched, where its own strength is 0.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from neuro_bpl.parameters import check, documented, field


@documented
@dataclass(frozen=True)
class Regularization:
    """ℓₜ ← ℓₜ + ½ρ‖hₜ‖² + ½ω(‖W_in‖² + ‖W_rec‖² + ‖W_out‖²) up to a trial's own end, docs/theory.md (15).

    Biases, the initial state and the cerebellum are free. The weight cost is the L2 penalty of the loss ("weight decay"
    of plain gradient descent: Krogh & Hertz 1991, NeurIPS 4), which adaptive optimisers rescale like any gradient.

    Raises
    ------
    ValueError
        If a strength is negative or not finite.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> quiet = nb.Regularization(rates=1e-3)
    >>> nb.Circuit(nb.RateCortex(n_inputs=3, n_units=5), nb.LinearReadout(2), regularization=quiet).regularization
    Regularization(rates=0.001, weights=0.0)
    """

    rates: float = field(0.0, "cost of the squared rates, a step", symbol="ρ", low=0)
    weights: float = field(0.0, "cost of the squared weights, a step", symbol="ω", low=0)

    def __post_init__(self) -> None:
        check(self)

    def add_loss(
        self,
        loss: Float[Array, ""],
        h_t: Float[Array, "*time units batch"],
        synapses: tuple[Float[Array, "_post _pre"], ...],
        left_t: Int[Array, "*time batch"],
    ) -> Float[Array, ""]:
        """ℓ + Σₜ ½ρ‖hₜ‖² + ½ω‖W‖², mean over trials."""
        if self.rates:
            loss = loss + self.rate_cost(h_t, left_t).sum() / h_t.shape[-1]
        if self.weights:
            squares = jnp.stack([(w * w).sum() for w in synapses]).sum()
            loss = loss + 0.5 * self.weights * squares * mean_steps(left_t).astype(loss.dtype)
        return loss

    def rate_cost(
        self, h_t: Float[Array, "*time units batch"], left_t: Int[Array, "*time batch"]
    ) -> Float[Array, "*time batch"]:
        """½ρ‖hₜ‖² of each trial."""
        return 0.5 * self.rates * jnp.where(_counts(left_t)[..., None, :], h_t * h_t, 0).sum(-2)

    def add_error(
        self,
        error_t: Float[Array, "*time units batch"],
        h_t: Float[Array, "*time units batch"],
        left_t: Int[Array, "*time batch"],
    ) -> Float[Array, "*time units batch"]:
        """lₜ + ρ hₜ / B for B trials."""
        if not self.rates:
            return error_t
        return error_t + jnp.where(_counts(left_t)[..., None, :], self.rates * h_t / h_t.shape[-1], 0)

    def add_gradient(
        self, gradient: Float[Array, "post pre"], w: Float[Array, "post pre"], left_t: Int[Array, "*time batch"]
    ) -> Float[Array, "post pre"]:
        """∂ℓ/∂W + Σₜ ω W, mean over trials."""
        if not self.weights:
            return gradient
        return gradient + self.weights * mean_steps(left_t).astype(w.dtype) * w


def mean_steps(left_t: Int[Array, "*time batch"]) -> Float[Array, ""]:
    """Return steps of a trial, mean over trials; for a single step, the fraction of trials that still run."""
    return _counts(left_t).sum() / left_t.shape[-1]


def _counts(left_t: Int[Array, "*time batch"]) -> Bool[Array, "*time batch"]:
    """Return whether a step belongs to its trial."""
    return left_t >= 0
