"""Traces of the predictor and ways of TD errors where nothing is dropped, and how random ones come closer."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracle_predictor as op
import pytest
from random_circuits import N_STEPS, N_UNITS, random_weights, relative_error
from step_wise import DISCOUNT, LAMBDA, RATES, distance, of_package, rule, setting, trials

import neuro_bpl as nb
from neuro_bpl.learning.predictor_traces import (
    DiagonalTrace,
    FullTrace,
    HistorySweep,
    LeakTrace,
    LowRankTrace,
    ProjectedTrace,
)

EXACT = 1e-12
FROZEN = (0.0, 0.0, RATES[2])
IN_FULL = nb.ProjectedPredictor(nb.LinearPredictor(), N_UNITS)
IN_3 = nb.ProjectedPredictor(nb.LinearPredictor(), 3)


def wired(weights, wiring):
    """Weights of a cortex whose units read each other as the wiring says."""
    w_rec = weights.cortex.w_rec
    return weights._replace(cortex=weights.cortex._replace(w_rec=w_rec * np.tile(wiring, (len(w_rec) // N_UNITS, 1))))


def learnt(cell, predictor, asked, wiring=None, rates=FROZEN, weights=None, batch=None):
    """Weights after a batch; the cortex stays as it is wired."""
    circuit, drawn = setting(cell, predictor)
    weights = drawn if weights is None else weights
    return of_package(circuit, asked, weights if wiring is None else wired(weights, wiring), batch or trials(), rates)


# ------------------------------------------------------------------------------------------------ nothing is dropped

ALONE, APART = np.eye(N_UNITS), np.zeros((N_UNITS, N_UNITS))
ALMOST = ALONE + 0.2 * np.eye(N_UNITS, k=-1)
LOCAL = [
    ("rate", rule(DiagonalTrace()), ALONE),
    ("LSTM", rule(DiagonalTrace()), ALONE),
    ("rate", rule(LeakTrace()), APART),
    ("rate", rule(FullTrace(), "diagonal"), ALONE),
    ("LSTM", rule(FullTrace(), "diagonal"), ALONE),
]


@pytest.mark.full
@pytest.mark.parametrize(("cell", "local", "wiring"), LOCAL, ids=lambda p: getattr(p, "name", None))
def test_what_is_local_is_exact_where_no_unit_reads_another(cell, local, wiring):
    exact = rule(FullTrace())
    got, wanted = (learnt(cell, "linear", asked, wiring).cerebellum for asked in (local, exact))
    assert relative_error(got, wanted) <= EXACT
    assert distance(setting(cell, "linear")[1].cerebellum, wanted) > 1e-2
    got, wanted = (learnt(cell, "linear", asked, ALMOST).cerebellum for asked in (local, exact))
    assert distance(got, wanted) > 1e-6, "control: units that read a neighbour"


def with_olive(weights, olive):
    return weights._replace(olive=jnp.asarray(olive))


def test_an_olive_that_knows_the_recurrent_weights_makes_no_error():
    _, weights = setting("rate", "linear")
    knowing = with_olive(weights, weights.cortex.w_rec)
    exact, random, learned = rule(FullTrace()), rule(FullTrace(), "random"), rule(FullTrace(), "learned")
    wanted = learnt("rate", "linear", exact, weights=knowing)
    for asked in (random, learned):
        assert relative_error(learnt("rate", "linear", asked, weights=knowing), wanted) <= EXACT
    assert distance(learnt("rate", "linear", random).cerebellum, wanted.cerebellum) > 1e-4

    # While the cortex learns, too, only an olive that learns goes on knowing them.
    wanted = learnt("rate", "linear", exact, rates=RATES, weights=knowing)
    follows = learnt("rate", "linear", learned, rates=RATES, weights=knowing)
    assert relative_error(follows._replace(olive=None), wanted._replace(olive=None)) <= EXACT
    assert relative_error(follows.olive, wanted.cortex.w_rec) <= EXACT
    stays = learnt("rate", "linear", random, rates=RATES, weights=knowing)
    assert distance(stays.cerebellum, wanted.cerebellum) > 1e-6
    assert (stays.olive == knowing.olive).all()


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_an_olive_that_learns_follows_the_recurrent_weights_and_forgets_where_it_began(decay):
    circuit, weights = setting("rate", "linear", regularization=nb.Regularization(weights=decay))
    after = of_package(circuit, rule(FullTrace(), "learned"), weights, trials(unequal=False), RATES)
    kept = (1 - RATES[0] * decay) ** N_STEPS
    apart = [w.olive - w.cortex.w_rec for w in (weights, after)]
    assert relative_error(apart[1], kept * apart[0]) <= EXACT
    assert distance(weights.olive, after.olive) > 1e-2
    assert (kept < 0.9) == bool(decay)


def test_a_projection_onto_all_dimensions_drops_nothing():
    def both(predictor):
        return (learnt("rate", predictor, rule(trace), rates=RATES) for trace in (ProjectedTrace(), FullTrace()))

    got, wanted = both(IN_FULL)
    assert relative_error(got, wanted) <= EXACT
    assert distance(setting("rate", IN_FULL)[1].cerebellum.inner, wanted.cerebellum.inner) > 1e-2
    got, wanted = both(IN_3)
    assert distance(got.cerebellum.inner, wanted.cerebellum.inner) > 1e-6


def test_a_linear_predictor_in_all_dimensions_is_a_linear_predictor_that_has_been_turned():
    def grown(predictor):
        """From zero, whatever the predictor; s → ĝ as one matrix."""
        circuit, weights = setting("rate", predictor)
        weights = weights._replace(cerebellum=circuit.init(jax.random.key(8)).cerebellum)
        weights = weights._replace(cortex=setting("rate", "linear")[1].cortex)
        weights = weights._replace(readout=setting("rate", "linear")[1].readout)
        after = of_package(circuit, rule(FullTrace()), weights, trials(), RATES)
        states = jnp.concatenate([jnp.eye(N_UNITS), jnp.zeros((N_UNITS, 1))], axis=1)
        return after.cortex, circuit.predictor().predict(after.cerebellum, states)

    wanted = grown(nb.LinearPredictor())
    assert relative_error(grown(IN_FULL), wanted) <= EXACT
    assert float(jnp.abs(wanted[1]).max()) > 1e-3
    assert distance(grown(IN_3), wanted) > 1e-4


@pytest.mark.parametrize(("lambda_", "tolerance", "horizon"), [(0.5, 0.1, 3), (LAMBDA, 0.6, 2)])
def test_a_tolerance_is_the_horizon_at_which_the_weight_falls_below_it(lambda_, tolerance, horizon):
    decay = DISCOUNT * lambda_
    assert decay ** (horizon - 1) >= tolerance > decay**horizon

    def found(trace):
        return learnt("rate", "linear", rule(trace, lambda_=lambda_), rates=RATES)

    cut = found(HistorySweep(tolerance=tolerance))
    assert distance(found(HistorySweep(horizon)), cut) < 1e-14
    assert distance(found(HistorySweep()), cut) > 1e-6
    assert distance(found(HistorySweep(horizon + 1)), cut) > 1e-6


# ------------------------------------------------------------------------------------------------- right on average


def small(n_steps, at_last_step=False):
    """A small circuit, weights, and a trial."""
    circuit = nb.Circuit(nb.RateCortex(2, 3, tau=0.04), nb.LinearReadout(2), nb.LinearPredictor())
    rng = np.random.default_rng(2)
    n_targets = 1 if at_last_step else n_steps
    drawn = jnp.asarray(rng.normal(size=(1, n_steps, 2))), jnp.asarray(rng.normal(size=(1, n_targets, 2)))
    return circuit, random_weights(circuit, seed=1), nb.Trials(*drawn)


def vector(circuit, asked, weights, batch, key):
    """The predictor's gradient."""
    theta = asked.gradients(circuit, weights, batch, key).cerebellum
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(theta)])


def draws(n, asked, circuit, weights, batch):
    """Gradients from as many keys, and that of the full trace."""
    exact = rule(FullTrace(), lambda_=asked.credit.lambda_, update="trial")
    keys = jax.random.split(jax.random.key(4), n)
    found = jax.jit(jax.vmap(partial(vector, circuit, asked, weights, batch)))(keys)
    return np.asarray(found), np.asarray(jax.jit(partial(vector, circuit, exact, weights, batch))(keys[0]))


def error_of_means(found, exact, n):
    """Root mean square error of means over n draws, relative to the exact gradient."""
    means = found.reshape(-1, n, found.shape[1]).mean(1)
    return np.sqrt(((means - exact) ** 2).sum(1).mean()) / np.linalg.norm(exact)


@pytest.mark.full
@pytest.mark.parametrize("rank", [1, 3])
def test_the_error_of_a_low_rank_trace_falls_as_one_over_the_root_of_draws(rank):
    found, exact = draws(40_000, rule(LowRankTrace(rank), update="trial"), *small(5))
    counts = np.array([10, 100, 1000, 10_000])
    errors = [error_of_means(found, exact, n) for n in counts]
    assert -0.56 < np.polyfit(np.log(counts), np.log(errors), 1)[0] < -0.44
    assert errors[0] > 0.05, "one draw is not exact"
    biased = [error_of_means(found, 1.1 * exact, n) for n in counts]
    assert np.polyfit(np.log(counts), np.log(biased), 1)[0] > -0.44, "control: a bias of a tenth is seen"


def error_of_one_draw(n_steps, lambda_):
    """With one error, at the end, and a predictor of zero: only the last trace counts."""
    circuit, weights, batch = small(n_steps, at_last_step=True)
    weights = weights._replace(cerebellum=circuit.init(jax.random.key(0)).cerebellum)
    asked = rule(LowRankTrace(), lambda_=lambda_, update="trial")
    return error_of_means(*draws(4000, asked, circuit, weights, batch), 1)


@pytest.mark.full
def test_without_decay_the_error_of_a_low_rank_trace_does_not_grow_with_the_trial():
    """Its expected square is n − 1: each sign carries the error of the other n − 1 components."""
    for n_steps in (4, 64):
        assert error_of_one_draw(n_steps, lambda_=0.0) == pytest.approx(np.sqrt(2), rel=0.05)
    assert error_of_one_draw(64, lambda_=0.9) > 1.2 * np.sqrt(2), "what is carried on adds noise"


@pytest.mark.parametrize("forgets", [True, False])
def test_without_forgetting_it_would_grow(forgets):
    """Control, in NumPy: λ = 0, and θ̃ kept where s̃ is gone."""

    def error(n_steps, n=3, n_draws=400):
        rng, predictor = np.random.default_rng(5), op.Linear(n)
        trace = op.LowRank(0.0, rng.choice([-1, 1], (n_steps + 1, n_draws, n)), forgets=forgets)
        for _ in range(n_steps):
            slope = predictor.slopes(None, rng.normal(size=2))
            trace.advance(np.eye(n), slope)
        delta = rng.normal(size=n)
        apart = [(delta @ s_tilde) * theta_tilde - delta @ slope for s_tilde, theta_tilde in trace.pairs]
        return np.sqrt(np.mean(np.sum(np.square(apart), 1))) / np.linalg.norm(delta @ slope)

    assert (error(32) > 1.5 * error(4)) != forgets
    assert (error(32) == pytest.approx(np.sqrt(2), rel=0.1)) == forgets
