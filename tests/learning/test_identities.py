"""Identities that must hold between rules, through the package alone."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_circuits import (
    N_INPUTS,
    N_OUTPUTS,
    N_STEPS,
    N_TRIALS,
    N_UNITS,
    random_trials,
    random_weights,
    relative_error,
    size,
)

import neuro_bpl as nb
from neuro_bpl.circuit import cortex as cortical
from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.nonlinearities import NONLINEARITIES
from neuro_bpl.learning.credit import Assignment
from neuro_bpl.learning.whole_trial import cortical_gradient, play

CELLS = {
    "rate": nb.RateCortex(N_INPUTS, N_UNITS, "tanh", tau=0.03, dt=0.01),
    "LSTM": nb.LSTMCortex(N_INPUTS, N_UNITS),
    "GRU": nb.GRUCortex(N_INPUTS, N_UNITS),
}
PREDICTORS = {
    "linear": nb.LinearPredictor(),
    "granular": nb.GranularPredictor(8, fan_in=3),
    "granular all": nb.GranularPredictor(8, fan_in=3, plasticity="all"),
}
READOUT = nb.LinearReadout(N_OUTPUTS)
LEAKY_EXACT = nb.LearningRule(nb.Leaky(), nb.Exact())


@cache
def gradients_of(circuit):
    return jax.jit(lambda rule, weights, trials: rule.gradients(circuit, weights, trials))


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]


# For identities between rules that hold whatever the cell: one with one component and one with two are enough.
two_cells = pytest.mark.parametrize("cell", ["rate", "LSTM"], indirect=True)


def setting(cell, predictor="linear", kind="every step", seed=0):
    """A circuit's compiled gradients, with random weights and trials."""
    circuit = nb.Circuit(cell, READOUT, PREDICTORS[predictor])
    return gradients_of(circuit), random_weights(circuit, seed), random_trials(kind, "squared_error", seed + 1)


# The two views


@pytest.mark.parametrize(
    ("predictor", "kind", "seed"),
    [
        ("linear", "every step masked", 0),
        ("granular", "last step unequal", 1),
        ("granular all", "every step unequal", 2),
    ],
)
def test_forward_and_backward_view_are_equal(cell, predictor, kind, seed):
    gradients, weights, trials = setting(cell, predictor, kind, seed)
    for numbers in [(0.0, 1.0, 1.0), (0.3, 0.8, 0.5), (1.0, 1.0, 1.0), (1.0, 0.0, 2.0)]:
        forward = gradients(nb.bp_lambda(*numbers), weights, trials)
        backward = gradients(nb.bp_lambda(*numbers, view="backward"), weights, trials)
        assert relative_error(backward, forward) <= 1e-12
        assert size(forward.cerebellum) > 1e-3
    other = gradients(nb.bp_lambda(0.31, 0.8, 0.5), weights, trials)
    wanted = gradients(nb.bp_lambda(0.3, 0.8, 0.5, view="backward"), weights, trials)
    assert relative_error(other.cerebellum, wanted.cerebellum) > 1e-5


@settings(max_examples=40)
@given(
    lambda_=st.floats(0, 1),
    discount=st.floats(0, 1),
    kappa=st.floats(0, 3),
    lengths=st.lists(st.integers(1, N_STEPS), min_size=N_TRIALS, max_size=N_TRIALS),
    seed=st.integers(0, 100),
    name=st.sampled_from(sorted(CELLS)),
)
def test_views_are_equal_whatever_the_numbers(lambda_, discount, kappa, lengths, seed, name):
    gradients, weights, trials = setting(CELLS[name], "linear", "every step unequal", seed)
    trials = nb.Trials(trials.inputs, trials.targets, lengths=jnp.asarray(lengths))
    forward = gradients(nb.bp_lambda(lambda_, discount, kappa), weights, trials)
    backward = gradients(nb.bp_lambda(lambda_, discount, kappa, view="backward"), weights, trials)
    assert relative_error(backward, forward) <= 1e-11


@pytest.mark.parametrize("kind", ["every step masked", "every step unequal", "last step unequal"])
def test_silent_steps_after_the_end_change_nothing(kind):
    gradients, weights, trials = setting(CELLS["LSTM"], kind=kind)
    longer = trials.padded(trials.n_steps + 3)
    assert (longer.n_steps, trials.padded(1).n_steps) == (trials.n_steps + 3, trials.n_steps)
    assert relative_error(*(gradients(nb.bp_lambda(), weights, each) for each in (longer, trials))) <= 1e-12
    counted = dataclasses.replace(longer, lengths=longer.lengths + 3)
    assert relative_error(*(gradients(nb.bp_lambda(), weights, each) for each in (counted, trials))) > 1e-3


# The exact gradient


def test_bptt_is_the_gradient_of_the_loss(cell):
    gradients, weights, trials = setting(cell, kind="every step masked")
    circuit = nb.Circuit(cell, READOUT, PREDICTORS["linear"])
    wanted = jax.jit(jax.grad(circuit.loss))(weights, trials)
    exact = gradients(nb.bptt(), weights, trials)
    assert relative_error(exact[:2], wanted[:2]) <= 1e-12
    assert size(exact.cerebellum) == 0
    assert relative_error(gradients(nb.tbptt(3), weights, trials).cortex, wanted.cortex) > 1e-3


@pytest.mark.parametrize("kind", ["every step masked", "last step unequal"])
def test_bptt_equals_finite_differences(cell, kind):
    gradients, weights, trials = setting(cell, kind=kind)
    circuit = nb.Circuit(cell, READOUT, PREDICTORS["linear"])
    loss = jax.jit(circuit.loss)
    got = gradients(nb.bptt(), weights, trials)[:2]
    flat, rebuild = jax.flatten_util.ravel_pytree(weights[:2])
    directions = np.random.default_rng(0).normal(size=(12, flat.size))
    slopes = np.stack([jax.flatten_util.ravel_pytree(got)[0] @ d for d in directions])
    h = 1e-5

    def moved(step):
        return float(loss(nb.Weights(*rebuild(flat + step), weights.cerebellum), trials))

    differences = np.array([(moved(h * d) - moved(-h * d)) / (2 * h) for d in directions])
    assert np.abs(differences).min() > 1e-3
    np.testing.assert_allclose(slopes, differences, rtol=1e-6, atol=1e-7)


class Table(NamedTuple):
    """States, and the gradient remembered for each."""

    states: jax.Array
    futures: jax.Array


@dataclass(frozen=True)
class TablePredictor:
    """Recalls the gradient of the remembered state that is nearest; its predictions can be exact."""

    n_remembered: int
    reads_input = False

    def init(self, key, n_fibres, n_state, dtype):
        return Table(*(jnp.zeros((self.n_remembered, n_state), dtype),) * 2)

    def predict(self, theta, s):
        distance = ((s[None] - theta.states.reshape(*theta.states.shape, *(1,) * (s.ndim - 1))) ** 2).sum(1)
        return jnp.moveaxis(theta.futures[distance.argmin(0)], -1, 0)

    def plastic(self, theta):
        return Table(False, True)

    def project(self, theta):
        return theta


def true_futures(circuit, weights, trials):
    """States (time · trial, state) and ∂(loss of later steps)/∂s, from perturbations of each state."""

    def loss(perturbations, first_step):
        total, s = 0.0, cortical.initial_state(circuit.cortex, weights.cortex, (trials.n_trials,), trials.inputs.dtype)
        states = []
        for t in range(trials.n_steps):
            s = cortical.step(circuit.cortex, weights.cortex, s, trials.inputs[:, t].T)
            s = jax.tree.map(jnp.add, s, tuple(jnp.split(perturbations[t], len(s))))
            states.append(jnp.concatenate(s))
            y = circuit.readout.outputs(weights.readout, s[0])
            total += (t >= first_step) * circuit.readout.loss_value(y, trials.targets[:, t].T).sum()
        return total / trials.n_trials, jnp.stack(states)

    zeros = jnp.zeros((trials.n_steps, cortical.n_state(circuit.cortex), trials.n_trials))
    slope = jax.jit(jax.grad(loss, has_aux=True))
    states = slope(zeros, 0)[1]
    futures = jnp.stack([slope(zeros, t + 1)[0][t] for t in range(trials.n_steps)])
    return Table(*(jnp.moveaxis(x, 1, 2).reshape(-1, x.shape[1]) for x in (states, futures)))


@pytest.mark.parametrize("trace", [nb.Immediate(), nb.Leaky()])
def test_an_exact_prediction_gives_bptt_and_no_td_error(cell, trace):
    _, weights, trials = setting(cell)
    circuit = nb.Circuit(cell, READOUT, TablePredictor(trials.n_trials * trials.n_steps))
    gradients = gradients_of(circuit)
    table = true_futures(circuit, weights, trials)
    assert size(table.futures) > 1e-2
    weights = weights._replace(cerebellum=table)
    exact = gradients(nb.bptt(), weights, trials)
    wrong = weights._replace(cerebellum=table._replace(futures=1.01 * table.futures))
    for view in ("forward", "backward"):
        for lambda_ in (0.0, 0.6, 1.0):
            rule = nb.bp_lambda(lambda_, trace=trace, view=view)
            got, bad = gradients(rule, weights, trials), gradients(rule, wrong, trials)
            assert relative_error(got.cortex, exact.cortex) <= 1e-12
            assert relative_error(bad.cortex, exact.cortex) > 1e-4
            assert size(got.cerebellum) <= 1e-12 * size(bad.cerebellum) * 100
            assert size(bad.cerebellum) > 1e-6


# Special cases of one another


def test_lambda_0_is_the_one_step_synthetic_gradient(cell):
    gradients, weights, trials = setting(cell, "granular all", "every step unequal")
    one_step = gradients(nb.dni(1), weights, trials)
    assert relative_error(gradients(nb.bp_lambda(0.0), weights, trials), one_step) <= 1e-12
    assert relative_error(gradients(nb.bp_lambda(0.01), weights, trials).cerebellum, one_step.cerebellum) > 1e-5


def test_kappa_0_is_tbptt_1(cell):
    gradients, weights, trials = setting(cell)
    truncated = gradients(nb.tbptt(1), weights, trials)
    assert relative_error(gradients(nb.bp_lambda(1.0, kappa=0.0), weights, trials)[:2], truncated[:2]) <= 1e-12
    assert relative_error(gradients(nb.bp_lambda(1.0, kappa=0.01), weights, trials).cortex, truncated.cortex) > 1e-5


@two_cells
@pytest.mark.parametrize("window", [N_STEPS, N_STEPS + 3])
def test_one_window_is_bptt(cell, window):
    gradients, weights, trials = setting(cell, kind="every step unequal")
    exact = gradients(nb.bptt(), weights, trials)
    assert size(exact.cortex) > 1e-2
    assert relative_error(gradients(nb.tbptt(window), weights, trials), exact) <= 1e-12
    assert relative_error(gradients(nb.dni(window), weights, trials).cortex, exact.cortex) <= 1e-12
    assert size(gradients(nb.dni(window), weights, trials).cerebellum) == 0
    assert relative_error(gradients(nb.tbptt(N_STEPS - 1), weights, trials).cortex, exact.cortex) > 1e-5


# The leaky trace


@pytest.mark.parametrize(
    "cell",
    [
        nb.RateCortex(N_INPUTS, N_UNITS, "tanh"),
        nb.RateCortex(N_INPUTS, N_UNITS, "softplus", tau=0.02, dt=0.01),
        nb.RateCortex(N_INPUTS, N_UNITS, "tanh", tau=0.1, dt=0.01),
        CELLS["LSTM"],
        CELLS["GRU"],
    ],
    ids=["tau dt", "tau 2dt", "tau 10dt", "LSTM", "GRU"],
)
def test_a_leaky_trace_with_the_explicit_signal_is_bptt(cell):
    gradients, weights, trials = setting(cell, kind="every step unequal")
    exact = gradients(nb.bptt(), weights, trials)
    assert relative_error(gradients(LEAKY_EXACT, weights, trials), exact) <= 1e-12
    leaky_alone = nb.LearningRule(nb.Leaky(), nb.ImmediateError())
    assert relative_error(gradients(leaky_alone, weights, trials).cortex, exact.cortex) > 1e-2


def test_a_leaky_trace_with_the_whole_future_counts_the_leak_twice():
    cell = nb.RateCortex(N_INPUTS, N_UNITS, "tanh", tau=0.1, dt=0.01)
    gradients, weights, trials = setting(cell)
    circuit = nb.Circuit(cell, READOUT, PREDICTORS["linear"])
    trial = play(circuit, weights, trials, predicting=False)
    (future,) = nb.Exact().assign(circuit, weights, trial).future
    nothing = (jnp.zeros_like(future),)
    whole = trial._replace(errors=trial.errors + future)
    doubled, _ = nb.Leaky().drives(circuit, weights, whole, Assignment(nothing, nothing, None))
    exact = gradients(nb.bptt(), weights, trials).cortex
    assert relative_error(cortical_gradient(circuit.cortex, doubled, trial), exact) > 0.1
    once, _ = nb.Immediate().drives(circuit, weights, whole, Assignment(nothing, nothing, None))
    assert relative_error(cortical_gradient(circuit.cortex, once, trial), exact) <= 1e-12


# An untrained predictor


@two_cells
@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize("trace", [nb.Immediate(), nb.Leaky()])
def test_an_untrained_cerebellum_changes_nothing(cell, predictor, trace):
    circuit = nb.Circuit(cell, READOUT, PREDICTORS[predictor])
    gradients, weights, trials = setting(cell, predictor)
    untrained = weights._replace(cerebellum=circuit.init(jax.random.key(5)).cerebellum)
    if trace == nb.Immediate():
        alone = gradients(nb.tbptt(1), untrained, trials)
        applied = gradients(nb.bp_lambda(0.5), untrained, trials)
        assert relative_error(applied[:2], alone[:2]) <= 1e-12
        assert size(applied.cerebellum) > 1e-3
    rule = nb.bp_lambda(0.5, trace=trace)
    held = nb.LearningRule(trace, nb.Predicted(0.5, kappa=0.0))
    if trace == nb.Immediate():
        assert relative_error(gradients(rule, untrained, trials), gradients(held, untrained, trials)) == 0
    trained, trained_held = gradients(rule, weights, trials), gradients(held, weights, trials)
    assert relative_error(trained.cortex, trained_held.cortex) > 1e-2
    assert relative_error(trained.readout, trained_held.readout) == 0


@two_cells
def test_every_rule_gives_the_same_readout_gradient(cell):
    gradients, weights, trials = setting(cell)
    wanted = gradients(nb.bptt(), weights, trials).readout
    assert size(wanted) > 1e-2
    for rule in (nb.tbptt(1), nb.dni(3), nb.bp_lambda(0.5), nb.bp_lambda(0.5, view="backward"), LEAKY_EXACT):
        assert relative_error(gradients(rule, weights, trials).readout, wanted) <= 1e-12


# Jacobians and slopes


ALL_CELLS = [nb.RateCortex(N_INPUTS, N_UNITS, name, tau=0.03, dt=0.01) for name in NONLINEARITIES]
ALL_CELLS += [CELLS["LSTM"], CELLS["GRU"]]


@pytest.mark.parametrize("cell", ALL_CELLS, ids=lambda cell: getattr(cell, "nonlinearity", type(cell).__name__))
def test_jacobian_equals_finite_differences_and_pull_state(cell):
    weights = random_weights(nb.Circuit(cell, READOUT), 1).cortex
    n, k = cortical.n_state(cell), cell.n_components
    rng = np.random.default_rng(2)
    s, x = jnp.asarray(rng.normal(size=n)), jnp.asarray(rng.normal(size=N_INPUTS))
    step = jax.jit(lambda s: jnp.concatenate(cortical.step(cell, weights, tuple(jnp.split(s, k)), x)))
    J = jacobian.jacobian(cell, weights, tuple(jnp.split(s, k)), x)
    h = 1e-6
    columns = [(step(s + h * e) - step(s - h * e)) / (2 * h) for e in jnp.eye(n)]
    np.testing.assert_allclose(J, jnp.stack(columns, 1), rtol=1e-6, atol=1e-8)
    v = jnp.asarray(rng.normal(size=n))
    s_tm1 = tuple(jnp.split(s, k))
    a_t = cortical.activation(cell, weights, s_tm1, x)
    pulled = jnp.concatenate(jacobian.pull_state(cell, weights, s_tm1, a_t, tuple(jnp.split(v, k))))
    assert relative_error(pulled, v @ J) <= 1e-13
    assert relative_error(pulled, J @ v) > 1e-2


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_slope_equals_the_derivative(name):
    u = jnp.asarray(np.random.default_rng(0).normal(size=50) * 3)
    nonlinearity = NONLINEARITIES[name]
    wanted = jax.vmap(jax.grad(nonlinearity.value))(u)
    assert size(wanted) > 0.2
    np.testing.assert_allclose(nonlinearity.slope(nonlinearity.value(u)), wanted, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("cell", [CELLS["LSTM"], CELLS["GRU"]], ids=["LSTM", "GRU"])
def test_slopes_of_gates_equal_the_derivative(cell):
    u = jnp.asarray(np.random.default_rng(0).normal(size=4 * N_UNITS) * 2)
    wanted = jnp.diag(jax.jacfwd(cell.activate)(u))
    got = jnp.concatenate(cell.slopes(cortical.split(cell, cell.activate(u))))
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
