"""Cortical eligibility traces: what of the past a synapse remembers.

A trace turns credit into a weight gradient, over a whole trial (`drives`, backwards in time, nothing stored per
synapse) or step by step (`init` and `step`, forwards in time, one number a synapse and path).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl import cortex as cortical
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.cortex import Cortex, CorticalWeights, Gates, State
from neuro_bpl.credit import Assignment, StepCredit
from neuro_bpl.episode import Episode, add_error


class CorticalStep(NamedTuple):
    """One step of the cortex: the state before it, the activated gates, the input."""

    s_tm1: State
    a_t: Float[Array, "drives batch"]
    x_t: Float[Array, "inputs batch"]


@runtime_checkable
class Trace(Protocol):
    """What a cortical trace must offer."""

    def drives(self, circuit: Circuit, weights: Weights, episode: Episode, credit: Assignment) -> Gates:
        """Credit on the drives of every step, cₜ ∂sₜ/∂uₜ."""

    def init(self, cortex: Cortex, n_trials: int, dtype: jnp.dtype) -> PyTree:
        """The trace before the first step."""

    def step(
        self, cortex: Cortex, weights: CorticalWeights, trace: PyTree, now: CorticalStep, credit: StepCredit
    ) -> tuple[PyTree, CorticalWeights]:
        """The trace after a step, and the step's share of the gradient."""


@dataclass(frozen=True)
class Immediate:
    """∂sₜ/∂W|_{sₜ₋₁ held}: only the present step is eligible, docs/theory.md (4)."""

    def drives(self, circuit: Circuit, weights: Weights, episode: Episode, credit: Assignment) -> Gates:
        """(lₜ + Fₜ) ∂sₜ/∂uₜ."""
        path = episode.trajectory
        signal = add_error(episode.errors, credit.future)
        pull = jax.vmap(lambda s_tm1, a_t, c_t: cortical.pull_gates(circuit.cortex, s_tm1, a_t, c_t)[1])
        return pull(path.s_tm1, path.a_t, signal)

    def init(self, cortex: Cortex, n_trials: int, dtype: jnp.dtype) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def step(
        self,
        cortex: Cortex,
        weights: CorticalWeights,
        trace: tuple[()],
        now: CorticalStep,
        credit: StepCredit,
    ) -> tuple[tuple[()], CorticalWeights]:
        """(lₜ + Fₜ) ∂sₜ/∂W."""
        _, drives = cortical.pull_gates(cortex, now.s_tm1, now.a_t, credit.signal_t)
        add_time = jax.tree.map(lambda a: a[None], (drives, now.s_tm1[0], now.x_t))
        return trace, cortical.weight_gradient(*add_time)


@dataclass(frozen=True)
class Leaky:
    """εₜ = D εₜ₋₁ + ∂sₜ/∂W|_{sₜ₋₁}: the synapse remembers through the cell's own path D, docs/theory.md (10).

    For the rate cell D = (1 − dt/τ) I, the membrane's leak (e-prop's trace: Bellec et al. 2020, Nat Commun 11:3625;
    RFLO: Murray 2019, eLife 8:e43299). Credit must then leave that path out:
    Lₜ = lₜ + κ(lₜ₊₁ + Gₜ₊₁) Rₜ₊₁ with R = J − D; with lₜ + Gₜ the leak would be counted twice.
    """

    def drives(self, circuit: Circuit, weights: Weights, episode: Episode, credit: Assignment) -> Gates:
        """fₜ ∂sₜ/∂uₜ with fₜ = Lₜ + fₜ₊₁ Dₜ₊₁, which sums to Σ Lₜ εₜ without storing ε."""
        cortex = circuit.cortex

        def sweep(later: State, at_t: tuple) -> tuple[State, Gates]:
            s_tm1, a_t, error_t, explicit_t = at_t
            f_t = add_error(error_t, later)
            direct, drives = cortical.pull_gates(cortex, s_tm1, a_t, f_t)
            return add_error(recurrent_signal(cortex, weights.cortex, s_tm1, a_t, explicit_t), direct), drives

        path = episode.trajectory
        nothing = jax.tree.map(lambda s: jnp.zeros_like(s[0]), path.s_t)
        steps = (path.s_tm1, path.a_t, episode.errors, credit.explicit)
        return jax.lax.scan(sweep, nothing, steps, reverse=True)[1]

    def init(self, cortex: Cortex, n_trials: int, dtype: jnp.dtype) -> Float[Array, "component gate units pre batch"]:
        """ε₀ = 0, for presynaptic inputs, rates and the bias."""
        n_pre = cortex.n_inputs + cortex.n_units + 1
        return jnp.zeros((cortex.n_components, cortex.n_gates, cortex.n_units, n_pre, n_trials), dtype)

    def step(
        self,
        cortex: Cortex,
        weights: CorticalWeights,
        trace: Float[Array, "component gate units pre batch"],
        now: CorticalStep,
        credit: StepCredit,
    ) -> tuple[Float[Array, "component gate units pre batch"], CorticalWeights]:
        """κ(lₜ + Gₜ) Rₜ εₜ₋₁ + lₜ εₜ: the sum of (10) with the late half shifted to the step that knows it."""
        late = recurrent_signal(cortex, weights, now.s_tm1, now.a_t, credit.explicit_t)
        on_past = jnp.einsum("ub,gupb->gup", late, trace[0])
        trace = _decay(cortex, trace, now)
        on_now = jnp.einsum("ub,gupb->gup", credit.error_t, trace[0])
        return trace, _as_weights(cortex, on_past + on_now)


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


def _decay(
    cortex: Cortex, trace: Float[Array, "component gate units pre batch"], now: CorticalStep
) -> Float[Array, "component gate units pre batch"]:
    """εₜ = Dₜ εₜ₋₁ + ∂sₜ/∂uₜ ⊗ [xₜ; hₜ₋₁; 1]; the cell is element-wise, so D and ∂s/∂u are one number a unit."""
    one = jnp.ones_like(now.s_tm1[0])
    unit_vectors = [
        tuple(one if k == component else jnp.zeros_like(one) for k in range(cortex.n_components))
        for component in range(cortex.n_components)
    ]
    pulled = [cortical.pull_gates(cortex, now.s_tm1, now.a_t, vector) for vector in unit_vectors]
    direct = jnp.stack([jnp.stack(d) for d, _ in pulled])
    slopes = jnp.stack([jnp.stack(d) for _, d in pulled])
    pre = jnp.concatenate([now.x_t, now.s_tm1[0], one[:1]])
    return jnp.einsum("cdub,dgupb->cgupb", direct, trace) + jnp.einsum("cgub,pb->cgupb", slopes, pre)


def _as_weights(cortex: Cortex, gradient: Float[Array, "gate units pre"]) -> CorticalWeights:
    rows = gradient.reshape(cortex.n_gates * cortex.n_units, -1)
    w_in, w_rec, b = jnp.split(rows, [cortex.n_inputs, cortex.n_inputs + cortex.n_units], axis=1)
    return CorticalWeights(w_in, w_rec, b[:, 0])
