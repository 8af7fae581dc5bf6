"""Probing: quantities of one network on the task's fixed probe batch, with weights held."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.circuit.regularization import Regularization
from neuro_bpl.learning import gradient_measures, lambda_targets, whole_trial
from neuro_bpl.learning.algorithms import bp_lambda, bptt
from neuro_bpl.learning.credit import protocol
from neuro_bpl.learning.forward_view import swept_gradient
from neuro_bpl.learning.predictor_traces import Extent, FullTrace
from neuro_bpl.learning.predictor_traces.full import predictor_slope, pushed
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.learning.td_error import delta
from neuro_bpl.learning.whole_trial import StateInTime, WholeTrial
from neuro_bpl.trials import Trials

DRAWS = 8  # gradients drawn for each trial by rules that draw random numbers


class Probe(NamedTuple):
    """One network on the probe batch, from which all probed quantities are computed.

    `exact` is Gₜ, the true future gradient, at the scale of a training batch of `batch_size` trials.
    """

    circuit: Circuit
    rule: LearningRule
    weights: Weights
    trials: Trials
    seen: WholeTrial
    exact: StateInTime
    batch_size: int


class Updates(NamedTuple):
    """Agreement of the predictor's update by a rule with its update towards the true future gradient."""

    alignment: Float[Array, ""]
    bias_squared: Float[Array, ""]
    variance: Float[Array, ""]


def on(circuit: Circuit, rule: LearningRule, weights: Weights, trials: Trials, batch_size: int) -> Probe:
    """Run one network on the probe batch, and return it with the true future gradient.

    The predictor has learnt gradients of the mean loss of a training batch, 1/batch_size of those of a trial; errors of
    the probe batch, whatever its size, are brought to the same scale.
    """
    seen = whole_trial.play(circuit, weights, trials, predicting=rule.credit.predicting)
    seen = seen._replace(errors=seen.errors * (trials.n_trials / batch_size))
    exact = lambda_targets.future(circuit, weights, seen, lambda prediction, swept, left: swept)
    return Probe(circuit, rule, weights, trials, seen, exact, batch_size)


def flat(s: StateInTime) -> Float[Array, "state time batch"]:
    """Return the components of the state in one vector."""
    return jnp.concatenate([jnp.moveaxis(component, 1, 0) for component in s])


def predicted(probe: Probe) -> Float[Array, "state time batch"]:
    """Return ĝₜ."""
    predicted, exact = flat(probe.seen.predictions), flat(probe.exact)
    return jnp.broadcast_to(predicted, exact.shape)


def predicted_credit(rule: LearningRule) -> Any:
    """Return the credit of a rule that learns from a prediction."""
    return rule.credit


def td_error(probe: Probe) -> Float[Array, "state time batch"]:
    """Return δₜ = (lₜ₊₁ + γ ĝₜ₊₁) Jₜ₊₁ − ĝₜ, docs/theory.md (6)."""
    discount = predicted_credit(probe.rule).discount

    def mix(prediction_t: tuple, swept_t: tuple, left_t: Array) -> tuple:
        return lambda_targets.lambda_mix(prediction_t, swept_t, discount, 0.0)

    return delta(flat(lambda_targets.future(probe.circuit, probe.weights, probe.seen, mix)), predicted(probe))


def lambda_target(probe: Probe) -> Float[Array, "state time batch"]:
    """Return G^λₜ, docs/theory.md (5)."""
    credit = predicted_credit(probe.rule).assign(probe.circuit, probe.weights, probe.seen)
    return flat(credit.prediction_errors) + predicted(probe)


def alignment(probe: Probe) -> Float[Array, " time"]:
    """Return the cosine of ĝₜ with Gₜ, mean over the trials where both are non-zero; NaN at steps without any."""
    return jnp.nanmean(gradient_measures.cosine(predicted(probe), flat(probe.exact)), axis=-1)


def td_error_size(probe: Probe) -> Float[Array, " time"]:
    """Return ‖δₜ‖, root mean square over trials."""
    return jnp.sqrt((td_error(probe) ** 2).sum(0).mean(-1))


def weight_alignment(probe: Probe) -> Float[Array, ""]:
    """Return the cosine of the rule's gradient of the cortical weights with BPTT's; NaN where one is zero."""
    own, exact = (jax.tree.leaves(_cortical_gradient(probe, rule)._replace(s_0=None)) for rule in (probe.rule, bptt()))
    return gradient_measures.cosine(*(jnp.concatenate([leaf.ravel() for leaf in leaves]) for leaves in (own, exact)))


def _cortical_gradient(probe: Probe, rule: LearningRule) -> CorticalWeights:
    """Return a rule's gradient of the task loss on the probe batch, up to scale, with a fixed key for noise."""
    if rule.credit.scope == "future":
        said = protocol.assign(rule.credit, probe.circuit, probe.weights, probe.seen)
        return swept_gradient(rule.trace, probe.circuit, probe.weights, probe.seen, said)
    free = dataclasses.replace(probe.circuit.regularization, weights=0.0)
    circuit = dataclasses.replace(probe.circuit, regularization=free)
    return rule.gradients(circuit, probe.weights, probe.trials, jax.random.key(0)).cortex


def predictor_updates(probe: Probe) -> Updates:
    """Return cosine, squared bias and variance of the predictor's single-trial updates; docs/theory.md (29).

    The reference is the update of BP(1) without discount, whose target is Gₜ. Rules that draw random numbers draw
    several times for each trial, and the squared bias is less what so many draws leave of the noise by chance.
    """
    rule = dataclasses.replace(probe.rule, view="backward") if probe.rule.view == "true online" else probe.rule
    rule = dataclasses.replace(rule, update="trial")
    towards_exact = _trial_updates(probe, bp_lambda(1.0, 1.0), 1).mean((0, 1))
    own = _trial_updates(probe, rule, DRAWS if rule.stochastic else 1)
    scale, mean = gradient_measures.length(towards_exact), own.mean((0, 1))
    noise = (((own - own.mean(0)) / scale) ** 2).sum() / max(own.shape[0] - 1, 1) / own.shape[1]
    return Updates(
        alignment=gradient_measures.cosine(mean, towards_exact),
        bias_squared=(gradient_measures.length(mean - towards_exact) / scale) ** 2
        - noise / (own.shape[0] * own.shape[1]),
        variance=(((own - mean) / scale) ** 2).sum(-1).mean(),
    )


def _trial_updates(probe: Probe, rule: LearningRule, draws: int) -> Float[Array, "draw trial weight"]:
    """Return minus the change of the predictor by each trial alone, at the scale of a training batch."""
    trials, circuit = probe.trials, dataclasses.replace(probe.circuit, regularization=Regularization())
    scaled = dataclasses.replace(trials, mask=trials.weights().T / probe.batch_size)

    def one(trial: Trials, key: Key[Array, ""]) -> Float[Array, " weight"]:
        alone = jax.tree.map(lambda array: array[None], trial)
        theta = rule.gradients(circuit, probe.weights, alone, key).cerebellum
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(theta)])

    keys = jax.random.split(jax.random.key(0), (draws, trials.n_trials))
    return jax.lax.map(lambda keys: jax.vmap(one)(scaled, keys), keys)


def outputs(probe: Probe) -> Float[Array, "trial time output"]:
    """Return yₜ at every step."""
    rates = jnp.moveaxis(probe.seen.trajectory.s_t[0], 1, 0)
    return probe.circuit.readout.outputs(probe.weights.readout, rates).T


def cortical_trace(probe: Probe) -> Float[Array, "trial time state gate presynaptic"]:
    """Return εₜ of every synapse, zero where a gate has none."""
    trace: Any = probe.rule.trace
    traces = trace.eligibility(probe.circuit.cortex, probe.weights.cortex, probe.seen)
    in_time = jnp.moveaxis(traces, (-1, 0), (0, 1))  # (trial, time, component, gate, unit, presynaptic)
    by_unit = in_time.swapaxes(3, 4)
    return by_unit.reshape(*by_unit.shape[:2], -1, *by_unit.shape[4:])


def predictor_trace(probe: Probe) -> Float[Array, "trial time state"]:
    """Return ‖eₜ‖ of the full trace over the weights of the predictor, docs/theory.md (9)."""
    circuit, theta, path = probe.circuit, probe.weights.cerebellum, probe.seen.trajectory
    predictor, decay = circuit.predictor(), predicted_credit(probe.rule).decay

    def advance(trace_tm1: PyTree, at_t: tuple) -> tuple[PyTree, Float[Array, "trial state"]]:
        s_tm1, s_t, x_t = at_t
        jacobians = jax.vmap(partial(jacobian.jacobian, circuit.cortex, probe.weights.cortex), -1)(s_tm1, x_t)
        fibres = circuit.mossy_fibres(s_t, x_t)
        slopes = jax.vmap(partial(predictor_slope, predictor, theta), -1)(fibres)
        trace = jax.vmap(pushed, (0, 0, 0, None))(trace_tm1, jacobians, slopes, decay)
        squares = [(e**2).sum(tuple(range(2, e.ndim))) for e in trace]
        return trace, jnp.sqrt(sum(squares, start=jnp.zeros_like(squares[0])))

    nothing = FullTrace().init(circuit, probe.weights, Extent(probe.trials.n_trials, None, True), None)
    return jax.lax.scan(advance, nothing, (path.s_tm1, path.s_t, probe.seen.inputs))[1].swapaxes(0, 1)


def granule(probe: Probe) -> Float[Array, "trial time granule"]:
    """Return the activity of granule cells."""
    s = tuple(jnp.moveaxis(component, 1, 0) for component in probe.seen.trajectory.s_t)
    fibres = probe.circuit.mossy_fibres(s, jnp.moveaxis(probe.seen.inputs, 1, 0))
    predictor: Any = probe.circuit.predictor()
    return predictor.granule(probe.weights.cerebellum, fibres).T


def rates(probe: Probe) -> Float[Array, "trial time unit"]:
    """Return the firing rates."""
    return flat(probe.seen.trajectory.s_t[:1]).T


def cortical_state(probe: Probe) -> Float[Array, "trial time state"]:
    """Return all components of the state, rates first."""
    return flat(probe.seen.trajectory.s_t).T


COMPUTED: dict[str, Callable[[Probe], Array]] = {
    "gradient_alignment": alignment,
    "td_error_size": td_error_size,
    "weight_alignment": weight_alignment,
    "update_alignment": lambda probe: predictor_updates(probe).alignment,
    "update_bias": lambda probe: predictor_updates(probe).bias_squared,
    "update_variance": lambda probe: predictor_updates(probe).variance,
    "rates": rates,
    "cortical_state": cortical_state,
    "outputs": outputs,
    "granule_rates": granule,
    "predicted_gradient": lambda probe: predicted(probe).T,
    "true_gradient": lambda probe: flat(probe.exact).T,
    "lambda_target": lambda probe: lambda_target(probe).T,
    "td_error": lambda probe: td_error(probe).T,
    "cortical_trace": cortical_trace,
    "predictor_trace": predictor_trace,
}
"""What computes each quantity that is looked at on the probe batch."""
