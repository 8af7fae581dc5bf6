"""A batch of trials that is over, as the learning rules see it: arrays with time first and batch last."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from neuro_bpl.circuit import cortex as cortical
from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, Gates, State
from neuro_bpl.circuit.circuit import Circuit, Weights, target_rates
from neuro_bpl.circuit.cortex import CorticalWeights, Trajectory
from neuro_bpl.circuit.predictors.protocol import SelfOrganizing, taught
from neuro_bpl.circuit.readout import ReadoutWeights
from neuro_bpl.trials import Trials

StateInTime = tuple[Float[Array, "time units #batch"], ...]
Reroute = Callable[
    [Float[Array, "*time units batch"], Float[Array, "*time outputs batch"]], Float[Array, "*time units batch"]
]


class WholeTrial(NamedTuple):
    """What happened, what it cost, and what the cerebellum predicted.

    `loss` holds the cost of rates and weights, and `errors` is lₜ on the rates with its share of that cost, divided by
    the number of trials. `readout_gradient` is the task's alone. `predictions` is ĝₜ by state component, zero
    from each trial's last step on, and zero throughout where no prediction was asked for.
    """

    inputs: Float[Array, "time inputs batch"]
    steps_left: Int[Array, "time batch"]
    trajectory: Trajectory
    outputs: Float[Array, "outputs target batch"]
    loss: Float[Array, ""]
    errors: Float[Array, "time units batch"]
    readout_gradient: ReadoutWeights
    predictions: StateInTime


def play(
    circuit: Circuit, weights: Weights, trials: Trials, predicting: bool, reroute: Reroute | None = None
) -> WholeTrial:
    """Run a batch of trials and collect what every learning rule needs.

    `reroute` gives the errors that reach the cortex, from those that the readout's weights would send back and from
    ∂ℓₜ/∂yₜ; None: through the readout's weights. The cost of rates is felt by the cortex itself.
    """
    inputs = jnp.moveaxis(trials.inputs, 0, -1)
    trajectory = cortical.run(circuit.cortex, weights.cortex, inputs)
    steps_left = trials.steps_left()

    outputs, pull = jax.vjp(circuit.readout.outputs, weights.readout, target_rates(trajectory, trials))
    loss, on_outputs = jax.value_and_grad(circuit.mean_loss)(outputs, trials)
    readout_gradient, on_targets = pull(on_outputs)
    errors, output_errors = jnp.moveaxis(on_targets, 1, 0), jnp.moveaxis(on_outputs, 1, 0)
    if trials.at_last_step:
        is_last = steps_left[:, None] == 0
        errors, output_errors = jnp.where(is_last, errors, 0), jnp.where(is_last, output_errors, 0)
    if reroute is not None:
        errors = reroute(errors, output_errors)
    loss = circuit.regularized(loss, weights, trajectory.s_t[0], steps_left)
    errors = circuit.regularization.add_error(errors, trajectory.s_t[0], steps_left)
    if predicting:
        predictions = predict(circuit, weights.cerebellum, trajectory, inputs, steps_left)
    else:
        predictions = (jnp.zeros((inputs.shape[0], circuit.cortex.n_units, 1), inputs.dtype),)
        predictions *= circuit.cortex.n_components
    return WholeTrial(inputs, steps_left, trajectory, outputs, loss, errors, readout_gradient, predictions)


def predict(
    circuit: Circuit,
    theta: PyTree,
    trajectory: Trajectory,
    inputs: Float[Array, "time inputs batch"],
    steps_left: Int[Array, "time batch"],
) -> StateInTime:
    """ĝₜ at every step; ĝ = 0 from each trial's last step on."""
    predictions = circuit.predict(theta, _features_first(trajectory.s_t), jnp.moveaxis(inputs, 1, 0))
    return tuple(jnp.where(steps_left[:, None] > 0, jnp.moveaxis(g, 0, 1), 0) for g in predictions)


def prediction_gradient(circuit: Circuit, theta: PyTree, trial: WholeTrial, errors: StateInTime) -> PyTree:
    """−⟨Σₜ (G^λₜ − ĝₜ) ∂ĝₜ/∂θ⟩ over trials: minus the update direction of docs/theory.md (8).

    Zero for weights that do not learn, whatever the predictor.
    """

    def predictions(theta: PyTree) -> State:
        return circuit.predict(theta, _features_first(trial.trajectory.s_t), jnp.moveaxis(trial.inputs, 1, 0))

    n_trials = trial.inputs.shape[-1]
    cotangent = tuple(-jnp.moveaxis(error, 1, 0) / n_trials for error in errors)
    gradient = jax.vjp(predictions, theta)[1](cotangent)[0]
    learns = taught(circuit.predictor(), theta)
    gradient = jax.tree.map(lambda g, learns: g if learns else jnp.zeros_like(g), gradient, learns)
    return organized(circuit, theta, gradient, trial.trajectory.s_t, trial.inputs, trial.steps_left)


def organized(
    circuit: Circuit,
    theta: PyTree,
    gradient: PyTree,
    s_t: StateInTime,
    inputs: Float[Array, "time inputs batch"],
    steps_left: Int[Array, "time batch"],
) -> PyTree:
    """A gradient with what activity alone makes of a predictor, at the steps that have a future, mean over trials."""
    predictor = circuit.predictor()
    if not isinstance(predictor, SelfOrganizing):
        return gradient
    fibres = circuit.mossy_fibres(_features_first(s_t), jnp.moveaxis(inputs, 1, 0))
    alone = predictor.organized(theta, jnp.where(steps_left > 0, fibres, 0))
    return jax.tree.map(lambda g, own: g + own / inputs.shape[-1], gradient, alone)


def cortical_gradient(cortex: Cell, drives: Gates, trial: WholeTrial) -> CorticalWeights:
    """Σₜ cₜ ∂sₜ/∂W|_{sₜ₋₁ held} from the credit on the drives, cₜ ∂sₜ/∂uₜ; without that of s₀."""
    return jacobian.weight_gradient(cortex, drives, trial.trajectory.s_tm1[0], trial.inputs)


def add_error(error_t: Float[Array, "units *batch"], s_t: State) -> State:
    """lₜ + s: immediate errors reach the rates only, the first component of the state."""
    return (error_t + s_t[0], *s_t[1:])


def _features_first(s: StateInTime) -> State:
    return tuple(jnp.moveaxis(component, 1, 0) for component in s)
