"""One step of a batch of trials, for rules that learn while the trial runs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from neuro_bpl.circuit.cells.protocol import State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.outcome import Outcome, accuracy
from neuro_bpl.circuit.readout import ReadoutWeights
from neuro_bpl.learning.whole_trial import Reroute
from neuro_bpl.trials import Trials


class SingleStep(NamedTuple):
    """One step of a batch of trials, as `Trials.by_step` gives it, with the number of steps left."""

    x_t: Float[Array, "inputs batch"]
    target_t: Shaped[Array, "*outputs batch"]
    weight_t: Float[Array, " batch"]
    left_t: Int[Array, " batch"]


def single_steps(trials: Trials) -> SingleStep:
    """Return trials step by step, time first."""
    inputs, targets, weights = trials.by_step()
    return SingleStep(inputs, targets, weights, trials.steps_left())


class Errors(NamedTuple):
    """What a step costs and who is told: ℓₜ (mean over trials), yₜ, ∂ℓₜ/∂W_out, and the error that reaches the rates.

    The loss and the error hold the cost of rates and weights; the readout's gradient is the task's alone.
    """

    loss: Float[Array, ""]
    y_t: Float[Array, "outputs batch"]
    readout_gradient: ReadoutWeights
    error_t: Float[Array, "units batch"]


def immediate_error(
    circuit: Circuit, weights: Weights, s_t: State, single_step: SingleStep, reroute: Reroute | None = None
) -> Errors:
    """ℓₜ, yₜ, ∂ℓₜ/∂W_out and lₜ = ∂ℓₜ/∂hₜ of one step; `reroute` as in `whole_trial.play`."""

    def mean_loss(y_t: Float[Array, "outputs batch"]) -> Float[Array, ""]:
        losses = circuit.readout.loss_value(y_t, single_step.target_t) * single_step.weight_t
        return losses.sum() / losses.size

    y_t, pull = jax.vjp(circuit.readout.outputs, weights.readout, s_t[0])
    loss, output_error_t = jax.value_and_grad(mean_loss)(y_t)
    readout_gradient, error_t = pull(output_error_t)
    if reroute is not None:
        error_t = reroute(error_t, output_error_t)
    loss = circuit.regularized(loss, weights, s_t[0], single_step.left_t)
    error_t = circuit.regularization.add_error(error_t, s_t[0], single_step.left_t)
    return Errors(loss, y_t, readout_gradient, error_t)


def trial_losses(circuit: Circuit, weights: Weights, s_t: State, single_step: SingleStep) -> Float[Array, " batch"]:
    """ℓₜ of each trial and the cost of its rates, divided by the number of trials: their sum is the mean loss."""
    y_t = circuit.readout.outputs(weights.readout, s_t[0])
    losses = circuit.readout.loss_value(y_t, single_step.target_t) * single_step.weight_t
    return (losses + circuit.regularization.rate_cost(s_t[0], single_step.left_t)) / losses.size


def online_outcome(
    circuit: Circuit,
    trials: Trials,
    losses: Float[Array, " time"],
    outputs: Float[Array, "time outputs batch"],
) -> Outcome:
    """Return outcome of trials that were run step by step."""
    at_targets = jnp.moveaxis(outputs, 0, 1)
    if trials.at_last_step:
        is_last = trials.steps_left() == 0
        at_targets = jnp.where(is_last, at_targets, 0).sum(1, keepdims=True)
    return Outcome(losses.sum(), accuracy(circuit.readout, at_targets, trials))
