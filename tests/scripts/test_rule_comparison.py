"""The model that compares all rules, and its analyses, on tiny parameters."""

import sys

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scripting import module

import neuro_bpl as nb

pytestmark = pytest.mark.full

MODEL = "models/rule_comparison.py"
TINY = ("--n-updates", 4, "--n-evaluations", 2, "--seeds", 2, "--n-units", 4, "--batch-size", 3)
SMALL_TASKS = ("--add-steps", 14, "--mimic-steps", 3, "--mimic-channels", 4, "--reaching-steps", 3)
RULES = ("--rule", "bptt,rflo")
TASKS = ("add", "mimic")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rule_comparison")


@pytest.fixture(scope="module")
def performance():
    return module("analyses/rule_performance.py")


def test_rules_learn_one_by_one_and_performance_is_drawn(script, folder):
    status, out, err = script(MODEL, *TINY, *SMALL_TASKS, *RULES, "--task", ",".join(TASKS), "--output", folder)
    assert status == 0, err
    for task in TASKS:
        run = nb.open_run(folder / task)
        assert run["evaluation"]["loss"].rule.values.tolist() == ["BPTT", "RFLO"]
        assert np.isfinite(run["gradients"]["weight_alignment"]).all()
        assert f"run: {folder / task}" in out
    figure = folder / "performance"
    tasks = ("--tasks", ",".join(TASKS))
    status, out, err = script("analyses/rule_performance.py", "--runs", folder, *tasks, "--output", figure)
    assert status == 0, err
    assert out.count("\n| ") == 2
    assert out.count("Spearman") == len(TASKS)
    assert figure.with_suffix(".png").stat().st_size > 10_000


def test_all_rules_watch_one_and_alignment_is_drawn(script, folder):
    words = ("--observe", "--draws", 2, "--task", "add", "--rule", "uoro,eprop,output_only")
    status, out, err = script(MODEL, *TINY, *SMALL_TASKS, *words, "--output", folder)
    assert status == 0, err
    run = nb.open_run(folder / "add_observed")
    assert run["comparison"].observed.values.tolist()[:3] == ["BPTT", "UORO", "e-prop"]
    figure = folder / "alignment"
    status, out, err = script("analyses/rule_alignment.py", "--run", folder / "add_observed", "--output", figure)
    assert status == 0, err
    assert "| BPTT | 1.00 ± 0.00 | 0.00 ± 0.00 | 0.00 ± 0.00 | 0.0 ± 0.0 |" in out
    assert "| output only | – |" in out
    assert figure.with_suffix(".svg").stat().st_size > 10_000


@pytest.mark.parametrize(
    "words",
    [
        ("--task", "adding"),
        ("--rule", "bptt,backprop"),
        ("--observe", "--sweep", "learning_rate=0.1,0.2"),
        ("--task", "add", "--first-delay", 40),
        ("--leader", "nobody"),
    ],
    ids=lambda words: words[0] + words[1],
)
def test_impossible_parameters_end_with_status_2(script, tmp_path, words):
    status, _, err = script(MODEL, *TINY, *words, "--output", tmp_path / "runs")
    assert status == 2
    assert "Traceback" not in err
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize("analysis", ["rule_alignment", "rule_performance"])
def test_a_run_of_another_kind_is_refused(script, tmp_path, analysis):
    task = nb.tasks.TargetReaching(n_steps=3)
    circuit = nb.Circuit(nb.RateCortex(task.n_inputs, 3), nb.LinearReadout(2))
    nb.train(circuit, task, nb.bptt(), n_updates=1, n_evaluations=1, output=tmp_path / "add", progress=False)
    words = ("--run", tmp_path / "add") if analysis == "rule_alignment" else ("--runs", tmp_path, "--tasks", "add")
    status, _, err = script(f"analyses/{analysis}.py", *words, "--output", tmp_path / "figure")
    assert status == 2
    assert "Type: python models/rule_comparison.py" in err
    assert not list(tmp_path.glob("figure*"))


def test_the_rank_correlation_leaves_out_exact_rules_and_such_without_alignment(performance):
    rng = np.random.default_rng(0)
    names = ["BPTT", "RTRL", "a", "b", "c", "d", "e", "silent"]
    aligned = np.array([1, 1, 0.1, 0.5, 0.3, 0.9, 0.7, np.nan])
    loss = np.array([0, 0, 5.0, 1.0, 4.0, 3.0, 2.0, 9.0])
    spread = rng.normal(size=(8, 2)) * [[1, -1]] * 1e-9
    found = xr.Dataset(
        {
            "alignment": (("rule", "seed"), aligned[:, None] + spread),
            "loss": (("rule", "seed"), loss[:, None] + spread),
        },
        {"rule": names},
    )
    rho, p, n = performance.rank_correlation(found)
    wanted = stats.spearmanr(aligned[2:7], loss[2:7])
    assert n == 5
    assert rho == pytest.approx(wanted.statistic)
    assert p == pytest.approx(wanted.pvalue)
    assert rho < -0.3


COST = "benchmarks/online_rules.py"
QUICK = ("--rounds", 1, "--n-updates", 2, "--seconds", 0.001, "--n-units", 3, "--n-steps", 3, "--batch-size", 2)


def test_the_cost_of_rules_is_measured_and_drawn_into_the_table(script, folder):
    path = folder / "cost.nc"
    status, out, err = script(COST, *QUICK, "--rule", "bptt,snap_step", "--output", path)
    assert status == 0, err
    assert out.startswith("| rule |")
    cost = xr.load_dataset(path)
    assert cost.rule.values.tolist() == ["BPTT", "SnAp-1 backward step-wise"]
    assert float(cost.relative_time[0]) == 1
    assert {name: values.attrs["units"] for name, values in cost.items()} == {
        "time": "s",
        "relative_time": "1",
        "memory": "MB",
    }
    assert (cost.memory > 0).all()
    words = ("--target", "label", "--rule", "tbptt:2,dni:3,bp_lambda:1", "--output", path)
    status, _, err = script(COST, *QUICK, *words)
    assert status == 0, err
    assert xr.load_dataset(path).rule.values.tolist() == ["BPTT", "TBPTT(2)", "SG(3)", "BP(1)"]
    status, _, err = script(COST, *QUICK, "--rule", "dni:0", "--output", path)
    assert (status, "Type: " in err) == (2, True)
    status, _, err = script(COST, *QUICK, "--rule", "backprop", "--output", path)
    assert status == 2
    assert "Type: " in err


def test_without_braintrace_the_comparison_is_left_out_and_says_so(script, monkeypatch):
    monkeypatch.setitem(sys.modules, "braintrace", None)
    status, out, err = script("benchmarks/against_braintrace.py", "--rounds", 1)
    assert status == 0, err
    assert 'pip install "neuro_bpl[benchmark]"' in out
