"""The low-rank trace: a few random products of two vectors, right on average."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.predictor_traces.protocol import Extent, Rates, as_gradient, replaced, taught_arrays
from neuro_bpl.learning.td_error import TDError
from neuro_bpl.learning.traces import CorticalStep
from neuro_bpl.learning.traces.protocol import no_influence
from neuro_bpl.learning.traces.rank_one import balance, signs
from neuro_bpl.parameters import check, documented, field


class LowRank(NamedTuple):
    """s̃ `(units, rank, batch)` by state component, and θ̃ `(rank, batch, ...)` of every array that learns."""

    s: State
    theta: list[Float[Array, "rank batch ..."]]


@documented
@dataclass(frozen=True)
class LowRankTrace:
    """eₜ ≈ ⟨s̃ₜ θ̃ₜᵀ⟩ over r random products, exact on average while weights are held, docs/theory.md (34).

    s̃ₜ = ρ₀ γλ Jₜ s̃ₜ₋₁ + ρ₁ ν and θ̃ₜ = θ̃ₜ₋₁/ρ₀ + ν (∂ĝₜ/∂θ)/ρ₁ with random signs ν: the random product of Tallec &
    Ollivier 2018 (ICLR) for the predictor's trace; ρ₀ and ρ₁ balance the two factors' lengths.

    Raises
    ------
    ValueError
        If the rank is not a whole number of at least 1.
    """

    rank: int = field(1, "number of random products", symbol="r", low=1)

    stochastic = True

    def __post_init__(self) -> None:
        check(self)

    @property
    def label(self) -> str:
        """Low-rank trace, or rank-r trace."""
        return f"rank-{self.rank} trace" if self.rank > 1 else "low-rank trace"

    def check(self, circuit: Circuit) -> None:
        """Every circuit with a predictor will do."""
        circuit.predictor()

    def init(self, circuit: Circuit, weights: Weights, extent: Extent, key: jax.Array | None) -> LowRank:
        """s̃₀ = 0 and θ̃₀ = 0."""
        shape = (self.rank, extent.n_trials)
        arrays = taught_arrays(circuit.predictor(), weights.cerebellum)
        return LowRank(
            no_influence(circuit.cortex, shape, weights.cortex.b.dtype),
            [jnp.zeros((*shape, *w.shape), w.dtype) for w in arrays],
        )

    def share(self, circuit: Circuit, weights: Weights, trace: LowRank, error: TDError, rates: Rates) -> PyTree:
        """−⟨(δₜ₋₁·s̃ₜ₋₁) θ̃ₜ₋₁⟩ over trials and products."""
        delta = error.delta / (error.delta.shape[-1] * self.rank)
        size = jnp.einsum("sb,srb->rb", delta, jnp.concatenate(trace.s))
        free = [-jnp.einsum("rb,rb...->...", size, theta) for theta in trace.theta]
        return as_gradient(circuit.predictor(), weights.cerebellum, free)

    def advance(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: LowRank,
        now: CorticalStep,
        fibres_t: Float[Array, "fibres batch"],
        rates: Rates,
    ) -> LowRank:
        """s̃ₜ and θ̃ₜ from signs drawn with the step's key."""
        return advanced(circuit, weights, trace, now, fibres_t, rates, signs(now.key, trace.s))


def advanced(
    circuit: Circuit,
    weights: Weights,
    trace: LowRank,
    now: CorticalStep,
    fibres_t: Float[Array, "fibres batch"],
    rates: Rates,
    nu: State,
) -> LowRank:
    """s̃ₜ and θ̃ₜ from given signs."""
    local = jacobian.local_slopes(circuit.cortex, now.s_tm1, now.a_t)
    pushed = tuple(rates.decay * p for p in jacobian.push_state(circuit.cortex, weights.cortex, local, trace.s))
    grown = random_slopes(circuit, weights.cerebellum, fibres_t, jnp.concatenate(nu))
    rho_0, rho_1 = balance(_size(trace.theta), _length(pushed)), balance(_size(grown), _length(nu))

    # Where nothing of s̃ is left, what θ̃ held is worth nothing: it would stay as noise for ever.
    kept = jnp.where(_length(pushed) > 0, 1 / rho_0, 0)

    def joined(old: Array, new: Array) -> Array:
        by_product = (...,) + (None,) * (old.ndim - 2)
        return kept[by_product] * old + new / rho_1[by_product]

    return LowRank(
        s=tuple(rho_0 * p + rho_1 * n for p, n in zip(pushed, nu, strict=True)),
        theta=[joined(old, new) for old, new in zip(trace.theta, grown, strict=True)],
    )


def random_slopes(
    circuit: Circuit, theta: PyTree, fibres_t: Float[Array, "fibres batch"], nu: Float[Array, "state rank batch"]
) -> list[Float[Array, "rank batch ..."]]:
    """ν ∂ĝₜ/∂θ of every product and trial, for each array that learns."""
    predictor, free = circuit.predictor(), taught_arrays(circuit.predictor(), theta)

    def one(fibres: Float[Array, " fibres"], nu: Float[Array, " state"]) -> list[Array]:
        return jax.vjp(lambda free: predictor.predict(replaced(predictor, theta, free), fibres), free)[1](nu)[0]

    return jax.vmap(jax.vmap(one, (-1, -1)), (None, 1))(fibres_t, nu)


def _length(s: State) -> Float[Array, "rank batch"]:
    """‖s̃‖ of every product and trial."""
    return jnp.sqrt(sum((component**2).sum(0) for component in s))


def _size(theta: list[Float[Array, "rank batch ..."]]) -> Float[Array, "rank batch"]:
    """‖θ̃‖ of every product and trial."""
    return jnp.sqrt(sum((array**2).sum(tuple(range(2, array.ndim))) for array in theta))
