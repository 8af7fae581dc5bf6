"""Read-outs of the TD error by climbing fibres: known answers, and the analysis on a tiny run."""

import os
import sys
from pathlib import Path

import climbing_fibre_readout as analysis
import numpy as np
import pytest
import xarray as xr

import neuro_bpl as nb
from neuro_bpl.scripting import command_line

pytestmark = pytest.mark.full

TASK = nb.tasks.PoissonClicks(shortest=0.1, longest=0.2, n_validation=40, n_test=4, n_probe=40)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "clicks"
    circuit = nb.Circuit(
        nb.RateCortex(2, 4, tau=0.1), nb.LinearReadout(2, "softmax_cross_entropy"), nb.LinearPredictor()
    )
    record = ["td_error", "outputs"]
    nb.train(circuit, TASK, nb.bp_lambda(), n_updates=2, seeds=3, record=record, output=path, progress=False)
    return path


@pytest.fixture
def recording(tmp_path):
    rng = np.random.default_rng(0)
    correct = rng.normal(size=50)
    path = tmp_path / "figures.npz"
    np.savez(path, **{"fig4/E/correct": correct, "fig4/E/error": correct + np.where(np.arange(50) < 40, 1, -1)})
    return path


def test_trials_built_again_are_those_of_the_run(run):
    tree = nb.open_run(run)
    trials = analysis.probe_trials(tree, "")
    assert (np.asarray(trials.inputs) == np.asarray(TASK.probe().inputs)).all()
    outputs = tree["activity"]["outputs"].isel(snapshot=-1).expand_dims(rule=["BP(1)"]).drop_vars("trial")
    belongs = analysis.conditions(outputs, trials)
    analysis.check_accuracy(belongs, tree)
    correct = belongs.sel(condition="correct", rule="BP(1)").mean("trial")
    assert np.allclose(correct, tree["evaluation"]["accuracy"].sel(split="validation").isel(update=-1))
    parts = belongs.sel(condition=["difficult correct", "easy correct", "difficult error", "easy error"])
    assert (parts.sum("condition") == 1).all()


def test_read_outs_tell_signs_apart():
    delta = xr.DataArray([[2.0, -2.0]], dims=("trial", "state"))
    said = analysis.read_outs(delta, 0.5)
    assert said.sel(read_out="signed").values.tolist() == [[2, -2]]
    assert said.sel(read_out="rectified").values.tolist() == [[2.5, 0]]
    assert said.sel(read_out="unsigned").values.tolist() == [[2, 2]]


def known():
    """Eight trials, half of them errors; unit 0 rises after errors, unit 1 falls, unit 2 says nothing."""
    error = np.arange(8) < 4
    difficult = np.arange(8) % 2 == 0
    delta = np.stack([2.0 * error, -2.0 * error, np.zeros(8)], axis=-1)
    sets = [error, ~error, difficult & ~error, ~difficult & ~error, difficult & error, ~difficult & error]
    names = ["error", "correct", "difficult correct", "easy correct", "difficult error", "easy error"]
    belongs = xr.DataArray(sets, {"condition": names}, ("condition", "trial"))
    return analysis.read_outs(xr.DataArray(delta, dims=("trial", "state")), 0.5), belongs


def test_shares_count_units_and_shuffling_takes_the_difference_away():
    said, belongs = known()
    shares = analysis.shares(said, belongs).sel(contrast="error > correct")
    assert [float(shares.sel(read_out=way)) for way in ("signed", "rectified", "unsigned")] == pytest.approx(
        [1 / 3, 1 / 3, 2 / 3]
    )
    assert (analysis.shares(said, belongs).sel(contrast="difficult > easy, error") == 0).all()
    null = analysis.shuffled(said, belongs, 50).sel(contrast="error > correct", read_out="unsigned")
    assert null.std() > 0
    assert null.mean() < 0.5
    # Units that tell the outcome alone tell nothing of difficulty when that is dealt out among trials of one outcome.
    kept = analysis.shuffled(said, belongs, 20).sel(contrast="difficult > easy, correct", read_out="unsigned")
    assert (kept == 0).all()
    nobody = analysis.shares(said, belongs & (belongs.condition != "error"))
    assert np.isnan(nobody.sel(contrast="error > correct")).all()


def test_delta_is_the_one_known_at_the_last_step():
    trials = TASK.probe()
    steps = np.arange(1, TASK.n_steps + 1.0)
    td_error = xr.DataArray(np.broadcast_to(steps[:, None], (40, TASK.n_steps, 3)), dims=("trial", "time", "state"))
    delta = analysis.at_outcome(td_error, trials)
    ratio = delta.isel(state=0).values / (np.asarray(trials.last_step()) - 1)
    np.testing.assert_allclose(ratio, ratio[0])
    assert len(set(np.asarray(trials.last_step()).tolist())) > 1


def analysed(monkeypatch, capsys, *words):
    monkeypatch.setattr("neuro_bpl.scripting.command_line.keep_compiled", lambda: None)
    monkeypatch.setattr(sys, "argv", ["climbing_fibre_readout.py", *map(str, words)])
    status = 0
    try:
        command_line.main(analysis.Parameters, analysis.__doc__, analysis.analyse)
    except SystemExit as end:
        status = end.code or 0
    wrote = capsys.readouterr()
    return status, wrote.out, wrote.err


def test_the_analysis_draws_and_reports(run, recording, tmp_path, monkeypatch, capsys):
    words = ("--run", run, "--recording", recording, "--output", tmp_path / "figure", "--shuffles", "3")
    status, out, err = analysed(monkeypatch, capsys, *words)
    assert (status, err) == (0, "")
    assert "| error > correct | recorded | 50 dendrites | 0.800" in out
    assert out.count("BP(1)") == 13
    assert {path.name for path in tmp_path.glob("figure.*")} == {"figure.png", "figure.svg"}


def test_runs_without_errors_of_climbing_fibres_are_refused(tmp_path, monkeypatch, capsys):
    circuit = nb.Circuit(nb.RateCortex(2, 4, tau=0.1), nb.LinearReadout(2, "softmax_cross_entropy"))
    nb.train(circuit, TASK, nb.bptt(), n_updates=1, seeds=2, output=tmp_path / "run", progress=False)
    status, _, err = analysed(monkeypatch, capsys, "--run", tmp_path / "run")
    assert status == 2
    assert "td_error" in err


def test_other_trials_than_the_run_had_are_refused(run):
    tree = nb.open_run(run)
    outputs = tree["activity"]["outputs"].isel(snapshot=-1).expand_dims(rule=["BP(1)"]).drop_vars("trial")
    belongs = analysis.conditions(outputs, analysis.probe_trials(tree, ""))
    wrong = belongs.where(belongs.condition != "correct", False)
    with pytest.raises(ValueError, match="accuracy"):
        analysis.check_accuracy(wrong, tree)


def test_four_fifths_of_the_recorded_dendrites_are_more_active_after_errors():
    path = Path(os.environ.get("NEURO_BPL_DATA", "none")) / "neural" / "deverett2018_crusI_evidence.npz"
    if not path.is_file():
        pytest.skip("NEURO_BPL_DATA does not lead to neural/deverett2018_crusI_evidence.npz")
    from neuro_bpl.neural.datasets.deverett2018 import read_deverett, share_above

    recorded = read_deverett(path)
    assert recorded.sizes["dendrite"] == 599
    assert share_above(recorded["activity"]) == pytest.approx(0.815, abs=5e-4)
