"""The leaky trace: a synapse remembers through the cell's own path."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from neuro_bpl import cortex as cortical
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.cortex import Cortex, CorticalWeights, Gates, State
from neuro_bpl.credit import Assignment, StepCredit
from neuro_bpl.episode import Episode, add_error
from neuro_bpl.traces import elementwise
from neuro_bpl.traces.elementwise import LeakyTrace, recurrent_signal
from neuro_bpl.traces.protocol import CorticalStep, GatesInTime, TraceInTime, steps


@dataclass(frozen=True)
class Leaky:
    """εₜ = D εₜ₋₁ + ∂sₜ/∂W|_{sₜ₋₁}: the synapse remembers through the cell's own path D, docs/theory.md (10).

    For the rate cell D = (1 − dt/τ) I, the membrane's leak (e-prop's trace: Bellec et al. 2020, Nat Commun 11:3625;
    RFLO: Murray 2019, eLife 8:e43299). Credit must then leave that path out:
    Lₜ = lₜ + κ(lₜ₊₁ + Gₜ₊₁) Rₜ₊₁ with R = J − D; with lₜ + Gₜ the leak would be counted twice.
    """

    def drives(
        self, circuit: Circuit, weights: Weights, episode: Episode, credit: Assignment
    ) -> tuple[GatesInTime, State]:
        """fₜ ∂sₜ/∂uₜ with fₜ = Lₜ + fₜ₊₁ Dₜ₊₁, which sums to Σ Lₜ εₜ without storing ε; f₀ on s₀."""
        cortex = circuit.cortex

        def sweep(later: State, at_t: tuple) -> tuple[State, Gates]:
            s_tm1, a_t, error_t, explicit_t = at_t
            f_t = add_error(error_t, later)
            direct, drives = cortical.pull_gates(cortex, s_tm1, a_t, f_t)
            return add_error(recurrent_signal(cortex, weights.cortex, s_tm1, a_t, explicit_t), direct), drives

        path = episode.trajectory
        nothing = jax.tree.map(lambda s: jnp.zeros_like(s[0]), path.s_t)
        steps = (path.s_tm1, path.a_t, episode.errors, credit.explicit)
        f_0, drives = jax.lax.scan(sweep, nothing, steps, reverse=True)
        return drives, f_0

    def init(self, cortex: Cortex, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype) -> LeakyTrace:
        """ε₀ = 0 for synapses and biases, ε₀ = I for s₀."""
        k, units, n_pre = cortex.n_components, cortex.n_units, cortex.n_inputs + cortex.n_units + 1
        synapses = jnp.zeros((k, cortex.n_gates, units, n_pre, n_trials), dtype)
        if weights.s_0 is None:
            return LeakyTrace(synapses, None)
        identity = jnp.eye(k, dtype=dtype)[:, :, None, None]
        return LeakyTrace(synapses, jnp.broadcast_to(identity, (k, k, units, n_trials)))

    def step(
        self,
        cortex: Cortex,
        weights: CorticalWeights,
        trace: LeakyTrace,
        now: CorticalStep,
        credit: StepCredit,
    ) -> tuple[LeakyTrace, CorticalWeights]:
        """κ(lₜ + Gₜ) Rₜ εₜ₋₁ + lₜ εₜ: the sum of (10) with the late half shifted to the step that knows it."""
        late = recurrent_signal(cortex, weights, now.s_tm1, now.a_t, credit.explicit_t)
        past, trace = trace, elementwise.decay(cortex, trace, now)
        on_past = jnp.einsum("ub,gupb->gup", late, past.synapses[0])
        on_now = jnp.einsum("ub,gupb->gup", credit.error_t, trace.synapses[0])
        share = cortical.as_weights(cortex, on_past + on_now)
        if past.s_0 is None or trace.s_0 is None:
            return trace, share
        credit_0 = late * past.s_0[0] + credit.error_t * trace.s_0[0]
        return trace, share._replace(s_0=cortical.initial_state_gradient(weights, tuple(credit_0)))

    def eligibility(self, cortex: Cortex, episode: Episode) -> TraceInTime:
        """εₜ."""

        def advance(trace: LeakyTrace, now: CorticalStep) -> tuple[LeakyTrace, Array]:
            trace = elementwise.decay(cortex, trace, now)
            return trace, trace.synapses

        return jax.lax.scan(advance, elementwise.no_trace(cortex, episode), steps(episode))[1]
