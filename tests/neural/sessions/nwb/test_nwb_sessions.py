"""NWB: a session that is written is read again as it was; what the file cannot hold is refused."""

import os
import string
from pathlib import Path

import golub_files
import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from nwb_files import START, assert_same, example, series
from tiny import refused

from neuro_bpl.neural import from_arrays, spike_times
from neuro_bpl.neural.datasets.golub2018 import read_golub
from neuro_bpl.neural.sessions.nwb import read_nwb, write_nwb


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


BOUNDS = ([[0.0, 0.0], [2.5, np.inf]], [[2.0, 4.0], [4.0, -np.inf]])


def test_when_each_unit_was_recorded_comes_back(tmp_path):
    bounds = {name: (b, "s", name) for name, b in zip(("recorded_from", "recorded_until"), BOUNDS, strict=True)}
    session = from_arrays([[0.9, 3.2], [3.9]], {"go": ([1.0, 3.0], "s", "go"), **bounds})
    path = write_nwb(session, tmp_path / "a.nwb", start_time=START)
    assert_same(read_nwb(path), session)
    with h5py.File(path) as file:
        assert file["units/obs_intervals"][:].tolist() == [[0, 2], [2.5, 4], [0, 4]]
        assert file["units/obs_intervals_index"][:].tolist() == [2, 3]
    by_trial = from_arrays([[[0.9], []], [[1.2], []]], {"go": ([1.0, 1.0], "s", "go"), **bounds}, clock="trial")
    again = read_nwb(write_nwb(by_trial, tmp_path / "b.nwb", start_time=START))["trials"].to_dataset()
    for name, wanted in zip(bounds, BOUNDS, strict=True):
        np.testing.assert_allclose(again[name].values.T - again["trial_zero"].values, np.transpose(wanted))


def test_intervals_that_spikes_lie_outside_of_are_not_said_to_be_all_that_was_recorded(tmp_path):
    bounds = {"recorded_from": ([0.0, 5.0], "s", "from"), "recorded_until": ([2.0, 7.0], "s", "until")}
    for spike, there in ((2.0, True), (5.0, True), (4.0, False), (-1.0, False), (7.5, False)):
        session = from_arrays([[0.9, spike], []], bounds)
        path = write_nwb(session, tmp_path / "a.nwb", start_time=START, overwrite=True)
        assert_same(read_nwb(path), session)
        with h5py.File(path) as file:
            assert ("obs_intervals" in file["units"]) is there, spike


def test_activity_alone_is_laid_out_by_its_time(tmp_path):
    session = read_golub(golub_files.write(tmp_path / "small.mat"))
    with refused("session/decoders", r"drop_nodes\(\"decoders\"\)"):
        write_nwb(session, tmp_path / "a.nwb", start_time=START)
    session = session.drop_nodes("decoders")
    again = read_nwb(write_nwb(session, tmp_path / "a.nwb", start_time=START, gap=0.5))
    xr.testing.assert_identical(again["activity"].to_dataset(), session["activity"].to_dataset())
    trials = again["trials"].to_dataset()
    xr.testing.assert_identical(trials.drop_vars("trial_zero"), session["trials"].to_dataset())
    np.testing.assert_allclose(np.diff(trials["trial_zero"]), 0.5)  # trials of one step, the middle of which is known
    numbers = xr.DataArray(np.zeros((1, 2)), dims=("trial", "factor"), attrs={"units": "1", "long_name": "factor"})
    timeless = from_arrays(None, {"side": ([1], "1", "side")}, clock="trial", activity={"factors": numbers})
    with refused("trial 0", "no finite time"):
        write_nwb(timeless, tmp_path / "b.nwb", start_time=START)


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
    from neuro_bpl.neural.sessions.reading import read

    session = read(sorted(folder.glob("*.mat"))[0])
    again = read_nwb(write_nwb(session, tmp_path / "rat.nwb", start_time=START))
    assert again["spikes"].sizes == session["spikes"].sizes
    assert again["spikes"].sizes["spike"] > 1000
    zero, first = again["trials"]["trial_zero"].values, session["spikes"].to_dataset().isel(spike=slice(0, 500))
    own = np.sort(first["time"].values + zero[first["trial"].values])
    assert np.isin(own, again["spikes"]["time"].values).all()


@pytest.mark.parametrize("group", ["units", "trials", "spikes", "events"])
def test_what_a_file_would_not_give_back_is_refused(tmp_path, group):
    session = example()
    table = session[group].to_dataset()
    row = next(iter(table.sizes))
    session[group] = xr.DataTree(table.assign_coords(depth=(row, np.arange(table.sizes[row]))))
    with refused(f"session/{group}"):
        write_nwb(session, tmp_path / "a.nwb")
    session[group] = xr.DataTree(table)
    session["decoders"] = xr.DataTree(xr.Dataset({"dt": ("mapping", [0.045], {"units": "s", "long_name": "step"})}))
    with refused("session/decoders"):
        write_nwb(session, tmp_path / "a.nwb")
    assert_same(read_nwb(write_nwb(session.drop_nodes("decoders"), tmp_path / "a.nwb")), example())
