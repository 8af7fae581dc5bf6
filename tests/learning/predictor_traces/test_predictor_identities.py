"""Exact equalities of learning step by step: the history sweep is the full trace, true online learning online λ-SG."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import oracle_predictor as op
import pytest
from random_circuits import N_STEPS, relative_error
from step_wise import CELLS, DISCOUNT, LAMBDA, RATES, distance, of_oracle, of_package, rule, setting, trials

import neuro_bpl as nb
from neuro_bpl.learning.predictor_traces import FullTrace, HistorySweep

EXACT = 1e-12
FROZEN = (0.0, 0.0, RATES[2])

# ---------------------------------------------------------------------------- the history sweep is the full trace

SWEPT = [
    ("rate", "linear"),
    ("rate", "granular all"),
    ("rate", "deep"),
    pytest.param("rate", nb.ProjectedPredictor(nb.LinearPredictor(), 3, "learned"), id="rate-learned projection"),
    ("LSTM", "linear"),
]


@pytest.mark.parametrize(("cell", "predictor"), SWEPT)
def test_a_history_as_long_as_the_trial_is_the_full_trace_while_all_weights_change(cell, predictor):
    circuit, weights = setting(cell, predictor)

    def learnt(trace, lambda_=LAMBDA):
        return of_package(circuit, rule(trace, lambda_=lambda_), weights, trials())

    wanted = learnt(FullTrace())
    assert relative_error(learnt(HistorySweep()), wanted) <= EXACT
    for part in ("cortex", "readout", "cerebellum"):
        assert distance(getattr(weights, part), getattr(wanted, part)) > 1e-2, part
    assert distance(learnt(HistorySweep(), 0.9 * LAMBDA), wanted) > 1e-6


def test_a_horizon_is_exact_from_one_step_less_than_the_trial_on():
    """The last prediction, that of step T, is zero and judged by nobody: T − 1 steps are all there are."""
    circuit, weights = setting("rate", "linear")
    wanted = of_package(circuit, rule(FullTrace()), weights, trials())
    for horizon, same in ((N_STEPS + 2, True), (N_STEPS, True), (N_STEPS - 1, True), (N_STEPS - 2, False)):
        got = of_package(circuit, rule(HistorySweep(horizon)), weights, trials())
        assert (distance(got, wanted) <= EXACT) == same, horizon
    assert distance(got, wanted) > 1e-6


# ------------------------------------------------------------------------------------- true online is online λ-SG


class LambdaSG(op.Learner):
    """Online λ-SG by its definition: after every step, all targets known by then are learnt anew from the first θ."""

    def __init__(self, n, theta, alpha, lambda_):
        super().__init__(op.Linear(n), theta, alpha, DISCOUNT, [None])
        self.n, self.first, self.lambda_, self.steps = n, theta, lambda_, [None]

    def step(self, steps):
        self.steps = [*self.steps, *steps]
        self.theta = op.online_lambda_sg(self.steps, self.n, self.first, self.alpha, DISCOUNT, self.lambda_)[-1]


@cache
def one_trial():
    return trials(unequal=False, n_trials=1)


def output_weights(theta):
    """The rows of [W b], the last two arrays, as one vector."""
    w, b = jax.tree.leaves(theta)[-2:]
    return np.column_stack([w, b]).ravel()


def features_of(theta):
    """What output weights read."""
    *inner, _, _ = (np.asarray(leaf) for leaf in jax.tree.leaves(theta))
    if not inner:
        return lambda s, x: s
    mask, w, b = inner
    return lambda s, x: oracle.phi("relu", (mask * w) @ s + b)


def defined(cell, predictor, rates, lambda_=LAMBDA):
    """What online λ-SG makes of θ, and of the other weights, from the steps as they are visited."""
    _, weights = setting(cell, predictor)
    theta = output_weights(weights.cerebellum)
    n_state = len(jax.tree.leaves(weights.cerebellum)[-1])
    learner = LambdaSG(n_state, theta, rates[2], lambda_)
    others = of_oracle(CELLS[cell][1], learner, weights, one_trial(), rates, features=features_of(weights.cerebellum))
    return learner.theta, others


def online(cell, predictor, rates, trace, view="true online", lambda_=LAMBDA):
    circuit, weights = setting(cell, predictor)
    return of_package(circuit, rule(trace, view=view, lambda_=lambda_), weights, one_trial(), rates)


@pytest.mark.parametrize(
    ("cell", "predictor", "trace"),
    [
        ("rate", "linear", FullTrace()),
        ("rate", "linear", HistorySweep()),
        ("rate", "granular", HistorySweep()),
        ("LSTM", "linear", FullTrace()),
        ("LSTM", "granular", HistorySweep()),
    ],
    ids=str,
)
def test_true_online_learning_is_online_lambda_sg(cell, predictor, trace):
    _, weights = setting(cell, predictor)
    for rates in (FROZEN, RATES):
        got = online(cell, predictor, rates, trace)
        theta, others = defined(cell, predictor, rates)
        assert relative_error(output_weights(got.cerebellum), theta) <= EXACT
        assert relative_error(got._replace(cerebellum=None), others) <= EXACT
        assert distance(weights.cerebellum, got.cerebellum) > 1e-2
        assert (distance(weights.cortex, got.cortex) > 1e-2) == (rates is RATES)
    other = online(cell, predictor, RATES, trace, lambda_=0.9 * LAMBDA)
    assert distance(output_weights(other.cerebellum), theta) > 1e-6


@pytest.mark.parametrize("predictor", ["linear", "granular"])
def test_accumulating_traces_differ_from_it_in_second_order_of_the_step_size(predictor):
    accumulated = online("rate", predictor, RATES, FullTrace(), view="backward")
    assert distance(output_weights(accumulated.cerebellum), defined("rate", predictor, RATES)[0]) > 1e-6

    def order(view, lambda_=LAMBDA):
        alphas = 0.05 / 2.0 ** np.arange(5)
        differences = []
        for alpha in alphas:
            rates = (0.0, 0.0, float(alpha))
            got = online("rate", predictor, rates, FullTrace(), view, lambda_)
            differences.append(np.linalg.norm(output_weights(got.cerebellum) - defined("rate", predictor, rates)[0]))
        return np.polyfit(np.log(alphas), np.log(differences), 1)[0]

    found = order("backward")
    assert 1.8 < found < 2.2
    assert 0.8 < order("backward", 0.9 * LAMBDA) < 1.2, "control: a wrong λ is wrong in first order"


def test_a_shorter_history_is_no_longer_online_lambda_sg():
    theta, _ = defined("rate", "linear", RATES)
    got = online("rate", "linear", RATES, HistorySweep(N_STEPS - 2))
    assert distance(output_weights(got.cerebellum), theta) > 1e-6


def test_without_decay_true_online_learning_is_one_step_bootstrapping():
    """With one feature vector remembered there is nothing to make up for."""
    true = online("rate", "linear", RATES, FullTrace(), lambda_=0.0)
    plain = online("rate", "linear", RATES, FullTrace(), "backward", lambda_=0.0)
    assert relative_error(true, plain) <= EXACT
    assert distance(online("rate", "linear", RATES, FullTrace(), "backward"), plain) > 1e-6
    assert jnp.isfinite(true.cortex.b).all()
