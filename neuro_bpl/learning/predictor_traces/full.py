"""The full trace: how every weight of the predictor has changed every prediction since the trial began."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl.circuit import cortex as cortical
from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.predictors.protocol import Predictor
from neuro_bpl.learning.lambda_targets import Scalar
from neuro_bpl.learning.predictor_traces.dutch import DutchTrace
from neuro_bpl.learning.predictor_traces.protocol import Extent, Rates, as_gradient, replaced, taught_arrays
from neuro_bpl.learning.td_error import TDError
from neuro_bpl.learning.traces import CorticalStep


@dataclass(frozen=True)
class FullTrace:
    """eₜ = γλ Jₜ eₜ₋₁ + ∂ĝₜ/∂θ, docs/theory.md (9): exact, state × size of θ numbers for each trial.

    A step takes state² · size of θ multiply–adds for each trial: for a linear predictor of n numbers, n³
    of memory and n⁴ of time. `HistorySweep` makes the same updates for less.
    """

    label = "full trace"

    def dutch(self) -> DutchTrace:
        """Its counterpart in the true online view."""
        return DutchTrace()

    def check(self, circuit: Circuit) -> None:
        """Every circuit with a predictor will do."""
        circuit.predictor()

    def init(self, circuit: Circuit, weights: Weights, extent: Extent, key: jax.Array | None) -> list[Array]:
        """e₀ = 0, trials first, for each array of θ that learns from TD errors."""
        arrays, n_state = taught_arrays(circuit.predictor(), weights.cerebellum), cortical.n_state(circuit.cortex)
        return [jnp.zeros((extent.n_trials, n_state, *w.shape), w.dtype) for w in arrays]

    def share(self, circuit: Circuit, weights: Weights, trace: list[Array], error: TDError, rates: Rates) -> PyTree:
        """−⟨δₜ₋₁ eₜ₋₁⟩, docs/theory.md (8), backward view."""
        return trace_gradient(circuit.predictor(), weights.cerebellum, error.delta, trace)

    def advance(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: list[Array],
        now: CorticalStep,
        fibres_t: Float[Array, "fibres batch"],
        rates: Rates,
    ) -> list[Array]:
        """γλ Jₜ eₜ₋₁ + ∂ĝₜ/∂θ."""
        pull_through = jax.vmap(partial(jacobian.jacobian, circuit.cortex, weights.cortex), in_axes=-1)
        slope = partial(predictor_slope, circuit.predictor(), weights.cerebellum)
        slopes = jax.vmap(slope, in_axes=-1)(fibres_t)
        return jax.vmap(pushed, (0, 0, 0, None))(trace, pull_through(now.s_tm1, now.x_t), slopes, rates.decay)


def pushed(
    trace_tm1: list[Array], jacobian_t: Float[Array, "state state"], slope_t: list[Array], decay: Scalar
) -> list[Array]:
    """eₜ = γλ Jₜ eₜ₋₁ + ∂ĝₜ/∂θ for one trial, docs/theory.md (9)."""
    return jax.tree.map(lambda e, d: decay * jnp.tensordot(jacobian_t, e, 1) + d, trace_tm1, slope_t)


def predictor_slope(predictor: Predictor, theta: PyTree, fibres_t: Float[Array, " fibres"]) -> list[Array]:
    """∂ĝₜ/∂θ of one trial for each array of θ that learns from TD errors, the predicted gradient's axis first."""
    free = taught_arrays(predictor, theta)
    return jax.jacrev(lambda free: predictor.predict(replaced(predictor, theta, free), fibres_t))(free)


def trace_gradient(
    predictor: Predictor, theta: PyTree, delta: Float[Array, "state batch"], trace: list[Array]
) -> PyTree:
    """−⟨δₜ eₜ⟩ over trials, zero for weights that do not learn: docs/theory.md (8)."""
    n_trials = delta.shape[-1]
    return as_gradient(predictor, theta, [-jnp.einsum("sb,bs...->...", delta, e) / n_trials for e in trace])
