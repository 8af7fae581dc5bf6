"""Dutch traces: what makes online learning of the predictor exact, for one trial at a time and a step size α.

Both carry the features and the prediction of the step before: true online learning corrects for what the prediction was
when it was made. Gradients are minus the change divided by α, so that plain gradient descent with α makes the change.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl.circuit import cortex as cortical
from neuro_bpl.circuit import jacobian as jacobians
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.lambda_targets import Scalar
from neuro_bpl.learning.predictor_traces import remembered_steps as past
from neuro_bpl.learning.predictor_traces.protocol import (
    Extent,
    Rates,
    check_linear,
    features,
    n_features,
    output_gradient,
)
from neuro_bpl.learning.predictor_traces.remembered_steps import RememberedSteps, put
from neuro_bpl.learning.td_error import TDError
from neuro_bpl.learning.traces import CorticalStep
from neuro_bpl.refusals import refusal


class Made(NamedTuple):
    """[φₜ; 1] and Θₜ₋₁ φₜ: a prediction as it was made, before the weights changed."""

    phi: Float[Array, " features_1"]
    prediction: Float[Array, " state"]


class Dutch(NamedTuple):
    """Eₜ/α, and the latest prediction."""

    e: Float[Array, "state state features_1"]
    made: Made


class DutchHistory(NamedTuple):
    """Remembered steps, their features as later steps have left them, and the latest prediction."""

    passages: RememberedSteps
    phi: Float[Array, "age features_1"]
    made: Made


@dataclass(frozen=True)
class DutchTrace:
    """Eₜ = γλ Jₜ Eₜ₋₁ (I − α φₜ φₜᵀ) + α I ⊗ φₜ, docs/theory.md (35); stored divided by α.

    Θₜ₊₁ = Θₜ + (vₜ₊₁ − Θₜ₋₁ φₜ)·Eₜ − α (Θₜ φₜ − Θₜ₋₁ φₜ) φₜᵀ with vₜ₊₁ = (lₜ₊₁ + γ Θₜ φₜ₊₁) Jₜ₊₁: true online BP(λ),
    after van Seijen et al. 2016 (JMLR 17:145).
    """

    def check(self, circuit: Circuit) -> None:
        """Refuse a predictor that is not linear in what learns (`ValueError`)."""
        check_linear(circuit, "the Dutch trace")

    def init(self, circuit: Circuit, weights: Weights, extent: Extent, key: jax.Array | None) -> Dutch:
        """E₀ = 0."""
        check_one_trial(extent)
        made = no_prediction(circuit, weights)
        n_state = len(made.prediction)
        return Dutch(jnp.zeros((n_state, n_state, len(made.phi)), made.phi.dtype), made)

    def share(self, circuit: Circuit, weights: Weights, trace: Dutch, error: TDError, rates: Rates) -> PyTree:
        """Return minus the change of Θ divided by α."""
        surprise, change = judged(trace.made, error)
        step = jnp.einsum("s,sif->if", surprise, trace.e) - jnp.outer(change, trace.made.phi)
        return as_share(circuit, weights, step, error)

    def advance(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: Dutch,
        now: CorticalStep,
        fibres_t: Float[Array, "fibres 1"],
        rates: Rates,
    ) -> Dutch:
        """Eₜ/α."""
        made = made_now(circuit, weights, fibres_t)
        s_tm1 = tuple(component[:, 0] for component in now.s_tm1)
        jacobian = jacobians.jacobian(circuit.cortex, weights.cortex, s_tm1, now.x_t[:, 0])
        faded = projected_out(trace.e, made.phi, _alpha(rates))
        identity = jnp.eye(jacobian.shape[0], dtype=jacobian.dtype)
        return Dutch(rates.decay * jnp.tensordot(jacobian, faded, 1) + identity[:, :, None] * made.phi, made)


@dataclass(frozen=True)
class DutchSweep:
    """True online BP(λ) from remembered steps, docs/theory.md (36): the Dutch trace's changes, for less.

    Eₜ/α = Σⱼ (γλ)^(t−j) Jₜ ⋯ Jⱼ₊₁ ⊗ φⱼᵀ (I − α φⱼ₊₁ φⱼ₊₁ᵀ) ⋯ (I − α φₜ φₜᵀ): row vectors are pulled back through the
    Jacobians, and the features of every remembered step are changed as new ones come.
    """

    horizon: int | None = None
    tolerance: float = 0.0

    def check(self, circuit: Circuit) -> None:
        """Refuse a predictor that is not linear in what learns (`ValueError`)."""
        check_linear(circuit, "the Dutch trace")

    def init(self, circuit: Circuit, weights: Weights, extent: Extent, key: jax.Array | None) -> DutchHistory:
        """Return an empty history."""
        check_one_trial(extent)
        horizon, made = past.horizon_of(extent, self.horizon), no_prediction(circuit, weights)
        phi = jnp.zeros((horizon, len(made.phi)), made.phi.dtype)
        return DutchHistory(past.begin(circuit, weights, extent, horizon), phi, made)

    def share(self, circuit: Circuit, weights: Weights, trace: DutchHistory, error: TDError, rates: Rates) -> PyTree:
        """Return minus the change of Θ divided by α."""
        surprise, change = judged(trace.made, error)

        rows = past.swept_rows(circuit, weights.cortex, trace.passages, surprise[:, None], rates.decay, self.tolerance)
        step = jnp.einsum("as,af->sf", rows[..., 0], trace.phi) - jnp.outer(change, trace.made.phi)
        return as_share(circuit, weights, step, error)

    def advance(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: DutchHistory,
        now: CorticalStep,
        fibres_t: Float[Array, "fibres 1"],
        rates: Rates,
    ) -> DutchHistory:
        """Return the history with the latest step, whose features are taken out of those of the other steps."""
        made = made_now(circuit, weights, fibres_t)
        phi = put(trace.passages.place, projected_out(trace.phi, made.phi, _alpha(rates)), made.phi)
        return DutchHistory(past.remember(trace.passages, weights.cortex, now), phi, made)


def judged(made: Made, error: TDError) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
    """vₜ₊₁ − Θₜ₋₁ φₜ, and how the prediction has changed since it was made, Θₜ φₜ − Θₜ₋₁ φₜ."""
    return error.pulled[:, 0] - made.prediction, error.prediction[:, 0] - made.prediction


def projected_out(
    rows: Float[Array, "*rows features_1"], phi: Float[Array, " features_1"], alpha: Scalar
) -> Float[Array, "*rows features_1"]:
    """Return rows (I − α φ φᵀ)."""
    return rows - alpha * jnp.tensordot(rows, phi, 1)[..., None] * phi


def no_prediction(circuit: Circuit, weights: Weights) -> Made:
    """Before the first step: features of zero, for which no prediction can have changed."""
    dtype = weights.cortex.b.dtype
    n = n_features(circuit, weights.cerebellum)
    return Made(jnp.zeros(n, dtype), jnp.zeros(cortical.n_state(circuit.cortex), dtype))


def made_now(circuit: Circuit, weights: Weights, fibres_t: Float[Array, "fibres 1"]) -> Made:
    """Return the prediction of this step."""
    phi = features(circuit, weights.cerebellum, fibres_t)[:, 0]
    return Made(phi, circuit.predictor().predict(weights.cerebellum, fibres_t)[:, 0])


def as_share(circuit: Circuit, weights: Weights, step: Float[Array, "state features_1"], error: TDError) -> PyTree:
    """Return a gradient from the change of Θ divided by α; nothing where the trial is over."""
    return output_gradient(circuit.predictor(), weights.cerebellum, jnp.where(error.alive[0], -step, 0))


def check_one_trial(extent: Extent) -> None:
    """Refuse a batch of several trials (`ValueError`)."""
    if extent.n_trials != 1:
        raise refusal(
            "batch_size",
            extent.n_trials,
            "1 with the true online view",
            "the trace of one trial would have to know the changes that the others make",
            "train(..., batch_size=1)",
        )


def _alpha(rates: Rates) -> Any:
    if rates.step_size is None:
        raise refusal(
            "step_size",
            None,
            "the learning rate of the predictor",
            "the trace of true online learning holds the step size",
            "rule.step(circuit, weights, state, moment, step_size=0.01)",
        )
    return rates.step_size
