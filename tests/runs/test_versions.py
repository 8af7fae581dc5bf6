"""Runs go on where they were begun with other versions: of Python, of JAX, of the packages that store them."""

import contextlib
import json
import os
import sysconfig
from pathlib import Path

import jax
import numpy as np
import pytest
import stopped_run
import xarray as xr

import neuro_bpl as nb
from neuro_bpl.runs import checkpoint, provenance

TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}  # rounding of float32, after six updates


@pytest.fixture(scope="module")
def whole():
    return stopped_run.train()


def is_close(got, wanted):
    """Whether two runs have equal labels, and numbers equal to rounding."""
    assert set(got.children) == set(wanted.children)
    try:
        for group in wanted.children:
            xr.testing.assert_allclose(got[group].to_dataset(), wanted[group].to_dataset(), **TOLERANCE)
    except AssertionError:
        return False
    return True


@pytest.mark.smoke
@pytest.mark.parametrize("file", stopped_run.FILES, ids=lambda file: file.stem)
def test_a_run_begun_with_other_versions_opens_loads_and_goes_on(whole, tmp_path, file):
    path = stopped_run.unpacked(file, tmp_path / "run")
    begun = nb.open_run(path)
    assert nb.statuses(begun)[0]["status"] == "running"
    assert begun["training"]["update"].values.tolist() == [1, 2]
    np.testing.assert_allclose(begun["training"]["loss"], whole["training"]["loss"][:, :2], **TOLERANCE)
    circuit, weights = nb.load(begun)
    assert circuit == nb.load(whole).circuit
    for got, wanted in zip(jax.tree.leaves(weights), jax.tree.leaves(nb.load(whole, snapshot=2).weights), strict=True):
        np.testing.assert_allclose(got, wanted, **TOLERANCE)
    differ = json.loads(begun.attrs["versions"]) != provenance.versions()
    with pytest.warns(RuntimeWarning, match="begun with other versions") if differ else contextlib.nullcontext():
        run = stopped_run.train(output=path, resume=True)
    assert nb.statuses(run)[0]["status"] == "complete"
    assert is_close(run, whole)
    assert {key: run.attrs[key] for key in ("versions", "created_at")} == {
        key: begun.attrs[key] for key in ("versions", "created_at")
    }


def test_another_seed_is_another_run(whole):
    """Negative control: what is called close above is not always so."""
    assert not is_close(stopped_run.train(seeds=nb.Seeds((0, 1), (0, 2), (0, 1))), whole)
    assert not is_close(stopped_run.train(n_evaluations=2), whole)


def test_the_files_are_of_the_oldest_and_of_new_versions(tmp_path):
    runs = [nb.open_run(stopped_run.unpacked(file, tmp_path / file.stem)) for file in stopped_run.FILES]
    versions = [json.loads(run.attrs["versions"]) for run in runs]
    assert [found["python"][:4] for found in versions] == ["3.11", "3.13"]
    for name in ("icechunk", "jax", "numpy", "optax", "xarray", "zarr"):
        assert len({found[name] for found in versions}) == 2, name


@pytest.mark.smoke
@pytest.mark.skipif("NEURO_BPL_INSTALLED" not in os.environ, reason="the package is that of the checkout")
def test_what_is_tried_is_the_installed_package():
    assert Path(sysconfig.get_path("purelib")) in Path(nb.__file__).parents


def test_a_checkpoint_without_a_layout_is_read_where_as_many_numbers_are_wanted():
    tree = (np.arange(6, dtype="float32").reshape(2, 3), np.int32(4))
    back = checkpoint.unpack(checkpoint.pack(tree), None, jax.eval_shape(lambda: tree))
    jax.tree.map(np.testing.assert_array_equal, back, tree)
    with pytest.raises(checkpoint.CheckpointError, match=r"float32 \(6,\) as array 0(?s:.*)float32 \(5,\)"):
        checkpoint.unpack(checkpoint.pack(tree), None, jax.eval_shape(lambda: (tree[0].ravel()[:5], tree[1])))
