"""Learning as the trial runs: what a rule carries from step to step, and its share of the gradient at each.

Nothing here needs the future. A TD error comes one step late: step t judges the prediction made at step t − 1.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from neuro_bpl import cortex as cortical
from neuro_bpl import td
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.cortex import State
from neuro_bpl.credit import OnlineCredit, StepCredit
from neuro_bpl.metrics import Outcome
from neuro_bpl.moment import Moment, immediate_error, moments, online_outcome
from neuro_bpl.traces import CorticalStep, Trace
from neuro_bpl.trials import Trials


class OnlineState(NamedTuple):
    """What a rule carries from step to step: cortical state, traces of cortex and predictor, and the input of the step.

    The input is carried where the predictor reads it, because a prediction is judged one step after it was made.
    """

    s: State
    cortical_trace: PyTree
    predictor_trace: PyTree
    x: Float[Array, "inputs batch"] | tuple[()] = ()


def init(trace: Trace, credit: OnlineCredit, circuit: Circuit, weights: Weights, n_trials: int) -> OnlineState:
    """State before the first step of a batch of trials."""
    cortex, dtype = circuit.cortex, weights.cortex.b.dtype
    predictor_trace: PyTree = ()
    if credit.predicting:
        predictor_trace = td.no_trace(circuit.predictor(), weights.cerebellum, n_trials, cortical.n_state(cortex))
    reads_input = credit.predicting and circuit.predictor().reads_input
    return OnlineState(
        s=cortical.initial_state(cortex, weights.cortex, (n_trials,), dtype),
        cortical_trace=trace.init(cortex, weights.cortex, n_trials, dtype),
        predictor_trace=predictor_trace,
        x=jnp.zeros((cortex.n_inputs, n_trials), dtype) if reads_input else (),
    )


def step(
    trace: Trace, credit: OnlineCredit, circuit: Circuit, weights: Weights, state: OnlineState, moment: Moment
) -> tuple[OnlineState, Weights, Float[Array, ""], Float[Array, "outputs batch"]]:
    """The state after a step, the step's share of the gradient, its loss (mean over trials), and yₜ."""
    cortex, s_tm1 = circuit.cortex, state.s
    a_t = cortical.activation(cortex, weights.cortex, s_tm1, moment.x_t)
    s_t = cortex.combine(s_tm1, cortical.split(cortex, a_t))
    loss, y_t, error_t, readout_share = immediate_error(circuit, weights, s_t, moment)
    credit_t = _step_credit(credit, circuit, weights, s_t, error_t, moment)
    now = CorticalStep(s_tm1, a_t, moment.x_t)
    cortical_trace, cortical_share = trace.step(cortex, weights.cortex, state.cortical_trace, now, credit_t)
    predictor_trace, theta_share = _predictor_step(
        credit, circuit, weights, state, now, s_t, credit_t.bootstrap_t, moment.left_t
    )
    gradient = Weights(cortical_share, readout_share, theta_share)
    gradient = circuit.regularized_gradient(gradient, weights, moment.left_t)
    x_t = () if isinstance(state.x, tuple) else moment.x_t
    return OnlineState(s_t, cortical_trace, predictor_trace, x_t), gradient, loss, y_t


def learn(
    trace: Trace, credit: OnlineCredit, circuit: Circuit, weights: Weights, trials: Trials
) -> tuple[Weights, Outcome]:
    """The sum of the shares of all steps, weights held, and how the trials went."""

    def advance(
        carry: tuple[OnlineState, Weights], moment: Moment
    ) -> tuple[tuple[OnlineState, Weights], tuple[Array, Array]]:
        state, total = carry
        state, gradient, loss, y_t = step(trace, credit, circuit, weights, state, moment)
        return (state, jax.tree.map(jnp.add, total, gradient)), (loss, y_t)

    nothing = jax.tree.map(jnp.zeros_like, weights)
    carry = (init(trace, credit, circuit, weights, trials.n_trials), nothing)
    (_, gradient), (losses, outputs) = jax.lax.scan(advance, carry, moments(trials))
    return gradient, online_outcome(circuit, trials, losses, outputs)


def _step_credit(
    credit: OnlineCredit,
    circuit: Circuit,
    weights: Weights,
    s_t: State,
    error_t: Float[Array, "units batch"],
    moment: Moment,
) -> StepCredit:
    """The credit of a step, with ĝₜ = 0 from the trial's last step on."""
    prediction_t = jax.tree.map(jnp.zeros_like, s_t)
    if credit.predicting:
        predicted_t = circuit.predict(weights.cerebellum, s_t, moment.x_t)
        prediction_t = jax.tree.map(lambda g: jnp.where(moment.left_t > 0, g, 0), predicted_t)
    return credit.now(error_t, prediction_t)


def _predictor_step(
    credit: OnlineCredit,
    circuit: Circuit,
    weights: Weights,
    state: OnlineState,
    now: CorticalStep,
    s_t: State,
    bootstrap_t: State,
    left_t: Int[Array, " batch"],
) -> tuple[PyTree, PyTree]:
    """eₜ, and the share −δₜ₋₁ eₜ₋₁ of the gradient; both terms of δ use the present θ."""
    theta, trace_tm1 = weights.cerebellum, state.predictor_trace
    if not credit.predicting:
        return trace_tm1, jax.tree.map(jnp.zeros_like, theta)
    cortex, predictor = circuit.cortex, circuit.predictor()
    x_tm1 = now.x_t if isinstance(state.x, tuple) else state.x  # a predictor that reads no input ignores it
    prediction_tm1 = circuit.predict(theta, now.s_tm1, x_tm1)
    prediction_tm1 = jax.tree.map(lambda g: jnp.where(left_t >= 0, g, 0), prediction_tm1)
    error = td.td_error(cortex, weights.cortex, now.s_tm1, now.a_t, bootstrap_t, prediction_tm1)
    share = td.trace_gradient(predictor, theta, jnp.concatenate(error), trace_tm1)
    jacobians = jax.vmap(partial(cortical.jacobian, cortex, weights.cortex), in_axes=-1)(now.s_tm1, now.x_t)
    slopes = jax.vmap(partial(td.predictor_slope, predictor, theta), in_axes=-1)(circuit.mossy_fibres(s_t, now.x_t))
    return jax.vmap(td.predictor_trace, (0, 0, 0, None))(trace_tm1, jacobians, slopes, credit.decay), share
