"""Training with every trace of the predictor and every way of TD errors: from seeds to a stored run and back."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_circuits import relative_error
from step_wise import distance
from tiny import CORTEX, READOUT, Recall, assert_identical, recall, train

import neuro_bpl as nb
from neuro_bpl.experiments.description import rebuild
from neuro_bpl.experiments.learner import Learner, learn_batch
from neuro_bpl.learning.predictor_traces import (
    DiagonalTrace,
    FullTrace,
    HistorySweep,
    LeakTrace,
    LowRankTrace,
    ProjectedTrace,
)

pytestmark = pytest.mark.full

OLIVE = {"olive": nb.OlivaryPathway()}
LINEAR = nb.Circuit(CORTEX, READOUT, nb.LinearPredictor(), **OLIVE)
PROJECTED = nb.Circuit(CORTEX, READOUT, nb.ProjectedPredictor(nb.LinearPredictor(), 2, "pca"), **OLIVE)
SGD = nb.Optimizers(*(nb.Optimizer("sgd", 0.05),) * 3)


def step_wise(predictor_trace=None, td_error="exact", view="backward", lambda_=0.8):
    return nb.bp_lambda(lambda_, 0.9, 0.7, view=view, update="step", predictor_trace=predictor_trace, td_error=td_error)


FORMS = {
    "BP(0.8) backward step-wise, history": (LINEAR, step_wise(HistorySweep())),
    "BP(0.8) backward step-wise, rank-2 trace, learned TD error": (LINEAR, step_wise(LowRankTrace(2), "learned")),
    "BP(0.8) backward step-wise, projected trace, random TD error": (PROJECTED, step_wise(ProjectedTrace(), "random")),
    "BP(0.8) backward step-wise, diagonal trace, diagonal TD error": (LINEAR, step_wise(DiagonalTrace(), "diagonal")),
    "BP(0.8) backward step-wise, leak trace": (LINEAR, step_wise(LeakTrace())),
    "BP(0.8) true online step-wise, full trace": (LINEAR, step_wise(FullTrace(), view="true online")),
}


def run_of(name, **arguments):
    circuit, rule = FORMS[name]
    batch = {"batch_size": 1} if rule.view == "true online" else {}
    asked = {"seeds": 1, "n_updates": 6, "optimizers": SGD, "precision": "float64", **batch, **arguments}
    return train(rule, circuit, **asked)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_trains_and_comes_back_from_disk(name, tmp_path):
    circuit, rule = FORMS[name]
    run = run_of(name, output=tmp_path / "run")
    assert rule.name == name
    assert np.isfinite(run["training"]["loss"].values).all()
    assert_identical(run_of(name), run)

    loaded, weights = nb.load(tmp_path / "run", seed=0)
    _, born = nb.load(tmp_path / "run", seed=0, snapshot=0)
    assert loaded == circuit
    moved = {part: distance(getattr(born, part), getattr(weights, part)) > 1e-6 for part in nb.Weights._fields[:3]}
    assert moved == dict.fromkeys(moved, True)
    assert (distance(born.olive, weights.olive) > 1e-6) == (rule.td_error == "learned")
    (point,) = nb.statuses(nb.open_run(tmp_path / "run"))
    again = rebuild(point["run"]["rule"], types=[nb.LearningRule])
    assert again == rule
    assert (again.predictor_trace, again.td_error, again.view) == (rule.predictor_trace, rule.td_error, rule.view)


def test_other_noise_and_other_traces_give_other_numbers():
    history, random, _, _, leak, _ = FORMS

    def loss(name, **arguments):
        return run_of(name, **arguments)["training"]["loss"].values

    other_noise = {"seeds": nb.Seeds((0,), (0,), (1,))}
    assert (loss(random, **other_noise) != loss(random)).any(), "a random trace draws from the noise"
    assert (loss(history, **other_noise) == loss(history)).all(), "Recall has none of its own"
    assert (loss(history) != loss(leak)).any()


# -------------------------------------------------------------------------------------------------------------- names


def test_names_say_all_that_tells_rules_apart():
    traces = [None, FullTrace(), HistorySweep(), HistorySweep(5), HistorySweep(6), HistorySweep(tolerance=0.1)]
    traces += [HistorySweep(5, 0.1), HistorySweep(tolerance=1), LowRankTrace(), LowRankTrace(3), ProjectedTrace()]
    traces += [DiagonalTrace(), LeakTrace()]
    ways = itertools.product(traces, ("exact", "diagonal", "random", "learned"), ("trial", "step"))
    rules = [
        nb.bp_lambda(0.8, view="backward", update=update, predictor_trace=trace, td_error=td_error)
        for trace, td_error, update in ways
    ]
    rules += [nb.bp_lambda(0.8, view="true online", update="step", predictor_trace=trace) for trace in traces[:4]]
    names = [rule.name for rule in (*rules, nb.bp_lambda(0.8))]
    assert len(set(names)) == len(names)
    expected = {
        HistorySweep(5): "BP(0.8) backward, history of 5",
        HistorySweep(tolerance=0.1): "BP(0.8) backward, history to 0.1",
        HistorySweep(5, 0.1): "BP(0.8) backward, history of 5 to 0.1",
        LowRankTrace(): "BP(0.8) backward, low-rank trace",
        None: "BP(0.8) backward",
    }
    for trace, name in expected.items():
        assert nb.bp_lambda(0.8, view="backward", predictor_trace=trace).name == name


# ------------------------------------------------------------------------------------------------------------ streams

STREAM = nb.tasks.Stream(Recall(), n_in_a_row=3)
OF_5 = step_wise(HistorySweep(5))


@partial(jax.jit, static_argnames="rule")
def endless(rule, learner, batch):
    return learn_batch(LINEAR, rule, SGD, learner, batch, jax.random.key(1), endless=True)[0]


def after(batches, rule=OF_5, carried=True):
    """Weights after trials that follow one another."""
    weights = LINEAR.init(jax.random.key(2))
    beginning = rule.init(LINEAR, weights, batches[0].n_trials, jax.random.key(1))
    learner = Learner(weights, SGD.transform(LINEAR, weights).init(weights), jnp.int32(-1), (), beginning)
    for batch in batches:
        learner = endless(rule, learner if carried else learner._replace(stream=beginning), batch)
    return learner.weights


def joined(batches):
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *batches)


def test_a_stream_carries_the_history_from_batch_to_batch():
    """The horizon is longer than a batch: a history that began anew at a boundary would lack what came before."""
    batches = [recall(key, 3) for key in jax.random.split(jax.random.key(3), 4)]
    whole = after([joined(batches)])
    assert relative_error(after(batches), whole) <= 1e-12
    assert distance(after(batches, carried=False), whole) > 1e-6
    assert distance(after(batches, step_wise(HistorySweep(2))), whole) > 1e-6


def test_training_on_a_stream_with_a_horizon_learns_whatever_the_chunks():
    def run(n_evaluations):
        return train(OF_5, LINEAR, task=STREAM, seeds=1, n_updates=60, optimizers=SGD, n_evaluations=n_evaluations)

    once, often = run(1), run(4)
    np.testing.assert_array_equal(once["training"]["loss"].values, often["training"]["loss"].values)
    loss = often["evaluation"]["loss"].isel(seed=0, split=0).values
    assert loss[-1] < 0.9 * loss[0]
