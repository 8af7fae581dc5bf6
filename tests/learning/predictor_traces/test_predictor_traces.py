"""Every trace of the predictor and every way of TD errors against NumPy loops that share no code with the package."""

from functools import partial

import jax
import numpy as np
import oracle_predictor as op
import pytest
from random_circuits import N_STEPS, N_UNITS, relative_error
from step_wise import (
    CELLS,
    DISCOUNT,
    LAMBDA,
    PREDICTORS,
    RATES,
    Held,
    Reads,
    distance,
    drawn_signs,
    held,
    of_oracle,
    of_package,
    rule,
    setting,
    trials,
)

import neuro_bpl as nb
from neuro_bpl.learning.predictor_traces import (
    DiagonalTrace,
    FullTrace,
    HistorySweep,
    LeakTrace,
    LowRankTrace,
    ProjectedTrace,
)

EXACT = 1e-11
K = 3
INNER = {"linear in 3": "linear", "granular all in 3": "granular all", "linear of inputs in 3": "linear of inputs"}
TRACES = {
    "full": FullTrace(),
    "history": HistorySweep(),
    "history of 3": HistorySweep(3),
    "diagonal": DiagonalTrace(),
    "leak": LeakTrace(),
    "low rank": LowRankTrace(2),
    "projected": ProjectedTrace(),
}
STEP_WISE = [
    *(("rate", "linear", trace, "exact") for trace in TRACES if trace != "projected"),
    *(("rate", "linear", "diagonal", td_error) for td_error in ("diagonal", "random", "learned")),
    ("rate", "granular", "history", "exact"),
    ("rate", "granular", "leak", "exact"),
    ("rate", "granular all", "full", "exact"),
    ("rate", "granular all", "history of 3", "exact"),
    ("rate", "granular all", "low rank", "exact"),
    ("rate", "linear of inputs", "diagonal", "exact"),
    ("rate", "granular all in 3", "projected", "random"),
    ("rate", "linear of inputs in 3", "history", "exact"),
    ("LSTM", "granular", "history", "random"),
]
HELD = [
    ("LSTM", "granular all", "history", "exact"),
    ("LSTM", "granular", "diagonal", "diagonal"),
    ("LSTM", "linear", "low rank", "exact"),
    ("LSTM", "linear in 3", "projected", "exact"),
]


def made(cell, predictor):
    """Circuit and weights."""
    if predictor in INNER:
        predictor = nb.ProjectedPredictor(PREDICTORS[INNER[predictor]][0], K)
    return setting(cell, predictor)


class InStates(op.Projected):
    """A projected predictor for traces in the space of the state: dg/dtheta = P' dq/dtheta."""

    def slopes(self, theta, phi):
        return self.P.T @ self.q.slopes(theta, phi)


def reading(predictor, trace, theta):
    """The oracle's predictor, theta as one vector, what the predictor reads, and P."""
    if predictor not in INNER:
        arrays = tuple(jax.tree.leaves(theta))
        return Reads.of(PREDICTORS[predictor][1], arrays), op.flatten(arrays), lambda s, x: (s, x), None
    arrays, P = tuple(jax.tree.leaves(theta.inner)), theta.basis
    q = Reads.of(PREDICTORS[INNER[predictor]][1], arrays)
    kind = op.Projected if trace == "projected" else InStates
    return kind(P, q), op.flatten(arrays), lambda s, x: (P @ s, x), P


def oracle_traces(trace, circuit, decay, n_trials, P):
    """One trace for each trial."""
    makers = {
        "full": lambda _: op.Full(decay),
        "history": lambda _: op.History(decay),
        "history of 3": lambda _: op.History(decay, 3),
        "diagonal": lambda _: op.Full(decay, lambda J: op.within_units(J, N_UNITS)),
        "leak": lambda _: op.Full(decay, lambda J: op.of_leak(J, circuit.cortex.leak)),
        "low rank": lambda k: op.LowRank(decay, drawn_signs(circuit, 2, n_trials, N_STEPS)[k]),
        "projected": lambda _: op.ProjectedTrace(decay, P),
    }
    return [makers[trace](k) for k in range(n_trials)]


def wanted(case, batch, learner_of, rates, lambda_=LAMBDA):
    """The oracle's learner after a batch, and its weights of the other parts."""
    cell, predictor, trace, td_error = case
    circuit, weights = made(cell, predictor)
    reader, theta, features, P = reading(predictor, trace, jax.tree.map(np.asarray, weights.cerebellum))
    traces = oracle_traces(trace, circuit, DISCOUNT * lambda_, batch.n_trials, P)
    learner = learner_of(reader, theta, rates[2], DISCOUNT, traces)
    return learner, of_oracle(CELLS[cell][1], learner, weights, batch, rates, td_error, features)


def flat(theta):
    """What the oracle holds of theta: all but the basis."""
    return op.flatten(jax.tree.leaves(getattr(theta, "inner", theta)))


def step_wise(case, batch, lambda_=LAMBDA):
    cell, predictor, trace, td_error = case
    circuit, weights = made(cell, predictor)
    return weights, of_package(circuit, rule(TRACES[trace], td_error, lambda_=lambda_), weights, batch)


@pytest.mark.parametrize("case", STEP_WISE, ids=", ".join)
def test_weights_that_change_at_every_step_are_the_oracles(case):
    weights, got = step_wise(case, trials())
    learner, expected = wanted(case, trials(), op.Learner, RATES)
    assert relative_error(flat(got.cerebellum), learner.theta) <= EXACT
    assert relative_error(got._replace(cerebellum=None), expected) <= EXACT
    assert distance(flat(weights.cerebellum), flat(got.cerebellum)) > 1e-2, "liveness: the predictor learns"
    assert min(distance(weights.cortex, got.cortex), distance(weights.readout, got.readout)) > 1e-2
    assert (distance(weights.olive, got.olive) > 1e-2) == (case[3] == "learned")
    _, other = step_wise(case, trials(), lambda_=0.9 * LAMBDA)
    assert distance(flat(other.cerebellum), learner.theta) > 1e-6, "control: another λ is noticed"


@pytest.mark.parametrize("case", HELD, ids=", ".join)
def test_gradients_with_weights_held_are_the_oracles(case):
    cell, predictor, trace, td_error = case
    circuit, weights = made(cell, predictor)

    def found(lambda_):
        ask = rule(TRACES[trace], td_error, lambda_=lambda_, update="trial")
        return flat(held(circuit, ask, weights, trials()).cerebellum)

    learner, _ = wanted(case, trials(), Held, (0.0, 0.0, 1.0))
    assert relative_error(-found(LAMBDA), learner.total) <= EXACT
    assert np.abs(learner.total).max() > 1e-3
    assert relative_error(-found(0.9 * LAMBDA), learner.total) > 1e-4


# Mistakes that the comparison would notice

BASE = (op.Learner, RATES)


def oracle_theta(case, **changed):
    case = (*case[:2], changed.get("trace", case[2]), changed.get("td_error", case[3]))
    return wanted(case, trials(), *BASE)[0].theta


@pytest.mark.parametrize("other", ["history of 3", "diagonal", "leak", "low rank"])
def test_no_trace_is_taken_for_another(other):
    case = ("rate", "linear", other, "exact")
    got = flat(step_wise(case, trials())[1].cerebellum)
    for name in ("full", "history of 3", "diagonal", "leak", "low rank"):
        assert (distance(got, oracle_theta(case, trace=name)) > 1e-5) == (name != other), name


@pytest.mark.parametrize("td_error", ["exact", "diagonal", "random", "learned"])
def test_no_way_of_errors_is_taken_for_another(td_error):
    case = ("rate", "linear", "diagonal", td_error)
    got = flat(step_wise(case, trials())[1].cerebellum)
    for name in ("exact", "diagonal", "random", "learned"):
        assert (distance(got, oracle_theta(case, td_error=name)) > 1e-5) == (name != td_error), name


def test_signs_of_another_step_are_noticed(monkeypatch):
    case = ("rate", "linear", "low rank", "exact")
    got = flat(step_wise(case, trials())[1].cerebellum)
    assert distance(got, oracle_theta(case)) <= EXACT
    right = op.LowRank
    monkeypatch.setattr(op, "LowRank", lambda decay, nu: right(decay, np.roll(nu, 1, axis=0)))
    assert distance(got, oracle_theta(case)) > 1e-3


def test_without_decay_a_random_product_forgets_what_it_held(monkeypatch):
    """λ = 0: the oracle, too, drops θ̃ where s̃ is gone; kept, it would add noise that is right on average."""
    case = ("rate", "linear", "low rank", "exact")
    got = flat(step_wise(case, trials(), lambda_=0.0)[1].cerebellum)
    assert distance(got, wanted(case, trials(), *BASE, lambda_=0.0)[0].theta) <= EXACT
    monkeypatch.setattr(op, "LowRank", partial(op.LowRank, forgets=False))
    assert distance(got, wanted(case, trials(), *BASE, lambda_=0.0)[0].theta) > 1e-3
