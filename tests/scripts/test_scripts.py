"""Scripts: models, analyses and benchmarks run from the command line, and refuse what is not possible with status 2."""

import contextlib
import io
import json
import sys

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scripting import ROOT, in_shell, module, status_of

import neuro_bpl as nb
from neuro_bpl.runs import selection

MODEL, REACHING = "models/sequential_digits.py", "models/target_reaching.py"
OF_OTHER_RUNS = tuple(  # see the tests of these scripts
    f"analyses/{name}.py"
    for name in (
        "rule_alignment",
        "rule_performance",
        "bias_and_variance",
        "cost_of_credit",
        "true_online",
        "credit_horizon",
        "predictability",
        "alignment_when_plastic",
        "paper_table",
        "discrete_vs_continuous",
        "spiking_learning",
        "clicks_recordings",
        "bci_relearning",
        "granule_fan_in",
        "climbing_fibre_readout",
        "evidence_population",
    )
)
# Brian2 calls pyparsing by names that pyparsing 3.3 has renamed; the environment knows modules, and no messages.
RENAMING = ("parsing.statements", "equations.equations", "groups.neurongroup", "stateupdaters.explicit")
WARNINGS = ",".join(
    ["error", *(f"ignore::DeprecationWarning:{at}" for at in ("pyparsing.util", *(f"brian2.{at}" for at in RENAMING)))]
)
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("models", "analyses", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")  # what several scripts share is none
)
OF_THIS_RUN = [name for name in SCRIPTS if name.startswith("analyses") and name not in OF_OTHER_RUNS]
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
SMALL = ("--n-updates", "4", "--seeds", "2", "--n-units", "3", "--n-evaluations", "2", "--n-steps", "3")


@pytest.fixture(scope="module")
def help_texts():
    """Help of every script, what it wrote to stderr, and its status."""

    def asked(script):
        out, err = io.StringIO(), io.StringIO()
        patch.setattr(sys, "argv", [script, "--help"])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = status_of(script)
        return out.getvalue(), err.getvalue(), status

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("COLUMNS", "200")
        yield {script: asked(script) for script in SCRIPTS}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run of the model with tiny parameters, made by a process of its own."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    return path, in_shell(MODEL, *TINY, "--rule", "bp_lambda,bptt", "--output", path)


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
    for note in ("[η]", "Pemberton & Ponte Costa 2024", "end, whole", "--plastic", "--resume", "--sweep"):
        assert note in help_texts[REACHING][0]
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


@pytest.mark.parametrize("analysis", OF_THIS_RUN)
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
    assert "--resume" in err
    assert contents(path) == before


def test_a_complete_run_is_reported_again_and_another_one_is_not_resumed(stored, script):
    path, done = stored
    words = ("--rule", "bp_lambda,bptt", "--output", path, "--resume")
    status, out, _ = script(MODEL, *TINY, *words)
    assert (status, out) == (0, done.stdout)
    status, _, err = script(MODEL, *TINY, *words, "--kappa", 0.5)
    assert status == 2
    assert "rule.credit.kappa: stored 0.3, asked for 0.5" in err
    status, _, err = script(MODEL, *TINY, *words, "--overwrite")
    assert status == 2
    assert "Allowed: one of them" in err


@pytest.mark.full
def test_a_sweep_is_a_dim_and_the_report_has_a_line_for_each_point(script, tmp_path):
    path = tmp_path / "run"
    status, out, err = script(REACHING, *SMALL, "--output", path)
    assert (status, "Traceback" in err) == (0, False)
    run = nb.open_run(path)
    assert dict(run["training"]["loss"].sizes) == {"lambda_": 3, "seed": 2, "update": 4}
    assert run["training"]["lambda_"].values.tolist() == [0, 0.5, 1]
    assert run["evaluation"]["update"].values.tolist() == [0, 2, 4]
    assert "after 4 updates, mean ± SD, seeds: 2" in out
    for lambda_ in ("0.0", "0.5", "1.0"):
        assert f"lambda_ {lambda_}" in out
    assert out.count("loss") == out.count("cosine of ĝ with G") == 3
    # As released: cortex and readout are held, the predictor learns.
    weights = run["weights"].to_dataset()
    for name, values in weights.data_vars.items():
        moved = (values.isel(snapshot=0) != values.isel(snapshot=-1)).any()
        assert bool(moved) == name.startswith("cerebellum"), name
    # λ enters the compiled program as a number, and the sweep starts from the same networks.
    first = run["evaluation"]["loss"].isel(update=0)
    assert (first == first.isel(lambda_=0)).all()
    status, _, err = script(REACHING, *SMALL, "--output", path, "--resume", "--sweep", "lambda_=0,0.5,0.75,1")
    assert (status, "Traceback" in err) == (0, False)
    grown = nb.open_run(path)["training"]["loss"]
    assert grown["lambda_"].values.tolist() == [0, 0.5, 0.75, 1]
    xr.testing.assert_equal(grown.sel(lambda_=[0, 0.5, 1]), run["training"]["loss"])


@pytest.mark.full
def test_rules_and_swept_parameters_span_a_grid_and_no_sweep_is_a_single_run(script, tmp_path):
    words = (*SMALL, "--plastic", "--output", tmp_path / "grid", "--rule", "bp_lambda,dni", "--sweep", "discount=0.5,1")
    status, out, err = script(REACHING, *words, "kappa=0.1,0.2")
    assert (status, "Traceback" in err) == (0, False)
    loss = nb.open_run(tmp_path / "grid")["training"]["loss"]
    assert dict(loss.sizes) == {"rule": 2, "discount": 2, "kappa": 2, "seed": 2, "update": 4}
    assert loss["rule"].values.tolist() == ["BP(1)", "BP(0)"]  # DNI with windows of one step.
    assert out.count("discount 0.5, kappa 0.1") == 4
    status, out, _ = script(REACHING, *SMALL, "--output", tmp_path / "one", "--sweep")
    assert status == 0
    assert dict(nb.open_run(tmp_path / "one")["training"]["loss"].sizes) == {"rule": 1, "seed": 2, "update": 4}


SENSELESS = {
    "an unknown parameter": ("--sweep", "lamda_=0,1"),
    "no values": ("--sweep", "lambda_"),
    "values that are no numbers": ("--sweep", "lambda_=a,b"),
    "values out of range": ("--sweep", "lambda_=2,3"),
    "rules by --sweep": ("--sweep", "rule=bptt,bp_lambda"),
    "the same value twice": ("--sweep", "lambda_=0.5,0.5"),
    "a parameter that a rule has not": ("--rule", "bptt,bp_lambda", "--sweep", "lambda_=0,1"),
    "a path": ("--sweep", "output=a,b"),
    "cues that are no bits": ("--cues", "2001"),
    "cues of different lengths": ("--cues", "101,1011"),
    "the same cue twice": ("--cues", "101,101"),
    "an unknown trajectory": ("--trajectory", "half"),
}


@pytest.mark.parametrize("words", SENSELESS.values(), ids=SENSELESS)
def test_a_sweep_or_a_task_that_makes_no_sense_ends_with_status_2_and_the_way_out(script, tmp_path, words):
    path = tmp_path / "run"
    status, _, err = script(REACHING, *SMALL, "--output", path, *words)
    assert status == 2
    assert "Traceback" not in err
    assert "error: " in err.lower()
    assert not path.exists()


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:1 points of the sweep failed:RuntimeWarning")
def test_a_point_that_is_not_possible_is_kept_as_failed_and_does_not_stop_the_others(script, tmp_path):
    path = tmp_path / "run"
    status, out, _ = script(REACHING, *SMALL, "--rule", "bptt", "--plastic", "--sweep", "kappa=-1,1", "--output", path)
    assert (status, out.count("loss")) == (0, 1)
    run = nb.open_run(path)
    failed, complete = sorted(nb.statuses(run), key=lambda point: point["at"]["kappa"])
    assert (failed["status"], complete["status"]) == ("failed", "complete")
    assert "0 <= kappa" in failed["error"]
    assert np.isnan(run["training"]["loss"].sel(kappa=-1)).all()


def test_rules_are_not_varied_by_sweep(script, tmp_path):
    _, _, err = script(REACHING, *SMALL, "--output", tmp_path / "run", "--sweep", "rule=bptt,dni:2")
    assert "Type: --rule bptt,dni:2.\n" in err


@pytest.mark.full
def test_nothing_is_recorded_that_was_not_asked_for_and_adam_is_that_of_the_paper_on_request(script, tmp_path):
    words = ("--rule", "bptt,bp_lambda", "--adam", "paper", "--output", tmp_path / "run", "--record")
    assert script(MODEL, *TINY, *words, "gradient_alignment")[0] == 0
    run = nb.open_run(tmp_path / "run")
    assert "activity" not in run.children
    assert set(run["gradients"].data_vars) == {"gradient_alignment"}
    described = nb.statuses(run)[0]["run"]["optimizers"]
    assert described["predictor"]["options"] == described["cortex"]["options"] == {"b1": 0.9, "b2": 0.98, "eps": 1e-9}


@pytest.mark.full
def test_overwrite_replaces_the_run(script, tmp_path):
    path = tmp_path / "run"
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
    "two words for one rule": ("--rule", "tbptt,tbptt:1"),
    "another constant of Adam": ("--adam", "best"),
    "something unknown to record": ("--record", "rate"),
    "something to record that there is not": ("--record", "granule_rates"),
    "a download of CIFAR-10": ("--dataset", "cifar10", "--download"),
}


@pytest.mark.parametrize("words", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_parameters_end_with_status_2_and_the_way_out(script, tmp_path, words):
    path = tmp_path / "run"
    status, _, err = script(MODEL, *TINY, "--output", path, *words)
    assert status == 2
    assert "Traceback" not in err
    for word in ("error: ", "Allowed: ", "Why: ", "Type: "):
        assert word in err
    assert not path.exists()


def test_missing_mnist_ends_with_status_2_and_where_to_put_it(script, tmp_path):
    status, _, err = script(MODEL, *TINY, "--output", tmp_path / "run", "--dataset", "mnist", "--data-dir", tmp_path)
    assert status == 2
    assert f"MNIST is not in {tmp_path / 'mnist'}" in err
    assert "train-images-idx3-ubyte" in err
    assert "Type: " in err


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:the loss of BPTT:RuntimeWarning")
def test_divergence_ends_with_status_2(script, tmp_path):
    words = ("--learning-rate", 3e38, "--rule", "bptt", "--n-units", 30, "--seeds", 1)
    status, _, err = script(MODEL, *TINY, "--output", tmp_path / "run", *words)
    assert status == 2
    assert "every network has diverged" in err
    assert "Type: " in err


@pytest.mark.parametrize("analysis", OF_THIS_RUN)
def test_an_analysis_without_a_run_ends_with_status_2(script, tmp_path, analysis):
    status, _, err = script(analysis, "--run", tmp_path / "none", "--output", tmp_path / "figure")
    assert status == 2
    assert f"error: there is no run at {tmp_path / 'none'}" in err
    (tmp_path / "none").mkdir()
    status, _, err = script(analysis, "--run", tmp_path / "none", "--output", tmp_path / "figure")
    assert status == 2
    assert "Allowed: " in err


@pytest.mark.full
def test_a_refusal_shows_no_traceback_in_a_shell(tmp_path):
    done = in_shell(MODEL, "--lambda_", "1.5", "--output", tmp_path / "run")
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


def test_size_and_place_of_the_td_error():
    size = xr.DataArray(
        [[[3.0, 4.0, 0.0], [0.0, 1.0, 1.0]]], dims=("seed", "update", "time"), coords={"time": [1, 2, 3]}
    )
    errors = module("analyses/td_errors.py")
    np.testing.assert_allclose(errors.total(size), [[5.0, 2**0.5]])
    np.testing.assert_allclose(errors.place(size), [[(9 + 32) / 25, 2.5]])


def sweep_of(**axes):
    dims = tuple(axes)
    values = xr.DataArray(
        np.arange(np.prod([len(v) for v in axes.values()])).reshape([len(v) for v in axes.values()]), axes, dims
    )
    run = xr.DataTree.from_dict({"gradients": xr.Dataset({"x": values})})
    run.attrs = {"rule": "BP(1)", "sweep": json.dumps(axes)}
    return run


def test_figures_name_lambdas_as_rules_and_show_one_line_a_rule():
    run = sweep_of(lambda_=[0.0, 0.5])
    assert selection.by_rule(run["gradients"]["x"], run).rule.values.tolist() == ["BP(0)", "BP(0.5)"]
    run = sweep_of(rule=["BPTT", "BP(1)"])
    assert selection.by_rule(run["gradients"]["x"], run).identical(run["gradients"]["x"])
    run = sweep_of(kappa=[0.1, 1.0], lambda_=[0.0, 0.5])
    with pytest.raises(ValueError, match=r"(?s)Allowed: .*--select kappa=0.1"):
        selection.by_rule(run["gradients"]["x"], run)
    chosen = selection.selected(run, ["kappa=1.0"])
    assert selection.by_rule(chosen["gradients"]["x"], chosen).values.tolist() == [2, 3]
    with pytest.raises(ValueError, match=r"Allowed: kappa=0.1, kappa=1.0, lambda_=0.0"):
        selection.selected(run, ["kappa=7"])
