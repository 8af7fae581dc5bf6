"""NWB: files of others are read as far as a session has a place, and nothing is lost unsaid."""

import json

import numpy as np
import pytest
from nwb_files import START, foreign_file, pynwb
from tiny import refused

from neuro_bpl.neural import spike_times
from neuro_bpl.neural.activity.alignment import align
from neuro_bpl.neural.activity.binning import bin
from neuro_bpl.neural.sessions.nwb import read_nwb


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
    # The first unit was not recorded from 3 to 5 s, and the second one was all the time.
    assert trials["recorded_from"].values.tolist() == [[0, 0], [np.inf, 0], [5, 0]]
    assert trials["recorded_until"].values.tolist() == [[3, 9], [-np.inf, 9], [9, 9]]
    counts = bin(align(session, "go", (-1.0, 2.0)), 3.0)
    np.testing.assert_array_equal(counts[:, 0], [[np.nan, 0], [np.nan, 1], [0, 1]])
    assert bin(align(session, "go", (-1.0, 1.0)), 1.0).isnull().any("time").sum("trial").values.tolist() == [1, 0]
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
