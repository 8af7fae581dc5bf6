"""The headline results, from the models' own parameters: long, run with `pytest -m science`."""

import runpy

import jax
import pytest
from scripting import ROOT

import neuro_bpl as nb
from neuro_bpl.scripting import summaries

MODEL = runpy.run_path(str(ROOT / "models/sequential_digits.py"))
REACHING = runpy.run_path(str(ROOT / "models/target_reaching.py"))
COMPARED = runpy.run_path(str(ROOT / "models/rule_comparison.py"))
CURVES = runpy.run_path(str(ROOT / "analyses/learning_curves.py"))


@pytest.fixture(autouse=True)
def optimised_programs():
    """Long experiments run at full speed; the other tests compile quickly instead."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.mark.science
@pytest.mark.parametrize(
    ("chosen", "largest_gap"),
    [
        pytest.param({"cortex": "lstm"}, 2.0, id="LSTM"),
        # The rate cell misses two points (docs/results.md); this bound guards the published figure.
        pytest.param(
            {"cortex": "rate", "discount": 1.0, "kappa": 1.0, "predictor_learning_rate": 1e-3}, 3.5, id="rate"
        ),
    ],
)
def test_bp_lambda_reads_digits_nearly_as_well_as_bptt_and_better_than_truncation(chosen, largest_gap, tmp_path):
    parameters = MODEL["Parameters"](**chosen, seeds=10, output=str(tmp_path / "run"))
    run = nb.open_run(MODEL["simulate"](parameters))
    accuracy = run["evaluation"]["accuracy"].sel(split="test")
    bp, truncated = (CURVES["final_differences"](accuracy, reference) for reference in ("BPTT", "TBPTT(1)"))
    assert bp.sel(rule="BP(1)")["mean"] > -largest_gap
    assert truncated.sel(rule="BP(1)")["low"] > 0


@pytest.mark.science
def test_the_predicted_gradient_aligns_with_the_true_one_the_better_the_larger_lambda(tmp_path):
    run = nb.open_run(REACHING["simulate"](REACHING["Parameters"](output=str(tmp_path / "run"))))
    cosine = run["gradients"]["gradient_alignment"].isel(update=-1).mean("time")
    assert cosine.sizes == {"lambda_": 3, "seed": 20}
    for low, high in ((0.0, 0.5), (0.5, 1.0)):
        _, start, _ = summaries.interval95((cosine.sel(lambda_=high) - cosine.sel(lambda_=low)).values)
        assert start > 0
    # Figures of the released code over 20 seeds (mean, SD), within three errors of the difference of two means.
    for value, mean, spread in ((0.0, 0.27, 0.14), (0.5, 0.62, 0.15), (1.0, 0.92, 0.04)):
        ours = cosine.sel(lambda_=value)
        error = ((spread**2 + float(ours.std(ddof=1)) ** 2) / 20) ** 0.5
        assert abs(float(ours.mean()) - mean) < 3 * error


@pytest.mark.science
def test_an_unbiased_rule_learns_what_rules_without_recurrent_paths_miss(tmp_path):
    """The order of docs/results.md on Add, where what was seen ten steps ago counts."""
    rules = ("bptt", "kf_rtrl", "uoro", "snap", "eprop", "output_only")
    COMPARED["simulate"](COMPARED["Parameters"](task="add", rule=",".join(rules), output=str(tmp_path)))
    loss = nb.open_run(tmp_path / "add")["evaluation"]["loss"].sel(split="test").isel(update=-1)
    for better, worse in (("BPTT", "KF-RTRL"), ("KF-RTRL", "UORO"), ("UORO", "SnAp-1"), ("UORO", "e-prop")):
        _, low, _ = summaries.interval95((loss.sel(rule=worse) - loss.sel(rule=better)).values)
        assert low > 0, (better, worse)
