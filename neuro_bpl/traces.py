"""Cortical eligibility traces: what of the past a synapse remembers.

A trace turns credit into a weight gradient, over a whole trial (`drives`, backwards in time, nothing stored per
synapse) or step by step (`init` and `step`, forwards in time, one number a synapse and path).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from neuro_bpl import cortex as cortical
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.cortex import Cortex, CorticalWeights, Gates, State
from neuro_bpl.credit import Assignment, StepCredit
from neuro_bpl.episode import Episode, add_error

TraceInTime = Float[Array, "time component gate units pre batch"]
GatesInTime = tuple[Float[Array, "time units batch"], ...]


class CorticalStep(NamedTuple):
    """One step of the cortex: the state before it, the activated gates, the input."""

    s_tm1: State
    a_t: Float[Array, "drives batch"]
    x_t: Float[Array, "inputs batch"]


@runtime_checkable
class Trace(Protocol):
    """What a cortical trace must offer."""

    def drives(
        self, circuit: Circuit, weights: Weights, episode: Episode, credit: Assignment
    ) -> tuple[GatesInTime, State]:
        """Credit on the drives of every step, cₜ ∂sₜ/∂uₜ, and credit on s₀."""

    def init(self, cortex: Cortex, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype) -> PyTree:
        """The trace before the first step; of s₀, too, where the weights hold one."""

    def step(
        self, cortex: Cortex, weights: CorticalWeights, trace: PyTree, now: CorticalStep, credit: StepCredit
    ) -> tuple[PyTree, CorticalWeights]:
        """The trace after a step, and the step's share of the gradient."""

    def eligibility(self, cortex: Cortex, episode: Episode) -> TraceInTime:
        """The trace of every synapse at every step of an episode, for looking at it."""


@dataclass(frozen=True)
class Immediate:
    """∂sₜ/∂W|_{sₜ₋₁ held}: only the present step is eligible, docs/theory.md (4)."""

    def drives(
        self, circuit: Circuit, weights: Weights, episode: Episode, credit: Assignment
    ) -> tuple[GatesInTime, State]:
        """(lₜ + Fₜ) ∂sₜ/∂uₜ, and (l₁ + F₁) J₁ on s₀."""
        path = episode.trajectory
        signal = add_error(episode.errors, credit.future)
        pull = jax.vmap(lambda s_tm1, a_t, c_t: cortical.pull_gates(circuit.cortex, s_tm1, a_t, c_t)[1])
        first = jax.tree.map(lambda in_time: in_time[0], (path.s_tm1, path.a_t, signal))
        return pull(path.s_tm1, path.a_t, signal), cortical.pull_state(circuit.cortex, weights.cortex, *first)

    def init(
        self, cortex: Cortex, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype
    ) -> Bool[Array, ""] | tuple[()]:
        """Nothing to remember; whether the first step is still to come, where the weights hold an s₀."""
        return () if weights.s_0 is None else jnp.array(True)

    def step(
        self,
        cortex: Cortex,
        weights: CorticalWeights,
        trace: Bool[Array, ""] | tuple[()],
        now: CorticalStep,
        credit: StepCredit,
    ) -> tuple[Bool[Array, ""] | tuple[()], CorticalWeights]:
        """(lₜ + Fₜ) ∂sₜ/∂W; s₀ is eligible at the first step alone."""
        _, drives = cortical.pull_gates(cortex, now.s_tm1, now.a_t, credit.signal_t)
        add_time = jax.tree.map(lambda a: a[None], (drives, now.s_tm1[0], now.x_t))
        share = cortical.weight_gradient(*add_time)
        if isinstance(trace, tuple):
            return trace, share
        pulled = cortical.pull_state(cortex, weights, now.s_tm1, now.a_t, credit.signal_t)
        credit_0 = tuple(jnp.where(trace, c, 0) for c in pulled)
        return jnp.array(False), share._replace(s_0=cortical.initial_state_gradient(weights, credit_0))

    def eligibility(self, cortex: Cortex, episode: Episode) -> TraceInTime:
        """∂sₜ/∂W|_{sₜ₋₁ held}."""
        nothing = _no_trace(cortex, episode)
        return jax.vmap(lambda now: _decay(cortex, nothing, now).synapses)(_steps(episode))


class LeakyTrace(NamedTuple):
    """ε of the synapses and biases, for presynaptic inputs, rates and 1, and of the initial state, where there is one.

    Cells are element-wise, so that ε is one number for each pair of a unit's state component with one of its synapses,
    or with one of the components of its own initial state.
    """

    synapses: Float[Array, "component gate units pre batch"]
    s_0: Float[Array, "component initial units batch"] | None


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
        past, trace = trace, _decay(cortex, trace, now)
        on_past = jnp.einsum("ub,gupb->gup", late, past.synapses[0])
        on_now = jnp.einsum("ub,gupb->gup", credit.error_t, trace.synapses[0])
        share = _as_weights(cortex, on_past + on_now)
        if past.s_0 is None or trace.s_0 is None:
            return trace, share
        credit_0 = late * past.s_0[0] + credit.error_t * trace.s_0[0]
        return trace, share._replace(s_0=cortical.initial_state_gradient(weights, tuple(credit_0)))

    def eligibility(self, cortex: Cortex, episode: Episode) -> TraceInTime:
        """εₜ."""

        def advance(trace: LeakyTrace, now: CorticalStep) -> tuple[LeakyTrace, Array]:
            trace = _decay(cortex, trace, now)
            return trace, trace.synapses

        return jax.lax.scan(advance, _no_trace(cortex, episode), _steps(episode))[1]


def _no_trace(cortex: Cortex, episode: Episode) -> LeakyTrace:
    n_pre, n_trials = cortex.n_inputs + cortex.n_units + 1, episode.inputs.shape[-1]
    shape = (cortex.n_components, cortex.n_gates, cortex.n_units, n_pre, n_trials)
    return LeakyTrace(jnp.zeros(shape, episode.inputs.dtype), None)


def _steps(episode: Episode) -> CorticalStep:
    """All steps of an episode, time first."""
    return CorticalStep(episode.trajectory.s_tm1, episode.trajectory.a_t, episode.inputs)


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


def _decay(cortex: Cortex, trace: LeakyTrace, now: CorticalStep) -> LeakyTrace:
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


def _as_weights(cortex: Cortex, gradient: Float[Array, "gate units pre"]) -> CorticalWeights:
    rows = gradient.reshape(cortex.n_gates * cortex.n_units, -1)
    w_in, w_rec, b = jnp.split(rows, [cortex.n_inputs, cortex.n_inputs + cortex.n_units], axis=1)
    return CorticalWeights(w_in, w_rec, b[:, 0])
