"""Results: every number named, with unit and provenance; kept whole, opened as written, or refused."""

import datetime
import json
import shutil
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import neuro_bpl as nb
from neuro_bpl.recording import QUANTITIES

N_UNITS, N_STEPS, N_UPDATES = 3, 4, 4
CIRCUIT = nb.Circuit(nb.RateCortex(2, N_UNITS), nb.LinearReadout(2), nb.GranularPredictor(4, fan_in=2))


@jax.tree_util.register_static
@dataclass(frozen=True)
class Sums:
    """Say the running sum of the inputs."""

    def sample(self, data_key, noise_key, batch_size):
        inputs = jax.random.normal(data_key, (batch_size, N_STEPS, 2))
        return nb.Trials(inputs, jnp.cumsum(inputs, axis=1))

    def held_out(self, split):
        return self.sample(jax.random.key(len(split)), None, 3)

    def probe(self):
        return self.sample(jax.random.key(9), None, 5)


def train(rule, record):
    return nb.train(
        CIRCUIT,
        Sums(),
        rule,
        n_updates=N_UPDATES,
        batch_size=3,
        seeds=2,
        record=record,
        n_evaluations=2,
        progress=False,
    )


@pytest.fixture(scope="module")
def run():
    return train(nb.bp_lambda(1.0, 0.9), list(QUANTITIES))


@pytest.fixture(scope="module")
def bptt():
    return train(nb.bptt(), ["rates", "true_gradient"])


@pytest.fixture
def stored(run, tmp_path):
    return nb.save(run, tmp_path / "run.zarr")


def assert_same(got, wanted):
    assert set(got.children) == set(wanted.children)
    assert got.attrs == wanted.attrs
    for group in wanted.children:
        xr.testing.assert_identical(got[group].to_dataset().load(), wanted[group].to_dataset())


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --------------------------------------------------------------------------------------------------------- structure


def test_a_run_has_its_groups_and_only_those_asked_for(run, bptt):
    always = {"parameters", "training", "evaluation", "weights"}
    assert set(run.children) == always | {"gradients", "activity"}
    assert set(bptt.children) == always | {"activity"}
    assert set(bptt["activity"].data_vars) == {"rates", "true_gradient"}


def test_recorded_quantities_have_the_dims_and_sizes_declared_for_them(run):
    sizes = {"seed": 2, "update": N_UPDATES, "trial": 5, "time": N_STEPS, "unit": N_UNITS, "state": N_UNITS}
    for name, quantity in QUANTITIES.items():
        values = run[quantity.group][name]
        assert values.dims == ("seed", *quantity.dims), name
        wanted = {**sizes, "update": 3} if quantity.group == "gradients" else sizes
        assert values.sizes == {dim: wanted[dim] for dim in values.dims}, name
        assert (values.attrs["units"], values.attrs["cadence"]) == (quantity.units, quantity.cadence), name
    assert run["evaluation"]["loss"].dims == ("seed", "update", "split")
    assert run["evaluation"]["update"].values.tolist() == [0, 2, 4]
    assert sorted(run["evaluation"]["split"].values.tolist()) == ["test", "validation"]
    assert run["training"]["update"].values.tolist() == [1, 2, 3, 4]


def test_every_variable_and_coordinate_has_a_unit_and_a_name_in_words(run):
    for group in run.children.values():
        for name, values in group.to_dataset().variables.items():
            assert values.attrs["units"], (group.name, name)
            assert values.attrs["long_name"], (group.name, name)


def test_every_dim_has_a_coordinate(run):
    for group in run.children.values():
        dataset = group.to_dataset()
        assert set(dataset.dims) <= set(dataset.coords), group.name


def test_weights_are_those_of_the_circuit(run):
    born = jax.eval_shape(CIRCUIT.init, jax.random.key(0))
    for path, leaf in jax.tree_util.tree_leaves_with_path(born):
        assert run["weights"][jax.tree_util.keystr(path, simple=True, separator=".")].shape == (2, *leaf.shape)
    assert run["weights"]["cortex.w_rec"].dims == ("seed", "cortex.w_rec.post", "cortex.w_rec.pre")


def test_parameters_are_stored_with_unit_symbol_and_source(run):
    parameters = run["parameters"]
    assert parameters["circuit.cortex.tau"].item() == 0.02
    assert parameters["circuit.cortex.tau"].attrs["units"] == "s"
    assert parameters["circuit.cortex.tau"].attrs["symbol"] == "τ"
    assert parameters["rule.credit.discount"].item() == 0.9
    assert parameters["circuit.cerebellum.fan_in"].item() == 2
    assert parameters["schedule.n_updates"].item() == N_UPDATES
    assert parameters["seeds.data"].values.tolist() == [0, 1]


def test_provenance_rebuilds_what_was_run(run):
    attrs = run.attrs
    assert (attrs["format"], attrs["format_version"], attrs["rule"]) == ("neuro_bpl run", "1", "BP(1)")
    parameters = json.loads(attrs["parameters"])
    assert parameters["circuit"]["cerebellum"] == {
        "type": "GranularPredictor",
        "n_granule": 4,
        "fan_in": 2,
        "plasticity": "output",
    }
    assert parameters["rule"]["credit"]["lambda_"] == 1.0
    assert parameters["optimizers"]["cortex"]["learning_rate"] == 1e-3
    assert parameters["seeds"]["noise"] == [0, 1]
    versions = json.loads(attrs["versions"])
    assert {"neuro_bpl", "jax", "numpy", "optax", "xarray", "zarr", "python"} <= set(versions)
    assert versions["jax"] == jax.__version__
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(attrs["created_at"])
    assert abs(age) < datetime.timedelta(hours=1)
    assert isinstance(attrs["commit"], str)


def test_what_is_recorded_agrees_with_the_weights(run):
    with jax.enable_x64(False):
        inputs = Sums().probe().inputs
        w = {name: values.values[1] for name, values in run["weights"].data_vars.items()}
        h = np.zeros((5, N_UNITS), np.float32)
        for t in range(N_STEPS):
            h = np.tanh(inputs[:, t] @ w["cortex.w_in"].T + h @ w["cortex.w_rec"].T + w["cortex.b"])
            np.testing.assert_allclose(run["activity"]["rates"].values[1, :, t], h, rtol=1e-4, atol=1e-5)
    for name in ("true_gradient", "predicted_gradient"):
        assert run["activity"][name].isel(time=slice(None, -1)).values.any()
        assert not run["activity"][name].isel(time=-1).values.any()
    assert np.isnan(run["gradients"]["gradient_alignment"].isel(update=0)).all()
    aligned = run["gradients"]["gradient_alignment"].isel(update=-1, time=slice(None, -1)).values
    assert np.isfinite(aligned).all()
    assert np.abs(aligned).max() <= 1 + 1e-6


# ----------------------------------------------------------------------------------------------------- save and open


def test_a_run_is_opened_as_it_was_saved(run, stored):
    assert_same(nb.open_run(stored), run)
    assert_same(nb.open_run(str(stored)), run)


def test_nothing_but_the_run_is_left_beside_it(stored):
    assert [path.name for path in stored.parent.iterdir()] == ["run.zarr"]


def test_folders_on_the_way_are_made(run, tmp_path):
    assert nb.save(run, tmp_path / "a" / "b" / "run.zarr").is_dir()


def test_an_existing_run_is_not_written_over(stored, bptt):
    before = contents(stored)
    with pytest.raises(FileExistsError, match=r"(?s)run.zarr exists.*Allowed: .*Why: .*Type: --overwrite"):
        nb.save(bptt, stored)
    assert contents(stored) == before
    assert [path.name for path in stored.parent.iterdir()] == ["run.zarr"]


def test_overwrite_replaces_the_whole_run(stored, bptt):
    nb.save(bptt, stored, overwrite=True)
    assert_same(nb.open_run(stored), bptt)
    assert [path.name for path in stored.parent.iterdir()] == ["run.zarr"]


def test_overwrite_replaces_a_file_too(run, tmp_path):
    path = tmp_path / "run.zarr"
    path.write_text("notes")
    nb.save(run, path, overwrite=True)
    assert_same(nb.open_run(path), run)


def test_a_failed_save_leaves_the_old_run(stored, run, monkeypatch):
    before = contents(stored)

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(xr.DataTree, "to_zarr", fail)
    with pytest.raises(OSError, match="disk full"):
        nb.save(run, stored, overwrite=True)
    assert contents(stored) == before
    assert [path.name for path in stored.parent.iterdir()] == ["run.zarr"]


def test_a_missing_run_is_missed_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)no run at .*nowhere.zarr.*Type: "):
        nb.open_run(tmp_path / "nowhere.zarr")


def refused(path):
    with pytest.raises(ValueError, match=r"(?s)Allowed: a Zarr folder written by neuro_bpl.save.*Why: ") as caught:
        nb.open_run(path)
    assert str(path) in str(caught.value)


def test_what_is_not_a_run_is_refused(tmp_path):
    empty, file, foreign = tmp_path / "empty", tmp_path / "file.zarr", tmp_path / "foreign.zarr"
    empty.mkdir()
    file.write_bytes(b"PK not zarr")
    xr.Dataset({"x": ("y", [1.0])}).to_zarr(foreign, zarr_format=2, consolidated=False)
    for path in (empty, file, foreign):
        refused(path)


def delete(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path):
    path.write_bytes(b"\xff\x00 no JSON")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (".zattrs", delete),
        (".zattrs", cut),
        (".zattrs", garble),
        (".zgroup", delete),
        (".zgroup", garble),
        ("training/.zgroup", garble),
        ("training/loss/.zarray", cut),
        ("training/loss/.zarray", garble),
        ("training/loss/.zattrs", cut),
        ("weights/cortex.b/0.0", garble),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_damaged_run_is_refused(stored, name, damage):
    assert (stored / name).is_file()
    damage(stored / name)
    refused(stored)


@pytest.mark.parametrize("name", ["training", "evaluation", "weights", "parameters"])
def test_a_run_that_lost_a_group_is_refused(stored, name):
    shutil.rmtree(stored / name)
    refused(stored)


def test_a_run_of_another_format_version_is_refused(run, tmp_path):
    future = run.copy()
    future.attrs = {**run.attrs, "format_version": "99"}
    nb.save(future, tmp_path / "future.zarr")
    with pytest.raises(ValueError, match="'99'"):
        nb.open_run(tmp_path / "future.zarr")


# ------------------------------------------------------------------------------------------------------ side by side


def test_rules_are_laid_side_by_side_with_their_values_kept(run, bptt):
    both = nb.side_by_side([run, bptt])
    assert set(both.children) == set(run.children)
    for rule, single in (("BP(1)", run), ("BPTT", bptt)):
        for group in ("training", "evaluation", "weights", "activity"):
            for name, values in single[group].data_vars.items():
                got = both[group][name].sel(rule=rule)
                assert "rule" in both[group][name].dims
                np.testing.assert_array_equal(got.values, values.values, err_msg=name)
                assert got.attrs == values.attrs, name
    assert both["training"]["rule"].values.tolist() == ["BP(1)", "BPTT"]
    assert both["gradients"]["rule"].values.tolist() == ["BP(1)"]


def test_what_a_rule_lacks_is_nan_or_empty(run, bptt):
    both = nb.side_by_side([run, bptt])
    assert np.isnan(both["activity"]["predicted_gradient"].sel(rule="BPTT")).all()
    parameters = both["parameters"]
    assert parameters["rule.credit.discount"].sel(rule="BP(1)").item() == 0.9
    assert np.isnan(parameters["rule.credit.discount"].sel(rule="BPTT").item())
    assert parameters["rule.credit.type"].values.tolist() == ["Predicted", "Exact"]
    assert parameters["circuit.cortex.tau"].values.tolist() == [0.02, 0.02]
    # The other way round, too.
    assert np.isnan(nb.side_by_side([bptt, run])["parameters"]["rule.credit.discount"].sel(rule="BPTT").item())


def test_provenance_of_all_rules_is_kept_and_survives_the_disk(run, bptt, tmp_path):
    both = nb.side_by_side([run, bptt])
    assert both.attrs["rule"] == "BP(1), BPTT"
    parameters = json.loads(both.attrs["parameters"])
    assert parameters["BPTT"]["rule"]["credit"]["type"] == "Exact"
    assert parameters["BP(1)"] == json.loads(run.attrs["parameters"])
    assert_same(nb.open_run(nb.save(both, tmp_path / "both.zarr")), both)


def test_runs_of_the_same_rule_cannot_be_told_apart_and_are_refused(run):
    with pytest.raises(ValueError, match="Allowed: "):
        nb.side_by_side([run, run])
