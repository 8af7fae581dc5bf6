"""The diagonal trace: what a synapse does to its own unit, and nothing that comes back through others."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, Gates, State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.credit import Assignment, StepCredit
from neuro_bpl.learning.traces import elementwise
from neuro_bpl.learning.traces.elementwise import Kept, SynapticTrace
from neuro_bpl.learning.traces.protocol import CorticalStep, GatesInTime, TraceInTime
from neuro_bpl.learning.whole_trial import WholeTrial, add_error


@jax.tree_util.register_static
@dataclass(frozen=True)
class Diagonal:
    """εₜ = diag(Jₜ) εₜ₋₁ + ∂sₜ/∂W|_{sₜ₋₁}: SnAp-1 (Menick et al. 2021, ICLR), docs/theory.md (24).

    diag(J) holds the entries of J between state components of the same unit: the cell's own path D and the unit's
    recurrent connection onto itself.
    """

    paths = "recurrent"

    def drives(
        self, circuit: Circuit, weights: Weights, trial: WholeTrial, credit: Assignment
    ) -> tuple[GatesInTime, State]:
        """fₜ ∂sₜ/∂uₜ with fₜ = lₜ + fₜ₊₁ diag(Jₜ₊₁), which sums to Σ lₜ εₜ without storing ε; f₀ on s₀."""

        def sweep(later: State, at_t: tuple) -> tuple[State, Gates]:
            s_tm1, a_t, error_t = at_t
            return jacobian.pull_own(circuit.cortex, weights.cortex, s_tm1, a_t, add_error(error_t, later))

        path = trial.trajectory
        nothing = jax.tree.map(lambda s: jnp.zeros_like(s[0]), path.s_t)
        f_0, drives = jax.lax.scan(sweep, nothing, (path.s_tm1, path.a_t, trial.errors), reverse=True)
        return drives, f_0

    def init(self, cortex: Cell, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype, key: Any) -> SynapticTrace:
        """ε₀ = 0 for synapses and biases, ε₀ = I for s₀."""
        return elementwise.init(cortex, weights, n_trials, dtype)

    def step(
        self, cortex: Cell, weights: CorticalWeights, trace: SynapticTrace, now: CorticalStep, credit: StepCredit
    ) -> tuple[SynapticTrace, CorticalWeights]:
        """lₜ εₜ."""
        trace = elementwise.advance(cortex, trace, now, diagonal(cortex, weights, now))
        return trace, elementwise.share(weights, credit.error_t, trace)

    def eligibility(self, cortex: Cell, weights: CorticalWeights, trial: WholeTrial) -> TraceInTime:
        """εₜ."""
        return elementwise.in_time(cortex, weights, trial, partial(diagonal, cortex, weights))


def diagonal(cortex: Cell, weights: CorticalWeights, now: CorticalStep) -> Kept:
    """diag(Jₜ): D, and what a unit's rate does to its own drives."""
    local = jacobian.local_slopes(cortex, now.s_tm1, now.a_t)
    autapses = jacobian.autapses(cortex, weights)
    own = [[w[:, None] * drive[gate] for gate, w in autapses.items()] for drive in local.drive]
    return tuple(add_error(sum(o[1:], start=o[0]), row) for o, row in zip(own, local.direct, strict=True))
