"""Reading recordings: what is in a file is in the session, and what is no recording is refused."""

import os
from pathlib import Path

import h5py
import hanks_files
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

from neuro_bpl.neural.activity.alignment import align
from neuro_bpl.neural.activity.binning import bin
from neuro_bpl.neural.datasets.deverett2018 import read_deverett, share_above
from neuro_bpl.neural.datasets.golub2018 import read_golub
from neuro_bpl.neural.datasets.hanks2015 import read_hanks, silent_runs
from neuro_bpl.neural.sessions.matlab import read_variable, variables
from neuro_bpl.neural.sessions.reading import read
from neuro_bpl.neural.sessions.session import event_names, spike_times, validate


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A session of two units, and what was written."""
    made = hanks_files.trials()
    return hanks_files.write(tmp_path_factory.mktemp("hanks") / "T034_7.mat", made), made


def real(name):
    place = os.environ.get("NEURO_BPL_DATA")
    path = Path(place or ".") / "neural" / name
    if not place or not path.exists():
        pytest.skip(f"NEURO_BPL_DATA names no folder with neural/{name}")
    return path


def columns(session):
    return {name: values.values for name, values in session["trials"].data_vars.items()}


# ------------------------------------------------------------------------------------------------- clicks and choices


def test_all_that_is_in_the_file_is_in_the_session(written):
    path, made = written
    session = read_hanks(path)
    found = columns(session)
    for at, one in enumerate(made):
        assert found["stimulus_off"][at] == one["T"]
        assert found["centre_poke_on"][at] == -one["stim_start"]
        np.testing.assert_allclose(found["fixation_off"][at], one["T"], atol=1e-12)
        assert found["went_right"][at] == one["pokedR"]
        assert found["correct_right"][at] == one["correct_dir"]
        assert found["correct"][at] == (one["pokedR"] == one["correct_dir"])
        assert found["evidence"][at] == one["rightbups"].size - one["leftbups"].size
        for unit in range(2):
            wanted = one["spike_times"][0, unit].ravel()
            np.testing.assert_array_equal(spike_times(session, unit, at), wanted)
        events = session["events"].to_dataset()
        for kind in ("left", "right"):
            chosen = (events["trial"] == at) & (events["kind"] == kind)
            np.testing.assert_array_equal(events["time"].values[chosen], one[f"{kind}bups"].ravel())
    assert session["spikes"].sizes["spike"] == sum(c.size for one in made for c in one["spike_times"][0]) > 50
    assert session["units"]["unit"].values.tolist() == [100, 200]
    assert {session.attrs[key] for key in ("session", "subject", "region")} == {"T034_7", "T034", "FOF"}
    assert set(event_names(session)) == {"stimulus_on", "stimulus_off", "centre_poke_on", "fixation_off"}
    assert set(np.unique(found["went_right"])) == {0, 1}


def test_silence_beyond_what_was_recorded_is_no_rate_of_zero(written):
    path, made = written
    session = read_hanks(path)
    poke, light_off = (columns(session)[name] for name in ("centre_poke_on", "fixation_off"))
    np.testing.assert_array_equal(columns(session)["recorded_from"], poke)
    np.testing.assert_array_equal(columns(session)["recorded_until"], light_off + 1.5)
    inside = bin(align(session, "stimulus_on", (-0.4, 1.5)), 0.1)
    assert inside.attrs["trials_not_covered"] == 0
    assert inside.notnull().all()
    for beyond in ((-2.0, 0.0), (0.0, 2.4)):
        counts = bin(align(session, "stimulus_on", beyond), 0.1)
        assert counts.attrs["trials_not_covered"] == len(made)
        assert counts.isnull().all()
    early = bin(align(session, "centre_poke_on", (0.0, 0.5)), 0.1)  # of each trial's own poke, and light
    late = bin(align(session, "fixation_off", (1.0, 1.5)), 0.1)
    assert early.attrs["trials_not_covered"] == late.attrs["trials_not_covered"] == 0
    # Spikes are there, whether the window is known to be recorded or not.
    assert align(session, "stimulus_on", (-3.0, 3.0)).sizes["spike"] == session["spikes"].sizes["spike"]


def test_one_unit_may_be_a_vector_or_a_cell(tmp_path):
    both = [
        read_hanks(hanks_files.write(tmp_path / f"T035_{as_vector:d}.mat", hanks_files.trials(3, 5, n_units=1, **how)))
        for as_vector, how in ((True, {"as_vector": True}), (False, {}))
    ]
    np.testing.assert_array_equal(*(one["spikes"]["time"] for one in both))
    assert both[0]["spikes"].sizes["spike"] > 10
    assert both[0].attrs["region"] == "PPC"


def test_trials_without_clicks_and_units_without_spikes_are_kept(tmp_path):
    made = hanks_files.trials()
    made[1]["leftbups"] = np.zeros((0, 0))
    made[2]["spike_times"][0, 1] = np.zeros((0, 0))
    made[3]["T"] = 0.0
    session = read_hanks(hanks_files.write(tmp_path / "T034_7.mat", made))
    assert columns(session)["n_left"][1] == 0 < columns(session)["n_right"][1]
    assert len(spike_times(session, 1, 2)) == 0 < len(spike_times(session, 0, 2))
    assert columns(session)["stimulus_off"][3] == 0
    assert session["trials"].sizes["trial"] == 6


def test_a_region_is_asked_for_where_the_rat_is_not_known(tmp_path):
    path = hanks_files.write(tmp_path / "X001_7.mat", hanks_files.trials())
    with refused("rat = 'X001'", "region="):
        read(path)
    assert read(path, region="striatum")["units"]["region"].values.tolist() == ["striatum"] * 2


def test_silent_runs_are_counted_from_the_poke_on():
    trains = [[[1.0], []], [[], []], [[-5.0], []], [[], [0.5]], [[], []]]
    assert silent_runs(trains, np.full(5, -1.0)).tolist() == [0, 2, 2, 0, 1]
    assert silent_runs(trains, np.full(5, -9.0)).tolist() == [0, 1, 0, 0, 1]


SPOILT = {
    "T": ("one number a trial", np.array([[1.0, 2.0]])),
    "stim_start": ("finite", np.nan),
    "cpoke_end": ("real numbers", "word"),
    "pokedR": ("1 .right. or 0 .left.", 2.0),
    "correct_dir": ("real numbers", 1j),
    "leftbups": ("finite", np.array([[0.0, np.inf]])),
    "rightbups": ("vector", np.zeros((2, 2))),
    "spike_times": ("one for each cellID", np.array([[0.1]])),
    "cellID": ("the same units in all trials", np.array([[100, 300]])),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_field_with_something_else_in_it_is_refused(tmp_path, name):
    said, value = SPOILT[name]
    made = hanks_files.trials()
    made[2][name] = value
    with refused("T034_7.mat", name, said):
        read_hanks(hanks_files.write(tmp_path / "T034_7.mat", made))


@pytest.mark.parametrize("name", hanks_files.FIELDS)
def test_a_session_without_one_of_its_fields_is_refused(tmp_path, name):
    made = [{key: value for key, value in one.items() if key != name} for one in hanks_files.trials()]
    with refused("rawdata", f"no {name}"):
        read_hanks(hanks_files.write(tmp_path / "T034_7.mat", made))


# ------------------------------------------------------------------------------------------------------- what a file is


def test_the_format_is_told_by_the_content_and_not_by_the_name(written, tmp_path):
    other = tmp_path / "T034_7.nwb"
    other.write_bytes(written[0].read_bytes())
    assert read(other).identical(read_hanks(written[0]))
    assert read(other, "hanks").identical(read(other))


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(3)


CONTENT = {
    "nothing": (b"", "empty"),
    "text": (b"trial,time\n1,0.5\n", "begins with b'trial"),
    "a pickle": (b"\x80\x04K\x01.", "pickle"),
    "MATLAB 7.3": (b"MATLAB 7.3 MAT-file, Platform: GLNXA64", "version 7.3"),
    "gzip": (b"\x1f\x8b\x08\x00", "gzip"),
    "the head of an HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(40), "damaged HDF5"),
    "the head of a MATLAB file": (b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM", "MATLAB file with nothing"),
    "an npz file": (lambda path: np.savez(path, a=np.arange(3)), "zip archive"),
    "an HDF5 file": (hdf5, "without nwb_version"),
    "another MATLAB file": (
        lambda path: scipy.io.savemat(path, {"spikes": 1.0}, do_compression=True),
        "MATLAB file with spikes",
    ),
    "a MATLAB file without checksums": (lambda path: scipy.io.savemat(path, {"spikes": 1.0}), "not compressed"),
}


@pytest.mark.parametrize("case", CONTENT)
def test_what_is_no_recording_is_refused(tmp_path, case):
    content, said = CONTENT[case]
    path = tmp_path / "T034_7.mat"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with path.open("wb") as file:
            content(file)
    with refused("file = ", "T034_7.mat", said):
        read(path)


def test_folders_and_files_that_are_not_there_are_refused(tmp_path):
    with refused("folder"):
        read(tmp_path)
    for reader in (read, read_hanks, read_golub):
        with refused("is not there", "fetch", error=FileNotFoundError):
            reader(tmp_path / "T034_1.mat")
        with refused("folder"):
            reader(tmp_path)
        (tmp_path / "T034_2.mat").write_bytes(b"")
        with refused("it is empty"):
            reader(tmp_path / "T034_2.mat")
    with refused("format = 'hank'", '"hanks"'):
        read(tmp_path, "hank")


def test_a_variable_that_is_not_there_is_refused(written):
    assert variables(written[0]) == ["rawdata"]
    with refused("variable = 'rawdate'", "such as rawdata"):
        read_variable(written[0], "rawdate")


# ------------------------------------------------------------------------------------------------------------- damage


@settings(max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_as_a_valid_session(written, tmp_path_factory, data):
    whole = written[0].read_bytes()
    content = bytearray(whole)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4)):
        content[place] = value
    content = bytes(content[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))])
    path = tmp_path_factory.getbasetemp() / "T034_8.mat"
    path.write_bytes(content)
    try:
        session = read(path)
    except ValueError as error:
        assert "Type: " in str(error)  # noqa: PT017
        assert content != whole
    else:
        validate(session)
        assert content[128:] == whole[128:]  # only the header's text may differ


@given(data=st.data())
@settings(max_examples=100)
def test_whatever_fields_hold_is_refused_or_valid(tmp_path_factory, data):
    numbers = st.floats(allow_nan=True, width=32) | st.integers(-3, 70000)
    vectors = st.lists(numbers, max_size=3).map(lambda found: np.array([found]))
    values = numbers | vectors | st.text("ab", min_size=1, max_size=3) | st.booleans() | st.complex_numbers()
    made = hanks_files.trials(1, 3)
    name = data.draw(st.sampled_from(hanks_files.FIELDS))
    made[data.draw(st.integers(0, 2))][name] = data.draw(values)
    path = hanks_files.write(tmp_path_factory.getbasetemp() / "T034_9.mat", made)
    try:
        validate(read(path))
    except ValueError as error:
        assert "Type: " in str(error)  # noqa: PT017


# ----------------------------------------------------------------------------------------------------- climbing fibres


def test_climbing_fibre_activity_after_outcomes(tmp_path):
    path = tmp_path / "figures.npz"
    rows = {"fig4/E/error": np.array([0.3, 0.1, 0.5]), "fig4/E/correct": np.array([0.1, 0.2, 0.5])}
    np.savez(path, **rows)
    found = read_deverett(path)["activity"]
    np.testing.assert_array_equal(found.sel(outcome="error"), rows["fig4/E/error"])
    assert share_above(found) == share_above(found, "correct", "error") == 1 / 3


@pytest.mark.parametrize("case", ["cut short", "lengths", "missing", "objects", "text"])
def test_other_arrays_than_those_of_the_figures_are_refused(tmp_path, case):
    path = tmp_path / "figures.npz"
    row = np.arange(3.0)
    rows = {
        "lengths": {"fig4/E/error": row, "fig4/E/correct": row[:2]},
        "missing": {"fig4/E/error": row},
        "objects": {"fig4/E/error": row, "fig4/E/correct": np.array([{}, {}, {}], object)},
        "text": {"fig4/E/error": row, "fig4/E/correct": np.array(["a", "b", "c"])},
    }.get(case, {"fig4/E/error": row, "fig4/E/correct": row})
    np.savez(path, **rows)
    if case == "cut short":
        path.write_bytes(path.read_bytes()[:-40])
    with refused("figures.npz", "fig4/E/error and fig4/E/correct", "deverett2018"):
        read_deverett(path)


# ----------------------------------------------------------------------------------------------------------- real files


def test_decision_errors_drive_most_dendrites():
    activity = read_deverett(real("deverett2018_crusI_evidence.npz"))["activity"]
    assert activity.sizes["dendrite"] == 599
    assert round(100 * share_above(activity), 1) == 81.5
    assert share_above(activity, "correct", "error") < 0.2


def test_the_public_sessions_of_clicks():
    sessions = [read(path) for path in sorted(real("hanks2015").glob("*.mat"))]
    assert len(sessions) == 16
    assert sum(session["units"].sizes["unit"] for session in sessions) == 18
    assert sum(session["trials"].sizes["trial"] for session in sessions) == 4797
    lost = {s.attrs["session"]: int((s["trials"]["silent_run"] > 4).sum()) for s in sessions}
    assert {name: number for name, number in lost.items() if number} == {"B053_52425": 8, "T035_152177": 16}
    for session in sessions:
        found = columns(session)
        assert (found["n_left"] > 0).all()
        assert (found["n_right"] > 0).all()
        decided = found["evidence"] != 0
        assert (found["correct_right"] == (found["evidence"] > 0))[decided].all()
        np.testing.assert_allclose(found["fixation_off"], found["stimulus_off"], atol=1e-6)
        assert 0.64 < found["correct"].mean() < 0.89
    brief = min(columns(session)["stimulus_off"].min() for session in sessions)
    assert 0 < brief < 0.005


def test_the_public_sessions_hold_what_they_are_said_to_hold():
    last = []
    for path in sorted(real("hanks2015").glob("*.mat")):
        session = read(path)
        recorded = columns(session)["silent_run"] <= 4
        for window in ((-0.3, 0.4), (-0.5, 0.9)):  # those of analyses/clicks_recordings.py
            assert bin(align(session, "stimulus_on", window), 0.1).attrs["trials_not_covered"] == 0
        beyond = bin(align(session, "stimulus_on", (-5.0, 20.0)), 0.5)
        assert beyond.attrs["trials_not_covered"] == session["trials"].sizes["trial"]
        spikes = session["spikes"].to_dataset()
        end = np.full(len(recorded), -np.inf)
        np.maximum.at(end, spikes["trial"].values, spikes["time"].values)
        rate = bin(align(session, "fixation_off", (0.0, 1.5)), 1.5)[recorded].sum("unit").mean() / 1.5
        if rate >= 10:  # where units fire as fast, silence for a second is the end of the recording
            last.append((end - columns(session)["fixation_off"])[recorded].min())
    assert len(last) == 13
    assert 1.5 < min(last) < 1.8


def test_cutting_a_real_file_short_is_noticed(tmp_path):
    content = (real("hanks2015") / "T036_154291.mat").read_bytes()
    path = tmp_path / "T036_154291.mat"
    for length in (1, 127, 128, 1000, len(content) - 1):
        path.write_bytes(content[:length])
        with refused("T036_154291.mat"):
            read(path)
