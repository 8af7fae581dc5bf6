"""Relearning a permuted brain–computer interface: the model and its analysis."""

from pathlib import Path

import golub_files
import numpy as np
import pytest
import xarray as xr
from scripting import module

import neuro_bpl as nb
from neuro_bpl.neural.measures import cursor, manifold

pytestmark = pytest.mark.full

MODEL, ANALYSIS = "models/bci_relearning.py", "analyses/bci_relearning.py"
TINY = (
    *("--n-units", 8, "--n-inputs", 6, "--n-factors", 3, "--n-steps", 5, "--onset", 1, "--n-probe", 8, "--seeds", 2),
    *(
        "--n-development",
        3,
        "--n-intuitive",
        2,
        "--n-updates",
        4,
        "--n-snapshots",
        2,
        "--batch-size",
        4,
        "--noise",
        0.5,
    ),
    *("--n-permutations", 6, "--rule", "bptt,rflo"),
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Runs and mappings of the model with tiny parameters."""
    path = tmp_path_factory.mktemp("bci")
    model = module(MODEL)
    small = {"n_units": 8, "n_inputs": 6, "n_factors": 3, "n_steps": 5, "onset": 1, "n_probe": 8, "seeds": 2}
    schedule = {"n_development": 3, "n_intuitive": 2, "n_updates": 4, "n_snapshots": 2, "batch_size": 4}
    p = model.Parameters(rule="bptt,rflo", output=str(path), noise=0.5, n_permutations=6, **small, **schedule)
    model.simulate(p)
    return p, path


# --------------------------------------------------------------------------------------------------------- the model


def test_only_the_cortex_learns_and_the_mapping_is_the_readout(stored):
    _, path = stored
    decoders = xr.load_dataset(path / "decoders.nc", engine="h5netcdf")
    for folder, mapping in (("intuitive", "intuitive"), ("perturbed", "perturbed")):
        weights = nb.open_run(path / folder)["weights"].to_dataset()
        readout = weights["readout.w"].isel(snapshot=-1)
        readout = readout.isel(rule=0) if "rule" in readout.dims else readout
        wanted = decoders["M2"].sel(mapping=mapping).transpose("seed", "velocity", "unit")
        np.testing.assert_allclose(readout.values, wanted.values, rtol=1e-4, atol=1e-6)
        for name, moves in (("readout.w", False), ("readout.b", False), ("cortex.w_rec", True)):
            changed = (weights[name].isel(snapshot=0) != weights[name].isel(snapshot=-1)).any()
            assert bool(changed) == moves, name


def test_the_perturbation_permutes_the_latents_and_rules_start_from_the_same_cortex(stored):
    _, path = stored
    decoders = xr.load_dataset(path / "decoders.nc", engine="h5netcdf")
    assert decoders["M2"].dims[:2] == ("mapping", "seed")
    eta = decoders["eta"].sel(mapping="perturbed").values
    assert (eta.sum(-1) == 1).all()
    assert (eta.sum(-2) == 1).all()
    for name in ("K", "beta", "loadings"):
        assert (
            decoders[name]
            .sel(mapping="intuitive", drop=True)
            .equals(decoders[name].sel(mapping="perturbed", drop=True))
        ), name
    assert set(nb.open_run(path / "perturbed")["weights"].rule.values) == {"BPTT", "RFLO"}
    first = nb.open_run(path / "perturbed")["weights"]["cortex.w_rec"].isel(snapshot=0)
    last = nb.open_run(path / "intuitive")["weights"]["cortex.w_rec"].isel(snapshot=-1)
    assert (first.sel(rule="BPTT").values == last.values).all()
    assert (first.sel(rule="RFLO").values == last.values).all()


def test_the_readout_of_the_run_is_the_velocity_of_the_decoder(stored):
    p, path = stored
    run, decoders = nb.open_run(path / "perturbed"), xr.load_dataset(path / "decoders.nc", engine="h5netcdf")
    rates = run["activity"]["rates"].isel(snapshot=-1, drop=True).sel(rule="BPTT", seed=1, drop=True)
    circuit, weights = nb.load(run, at={"rule": "BPTT"}, seed=1)
    _, outputs = circuit.run(weights, module(MODEL).task(p).probe())
    made = cursor.velocity(rates, decoders.sel(mapping="perturbed", seed=1)).transpose("velocity", "time", "trial")
    np.testing.assert_allclose(made.values, outputs, atol=1e-4)
    wrong = cursor.velocity(rates, decoders.sel(mapping="intuitive", seed=1)).transpose("velocity", "time", "trial")
    same = bool(
        (decoders["eta"].sel(mapping="perturbed", seed=1) == decoders["eta"].sel(mapping="intuitive", seed=1)).all()
    )
    assert same or abs(wrong.values - outputs).max() > 1e-3


def test_the_permutation_is_the_one_of_the_wanted_difficulty(stored):
    model, (p, _) = module(MODEL), stored
    rng = np.random.default_rng(0)
    rates = xr.DataArray(rng.normal(size=(64, 4, 8)) + rng.normal(size=8), dims=("trial", "time", "unit"))
    direction = model.directions(p)
    rates = rates + 2 * xr.dot(
        direction, xr.DataArray(rng.normal(size=(2, 8)), dims=("velocity", "unit")), dim="velocity"
    )
    found = manifold.intrinsic_manifold(rates, 3)
    plain = manifold.mapping(found, rates, direction.expand_dims(time=4))
    order = model.permutation(p, plain, rates, np.random.default_rng(1))
    tried = [np.random.default_rng(1).permutation(3) for _ in range(1)] + [order]

    def part(order):
        velocity = cursor.velocity(rates, manifold.permuted(plain, np.array(order)))
        return float(cursor.progress(velocity, direction).mean())

    whole = part([0, 1, 2])
    distance = [abs(part(one) / whole - p.difficulty) for one in tried]
    assert whole > 0.1
    assert distance[-1] <= distance[0] + 1e-6


def test_dry_run_and_refusals(script, tmp_path):
    status, out, _ = script(MODEL, *TINY, "--output", tmp_path / "run", "--dry-run")
    assert status == 0
    assert "RFLO" in out
    assert not (tmp_path / "run").exists()
    for words, said in ((("--rule", "none"), "rflo"), (("--sweep", "n_units=4,5"), "relearning_rate")):
        status, _, err = script(MODEL, *TINY, "--output", tmp_path / "run", *words)
        assert status == 2
        assert said in err
        assert "Traceback" not in err


# ------------------------------------------------------------------------------------------------------ the analysis


def test_the_analysis_holds_the_model_against_the_session(stored, script, tmp_path):
    recording = golub_files.write(tmp_path / "session.mat")
    words = ("--run", stored[1], "--recording", recording, "--n-permutations", 9, "--output", tmp_path / "figure")
    status, out, err = script(ANALYSIS, *words)
    assert (status, err) == (0, "")
    assert "| repertoire change |" in out
    assert "monkey, halves before learning" in out
    assert out.count("figure: ") == 2
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_recording_or_a_run_that_is_not_there_is_refused(stored, script, tmp_path):
    for words in (("--recording", tmp_path / "none.mat"), ("--run", Path(tmp_path) / "none")):
        recording = golub_files.write(tmp_path / "session.mat")
        given = {"--run": stored[1], "--recording": recording, "--output": tmp_path / "figure", words[0]: words[1]}
        status, _, err = script(ANALYSIS, *(word for pair in given.items() for word in pair))
        assert status == 2
        assert "Traceback" not in err
        assert not list(tmp_path.glob("figure*"))


def test_measures_are_compared_where_as_much_is_regained():
    analysis = module(ANALYSIS)
    progress = xr.DataArray([[0.2, 0.4, 1.0], [0.2, 0.3, 0.35]], dims=("seed", "snapshot"))
    measures = xr.Dataset({"perturbed": progress, "overall": progress.copy(data=np.tile([0.0, 1.0, 3.0], (2, 1)))})
    np.testing.assert_allclose(analysis.regained(measures).isel(seed=0), [0, 0.25, 1])
    at = analysis.matched(measures, 0.5)
    np.testing.assert_allclose(at["overall"], [1 + 2 / 3, np.nan])
    np.testing.assert_allclose(at["perturbed"], [0.6, np.nan])


def test_a_model_that_does_not_move_does_not_change():
    analysis = module(ANALYSIS)
    rng = np.random.default_rng(0)
    still = rng.normal(size=(1, 80, 3, 8))
    rates = xr.DataArray(
        np.concatenate([still, still, 2 * still + 1]),
        {"snapshot": [0, 1, 2]},
        ("snapshot", "trial", "time", "unit"),
    )
    session = golub_files.contents()["expParams"]["intuitiveMapping"]
    units = xr.DataArray(rates.isel(snapshot=0), dims=("trial", "time", "unit"))
    found = manifold.intrinsic_manifold(units.drop_vars("snapshot"), 3)
    theta = np.tile(45.0 * np.arange(8), 10)
    wanted = xr.DataArray(np.stack([np.cos(np.deg2rad(theta)), np.sin(np.deg2rad(theta))]), dims=("velocity", "trial"))
    plain = manifold.mapping(found, units.drop_vars("snapshot"), wanted.expand_dims(time=3))
    both = xr.concat([plain, plain], xr.Variable("mapping", ["intuitive", "perturbed"]), data_vars="all")
    measures = analysis.simulated(rates, theta, both)
    for name in ("overall", "specific", "outside", "variance_intuitive"):
        values = measures[name].values
        assert values[0] == values[1] == 0, name
        assert name == "outside" or abs(values[2]) > 0.1, name
    assert session["dt"] == 0.045
