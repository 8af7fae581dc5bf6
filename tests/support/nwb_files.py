"""Sessions that have something of everything, and files as others write them: the material of tests of NWB."""

import datetime

import numpy as np
import psutil
import pytest
import xarray as xr

from neuro_bpl.neural import from_arrays

pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")

START = datetime.datetime(2015, 1, 31, 12, tzinfo=datetime.UTC)


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


def is_open(path):
    return str(path) in {file.path for file in psutil.Process().open_files()}
