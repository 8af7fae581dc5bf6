"""Analyses of the paper's experiments: what they find in runs that are made up, and in the smallest real ones."""

import numpy as np
import pytest
import xarray as xr
from scripting import module

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


def test_the_longest_trial_solved_is_that_of_the_last_step_up():
    values = xr.DataArray([[5, 5, 7, 9, 9], [5, 5, 5, 5, 5]], dims=("seed", "update"))
    found = module(HORIZON).solved_so_far(values)
    np.testing.assert_array_equal(found, [[0, 5, 7, 7, 7], [0, 0, 0, 0, 0]])


def test_a_length_counts_as_solved_only_with_all_shorter_ones():
    first, last = np.ones((3, 3)), np.array([[0.01, 0.5, 0.5], [0.01, 0.5, 0.01], [0.01, 0.01, 0.5]]).T
    loss = xr.DataArray(
        np.stack((first, last), -1), dims=("n_steps", "seed", "update"), coords={"n_steps": [10, 20, 30]}
    )
    found = module(HORIZON).longest_solved(loss, 0.05)
    np.testing.assert_array_equal(found, [10, 10, 20])


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
    assert (tmp_path / "table.png").stat().st_size > 5000
    status, _, err = script(TABLE, "--reaching", "", "--digits", "", "--copying", tmp_path / "none")
    assert status == 2
    assert "Type: " in err


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
