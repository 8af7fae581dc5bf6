"""NWB: what is no whole file is refused, and none is left open, half written or written over."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from nwb_files import assert_same, example, is_open, pynwb
from tiny import refused

from neuro_bpl.neural.sessions.nwb import file as nwb_file
from neuro_bpl.neural.sessions.nwb import read_nwb, read_run_nwb, write_nwb


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
