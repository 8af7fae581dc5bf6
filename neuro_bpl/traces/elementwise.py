"""Traces of one number for each synapse and state component of its unit: what element-wise cells carry themselves."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl import cortex as cortical
from neuro_bpl.cortex import Cortex, CorticalWeights, State
from neuro_bpl.episode import Episode
from neuro_bpl.traces.protocol import CorticalStep


class LeakyTrace(NamedTuple):
    """ε of the synapses and biases, for presynaptic inputs, rates and 1, and of the initial state, where there is one.

    Cells are element-wise, so that ε is one number for each pair of a unit's state component with one of its synapses,
    or with one of the components of its own initial state.
    """

    synapses: Float[Array, "component gate units pre batch"]
    s_0: Float[Array, "component initial units batch"] | None


def no_trace(cortex: Cortex, episode: Episode) -> LeakyTrace:
    """ε₀ = 0 for synapses and biases of every trial of an episode."""
    n_pre, n_trials = cortex.n_inputs + cortex.n_units + 1, episode.inputs.shape[-1]
    shape = (cortex.n_components, cortex.n_gates, cortex.n_units, n_pre, n_trials)
    return LeakyTrace(jnp.zeros(shape, episode.inputs.dtype), None)


def recurrent_signal(
    cortex: Cortex,
    weights: CorticalWeights,
    s_tm1: State,
    a_t: Float[Array, "drives *batch"],
    signal_t: State,
) -> Float[Array, "units *batch"]:
    """Signal · Rₜ: its pull through the recurrent weights alone, onto the rates before."""
    _, drives = cortical.pull_gates(cortex, s_tm1, a_t, signal_t)
    return cortical.pull_recurrent(cortex, weights, drives)


def decay(cortex: Cortex, trace: LeakyTrace, now: CorticalStep) -> LeakyTrace:
    """εₜ = Dₜ εₜ₋₁ + ∂sₜ/∂uₜ ⊗ [xₜ; hₜ₋₁; 1], and εₜ = Dₜ εₜ₋₁ for s₀; D and ∂s/∂u are one number a unit."""
    one = jnp.ones_like(now.s_tm1[0])
    unit_vectors = [
        tuple(one if k == component else jnp.zeros_like(one) for k in range(cortex.n_components))
        for component in range(cortex.n_components)
    ]
    pulled = [cortical.pull_gates(cortex, now.s_tm1, now.a_t, vector) for vector in unit_vectors]
    direct = jnp.stack([jnp.stack(d) for d, _ in pulled])
    slopes = jnp.stack([jnp.stack(d) for _, d in pulled])
    pre = jnp.concatenate([now.x_t, now.s_tm1[0], one[:1]])
    kept = jnp.einsum("cdub,dgupb->cgupb", direct, trace.synapses)
    s_0 = None if trace.s_0 is None else jnp.einsum("cdub,diub->ciub", direct, trace.s_0)
    return LeakyTrace(kept + jnp.einsum("cgub,pb->cgupb", slopes, pre), s_0)
