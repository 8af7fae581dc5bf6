"""The store: what was committed comes back without loss, whole or not at all; damage is refused, never guessed at."""

import os
import resource
import shutil
import tempfile

import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import BP1, CIRCUIT, CORTEX, READOUT, Recall, assert_identical, contents, refused, same, train

import neuro_bpl as nb
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.experiment import Experiment, Schedule
from neuro_bpl.runs import attributes as attributes_of_runs
from neuro_bpl.runs import part_writer, pieces, run_writer, store
from neuro_bpl.runs.contents import Memory
from neuro_bpl.training.arguments import attributes
from neuro_bpl.training.progress import Bars
from neuro_bpl.training.trainer import train_part

ASKED = {"record": ["gradient_alignment", "rates"], "n_updates": 6, "n_evaluations": 3, "n_snapshots": 2}


@pytest.fixture(scope="module")
def memory():
    return train(**ASKED)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A stored run that no test changes."""
    path = tmp_path_factory.mktemp("runs") / "deep" / "run"
    return path, train(**ASKED, output=path)


@pytest.fixture
def stored(kept, tmp_path):
    """A copy of it."""
    return shutil.copytree(kept[0], tmp_path / "run")


class StoppedError(Exception):
    """The process ends here."""


def stopping(monkeypatch, after):
    """Let `after` commits pass, then end."""
    commit, passed = run_writer.RunWriter.commit, []

    def counted(*arguments):
        if len(passed) == after:
            raise StoppedError
        passed.append(1)
        commit(*arguments)

    monkeypatch.setattr(run_writer.RunWriter, "commit", counted)


# --------------------------------------------------------------------------------------------------------- round trips


def test_a_stored_run_is_the_run_in_memory(memory, kept):
    path, run = kept
    assert_identical(run, memory)
    assert_identical(nb.open_run(path), memory)
    assert_identical(nb.open_run(str(path)), run, but=())


def test_nothing_but_the_run_is_left_in_its_folder(kept):
    path, _ = kept
    assert [other.name for other in path.parent.iterdir()] == ["run"]
    assert not [name for name in contents(path) if name.name.startswith("tmp")]


def test_numbers_come_back_bit_for_bit_whatever_they_are(tmp_path):
    values = np.array([[0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1e308]])
    attrs = {"units": "1", "long_name": "odd numbers"}
    seeds, updates = (pieces.coordinate(dim, np.arange(n), dim) for dim, n in (("seed", 1), ("update", 7)))
    odd = xr.DataArray(values[None], {"seed": seeds, "update": updates}, ("point", "seed", "update"), attrs=attrs)
    empty = xr.zeros_like(odd)
    piece = {"training": xr.Dataset({"odd": odd, "empty": empty})}
    checkpoint = {"float64": values[0], "int32": np.array([3], "int32")}
    attrs = {"format": "neuro_bpl run", "format_version": "3", "sweep": "{}"}
    with run_writer.writing(tmp_path / "run", attrs, resume=False, overwrite=False) as sink:
        sink.commit("0", piece, checkpoint, {"status": "running", "labels": "[{}]", "experiments": "[{}]"}, 7)
    got = store.read(tmp_path / "run").parts["0"]
    assert got.pieces["training"]["odd"].values.tobytes() == values.tobytes()
    xr.testing.assert_identical(got.pieces["training"], piece["training"])
    assert {name: array.tobytes() for name, array in got.checkpoint.items()} == {
        name: array.tobytes() for name, array in checkpoint.items()
    }


def test_one_netcdf_file_holds_the_whole_run(memory, tmp_path):
    path = nb.export_netcdf(memory, tmp_path / "a" / "run.nc")
    assert [other.name for other in path.parent.iterdir()] == ["run.nc"]
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        assert_identical(opened.load(), memory, but=())
    with refused("run.nc exists", "overwrite=True", error=FileExistsError):
        nb.export_netcdf(memory, path)
    assert nb.export_netcdf(memory, path, overwrite=True) == path
    with refused("without 'format'"):
        nb.export_netcdf(xr.DataTree(), tmp_path / "b.nc")
    assert not (tmp_path / "b.nc").exists()


def test_a_stored_run_can_be_exported_loaded_and_evaluated(kept, memory, tmp_path):
    path, run = kept
    circuit, weights = nb.load(path)
    assert circuit == CIRCUIT
    np.testing.assert_array_equal(weights.cortex.w_rec, memory["weights"]["cortex.w_rec"].isel(snapshot=-1))
    with xr.open_datatree(nb.export_netcdf(run, tmp_path / "run.nc"), engine="h5netcdf") as opened:
        assert nb.load(opened.load()).circuit == CIRCUIT


# --------------------------------------------------------------------------------------- while it is written, or not


@pytest.mark.parametrize("commits", [1, 3])
def test_an_unfinished_run_opens_with_what_was_committed(memory, tmp_path, monkeypatch, commits):
    path = tmp_path / "run"
    stopping(monkeypatch, commits)
    with pytest.raises(StoppedError):
        train(**ASKED, output=path)
    run = nb.open_run(path)
    done = (commits - 1) * 2
    assert [point["status"] for point in nb.statuses(run)] == ["running"]
    assert ("training" in run) == (done > 0)
    xr.testing.assert_identical(
        run["evaluation"].to_dataset(), memory["evaluation"].to_dataset().isel(update=slice(commits))
    )
    if done:
        xr.testing.assert_identical(run["training"]["loss"], memory["training"]["loss"].isel(update=slice(done)))


def test_a_reader_sees_whole_updates_only_at_any_moment_of_writing(tmp_path, monkeypatch):
    path, write, seen = tmp_path / "run", part_writer._write, []

    def watched(*arguments):
        write(*arguments)
        if (path / "refs").exists() and len(seen) < 40:
            try:
                run = nb.open_run(path)
            except ValueError:  # Before the first commit there is no run.
                assert not seen
                return
            trained = run["training"].sizes["update"] if "training" in run else 0
            evaluated = int(run["evaluation"]["update"][-1])
            seen.append((trained, evaluated))

    monkeypatch.setattr(part_writer, "_write", watched)
    train(n_updates=2, n_evaluations=2, output=path)
    assert all(trained == evaluated for trained, evaluated in seen)
    assert sorted(seen) == seen
    # Read in the middle of the second and third commit: what the one before left behind.
    assert set(seen) == {(0, 0), (1, 1)}


def test_a_second_writer_is_refused_and_readers_are_not(stored):
    before = nb.open_run(stored)
    with run_writer.writing(stored, {}, resume=True, overwrite=False):
        for how in ("resume", "overwrite"):
            with refused("is being written by another process", error=FileExistsError):
                train(**ASKED, output=stored, **{how: True})
        assert_identical(nb.open_run(stored), before, but=())
    assert_identical(train(**ASKED, output=stored, resume=True), before, but=())


# ------------------------------------------------------------------------------------------- paths that are no runs


def folder_of_files(path):
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def plain_file(path):
    path.write_bytes(b"PK not a run")


def zarr_store(path):
    xr.Dataset({"x": ("y", [1.0])}).to_zarr(path, zarr_format=2, consolidated=False)


def icechunk_store(path):
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(path)))
    session = repository.writable_session("main")
    zarr.open_group(session.store, mode="a").attrs["whose"] = "mine"
    session.commit("mine")


FOREIGN = [folder_of_files, plain_file, zarr_store, icechunk_store]


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), *FOREIGN], ids=lambda make: make.__name__)
def test_what_is_not_a_run_cannot_be_opened(tmp_path, make):
    make(tmp_path / "it")
    before = contents(tmp_path)
    with refused("Allowed", "Why", str(tmp_path / "it")):
        nb.open_run(tmp_path / "it")
    assert contents(tmp_path) == before


def test_a_missing_run_is_missed_by_name(tmp_path):
    with refused(r"no run at .*nowhere", error=FileNotFoundError):
        nb.open_run(tmp_path / "nowhere")


@pytest.mark.parametrize("how", ["overwrite", "resume"])
@pytest.mark.parametrize("make", FOREIGN, ids=lambda make: make.__name__)
def test_what_is_not_a_run_is_neither_replaced_nor_resumed_and_stays_as_it_is(tmp_path, make, how):
    make(tmp_path / "it")
    before = contents(tmp_path)
    with pytest.raises((FileExistsError, ValueError), match=r"(?s)Allowed: .*Why: .*Type: "):
        train(**ASKED, output=tmp_path / "it", **{how: True})
    assert contents(tmp_path) == before


def test_an_existing_run_is_not_written_over(stored, kept):
    before = contents(stored)
    with refused("run exists", "Why", "--resume", "--overwrite", error=FileExistsError):
        train(output=stored)
    with refused(r"\(True, True\)", "Why"):
        train(output=stored, resume=True, overwrite=True)
    assert contents(stored) == before


def test_an_empty_folder_may_be_filled_when_asked_for(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    with refused("exists", error=FileExistsError):
        train(output=path)
    assert_identical(train(output=path, overwrite=True), train())


def test_overwrite_replaces_the_whole_run(stored, kept):
    run = train(n_updates=2, output=stored, overwrite=True)
    assert set(run.children) == {"parameters", "training", "evaluation", "weights"}
    assert_identical(run, train(n_updates=2))
    assert not same(run, kept[1])


def impossible(path):
    train(circuit=nb.Circuit(CORTEX, READOUT, nb.GranularPredictor(5, fan_in=9)), output=path, overwrite=True)


def unlike_the_task(path):
    train(circuit=nb.Circuit(CORTEX, nb.LinearReadout(5), nb.LinearPredictor()), output=path, overwrite=True)


@pytest.mark.parametrize("new", [impossible, unlike_the_task], ids=lambda new: new.__name__)
def test_the_old_run_stays_when_the_new_one_cannot_begin(stored, kept, new):
    with refused("Allowed", "Why"):
        new(stored)
    assert_identical(nb.open_run(stored), kept[1], but=())


def test_a_run_that_would_not_fit_is_refused_before_the_old_one_is_replaced(stored, kept, monkeypatch):
    usage = shutil._ntuple_diskusage(10**6, 10**6 - 10, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with refused(r"need about .* MB", "are free", "fewer evaluations", error=OSError):
        train(output=stored, overwrite=True)
    with refused(r"need about .* MB", error=OSError):
        train(output=stored.parent / "new")
    monkeypatch.undo()
    assert_identical(nb.open_run(stored), kept[1], but=())


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    if os.geteuid() == 0:  # Root may write anywhere.
        refuse = PermissionError(13, "Permission denied")
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: (_ for _ in ()).throw(refuse))
    else:
        closed.chmod(0o555)
    with refused("cannot be written", "Allowed", "Why", error=OSError):
        train(output=closed / "run")
    assert not list(closed.iterdir())


def test_a_file_on_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with refused("cannot be written", "Allowed", "Why", error=OSError):
        train(output=tmp_path / "file" / "run")


@pytest.mark.full
@pytest.mark.parametrize("committed", [0, 2])
def test_a_full_disk_says_so_and_keeps_what_was_committed(tmp_path, monkeypatch, memory, committed):
    """Files may not grow beyond 64 bytes from some commit on: what a disk does that is full."""
    path, commit, passed = tmp_path / "run", run_writer.RunWriter.commit, []
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def filling(*arguments):
        if len(passed) == committed:
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
        try:
            commit(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        passed.append(1)

    monkeypatch.setattr(run_writer.RunWriter, "commit", filling)
    with refused("cannot be written", "committed before is safe", "free some space", error=OSError):
        train(**ASKED, output=path)
    monkeypatch.undo()
    if committed:
        assert int(nb.open_run(path)["evaluation"]["update"][-1]) == 2
    assert_identical(train(**ASKED, output=path, resume=True), memory)


# -------------------------------------------------------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def slim(tmp_path_factory):
    """A run of few variables, to be opened many times."""
    path = tmp_path_factory.mktemp("slim") / "run"
    seeds = nb.Seeds.count(2)
    experiment = Experiment(
        CIRCUIT, Recall(), BP1, nb.Optimizers(), Schedule(4, 3, 2), seeds, ("loss", "accuracy", "weights")
    )
    part = Cohort((experiment,), ({},))
    attrs = attributes([part], {}, "tests")
    pieces, memory = [], Memory(attrs)
    commit = memory.commit
    memory.commit = lambda *arguments: (pieces.append(arguments), commit(*arguments))
    train_part(part, "0", memory, Bars(False).expect("0", part), raising=True)
    with run_writer.writing(path, attrs, resume=False, overwrite=False) as sink:
        for name, piece, checkpoint, said, growth in pieces[:-1]:  # Unfinished, so that there is a checkpoint.
            few = {
                group: dataset[[*dataset.data_vars][:2] + [*dataset.data_vars][2:][-1:]]
                for group, dataset in piece.items()
            }
            sink.commit(name, few, checkpoint, said, growth)
    return path, nb.open_run(path)


def damage(path, kind, where, noise):
    """Change one file at a relative place; False where nothing is different afterwards."""
    before = path.read_bytes()
    at = int(where * len(before))
    if kind == "delete":
        path.unlink()
        return True
    after = {
        "flip": lambda: before[:at] + bytes([before[at] ^ (noise or 1)]) + before[at + 1 :] if before else before,
        "cut": lambda: before[:at],
        "garble": lambda: np.random.default_rng(noise).bytes(len(before)),
        "zero": lambda: bytes(len(before)),
        "grow": lambda: before + bytes([noise]),
        "empty": lambda: b"",
    }[kind]()
    path.write_bytes(after)
    return after != before


KINDS = ("flip", "cut", "delete", "garble", "zero", "grow", "empty")


def check_damage(original, wanted, folder, which, kind, where, noise):
    """After damage to a file a run is what it was, or is refused."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[int(which * len(files))]
    damage(path, kind, where, noise)
    try:
        run = nb.open_run(folder)
    except (ValueError, FileNotFoundError) as error:
        words = ("Allowed: ", "Why: ", "Type: ")
        fine = all(word in str(error) for word in words)
        outcome = "refused" if fine else f"refused without a way out: {error}"
    else:
        outcome = "the same" if same(run, wanted) else "another run, silently"
    assert outcome in ("refused", "the same"), path.relative_to(folder)


PLACES = {
    "which": st.floats(0, 1, exclude_max=True),
    "kind": st.sampled_from(KINDS),
    "where": st.floats(0, 1, exclude_max=True),
    "noise": st.integers(0, 255),
}


@pytest.mark.full
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**PLACES)
def test_a_damaged_run_is_the_same_or_refused(slim, tmp_path, which, kind, where, noise):
    check_damage(*slim, tmp_path / "run", which, kind, where, noise)


@pytest.mark.science
@settings(max_examples=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**PLACES)
def test_a_damaged_run_is_the_same_or_refused_whatever_the_damage(kept, tmp_path, which, kind, where, noise):
    check_damage(*kept, tmp_path / "run", which, kind, where, noise)


@pytest.mark.parametrize("part", ["chunks", "manifests", "snapshots", "refs"])
def test_damage_to_what_is_needed_is_noticed(slim, tmp_path, part):
    """Liveness: a run without its numbers is refused, not filled with zeros."""
    folder = shutil.copytree(slim[0], tmp_path / "run")
    files = [path for path in (folder / part).rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(bytes(len(path.read_bytes())))
    with refused("Allowed", "Why"):
        nb.open_run(folder)


def test_a_run_of_another_format_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(attributes_of_runs, "FORMAT_VERSION", "99")
    with refused("'99'", "Allowed", "Why"):  # It is opened when it is complete.
        train(n_updates=1, output=tmp_path / "run")
