"""NWB: what is written is read again, other files as far as a session has a place, and nothing is lost unsaid."""

import datetime
import json
import os
import string
import sys
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import BP1, refused, train

import neuro_bpl as nb
from neuro_bpl.neural import from_arrays, spike_times
from neuro_bpl.neural.nwb import ClimbingFibres, PoissonSpikes, read_nwb, read_run_nwb, write_nwb
from neuro_bpl.neural.nwb import file as nwb_file

pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")

START = datetime.datetime(2015, 1, 31, 12, tzinfo=datetime.UTC)
RECORD = ["rates", "outputs", "predicted_gradient", "td_error", "cortical_trace"]
CORTEX = nb.RateCortex(2, 3, "softplus", tau=0.04, dt=0.02)
CIRCUIT = nb.Circuit(CORTEX, nb.LinearReadout(2), nb.LinearPredictor())


def series(name, values, times, **attrs):
    dims = (f"{name}_time", *(f"{name}_axis{axis}" for axis in range(1, np.ndim(values))))
    at = (dims[0], np.asarray(times, float), {"units": "s", "long_name": "time"})
    return xr.DataArray(values, {dims[0]: at}, dims, attrs={"units": "m", "long_name": name, **attrs})


def example(**changed):
    """A session that has something of everything."""
    counts = xr.DataArray(
        np.arange(24.0).reshape(3, 4, 2),
        {
            "time": ("time", [0.1, 0.2, 0.3, 0.4], {"units": "s"}),
            "condition": ("trial", ["hit", "miss", "hit"], {"units": "1", "long_name": "condition"}),
        },
        ("trial", "time", "unit"),
        attrs={"units": "1", "long_name": "spike count"},
    )
    wheel = series("wheel", np.arange(6, dtype="f4").reshape(3, 2), [0, 1, 2.5], side="left")
    arguments = {
        "spike_times": [[0.9, 1.1, 3.2], []],
        "trials": {
            "start_time": ([0.5, 2.5, 4.5], "s", "start"),
            "stop_time": ([2.0, 4.0, 6.0], "s", "end"),
            "go": ([1.0, np.nan, 5.0], "s", "go cue"),
            "went_right": ([True, False, True], "1", "choice"),
            "contrast": (np.asarray([0.1, 0.2, 0.3], "f4"), "%", "contrast"),
            "cue": (["a", "", "µ"], "1", "cue"),
        },
        "units": {"region": (["FOF", "PPC"], "1", "region"), "depth": ([1.5, 2.5], "mm", "depth")},
        "unit": ["one", "two"],
        "events": {
            "time": ([3.0, 0.7, 0.6], "s", "time"),
            "trial": ([1, 0, 0], "1", "trial"),
            "kind": (["left", "right", "left"], "1", "side"),
            "loudness": ([0.5, np.nan, 2.5], "dB", "loudness"),
        },
        "behaviour": {"wheel": wheel.assign_coords(frame=("wheel_time", [7, 8, 10], {"units": "1"}))},
        "activity": {"counts": counts},
        "attrs": {
            "session": "a1",
            "subject": "B",
            "citation": "doi:10.1/x",
            "licence": "CC0",
            "start_time": "2015-01-31T12+00:00",
        },
    }
    return from_arrays(**{**arguments, **changed})


def assert_same(got, wanted):
    assert set(got.children) == set(wanted.children)
    for name in wanted.children:
        xr.testing.assert_identical(got[name].to_dataset(), wanted[name].to_dataset())
        for variable, values in wanted[name].data_vars.items():
            assert got[name][variable].dtype.kind == values.dtype.kind, variable
            if values.dtype.kind != "U":
                assert got[name][variable].values.tobytes() == values.values.tobytes(), variable
    added = {key: value for key, value in got.attrs.items() if key not in wanted.attrs}
    assert {key: got.attrs[key] for key in wanted.attrs} == wanted.attrs
    assert set(added) <= {"source", "not_read"}
    assert got.attrs["not_read"] == "[]"


@pytest.fixture(scope="module")
def run():
    return train(circuit=CIRCUIT, record=RECORD, n_snapshots=1)


@pytest.fixture(scope="module")
def run_file(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("nwb") / "run.nwb"
    spikes, fibres = PoissonSpikes(50.0, seed=1), ClimbingFibres(20.0, 10.0)
    columns = {"side": (["left", "right", "left"], "1", "side")}
    return write_nwb(run, path, seed=1, spikes=spikes, climbing_fibres=fibres, trials=tiny_probe(), columns=columns)


def tiny_probe():
    from tiny import Recall

    return Recall().probe()


def test_a_session_comes_back_as_it_was(tmp_path):
    session = example()
    again = read_nwb(write_nwb(session, tmp_path / "a.nwb"))
    assert_same(again, session)
    assert again["spikes"].sizes["spike"] == 3  # there is something to lose


def test_coordinates_and_columns_are_there_to_be_lost(tmp_path):
    again = read_nwb(write_nwb(example(), tmp_path / "a.nwb"))
    assert again["activity"]["condition"].values.tolist() == ["hit", "miss", "hit"]
    assert again["behaviour"]["frame"].values.tolist() == [7, 8, 10]
    assert again["events"]["loudness"].attrs["units"] == "dB"


RESERVED = [
    ("units", "unit_name"),
    ("units", "electrodes"),
    ("trials", "id"),
    ("events", "row"),
    ("events", "timestamp"),
]


@pytest.mark.parametrize(("group", "name"), RESERVED)
def test_columns_that_the_file_has_for_itself_are_refused(tmp_path, group, name):
    session = example()
    dim = group.removesuffix("s")
    values = np.arange(session[group].sizes[dim])
    session[group] = session[group].to_dataset().assign({name: (dim, values, {"units": "1", "long_name": "own"})})
    with refused(f"{group}/{name}", "another name"):
        write_nwb(session, tmp_path / "a.nwb")


def test_a_column_trial_zero_is_refused_where_the_file_gets_one_and_kept_where_not(tmp_path):
    trials = {"trial_zero": ([3.0, 4.0], "1", "own"), "go": ([0.0, 1.0], "s", "go")}
    with refused("trials/trial_zero", "another name"):
        write_nwb(from_arrays([[[]], [[]]], trials, clock="trial"), tmp_path / "a.nwb", start_time=START)
    session = from_arrays([[]], trials)
    assert_same(read_nwb(write_nwb(session, tmp_path / "a.nwb", start_time=START)), session)


def test_trials_that_were_never_recorded_stay_so(tmp_path):
    bounds = {"recorded_from": ([np.inf], "s", "units recorded from here")}
    bounds["recorded_until"] = ([-np.inf], "s", "units recorded until here")
    session = from_arrays([[1.0]], {"start_time": ([0.0], "s", "start"), **bounds})
    assert_same(read_nwb(write_nwb(session, tmp_path / "a.nwb", start_time=START)), session)


def test_a_session_that_differs_in_one_number_is_told_apart(tmp_path):
    other = example(spike_times=[[0.9, 1.1, np.nextafter(3.2, 4)], []])
    again = read_nwb(write_nwb(other, tmp_path / "a.nwb"))
    with pytest.raises(AssertionError):
        assert_same(again, example())


NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=5).map(lambda name: f"x_{name}")
NUMBERS = st.floats(-1e6, 1e6)


def lists(elements, size):
    return st.lists(elements, min_size=size, max_size=size)


def columns(size):
    kinds = st.one_of(
        lists(NUMBERS | st.just(np.nan), size).map(lambda x: np.asarray(x, float)),
        lists(st.integers(-9, 9), size).map(lambda x: np.asarray(x, np.int16)),
        lists(st.booleans(), size).map(lambda x: np.asarray(x, bool)),
        lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4), size).map(
            lambda x: np.asarray(x, str)
        ),
    )
    return st.dictionaries(NAMES, st.tuples(kinds, st.sampled_from(["1", "m"]), st.just("what it is")), max_size=3)


@st.composite
def sessions(draw):
    n_units, n_trials, n_events, n_samples = (draw(st.integers(0, 3)) for _ in range(4))
    starts = np.asarray(draw(lists(NUMBERS, n_trials)), float)
    trials = {"start_time": (starts, "s", "start"), **draw(columns(n_trials))}
    if draw(st.booleans()):
        trials["recorded_from"] = (starts - 1, "s", "recording on")
        trials["recorded_until"] = (starts + draw(st.sampled_from([2.0, np.inf])), "s", "recording off")
    events = {
        "time": (np.asarray(draw(lists(NUMBERS, n_events)), float), "s", "time"),
        "trial": (np.full(n_events, min(n_trials, 1) - 1), "1", "trial"),
        "kind": (np.asarray(draw(lists(NAMES, n_events)), str), "1", "kind"),
    }
    times = np.cumsum(draw(lists(st.floats(0.1, 1), n_samples)))
    behaviour = {"speed": series("speed", np.asarray(draw(lists(NUMBERS, n_samples)), "f4"), times)}
    return from_arrays(
        draw(st.none() | lists(st.lists(NUMBERS, max_size=4), n_units)),
        trials,
        units=draw(columns(n_units)),
        unit=[f"u{unit}" for unit in range(n_units)] if draw(st.booleans()) else range(10, 10 + n_units),
        events=events if draw(st.booleans()) else None,
        behaviour=behaviour if n_samples else None,
        attrs={"session": "s", "weight": 1.5},
    )


@settings(max_examples=25)
@given(session=sessions())
def test_any_session_comes_back_as_it_was(session, tmp_path_factory):
    path = write_nwb(session, tmp_path_factory.mktemp("any") / "a.nwb", start_time=START)
    assert_same(read_nwb(path), session)


def test_a_session_on_a_trial_clock_is_laid_out_trial_after_trial(tmp_path):
    trials = {
        "go": ([0.0, 0.1], "s", "go"),
        "recorded_from": ([-1.0, -2.0], "s", "on"),
        "recorded_until": ([1.0, 2.0], "s", "off"),
    }
    clicks = {"time": ([0.5, -0.25], "s", "time"), "trial": ([1, 0], "1", "trial")}
    session = from_arrays([[[-0.5, 0.3]], [[1.25]]], trials, clock="trial", events=clicks)
    again = read_nwb(write_nwb(session, tmp_path / "a.nwb", start_time=START, gap=0.5))
    assert again.attrs["clock"] == "session"
    zero = again["trials"]["trial_zero"].values
    np.testing.assert_allclose(zero, [1.0, 4.5])  # 1 s before zero; then 1 s, the gap, and 2 s before zero
    for trial in (0, 1):
        begin, end = (again["trials"][name].values[trial] for name in ("recorded_from", "recorded_until"))
        times = spike_times(again, 0)
        own = times[(times >= begin) & (times <= end)] - zero[trial]
        np.testing.assert_allclose(own, spike_times(session, 0, trial), atol=1e-12)
    np.testing.assert_allclose(again["events"]["time"].values - zero[[1, 0]], [0.5, -0.25])
    np.testing.assert_allclose(again["trials"]["go"].values - zero, [0.0, 0.1])
    with h5py.File(tmp_path / "a.nwb") as file:
        np.testing.assert_allclose(file["units/obs_intervals"][:], [[0, 2], [2.5, 6.5]])


def foreign_file(path):
    """A file as a laboratory might write one, with things that a session has no place for."""
    nwb = pynwb.NWBFile("a session", "id-1", START, session_id="day 3", experimenter=["A, B"], institution="I", lab="L")
    nwb.related_publications = ["doi:10.1/x", "doi:10.2/y"]
    nwb.subject = pynwb.file.Subject(subject_id="M1", species="Mus musculus", sex="F", age="P90D", weight="20 g")
    device = nwb.create_device("probe")
    group = nwb.create_electrode_group("shank", "one shank", "cortex", device)
    for location in ("M1", "M1", "S1"):
        nwb.add_electrode(location=location, group=group)
    nwb.add_unit_column("quality", "quality of sorting")
    nwb.add_unit(
        spike_times=[1.0, 2.0],
        electrodes=[0, 1],
        obs_intervals=[[0.0, 3.0], [5.0, 9.0]],
        quality="good",
        waveform_mean=np.ones(2),
    )
    nwb.add_unit(
        spike_times=[6.0], electrodes=[1, 2], obs_intervals=[[0.0, 9.0]], quality="poor", waveform_mean=np.ones(2)
    )
    nwb.add_trial_column("go", "go cue")
    nwb.add_trial_column("response_time", "first lick")
    nwb.add_trial_column("licks", "times of licks", index=True)
    for start in (1.0, 4.0, 6.0):
        nwb.add_trial(
            start_time=start, stop_time=start + 1, go=start + 0.5, response_time=np.nan, licks=[start, start + 1]
        )
    nwb.add_acquisition(
        pynwb.TimeSeries(name="wheel", data=np.arange(4), unit="m", rate=2.0, starting_time=1.0, conversion=0.5)
    )
    region = nwb.create_electrode_table_region([0], "all")
    nwb.add_acquisition(pynwb.ecephys.ElectricalSeries(name="raw", data=np.zeros((5, 1)), electrodes=region, rate=10.0))
    behaviour = nwb.create_processing_module("behavior", "behaviour")
    position = pynwb.behavior.Position(name="Position")
    position.create_spatial_series("xy", np.ones((2, 2)), reference_frame="corner", timestamps=[0.0, 1.0], unit="m")
    behaviour.add(position)
    nwb.add_epoch(0.0, 1.0, ["rest"])
    nwb.add_events_table(_events("lick", [1.5, 5.5, 0.1]))
    nwb.add_events_table(_events("reward", [6.2]))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


def _events(name, times):
    time = pynwb.event.TimestampVectorData(name="timestamp", description="time", data=times)
    return pynwb.event.EventsTable(name=name, description=name, columns=[time])


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return foreign_file(tmp_path_factory.mktemp("foreign") / "lab.nwb")


def test_a_file_of_another_laboratory_is_read(foreign):
    session = read_nwb(foreign, events=["go"])
    assert spike_times(session, 0).tolist() == [1.0, 2.0]
    assert session["units"]["region"].values.tolist() == ["M1", "M1, S1"]
    assert session["units"]["quality"].values.tolist() == ["good", "poor"]
    trials = session["trials"]
    assert trials["go"].values.tolist() == [1.5, 4.5, 6.5]
    units = {name: values.attrs["units"] for name, values in trials.data_vars.items()}
    assert units == dict.fromkeys(
        ["start_time", "stop_time", "go", "response_time", "recorded_from", "recorded_until"], "s"
    )
    # The first unit was not recorded from 3 to 5 s.
    assert trials["recorded_from"].values.tolist() == [0, np.inf, 5]
    assert trials["recorded_until"].values.tolist() == [3, -np.inf, 9]
    wheel = session["behaviour"]["wheel"]
    assert wheel.values.tolist() == [0, 0.5, 1, 1.5]
    assert wheel["wheel_time"].values.tolist() == [1, 1.5, 2, 2.5]
    assert session["behaviour"]["xy"].attrs["reference_frame"] == "corner"
    assert session["events"]["kind"].values.tolist() == ["lick", "lick", "lick", "reward"]
    assert session["events"]["trial"].values.tolist() == [-1, 0, -1, 2]
    about = {
        "session": "day 3",
        "subject": "M1",
        "species": "Mus musculus",
        "sex": "F",
        "citation": "doi:10.1/x; doi:10.2/y",
    }
    about |= {"experimenters": '["A, B"]', "institution": "I", "start_time": START.isoformat(), "weight": "20 g"}
    assert {key: session.attrs[key] for key in about} == about


def test_what_a_session_has_no_place_for_is_listed(foreign):
    assert json.loads(read_nwb(foreign).attrs["not_read"]) == [
        "electrodes/group (VectorData)",
        "electrodes/group_name (VectorData)",
        "epochs (TimeIntervals)",
        "probe (Device)",
        "raw (ElectricalSeries)",
        "shank (ElectrodeGroup)",
        "trials/licks (VectorData)",
        "trials/licks_index (VectorIndex)",
        "units/waveform_mean (VectorData)",
    ]


def test_events_of_others_keep_what_the_file_says_of_them(tmp_path):
    nwb = pynwb.NWBFile("a session", "id-1", START)
    for name, unlike in (("lick", [0.25]), ("reward", ["a"])):
        columns = {"volume": [1.5], "kind": ["x"], "time": [9.0], "trial": [7], "unlike": unlike}
        made = [pynwb.core.VectorData(name=key, description=f"own {key}", data=data) for key, data in columns.items()]
        length = pynwb.event.DurationVectorData(name="duration", description="how long", data=[0.5])
        time = pynwb.event.TimestampVectorData(name="timestamp", description="onset", data=[float(len(name))])
        nwb.add_events_table(pynwb.event.EventsTable(name=name, description=name, columns=[time, length, *made]))
    with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(nwb)
    session = read_nwb(tmp_path / "a.nwb")
    about = {name: (at.attrs["units"], at.attrs["long_name"]) for name, at in session["events"].data_vars.items()}
    assert about == {
        "time": ("s", "onset"),
        "duration": ("s", "how long"),
        "volume": ("not stated", "own volume"),
        "kind": ("1", "kind of event"),
        "trial": ("1", "position of the trial, -1 where it lies in none"),
    }
    assert session["events"]["kind"].values.tolist() == ["lick", "reward"]
    assert session["events"]["time"].values.tolist() == [4, 6]
    left = [f"events/{of}/{name} (VectorData)" for of in ("lick", "reward") for name in ("kind", "time", "trial")]
    left += [f"events/{of}/unlike (VectorData)" for of in ("lick", "reward")]
    found = [text.removeprefix("events/") for text in json.loads(session.attrs["not_read"])]
    assert found == sorted(text.removeprefix("events/") for text in left)


def test_a_column_is_a_moment_only_where_that_is_said(foreign):
    assert read_nwb(foreign)["trials"]["go"].attrs["units"] == "not stated"
    with refused("goo", "go", r'events=\["go"\]'):
        read_nwb(foreign, events=["goo"])


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
    inputs = np.asarray(tiny_probe().inputs)
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


def is_open(path):
    return str(path) in {file.path for file in psutil.Process().open_files()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_nwb(example(), tmp_path_factory.mktemp("whole") / "a.nwb").read_bytes()


@pytest.mark.parametrize("part", np.linspace(0, 0.999, 12).round(3))
def test_a_file_that_was_cut_short_is_refused(whole, tmp_path, part):
    path = tmp_path / "a.nwb"
    path.write_bytes(whole[: int(part * len(whole))])
    with refused("NWB file"):
        read_nwb(path)
    assert not is_open(path)


def spoil(file, place, values=None):
    """Take away an array of a file, or put another one in its place, with the same attributes."""
    attrs = dict(file[place].attrs)
    del file[place]
    if values is not None:
        file[place] = values
        file[place].attrs.update(attrs)


SPOILT = {
    "no index": ("units/spike_times_index",),
    "index beyond the end": ("units/spike_times_index", np.array([3, 90])),
    "index that falls": ("units/spike_times_index", np.array([3, 0])),
    "spike without a time": ("units/spike_times", np.array([np.nan, 1, 2])),
    "texts for times": ("units/spike_times", np.array([b"a", b"b", b"c"])),
    "one trial too many": ("intervals/trials/went_right", np.array([True] * 4)),
    "no start": ("intervals/trials/start_time",),
    "no ids": ("intervals/trials/id",),
    "no date": ("session_start_time",),
    "a strange date": ("session_start_time", b"yesterday"),
    "no times": ("processing/behavior/wheel/timestamps",),
    "times of another length": ("processing/behavior/wheel/timestamps", np.zeros(2)),
    "another layout": ("scratch/neuro_bpl", b"{"),
    "a layout of something else": ("scratch/neuro_bpl", b'{"of": "recording"}'),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of hdmf, beside what is refused
@pytest.mark.parametrize("damage", SPOILT.values(), ids=SPOILT)
def test_a_damaged_file_is_refused(whole, tmp_path, damage):
    path = tmp_path / "a.nwb"
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        spoil(file, *damage)
    with refused():
        read_nwb(path)
    assert not is_open(path)


def test_what_is_no_nwb_file_is_refused(tmp_path, whole):
    with refused("does not exist", error=FileNotFoundError):
        read_nwb(tmp_path / "none.nwb")
    with refused("folder"):
        read_nwb(tmp_path)
    for name, content in {"empty": b"", "text": b"hello", "half": whole[: len(whole) // 2]}.items():
        (tmp_path / name).write_bytes(content)
        with refused("NWB file", name):
            read_nwb(tmp_path / name)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with refused("NWB file"):
        read_nwb(tmp_path / "other.h5")
    with refused("read_nwb"):
        read_run_nwb(write_nwb(example(), tmp_path / "a.nwb"))


def test_no_file_is_left_open(foreign, run_file, tmp_path):
    read_nwb(foreign)
    read_run_nwb(run_file)
    path = write_nwb(example(), tmp_path / "a.nwb")
    assert [is_open(one) for one in (foreign, run_file, path)] == [False] * 3
    with h5py.File(path):
        assert is_open(path)


def test_nothing_is_written_over_or_half_written(tmp_path, monkeypatch):
    path = write_nwb(example(), tmp_path / "a.nwb")
    before = path.read_bytes()
    with refused("exists", "overwrite=True", error=FileExistsError):
        write_nwb(example(), path)
    with refused("folder", error=FileExistsError):
        write_nwb(example(), tmp_path)
    assert path.read_bytes() == before
    write_nwb(example(), path, overwrite=True)
    assert path.read_bytes() != before  # every file has an identifier of its own

    def fail(self, *arguments, **options):
        raise OSError("disk full")

    before = path.read_bytes()
    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", fail)
    for target in (path, tmp_path / "new.nwb"):
        with pytest.raises(OSError, match="disk full"):
            write_nwb(example(), target, overwrite=True)
    assert path.read_bytes() == before
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.nwb"]


def test_a_file_that_another_process_wrote_meanwhile_is_kept(tmp_path, monkeypatch):
    path, write = tmp_path / "a.nwb", pynwb.NWBHDF5IO.write

    def meanwhile(self, *arguments, **options):
        write(self, *arguments, **options)
        path.write_bytes(b"of another process")

    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", meanwhile)
    monkeypatch.setattr(nwb_file, "check_free", lambda path, overwrite: None)  # it came after the last look
    with pytest.raises(FileExistsError):
        write_nwb(example(), path)
    assert path.read_bytes() == b"of another process"
    assert [found.name for found in tmp_path.iterdir()] == ["a.nwb"]


def test_a_file_system_without_links_gets_the_file_too(tmp_path, monkeypatch):
    def fail(self, target):
        raise PermissionError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", fail)
    path = write_nwb(example(), tmp_path / "a.nwb")
    assert_same(read_nwb(path), example())


@pytest.mark.parametrize("error", [MemoryError, ImportError])
def test_what_the_machine_lacks_is_no_fault_of_the_file(whole, tmp_path, error):
    def fail(nwb):
        raise error("of this machine")

    (tmp_path / "a.nwb").write_bytes(whole)
    with pytest.raises(error, match="of this machine"):
        nwb_file.extract(tmp_path / "a.nwb", fail)
    assert not is_open(tmp_path / "a.nwb")


def test_without_pynwb_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pynwb", None)
    for ask in (lambda: read_nwb(tmp_path / "a.nwb"), lambda: write_nwb(example(), tmp_path / "a.nwb")):
        with refused(r"pip install \"neuro_bpl\[nwb\]\"", error=ImportError):
            ask()


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


def test_a_point_of_a_sweep_is_written(tmp_path):
    from tiny import sweep

    swept = sweep({"lambda_": [0.0, 1.0]}, circuit=CIRCUIT, record=["predicted_gradient"])
    with refused("at", "lambda_"):
        write_nwb(swept, tmp_path / "a.nwb", seed=0)
    again = read_run_nwb(write_nwb(swept, tmp_path / "a.nwb", seed=0, at={"lambda_": 1.0}))
    wanted = swept["activity"]["predicted_gradient"].sel(seed=0, snapshot=4)
    assert (again["predicted_gradient"].values == wanted.sel(lambda_=1.0).values).all()
    assert (again["predicted_gradient"].values != wanted.sel(lambda_=0.0).values).any()


BAD_SESSIONS = {
    "no start": (lambda: example(attrs={}), {}, "start_time"),
    "seed": (example, {"seed": 0}, "None for a recorded session"),
    "a date": (lambda: example(units={"born": (np.array(["2015", "2016"], "M8[D]"), "1", "birth")}), {}, "units/born"),
    "a NUL": (lambda: example(units={"name": (["a\0b", "c"], "1", "name")}), {}, "NUL"),
    "no time": (lambda: from_arrays([[1.0]], {"cue": ([1], "1", "cue")}), {"start_time": START}, "finite time"),
    "a slash": (
        lambda: from_arrays([[1.0]], {}, events={"time": ([1.0], "s", "t"), "kind": (["a/b"], "1", "k")}),
        {"start_time": START},
        "a/b",
    ),
    "no session": (lambda: xr.DataTree(), {}, "run"),
    "nothing": (lambda: None, {}, "run"),
}


@pytest.mark.parametrize(("make", "options", "words"), BAD_SESSIONS.values(), ids=BAD_SESSIONS)
def test_what_nwb_cannot_hold_is_refused(make, options, words, tmp_path, untyped):
    with refused(words):
        write_nwb(make(), tmp_path / "a.nwb", **options)
    assert not list(tmp_path.iterdir())


def test_a_recorded_session_of_rats_comes_back(tmp_path):
    folder = Path(os.environ.get("NEURO_BPL_DATA", "none")) / "neural" / "hanks2015"
    if not folder.is_dir():
        pytest.skip("NEURO_BPL_DATA does not lead to neural/hanks2015")
    from neuro_bpl.neural.reading import read

    session = read(sorted(folder.glob("*.mat"))[0])
    again = read_nwb(write_nwb(session, tmp_path / "rat.nwb", start_time=START))
    assert again["spikes"].sizes == session["spikes"].sizes
    assert again["spikes"].sizes["spike"] > 1000
    zero, first = again["trials"]["trial_zero"].values, session["spikes"].to_dataset().isel(spike=slice(0, 500))
    own = np.sort(first["time"].values + zero[first["trial"].values])
    assert np.isin(own, again["spikes"]["time"].values).all()
