"""What holds for every trace of the predictor: one program, one format, networks at once as alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_circuits import random_weights, relative_error
from tiny import recall

import neuro_bpl as nb
from neuro_bpl.experiments.learner import Learner, learn_batch
from neuro_bpl.learning import predictor_traces
from neuro_bpl.learning.predictor_traces import (
    DiagonalTrace,
    FullTrace,
    HistorySweep,
    LeakTrace,
    LowRankTrace,
    ProjectedTrace,
)

FORMS = {
    "full": ("backward", FullTrace(), "exact"),
    "history": ("backward", HistorySweep(), "random"),
    "low rank": ("backward", LowRankTrace(), "exact"),
    "projected": ("backward", ProjectedTrace(), "learned"),
    "diagonal": ("backward", DiagonalTrace(), "diagonal"),
    "leak": ("backward", LeakTrace(), "exact"),
    "true online": ("true online", FullTrace(), "exact"),
    "true online, history": ("true online", HistorySweep(), "exact"),
}
N_NETWORKS = 2


def circuit_of(name):
    linear = nb.LinearPredictor()
    predictor = nb.ProjectedPredictor(linear, 2, "learned") if name == "projected" else linear
    cortex = nb.RateCortex(2, 3, tau=0.02, dt=0.01)
    return nb.Circuit(cortex, nb.LinearReadout(2), predictor, olive=nb.OlivaryPathway())


def rule_of(name, lambda_):
    view, trace, td_error = FORMS[name]
    return nb.bp_lambda(lambda_, 0.9, view=view, update="step", predictor_trace=trace, td_error=td_error)


def test_the_list_holds_every_trace_there_is():
    helpers = {"DutchSweep", "DutchTrace", "Extent", "PredictorTrace", "Rates", "WithDutch"}
    assert {type(trace).__name__ for _, trace, _ in FORMS.values()} == set(predictor_traces.__all__) - helpers


@pytest.mark.full
@pytest.mark.parametrize("name", FORMS)
def test_one_program_for_all_numbers_one_format_and_networks_at_once_as_alone(name):
    circuit, trials = circuit_of(name), recall(jax.random.key(5), 1)
    optimizers = nb.Optimizers(*(nb.Optimizer("sgd", 0.1),) * 3)
    drawn = [jax.tree.map(lambda leaf: leaf.astype(jnp.float32), random_weights(circuit, seed)) for seed in (0, 1)]
    weights = jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)
    trials = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), trials)
    keys = jax.random.split(jax.random.key(1), N_NETWORKS)

    def learn(rule, weights, key):
        state = optimizers.transform(circuit, weights).init(weights)
        learner = Learner(weights, state, jnp.full((), -1))
        return learn_batch(circuit, rule, optimizers, learner, trials, key)[0].weights

    def numbers(rule):
        return jax.tree.map(jnp.float32, rule)

    alone, together = jax.jit(learn), jax.jit(jax.vmap(learn, (None, 0, 0)))
    learnt = together(numbers(rule_of(name, 0.6)), weights, keys)
    assert {leaf.dtype for leaf in jax.tree.leaves(learnt)} == {np.dtype("float32")}
    for n in range(N_NETWORKS):
        one = alone(numbers(rule_of(name, 0.6)), jax.tree.map(lambda leaf, n=n: leaf[n], weights), keys[n])
        assert relative_error(jax.tree.map(lambda leaf, n=n: leaf[n], learnt), one) < 1e-5
        assert relative_error(drawn[n].cerebellum, one.cerebellum) > 1e-3
    other = together(numbers(rule_of(name, 0.1)), weights, keys)
    assert together._cache_size() == 1
    assert relative_error(other.cerebellum, learnt.cerebellum) > 1e-4
