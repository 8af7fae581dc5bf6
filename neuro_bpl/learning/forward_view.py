"""The forward view: learning when the trial is over, the predictor from λ-targets."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.circuit.outcome import Outcome, accuracy
from neuro_bpl.learning.credit import Assignment, protocol
from neuro_bpl.learning.random_draws import Noise, rerouting
from neuro_bpl.learning.rule_parts import RuleParts, whole_gradient
from neuro_bpl.learning.traces import Sweeping, Trace
from neuro_bpl.learning.whole_trial import WholeTrial, cortical_gradient, play, prediction_gradient
from neuro_bpl.trials import Trials


@dataclass(frozen=True)
class ForwardView:
    """Credit of every step assigned when the trial is over, docs/theory.md (4), (5), (8)."""

    parts: RuleParts

    def learn(self, circuit: Circuit, weights: Weights, trials: Trials, noise: Noise) -> tuple[Weights, Outcome]:
        """Return the gradient of a batch of trials, weights held, and how the trials went."""
        credit, theta = self.parts.credit, weights.cerebellum
        reroute = rerouting(credit, weights, noise, trials.n_steps)
        trial = play(circuit, weights, trials, credit.predicting, reroute)
        assigned = protocol.assign(credit, circuit, weights, trial)
        gradient = Weights(
            swept_gradient(self.parts.trace, circuit, weights, trial, assigned),
            trial.readout_gradient,
            jax.tree.map(jnp.zeros_like, theta)
            if assigned.prediction_errors is None
            else prediction_gradient(circuit, theta, trial, assigned.prediction_errors),
        )
        gradient = whole_gradient(self.parts, circuit, weights, gradient, trial.steps_left)
        return gradient, Outcome(trial.loss, accuracy(circuit.readout, trial.outputs, trials))


def swept_gradient(
    trace: Trace, circuit: Circuit, weights: Weights, trial: WholeTrial, credit: Assignment
) -> CorticalWeights:
    """Return the gradient of the cortical weights from credit over a whole trial, swept backwards in time.

    Raises
    ------
    TypeError
        If the trace is carried forward in time.
    """
    if not isinstance(trace, Sweeping):
        raise TypeError(f"{trace} is carried forward in time")
    drives, credit_0 = trace.drives(circuit, weights, trial, credit)
    s_0 = jacobian.initial_state_gradient(weights.cortex, credit_0)
    return cortical_gradient(circuit.cortex, drives, trial)._replace(s_0=s_0)
