"""Predictors of any depth: the NumPy oracle at several depths, the predictors they become, and stored runs."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from random_circuits import N_INPUTS, N_OUTPUTS, N_UNITS, random_trials, random_weights, relative_error, size
from refusing import refusal
from stopping import ASKED, stopped
from tiny import CORTEX, READOUT, assert_identical, train

import neuro_bpl as nb
from neuro_bpl.experiments.description import rebuild
from neuro_bpl.runs.pieces import named_leaves

CELL = nb.RateCortex(N_INPUTS, N_UNITS, tau=0.02, dt=0.01)
DEPTHS = {0: (), 1: (7,), 3: (6, 4, 5)}
NUMBERS = {"lambda_": 0.6, "discount": 0.9, "kappa": 0.4}


def circuit_with(predictor):
    return nb.Circuit(CELL, nb.LinearReadout(N_OUTPUTS), predictor)


@cache
def gradients_of(predictor, view):
    circuit, rule = circuit_with(predictor), nb.bp_lambda(**NUMBERS, view=view)
    return jax.jit(lambda weights, trials: rule.gradients(circuit, weights, trials))


def setting(predictor):
    weights = random_weights(circuit_with(predictor), seed=3)
    return weights, random_trials("every step unequal", "squared_error", seed=4)


@pytest.mark.parametrize("view", ["forward", "backward"])
@pytest.mark.parametrize(
    ("depth", "nonlinearity", "plasticity"),
    [(0, "tanh", "all"), (1, "softplus", "output"), (3, "tanh", "all"), (3, "relu", "output")],
)
def test_gradients_equal_the_oracle(depth, nonlinearity, plasticity, view):
    predictor = nb.DeepPredictor(DEPTHS[depth], nonlinearity, plasticity)
    weights, trials = setting(predictor)
    got = gradients_of(predictor, view)(weights, trials)
    plain = jax.tree.map(np.asarray, weights)
    _, wanted = oracle.gradients(
        oracle.Rule("bp_lambda", **NUMBERS, view=view),
        oracle.Rate("tanh", 0.5),
        "squared_error",
        oracle.Deep(nonlinearity, plasticity),
        oracle.Weights(*plain.cortex, *plain.readout, tuple(jax.tree.leaves(plain.cerebellum))),
        *(np.asarray(values) for values in (trials.inputs, trials.targets)),
        lengths=np.asarray(trials.lengths),
    )
    assert relative_error(got, jax.tree.unflatten(jax.tree.structure(weights), jax.tree.leaves(wanted))) <= 1e-10
    learns = jax.tree.leaves(predictor.plastic(weights.cerebellum))
    assert learns == [plasticity == "all"] * (2 * depth) + [True, True]
    assert [size(leaf) > 1e-4 for leaf in jax.tree.leaves(got.cerebellum)] == learns


# ------------------------------------------------------------------------------------------- what it is a case of


@pytest.mark.parametrize("view", ["forward", "backward"])
def test_without_hidden_layers_it_is_the_linear_predictor(view):
    weights, trials = setting(nb.DeepPredictor(()))
    linear = weights._replace(cerebellum=type(setting(nb.LinearPredictor())[0].cerebellum)(*weights.cerebellum[2:]))
    got = gradients_of(nb.DeepPredictor(()), view)(weights, trials)
    wanted = gradients_of(nb.LinearPredictor(), view)(linear, trials)
    assert relative_error(jax.tree.leaves(got), jax.tree.leaves(wanted)) == 0
    assert size(got.cerebellum) > 1e-3


@pytest.mark.parametrize("plasticity", ["output", "all"])
def test_with_one_layer_it_is_a_granular_predictor_that_reads_all_fibres(plasticity):
    granular = nb.GranularPredictor(8, fan_in=None, plasticity=plasticity)
    weights, trials = setting(granular)
    _, w, b, w_out, b_out = weights.cerebellum
    deep = nb.DeepPredictor((8,), plasticity=plasticity)
    theta = setting(deep)[0].cerebellum._replace(w_hidden=(w,), b_hidden=(b,), w_out=w_out, b_out=b_out)
    got = gradients_of(deep, "forward")(weights._replace(cerebellum=theta), trials)
    wanted = gradients_of(granular, "forward")(weights, trials)
    assert relative_error(got[:2], wanted[:2]) <= 1e-14
    assert relative_error(jax.tree.leaves(got.cerebellum), list(wanted.cerebellum[1:])) <= 1e-14


# ---------------------------------------------------------------------------------------------------------- at birth


@pytest.mark.parametrize("hidden", DEPTHS.values())
def test_untrained_it_predicts_nothing(hidden):
    predictor = nb.DeepPredictor(hidden, "sigmoid", reads_input=True)
    theta = predictor.init(jax.random.key(0), N_UNITS + N_INPUTS, N_UNITS, jnp.dtype("float32"))
    assert not predictor.predict(theta, jnp.ones((N_UNITS + N_INPUTS, 4))).any()
    widths = (N_UNITS + N_INPUTS, *hidden, N_UNITS)
    shapes = [w.shape for w in (*theta.w_hidden, theta.w_out)]
    assert shapes == list(zip(widths[1:], widths[:-1], strict=True))
    assert all(leaf.any() and leaf.dtype == jnp.float32 for leaf in (*theta.w_hidden, *theta.b_hidden))


def test_weights_at_birth_keep_the_variance_and_do_not_depend_on_what_is_behind():
    init = (jax.random.key(1), 400, 3, jnp.dtype("float32"))
    short, long = nb.DeepPredictor((300,)).init(*init), nb.DeepPredictor((300, 200)).init(*init)
    assert jnp.array_equal(short.w_hidden[0], long.w_hidden[0])
    assert jnp.array_equal(short.b_hidden[0], long.b_hidden[0])
    for w, b in zip(long.w_hidden, long.b_hidden, strict=True):
        n = w.shape[1]
        assert abs(n * w.var() - 1) < 0.05
        assert 0.9 * (3 / n) ** 0.5 < abs(w).max() <= (3 / n) ** 0.5
        assert 0.9 * n**-0.5 < abs(b).max() <= n**-0.5
    assert abs(jnp.corrcoef(long.w_hidden[0][:200, :300].ravel(), long.w_hidden[1].ravel())[0, 1]) < 0.02


# ------------------------------------------------------------------------------------------------------------ in runs


@pytest.mark.full
def test_a_stored_run_is_resumed_and_loaded_and_only_the_output_has_learnt(tmp_path, monkeypatch):
    circuit = nb.Circuit(CORTEX, READOUT, nb.DeepPredictor((4, 3), "tanh", "output", reads_input=True))
    path, asked = tmp_path / "run", {**ASKED, "circuit": circuit}
    whole = train(**asked)
    stopped(monkeypatch, path, 2, circuit=circuit)
    assert_identical(train(**asked, output=path, resume=True), whole)
    assert whole["parameters"]["circuit.cerebellum.hidden"].item() == "4, 3"
    again, after = nb.load(path)
    assert again == circuit
    assert hash(again) == hash(circuit)
    assert {name for name in named_leaves(after) if "hidden" in name} == {
        f"cerebellum.{kind}_hidden.{k}" for kind in "wb" for k in (0, 1)
    }
    born = nb.load(path, snapshot=0).weights.cerebellum
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), born, after.cerebellum)
    assert jax.tree.leaves(moved) == [False] * 4 + [True, True]


@pytest.mark.full
def test_no_hidden_layers_are_stored_and_loaded_too(tmp_path):
    rebuilt = rebuild({"type": "DeepPredictor", "hidden": [], "nonlinearity": "relu"})
    assert rebuilt == nb.DeepPredictor(())
    run = train(circuit=nb.Circuit(CORTEX, READOUT, rebuilt), output=tmp_path / "run")
    assert run["parameters"]["circuit.cerebellum.hidden"].item() == ""
    assert nb.load(tmp_path / "run").circuit.cerebellum == rebuilt


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "hidden", [100, [100], (0,), (4, -1), (4, 2.5), (4, "3"), (True,), None, "4", (float("nan"),), ((4,),)]
)
@pytest.mark.usefixtures("untyped")
def test_hidden_sizes_that_make_no_sense_are_refused(hidden):
    message = refusal(lambda: nb.DeepPredictor(hidden), hidden)
    assert "Allowed: a tuple in which every number is a whole number, 1 <= number." in message
    assert "Type: hidden=(100, 50)." in message


@pytest.mark.usefixtures("untyped")
def test_names_and_flags_that_make_no_sense_are_refused():
    for make, value in [
        (lambda v: nb.DeepPredictor((3,), v), "rlu"),
        (lambda v: nb.DeepPredictor((3,), plasticity=v), "hidden"),
        (lambda v: nb.DeepPredictor((3,), reads_input=v), 1),
    ]:
        refusal(lambda make=make, value=value: make(value), value)


def test_it_has_no_granule_cells():
    circuit = nb.Circuit(CORTEX, READOUT, nb.DeepPredictor((3,)))
    refusal(lambda: train(circuit=circuit, record=["granule_rates"]), "granule_rates")
