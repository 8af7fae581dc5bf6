"""What a run records, by name, with dims, units and cadence.

Quantities of learning are recorded at every update. Quantities of the circuit are computed on the task's fixed probe
batch, with weights held: at every evaluation, or (large ones) at every snapshot.
"""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl import cortex as cortical
from neuro_bpl import episode, metrics, td
from neuro_bpl.algorithms import bptt
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.cortex import CorticalWeights
from neuro_bpl.credit import protocol
from neuro_bpl.episode import Episode, StateInTime
from neuro_bpl.parameters import nearest, refusal
from neuro_bpl.rules import LearningRule
from neuro_bpl.trials import Trials

UPDATE, EVALUATION, SNAPSHOT = "every update", "every evaluation", "every snapshot"


class Probe(NamedTuple):
    """One network on the probe batch: what a probed quantity is computed from.

    `exact` is Gₜ, the true future gradient, at the scale of a training batch.
    """

    circuit: Circuit
    rule: LearningRule
    weights: Weights
    trials: Trials
    seen: Episode
    exact: StateInTime


class Quantity(NamedTuple):
    """A recordable quantity.

    Its group in the run, its dims beside `seed`, unit (`{loss}` stands for the unit of the loss), name in words and
    cadence; what computes it on the probe batch; and what it needs of the rule's credit or trace.
    """

    group: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    cadence: str
    of: Callable[[Probe], Array] | None = None
    needs: tuple[str, ...] = ()


def _flat(s: StateInTime) -> Float[Array, "state time batch"]:
    """Components of the state in one vector."""
    return jnp.concatenate([jnp.moveaxis(component, 1, 0) for component in s])


def _predicted(probe: Probe) -> Float[Array, "state time batch"]:
    predicted, exact = _flat(probe.seen.predictions), _flat(probe.exact)
    return jnp.broadcast_to(predicted, exact.shape)


def predicted_credit(rule: LearningRule) -> Any:
    """The credit of a rule that learns from a prediction."""
    return rule.credit


def _td_error(probe: Probe) -> Float[Array, "state time batch"]:
    """δₜ = (lₜ₊₁ + γ ĝₜ₊₁) Jₜ₊₁ − ĝₜ, docs/theory.md (6)."""
    discount = predicted_credit(probe.rule).discount

    def mix(prediction_t: tuple, swept_t: tuple, left_t: Array) -> tuple:
        return td.lambda_mix(prediction_t, swept_t, discount, 0.0)

    return _flat(td.future(probe.circuit, probe.weights, probe.seen, mix)) - _predicted(probe)


def _lambda_target(probe: Probe) -> Float[Array, "state time batch"]:
    """G^λₜ, docs/theory.md (5)."""
    credit = predicted_credit(probe.rule).assign(probe.circuit, probe.weights, probe.seen)
    return _flat(credit.prediction_errors) + _predicted(probe)


def _alignment(probe: Probe) -> Float[Array, " time"]:
    """Cosine of ĝₜ with Gₜ, mean over the trials where both are non-zero; NaN at steps without any."""
    return jnp.nanmean(metrics.cosine(_predicted(probe), _flat(probe.exact)), axis=-1)


def _td_error_size(probe: Probe) -> Float[Array, " time"]:
    """‖δₜ‖, root mean square over trials."""
    return jnp.sqrt((_td_error(probe) ** 2).sum(0).mean(-1))


def _weight_alignment(probe: Probe) -> Float[Array, ""]:
    """Cosine of the rule's gradient of the cortical weights with BPTT's; NaN where one of them is zero."""
    own, exact = (jax.tree.leaves(_cortical_gradient(probe, rule)._replace(s_0=None)) for rule in (probe.rule, bptt()))
    return metrics.cosine(*(jnp.concatenate([leaf.ravel() for leaf in leaves]) for leaves in (own, exact)))


def _cortical_gradient(probe: Probe, rule: LearningRule) -> CorticalWeights:
    """A rule's gradient of the task on the probe batch, at any scale; a rule that draws noise draws the same always."""
    if rule.credit.scope == "future":
        said = protocol.assign(rule.credit, probe.circuit, probe.weights, probe.seen)
        return rule.cortical_gradient(probe.circuit, probe.weights, probe.seen, said)
    free = dataclasses.replace(probe.circuit.regularization, weights=0.0)
    circuit = dataclasses.replace(probe.circuit, regularization=free)
    return rule.gradients(circuit, probe.weights, probe.trials, jax.random.key(0)).cortex


def _outputs(probe: Probe) -> Float[Array, "trial time output"]:
    rates = jnp.moveaxis(probe.seen.trajectory.s_t[0], 1, 0)
    return probe.circuit.readout.outputs(probe.weights.readout, rates).T


def _cortical_trace(probe: Probe) -> Float[Array, "trial time state gate presynaptic"]:
    trace: Any = probe.rule.trace
    traces = trace.eligibility(probe.circuit.cortex, probe.weights.cortex, probe.seen)
    in_time = jnp.moveaxis(traces, (-1, 0), (0, 1))  # (trial, time, component, gate, unit, presynaptic)
    by_unit = in_time.swapaxes(3, 4)
    return by_unit.reshape(*by_unit.shape[:2], -1, *by_unit.shape[4:])


def _predictor_trace(probe: Probe) -> Float[Array, "trial time state"]:
    """‖eₜ‖ over the weights of the predictor, docs/theory.md (9)."""
    circuit, theta, path = probe.circuit, probe.weights.cerebellum, probe.seen.trajectory
    predictor, decay = circuit.predictor(), predicted_credit(probe.rule).decay

    def advance(trace_tm1: PyTree, at_t: tuple) -> tuple[PyTree, Float[Array, "trial state"]]:
        s_tm1, s_t, x_t = at_t
        jacobians = jax.vmap(partial(cortical.jacobian, circuit.cortex, probe.weights.cortex), -1)(s_tm1, x_t)
        fibres = circuit.mossy_fibres(s_t, x_t)
        slopes = jax.vmap(partial(td.predictor_slope, predictor, theta), -1)(fibres)
        trace = jax.vmap(td.predictor_trace, (0, 0, 0, None))(trace_tm1, jacobians, slopes, decay)
        squares = [(e**2).sum(tuple(range(2, e.ndim))) for e in trace]
        return trace, jnp.sqrt(sum(squares, start=jnp.zeros_like(squares[0])))

    n_trials, n_state = probe.trials.n_trials, cortical.n_state(circuit.cortex)
    nothing = td.no_trace(predictor, theta, n_trials, n_state)
    return jax.lax.scan(advance, nothing, (path.s_tm1, path.s_t, probe.seen.inputs))[1].swapaxes(0, 1)


def _granule(probe: Probe) -> Float[Array, "trial time granule"]:
    s = tuple(jnp.moveaxis(component, 1, 0) for component in probe.seen.trajectory.s_t)
    fibres = probe.circuit.mossy_fibres(s, jnp.moveaxis(probe.seen.inputs, 1, 0))
    predictor: Any = probe.circuit.predictor()
    return predictor.granule(probe.weights.cerebellum, fibres).T


QUANTITIES: dict[str, Quantity] = {
    "loss": Quantity("training", ("update",), "{loss}", "loss, mean over trials", UPDATE),
    "accuracy": Quantity("training", ("update",), "1", "fraction of targets answered right", UPDATE),
    "weight_change": Quantity("training", ("update", "part"), "1", "length of the change of all weights", UPDATE),
    "gradient_alignment": Quantity(
        "gradients",
        ("update", "time"),
        "1",
        "cosine of the predicted with the true future gradient, mean over probe trials",
        EVALUATION,
        _alignment,
        ("predicting",),
    ),
    "td_error_size": Quantity(
        "gradients",
        ("update", "time"),
        "{loss} per unit of state",
        "length of the TD error, root mean square over probe trials",
        EVALUATION,
        _td_error_size,
        ("predicting", "discount"),
    ),
    "weight_alignment": Quantity(
        "gradients",
        ("update",),
        "1",
        "cosine of the rule's gradient of the cortical weights with BPTT's, on the probe batch",
        EVALUATION,
        _weight_alignment,
    ),
    "rates": Quantity(
        "activity",
        ("snapshot", "trial", "time", "unit"),
        "1",
        "cortical firing rate",
        SNAPSHOT,
        lambda probe: _flat(probe.seen.trajectory.s_t[:1]).T,
    ),
    "cortical_state": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "1",
        "cortical state, rates first",
        SNAPSHOT,
        lambda probe: _flat(probe.seen.trajectory.s_t).T,
    ),
    "outputs": Quantity("activity", ("snapshot", "trial", "time", "output"), "1", "readout", SNAPSHOT, _outputs),
    "granule_rates": Quantity(
        "activity", ("snapshot", "trial", "time", "granule"), "1", "granule cell activity", SNAPSHOT, _granule
    ),
    "predicted_gradient": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "synthetic gradient: Purkinje and nuclear output, of the mean loss of a training batch",
        SNAPSHOT,
        lambda probe: _predicted(probe).T,
        ("predicting",),
    ),
    "true_gradient": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "true future gradient of the mean loss of a training batch",
        SNAPSHOT,
        lambda probe: _flat(probe.exact).T,
    ),
    "lambda_target": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "what the predictor learns from: the λ-target",
        SNAPSHOT,
        lambda probe: _lambda_target(probe).T,
        ("predicting",),
    ),
    "td_error": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "TD error, carried by climbing fibres",
        SNAPSHOT,
        lambda probe: _td_error(probe).T,
        ("predicting", "discount"),
    ),
    "cortical_trace": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state", "gate", "presynaptic"),
        "1",
        "cortical eligibility trace of a unit's synapses from inputs, rates and bias",
        SNAPSHOT,
        _cortical_trace,
        ("eligibility",),
    ),
    "predictor_trace": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "1",
        "predictor's eligibility trace, length over all its weights",
        SNAPSHOT,
        _predictor_trace,
        ("predicting", "decay"),
    ),
    "weights": Quantity("weights", ("snapshot",), "1", "every weight under its own name", SNAPSHOT),
}
ALWAYS = ("loss", "accuracy", "weights")
LOSS_UNITS = {"squared_error": "squared output", "softmax_cross_entropy": "nat", "sigmoid_cross_entropy": "nat"}


def units(name: str, circuit: Circuit) -> str:
    """Unit of a quantity in a circuit: "nat" for cross-entropies."""
    return QUANTITIES[name].units.format(loss=LOSS_UNITS[circuit.readout.loss])


def check_names(names: Iterable[str], circuit: Circuit, rule: LearningRule) -> tuple[str, ...]:
    """The names asked for and those always recorded, in the order of the list.

    Raises
    ------
    ValueError
        If a name is unknown (it names the nearest one), or needs a predictor that circuit or rule lack.
    """
    _check_list(names)
    asked = set(ALWAYS)
    for name in names:
        if not isinstance(name, str) or name not in QUANTITIES:
            raise refusal(
                "record",
                name,
                ", ".join(QUANTITIES),
                "only what is listed has dims and units",
                f'record=["{nearest(str(name), list(QUANTITIES))}"]',
            )
        if not has(rule, name):
            raise refusal(
                "record",
                name,
                ", ".join(known for known in QUANTITIES if has(rule, known)),
                f"{rule.name} has none: it needs {' and '.join(QUANTITIES[name].needs)}",
                'record=["true_gradient"], or train with bp_lambda()',
            )
        if name == "granule_rates" and not hasattr(circuit.predictor(), "granule"):
            raise refusal(
                "record",
                name,
                "names of populations that the circuit has",
                f"{type(circuit.predictor()).__name__} has no granule cells",
                "Circuit(cortex, readout, GranularPredictor(n_granule=300))",
            )
        asked.add(name)
    return tuple(name for name in QUANTITIES if name in asked)


def has(rule: LearningRule, name: str) -> bool:
    """Whether a rule has what a quantity needs."""
    parts = (rule.credit, rule.trace)
    return all(any(getattr(part, needed, False) is not False for part in parts) for needed in QUANTITIES[name].needs)


def applicable(names: Iterable[str], rule: LearningRule) -> tuple[str, ...]:
    """Those of the names that a rule has: without a prediction there is nothing to record of it."""
    _check_list(names)
    return tuple(name for name in names if not isinstance(name, str) or name not in QUANTITIES or has(rule, name))


def _check_list(names: Iterable[str]) -> None:
    if not isinstance(names, (list, tuple)):
        raise refusal("record", names, "a list of names", "each name is a quantity to record", 'record=["rates"]')


def probed(names: Iterable[str], *cadences: str) -> tuple[str, ...]:
    """Those of the names that are computed on the probe batch, at these cadences."""
    return tuple(name for name in names if QUANTITIES[name].of is not None and QUANTITIES[name].cadence in cadences)


def on_probe(
    circuit: Circuit, rule: LearningRule, weights: Weights, trials: Trials, batch_size: int, names: tuple[str, ...]
) -> dict[str, Array]:
    """Quantities of one network on the probe batch, weights held.

    The predictor has learnt gradients of the mean loss of a training batch, 1/batch_size of those of a trial; errors of
    the probe batch, whatever its size, are brought to the same scale.
    """
    seen = episode.play(circuit, weights, trials, predicting=rule.credit.predicting)
    seen = seen._replace(errors=seen.errors * (trials.n_trials / batch_size))
    exact = td.future(circuit, weights, seen, lambda prediction, swept, left: swept)
    probe = Probe(circuit, rule, weights, trials, seen, exact)
    computed = {name: QUANTITIES[name].of for name in names}
    return {name: of(probe) for name, of in computed.items() if of is not None}
