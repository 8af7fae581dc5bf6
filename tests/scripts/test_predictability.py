"""How far a linear predictor could know the future gradient: found again where it was planted, and in a real run."""

import re

import numpy as np
import pytest
import xarray as xr
from scripting import module

import neuro_bpl as nb

pytestmark = pytest.mark.full

ANALYSIS = "analyses/predictability.py"
MODEL, REACHING, DIGITS = (f"models/{name}.py" for name in ("copy_repeat", "target_reaching", "sequential_digits"))
TINY = ("--n-updates", 6, "--n-evaluations", 3, "--seeds", 2, "--n-units", 3, "--batch-size", 3, "--n-steps", 9)
WORDS = "python models/copy_repeat.py --rule bp_lambda:1"


@pytest.fixture
def predictability():
    return module(ANALYSIS)


def states(seed, n=4, n_trials=200):
    drawn = np.random.default_rng(seed).standard_normal((n, 3, n_trials))
    return np.concatenate((drawn, np.ones_like(drawn[:1])))


def test_a_linear_gradient_is_predicted_and_noise_is_not(predictability):
    planted = np.random.default_rng(0).standard_normal((2, 5))
    fit, test = states(1), states(2)
    matrix = predictability.best_linear(fit, np.einsum("gs,stb->gtb", planted, fit))
    np.testing.assert_allclose(matrix.T, planted, atol=1e-12)
    exact = np.einsum("gs,stb->gtb", planted, test)
    assert predictability.cosine(exact, 3 * exact) == pytest.approx(1)
    noise = np.random.default_rng(3).standard_normal((2, 3, 200))
    predicted = np.einsum("sg,stb->gtb", predictability.best_linear(fit, noise), test)
    assert abs(predictability.cosine(predicted, exact)) < 0.3


def test_steps_without_a_gradient_do_not_count(predictability):
    one, silent = np.ones((2, 1, 3)), np.zeros((2, 1, 3))
    assert predictability.cosine(np.concatenate((one, silent), 1), np.concatenate((one, one), 1)) == pytest.approx(1)
    assert np.isnan(predictability.cosine(silent, one))


def test_an_old_prediction_is_held_against_the_gradient_of_now(predictability, monkeypatch):
    """A gradient that turns round at every snapshot, and a step up after the fourth."""

    def turning(run, p):
        for place in range(6):
            planted = (-1) ** place * np.eye(2, 5)
            length = 5 if place < 4 else 7
            exact = [np.einsum("gs,stb->gtb", planted, states(key)) for key in (1, 2)]
            seen = [predictability.Seen(length, states(key), g, -g) for key, g in zip((1, 2), exact, strict=True)]
            yield 0, 10 * (place + 1), *seen

    monkeypatch.setattr(predictability, "snapshots", turning)
    axes = {"seed": [0], "snapshot": [0, 10, 20, 30, 40, 50, 60]}
    weights = xr.Dataset({"w": (tuple(axes), np.zeros((1, 7)))}, coords=axes)
    run = xr.DataTree.from_dict({"weights": weights})
    found = predictability.measure(run, predictability.Parameters()).isel(seed=0)
    np.testing.assert_allclose(found["learnt"], -1)
    np.testing.assert_allclose(found["best"].sel(age=0), 1)
    assert (abs(found["common"]) < 0.3).all()  # drawn around zero, trials have nothing in common
    np.testing.assert_allclose(found["best"].sel(age=1), [np.nan, -1, -1, -1, np.nan, -1])
    np.testing.assert_allclose(found["best"].sel(age=2), [np.nan, np.nan, 1, 1, np.nan, np.nan])


def test_a_run_is_read_and_drawn(script, predictability, tmp_path):
    words = ("--rule", "bp_lambda:1,tbptt:2", "--sweep", "threshold=0.15,0.9", "--n-snapshots", 3)
    assert script(MODEL, *words, *TINY, "--output", tmp_path / "run")[0] == 0
    read = ("--run", tmp_path / "run", "--n-trials", 50, "--select", "threshold=0.15")
    status, out, _ = script(ANALYSIS, *read, "--output", tmp_path / "figure")
    assert (status, "| best linear, 2 updates old |" in out) == (0, True)
    assert (tmp_path / "figure.svg").is_file()
    for rule in ("TBPTT(2)", "BP(0)"):
        status, _, err = script(ANALYSIS, *read, "--rule", rule)
        assert (status, "predicts a gradient" in err, "rule=BP(1) threshold=0.9" in err) == (2, True, True)
        assert "rule=TBPTT" not in err
    status, _, err = script(ANALYSIS, *read[:-2])
    assert (status, "rule=BP(1) threshold=0.15" in err) == (2, True)
    chosen = predictability.Parameters(n_trials=50, select=("threshold=0.15",))
    found = predictability.measure(nb.open_run(tmp_path / "run"), chosen)
    assert (found["best"].sel(age=0) > found["learnt"]).all()
    assert (found["best"].sel(age=0) > 0.5).all()


@pytest.mark.parametrize(
    ("model", "words", "least"),
    [
        (REACHING, (*TINY, "--plastic", "--sweep", "--n-cues", 2), 0.3),
        (DIGITS, TINY[:-2], 0.0),  # a state does not tell the label on which the gradient hangs
    ],
)
def test_trials_without_a_curriculum_are_read(script, tmp_path, model, words, least):
    words = (*words, "--rule", "bp_lambda:1", "--n-snapshots", 3)
    assert script(model, *words, "--output", tmp_path / "run")[0] == 0
    status, out, _ = script(ANALYSIS, "--run", tmp_path / "run", "--n-trials", 20, "--output", tmp_path / "figure")
    assert status == 0
    assert float(re.search(r"\| best linear, now \| (\S+) ", out)[1]) > least


@pytest.mark.parametrize(
    ("model", "words", "rule", "got"),
    [
        (MODEL, (*TINY, "--n-snapshots", 1), "BP(1)", "CopyRepeat, 2 snapshots"),
        (DIGITS, (*TINY[:-2], "--stream", "--n-snapshots", 3), "BP(1) backward step-wise", "Stream, 4 snapshots"),
    ],
)
def test_what_has_no_snapshots_or_no_trials_is_refused(script, tmp_path, model, words, rule, got):
    assert script(model, *words, "--rule", "bp_lambda", "--output", tmp_path / "run")[0] == 0
    status, _, err = script(ANALYSIS, "--run", tmp_path / "run", "--rule", rule)
    assert (status, got in err, WORDS in err) == (2, True, True)
