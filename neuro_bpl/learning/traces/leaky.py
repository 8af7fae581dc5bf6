"""The leaky trace: a synapse remembers through the cell's own path."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, Gates, State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.credit import Assignment, StepCredit
from neuro_bpl.learning.traces import elementwise
from neuro_bpl.learning.traces.elementwise import SynapticTrace
from neuro_bpl.learning.traces.protocol import CorticalStep, GatesInTime, TraceInTime
from neuro_bpl.learning.whole_trial import WholeTrial, add_error


@jax.tree_util.register_static
@dataclass(frozen=True)
class Leaky:
    """εₜ = D εₜ₋₁ + ∂sₜ/∂W|_{sₜ₋₁}: the synapse remembers through the cell's own path D, docs/theory.md (10).

    For the rate cell D = (1 − dt/τ) I, the membrane's leak (e-prop's trace: Bellec et al. 2020, Nat Commun 11:3625;
    RFLO: Murray 2019, eLife 8:e43299). Credit must then leave that path out:
    Lₜ = lₜ + κ(lₜ₊₁ + Gₜ₊₁) Rₜ₊₁ with R = J − D; with lₜ + Gₜ the leak would be counted twice.
    """

    paths = "own"

    def drives(
        self, circuit: Circuit, weights: Weights, trial: WholeTrial, credit: Assignment
    ) -> tuple[GatesInTime, State]:
        """fₜ ∂sₜ/∂uₜ with fₜ = Lₜ + fₜ₊₁ Dₜ₊₁, which sums to Σ Lₜ εₜ without storing ε; f₀ on s₀."""
        cortex = circuit.cortex

        def sweep(later: State, at_t: tuple) -> tuple[State, Gates]:
            s_tm1, a_t, error_t, explicit_t = at_t
            direct, drives = jacobian.pull_gates(cortex, s_tm1, a_t, add_error(error_t, later))
            if explicit_t is None:
                return direct, drives
            return add_error(recurrent_signal(cortex, weights.cortex, s_tm1, a_t, explicit_t), direct), drives

        path = trial.trajectory
        nothing = jax.tree.map(lambda s: jnp.zeros_like(s[0]), path.s_t)
        in_time = (path.s_tm1, path.a_t, trial.errors, credit.explicit)
        f_0, drives = jax.lax.scan(sweep, nothing, in_time, reverse=True)
        return drives, f_0

    def init(self, cortex: Cell, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype, key: Any) -> SynapticTrace:
        """ε₀ = 0 for synapses and biases, ε₀ = I for s₀."""
        return elementwise.init(cortex, weights, n_trials, dtype)

    def step(
        self, cortex: Cell, weights: CorticalWeights, trace: SynapticTrace, now: CorticalStep, credit: StepCredit
    ) -> tuple[SynapticTrace, CorticalWeights]:
        """κ(lₜ + Gₜ) Rₜ εₜ₋₁ + lₜ εₜ: the sum of (10) with the late half shifted to the step that knows it."""
        past, trace = trace, elementwise.advance(cortex, trace, now, elementwise.direct(cortex, now))
        share = elementwise.share(weights, credit.error_t, trace)
        if credit.explicit_t is None:
            return trace, share
        late = recurrent_signal(cortex, weights, now.s_tm1, now.a_t, credit.explicit_t)
        return trace, jax.tree.map(jnp.add, share, elementwise.share(weights, late, past))

    def eligibility(self, cortex: Cell, weights: CorticalWeights, trial: WholeTrial) -> TraceInTime:
        """εₜ."""
        return elementwise.in_time(cortex, weights, trial, partial(elementwise.direct, cortex))


def recurrent_signal(
    cortex: Cell,
    weights: CorticalWeights,
    s_tm1: State,
    a_t: Float[Array, "drives *batch"],
    signal_t: State,
) -> Float[Array, "units *batch"]:
    """Return signal · Rₜ: its pull through the recurrent weights alone, onto the rates before."""
    _, drives = jacobian.pull_gates(cortex, s_tm1, a_t, signal_t)
    return jacobian.pull_recurrent(cortex, weights, drives)
