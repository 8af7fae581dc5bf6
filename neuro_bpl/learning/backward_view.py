"""The backward view: what a rule carries from step to step as the trial runs, and its share of the gradient at each.

Nothing here needs the future. A TD error comes one step late: step t judges the prediction made at step t − 1.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from neuro_bpl.circuit import cortex as cortical
from neuro_bpl.circuit.cells.protocol import State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.learning import td_error
from neuro_bpl.learning.credit import Credit, StepCredit, protocol
from neuro_bpl.learning.lambda_targets import Scalar
from neuro_bpl.learning.predictor_traces import Extent, Rates
from neuro_bpl.learning.random_draws import Noise, begin, draw
from neuro_bpl.learning.rule_parts import RuleParts, no_change, whole_gradient
from neuro_bpl.learning.single_step import SingleStep, immediate_error, online_outcome, single_steps, trial_losses
from neuro_bpl.learning.traces import CorticalStep
from neuro_bpl.learning.whole_trial import organized
from neuro_bpl.trials import Trials


class OnlineState(NamedTuple):
    """What a rule carries from step to step: cortical state, traces of cortex and predictor, input, and noise.

    The input is carried where the predictor reads it, because a prediction is judged one step after it was made; the
    state of the random numbers where the rule draws some.
    """

    s: State
    cortical_trace: PyTree
    predictor_trace: PyTree
    x: Float[Array, "inputs batch"] | tuple[()] = ()
    noise: Noise = ()


@dataclass(frozen=True)
class BackwardView:
    """Every step's share of the gradient as the trial runs, the predictor's from TD errors, docs/theory.md (6)–(9)."""

    parts: RuleParts

    def init(
        self,
        circuit: Circuit,
        weights: Weights,
        n_trials: int,
        n_steps: int | None,
        noise: Noise,
    ) -> OnlineState:
        """Return the state before the first step of a batch of trials of `n_steps` steps (None: without end)."""
        cortex, dtype = circuit.cortex, weights.cortex.b.dtype
        noise, key = ((), None) if isinstance(noise, tuple) else begin(noise)
        predictor_trace: PyTree = ()
        if self.parts.eligibility is not None:
            predictor_trace = self.parts.eligibility.init(
                circuit, weights, Extent(n_trials, n_steps, self.parts.held), key
            )
        reads_input = self.parts.credit.predicting and circuit.predictor().reads_input
        return OnlineState(
            s=cortical.initial_state(cortex, weights.cortex, (n_trials,), dtype),
            cortical_trace=self.parts.trace.init(cortex, weights.cortex, n_trials, dtype, key),
            predictor_trace=predictor_trace,
            x=jnp.zeros((cortex.n_inputs, n_trials), dtype) if reads_input else (),
            noise=noise,
        )

    def step(
        self,
        circuit: Circuit,
        weights: Weights,
        state: OnlineState,
        single_step: SingleStep,
        step_size: Scalar | None = None,
    ) -> tuple[OnlineState, Weights, Float[Array, ""], Float[Array, "outputs batch"]]:
        """Return the state after a step, the step's share of the gradient, its loss (mean over trials), and yₜ."""
        cortex, s_tm1, credit = circuit.cortex, state.s, self.parts.credit
        noise, keys = (state.noise, None) if isinstance(state.noise, tuple) else draw(state.noise)
        a_t = cortical.activation(cortex, weights.cortex, s_tm1, single_step.x_t)
        s_t = cortex.combine(s_tm1, cortical.split(cortex, a_t))
        reroute = None
        if isinstance(credit, protocol.Rerouting):
            reroute = partial(credit.reroute, weights, key=keys and keys.credit)
        told = immediate_error(circuit, weights, s_t, single_step, reroute)
        credit_t = _step_credit(credit, circuit, weights, s_t, told.error_t, single_step)
        now = CorticalStep(s_tm1, a_t, single_step.x_t, keys and keys.trace)
        cortical_trace, cortical_share = self.parts.trace.step(
            cortex, weights.cortex, state.cortical_trace, now, credit_t
        )
        now = now._replace(key=keys and keys.predictor)
        predictor_trace, theta_share = _predictor_step(
            self.parts, circuit, weights, state, now, s_t, credit_t.bootstrap_t, single_step.left_t, step_size
        )
        gradient = whole_gradient(
            self.parts,
            circuit,
            weights,
            Weights(cortical_share, told.readout_gradient, theta_share),
            single_step.left_t,
        )
        x_t = () if isinstance(state.x, tuple) else single_step.x_t
        return OnlineState(s_t, cortical_trace, predictor_trace, x_t, noise), gradient, told.loss, told.y_t

    def learn(
        self,
        circuit: Circuit,
        weights: Weights,
        trials: Trials,
        noise: Noise,
    ) -> tuple[Weights, Outcome]:
        """Return the sum of the shares of all steps, weights held, and how the trials went."""

        def advance(
            carry: tuple[OnlineState, Weights], single_step: SingleStep
        ) -> tuple[tuple[OnlineState, Weights], tuple[Array, Array]]:
            state, total = carry
            state, gradient, loss, y_t = self.step(circuit, weights, state, single_step)
            return (state, jax.tree.map(jnp.add, total, gradient)), (loss, y_t)

        nothing = jax.tree.map(jnp.zeros_like, weights)
        carry = (self.init(circuit, weights, trials.n_trials, trials.n_steps, noise), nothing)
        (_, gradient), (losses, outputs) = jax.lax.scan(advance, carry, single_steps(trials))
        return gradient, online_outcome(circuit, trials, losses, outputs)


def _step_credit(
    credit: Credit,
    circuit: Circuit,
    weights: Weights,
    s_t: State,
    error_t: Float[Array, "units batch"],
    single_step: SingleStep,
) -> StepCredit:
    """Return the credit of a step, with ĝₜ = 0 from the trial's last step on."""
    prediction_t = jax.tree.map(jnp.zeros_like, s_t)
    if credit.predicting:
        predicted_t = circuit.predict(weights.cerebellum, s_t, single_step.x_t)
        prediction_t = jax.tree.map(lambda g: jnp.where(single_step.left_t > 0, g, 0), predicted_t)
    credit_t = protocol.now(credit, error_t, prediction_t)
    if credit.scope != "reward":
        return credit_t
    losses = partial(trial_losses, circuit, weights, single_step=single_step)
    return credit_t._replace(excess=lambda other: losses(s_t=other) - losses(s_t=s_t))


def _predictor_step(
    parts: RuleParts,
    circuit: Circuit,
    weights: Weights,
    state: OnlineState,
    now: CorticalStep,
    s_t: State,
    bootstrap_t: State,
    left_t: Int[Array, " batch"],
    step_size: Scalar | None,
) -> tuple[PyTree, PyTree]:
    """eₜ, and the share −δₜ₋₁ eₜ₋₁ of the gradient; both terms of δ use the present θ."""
    theta, credit, trace_tm1 = weights.cerebellum, parts.credit, state.predictor_trace
    if not isinstance(credit, protocol.Predicting) or parts.eligibility is None:
        return trace_tm1, no_change(theta)
    x_tm1 = now.x_t if isinstance(state.x, tuple) else state.x  # a predictor that reads no input ignores it
    pulled = td_error.pull(
        parts.td_error, circuit.cortex, weights.cortex, weights.olive, now.s_tm1, now.a_t, bootstrap_t
    )
    prediction_tm1 = jnp.concatenate(circuit.predict(theta, now.s_tm1, x_tm1))
    error = td_error.TDError(pulled, prediction_tm1, left_t >= 0)
    rates = Rates(credit.decay, step_size)
    share = parts.eligibility.share(circuit, weights, trace_tm1, error, rates)
    fibres_t = circuit.mossy_fibres(s_t, now.x_t)
    in_time = (tuple(component[None] for component in s_t), now.x_t[None], left_t[None])
    share = organized(circuit, theta, share, *in_time)
    return parts.eligibility.advance(circuit, weights, trace_tm1, now, fibres_t, rates), share
