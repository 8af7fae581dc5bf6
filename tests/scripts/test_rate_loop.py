"""The rate loop in Brian2 as a model, and its comparison with the array engine as an analysis, on tiny parameters."""

import numpy as np
import pytest
import xarray as xr
from scripting import in_shell, module

import neuro_bpl as nb
from neuro_bpl.runs import schema

pytestmark = pytest.mark.full

MODEL, ANALYSIS = "models/rate_loop_brian.py", "analyses/discrete_vs_continuous.py"
TINY = ("--n-trials", 4, "--n-snapshots", 2, "--n-units", 6, "--n-granule", 12, "--n-steps", 4, "--target", "numpy")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A tiny run of both simulators in three steps, and what the model said."""
    path = tmp_path_factory.mktemp("loop") / "run.nc"
    words = ("--simulator", "brian,array", "--refine", "1,2,4", "--seeds", 1, "--plastic", "--n-cues", 2)
    done = in_shell(MODEL, *TINY, *words, "--output", path)
    assert done.returncode == 0, done.stderr
    return path, done.stdout


def test_both_simulators_learn_the_same_and_are_stored_as_one_run(both):
    path, out = both
    with xr.open_datatree(path, engine="h5netcdf") as run:
        schema.validate(run)
        weights = run["weights"]["cerebellum.w_purkinje"]
        assert weights.sizes["refine"] == 3
        array, brian = (weights.sel(simulator=name).values for name in ("array", "brian"))
        assert np.abs(array[:, :, -1] - array[:, :, 0]).max() > 1e-4
        np.testing.assert_allclose(brian, array, rtol=1e-10, atol=1e-14)
        assert np.abs(array[0] - array[1]).max() > 1e-5  # shorter steps are another circuit
        assert run["activity"]["rates"].sizes["time"] == 4
        circuit, loaded = nb.load(run, at={"simulator": "brian", "refine": 2})
    assert circuit.cortex.dt == pytest.approx(0.005)
    assert loaded.cortex.w_rec.shape == (1, 6, 6)
    assert "simulator array, refine 4" in out


def test_the_comparison_prints_and_draws_what_it_finds(both, script, tmp_path):
    path, _ = both
    status, out, err = script(ANALYSIS, "--run", path, "--output", tmp_path / "figure")
    assert status == 0, err
    assert "largest difference of the weights" in out
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    found = module(ANALYSIS)
    with xr.open_datatree(path, engine="h5netcdf") as run:
        weights = found.learnt(run.load()).transpose("refine", "seed", "simulator", "snapshot", "weight")
    assert float(found.between_simulators(weights).max()) < 1e-10
    assert (found.from_limit(weights).diff("refine") < 0).all()


def test_a_run_of_one_simulator_is_no_comparison(script, tmp_path):
    path = tmp_path / "run.nc"
    assert script(MODEL, *TINY, "--seeds", 1, "--simulator", "array", "--output", path)[0] == 0
    status, _, err = script(ANALYSIS, "--run", path, "--output", tmp_path / "figure")
    assert status == 2
    assert "Type: python models/rate_loop_brian.py" in err


def test_nothing_is_written_over(script, tmp_path):
    path = tmp_path / "run.nc"
    path.write_text("precious")
    status, _, err = script(MODEL, *TINY, "--output", path)
    assert status == 2
    assert "overwrite" in err
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--simulator", "brain"), "--simulator brian,array"),
        (("--refine", "1,0"), "refine = '0'"),
        (("--kappa", "-1"), "kappa"),
        (("--kappa", "x"), "kappa = 'x'"),
    ],
)
def test_what_is_not_possible_is_refused(words, said, script, tmp_path):
    status, _, err = script(MODEL, *TINY, *words, "--output", tmp_path / "run.nc")
    assert status == 2
    assert said in err
