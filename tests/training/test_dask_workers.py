"""Sweeps on a cluster: bit for bit those of one process, whoever dies on the way; commits of many writers compose."""

import os
import signal
import subprocess
import sys
import threading
import time

import distributed
import icechunk
import numpy as np
import pytest
import xarray as xr
from deadly import SURVIVOR, Deadly
from scripting import ROOT
from tiny import BP1, CIRCUIT, CORTEX, READOUT, Recall, assert_identical, refused, sweep

import neuro_bpl as nb
from neuro_bpl.experiments import cohort
from neuro_bpl.experiments.experiment import Experiment, Schedule
from neuro_bpl.runs import part_writer, pieces, run_writer, store
from neuro_bpl.training import dask_workers, trainer

# Dask's own: a resource tracker that is late, and sockets of workers that were killed on purpose.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

GRID = {"lambda_": [0.0, 0.5, 1.0]}
LONG = {"n_updates": 60, "n_evaluations": 15}


@pytest.fixture(scope="module")
def local():
    os.environ[SURVIVOR] = str(os.getpid())
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0
    ) as made:
        yield made


@pytest.fixture(scope="module")
def client(local):
    with distributed.Client(local, set_as_default=False) as client:
        yield client


@pytest.fixture
def elsewhere(monkeypatch):
    """What is trained, others train."""
    monkeypatch.setattr(trainer, "run_updates", lambda *_: pytest.fail("trained in this process"))


def snapshots(path):
    repository = icechunk.Repository.open(store.storage(path))
    return repository.lookup_branch(store.BRANCH)


def updates(path, name):
    """Updates committed to a part."""
    if not store.is_store(path):
        return 0
    part = store.read_part(path, name)
    return int(part.attrs["updates"]) if part else 0


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    return sweep(GRID, output=tmp_path_factory.mktemp("one") / "run", at_once=2)


@pytest.fixture(scope="module")
def wanted_long(tmp_path_factory):
    return sweep(GRID, output=tmp_path_factory.mktemp("long") / "run", at_once=2, **LONG)


# --------------------------------------------------------------------------------------------------------- the same run


@pytest.mark.usefixtures("elsewhere")
def test_a_sweep_on_a_cluster_is_bit_for_bit_that_of_one_process(wanted, client, tmp_path):
    path = tmp_path / "run"
    run = sweep(GRID, output=path, at_once=2, scheduler=client.scheduler.address)
    assert_identical(run, wanted)
    before = snapshots(path)
    for scheduler in (client, ""):
        again = sweep(GRID, output=path, at_once=2, resume=True, scheduler=scheduler, workers=2)
        assert_identical(again, run, but=())
    assert snapshots(path) == before  # Nothing was committed: nothing was computed.
    assert not (path / part_writer.OWNER).exists()


@pytest.mark.science
@pytest.mark.usefixtures("elsewhere")
def test_a_client_and_float64_and_a_grown_grid(client, tmp_path, monkeypatch):
    path, asked = tmp_path / "run", {"at_once": 2, "precision": "float64", "task": Recall(noise=0.5)}
    small = {"lambda_": [0.0, 1.0]}
    sweep(small, output=path, scheduler=client, **asked)
    run = sweep(GRID, output=path, resume=True, scheduler=client, **asked)
    assert run["training"]["loss"].dtype == "float64"
    monkeypatch.undo()
    alone = sweep(GRID, **asked)
    for group in ("training", "evaluation", "weights", "parameters"):
        xr.testing.assert_identical(run[group].to_dataset(), alone[group].to_dataset())
    assert run.attrs["sweep"] == alone.attrs["sweep"]


@pytest.mark.full
def test_workers_of_its_own_share_the_points(tmp_path, monkeypatch):
    made, start = [], distributed.LocalCluster

    def noted(**options):
        made.append(options)
        return start(**options)

    monkeypatch.setattr(distributed, "LocalCluster", noted)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "run_updates", lambda *_: pytest.fail("trained in this process"))
        run = sweep(GRID, output=tmp_path / "run", workers=2)
    assert [len(part.labels) for part in store.read(tmp_path / "run").parts.values()] == [2, 1]
    assert_identical(run, sweep(GRID, at_once=4))
    (options,) = made
    assert (options["n_workers"], options["host"], options["dashboard_address"]) == (2, "127.0.0.1", "127.0.0.1:0")
    sweep({"lambda_": [0.0]}, output=tmp_path / "one", workers=2)
    assert len(made) == 1  # One part needs nobody else.


# ----------------------------------------------------------------------------------------------------- workers that die


def killing(client, path, killed):
    """Kill the worker that trains part 0 as soon as it has committed some updates."""
    deadline = time.time() + 60
    while time.time() < deadline:
        pids = client.run(os.getpid)
        busy = [address for address, keys in client.processing().items() if any("-0-" in key for key in keys)]
        done = updates(path, "0")
        if busy and 0 < done < LONG["n_updates"]:
            os.kill(pids[busy[0]], signal.SIGKILL)
            killed.append(done)
            return
        time.sleep(0.02)


@pytest.mark.full
@pytest.mark.usefixtures("elsewhere")
def test_the_part_of_a_killed_worker_goes_on_on_another_one(wanted_long, client, tmp_path):
    path, killed = tmp_path / "run", []
    killer = threading.Thread(target=killing, args=(client, path, killed))
    killer.start()
    run = sweep(GRID, output=path, at_once=2, scheduler=client, **LONG)
    killer.join()
    assert 0 < killed[0] < LONG["n_updates"]
    assert_identical(run, wanted_long)


@pytest.mark.full
@pytest.mark.usefixtures("elsewhere")
def test_a_point_that_kills_its_workers_fails_and_the_others_do_not(client, local, tmp_path, monkeypatch):
    monkeypatch.setattr(local.scheduler, "allowed_failures", 1)
    with pytest.warns(RuntimeWarning, match=r"(?s)1 points of the sweep failed.*KilledWorker"):
        run = sweep({"task.noise": [0.0, 1.0]}, task=Deadly(), output=tmp_path / "run", scheduler=client)
    assert [point["status"] for point in nb.statuses(run)] == ["complete", "failed"]
    assert np.isfinite(run["training"]["loss"].sel({"task.noise": 0.0})).all()


@pytest.mark.full
@pytest.mark.usefixtures("elsewhere")
def test_a_point_that_fails_on_a_worker_is_reported_and_the_others_are_trained(client, tmp_path):
    circuit, grid = nb.Circuit(CORTEX, READOUT, nb.GranularPredictor(5, fan_in=2)), {"fan_in": [2, 9]}
    with pytest.warns(RuntimeWarning, match=r"(?s)1 points of the sweep failed.*fan_in.*9.*Allowed: .*Type: "):
        run = sweep(grid, circuit=circuit, output=tmp_path / "run", scheduler=client)
    assert [point["status"] for point in nb.statuses(run)] == ["complete", "failed"]


@pytest.mark.usefixtures("elsewhere")
def test_a_network_that_diverges_on_a_worker_is_told_of(client, tmp_path):
    rates = {"readout.learning_rate": [1e-3, 1e30]}
    with pytest.warns(RuntimeWarning, match=r"not finite at update \d.*readout.learning_rate 1e\+30"):
        run = sweep(rates, at_once=2, output=tmp_path / "run", scheduler=client)
    assert [point["status"] for point in nb.statuses(run)] == ["complete", "diverged"]


# Shells start what runs in the background with Ctrl-C ignored, and children inherit that: it is turned on again.
CHILD = """
import signal
import sys
sys.path.insert(0, {tests!r})
from tiny import sweep

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sweep({grid!r}, output={path!r}, at_once=2, workers=2, resume=True, **{long!r})
"""


def stopped_sweep(path, script, how):
    """Updates of both parts, committed when the process that trains them was stopped."""
    script.write_text(CHILD.format(tests=str(ROOT / "tests/support"), grid=GRID, path=str(path), long=LONG))
    child = subprocess.Popen([sys.executable, script], cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None and not updates(path, "0"):
        time.sleep(0.02)
    # As from the keyboard, the workers are interrupted, too.
    (os.kill if how == signal.SIGKILL else os.killpg)(child.pid, how)
    child.wait(timeout=30)
    return [updates(path, name) for name in ("0", "1")]


@pytest.mark.full
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.science)])
def test_a_sweep_whose_own_process_is_stopped_goes_on_from_every_commit(wanted_long, tmp_path, how):
    # On a busy machine a sweep may have ended before it is looked at: another one is stopped then.
    for attempt in range(5):
        path = tmp_path / f"run_{attempt}"
        found = stopped_sweep(path, tmp_path / "script.py", how)
        if any(0 < done < LONG["n_updates"] for done in found):
            break
    assert any(0 < done < LONG["n_updates"] for done in found)
    run = sweep(GRID, output=path, at_once=2, resume=True, **LONG)
    assert_identical(run, wanted_long)
    for name, done in zip(("0", "1"), found, strict=True):
        assert updates(path, name) == LONG["n_updates"] >= done


# --------------------------------------------------------------------------------------------------------- many writers

ROOT_ATTRS = {"format": pieces.FORMAT, "format_version": pieces.FORMAT_VERSION, "sweep": "{}", "versions": "{}"}
SAID = {"status": "running", "labels": "[{}]", "experiments": "[{}]"}


def piece(first, n=1):
    attrs = {"units": "1", "long_name": "numbers"}
    axes = {"seed": np.arange(1), "update": np.arange(first, first + n)}
    coords = {dim: pieces.coordinate(dim, values, dim) for dim, values in axes.items()}
    values = xr.DataArray(np.full((1, 1, n), float(first)), coords, ("point", "seed", "update"), attrs=attrs)
    return {"training": xr.Dataset({"number": values})}


def commit(to, name, first):
    to.commit(name, piece(first), {}, {**SAID, "updates": first + 1}, 100)


@pytest.fixture
def owned(tmp_path):
    with run_writer.writing(tmp_path / "run", ROOT_ATTRS, resume=False, overwrite=False) as sink:
        commit(sink, "0", 0)
        yield sink


def test_commits_of_several_writers_at_once_are_all_kept(owned):
    def write(name):
        mine = part_writer.PartWriter.join(owned.path, owned.token, name)
        for first in range(8):
            commit(mine, name, first)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("1", "2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.read(owned.path).parts
    assert [int(found[name].attrs["updates"]) for name in ("0", "1", "2", "3")] == [1, 8, 8, 8]
    for name in ("1", "2", "3"):
        assert found[name].pieces["training"]["number"].values.ravel().tolist() == list(range(8))


def test_a_writer_that_was_overtaken_cannot_commit(owned):
    late, other = (part_writer.PartWriter.join(owned.path, owned.token, "0") for _ in range(2))
    commit(other, "0", 1)
    before = snapshots(owned.path)
    with pytest.raises(part_writer.OvertakenError):
        commit(late, "0", 1)
    owned.drop("0")
    with pytest.raises(part_writer.OvertakenError):
        commit(other, "0", 2)
    assert snapshots(owned.path) != before
    assert store.read(owned.path).parts == {}


def test_a_writer_of_a_run_that_has_another_owner_or_none_cannot_commit(owned):
    early = part_writer.PartWriter.join(owned.path, owned.token, "1")
    owned.close()
    with refused("does not belong to the sweep", error=part_writer.AbandonedError):
        commit(early, "1", 0)
    with run_writer.writing(owned.path, ROOT_ATTRS, resume=True, overwrite=False) as new:
        with refused("does not belong to the sweep", error=part_writer.AbandonedError):
            commit(early, "1", 0)
        commit(part_writer.PartWriter.join(new.path, new.token, "1"), "1", 0)  # Liveness.
        with refused("does not belong to the sweep", "all workers share", error=part_writer.AbandonedError):
            part_writer.PartWriter.join(owned.path, owned.token, "1")
    assert list(store.read(owned.path).parts) == ["0", "1"]


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": True}, {"workers": 1.5}, {"scheduler": 3}], ids=str)
@pytest.mark.usefixtures("untyped")
def test_workers_and_schedulers_that_are_none_are_refused(tmp_path, wrong):
    with refused("Allowed", "Why", *wrong):
        sweep(GRID, output=tmp_path / "run", **wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [{"workers": 2}, {"scheduler": "tcp://127.0.0.1:1"}], ids=str)
def test_workers_need_a_store(how):
    with refused("a stored sweep", "output"):
        sweep(GRID, **how)


@pytest.mark.full
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere", "http://127.0.0.1:1"])
def test_a_scheduler_that_does_not_answer_is_named_soon_and_nothing_is_written(tmp_path, address):
    began = time.time()
    with refused(address, "does not answer", "Allowed", "Why", error=dask_workers.ClusterError):
        sweep(GRID, output=tmp_path / "run", scheduler=address)
    assert time.time() - began < 20
    assert list(tmp_path.iterdir()) == []


class Own(Recall):
    """Of a script, as far as pickle can tell."""


@pytest.mark.full
def test_a_class_of_the_script_itself_is_refused(monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "Own", Own, raising=False)
    monkeypatch.setattr(Own, "__module__", "__main__")
    experiment = Experiment(CIRCUIT, Own(), BP1, nb.Optimizers(), Schedule(1), nb.Seeds.count(1))
    with refused("a module of its own"):
        dask_workers.packed(cohort.Cohort((experiment,), ({},)))
