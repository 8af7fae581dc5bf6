"""Influence as a Kronecker product of sources and drives, right on average: KF-RTRL."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.credit import StepCredit
from neuro_bpl.learning.traces.protocol import CorticalStep, n_sources, no_influence
from neuro_bpl.learning.traces.rank_one import balance, length, signs

Signs = Float[Array, " batch"]


class KroneckerTrace(NamedTuple):
    """The factors of each trial: of sources, of drives; and s̃, ν with ∂sₜ/∂s₀ ≈ s̃ νᵀ where there is an s₀."""

    sources: Float[Array, "pre batch"]
    drives: tuple[Float[Array, "units gate units batch"], ...]
    s_0: tuple[State, State] | None


@jax.tree_util.register_static
@dataclass(frozen=True)
class Kronecker:
    """Pₜ ≈ qₜ ⊗ Aₜ with random signs c, exact on average: KF-RTRL, docs/theory.md (26).

    Mujika, Meier & Steger 2018, NeurIPS 31. It rests on a property of the cells: all drives read the same sources, so
    that ∂sₜ/∂W = [xₜ; hₜ₋₁; 1] ⊗ ∂sₜ/∂uₜ.
    qₜ = c₁p₁ qₜ₋₁ + c₂p₂ [xₜ; hₜ₋₁; 1] and Aₜ = (c₁/p₁) Jₜ Aₜ₋₁ + (c₂/p₂) ∂sₜ/∂uₜ; p₁ and p₂ balance the lengths.
    """

    paths = "recurrent"
    stochastic = True

    def init(self, cortex: Cell, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype, key: Any) -> KroneckerTrace:
        """Nothing for the synapses; s̃ = ν for s₀."""
        sources = jnp.zeros((n_sources(cortex), n_trials), dtype)
        drives = no_influence(cortex, (cortex.n_gates, cortex.n_units, n_trials), dtype)
        if weights.s_0 is None:
            return KroneckerTrace(sources, drives, None)
        nu = signs(key, no_influence(cortex, (n_trials,), dtype))
        return KroneckerTrace(sources, drives, (nu, nu))

    def step(
        self, cortex: Cell, weights: CorticalWeights, trace: KroneckerTrace, now: CorticalStep, credit: StepCredit
    ) -> tuple[KroneckerTrace, CorticalWeights]:
        """qₜ ⊗ lₜ Aₜ."""
        c_1, c_2 = signs(now.key, (now.x_t[0], now.x_t[0]))
        trace = advance(cortex, weights, trace, now, c_1, c_2)
        on_drives = jnp.einsum("ub,ugvb->gvb", credit.error_t, trace.drives[0])
        gradient = jacobian.as_weights(cortex, jnp.einsum("gvb,pb->gvp", on_drives, trace.sources))
        if trace.s_0 is None:
            return trace, gradient
        s, nu = trace.s_0
        size = (credit.error_t * s[0]).sum(0)
        return trace, gradient._replace(s_0=tuple((size * component).sum(-1) for component in nu))


def advance(
    cortex: Cell, weights: CorticalWeights, trace: KroneckerTrace, now: CorticalStep, c_1: Signs, c_2: Signs
) -> KroneckerTrace:
    """qₜ and Aₜ from given signs."""
    local = jacobian.local_slopes(cortex, now.s_tm1, now.a_t)
    pushed = jacobian.push_state(cortex, weights, local, trace.drives)
    own = jnp.eye(cortex.n_units, dtype=now.x_t.dtype)[:, None, :, None]
    slopes = tuple(own * jnp.stack(drive, 1)[:, :, None] for drive in local.drive)
    sources = now.sources()
    p_1 = balance(length(pushed), length((trace.sources,)))
    p_2 = balance(length(tuple(jnp.stack(drive) for drive in local.drive)), length((sources,)))
    s_0 = trace.s_0
    if s_0 is not None:
        s_0 = (jacobian.push_state(cortex, weights, local, s_0[0]), s_0[1])
    return KroneckerTrace(
        sources=c_1 * p_1 * trace.sources + c_2 * p_2 * sources,
        drives=tuple(c_1 / p_1 * p + c_2 / p_2 * s for p, s in zip(pushed, slopes, strict=True)),
        s_0=s_0,
    )
