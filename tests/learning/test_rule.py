"""Every rule against the NumPy oracle: cells, trials, losses and predictors in covering combinations."""

from functools import cache
from itertools import product

import jax
import numpy as np
import oracle
import pytest
from oracle_twins import CELLS, PREDICTORS
from random_circuits import N_INPUTS, N_OUTPUTS, N_UNITS, random_trials, random_weights, relative_error, size

import neuro_bpl as nb

RULES = {
    "bptt": (nb.bptt(), oracle.Rule("bptt")),
    "tbptt(1)": (nb.tbptt(1), oracle.Rule("tbptt", window=1)),
    "tbptt(3)": (nb.tbptt(3), oracle.Rule("tbptt", window=3)),
    "dni(1)": (nb.dni(1), oracle.Rule("dni", window=1)),
    "dni(3)": (
        nb.dni(3, discount=0.9, kappa=0.3),
        oracle.Rule("dni", window=3, discount=0.9, kappa=0.3),
    ),
    "forward": (nb.bp_lambda(0.6, 0.9, 0.4), oracle.Rule("bp_lambda", lambda_=0.6, discount=0.9, kappa=0.4)),
    "backward": (
        nb.bp_lambda(0.6, 0.9, 0.4, view="backward"),
        oracle.Rule("bp_lambda", lambda_=0.6, discount=0.9, kappa=0.4, view="backward"),
    ),
    "not applied": (nb.bp_lambda(0.3, 1.0, 0.0), oracle.Rule("bp_lambda", lambda_=0.3, kappa=0.0)),
    "leaky forward": (
        nb.bp_lambda(0.7, 0.8, 1.3, trace=nb.Leaky()),
        oracle.Rule("bp_lambda", lambda_=0.7, discount=0.8, kappa=1.3, leaky=True),
    ),
    "leaky backward": (
        nb.bp_lambda(0.7, 0.8, 1.3, trace=nb.Leaky(), view="backward"),
        oracle.Rule("bp_lambda", lambda_=0.7, discount=0.8, kappa=1.3, leaky=True, view="backward"),
    ),
    "leaky exact": (nb.LearningRule(nb.Leaky(), nb.Exact()), oracle.Rule("bptt", leaky=True)),
    "immediate error": (
        nb.LearningRule(nb.Immediate(), nb.ImmediateError()),
        oracle.Rule("immediate_error"),
    ),
    "leaky immediate error": (
        nb.LearningRule(nb.Leaky(), nb.ImmediateError(), view="backward"),
        oracle.Rule("immediate_error", leaky=True),
    ),
}
TRIALS = ["every step", "every step masked", "last step", "every step unequal", "last step unequal masked"]
LOSSES = ["squared_error", "softmax_cross_entropy", "sigmoid_cross_entropy"]
PREDICTING = [name for name, (rule, _) in RULES.items() if rule.credit.predicting]


def covering_cases():
    """Every (cell, rule) pair; trials, losses and predictors take turns, together for rules of one compiled program."""
    programs = [jax.tree.structure(rule) for rule, _ in RULES.values()]
    for (c, cell), (rule, program) in product(enumerate(CELLS), zip(RULES, programs, strict=True)):
        r = programs.index(program)
        yield cell, rule, TRIALS[(c + 2 * r) % 5], LOSSES[(c + r + r // 3) % 3], list(PREDICTORS)[(c + r) % 4]


CASES = list(covering_cases())


@cache
def learn_in(circuit):
    return jax.jit(lambda rule, weights, trials: rule.learn(circuit, weights, trials))


def case_of(cell, rule):
    return next(case for case in CASES if case[:2] == (cell, rule))


def package_gradients(cell, rule, kind, loss, predictor):
    circuit = nb.Circuit(CELLS[cell][0], nb.LinearReadout(N_OUTPUTS, loss), PREDICTORS[predictor][0])
    weights, trials = random_weights(circuit, seed=3), random_trials(kind, loss, seed=4)
    gradient, outcome = learn_in(circuit)(RULES[rule][0], weights, trials)
    return gradient, outcome.loss, circuit, weights, trials


def oracle_gradients(cell, rule, loss, predictor, weights, trials):
    """The oracle's loss and gradients, in the package's structure."""
    plain = jax.tree.map(np.asarray, weights)
    loss, gradient = oracle.gradients(
        rule,
        CELLS[cell][1],
        loss,
        PREDICTORS[predictor][1],
        oracle.Weights(*plain.cortex, *plain.readout, tuple(jax.tree.leaves(plain.cerebellum))),
        *(
            None if values is None else np.asarray(values)
            for values in (trials.inputs, trials.targets, trials.mask, trials.lengths)
        ),
    )
    return loss, jax.tree.unflatten(jax.tree.structure(weights), jax.tree.leaves(gradient))


@pytest.mark.parametrize(("cell", "rule", "kind", "loss", "predictor"), CASES)
def test_gradients_equal_the_oracle(cell, rule, kind, loss, predictor):
    got, loss_value, circuit, weights, trials = package_gradients(cell, rule, kind, loss, predictor)
    value, wanted = oracle_gradients(cell, RULES[rule][1], loss, predictor, weights, trials)
    assert relative_error(got, wanted) <= 1e-10
    assert abs(loss_value - value) <= 1e-10 * abs(value)
    assert size(got.cortex) > 1e-3
    assert size(got.readout) > 1e-3
    learns = jax.tree.leaves(circuit.plastic(weights).cerebellum)
    for leaf, plastic in zip(jax.tree.leaves(got.cerebellum), learns, strict=True):
        assert (size(leaf) > 1e-4) == (plastic and rule in PREDICTING)


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("backward", {"transposed": True}),
        ("backward", {"lambda_": 0.61}),
        ("forward", {"lambda_": 0.61}),
        ("forward", {"discount": 0.91}),
        ("dni(3)", {"window": 2}),
        ("dni(3)", {"discount": 1.0}),
    ],
)
@pytest.mark.parametrize("cell", ["tanh, tau 2dt", "LSTM"])
def test_a_mistake_in_the_predictor_is_noticed(cell, rule, wrong):
    _, _, kind, loss, predictor = case_of(cell, rule)
    got, _, _, weights, trials = package_gradients(cell, rule, kind, loss, predictor)
    _, other = oracle_gradients(cell, RULES[rule][1]._replace(**wrong), loss, predictor, weights, trials)
    assert relative_error(got.cerebellum, other.cerebellum) > 1e-5


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("forward", {"kappa": 0.41}),
        ("dni(3)", {"kappa": 0.31}),
        ("tbptt(3)", {"window": 2}),
        ("leaky exact", {"doubled": True}),
        ("leaky forward", {"doubled": True}),
    ],
)
@pytest.mark.parametrize("cell", ["tanh, tau 2dt", "LSTM"])
def test_a_mistake_in_the_cortex_is_noticed(cell, rule, wrong):
    _, _, kind, loss, predictor = case_of(cell, rule)
    got, _, _, weights, trials = package_gradients(cell, rule, kind, loss, predictor)
    _, other = oracle_gradients(cell, RULES[rule][1]._replace(**wrong), loss, predictor, weights, trials)
    assert relative_error(got.cortex, other.cortex) > 1e-4


def test_the_cases_cover_every_rule_with_all_trials_losses_and_predictors():
    for rule in RULES:
        own = [case for case in CASES if case[1] == rule]
        assert {case[2] for case in own} == set(TRIALS)
        assert {case[3] for case in own} == set(LOSSES)
        assert {case[4] for case in own} == set(PREDICTORS)


def test_steps_after_a_trials_end_change_nothing():
    circuit = nb.Circuit(nb.LSTMCortex(N_INPUTS, N_UNITS), nb.LinearReadout(N_OUTPUTS), nb.LinearPredictor())
    weights = random_weights(circuit, seed=3)
    trials = random_trials("every step unequal", "squared_error", seed=4)
    after = np.arange(trials.n_steps) >= np.asarray(trials.lengths)[:, None]
    noise = np.random.default_rng(5).normal(size=trials.inputs.shape) * after[..., None]
    other = nb.Trials(trials.inputs + noise, trials.targets + noise, trials.mask, trials.lengths)
    for name in ("dni(3)", "forward", "leaky backward"):
        gradients = [learn_in(circuit)(RULES[name][0], weights, batch)[0] for batch in (trials, other)]
        assert relative_error(*gradients) <= 1e-14, name
    shorter = nb.Trials(other.inputs, other.targets, other.mask, trials.lengths - 1)
    assert relative_error(learn_in(circuit)(RULES[name][0], weights, shorter)[0], gradients[0]) > 1e-3
