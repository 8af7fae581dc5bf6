"""Traces of one number for each synapse and state component of its unit, as element-wise cells can carry themselves."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.traces import by_synapse
from neuro_bpl.learning.traces.by_synapse import Synapses
from neuro_bpl.learning.traces.protocol import CorticalStep, TraceInTime, steps
from neuro_bpl.learning.whole_trial import WholeTrial

Kept = tuple[State, ...]


class SynapticTrace(NamedTuple):
    """ε of the synapses and biases, by state component of their unit, and of the initial state, where there is one."""

    synapses: tuple[Synapses, ...]
    s_0: Float[Array, "component initial units batch"] | None


def init(cortex: Cell, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype) -> SynapticTrace:
    """ε₀ = 0 for synapses and biases, ε₀ = I for s₀."""
    k, units = cortex.n_components, cortex.n_units
    nothing = (by_synapse.zeros(cortex, n_trials, dtype),) * k
    if weights.s_0 is None:
        return SynapticTrace(nothing, None)
    identity = jnp.eye(k, dtype=dtype)[:, :, None, None]
    return SynapticTrace(nothing, jnp.broadcast_to(identity, (k, k, units, n_trials)))


def immediate(cortex: Cell, now: CorticalStep) -> tuple[Synapses, ...]:
    """∂sₜ/∂W|_{sₜ₋₁} = ∂sₜ/∂uₜ ⊗ [xₜ; hₜ₋₁; 1], by state component."""
    local = jacobian.local_slopes(cortex, now.s_tm1, now.a_t)
    return tuple(by_synapse.outer(cortex, drives, now) for drives in local.drive)


def advance(cortex: Cell, trace: SynapticTrace, now: CorticalStep, kept: Kept) -> SynapticTrace:
    """εₜ = K εₜ₋₁ + ∂sₜ/∂W|_{sₜ₋₁}, and εₜ = K εₜ₋₁ for s₀, with the part K of J that a unit keeps for itself."""
    moved = tuple(
        jax.tree.map(lambda *parts: sum(parts[1:], start=parts[0]), new, *map(by_synapse.scaled, row, trace.synapses))
        for new, row in zip(immediate(cortex, now), kept, strict=True)
    )
    rows = jnp.stack([jnp.stack(row) for row in kept])
    s_0 = None if trace.s_0 is None else jnp.einsum("cdub,diub->ciub", rows, trace.s_0)
    return SynapticTrace(moved, s_0)


def share(weights: CorticalWeights, error_t: Float[Array, "units batch"], trace: SynapticTrace) -> CorticalWeights:
    """lₜ εₜ, summed over trials."""
    gradient = by_synapse.sum_over_trials(error_t, trace.synapses[0])
    if trace.s_0 is None:
        return gradient
    credit_0 = tuple(error_t * component for component in trace.s_0[0])
    return gradient._replace(s_0=jacobian.initial_state_gradient(weights, credit_0))


def direct(cortex: Cell, now: CorticalStep) -> Kept:
    """D: the cell's own path, one number for each unit and pair of its components."""
    return jacobian.local_slopes(cortex, now.s_tm1, now.a_t).direct


def dense(cortex: Cell, by_component: tuple[Synapses, ...]) -> Float[Array, "component gate units pre batch"]:
    """Return all numbers in one array, with 0 where there is no synapse."""
    return jnp.stack([by_synapse.dense(cortex, numbers) for numbers in by_component])


def in_time(
    cortex: Cell, weights: CorticalWeights, trial: WholeTrial, kept: Callable[[CorticalStep], Kept]
) -> TraceInTime:
    """εₜ at every step of a trial, from what a unit keeps at each."""

    def step(trace: SynapticTrace, now: CorticalStep) -> tuple[SynapticTrace, Array]:
        trace = advance(cortex, trace, now, kept(now))
        return trace, dense(cortex, trace.synapses)

    nothing = init(cortex, weights, trial.inputs.shape[-1], trial.inputs.dtype)
    return jax.lax.scan(step, nothing, steps(trial))[1]
