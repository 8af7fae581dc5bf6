"""Learning while the trial runs, weights changing at every step, against the NumPy oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from oracle_twins import CELLS, PREDICTORS
from random_circuits import N_OUTPUTS, random_trials, random_weights, relative_error

import neuro_bpl as nb
from neuro_bpl.experiments.learner import Learner, learn_batch

RATES = (0.3, 0.2, 0.5)
SGD = nb.Optimizers(*(nb.Optimizer("sgd", rate) for rate in RATES))


def both(cell, predictor, leaky, lambda_):
    """Weights before learning, after the package's learning, and after the oracle's."""
    circuit = nb.Circuit(CELLS[cell][0], nb.LinearReadout(N_OUTPUTS), PREDICTORS[predictor][0])
    weights, trials = random_weights(circuit, seed=5), random_trials("every step", "squared_error", seed=6)
    trace = nb.Leaky() if leaky else nb.Immediate()
    rule = nb.bp_lambda(lambda_, 0.9, 0.7, trace=trace, view="backward", update="step")
    newborn = Learner(weights, SGD.transform(circuit, weights).init(weights), jnp.full((), -1))
    learnt = jax.jit(lambda learner: learn_batch(circuit, rule, SGD, learner, trials)[0].weights)(newborn)
    plain = jax.tree.map(np.asarray, weights)
    wanted = oracle.online_learning(
        oracle.Rule("bp_lambda", lambda_=0.6, discount=0.9, kappa=0.7, leaky=leaky),
        CELLS[cell][1],
        "squared_error",
        PREDICTORS[predictor][1],
        oracle.Weights(*plain.cortex, *plain.readout, tuple(jax.tree.leaves(plain.cerebellum))),
        np.asarray(trials.inputs),
        np.asarray(trials.targets),
        RATES,
    )
    return weights, learnt, jax.tree.unflatten(jax.tree.structure(weights), jax.tree.leaves(wanted))


@pytest.mark.parametrize(
    ("cell", "predictor", "leaky"),
    [
        ("tanh, tau 2dt", "linear", False),
        ("tanh, tau 2dt", "granular", True),
        ("LSTM", "linear", True),
        ("LSTM", "granular", False),
        ("GRU", "deep", True),
    ],
)
def test_weights_that_change_at_every_step_are_the_oracles(cell, predictor, leaky):
    weights, learnt, wanted = both(cell, predictor, leaky, lambda_=0.6)
    assert relative_error(learnt, wanted) <= 1e-10
    for before, after in zip(weights[:2], learnt[:2], strict=True):
        assert relative_error(before, after) > 1e-2


def test_another_lambda_leads_elsewhere():
    _, learnt, wanted = both("tanh, tau 2dt", "linear", leaky=False, lambda_=0.59)
    assert relative_error(learnt, wanted) > 1e-6
