"""NWB: a network's activity comes back bit for bit, with spikes drawn from it; other tools find the same."""

import datetime
import json

import h5py
import numpy as np
import pytest
import xarray as xr
from nwb_files import START, example, foreign_file, is_open, pynwb
from tiny import BP1, Recall, refused, sweep, train

import neuro_bpl as nb
from neuro_bpl.neural import spike_times
from neuro_bpl.neural.sessions.nwb import ClimbingFibres, PoissonSpikes, read_nwb, read_run_nwb, write_nwb

RECORD = ["rates", "outputs", "predicted_gradient", "td_error", "cortical_trace"]
CORTEX = nb.RateCortex(2, 3, "softplus", tau=0.04, dt=0.02)
CIRCUIT = nb.Circuit(CORTEX, nb.LinearReadout(2), nb.LinearPredictor())


@pytest.fixture(scope="module")
def run():
    return train(circuit=CIRCUIT, record=RECORD, n_snapshots=1)


@pytest.fixture(scope="module")
def run_file(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("nwb") / "run.nwb"
    spikes, fibres = PoissonSpikes(50.0, seed=1), ClimbingFibres(20.0, 10.0)
    columns = {"side": (["left", "right", "left"], "1", "side")}
    return write_nwb(run, path, seed=1, spikes=spikes, climbing_fibres=fibres, trials=Recall().probe(), columns=columns)


@pytest.mark.smoke
def test_a_run_comes_back_bit_for_bit(run, run_file):
    again, wanted = read_run_nwb(run_file), run["activity"].to_dataset().sel(seed=1, snapshot=4)
    for name in RECORD:
        assert again[name].dims == wanted[name].dims
        assert again[name].dtype == np.float32
        assert again[name].values.tobytes() == wanted[name].values.tobytes(), name
        assert np.abs(again[name].values).max() > 0, name
        assert again[name].attrs["units"] == wanted[name].attrs["units"]
    other = run["activity"].to_dataset().sel(seed=0, snapshot=4)
    assert (again["rates"].values != other["rates"].values).any()
    np.testing.assert_allclose(again.time, [0.02, 0.04, 0.06, 0.08])
    assert again["side"].values.tolist() == ["left", "right", "left"]
    inputs = np.asarray(Recall().probe().inputs)
    assert again["inputs"].dtype == inputs.dtype
    assert again["inputs"].values.tobytes() == inputs.tobytes()
    assert (again.attrs["seed"], again.attrs["snapshot"], again.attrs["rule"]) == (1, 4, "BP(1)")
    assert json.loads(again.attrs["experiment"])["circuit"]["cortex"]["tau"] == 0.04


def test_a_run_is_a_session_too(run_file):
    session = read_nwb(run_file)
    assert session["units"]["population"].values.tolist() == ["cortex"] * 3 + ["climbing_fibre"] * 3
    times, trials = session["spikes"]["time"].values, session["trials"]
    inside = (times[:, None] >= trials["start_time"].values) & (times[:, None] <= trials["stop_time"].values)
    assert inside.sum(1).tolist() == [1] * len(times)
    assert len(times) > 10
    assert json.loads(session.attrs["run"])["seed"] == 1
    assert session.attrs["not_read"] == "[]"


def test_no_file_is_left_open(run_file, tmp_path):
    foreign = foreign_file(tmp_path / "lab.nwb")
    read_nwb(foreign)
    read_run_nwb(run_file)
    path = write_nwb(example(), tmp_path / "a.nwb")
    assert [is_open(one) for one in (foreign, run_file, path)] == [False] * 3
    with h5py.File(path):
        assert is_open(path)


# ------------------------------------------------------------------------------------------------------------- spikes


def test_spikes_have_the_rate_that_was_asked_for():
    rates = xr.DataArray(np.broadcast_to([0.0, 0.5, 1.0], (40, 50, 3)), dims=("trial", "time", "unit"))
    starts, lengths = 3.0 * np.arange(40), np.full(40, 50)
    trains = PoissonSpikes(30.0).draw(rates, starts, lengths, dt=0.05)
    assert len(trains[0]) == 0
    for train_, expected in zip(trains[1:], (1500, 3000), strict=True):  # 40 trials of 2.5 s
        assert abs(len(train_) - expected) < 4 * np.sqrt(expected)
        assert (np.diff(train_) >= 0).all()
    again, other = (PoissonSpikes(30.0, seed).draw(rates, starts, lengths, dt=0.05)[2] for seed in (0, 1))
    assert (again == trains[2]).all()
    assert len(other) != len(again) or (other != again).any()
    short = PoissonSpikes(30.0).draw(rates, starts, np.full(40, 10), dt=0.05)[2]
    assert ((short % 3.0) <= 0.5).all()


def test_each_network_has_noise_of_its_own(run, tmp_path):
    rates = xr.DataArray(np.ones((4, 50, 2)), dims=("trial", "time", "unit"))
    steps = (np.arange(4.0) * 3, np.full(4, 50), 0.05)
    drawn = {at: PoissonSpikes(30.0).draw(rates, *steps, stream=at)[0].tolist() for at in ((0, 4), (1, 4), (0, 8))}
    assert len({tuple(times) for times in drawn.values()}) == 3
    assert PoissonSpikes(30.0).draw(rates, *steps, stream=(1, 4))[0].tolist() == drawn[1, 4]
    # Of equal rates and seeds, too, spikes and events of climbing fibres differ.
    fibres = ClimbingFibres(baseline=30.0, gain=1e-9).draw(rates.rename(unit="state"), *steps, stream=(0, 4))
    assert fibres[0].tolist() != drawn[0, 4]
    # Networks of which only the seed differs: equal activity, other spikes.
    equal = run.copy(deep=True)
    equal["activity"]["rates"][:] = 1.0
    trains = [
        spike_times(read_nwb(write_nwb(equal, tmp_path / f"{name}.nwb", seed=seed, spikes=PoissonSpikes(90.0))), 0)
        for name, seed in (("a", 0), ("b", 1), ("again", 1))
    ]
    assert trains[1].tolist() == trains[2].tolist() != trains[0].tolist()


def test_climbing_fibres_say_an_error_one_step_later_around_their_baseline():
    delta = xr.DataArray(np.array([[[2.0], [-2.0], [0.0]]]), dims=("trial", "time", "state"))
    size = np.sqrt(8 / 3)
    rates = ClimbingFibres(baseline=1.0, gain=0.5).rates(delta)[0, :, 0]
    np.testing.assert_allclose(rates, [1, 1 + 1 / size, 1 - 1 / size])
    floor = ClimbingFibres(baseline=1.0, gain=5.0).rates(delta)[0, :, 0]
    assert floor[2] == 0 < floor[1]
    with refused("td_error", "0"):
        ClimbingFibres(1.0, 1.0).rates(0 * delta)


# -------------------------------------------------------------------------------------------------------- other tools


@pytest.mark.full
def test_pynapple_finds_the_same_spikes_trials_and_rates(run_file):
    pynapple = pytest.importorskip("pynapple", reason="pynapple is not installed")
    session, again = read_nwb(run_file), read_run_nwb(run_file)
    found = pynapple.load_file(str(run_file))
    group, trials = found["units"], found["trials"]
    assert len(group) == session["units"].sizes["unit"]
    for unit in range(len(group)):
        assert (group[unit].index.values == spike_times(session, unit)).all()
    assert (trials["start"] == session["trials"]["start_time"].values).all()
    assert (trials["end"] == session["trials"]["stop_time"].values).all()
    for trial in range(3):
        assert (found["rates"].restrict(trials[trial]).values == again["rates"].values[trial]).all()
    found.io.close()


def inspected(path, config=None):
    inspector = pytest.importorskip("nwbinspector", reason="nwbinspector is not installed")
    found = list(inspector.inspect_nwbfile(nwbfile_path=str(path), config=config and inspector.load_config(config)))
    return {level: {m.check_function_name for m in found if m.importance.name == level} for level in LEVELS}


LEVELS = ("ERROR", "PYNWB_VALIDATION", "CRITICAL", "BEST_PRACTICE_VIOLATION")


def test_the_inspector_has_no_critical_finding_about_a_run(run_file):
    found = inspected(run_file)
    assert [found[level] for level in LEVELS[:3]] == [set(), set(), set()]
    # A simulation is of no species, and its spikes have no sampling rate.
    assert found["BEST_PRACTICE_VIOLATION"] == {"check_subject_species_form", "check_units_resolution_is_set"}


def test_the_inspector_has_no_critical_finding_about_a_session(tmp_path):
    found = inspected(write_nwb(example(), tmp_path / "a.nwb"))
    assert [found[level] for level in LEVELS[:3]] == [set(), set(), set()]
    assert found["BEST_PRACTICE_VIOLATION"] == {"check_subject_species_exists", "check_units_resolution_is_set"}
    bare = pynwb.NWBFile("d", "i", START)
    with pynwb.NWBHDF5IO(tmp_path / "bare.nwb", "w") as io:
        io.write(bare)
    assert inspected(tmp_path / "bare.nwb")["CRITICAL"]  # it does find what is missing


# ----------------------------------------------------------------------------------------------------------- refusals


BAD_RUNS = {
    "seed": ({"seed": None}, "seed = None"),
    "no such seed": ({"seed": 7}, "seed = 7"),
    "snapshot": ({"snapshot": 3}, "snapshot = 3"),
    "point": ({"at": {"lambda_": 0.3}}, "lambda_"),
    "dt": ({"dt": 0.5}, "0.02"),
    "gap": ({"gap": 0.0}, "gap"),
    "columns": ({"columns": {"x": ([1.0], "1", "x")}}, "columns"),
    "column of an array": ({"columns": {"rates": ([1, 2, 3], "1", "x")}}, "rates"),
    "column of a bound": ({"columns": {"recorded_from": ([1, 2, 3], "s", "x")}}, "recorded_from"),
    "own column": ({"columns": {"n_steps": ([1, 2, 3], "1", "x")}}, "n_steps"),
    "trials": ({"trials": "probe"}, "trials"),
    "spikes": ({"spikes": "poisson"}, "PoissonSpikes"),
    "zone": ({"start_time": datetime.datetime(2015, 1, 31)}, "time zone"),
}


@pytest.mark.parametrize(("changed", "words"), BAD_RUNS.values(), ids=BAD_RUNS)
def test_what_a_run_does_not_have_is_refused(run, tmp_path, untyped, changed, words):
    with refused(words):
        write_nwb(run, tmp_path / "a.nwb", **{"seed": 0, **changed})
    assert not list(tmp_path.iterdir())


@pytest.mark.full
def test_runs_that_lack_something_are_refused(tmp_path):
    with refused("record="):
        write_nwb(train(), tmp_path / "a.nwb", seed=0)
    tanh = train(record=["rates"], rule=BP1)
    with refused("rates", "0 or above"):
        write_nwb(tanh, tmp_path / "a.nwb", seed=0, spikes=PoissonSpikes(10.0))
    with refused(r"record=\[\"td_error\"\]"):
        write_nwb(tanh, tmp_path / "a.nwb", seed=0, climbing_fibres=ClimbingFibres(1.0, 1.0))
    longer = nb.Trials(np.zeros((3, 9, 2)), np.zeros((3, 9, 2)))
    with refused("trials", "task.probe"):
        write_nwb(tanh, tmp_path / "a.nwb", seed=0, trials=longer)
    lstm = train(circuit=nb.Circuit(nb.LSTMCortex(2, 3), nb.LinearReadout(2)), rule=nb.bptt(), record=["rates"])
    with refused("dt", "no duration"):
        write_nwb(lstm, tmp_path / "a.nwb", seed=0)
    again = read_run_nwb(write_nwb(lstm, tmp_path / "a.nwb", seed=0, dt=0.01))
    np.testing.assert_allclose(again.time, [0.01, 0.02, 0.03, 0.04])


@pytest.mark.full
def test_a_point_of_a_sweep_is_written(tmp_path):
    swept = sweep({"lambda_": [0.0, 1.0]}, circuit=CIRCUIT, record=["predicted_gradient"])
    with refused("at", "lambda_"):
        write_nwb(swept, tmp_path / "a.nwb", seed=0)
    again = read_run_nwb(write_nwb(swept, tmp_path / "a.nwb", seed=0, at={"lambda_": 1.0}))
    wanted = swept["activity"]["predicted_gradient"].sel(seed=0, snapshot=4)
    assert (again["predicted_gradient"].values == wanted.sel(lambda_=1.0).values).all()
    assert (again["predicted_gradient"].values != wanted.sel(lambda_=0.0).values).any()
