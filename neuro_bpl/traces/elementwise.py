"""Traces of one number for each synapse and state component of its unit, as element-wise cells can carry themselves."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl import cortex as cortical
from neuro_bpl.cortex import Cortex, CorticalWeights
from neuro_bpl.traces.protocol import CorticalStep, n_sources

Kept = Float[Array, "component component units batch"]


class SynapticTrace(NamedTuple):
    """ε of the synapses and biases, for their sources [x; h; 1], and of the initial state, where there is one.

    One number for each pair of a unit's state component with one of its synapses, or with one of the components of its
    own initial state.
    """

    synapses: Float[Array, "component gate units pre batch"]
    s_0: Float[Array, "component initial units batch"] | None


def init(cortex: Cortex, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype) -> SynapticTrace:
    """ε₀ = 0 for synapses and biases, ε₀ = I for s₀."""
    k, units = cortex.n_components, cortex.n_units
    synapses = jnp.zeros((k, cortex.n_gates, units, n_sources(cortex), n_trials), dtype)
    if weights.s_0 is None:
        return SynapticTrace(synapses, None)
    identity = jnp.eye(k, dtype=dtype)[:, :, None, None]
    return SynapticTrace(synapses, jnp.broadcast_to(identity, (k, k, units, n_trials)))


def immediate(cortex: Cortex, now: CorticalStep) -> Float[Array, "component gate units pre batch"]:
    """∂sₜ/∂W|_{sₜ₋₁} = ∂sₜ/∂uₜ ⊗ [xₜ; hₜ₋₁; 1]."""
    slopes = jnp.stack([jnp.stack(by_gate) for by_gate in cortical.local_slopes(cortex, now.s_tm1, now.a_t).drive])
    return jnp.einsum("cgub,pb->cgupb", slopes, now.sources())


def advance(cortex: Cortex, trace: SynapticTrace, now: CorticalStep, kept: Kept) -> SynapticTrace:
    """εₜ = K εₜ₋₁ + ∂sₜ/∂W|_{sₜ₋₁}, and εₜ = K εₜ₋₁ for s₀, with the part K of J that a unit keeps for itself."""
    synapses = jnp.einsum("cdub,dgupb->cgupb", kept, trace.synapses) + immediate(cortex, now)
    s_0 = None if trace.s_0 is None else jnp.einsum("cdub,diub->ciub", kept, trace.s_0)
    return SynapticTrace(synapses, s_0)


def share(
    cortex: Cortex, weights: CorticalWeights, error_t: Float[Array, "units batch"], trace: SynapticTrace
) -> CorticalWeights:
    """lₜ εₜ, summed over trials."""
    gradient = cortical.as_weights(cortex, jnp.einsum("ub,gupb->gup", error_t, trace.synapses[0]))
    if trace.s_0 is None:
        return gradient
    credit_0 = tuple(error_t * component for component in trace.s_0[0])
    return gradient._replace(s_0=cortical.initial_state_gradient(weights, credit_0))


def direct(cortex: Cortex, now: CorticalStep) -> Kept:
    """D: the cell's own path, one number for each unit and pair of its components."""
    return jnp.stack([jnp.stack(d) for d in cortical.local_slopes(cortex, now.s_tm1, now.a_t).direct])
