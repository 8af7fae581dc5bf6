"""Recordings as people have them: columns of every kind, names of axes, dates, categories: read right, or refused."""

import datetime
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuro_bpl import neural
from neuro_bpl.neural.columns import values_of

pytestmark = pytest.mark.usefixtures("untyped")
UTC = datetime.UTC
START = datetime.datetime(2020, 3, 1, 12, tzinfo=UTC)
DIMS = ("trial", "time", "unit")


def refused(*words):
    return pytest.raises(ValueError, match="(?s)^" + "".join(f"(?=.*{word})" for word in words) + ".*Type: ")


def session(**columns):
    return neural.from_arrays([[0.5]], {"go": ([0.1, 0.2, 0.3], "s", "go cue"), **columns})


# ------------------------------------------------------------------------------------------------ columns of any kind

GIVEN = {
    "texts of pandas": (pd.Series(["L", "R", "L"]), ["L", "R", "L"], "U"),
    "categories": (pd.Series(["L", "R", "L"], dtype="category"), ["L", "R", "L"], "U"),
    "numbers as categories": (pd.Categorical([3, 1, 3]), [3, 1, 3], "i"),
    "missing whole numbers": (pd.array([1, None, 3], dtype="Int64"), [1, np.nan, 3], "f"),
    "missing numbers": ([1.5, None, 2], [1.5, np.nan, 2], "f"),
    "objects": (np.array([1, 2.5, 3], object), [1, 2.5, 3], "f"),
    "truth values": (pd.array([True, False, True], dtype="boolean"), [True, False, True], "b"),
    "bytes": (np.array([b"L", b"R", b"L"]), ["L", "R", "L"], "U"),
    "big-endian": (np.array([1, 2, 3], ">f4"), [1, 2, 3], "f"),
    "an array of xarray": (xr.DataArray([1, 2, 3], dims="trial"), [1, 2, 3], "i"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_column_of_any_array_keeps_its_values(name):
    given, wanted, kind = GIVEN[name]
    values = session(own=(given, "1", "own"))["trials"]["own"].values
    assert values.dtype.kind == kind
    np.testing.assert_array_equal(values, np.asarray(wanted))


REFUSED = {
    "mixed": ([1, "1", 2], "1", r"\['int', 'str'\]"),
    "mixed objects": (np.array([1, "a", None], object), "1", "one kind"),
    "a text missing": (pd.Series(["L", None, "R"]), "1", "no text in row 1"),
    "a category missing": (pd.Categorical(["L", None, "R"]), "1", "no text in row 1"),
    "ragged": ([[1], [1, 2], [3]], "1", "other lengths|one value"),
    "complex": (np.ones(3, complex), "1", "complex"),
    "dates of Python": ([datetime.date(2020, 1, day) for day in (1, 2, 3)], "1", "str\\(date\\)"),
    "dates as seconds": (np.array(["2020-01-01"] * 3, "datetime64[s]"), "s", "np.timedelta64"),
    "durations": (np.array([1, 2, 3], "timedelta64[s]"), "s", "np.timedelta64"),
    "texts as seconds": (["0.1", "0.2", "0.3"], "s", "numbers in a column of seconds"),
    "truth values as seconds": ([True, False, True], "s", "numbers in a column of seconds"),
    "one text": ("LRL", "1", "a value for each row"),
    "two axes": (np.ones((3, 2)), "1", "one value a trial"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_column_that_would_change_its_meaning_is_refused(name):
    given, unit, words = REFUSED[name]
    with refused("trials/own", f"({words})"):
        session(own=(given, unit, "own"))


def test_dates_are_labels_and_stay_dates():
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-01"], "datetime64[D]")
    own = session(day=(days, "1", "day"))
    assert own["trials"]["day"].dtype.kind == "M"
    counts = neural.bin(neural.align(own, "go", (0, 1)), 0.5)
    means = neural.psth(counts, "day")
    assert means["day"].values.astype("datetime64[D]").tolist() == sorted(set(days.tolist()))
    assert "day" not in neural.event_names(own)


@pytest.mark.parametrize(
    ("group", "name"),
    [("trials", "trial"), ("trials", "unit"), ("units", "unit"), ("events", "event"), ("trials", "a/b"), ("trials", 1)],
)
def test_a_column_called_as_an_axis_is_refused(group, name):
    tables = {
        "trials": {"go": ([0.1, 0.2, 0.3], "s", "go")},
        "units": {"depth": ([1, 2, 3], "mm", "depth")},
        "events": {"time": ([0, 1, 2], "s", "time")},
    }
    spikes, column = [[0.1], [0.2], [0.3]], ([1, 2, 3], "1", "number")
    with refused(f"name of a column of {group}", "own_"):
        neural.from_arrays(spikes, **{**tables, group: {**tables[group], name: column}})
    own = f"own_{str(name).replace('/', '_')}"
    found = neural.from_arrays(spikes, **{**tables, group: {**tables[group], own: column}})
    assert found[group][own].values.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("group", "time"), [("activity", "time"), ("behaviour", "lick_time")])
def test_arrays_called_as_an_axis_or_on_other_axes_are_refused(group, time):
    about = {"units": "1", "long_name": "own"}

    def array(at, name="lick"):
        coords = {time: (time, at, {"units": "s"})}
        if group == "behaviour":
            return xr.DataArray(np.ones(len(at)), coords, (time,), attrs=about)
        return xr.DataArray(np.ones((3, len(at))), coords, ("trial", time), attrs=about)

    columns = {"go": ([0.1, 0.2, 0.3], "s", "go")}
    one = array([0.0, 1.0])
    whole = neural.from_arrays(None, columns, **{group: {"lick": one, "other": (2 * one).assign_attrs(about)}})
    assert whole[group].sizes[time] == 2
    with refused(f"{group}/{time}", "own_"):
        neural.from_arrays(None, columns, **{group: {"lick": one, time: one}})
    with refused(group, "the same coordinates"):  # they were filled in with NaN
        neural.from_arrays(None, columns, **{group: {"lick": one, "other": array([0.0, 2.0])}})
    with refused(f"{group}/lick", "a DataArray"):
        neural.from_arrays(None, columns, **{group: {"lick": np.ones(3)}})


# ---------------------------------------------------------------------------------------------------------- NWB files


@pytest.fixture
def written(tmp_path):
    """Write what a function fills into an NWB file, and read it."""
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")

    def write(fill, **about):
        nwb = pynwb.NWBFile("s", "i", START, **about)
        fill(nwb, pynwb)
        with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
            io.write(nwb)
        return tmp_path / "a.nwb"

    return write


def trials(nwb, **columns):
    for name in columns:
        nwb.add_trial_column(name, "own")
    for at in range(3):
        own = {name: values[at] for name, values in columns.items()}
        nwb.add_trial(start_time=float(at), stop_time=at + 1.0, **own)


def test_columns_called_as_an_axis_are_read_under_another_name_and_listed(written):
    def fill(nwb, pynwb):
        trials(nwb, trial=[10, 11, 12], unit=[1.5, 2.5, 3.5], recorded_from=["a", "b", "c"])
        nwb.add_unit_column("unit", "number of the unit")
        nwb.add_unit(spike_times=[0.1], unit=4)
        nwb.add_unit(spike_times=[], unit=5)

    found = neural.read_nwb(written(fill))
    assert found["trials"]["trial_in_file"].values.tolist() == [10, 11, 12]
    assert found["trials"]["unit_in_file"].values.tolist() == [1.5, 2.5, 3.5]
    assert found["trials"]["recorded_from_in_file"].values.tolist() == ["a", "b", "c"]
    assert found["units"]["unit_in_file"].values.tolist() == [4, 5]
    assert json.loads(found.attrs["renamed"]) == {
        "trials/trial": "trial_in_file",
        "trials/unit": "unit_in_file",
        "trials/recorded_from": "recorded_from_in_file",
        "units/unit": "unit_in_file",
    }
    assert neural.spike_times(found, 1).size == 0
    again = neural.read_nwb(written(fill), events=["unit_in_file"])
    assert neural.event_names(again) == ("start_time", "stop_time", "unit_in_file")


@pytest.mark.parametrize(("first", "second", "n_dims"), [("lick", "lick_time", 1), ("pos", "pos_axis1", 2)])
def test_series_called_as_an_axis_of_another_are_read_and_listed(written, first, second, n_dims):
    def fill(nwb, pynwb):
        data = np.ones((2,) * n_dims)
        nwb.add_acquisition(pynwb.TimeSeries(name=first, data=data, unit="a", timestamps=[0.0, 1.0]))
        nwb.add_acquisition(pynwb.TimeSeries(name=second, data=[1.0, 2.0, 3.0], unit="a", timestamps=[0.0, 1.0, 2.0]))

    found = neural.read_nwb(written(fill))
    assert json.loads(found.attrs["renamed"]) == {second: f"{second}_in_file"}
    assert found["behaviour"][f"{second}_in_file"].values.tolist() == [1, 2, 3]
    assert found["behaviour"][first].sizes[f"{first}_time"] == 2
    assert json.loads(found.attrs["not_read"]) == []


def test_a_file_without_such_names_lists_none(written):
    assert "renamed" not in neural.read_nwb(written(lambda nwb, _: trials(nwb, side=["L", "R", "L"]))).attrs


@pytest.mark.filterwarnings("ignore:EnumData is experimental")
def test_categories_of_a_file_are_their_texts(written):
    common = pytest.importorskip("hdmf.common", reason="pynwb is not installed")

    def fill(nwb, pynwb):
        trials(nwb)
        nwb.trials.add_column(
            name="side", description="side", col_cls=common.EnumData, data=[1, 0, 1], enum=["left", "right"]
        )

    found = neural.read_nwb(written(fill))
    assert found["trials"]["side"].values.tolist() == ["right", "left", "right"]
    assert not [text for text in json.loads(found.attrs["not_read"]) if "side" in text]


def test_times_count_from_where_the_file_says_also_when_written_again(written, tmp_path):
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")
    zero = datetime.datetime(2020, 3, 1, 11, tzinfo=UTC)

    def fill(nwb, _):
        nwb.add_trial(start_time=3700.0, stop_time=3701.0)
        nwb.add_unit(spike_times=[3700.5])

    path = neural.write_nwb(neural.read_nwb(written(fill, timestamps_reference_time=zero)), tmp_path / "b.nwb")
    with pynwb.NWBHDF5IO(path, "r") as io:
        nwb = io.read()
        at = nwb.timestamps_reference_time + datetime.timedelta(seconds=float(nwb.units["spike_times"][0][0]))
        assert at == datetime.datetime(2020, 3, 1, 12, 1, 40, 500_000, tzinfo=UTC)
        assert nwb.session_start_time == START != nwb.timestamps_reference_time
    session = neural.read_nwb(path)
    session.attrs["timestamps_reference_time"] = "yesterday"
    with refused("timestamps_reference_time = 'yesterday'", "time zone"):
        neural.write_nwb(session, tmp_path / "c.nwb")


def test_events_by_other_names_are_found_or_it_is_said_how(written):
    def fill(nwb, pynwb):
        trials(nwb, go_cue=[0.5, 1.5, 2.5], lick_times=[0.6, 1.6, 2.6])
        nwb.add_unit(spike_times=[0.7])

    found = neural.read_nwb(written(fill))
    assert neural.align(found, "lick_times", (0, 0.5)).sizes["spike"] == 1
    with refused("event = 'go_cue'", "has the unit 'not stated'", r'read_nwb\(path, events=\["go_cue"\]\)'):
        neural.align(found, "go_cue", (0, 1))
    named = neural.read_nwb(written(fill), events=["go_cue"])
    assert neural.align(named, "go_cue", (0, 0.5)).sizes["spike"] == 1


def test_a_column_that_would_hide_what_align_makes_is_refused_with_the_line_that_renames_it():
    with refused("column = 'time'", r'rename\(\{"time": "trial_time"\}\)'):
        neural.align(session(time=([1, 2, 3], "1", "time of day")), "go", (0, 1))


# ------------------------------------------------------------------------------------------------- sessions together


def rates(name, side=(0, 1), unit=(0, 1)):
    coords = {"time": [0.0, 0.1], "side": ("trial", list(side)), "unit": list(unit)}
    about = {} if name is None else {"session": name}
    return xr.DataArray(np.ones((2, 2, 2)), coords, DIMS, attrs=about)


def test_units_of_pooled_sessions_have_names_that_differ():
    both = neural.pooled([rates("a"), rates("b", side=(0.0, 1.0))])
    assert both["unit"].values.tolist() == ["a/0", "a/1", "b/0", "b/1"]
    assert both["side"].values.tolist() == [0, 1, 0, 1]
    for pair in ([rates("a"), rates("a")], [rates("1"), rates(None)], [rates("a", unit=(0, 0)), rates("b")]):
        with refused("units", "each name once", "assign_attrs"):
            neural.pooled(pair)
    with refused("side", "numbers", "texts"):
        neural.pooled([rates("a"), rates("b", side=("0", "1"))])


def test_a_comparison_with_sessions_of_one_name_is_refused():
    with refused("recording", "names that differ as texts"):
        neural.compare({"A": rates("a").expand_dims(seed=[0])}, {1: rates("a"), "1": rates("b")}, condition="side")


def test_values_of_a_column_are_not_copied_into_another_kind():
    """Negative control: what needs no change is left alone."""
    for values in (np.arange(3, dtype="i2"), np.arange(3, dtype="f4"), np.array(["a", "b"])):
        assert values_of("x", values, "1").dtype == values.dtype
