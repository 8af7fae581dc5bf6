"""Analyses of the paper's experiments: what they find in runs that are made up, and in the smallest real ones."""

import json
import math

import numpy as np
import pytest
import xarray as xr
from scripting import module
from tiny import refused

import neuro_bpl as nb

pytestmark = pytest.mark.full

HORIZON, PLASTIC, TABLE = (
    f"analyses/{name}.py" for name in ("credit_horizon", "alignment_when_plastic", "paper_table")
)
COPYING, REACHING, DIGITS = (f"models/{name}.py" for name in ("copy_repeat", "target_reaching", "sequential_digits"))
TINY = ("--n-updates", 4, "--n-evaluations", 2, "--seeds", 2, "--n-units", 3, "--batch-size", 3)
LAMBDAS = "bp_lambda:0,bp_lambda:1"


def made(script_, model, folder, *words):
    assert script_(model, *words, *TINY, "--output", folder)[0] == 0
    return folder


@pytest.fixture
def copying(script, tmp_path):
    """The smallest run of copy-repeat."""
    return made(script, COPYING, tmp_path / "c", "--rule", "tbptt:2,bp_lambda:1", "--n-steps", 9)


def test_the_longest_trial_solved_is_that_below_the_threshold():
    steps = xr.DataArray([[5, 5, 7, 9, 9], [5, 5, 5, 5, 5]], dims=("seed", "update"))
    loss = math.log(2) * xr.DataArray([[0.2, 0.14, 0.1, 0.2, 0.16], [0.2, 0.2, np.nan, 0.2, 0.2]], dims=steps.dims)
    found = module(HORIZON).solved_so_far(steps, loss, 0.15)
    np.testing.assert_array_equal(found, [[0, 5, 7, 7, 7], [0, 0, 0, 0, 0]])


def test_the_last_length_and_the_last_update_can_be_solved_too():
    steps = xr.DataArray([5, 7, 7, 7], dims="update")
    loss = math.log(2) * xr.DataArray([0.1, 0.2, 0.2, 0.1], dims="update")
    np.testing.assert_array_equal(module(HORIZON).solved_so_far(steps, loss, 0.15), [5, 5, 5, 7])


def test_a_length_counts_as_solved_only_with_all_shorter_ones():
    first, last = np.ones((3, 3)), np.array([[0.01, 0.5, 0.5], [0.01, 0.5, 0.01], [0.01, 0.01, 0.5]]).T
    loss = xr.DataArray(
        np.stack((first, last), -1), dims=("n_steps", "seed", "update"), coords={"n_steps": [10, 20, 30]}
    )
    found = module(HORIZON).longest_solved(loss, 0.05)
    np.testing.assert_array_equal(found, [10, 10, 20])


def test_a_length_whose_loss_is_not_known_leaves_no_horizon():
    loss = xr.DataArray(
        [[[1, 0.01], [1, 0.01]], [[1, 0.01], [1, np.nan]]],
        dims=("n_steps", "seed", "update"),
        coords={"n_steps": [10, 20]},
    )
    np.testing.assert_array_equal(module(HORIZON).longest_solved(loss, 0.05), [20, np.nan])


def said(run, *statuses):
    """A run in whose attributes the points have come to these ends."""
    points = [{"at": {"rule": rule}, "status": status, "error": ""} for rule, status in statuses]
    run.attrs |= {"points": json.dumps(points)}
    return run


def test_a_rule_that_was_stopped_or_has_failed_is_not_one_that_solves_nothing(copying):
    run = nb.open_run(copying)
    whole = module(HORIZON).horizons(run, 1.0)[0]
    np.testing.assert_array_equal(whole, np.zeros((2, 2)))
    for status in ("running", "failed"):
        horizon, course = module(HORIZON).horizons(said(run, ("TBPTT(2)", "complete"), ("BP(1)", status)), 1.0)
        np.testing.assert_array_equal(horizon, [[0, 0], [np.nan, np.nan]])
        assert course.sel(rule="BP(1)").isnull().all()
    not_begun, _ = module(HORIZON).horizons(said(run, ("TBPTT(2)", "diverged")), 1.0)
    np.testing.assert_array_equal(not_begun, [[0, 0], [np.nan, np.nan]])
    with refused("at its end"):
        module(HORIZON).horizons(said(run, ("BP(1)", "running")), 1.0)


def test_a_single_run_that_was_stopped_has_no_result(script, tmp_path):
    run = nb.open_run(made(script, COPYING, tmp_path / "one", "--rule", "bptt", "--n-steps", 9))
    assert module(HORIZON).horizons(run, 1.0)[0].notnull().all()
    run.attrs["points"] = run.attrs["points"].replace('"complete"', '"running"')
    with refused("at its end"):
        module(HORIZON).horizons(run, 1.0)


def test_a_claim_with_a_seed_without_result_is_undecided_and_says_how_many_there_are():
    table = module(TABLE)
    values = xr.DataArray(
        [[5.0, 5, 6], [9, 9, 9], [7, np.nan, 8], [np.nan] * 3],
        dims=("rule", "seed"),
        coords={"rule": ["TBPTT(3)", "BP(1)", "BP(0)", "SG(2)"]},
    )
    column = table.Column("task: steps", values, 1)
    verdicts = {claim.partition(": ")[2]: holds for claim, _, holds in table.claims([column])}
    assert verdicts == {"steps: more with larger λ": None, "steps: BP(1) above windows": None}
    text = table.report([column])
    assert "| BP(0) | 7.5 [1.1, 13.9] (2 of 3) |" in text
    assert "| SG(2) | – |" in text
    assert text.count("Undecided") == 2
    assert "nan" not in text
    assert table.draw([column]).axes
    decided = table.Column("task: steps", values.sel(rule=["TBPTT(3)", "BP(1)"]), 1)
    assert [holds for *_, holds in table.claims([decided])] == [True]


def test_a_claim_holds_where_every_interval_lies_above_zero():
    table = module(TABLE)
    seeds = np.arange(5.0)
    values = xr.DataArray(
        [seeds + 9, seeds + 2 + 0.1 * (-1) ** seeds, seeds, seeds + 8.9],
        dims=("rule", "seed"),
        coords={"rule": ["BPTT", "TBPTT(3)", "BP(0)", "BP(1)"]},
    )
    column = table.Column("task: steps", values, 1)
    verdicts = {claim.partition(": ")[2].split(": ")[-1]: holds for claim, _, holds in table.claims([column])}
    assert verdicts == {"more with larger λ": True, "BP(1) above windows": True, "BP(1) and BPTT": False}
    worse = table.Column("task: steps", values.where(values.rule != "BP(1)", seeds + 2), 1)
    assert [holds for claim, _, holds in table.claims([worse]) if claim.endswith("above windows")] == [False]


def test_rules_come_in_the_order_of_the_table():
    order = module(TABLE).order
    names = ["BP(1)", "SG(2)", "TBPTT(10)", "BP(0.5)", "BPTT", "TBPTT(2)", "BP(0)"]
    assert sorted(names, key=order) == ["BPTT", "TBPTT(2)", "TBPTT(10)", "SG(2)", "BP(0)", "BP(0.5)", "BP(1)"]


def test_the_table_is_written_and_drawn(copying, script, tmp_path):
    reaching = made(script, REACHING, tmp_path / "r", "--n-steps", 3)
    digits = made(script, DIGITS, tmp_path / "d", "--rule", "bptt,dni:2", "--cortex", "rate")
    words = ("--copying", copying, "--reaching", reaching, "--digits", digits)
    status, out, _ = script(TABLE, *words, "--output", tmp_path / "table")
    assert status == 0
    text = (tmp_path / "table.md").read_text()
    assert text in out
    assert all(f"| {rule} |" in text for rule in ("BPTT", "TBPTT(2)", "SG(2)", "BP(0)", "BP(1)"))
    assert "2 seeds" in text
    assert "8×8 digits by rows: test accuracy (%)" in text
    assert (tmp_path / "table.png").stat().st_size > 5000
    status, _, err = script(TABLE, "--reaching", "", "--digits", "", "--copying", tmp_path / "none")
    assert status == 2
    assert "Type: " in err


def test_the_table_of_a_run_that_varies_more_than_rules(script, tmp_path):
    rules = ("--rule", "bptt,bp_lambda:1", "--sweep", "threshold=0.15,0.3")
    copying = made(script, COPYING, tmp_path / "c", *rules, "--n-steps", 9)
    words = ("--copying", copying, "--reaching", "", "--digits", "", "--output", tmp_path / "table")
    status, _, err = script(TABLE, *words)
    assert (status, "--select threshold=0.15" in err) == (2, True)
    status, out, _ = script(TABLE, *words, "--select", "threshold=0.15")
    assert (status, "| BP(1) |" in out) == (0, True)
    status, _, err = script(TABLE, *words, "--select", "kappa=1")
    assert (status, "no run varies another parameter" in err) == (2, True)


def test_horizons_of_a_curriculum_and_of_several_lengths(copying, script, tmp_path):
    status, out, _ = script(HORIZON, "--run", copying, "--output", tmp_path / "h")
    assert status == 0
    assert "| TBPTT(2) | 0.0 [0.0, 0.0] | 0, 0 |" in out
    several = ("--plastic", "--rule", LAMBDAS, "--sweep", "n_steps=2,4")
    lengths = made(script, REACHING, tmp_path / "several", *several)
    assert script(HORIZON, "--run", lengths, "--output", tmp_path / "h2")[0] == 0
    assert (tmp_path / "h2.png").is_file()
    one = made(script, REACHING, tmp_path / "one", "--rule", "bptt", "--n-steps", 3, "--sweep")
    status, _, err = script(HORIZON, "--run", one)
    assert status == 2
    assert "swept over n_steps" in err


def test_alignment_when_plastic_by_length(script, tmp_path):
    words = ("--plastic", "--rule", LAMBDAS, "--sweep", "n_steps=2,4")
    run = made(script, REACHING, tmp_path / "run", *words)
    status, out, _ = script(PLASTIC, "--run", run, "--output", tmp_path / "a")
    assert status == 0
    assert out.count("| BP(1) |") == 2
    assert (tmp_path / "a.svg").is_file()
    only = made(script, REACHING, tmp_path / "only", "--plastic", "--rule", "bptt,bp_lambda:1", "--sweep")
    status, _, err = script(PLASTIC, "--run", only)
    assert status == 2
    assert "two of each" in err


def test_gains_are_paired_by_seed():
    plastic = module(PLASTIC)
    values = xr.DataArray(
        np.array([[[[0.1, 0.3]], [[0.4, 0.6]]]]),
        dims=("n_steps", "rule", "seed", "update"),
        coords={"n_steps": [10], "rule": ["BP(0)", "BP(1)"]},
    )
    assert plastic.gains(values).sel(rule="BP(1)").item() == pytest.approx(0.3)
