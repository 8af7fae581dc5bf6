"""The model of predictor traces, its analysis, and what it records of the predictor's updates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from random_circuits import random_weights
from scripting import module

import neuro_bpl as nb
from neuro_bpl.experiments import probe as probing
from neuro_bpl.learning.predictor_traces import DiagonalTrace, HistorySweep, LowRankTrace

pytestmark = pytest.mark.full

MODEL, ANALYSIS = "models/predictor_traces.py", "analyses/bias_and_variance.py"
TINY = ("--n-updates", 4, "--n-evaluations", 2, "--seeds", 2, "--n-units", 4, "--n-dimensions", 2, "--batch-size", 3)
SMALL = ("--task", "target_reaching", "--reaching-steps", 3)
BATCH = 4


@pytest.fixture(scope="module")
def probe():
    circuit = nb.Circuit(nb.RateCortex(3, 5, tau=0.02, dt=0.01), nb.LinearReadout(2), nb.LinearPredictor())
    key = jax.random.key(0)
    trials = nb.Trials(jax.random.normal(key, (6, 5, 3)), jax.random.normal(jax.random.fold_in(key, 1), (6, 5, 2)))
    weights = random_weights(circuit, 0)
    return lambda rule: probing.on(circuit, rule, weights, trials, BATCH)


def backward(trace, lambda_=1.0, discount=1.0):
    return nb.bp_lambda(lambda_, discount, view="backward", update="step", predictor_trace=trace)


def test_updates_of_an_exact_trace_have_variance_over_trials_and_no_bias(probe):
    forward, swept = (probing.predictor_updates(probe(rule)) for rule in (nb.bp_lambda(), backward(HistorySweep())))
    for found in (forward, swept):
        assert float(found.alignment) == pytest.approx(1)
        assert abs(float(found.bias_squared)) < 1e-20
    assert float(swept.variance) == pytest.approx(float(forward.variance), rel=1e-10)
    assert float(swept.variance) > 0.01


def test_variance_is_that_of_updates_from_single_trials(probe):
    seen = probe(nb.bp_lambda())
    rows = []
    for n in range(seen.trials.n_trials):
        alone = jax.tree.map(lambda leaf, n=n: leaf[n : n + 1], seen.trials)
        alone = dataclasses.replace(alone, mask=jnp.full((1, 5), 1 / BATCH))
        theta = nb.bp_lambda().gradients(seen.circuit, seen.weights, alone).cerebellum
        rows.append(np.concatenate([np.ravel(leaf) for leaf in theta]))
    rows = np.array(rows)
    expected = ((rows - rows.mean(0)) ** 2).sum(1).mean() / (rows.mean(0) ** 2).sum()
    assert float(probing.predictor_updates(seen).variance) == pytest.approx(expected, rel=1e-10)


def test_local_and_bootstrapped_updates_are_biased_and_random_ones_are_noisy(probe):
    exact = probing.predictor_updates(probe(backward(HistorySweep())))
    for rule in (backward(DiagonalTrace()), backward(HistorySweep(), 0.0), backward(HistorySweep(), 1.0, 0.5)):
        found = probing.predictor_updates(probe(rule))
        assert float(found.bias_squared) > 1e-3
        assert float(found.alignment) < 0.9999
    noisy = probing.predictor_updates(probe(backward(LowRankTrace())))
    assert float(noisy.variance) > 1.5 * float(exact.variance)


def test_a_true_online_rule_is_judged_by_its_backward_view(probe):
    online = nb.bp_lambda(0.5, view="true online", update="step", predictor_trace=HistorySweep())
    found, twin = (probing.predictor_updates(probe(rule)) for rule in (online, backward(HistorySweep(), 0.5)))
    assert float(found.bias_squared) == float(twin.bias_squared) > 0


def test_forms_learn_and_bias_and_variance_are_drawn(script, tmp_path):
    status, out, err = script(MODEL, *TINY, *SMALL, "--rule", "bptt,pca", "--update", "step", "--output", tmp_path)
    assert status == 0, err
    run = nb.open_run(tmp_path / "target_reaching")
    assert run["evaluation"]["loss"].rule.values.tolist() == ["bptt", "pca"]
    assert np.isfinite(run["gradients"]["update_variance"].sel(rule="pca")).all()
    assert np.isnan(run["gradients"]["update_bias"].sel(rule="bptt")).all()
    figure = tmp_path / "bias_and_variance"
    status, out, err = script(ANALYSIS, "--run", tmp_path / "target_reaching", "--output", figure)
    assert status == 0, err
    assert out.count("\n| ") == 2
    assert figure.with_suffix(".png").stat().st_size > 10_000


def test_a_sweep_over_lambda_is_drawn_as_lines(script, tmp_path):
    words = ("--rule", "leak", "--sweep", "lambda_=0,1")
    status, _, err = script(MODEL, *TINY, *SMALL, *words, "--output", tmp_path)
    assert status == 0, err
    figure = tmp_path / "lines"
    status, out, err = script(ANALYSIS, "--run", tmp_path / "target_reaching", "--output", figure)
    assert status == 0, err
    assert "lambda_ 0.0 | " in out
    assert figure.with_suffix(".svg").stat().st_size > 10_000


def test_true_online_learning_is_compared_seed_by_seed(script, tmp_path):
    form = ("--rule", "true_online,history", "--update", "step", "--frozen", "--optimizer", "sgd", "--batch-size", 1)
    words = (*form, "--n-updates", 4, "--n-evaluations", 2, "--seeds", 3, "--n-units", 4)
    sweep = ("--sweep", "predictor_learning_rate=0.1,0.5")
    status, _, err = script(MODEL, *SMALL, *words, *sweep, "--output", tmp_path)
    assert status == 0, err
    run, figure = tmp_path / "target_reaching", tmp_path / "figure"
    analysis = ("analyses/true_online.py", "--run", run, "--output", figure)
    status, out, err = script(*analysis, "--first-seed", 1)
    assert status == 0, err
    assert "(2 seeds)" in out
    cosines = nb.open_run(run)["gradients"]["gradient_alignment"].isel(update=slice(1, None)).mean(["update", "time"])
    of = {form: cosines.sel(rule=form, predictor_learning_rate=0.5)[1:].mean() for form in ("true_online", "history")}
    assert f"| 0.5 | {of['true_online']:.3f} | {of['history']:.3f} | {of['true_online'] - of['history']:+.4f} (" in out
    assert figure.with_suffix(".png").stat().st_size > 10_000
    status, _, err = script(*analysis, "--select", "predictor_learning_rate=0.5")
    assert status == 2
    assert "--sweep" in err


COST = "benchmarks/cost_of_credit.py"
QUICK = ("--units", 3, 5, "--steps", 2, 4, "--n-units", 3, "--n-steps", 2, "--batch-size", 2, "--rounds", 1)


def test_the_cost_of_credit_is_measured_and_drawn(script, tmp_path):
    path, figure = tmp_path / "cost.nc", tmp_path / "cost"
    words = ("--seconds", 0.001, "--rule", "full,history", "--most", 8e3, "--output", path)
    status, out, err = script(COST, *QUICK, *words)
    assert status == 0, err
    assert "| full / history |" in out
    found = xr.load_dataset(path)
    left_out = np.isnan(found.time_by_n_units)
    assert left_out.equals(found.multiply_adds_by_n_units > 8e3)
    assert left_out.any()
    assert not left_out.all()
    status, out, err = script("analyses/cost_of_credit.py", "--run", path, "--output", figure)
    assert status == 0, err
    assert out.startswith("| form | time in n |")
    assert figure.with_suffix(".png").stat().st_size > 10_000


def test_exponents_are_slopes_of_logarithms():
    sizes = np.array([8, 16, 32, 64])
    values = xr.DataArray(5.0 * sizes**3.0 + 1e4, {"n_units": sizes}, "n_units")
    slope = module("analyses/cost_of_credit.py").exponent
    assert slope(values - 1e4, "n_units") == pytest.approx(3)
    assert 2.5 < slope(values, "n_units") < 3
    assert np.isnan(slope(values.where(values.n_units == 8), "n_units"))


@pytest.mark.parametrize(
    "words",
    [
        ("--task", "reaching"),
        ("--rule", "full,none"),
        ("--td-error", "none"),
        ("--rule", "true_online"),  # with Adam and batches
        ("--rule", "pca", "--n-dimensions", 5),
    ],
    ids=lambda words: "-".join(map(str, words)),
)
def test_impossible_parameters_end_with_status_2(script, tmp_path, words):
    status, _, err = script(MODEL, *TINY, *SMALL, *map(str, words), "--output", tmp_path / "runs")
    assert status == 2
    assert "Traceback" not in err
