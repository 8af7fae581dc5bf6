"""The cerebellar prediction of the future gradient."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from neuro_bpl.circuit.cells.protocol import State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning import lambda_targets
from neuro_bpl.learning.credit.protocol import Assignment, StepCredit, with_errors
from neuro_bpl.learning.lambda_targets import Scalar
from neuro_bpl.learning.whole_trial import WholeTrial, add_error
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("lambda_", "discount", "kappa"),
    meta_fields=("window",),
)
@dataclass(frozen=True)
class Predicted:
    """Fₜ = κ ĝₜ, the cerebellar prediction, learnt from λ-weighted targets: BP(λ), docs/theory.md (4)–(8).

    With a window of n > 1 steps it is the n-step synthetic gradient of Jaderberg et al. 2017: true backpropagation
    inside a window, ĝ at its end, docs/theory.md (14).

    Raises
    ------
    ValueError
        If a parameter is outside its range, or λ ≠ 0 with a window of more than one step.
    """

    lambda_: float = field(1.0, "trace decay: 0 bootstraps at once, 1 never", symbol="λ", low=0, high=1)
    discount: float = field(1.0, "discount of future gradients", symbol="γ", low=0, high=1)
    kappa: float = field(1.0, "weight of the prediction in the cortical update", symbol="κ", low=0)
    window: int = field(1, "steps of a window", low=1)

    predicting = True
    scope = "future"

    def __post_init__(self) -> None:
        check(self)
        if self.window > 1 and isinstance(self.lambda_, (int, float)) and self.lambda_ != 0:
            raise refusal(
                "Predicted.lambda_",
                self.lambda_,
                f"0 with a window of {self.window} steps",
                "n-step synthetic gradients bootstrap once, at the window's end; λ mixes bootstraps of all steps",
                "dni(window) for n-step synthetic gradients, or bp_lambda(lambda_) with window 1",
            )

    @property
    def label(self) -> str:
        """BP(λ), or SG(n) with windows of n steps."""
        if self.window > 1:
            return f"SG({self.window})"
        return f"BP({self.lambda_:g})" if isinstance(self.lambda_, (int, float)) else "BP(λ)"

    def assign(self, circuit: Circuit, weights: Weights, trial: WholeTrial) -> Assignment:
        """κ ĝₜ for the cortex; the target minus ĝₜ for the predictor."""
        return (
            self._assign_steps(circuit, weights, trial)
            if self.window == 1
            else self._assign_windows(circuit, weights, trial)
        )

    @property
    def decay(self) -> Scalar:
        """γλ."""
        return self.discount * self.lambda_

    def now(self, error_t: Float[Array, "units batch"], prediction_t: State) -> StepCredit:
        """κ ĝₜ for the cortex, γ ĝₜ for the TD error."""

        def scaled(factor: Scalar, s_t: State) -> State:
            return jax.tree.map(lambda component: factor * component, s_t)

        return StepCredit(
            error_t=error_t,
            signal_t=add_error(error_t, scaled(self.kappa, prediction_t)),
            explicit_t=scaled(self.kappa, add_error(error_t, prediction_t)),
            bootstrap_t=add_error(error_t, scaled(self.discount, prediction_t)),
        )

    def _assign_steps(self, circuit: Circuit, weights: Weights, trial: WholeTrial) -> Assignment:
        def mix(prediction_t: State, target_t: State, _: Int[Array, " batch"]) -> State:
            return lambda_targets.lambda_mix(prediction_t, target_t, self.discount, self.lambda_)

        target = lambda_targets.future(circuit, weights, trial, mix)
        predictions = trial.predictions
        return Assignment(
            future=jax.tree.map(lambda g: self.kappa * g, predictions),
            explicit=jax.tree.map(lambda v: self.kappa * v, with_errors(trial, predictions)),
            prediction_errors=jax.tree.map(jnp.subtract, target, predictions),
        )

    def _assign_windows(self, circuit: Circuit, weights: Weights, trial: WholeTrial) -> Assignment:
        def mix(factor: Scalar, prediction_t: State, swept_t: State, left_t: Int[Array, " batch"]) -> State:
            return lambda_targets.window_mix(
                prediction_t, swept_t, lambda_targets.window_ends(left_t, self.window), factor
            )

        target = lambda_targets.future(circuit, weights, trial, partial(mix, self.discount))
        swept = lambda_targets.future(circuit, weights, trial, partial(mix, self.kappa))
        future = jax.vmap(partial(mix, self.kappa))(trial.predictions, swept, trial.steps_left)
        ends = lambda_targets.window_ends(trial.steps_left, self.window)[:, None]
        return Assignment(
            future=future,
            explicit=with_errors(trial, future),
            prediction_errors=jax.tree.map(lambda g, p: jnp.where(ends, g - p, 0), target, trial.predictions),
        )
