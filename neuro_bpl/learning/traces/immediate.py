"""The immediate trace: only the present step is eligible."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.credit import Assignment, StepCredit
from neuro_bpl.learning.traces import elementwise
from neuro_bpl.learning.traces.protocol import CorticalStep, GatesInTime, TraceInTime, steps
from neuro_bpl.learning.whole_trial import WholeTrial, add_error


@jax.tree_util.register_static
@dataclass(frozen=True)
class Immediate:
    """∂sₜ/∂W|_{sₜ₋₁ held}: only the present step is eligible, docs/theory.md (4)."""

    paths = "none"

    def drives(
        self, circuit: Circuit, weights: Weights, trial: WholeTrial, credit: Assignment
    ) -> tuple[GatesInTime, State]:
        """(lₜ + Fₜ) ∂sₜ/∂uₜ, and (l₁ + F₁) J₁ on s₀."""
        path = trial.trajectory
        nothing = (jnp.zeros_like(trial.errors[..., :1]),) * circuit.cortex.n_components
        signal = add_error(trial.errors, nothing if credit.future is None else credit.future)
        pull = jax.vmap(lambda s_tm1, a_t, c_t: jacobian.pull_gates(circuit.cortex, s_tm1, a_t, c_t)[1])
        first = jax.tree.map(lambda in_time: in_time[0], (path.s_tm1, path.a_t, signal))
        return pull(path.s_tm1, path.a_t, signal), jacobian.pull_state(circuit.cortex, weights.cortex, *first)

    def init(
        self, cortex: Cell, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype, key: Any
    ) -> Bool[Array, ""] | tuple[()]:
        """Nothing to remember; whether the first step is still to come, where the weights hold an s₀."""
        return () if weights.s_0 is None else jnp.array(True)

    def step(
        self,
        cortex: Cell,
        weights: CorticalWeights,
        trace: Bool[Array, ""] | tuple[()],
        now: CorticalStep,
        credit: StepCredit,
    ) -> tuple[Bool[Array, ""] | tuple[()], CorticalWeights]:
        """(lₜ + Fₜ) ∂sₜ/∂W; s₀ is eligible at the first step alone."""
        _, drives = jacobian.pull_gates(cortex, now.s_tm1, now.a_t, credit.signal_t)
        add_time = jax.tree.map(lambda a: a[None], (drives, now.s_tm1[0], now.x_t))
        share = jacobian.weight_gradient(cortex, *add_time)
        if isinstance(trace, tuple):
            return trace, share
        pulled = jacobian.pull_state(cortex, weights, now.s_tm1, now.a_t, credit.signal_t)
        credit_0 = tuple(jnp.where(trace, c, 0) for c in pulled)
        return jnp.array(False), share._replace(s_0=jacobian.initial_state_gradient(weights, credit_0))

    def eligibility(self, cortex: Cell, weights: CorticalWeights, trial: WholeTrial) -> TraceInTime:
        """∂sₜ/∂W|_{sₜ₋₁ held}."""
        return jax.vmap(lambda now: elementwise.dense(cortex, elementwise.immediate(cortex, now)))(steps(trial))
