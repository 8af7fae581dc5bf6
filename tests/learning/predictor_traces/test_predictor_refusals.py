"""Traces of the predictor and ways of its errors where they have no meaning: refused, with what to type instead."""

import math

import jax
import optax
import pytest
from tiny import BP1, CORTEX, N_INPUTS, N_UNITS, READOUT, Recall, recall, refused, sweep, train

import neuro_bpl as nb
from neuro_bpl.learning.predictor_traces import (
    DiagonalTrace,
    FullTrace,
    HistorySweep,
    LeakTrace,
    LowRankTrace,
    ProjectedTrace,
)
from neuro_bpl.learning.single_step import single_steps

pytestmark = pytest.mark.usefixtures("untyped")
KEY = jax.random.key(0)
LSTM = nb.LSTMCortex(N_INPUTS, N_UNITS)
INNER = nb.GranularPredictor(4, fan_in=2, plasticity="all")
TRUE = {"view": "true online", "update": "step"}
STREAM = nb.tasks.Stream(Recall(), n_in_a_row=3)
SGD = nb.Optimizer("sgd", 0.1)


def circuit(cerebellum=None, cortex=CORTEX, **parts):
    return nb.Circuit(cortex, READOUT, cerebellum or nb.LinearPredictor(), **parts)


def gradients(cerebellum=None, cortex=CORTEX, **how):
    """Of a rule that learns from TD errors, in a circuit that may not suit it."""
    here = circuit(cerebellum, cortex)
    return nb.bp_lambda(view="backward", **how).gradients(here, here.init(KEY), recall(KEY, 2), KEY)


def true_online(predictor=SGD, batch_size=1, **how):
    """Training with it."""
    optimizers = nb.Optimizers(predictor=predictor)
    return train(nb.bp_lambda(**TRUE, **how), batch_size=batch_size, seeds=1, optimizers=optimizers)


def first_step(n_trials=1, step_size=0.1):
    here, asked = circuit(), nb.bp_lambda(**TRUE)
    weights, single_step = here.init(KEY), jax.tree.map(lambda values: values[0], single_steps(recall(KEY, n_trials)))
    state = asked.init(here, weights, n_trials)
    return asked.step(here, weights, state, single_step, step_size=step_size)


# Of each, what is made, and words of the answer: the value, what is allowed, why, what to type.
WRONG = {
    "a trace in the forward view": (
        lambda: nb.bp_lambda(predictor_trace=FullTrace()),
        ("predictor_trace = .FullTrace", "None", "forward view .* carries no trace", "HistorySweep"),
    ),
    "a way of errors in the forward view": (
        lambda: nb.bp_lambda(td_error="diagonal"),
        ("td_error = .*diagonal", '"exact"', "no TD errors", 'view="backward"'),
    ),
    "both, of a rule that predicts nothing": (
        lambda: nb.LearningRule(nb.Immediate(), nb.ImmediateError(), "backward", "trial", FullTrace(), "random"),
        ("predictor_trace, td_error = .*FullTrace.*random", '"exact"', "ImmediateError"),
    ),
    "a diagonal trace and inner weights that learn": (
        lambda: gradients(INNER, predictor_trace=DiagonalTrace()),
        ("Circuit.cerebellum = Granular.*all", 'plasticity="output"', "diagonal trace is about one synapse"),
    ),
    "a leak trace and inner weights that learn": (
        lambda: gradients(nb.DeepPredictor((3,)), predictor_trace=LeakTrace()),
        ("Circuit.cerebellum = Deep.*all", 'plasticity="output"', "leak trace is about one synapse", "HistorySweep"),
    ),
    "a diagonal trace and a projection": (
        lambda: gradients(nb.ProjectedPredictor(nb.LinearPredictor(), 2), predictor_trace=DiagonalTrace()),
        ("Circuit.cerebellum = ProjectedPredictor", "LinearPredictor", "HistorySweep"),
    ),
    "a leak trace and gated units": (
        lambda: gradients(cortex=LSTM, predictor_trace=LeakTrace()),
        ("Circuit.cortex = LSTMCortex", "RateCortex", "no constant leak", "DiagonalTrace"),
    ),
    "a projected trace without a projection": (
        lambda: gradients(predictor_trace=ProjectedTrace()),
        ("Circuit.cerebellum = LinearPredictor", "ProjectedPredictor", "dimensions that the predictor sees"),
    ),
    "an olive that is missing": (
        lambda: gradients(td_error="random"),
        ("Circuit.olive = None", "OlivaryPathway", "the olive's own", "olive=OlivaryPathway"),
    ),
    "an olive that is missing and should learn": (
        lambda: train(nb.bp_lambda(view="backward", update="step", td_error="learned")),
        ("Circuit.olive = None", "OlivaryPathway", "the olive's own", "olive=OlivaryPathway"),
    ),
    "more dimensions than state variables": (
        lambda: circuit(nb.ProjectedPredictor(nb.LinearPredictor(), 4)).init(KEY),
        ("n_dimensions = 4", "1 <= n_dimensions <= 3", "orthogonal directions", "n_dimensions=3"),
    ),
    "more dimensions than an LSTM has": (
        lambda: circuit(nb.ProjectedPredictor(nb.LinearPredictor(), 7), LSTM).init(KEY),
        ("n_dimensions = 7", "1 <= n_dimensions <= 6", "orthogonal directions", "n_dimensions=6"),
    ),
    "true online at a trial's end": (
        lambda: nb.bp_lambda(view="true online"),
        ("true online.*trial", '"step" with Predicted', "changes of the predictor", 'update="step"'),
    ),
    "true online without a prediction": (
        lambda: nb.LearningRule(nb.Immediate(), nb.ImmediateError(), **TRUE),
        ("true online", "Predicted", "changes of the predictor", "bp_lambda"),
    ),
    "true online with windows": (
        lambda: nb.LearningRule(nb.Immediate(), nb.Predicted(0.0, window=3), **TRUE),
        ("true online", '"forward" with windows', "dni\\(3\\)"),
    ),
    "true online with a trace that drops something": (
        lambda: nb.bp_lambda(**TRUE, predictor_trace=DiagonalTrace()),
        ("predictor_trace = DiagonalTrace", "FullTrace.*HistorySweep", "this trace is not"),
    ),
    "true online with a random trace": (
        lambda: nb.bp_lambda(**TRUE, predictor_trace=LowRankTrace()),
        ("predictor_trace = LowRankTrace", "FullTrace.*HistorySweep", "this trace is not"),
    ),
    "true online with local errors": (
        lambda: nb.bp_lambda(**TRUE, td_error="random"),
        ("td_error = 'random'", '"exact"', "the Jacobian itself", 'view="backward"'),
    ),
    "true online with inner weights that learn": (
        lambda: nb.bp_lambda(**TRUE).init(here := circuit(INNER), here.init(KEY), 1, n_steps=4),
        ("Circuit.cerebellum = Granular.*all", 'plasticity="output"', "Dutch trace"),
    ),
    "true online for two trials": (
        lambda: true_online(batch_size=2),
        ("batch_size = 2", "1 with the true online view", "changes that the others make", "batch_size=1"),
    ),
    "true online for two trials, by hand": (
        lambda: first_step(n_trials=2),
        ("batch_size = 2", "1 with the true online view", "changes that the others make", "batch_size=1"),
    ),
    "true online without its step size, by hand": (
        lambda: first_step(step_size=None),
        ("step_size = None", "learning rate of the predictor", "holds the step size", "step_size=0.01"),
    ),
    "true online in one point of a sweep": (
        lambda: sweep({"discount": [0.9]}, nb.bp_lambda(**TRUE), optimizers=nb.Optimizers(predictor=SGD)),
        ("batch_size = 3", "1 with the true online view", "batch_size=1"),
    ),
    "gradients of true online": (
        lambda: nb.bp_lambda(**TRUE).gradients(circuit(), circuit().init(KEY), recall(KEY, 1)),
        ("true online", '"forward" or "backward"', "weights that change", "rule.step"),
    ),
    "a history without a horizon on a stream": (
        lambda: train(nb.bp_lambda(view="backward", update="step", predictor_trace=HistorySweep()), task=STREAM),
        ("horizon = None", "whole number of steps", "grow for ever", "HistorySweep\\(horizon=50\\)"),
    ),
    "a history without a horizon or an end, by hand": (
        lambda: nb.bp_lambda(view="backward", predictor_trace=HistorySweep()).init(circuit(), circuit().init(KEY), 2),
        ("horizon = None", "whole number of steps", "grow for ever", "HistorySweep\\(horizon=50\\)"),
    ),
    "a horizon of nothing": (lambda: HistorySweep(horizon=0), ("horizon = 0", "1 <= horizon", "horizon=1")),
    "a tolerance above one": (lambda: HistorySweep(tolerance=2), ("tolerance = 2", "tolerance <= 1")),
    "a rank of nothing": (lambda: LowRankTrace(rank=0), ("rank = 0", "1 <= rank", "rank=1")),
    "a low-rank trace without a key": (
        lambda: nb.bp_lambda(view="backward", predictor_trace=LowRankTrace()).gradients(
            circuit(), circuit().init(KEY), recall(KEY, 1)
        ),
        ("key = None", "a JAX key", "draws random numbers"),
    ),
}
for name, optimizer in {
    "Adam": nb.Optimizer("adam", 0.1),
    "clipping": nb.Optimizer("sgd", 0.1, clip_norm=1.0),
    "momentum": nb.Optimizer("sgd", 0.1, options={"momentum": 0.9}),
    "Optax": nb.OptaxOptimizer(optax.sgd(0.1)),
    "nothing": None,
}.items():
    WRONG[f"true online with {name}"] = (
        lambda optimizer=optimizer: true_online(optimizer),
        ("optimizers.predictor = ", 'Optimizer\\("sgd"', "holds the step size", "without clipping and momentum"),
    )


@pytest.mark.full
@pytest.mark.parametrize(("make", "words"), WRONG.values(), ids=WRONG)
def test_what_has_no_meaning_is_refused(make, words):
    with refused("Allowed: .", "Why: .", *words):
        make()


RIGHT = {
    "true online": true_online,
    "by hand": first_step,
    "gradients": lambda: gradients(predictor_trace=LowRankTrace()),
    "inner weights with a full trace": lambda: gradients(INNER, predictor_trace=FullTrace()),
    "gated units with a diagonal trace": lambda: gradients(cortex=LSTM, predictor_trace=DiagonalTrace()),
    "a hidden layer that is kept": lambda: gradients(
        nb.DeepPredictor((3,), plasticity="output"), predictor_trace=LeakTrace()
    ),
    "three dimensions of three": lambda: circuit(nb.ProjectedPredictor(nb.LinearPredictor(), 3)).init(KEY),
    "the least and the most": lambda: (HistorySweep(1, 1.0), HistorySweep(None, 0.0), LowRankTrace(1)),
    "an olive that nobody reads": lambda: BP1.gradients(
        here := circuit(olive=nb.OlivaryPathway()), here.init(KEY), recall(KEY, 2)
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("make", RIGHT.values(), ids=RIGHT)
def test_what_has_one_is_not(make):
    """Liveness: it is the one thing changed above that is refused."""
    make()


def test_the_time_constant_of_a_leak_trace_goes_from_nothing_to_for_ever():
    def tau(decay, tau=0.02, dt=0.01):
        return LeakTrace().time_constant(nb.RateCortex(2, 3, tau=tau, dt=dt), decay)

    assert tau(1.0, tau=0.01) == 0.0, "τ = dt: no leak, no memory"
    assert tau(0.0) == 0.0
    assert tau(1.0, tau=1e30) == math.inf
    assert tau(1.0) == pytest.approx(-0.01 / math.log(0.5))
    assert tau(0.9) == pytest.approx(-0.01 / math.log(0.45))
    assert tau(0.9) < tau(1.0), "control"
    # Over as many steps as it says, what is remembered falls to 1/e.
    assert (0.9 * (1 - 0.01 / 0.5)) ** (tau(0.9, tau=0.5) / 0.01) == pytest.approx(math.exp(-1))
