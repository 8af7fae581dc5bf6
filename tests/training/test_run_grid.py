"""Sweeps: a grid is its points trained one by one, compiled once; loading and evaluating what was trained."""

import json
from dataclasses import dataclass

import jax
import numpy as np
import pytest
import xarray as xr
from compilations import counted
from tiny import BP1, CIRCUIT, READOUT, Recall, assert_identical, recall, refused, sweep, train

import neuro_bpl as nb
from neuro_bpl.experiments import evaluation
from neuro_bpl.experiments import experiment as experimenting
from neuro_bpl.experiments.updates import run_updates
from neuro_bpl.runs import pieces, run_writer
from neuro_bpl.training import grid as grids
from neuro_bpl.training import run_grid, trainer

GRID = {"lambda_": [1.0, 0.0, 0.5], "cortex.learning_rate": [1e-3, 1e-2]}
RECORD = ["gradient_alignment", "rates"]


@pytest.fixture(scope="module")
def grid():
    return sweep(GRID, record=RECORD)


@pytest.fixture
def calls(monkeypatch):
    """Networks of each compiled call that trains."""
    made = []

    def noted(*arguments):
        made.append(len(arguments[3].diverged_at))
        return run_updates(*arguments)

    monkeypatch.setattr(trainer, "run_updates", noted)
    return made


def assert_close(got, wanted):
    """Two runs to the rounding of float32: groups, dims, labels and numbers."""
    assert set(got.children) == set(wanted.children)
    for group in set(wanted.children) - {"parameters"}:
        ours, theirs = got[group].to_dataset(), wanted[group].to_dataset()
        assert set(ours.data_vars) == set(theirs.data_vars)
        xr.testing.assert_allclose(
            ours, theirs.reindex_like(ours) if group == "weights" else theirs, rtol=2e-4, atol=2e-6
        )


def at(run, **point):
    return xr.DataTree.from_dict({name: node.to_dataset().sel(point, drop=True) for name, node in run.children.items()})


# ------------------------------------------------------------------------------------------------- a grid is its points


def test_a_sweep_has_one_dim_for_each_parameter_in_the_order_and_with_the_values_given(grid):
    assert dict(grid["training"]["loss"].sizes) == {"lambda_": 3, "cortex.learning_rate": 2, "seed": 2, "update": 4}
    for dim, values in GRID.items():
        assert grid["training"][dim].values.tolist() == values
        assert grid["training"][dim].attrs["long_name"]
    assert json.loads(grid.attrs["sweep"]) == GRID
    assert grid["parameters"]["rule.credit.lambda_"].dims == ("lambda_",)
    assert grid["parameters"]["optimizers.cortex.learning_rate"].values.tolist() == [1e-3, 1e-2]
    assert grid["parameters"]["optimizers.readout.learning_rate"].dims == ()
    assert [point["status"] for point in nb.statuses(grid)] == ["complete"] * 6


@pytest.mark.parametrize(("lambda_", "rate"), [(1.0, 1e-2), (0.0, 1e-3), (0.5, 1e-2)])
def test_every_point_is_what_training_it_alone_gives(grid, lambda_, rate):
    optimizers = nb.Optimizers(cortex=nb.Optimizer("adam", rate))
    alone = train(nb.bp_lambda(lambda_), optimizers=optimizers, record=RECORD)
    assert_close(at(grid, **{"lambda_": lambda_, "cortex.learning_rate": rate}), alone)


def test_points_differ(grid):
    """Negative control of the comparison above."""
    alone = train(nb.bp_lambda(1.0), record=RECORD)
    with pytest.raises(AssertionError):
        assert_close(at(grid, **{"lambda_": 0.0, "cortex.learning_rate": 1e-2}), alone)


def test_a_sweep_on_disk_is_the_sweep_in_memory(grid, tmp_path):
    path = tmp_path / "run"
    assert_identical(sweep(GRID, record=RECORD, output=path), grid)
    assert_identical(nb.open_run(path), grid)
    with xr.open_datatree(nb.export_netcdf(grid, tmp_path / "run.nc"), engine="h5netcdf") as opened:
        assert_identical(opened.load(), grid, but=())


def test_rules_are_points_named_after_their_algorithms():
    rules = [nb.tbptt(1), nb.bptt(), nb.bp_lambda(1.0)]
    run = sweep({"rule": rules}, record=RECORD)
    assert run["training"]["rule"].values.tolist() == ["TBPTT(1)", "BPTT", "BP(1)"]
    for rule in rules[::2]:
        alone = train(rule, record=RECORD if rule == BP1 else ["rates"])
        one = at(run, rule=rule.name)
        xr.testing.assert_allclose(one["training"].to_dataset(), alone["training"].to_dataset(), rtol=1e-5)
        xr.testing.assert_allclose(one["activity"].to_dataset(), alone["activity"].to_dataset(), rtol=1e-4, atol=1e-6)
    aligned = run["gradients"]["gradient_alignment"].isel(update=-1, time=0)
    assert np.isfinite(aligned.sel(rule="BP(1)")).all()
    assert np.isnan(aligned.sel(rule=["TBPTT(1)", "BPTT"])).all() if "BPTT" in aligned["rule"] else True
    # A number of the rule on top of the whole rules.
    assert run["parameters"]["rule.credit.type"].values.tolist() == ["Exact", "Exact", "Predicted"]


@pytest.mark.full
def test_sizes_are_points_padded_with_nan_that_load_takes_away_again(calls):
    sizes = [4, 3]
    run = sweep({"cortex.n_units": sizes}, record=["rates"])
    assert calls == [2, 2]
    assert run["training"]["cortex.n_units"].values.tolist() == sizes
    assert run["weights"]["cortex.w_rec"].shape == (2, 2, 2, 4, 4)
    small = run["weights"]["cortex.w_rec"].sel({"cortex.n_units": 3})
    assert np.isnan(small[..., 3, :]).all()
    assert np.isnan(small[..., 3]).all()
    assert np.isfinite(small[..., :3, :3]).all()
    for size in sizes:
        circuit, weights = nb.load(run, at={"cortex.n_units": size})
        wanted = nb.Circuit(nb.RateCortex(2, size), READOUT, nb.LinearPredictor())
        assert circuit == wanted
        assert weights.cortex.w_rec.shape == (2, size, size)
        alone = nb.load(train(circuit=wanted)).weights
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), weights, alone)
        rates = run["activity"]["rates"].sel({"cortex.n_units": size})
        assert int(np.isfinite(rates.isel(seed=0, snapshot=0, trial=0, time=0)).sum()) == size


# ---------------------------------------------------------------------------------------------------- one compiled call


def test_numbers_of_rule_and_optimisers_are_one_compiled_call_and_new_values_compile_nothing(calls):
    names = {"lambda_": [0.0, 1.0], "discount": [0.8, 0.9], "kappa": [0.1, 0.2], "predictor.learning_rate": [0.1, 0.2]}
    sweep(names, seeds=1)
    assert calls == [16]
    with counted() as programs:
        sweep({name: [value * 0.9 for value in values] for name, values in names.items()}, seeds=1)
    assert programs == []


@pytest.mark.full
def test_at_once_splits_a_grid_into_calls_with_equal_results(grid, calls):
    assert_close(sweep(GRID, record=RECORD, at_once=5), grid)
    assert calls == [4, 4, 4]  # A point is not split: two of them make four networks.


# --------------------------------------------------------------------------------------------------------------- resume


@pytest.mark.full
@pytest.mark.parametrize("at_once", [None, 2])
def test_points_that_are_done_are_never_computed_again(tmp_path, calls, at_once):
    path, asked = tmp_path / "run", {"lambda_": [1.0, 0.0, 0.5]}
    run = sweep(asked, output=path, at_once=at_once)
    calls.clear()
    assert_identical(sweep(asked, output=path, resume=True, at_once=at_once), run)
    assert calls == []


@pytest.mark.full
def test_a_grown_grid_computes_only_what_is_missing(tmp_path, calls):
    path, single = tmp_path / "run", {"at_once": 2}
    old = sweep({"lambda_": [0.5, 1.0]}, output=path, **single)
    calls.clear()
    grown = sweep({"lambda_": [1.0, 0.0, 0.5]}, output=path, resume=True, **single)
    assert calls == [2]
    assert grown["training"]["lambda_"].values.tolist() == [1.0, 0.0, 0.5]
    for lambda_ in (0.5, 1.0):
        for group in ("training", "weights", "evaluation"):
            xr.testing.assert_equal(*(run[group].to_dataset().sel(lambda_=lambda_) for run in (grown, old)))
    assert_close(at(grown, lambda_=0.0), train(nb.bp_lambda(0.0)))
    with refused("which is not in this grid"):
        sweep({"lambda_": [1.0]}, output=path, resume=True)
    with refused("batch_size: stored 3, asked for 2"):
        sweep({"lambda_": [1.0, 0.0, 0.5]}, output=path, resume=True, batch_size=2)


@pytest.mark.full
def test_a_sweep_stopped_in_the_middle_goes_on_with_the_points_it_was_at(tmp_path, monkeypatch, calls):
    path, asked = tmp_path / "run", {"at_once": 2, "n_evaluations": 2}
    wanted = sweep({"lambda_": [0.0, 0.5]}, **asked)
    commit, passed = run_writer.RunWriter.commit, []

    def counted(*arguments):
        if len(passed) == 5:  # The first point is done, the second has one chunk.
            raise KeyboardInterrupt
        passed.append(1)
        commit(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(run_writer.RunWriter, "commit", counted)
        with pytest.raises(KeyboardInterrupt):
            sweep({"lambda_": [0.0, 0.5]}, **asked, output=path)
    unfinished = nb.open_run(path)
    assert [point["status"] for point in nb.statuses(unfinished)] == ["complete", "running"]
    loss = unfinished["training"]["loss"]
    assert np.isfinite(loss).sum("update").isel(seed=0).values.tolist() == [4, 2]
    assert nb.load(unfinished, at={"lambda_": 0.5}).circuit == CIRCUIT
    calls.clear()
    assert_identical(sweep({"lambda_": [0.0, 0.5]}, **asked, output=path, resume=True), wanted)
    assert calls == [2]


# ----------------------------------------------------------------------------------------------------- points that fail


def test_a_point_that_is_not_possible_is_reported_and_the_others_are_trained(tmp_path, calls):
    path, values = tmp_path / "run", {"cortex.n_units": [3, 0], "lambda_": [1.0, 2.0]}
    with pytest.warns(RuntimeWarning, match=r"(?s)3 points of the sweep failed and are NaN.*n_units.*lambda_"):
        run = sweep(values, output=path)
    good = {"cortex.n_units": 3, "lambda_": 1.0}
    for point in nb.statuses(run):
        loss = run["training"]["loss"].sel(point["at"])
        assert np.isfinite(loss).all() if point["at"] == good else np.isnan(loss).all()
        assert point["status"] == ("complete" if point["at"] == good else "failed")
        assert point["at"] == good or ("Allowed: " in point["error"] and "Type: " in point["error"])
    with refused("at", "Allowed"):
        nb.load(run, at={"cortex.n_units": 0, "lambda_": 1.0})
    calls.clear()
    with pytest.warns(RuntimeWarning, match="3 points of the sweep failed"):
        assert_identical(sweep(values, output=path, resume=True), run)
    assert calls == []


@pytest.mark.full
def test_a_point_that_fails_in_training_fails_alone_and_is_run_again_alone(tmp_path, monkeypatch, calls):
    path, values = tmp_path / "run", {"lambda_": [0.0, 0.25, 0.5]}
    prepare, guilty = trainer.Trainer.prepare, 0.25

    def failing(part, *rest):
        if any(point.rule.credit.lambda_ == guilty for point in part.points):
            raise RuntimeError("no luck")
        return prepare(part, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "prepare", failing)
        with pytest.warns(RuntimeWarning, match=r"(?s)1 points? of the sweep failed.*0.25.*no luck"):
            run = sweep(values, output=path)
    assert np.isnan(run["training"]["loss"].sel(lambda_=guilty)).all()
    assert np.isfinite(run["training"]["loss"].sel(lambda_=[0.0, 0.5])).all()
    statuses = {point["at"]["lambda_"]: point["status"] for point in nb.statuses(run)}
    assert statuses == {0.0: "complete", 0.25: "failed", 0.5: "complete"}
    calls.clear()
    again = sweep(values, output=path, resume=True)
    assert calls == [2]
    for lambda_ in values["lambda_"]:
        assert_close(at(again, lambda_=lambda_), train(nb.bp_lambda(lambda_)))


def test_a_sweep_of_which_nothing_can_be_trained_is_refused(tmp_path):
    path = tmp_path / "run"
    for output in (None, path):
        with pytest.raises(ValueError, match=r"(?s)every point of the sweep failed.*Allowed: .*Type: "):
            sweep({"lambda_": [2.0, -1.0]}, output=output)
    assert not path.exists()


def test_a_point_that_diverges_is_marked_and_the_others_go_on():
    rates = {"readout.learning_rate": [1e-3, 1e30]}
    with pytest.warns(RuntimeWarning, match=r"not finite at update \d.*readout.learning_rate 1e\+30"):
        run = sweep(rates, at_once=2)
    diverged, loss = (run["training"][name] for name in ("diverged_at", "loss"))
    assert (diverged.isel({"readout.learning_rate": 0}) == -1).all()
    assert (diverged.isel({"readout.learning_rate": 1}) >= 0).all()
    assert np.isfinite(loss.isel({"readout.learning_rate": 0})).all()
    assert [point["status"] for point in nb.statuses(run)] == ["complete", "diverged"]


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"lamda": [0.0]}, r'"lambda_": \[...\]'),
        ({"cortex.n_unit": [3]}, "n_units"),
        ({"learning_rate": [0.1]}, r"optimizers.cortex.learning_rate or optimizers.readout.learning_rate"),
        ({"lambda_": [0.5, 0.5]}, "different"),
        ({"lambda_": []}, "different"),
        ({"lambda_": 0.5}, "list"),
        ({"lambda_": "0.5"}, "list"),
        ({"lambda_": [[0.5]]}, "different"),
        ({"lambda_": [None]}, "different"),
        ({"rule": [nb.bptt(), nb.bptt()]}, "different"),
        ({"rule": [nb.bp_lambda(0.5, 0.9), nb.bp_lambda(0.5, 0.8)]}, "different"),
        ({"rule.credit.lambda_": [0.5], "lambda_": [0.5]}, "lambda_"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("untyped")
def test_a_grid_that_makes_no_sense_is_refused(grid, words):
    with refused("Allowed", "Why", words):
        sweep(grid)


def test_the_same_experiment_under_two_names_is_refused():
    one, two = ({"dim": name} for name in ("a", "b"))
    experiment = experimenting.Experiment(
        CIRCUIT, Recall(), BP1, nb.Optimizers(), experimenting.Schedule(2, 3), nb.Seeds.count(1), ("loss",)
    )
    points = [grids.Point(label, experiment) for label in (one, two)]
    with refused("points that differ", "the same experiment"):
        run_grid.run(points, {"dim": ["a", "b"]}, progress=False)


# ------------------------------------------------------------------------------------------------------- load, evaluate


@pytest.fixture(scope="module")
def run():
    return train(n_updates=6, n_evaluations=3, n_snapshots=3)


def test_load_gives_back_circuit_and_weights_of_every_seed_and_snapshot(run):
    circuit, weights = nb.load(run)
    assert circuit == CIRCUIT
    named = pieces.named_leaves(weights)
    assert set(named) == set(run["weights"].data_vars)
    for name, leaf in named.items():
        np.testing.assert_array_equal(leaf, run["weights"][name].isel(snapshot=-1))
    for snapshot in run["weights"]["snapshot"].values:
        one = pieces.named_leaves(nb.load(run, seed=1, snapshot=int(snapshot)).weights)
        for name, leaf in one.items():
            np.testing.assert_array_equal(leaf, run["weights"][name].sel(seed=1, snapshot=snapshot))


def test_what_is_loaded_does_what_was_recorded(run):
    for snapshot in run["weights"]["snapshot"].values:
        circuit, weights = nb.load(run, snapshot=int(snapshot))
        for split in ("validation", "test"):
            with jax.enable_x64(False):
                found = nb.evaluate(circuit, weights, Recall(), split)
            recorded = run["evaluation"]["loss"].sel(update=snapshot, split=split)
            np.testing.assert_allclose(found["loss"], recorded, rtol=1e-6)
            assert found["loss"].dims == ("seed",)
            assert found["loss"].attrs["units"] == "squared output"
            assert found.attrs["split"] == split
    one = nb.evaluate(circuit, nb.load(run, seed=1).weights, Recall())
    assert one["loss"].dims == ()
    np.testing.assert_allclose(one["loss"], nb.evaluate(circuit, nb.load(run).weights, Recall())["loss"][1], rtol=1e-6)


def test_what_was_trained_is_evaluated_on_other_tasks_and_trials(run, monkeypatch):
    circuit, weights = nb.load(run)
    trials = recall(jax.random.key(8), 7)
    found = nb.evaluate(circuit, weights, trials)["loss"].values
    wanted = jax.jit(jax.vmap(circuit.loss, (0, None)))(weights, trials)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    reaching = nb.tasks.TargetReaching(4, 2, 2, ("10", "01"))
    assert np.isfinite(nb.evaluate(circuit, weights, reaching)["loss"]).all()
    monkeypatch.setattr(evaluation, "TRIALS_AT_ONCE", 4)  # More trials than are evaluated at once.
    np.testing.assert_allclose(nb.evaluate(circuit, weights, trials)["loss"], wanted, rtol=1e-6)


def test_weights_of_another_circuit_and_trials_that_do_not_fit_are_refused(run):
    circuit, weights = nb.load(run)
    other = nb.Circuit(nb.RateCortex(2, 4), READOUT, nb.LinearPredictor())
    with refused("weights", "Allowed", "Why"):
        nb.evaluate(other, weights, Recall())
    with refused("weights", "Allowed", "Why"):
        nb.evaluate(nb.Circuit(CIRCUIT.cortex, READOUT), weights, Recall())
    with refused("inputs.shape"):
        nb.evaluate(circuit, weights, nb.tasks.TargetReaching())
    with refused("split"):
        nb.evaluate(circuit, weights, nb.tasks.TargetReaching(4, 2, 2), "tset")


@pytest.mark.parametrize("wrong", [{"seed": 2}, {"snapshot": 1}, {"at": {"lambda_": 0.5}}, {"seed": -1}], ids=str)
def test_what_a_run_does_not_hold_cannot_be_loaded(run, wrong):
    with refused("Allowed", "Why"):
        nb.load(run, **wrong)


def test_a_point_of_a_sweep_must_be_named(grid):
    with refused("at = {}", "it names one point"):
        nb.load(grid)
    with refused("lambda_"):
        nb.load(grid, at={"lambda_": 1.0})
    circuit, weights = nb.load(grid, at={"lambda_": 1.0, "cortex.learning_rate": 1e-2})
    wanted = grid["weights"]["cortex.b"].sel({"lambda_": 1.0, "cortex.learning_rate": 1e-2}).isel(snapshot=-1)
    np.testing.assert_array_equal(weights.cortex.b, wanted)
    assert circuit == CIRCUIT


@dataclass(frozen=True)
class Sluggish(nb.RateCortex):
    """A cell of one's own."""

    def combine(self, s_tm1, gates):
        (h_tm1,), (a_t,) = s_tm1, gates
        return (0.5 * h_tm1 + 0.5 * a_t,)

    def slopes(self, gates):
        return (0.5 * super().slopes(gates)[0],)


def test_a_cell_of_ones_own_is_loaded_by_its_type():
    circuit = nb.Circuit(Sluggish(2, 3), READOUT, nb.LinearPredictor())
    run = train(nb.bptt(), circuit=circuit, n_updates=2)
    with refused("Sluggish", r"types=\[Sluggish\]"):
        nb.load(run)
    again, weights = nb.load(run, types=[Sluggish])
    assert again == circuit
    with jax.enable_x64(False):
        found = nb.evaluate(again, weights, Recall())["loss"]
    np.testing.assert_allclose(found, run["evaluation"]["loss"].isel(update=-1).sel(split="test"), rtol=1e-5)
