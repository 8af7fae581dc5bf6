"""Shorter steps: the same trial as a whole, and a limit that what is learnt tends to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_circuits import random_trials, random_weights

import neuro_bpl as nb
from neuro_bpl.learning.optimizers import apply
from neuro_bpl.learning.single_step import single_steps

CORTEX = nb.RateCortex(3, 5, "tanh", tau=0.1, dt=0.02)
CIRCUIT = nb.Circuit(CORTEX, nb.LinearReadout(3), nb.GranularPredictor(20, fan_in=3))
GRADIENT_DESCENT = nb.Optimizers(nb.Optimizer("sgd", 0.05), nb.Optimizer("sgd", 0.05), nb.Optimizer("sgd", 0.02))


def rule(lambda_=0.8, discount=0.9, predictor_trace=None, td_error="diagonal", trace=None):
    return nb.bp_lambda(
        lambda_,
        discount,
        0.7,
        trace=trace or nb.Leaky(),
        view="backward",
        update="step",
        predictor_trace=predictor_trace or nb.predictor_traces.LeakTrace(),
        td_error=td_error,
    )


def learnt(circuit, rule, optimizers, trials, weights):
    """Change of all weights after the trials, one at a time."""
    state = optimizers.transform(circuit, weights).init(weights)

    def advance(carry, single_step):
        online, w = carry
        online, gradient, _, _ = rule.step(circuit, w, online, single_step)
        return (online, apply(optimizers, circuit, w, state, gradient)[0]), None

    @jax.jit
    def play(w, one):
        return jax.lax.scan(advance, (rule.init(circuit, w, 1), w), single_steps(one))[0][1]

    later = weights
    for k in range(trials.n_trials):
        later = play(later, jax.tree.map(lambda leaf, k=k: leaf[k : k + 1], trials))
    return np.concatenate(
        [np.ravel(a - b) for a, b in zip(jax.tree.leaves(later), jax.tree.leaves(weights), strict=True)]
    )


@pytest.mark.parametrize("kind", ["last", "every", "every masked unequal", "last unequal"])
@pytest.mark.parametrize("by", [1, 2, 5])
def test_a_trial_keeps_its_inputs_its_length_and_the_weight_of_its_targets(kind, by):
    trials = random_trials(kind, "squared_error", 0)
    fine = nb.refine(CIRCUIT, rule(), GRADIENT_DESCENT, trials, by).trials
    assert fine.n_steps == by * trials.n_steps
    np.testing.assert_array_equal(fine.inputs[:, ::by], trials.inputs)
    np.testing.assert_array_equal(fine.inputs[:, by - 1 :: by], trials.inputs)
    np.testing.assert_array_equal(fine.last_step(), by * trials.last_step())
    _, targets, weights = fine.by_step()
    _, coarse_targets, coarse_weights = trials.by_step()
    np.testing.assert_allclose(weights.reshape(-1, by, trials.n_trials).sum(1), coarse_weights, rtol=1e-12)
    counted = np.asarray(weights) > 0
    repeated = np.repeat(np.asarray(coarse_targets), by, 0)
    np.testing.assert_array_equal(
        np.moveaxis(np.asarray(targets), -1, 1)[counted], np.moveaxis(repeated, -1, 1)[counted]
    )
    assert counted.any()


def test_what_is_by_the_step_becomes_smaller():
    fine = nb.refine(CIRCUIT, rule(), GRADIENT_DESCENT, random_trials("last", "squared_error", 0), 4)
    assert fine.circuit.cortex.dt == pytest.approx(0.005)
    assert fine.rule.credit.lambda_**4 == pytest.approx(0.8)
    assert fine.rule.credit.discount**4 == pytest.approx(0.9)
    assert fine.optimizers.predictor.learning_rate == pytest.approx(0.005)
    assert fine.optimizers.cortex == GRADIENT_DESCENT.cortex
    assert fine.rule.credit.kappa == 0.7


@pytest.mark.full
@pytest.mark.parametrize(
    ("predictor_trace", "td_error", "trace"),
    [
        (nb.predictor_traces.LeakTrace(), "diagonal", nb.Leaky()),
        (nb.predictor_traces.DiagonalTrace(), "exact", nb.Immediate()),
    ],
)
def test_half_a_step_halves_the_distance_from_the_limit(predictor_trace, td_error, trace):
    weights, trials = random_weights(CIRCUIT, 0), random_trials("every masked", "squared_error", 1)
    given = rule(predictor_trace=predictor_trace, td_error=td_error, trace=trace)
    ends = [learnt(*nb.refine(CIRCUIT, given, GRADIENT_DESCENT, trials, by), weights) for by in (1, 2, 4, 32)]
    distances = np.array([np.linalg.norm(end - ends[-1]) for end in ends[:-1]])
    assert np.linalg.norm(ends[-1]) > 0.1
    assert (distances[:-1] >= 2 * distances[1:]).all()
    assert (distances[:-1] <= 3 * distances[1:]).all()


def test_without_rescaling_there_is_no_such_limit():
    weights, trials = random_weights(CIRCUIT, 0), random_trials("every masked", "squared_error", 1)
    fine = nb.refine(CIRCUIT, rule(), GRADIENT_DESCENT, trials, 16)
    finest = learnt(*nb.refine(CIRCUIT, rule(), GRADIENT_DESCENT, trials, 64), weights)
    right = np.linalg.norm(learnt(*fine, weights) - finest)
    for wrong in (fine._replace(rule=rule()), fine._replace(optimizers=GRADIENT_DESCENT)):
        assert np.linalg.norm(learnt(*wrong, weights) - finest) > 5 * right


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"by": 0}, "by = 0"),
        ({"by": True}, "by = True"),
        ({"by": 1.5}, "by = 1.5"),
        ({"rule": rule(lambda_=0.0)}, "no limit"),
        ({"circuit": nb.Circuit(nb.LSTMCortex(3, 5), nb.LinearReadout(3))}, "RateCortex"),
        ({"optimizers": nb.Optimizers()}, "adaptive"),
    ],
)
def test_what_has_no_limit_is_refused(changed, words, untyped):
    given = {"circuit": CIRCUIT, "rule": rule(), "optimizers": GRADIENT_DESCENT, "by": 2, **changed}
    trials = nb.Trials(jnp.ones((1, 2, 3)), jnp.ones((1, 1, 3)))
    with pytest.raises(ValueError, match=words) as refused:
        nb.refine(given["circuit"], given["rule"], given["optimizers"], trials, given["by"])
    assert "Allowed: " in str(refused.value)
    assert "Type: " in str(refused.value)
