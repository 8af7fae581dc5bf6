"""Cost of rates and weights, initial states and predictors that read the input: every rule, against the NumPy oracle.

The three are tested together, so that each rule compiles once a cell; that each of them acts is tested apart.
"""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_circuits import N_INPUTS, N_OUTPUTS, N_UNITS, random_trials, random_weights, relative_error, size
from refusing import refusal

import neuro_bpl as nb
from neuro_bpl.learning import optimizers as optimising
from neuro_bpl.learning.single_step import online_outcome, single_steps

READOUT = nb.LinearReadout(N_OUTPUTS)
COST = {"rates": 0.3, "weights": 0.02}
OPTIONS = {"regularization": nb.Regularization(**COST), "initial_state": nb.InitialState(sd=1.0, learned=True)}
CIRCUITS = {
    "rate": nb.Circuit(
        nb.RateCortex(N_INPUTS, N_UNITS, tau=0.02, dt=0.01),
        READOUT,
        nb.GranularPredictor(8, fan_in=7, plasticity="all", reads_input=True),
        **OPTIONS,
    ),
    "LSTM": nb.Circuit(nb.LSTMCortex(N_INPUTS, N_UNITS), READOUT, nb.LinearPredictor(reads_input=True), **OPTIONS),
    "GRU": nb.Circuit(
        nb.GRUCortex(N_INPUTS, N_UNITS), READOUT, nb.DeepPredictor((6,), "softplus", reads_input=True), **OPTIONS
    ),
}
ORACLES = {
    "rate": (oracle.Rate("tanh", 0.5), oracle.Granular("all", reads_input=True)),
    "LSTM": (oracle.LSTM(), oracle.Linear(reads_input=True)),
    "GRU": (oracle.GRU(), oracle.Deep("softplus", reads_input=True)),
}
NUMBERS = {"lambda_": 0.7, "discount": 0.8, "kappa": 1.3}
RULES = {
    "bptt": (nb.bptt(), oracle.Rule("bptt")),
    "leaky exact": (nb.LearningRule(nb.Leaky(), nb.Exact()), oracle.Rule("bptt", leaky=True)),
    "tbptt(3)": (nb.tbptt(3), oracle.Rule("tbptt", window=3)),
    "dni(3)": (nb.dni(3, 0.9, 0.3), oracle.Rule("dni", window=3, discount=0.9, kappa=0.3)),
    "forward": (nb.bp_lambda(**NUMBERS), oracle.Rule("bp_lambda", **NUMBERS)),
    "backward": (nb.bp_lambda(**NUMBERS, view="backward"), oracle.Rule("bp_lambda", **NUMBERS, view="backward")),
    "leaky forward": (nb.bp_lambda(**NUMBERS, trace=nb.Leaky()), oracle.Rule("bp_lambda", **NUMBERS, leaky=True)),
    "leaky backward": (
        nb.bp_lambda(**NUMBERS, trace=nb.Leaky(), view="backward"),
        oracle.Rule("bp_lambda", **NUMBERS, leaky=True, view="backward"),
    ),
    "leaky immediate error": (
        nb.LearningRule(nb.Leaky(), nb.ImmediateError(), view="backward"),
        oracle.Rule("immediate_error", leaky=True),
    ),
}
KINDS = {"rate": "every step masked unequal", "LSTM": "last step unequal", "GRU": "every step unequal"}
RATES = (0.3, 0.2, 0.5)
SGD = nb.Optimizers(*(nb.Optimizer("sgd", rate) for rate in RATES))


@cache
def learn_in(circuit):
    return jax.jit(lambda rule, weights, trials: rule.learn(circuit, weights, trials))


@cache
def setting(cell):
    """Random weights and trials, equal for all rules."""
    return random_weights(CIRCUITS[cell], seed=3), random_trials(KINDS[cell], "squared_error", seed=4)


@cache
def package(cell, rule):
    gradient, outcome = learn_in(CIRCUITS[cell])(RULES[rule][0], *setting(cell))
    return gradient, outcome.loss


def plain(weights):
    """Weights as the oracle takes them."""
    weights = jax.tree.map(np.asarray, weights)
    return oracle.Weights(*weights.cortex, *weights.readout, tuple(jax.tree.leaves(weights.cerebellum)))


def expected(cell, rule, penalty=COST, input_delay=0):
    """The oracle's gradients in the package's structure, and its loss; with mistakes, for negative controls."""
    weights, trials = setting(cell)
    data = (trials.inputs, trials.targets, trials.mask, trials.lengths)
    model, predictor = ORACLES[cell]
    loss, gradient = oracle.gradients(
        RULES[rule][1]._replace(input_delay=input_delay),
        model,
        "squared_error",
        predictor,
        plain(weights),
        *(None if values is None else np.asarray(values) for values in data),
        oracle.Penalty(**penalty),
    )
    return jax.tree.unflatten(jax.tree.structure(weights), jax.tree.leaves(gradient)), loss


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("cell", CIRCUITS)
def test_gradients_equal_the_oracle(cell, rule):
    (got, got_loss), (wanted, loss) = package(cell, rule), expected(cell, rule)
    assert relative_error(got, wanted) <= 1e-10
    assert abs(got_loss - loss) <= 1e-10 * loss
    assert min(size(part) for part in (*got.cortex, got.readout)) > 1e-3
    assert (size(got.cerebellum) > 1e-3) == RULES[rule][0].credit.predicting


@pytest.mark.parametrize("rule", ["bptt", "forward", "leaky backward"])
@pytest.mark.parametrize("cell", CIRCUITS)
@pytest.mark.parametrize("mistake", [{"rates": 0.301}, {"weights": 0.0201}])
def test_a_wrong_cost_is_noticed(cell, rule, mistake):
    (got, got_loss), (other, loss) = package(cell, rule), expected(cell, rule, penalty=COST | mistake)
    assert relative_error(got.cortex, other.cortex) > 1e-5
    assert abs(got_loss - loss) > 1e-5 * loss


@pytest.mark.parametrize("rule", ["dni(3)", "forward", "backward"])
@pytest.mark.parametrize("cell", CIRCUITS)
def test_an_input_of_another_step_is_noticed(cell, rule):
    other, _ = expected(cell, rule, input_delay=1)
    got, _ = package(cell, rule)
    assert relative_error(got.cortex, other.cortex) > 1e-3
    assert relative_error(got.cerebellum, other.cerebellum) > 1e-3


# Identities


@pytest.mark.parametrize("cell", CIRCUITS)
def test_the_exact_gradient_holds_costs_and_initial_state(cell):
    circuit, (weights, trials), (got, loss) = CIRCUITS[cell], setting(cell), package(cell, "bptt")
    value = jax.jit(circuit.loss)
    assert abs(value(weights, trials) - loss) <= 1e-14 * loss
    flat, rebuild = jax.flatten_util.ravel_pytree(weights[:2])
    fixed_start = jax.flatten_util.ravel_pytree(
        (got.cortex._replace(s_0=jax.tree.map(jnp.zeros_like, got.cortex.s_0)), got.readout)
    )[0]
    slopes = jax.flatten_util.ravel_pytree(got[:2])[0]
    directions = np.random.default_rng(0).normal(size=(8, flat.size))

    def difference(direction, h=1e-5):
        ahead, behind = (
            value(nb.Weights(*rebuild(flat + d), weights.cerebellum), trials) for d in (h * direction, -h * direction)
        )
        return float(ahead - behind) / (2 * h)

    differences = np.array([difference(direction) for direction in directions])
    assert np.abs(differences).min() > 1e-3
    np.testing.assert_allclose(directions @ slopes, differences, rtol=1e-6, atol=1e-7)
    assert np.abs(directions @ fixed_start - differences).max() > 1e-2


@pytest.mark.parametrize("cell", CIRCUITS)
def test_the_leaky_trace_reaches_the_initial_state(cell):
    exact, (leaky, _) = package(cell, "bptt")[0], package(cell, "leaky exact")
    assert relative_error(leaky, exact) <= 1e-12
    assert relative_error(package(cell, "leaky immediate error")[0].cortex.s_0, exact.cortex.s_0) > 1e-2


@pytest.mark.parametrize("leaky", ["", "leaky "])
@pytest.mark.parametrize("cell", CIRCUITS)
def test_forward_and_backward_view_are_equal(cell, leaky):
    (forward, loss), (backward, by_steps) = package(cell, leaky + "forward"), package(cell, leaky + "backward")
    assert relative_error(backward, forward) <= 1e-12
    assert abs(loss - by_steps) <= 1e-12 * loss
    assert size(forward.cortex.s_0) > 1e-3


# Step by step


def learnt(circuit, rule, weights, trials):
    """Weights after a batch of trials in which all of them change at every step, and how it went."""

    def advance(carry, single_step):
        weights, optimizer_state, state = carry
        state, gradient, loss, y_t = rule.step(circuit, weights, state, single_step)
        weights, optimizer_state = optimising.apply(SGD, circuit, weights, optimizer_state, gradient)
        return (weights, optimizer_state, state), (loss, y_t)

    state = SGD.transform(circuit, weights).init(weights)
    carry = (weights, state, rule.init(circuit, weights, trials.n_trials))
    (weights, _, _), seen = jax.lax.scan(advance, carry, single_steps(trials))
    return weights, online_outcome(circuit, trials, *seen)


@pytest.mark.parametrize("trace", [nb.Immediate(), nb.Leaky()], ids=["immediate", "leaky"])
@pytest.mark.parametrize("cell", CIRCUITS)
def test_weights_that_change_at_every_step_are_the_oracles(cell, trace):
    circuit, weights = CIRCUITS[cell], setting(cell)[0]
    trials = random_trials("every step", "squared_error", seed=6)
    rule = nb.bp_lambda(**NUMBERS, trace=trace, view="backward", update="step")
    got, _ = jax.jit(learnt, static_argnums=0)(circuit, rule, weights, trials)
    model, predictor = ORACLES[cell]

    def wanted(penalty):
        described = oracle.Rule("bp_lambda", **NUMBERS, leaky=trace == nb.Leaky())
        data = np.asarray(trials.inputs), np.asarray(trials.targets)
        after = oracle.online_learning(
            described, model, "squared_error", predictor, plain(weights), *data, RATES, penalty
        )
        return jax.tree.unflatten(jax.tree.structure(weights), jax.tree.leaves(after))

    assert relative_error(got, wanted(oracle.Penalty(**COST))) <= 1e-10
    for mistake in ({"rates": 0.301}, {"weights": 0.0201}):
        assert relative_error(got, wanted(oracle.Penalty(**COST | mistake))) > 1e-6
    for before, after in zip(jax.tree.leaves(weights[:2]), jax.tree.leaves(got[:2]), strict=True):
        assert relative_error(before, after) > 1e-2


# What each option does, and what it leaves alone


def changed(cell, **fields):
    return dataclasses.replace(CIRCUITS[cell], **fields)


@pytest.mark.parametrize("cell", CIRCUITS)
def test_the_loss_is_the_tasks_and_the_cost_of_every_step_of_a_trial(cell):
    circuit, (weights, trials) = CIRCUITS[cell], setting(cell)

    @jax.jit
    def run(weights, trials):
        trajectory, outputs = circuit.run(weights, trials)
        return trajectory.s_t[0], circuit.mean_loss(outputs, trials), circuit.outcome(weights, trials).loss

    rates, task, whole = run(weights, trials)
    runs = np.asarray(trials.steps_left()) >= 0
    squares = (np.asarray(rates) ** 2).sum(1)[runs].sum()
    synapses = sum(float((w**2).sum()) for w in (*weights.cortex[:2], weights.readout.w))
    cost = 0.5 * (COST["rates"] * squares + COST["weights"] * synapses * runs.sum()) / trials.n_trials
    np.testing.assert_allclose(whole - task, cost, rtol=1e-12)
    assert cost > 0.1 * task


def test_biases_and_the_cerebellum_cost_nothing():
    circuit, (weights, trials) = CIRCUITS["LSTM"], setting("LSTM")
    silent = jax.tree.map(jnp.zeros_like, weights)._replace(cerebellum=weights.cerebellum)
    biased = silent._replace(readout=silent.readout._replace(b=silent.readout.b + 1.0))
    trials = nb.Trials(trials.inputs, jnp.ones_like(trials.targets))
    assert circuit.loss(biased, trials) == 0
    assert circuit.loss(silent, trials) > 0


def test_an_initial_state_leaves_the_other_weights_as_they_were():
    key, zero = jax.random.key(5), nb.InitialState()
    for cell, circuit in CIRCUITS.items():
        born, without = circuit.init(key), changed(cell, initial_state=zero).init(key)
        assert without.cortex.s_0 is None
        assert [c.shape for c in born.cortex.s_0] == [(N_UNITS,)] * circuit.cortex.n_components
        same = born._replace(cortex=born.cortex._replace(s_0=None))
        assert jax.tree.all(jax.tree.map(jnp.array_equal, same, without))


def test_an_initial_state_has_the_distribution_asked_for():
    cortex = nb.LSTMCortex(1, 5000)
    h, c = nb.InitialState(mean=-0.4, sd=0.3).init(cortex, jax.random.key(0), jnp.dtype("float32"))
    assert h.dtype == jnp.float32
    for component in (h, c):
        assert abs(component.mean() + 0.4) < 0.02
        assert abs(component.std() - 0.3) < 0.02
    assert abs(jnp.corrcoef(h, c)[0, 1]) < 0.05
    (held,) = nb.InitialState(mean=0.2).init(nb.RateCortex(1, 3), jax.random.key(0), jnp.dtype("float32"))
    assert (held == jnp.float32(0.2)).all()
    (zero,) = nb.InitialState(learned=True).init(nb.RateCortex(1, 3), jax.random.key(0), jnp.dtype("float32"))
    assert not zero.any()


@pytest.mark.parametrize("learned", [True, False])
def test_an_initial_state_learns_only_where_it_is_said_to(learned):
    circuit = changed("LSTM", initial_state=nb.InitialState(sd=0.5, learned=learned))
    weights, _ = setting("LSTM")
    gradient, _ = package("LSTM", "forward")
    state = SGD.transform(circuit, weights).init(weights)
    after, _ = optimising.apply(SGD, circuit, weights, state, gradient)
    moved = [bool((a != b).all()) for a, b in zip(after.cortex.s_0, weights.cortex.s_0, strict=True)]
    assert moved == [learned, learned]
    assert (after.cortex.w_rec != weights.cortex.w_rec).any()


def test_a_predictor_reads_state_and_input_in_this_order():
    circuit, (weights, _) = CIRCUITS["LSTM"], setting("LSTM")
    rng = np.random.default_rng(0)
    s, x = tuple(jnp.asarray(rng.normal(size=(2, N_UNITS)))), jnp.asarray(rng.normal(size=N_INPUTS))
    theta = weights.cerebellum
    by_hand = theta.w[:, : 2 * N_UNITS] @ jnp.concatenate(s) + theta.w[:, 2 * N_UNITS :] @ x + theta.b
    assert relative_error(jnp.concatenate(circuit.predict(theta, s, x)), by_hand) <= 1e-14
    blind = dataclasses.replace(circuit, cerebellum=nb.LinearPredictor())
    assert jnp.array_equal(blind.mossy_fibres(s, x), jnp.concatenate(s))
    assert blind.init(jax.random.key(0)).cerebellum.w.shape == (2 * N_UNITS, 2 * N_UNITS)


def test_only_what_is_read_is_carried():
    trials = random_trials("every step", "squared_error", seed=0)
    rule = nb.bp_lambda(view="backward", update="step")
    for reads_input in (True, False):
        circuit = changed("rate", cerebellum=nb.LinearPredictor(reads_input), initial_state=nb.InitialState())
        weights = circuit.init(jax.random.key(0))
        state = rule.init(circuit, weights, trials.n_trials)
        assert state.cortical_trace == ()
        first = jax.tree.map(lambda a: a[0], single_steps(trials))
        after = jax.jit(rule.step, static_argnums=0)(circuit, weights, state, first)[0]
        assert jax.tree.structure(after) == jax.tree.structure(state)
        assert jnp.array_equal(after.x, trials.inputs[:, 0].T) if reads_input else after.x == ()


@pytest.mark.parametrize("cell", CIRCUITS)
@pytest.mark.parametrize("rule", ["bptt", "dni(3)", "leaky forward", "backward", "leaky backward"])
def test_single_precision_is_kept(cell, rule):
    weights, trials = jax.tree.map(lambda a: a.astype("float32") if a.dtype == float else a, setting(cell))
    seen = jax.eval_shape(lambda *data: RULES[rule][0].learn(CIRCUITS[cell], *data), weights, trials)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(seen)} == {"float32"}


# Refusals


@given(st.floats(max_value=0, exclude_max=True) | st.sampled_from([float("nan"), float("inf"), "0", True]))
def test_costs_and_spread_are_not_negative(value):
    refusal(lambda: nb.Regularization(rates=value), value)
    refusal(lambda: nb.Regularization(weights=value), value)
    refusal(lambda: nb.InitialState(sd=value), value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "0"])
def test_a_mean_is_a_finite_number(value):
    refusal(lambda: nb.InitialState(mean=value), value)


def test_fan_in_is_at_most_the_number_of_fibres_with_the_input():
    n_fibres = N_UNITS + N_INPUTS
    too_many = changed("rate", cerebellum=nb.GranularPredictor(8, fan_in=n_fibres + 1, reads_input=True))
    message = refusal(lambda: too_many.init(jax.random.key(0)), n_fibres + 1)
    assert f"<= {n_fibres}," in message
    assert "input" in message
    full = changed("rate", cerebellum=nb.GranularPredictor(8, fan_in=n_fibres, reads_input=True))
    assert full.init(jax.random.key(0)).cerebellum.mask.shape == (8, n_fibres)
    blind = changed("rate", cerebellum=nb.GranularPredictor(8, fan_in=n_fibres))
    refusal(lambda: blind.init(jax.random.key(0)), n_fibres)
