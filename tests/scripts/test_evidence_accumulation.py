"""The clicks model, pseudo-populations, and the analysis that holds networks against rats, on tiny data."""

import re

import hanks_files
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

import neuro_bpl as nb
from neuro_bpl.neural.activity.pseudo_population import DIMS, pooled, pseudo_trials

pytestmark = pytest.mark.full

MODEL, ANALYSIS = "models/evidence_accumulation.py", "analyses/evidence_population.py"
TINY = ("--n-updates", 30, "--n-units", 8, "--n-test", 4, "--n-probe", 3, "--batch-size", 5, "--n-evaluations", 1)
TINY += ("--longest", 0.8, "--dt", 0.025, "--tau", 0.1, "--n-snapshots", 1)


def tells(made, gain):
    """Units fire with the clicks of a side; `gain` spikes for each click, 10 to 40 ms after it."""
    rng = np.random.default_rng(0)
    for one in made:
        for unit, side in enumerate(("leftbups", "rightbups")):
            extra = np.repeat(one[side].ravel(), gain)[:, None] + rng.uniform(0.01, 0.04, (gain * one[side].size, 1))
            one["spike_times"][0, unit] = np.sort(np.r_[one["spike_times"][0, unit], extra], axis=0)
    return made


# ----------------------------------------------------------------------------------------- the model and the analysis


def test_the_model_trains_every_rule_and_the_analysis_tells_the_region_that_hears_clicks(script, tmp_path):
    rules = "bp_lambda,tbptt:2"
    status, out, _ = script(MODEL, *TINY, "--rule", rules, "--seeds", 2, "--output", tmp_path / "run")
    assert status == 0
    assert "BP(1)" in out
    run = nb.open_run(tmp_path / "run")
    assert run["training"]["loss"].sizes == {"rule": 2, "seed": 2, "update": 30}
    assert {"rates", "outputs", "td_error"} <= set(run["activity"].data_vars)
    assert float(run["parameters"]["task.click_noise"]) == 1.0

    for name, gain in (("T034_1", 4), ("T036_1", 4), ("T035_1", 0), ("T011_1", 0)):
        made = hanks_files.trials(int(name[1:4]), 60)
        hanks_files.write(tmp_path / f"{name}.mat", tells(made, gain))
    words = ("--run", tmp_path / "run", "--folder", tmp_path, "--output", tmp_path / "figure", "--n-conditions", 3)
    status, out, err = script(ANALYSIS, *words, "--n-permutations", 5, "--n-bootstrap", 10)
    assert not err
    assert status == 0
    regions = dict(re.findall(r"### (\w+): 4 units(.*?)(?=###|\Z)", out, re.S))
    assert set(regions) == {"FOF", "PPC"}
    decoded = {name: float(re.search(r"\| rats \|.*\| (\S+) \|\n", text)[1]) for name, text in regions.items()}
    assert decoded["FOF"] > 0.2
    assert decoded["PPC"] < decoded["FOF"] - 0.2
    for text in regions.values():
        assert all(f"| {name} |" in text for name in ("BP(1)", "TBPTT(2)", "newborn", "cka", "rats"))
    assert {path.suffix for path in tmp_path.glob("figure.*")} == {".png", ".svg"}


def test_the_model_takes_a_granular_cerebellum_and_sweeps(script, tmp_path):
    words = ("--predictor", "granular", "--n-granule", 6, "--fan-in", 2, "--rule", "bp_lambda", "--seeds", 1)
    status, _, _ = script(MODEL, *TINY, *words, "--sweep", "tau=0.1,0.2", "--output", tmp_path / "run")
    assert status == 0
    assert nb.open_run(tmp_path / "run")["training"]["loss"].sizes == {"tau": 2, "seed": 1, "update": 30}


@pytest.mark.parametrize(
    ("path", "words", "says"),
    [
        (MODEL, ("--rule", "hebb"), "--rule"),
        (MODEL, ("--rates", "50,30"), "PoissonClicks.rates"),
        (MODEL, ("--shortest", "2"), "dt <= shortest <= longest"),
        (ANALYSIS, ("--run", "nowhere"), "nowhere"),
        (ANALYSIS, ("--n-conditions", "2"), "n_conditions"),
    ],
)
def test_what_is_not_possible_ends_with_status_2(script, tmp_path, path, words, says):
    status, out, err = script(path, *words, "--output", tmp_path / "there")
    assert (status, out) == (2, "")
    assert says in err
    assert not list(tmp_path.iterdir())


def test_the_analysis_refuses_other_runs_and_folders_without_sessions(script, tmp_path):
    reaching = nb.tasks.TargetReaching(n_steps=3)
    circuit = nb.Circuit(nb.RateCortex(10, 3), nb.LinearReadout(2))
    nb.train(circuit, reaching, nb.bptt(), n_updates=1, seeds=2, progress=False, output=tmp_path / "run")
    status, _, err = script(ANALYSIS, "--run", tmp_path / "run")
    assert (status, "the clicks task" in err) == (2, True)
    script(MODEL, *TINY, "--rule", "bptt", "--seeds", 2, "--output", tmp_path / "clicks")
    status, _, err = script(ANALYSIS, "--run", tmp_path / "clicks", "--folder", tmp_path / "empty")
    assert (status, "folder" in err) == (2, True)


# -------------------------------------------------------------------------------------------------- pseudo-populations


def session(name, values, side, time=(0.1, 0.2)):
    return xr.DataArray(values, {"time": list(time), "side": ("trial", side)}, DIMS, attrs={"session": name})


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), min_size=1, max_size=4), st.integers(0, 99))
def test_pooled_sessions_hold_each_number_once(sizes, seed):
    rng = np.random.default_rng(seed)
    parts = [session(str(n), rng.normal(size=(t, 2, u)), ["L"] * t) for n, (t, u) in enumerate(sizes)]
    whole = pooled(parts)
    assert whole.shape == (sum(t for t, _ in sizes), 2, sum(u for _, u in sizes))
    finite = whole.values[np.isfinite(whole.values)]
    assert np.array_equal(np.sort(finite), np.sort(np.concatenate([one.values.ravel() for one in parts])))
    assert len(set(whole["unit"].values.tolist())) == whole.sizes["unit"]
    at = sizes[0]
    assert np.array_equal(whole.values[: at[0], :, : at[1]], parts[0].values)


def test_pseudo_trials_take_each_trial_of_a_unit_once_and_from_its_label():
    rng = np.random.default_rng(0)
    side = np.array(["L"] * 5 + ["R"] * 7)
    one = session("a", rng.normal(size=(12, 2, 2)), side)
    other = session("b", rng.normal(size=(12, 2, 1)), side)
    made = pseudo_trials(pooled([one, other.isel(trial=slice(1, None))]), "side", seed=1)
    assert made.shape == (4 + 7, 2, 3)
    assert made["side"].values.tolist() == ["L"] * 4 + ["R"] * 7
    for label in "LR":
        for unit, own in ((0, one[..., 0]), (2, other[1:, :, 0])):
            source = {tuple(row) for row in own.values[own["side"].values == label]}
            drawn = [tuple(row) for row in made.values[made["side"].values == label][..., unit]]
            assert len(set(drawn)) == len(drawn)
            assert set(drawn) <= source
    assert made.identical(pseudo_trials(pooled([one, other.isel(trial=slice(1, None))]), "side", seed=1))
    assert pseudo_trials(one, "side", most=3).sizes["trial"] == 6


def test_noise_that_units_share_is_lost_in_pseudo_trials():
    shared = np.random.default_rng(0).normal(size=(400, 1, 1)) * np.ones((1, 2, 2))
    one = session("a", shared, ["L"] * 400)
    assert np.corrcoef(one.values[:, 0].T)[0, 1] == pytest.approx(1)
    assert abs(np.corrcoef(pseudo_trials(one, "side").values[:, 0].T)[0, 1]) < 0.2


def test_populations_that_make_no_sense_are_refused(untyped):
    one = session("a", np.ones((2, 2, 1)), ["L", "R"])
    with refused("responses", "one session or more"):
        pooled([])
    with refused("time", "same times"):
        pooled([one, session("b", np.ones((2, 2, 1)), ["L", "R"], (0.1, 0.3))])
    with refused("responses", "time, trial, unit"):
        pooled([one.isel(unit=0)])
    with refused("label"):
        pseudo_trials(one, "went_right")
    with refused("side", "each unit has a trial"):
        pseudo_trials(pooled([one, session("b", np.ones((1, 2, 1)), ["L"])]), "side")
