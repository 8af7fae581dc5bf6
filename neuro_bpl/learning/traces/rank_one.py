"""Influence as one product of two vectors, right on average: UORO."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.credit import StepCredit
from neuro_bpl.learning.traces import by_synapse
from neuro_bpl.learning.traces.by_synapse import Synapses
from neuro_bpl.learning.traces.protocol import CorticalStep, no_influence


class RankOneTrace(NamedTuple):
    """s̃ and θ̃ of each trial; θ̃ for synapses and biases, and for s₀ where there is one."""

    s: State
    synapses: Synapses
    s_0: State | None


@jax.tree_util.register_static
@dataclass(frozen=True)
class RankOne:
    """Pₜ ≈ s̃ₜ θ̃ₜᵀ with random signs ν, exact on average: UORO, docs/theory.md (25).

    s̃ₜ = ρ₀ Jₜ s̃ₜ₋₁ + ρ₁ ν and θ̃ₜ = θ̃ₜ₋₁/ρ₀ + (ν ∂sₜ/∂W|_{sₜ₋₁})/ρ₁ (Tallec & Ollivier 2018, ICLR). ρ₀ and ρ₁ balance
    the two factors' lengths, which keeps the variance low.
    """

    paths = "recurrent"
    stochastic = True

    def init(self, cortex: Cell, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype, key: Any) -> RankOneTrace:
        """Nothing for the synapses; s̃ = θ̃ = ν for s₀, whose product is the identity on average."""
        nothing, numbers = no_influence(cortex, (n_trials,), dtype), by_synapse.zeros(cortex, n_trials, dtype)
        if weights.s_0 is None:
            return RankOneTrace(nothing, numbers, None)
        nu = signs(key, nothing)
        return RankOneTrace(nu, numbers, nu)

    def step(
        self, cortex: Cell, weights: CorticalWeights, trace: RankOneTrace, now: CorticalStep, credit: StepCredit
    ) -> tuple[RankOneTrace, CorticalWeights]:
        """(lₜ·s̃ₜ) θ̃ₜ."""
        trace = advance(cortex, weights, trace, now, signs(now.key, trace.s))
        size = (credit.error_t * trace.s[0]).sum(0)
        gradient = by_synapse.sum_over_trials(jnp.broadcast_to(size, credit.error_t.shape), trace.synapses)
        if trace.s_0 is None:
            return trace, gradient
        return trace, gradient._replace(s_0=tuple((size * component).sum(-1) for component in trace.s_0))


def advance(cortex: Cell, weights: CorticalWeights, trace: RankOneTrace, now: CorticalStep, nu: State) -> RankOneTrace:
    """s̃ₜ and θ̃ₜ from given signs."""
    local = jacobian.local_slopes(cortex, now.s_tm1, now.a_t)
    pushed = jacobian.push_state(cortex, weights, local, trace.s)
    by_gate = zip(*local.drive, strict=True)
    pulled = tuple(sum(n * d for n, d in zip(nu, drives, strict=True)) for drives in by_gate)
    rho_0 = balance(length(tuple(jax.tree.leaves((trace.synapses, trace.s_0)))), length(pushed))
    rho_1 = balance(jnp.sqrt(by_synapse.outer_squared(cortex, pulled, now)), length(nu))
    grown = by_synapse.outer(cortex, tuple(drive / rho_1 for drive in pulled), now)
    return RankOneTrace(
        s=tuple(rho_0 * p + rho_1 * n for p, n in zip(pushed, nu, strict=True)),
        synapses=jax.tree.map(jnp.add, by_synapse.scaled(1 / rho_0, trace.synapses), grown),
        s_0=None if trace.s_0 is None else tuple(component / rho_0 for component in trace.s_0),
    )


def signs(key: Any, like: State) -> State:
    """ν: independent random signs, one for each number of the state."""
    keys = jax.random.split(key, len(like))
    return tuple(jax.random.rademacher(k, c.shape, c.dtype) for k, c in zip(keys, like, strict=True))


def length(arrays: tuple[Float[Array, "... batch"], ...]) -> Float[Array, " batch"]:
    """Return euclidean length of all numbers of a trial."""
    return jnp.sqrt(sum((a * a).reshape(-1, a.shape[-1]).sum(0) for a in arrays))


def balance(long: Float[Array, "*batch"], short: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """ρ = √(long/short), which makes two factors equally long; 1 where one of them is zero."""
    usable = (long > 0) & (short > 0)
    return jnp.where(usable, jnp.sqrt(jnp.where(usable, long, 1) / jnp.where(usable, short, 1)), 1)
