"""Scripts: models, analyses and benchmarks run from the command line, and refuse what is not possible with status 2."""

import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import neuro_bpl as nb

ROOT = Path(__file__).resolve().parents[1]
MODEL = "models/sequential_digits.py"
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("models", "analyses", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
)
TINY = (
    "--n-updates",
    "4",
    "--seeds",
    "2",
    "--n-units",
    "3",
    "--n-evaluations",
    "2",
    "--batch-size",
    "3",
    "--cortex",
    "rate",
)


@pytest.fixture(scope="module")
def help_texts():
    """Help of every script, asked for at the same time."""
    environment = {**os.environ, "COLUMNS": "200", "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"}
    asked = {
        script: subprocess.Popen(
            [sys.executable, script, "--help"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for script in SCRIPTS
    }
    return {script: (*process.communicate(timeout=120), process.returncode) for script, process in asked.items()}


@pytest.fixture
def script(monkeypatch, capsys):
    """Run a script in this process, as from a shell in the repository root; its status and what it wrote."""

    def run(path, *words):
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", [path, *map(str, words)])
        status = 0
        try:
            runpy.run_path(str(ROOT / path), run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
        wrote = capsys.readouterr()
        return status, wrote.out, wrote.err

    return run


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run of the model with tiny parameters, made by a process of its own."""
    path = tmp_path_factory.mktemp("runs") / "tiny.zarr"
    done = subprocess.run(
        [sys.executable, MODEL, *TINY, "--rule", "bp_lambda,bptt", "--output", path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    return path, done


def module(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -------------------------------------------------------------------------------------------------------------- help


def test_there_are_scripts_of_every_kind():
    assert {script.split("/")[0] for script in SCRIPTS} == {"models", "analyses", "benchmarks"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_explains_itself(help_texts, name):
    out, err, status = help_texts[name]
    assert (status, err) == (0, "")
    assert name in out
    assert "--output" in out
    assert "default:" in out


def test_help_shows_units_symbols_sources_and_choices(help_texts):
    text = help_texts[MODEL][0]
    for note in (
        "[τ, in s]",
        "[dt, in s]",
        "[λ]",
        "Litwin-Kumar et al. 2017",
        "rows, pixels",
        "in units of full brightness",
    ):
        assert note in text
    assert "[in s]" in help_texts["benchmarks/update_time.py"][0]


# --------------------------------------------------------------------------------------------- from model to figures


def test_the_model_stores_every_rule_side_by_side(stored):
    path, done = stored
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "test accuracy after 4 updates, mean ± SD, seeds: 2" in done.stdout
    run = nb.open_run(path)
    assert run["training"]["rule"].values.tolist() == ["BP(1)", "BPTT"]
    assert run["training"]["loss"].sizes == {"rule": 2, "seed": 2, "update": 4}
    assert run["evaluation"]["update"].values.tolist() == [0, 2, 4]
    assert run["weights"]["cortex.w_rec"].sizes["cortex.w_rec.pre"] == 3
    assert run.attrs["model"] == MODEL
    # Rules are compared on the same newborn networks.
    first = run["evaluation"]["loss"].isel(update=0)
    assert (first == first.isel(rule=0)).all()


@pytest.mark.parametrize("analysis", [name for name in SCRIPTS if name.startswith("analyses")])
def test_every_analysis_draws_the_run(stored, script, tmp_path, analysis):
    figure = tmp_path / "figures" / "drawn"
    status, out, err = script(analysis, "--run", stored[0], "--output", figure)
    assert (status, err) == (0, "")
    assert out.count("figure: ") == 2
    png, svg = figure.with_suffix(".png").read_bytes(), figure.with_suffix(".svg").read_text(encoding="utf-8")
    assert png.startswith(b"\x89PNG")
    assert "<svg" in svg
    assert "BP(1)" in svg
    assert svg.count("<path") > 10
    # Drawing again gives the same file.
    script(analysis, "--run", stored[0], "--output", figure)
    assert figure.with_suffix(".svg").read_text(encoding="utf-8") == svg


def test_a_run_is_not_written_over_unless_asked_for(stored, script):
    path, _ = stored
    before = contents(path)
    status, _, err = script(MODEL, *TINY, "--output", path)
    assert status == 2
    assert f"error: {path} exists" in err
    assert "--overwrite" in err
    assert contents(path) == before


def test_overwrite_replaces_the_run(script, tmp_path):
    path = tmp_path / "run.zarr"
    path.mkdir()
    words = (
        "--n-updates",
        1,
        "--seeds",
        1,
        "--n-units",
        2,
        "--n-evaluations",
        1,
        "--batch-size",
        2,
        "--rule",
        "bptt",
        "--cortex",
        "rate",
    )
    status, out, _ = script(MODEL, *words, "--output", path, "--overwrite")
    assert status == 0
    assert "±" not in out.splitlines()[2]
    assert nb.open_run(path)["training"]["rule"].values.tolist() == ["BPTT"]
    for analysis in ("analyses/learning_curves.py", "analyses/gradient_alignment.py"):
        status, _, err = script(analysis, "--run", path, "--output", tmp_path / "figure")
        assert status == 2
        assert "Allowed: " in err
        assert "Type: " in err
    assert not list(tmp_path.glob("figure*"))


# ---------------------------------------------------------------------------------------------------------- refusals

IMPOSSIBLE = {
    "lambda above 1": ("--lambda_", 1.5),
    "lambda not a number": ("--lambda_", "nan"),
    "dt above tau": ("--cortex", "rate", "--tau", 0.01, "--dt", 0.02),
    "too many fibres": ("--predictor", "granular", "--fan-in", 1000),
    "no units": ("--n-units", 0),
    "no seeds": ("--seeds", 0),
    "no updates": ("--n-updates", 0),
    "negative noise": ("--noise", -1),
    "unknown rule": ("--rule", "bptt,rtrl"),
    "no rule": ("--rule", ""),
    "the same rule twice": ("--rule", "bptt,bptt"),
    "unknown cell": ("--cortex", "gru"),
    "unknown order": ("--order", "columns"),
    "negative rate": ("--learning-rate", -0.1),
    "windows of no step": ("--window", 0),
}


@pytest.mark.parametrize("words", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_parameters_end_with_status_2_and_the_way_out(script, tmp_path, words):
    path = tmp_path / "run.zarr"
    status, _, err = script(MODEL, *TINY, "--output", path, *words)
    assert status == 2
    assert "Traceback" not in err
    for word in ("error: ", "Allowed: ", "Why: ", "Type: "):
        assert word in err
    assert not path.exists()


def test_missing_mnist_ends_with_status_2_and_where_to_put_it(script, tmp_path):
    status, _, err = script(
        MODEL, *TINY, "--output", tmp_path / "run.zarr", "--dataset", "mnist", "--data-dir", tmp_path
    )
    assert status == 2
    assert f"MNIST is not in {tmp_path / 'mnist'}" in err
    assert "train-images-idx3-ubyte" in err
    assert "Type: " in err


def test_divergence_ends_with_status_2(script, tmp_path):
    words = ("--learning-rate", 3e38, "--rule", "bptt", "--n-units", 30, "--seeds", 1)
    status, _, err = script(MODEL, *TINY, "--output", tmp_path / "run.zarr", *words)
    assert status == 2
    assert "error: the loss of BPTT is not finite at update" in err
    assert not (tmp_path / "run.zarr").exists()


@pytest.mark.parametrize("analysis", [name for name in SCRIPTS if name.startswith("analyses")])
def test_an_analysis_without_a_run_ends_with_status_2(script, tmp_path, analysis):
    status, _, err = script(analysis, "--run", tmp_path / "none.zarr", "--output", tmp_path / "figure")
    assert status == 2
    assert f"error: there is no run at {tmp_path / 'none.zarr'}" in err
    (tmp_path / "none.zarr").mkdir()
    status, _, err = script(analysis, "--run", tmp_path / "none.zarr", "--output", tmp_path / "figure")
    assert status == 2
    assert "Allowed: " in err


def test_a_refusal_shows_no_traceback_in_a_shell(tmp_path):
    done = subprocess.run(
        [sys.executable, MODEL, "--lambda_", "1.5", "--output", tmp_path / "run.zarr"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: Parameters.lambda_ = 1.5 is not possible.")
    assert "Allowed: a finite number, 0 <= lambda_ <= 1" in done.stderr
    assert "Traceback" not in done.stderr


# ----------------------------------------------------------------------------------------- functions, known answers


def test_final_differences_are_paired_by_seed_and_in_points():
    final = np.array([[0.5, 0.6, 0.9], [0.49, 0.57, 0.91], [0.1, 0.2, 0.5]])
    accuracy = xr.DataArray(
        np.stack([np.zeros((3, 3)), final], -1),
        dims=("rule", "seed", "update"),
        coords={"rule": ["BPTT", "BP(1)", "TBPTT(1)"], "update": [0, 7]},
    )
    got = module("analyses/learning_curves.py").final_differences(accuracy, "BPTT")
    assert got.rule.values.tolist() == ["BP(1)", "TBPTT(1)"]
    np.testing.assert_allclose(got["mean"], [-1.0, -40.0])
    # Differences −1, −3, 1: SD 2, so the interval is t(0.975; 2) · 2 / √3 to each side.
    half = stats.t.ppf(0.975, 2) * 2 / np.sqrt(3)
    np.testing.assert_allclose([got["low"][0], got["high"][0]], [-1 - half, -1 + half])
    np.testing.assert_allclose([got["low"][1], got["high"][1]], [-40, -40])
    assert got["mean"].attrs["units"] == "percentage points"


def test_alignment_over_learning_skips_steps_without_a_future_and_untrained_predictors():
    alignment = xr.DataArray(
        [[[np.nan, np.nan, np.nan], [0.2, 0.4, np.nan], [0.5, 0.7, np.nan]]],
        dims=("seed", "update", "time"),
        coords={"update": [0, 5, 10]},
    )
    got = module("analyses/gradient_alignment.py").over_learning(alignment)
    assert got["update"].values.tolist() == [5, 10]
    np.testing.assert_allclose(got.values, [[0.3, 0.6]])
