"""Resume: a run that was stopped, however and whenever, ends as if it had not been; and never as another one."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial

import jax
import numpy as np
import optax
import pytest
from scripting import ROOT
from stopping import ASKED, StoppedError, stopped
from tiny import BP1, CIRCUIT, CORTEX, READOUT, Louder, Recall, assert_identical, contents, refused, same, sweep, train

import neuro_bpl as nb
from neuro_bpl.experiments.description import describe
from neuro_bpl.experiments.experiment import Experiment, Schedule
from neuro_bpl.runs import checkpoint, store
from neuro_bpl.runs.provenance import differences
from neuro_bpl.training import trainer

STEP_WISE = nb.bp_lambda(0.8, view="backward", update="step")
STREAM = nb.tasks.Stream(Recall(), n_in_a_row=3)


@pytest.fixture(scope="module")
def whole():
    return train(**ASKED)


# --------------------------------------------------------------------------------------------------------- the same run


@pytest.mark.full
@pytest.mark.parametrize("at", ["commit", "write"])
@pytest.mark.parametrize("commits", [0, 1, 2, 3])
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(whole, tmp_path, monkeypatch, commits, at):
    path = tmp_path / "run"
    stopped(monkeypatch, path, commits, at)
    assert_identical(train(**ASKED, output=path, resume=True), whole)


def test_a_run_may_be_stopped_again_and_again(whole, tmp_path, monkeypatch):
    path = tmp_path / "run"
    for _ in range(3):
        stopped(monkeypatch, path, 1, resume=True)
    assert_identical(train(**ASKED, output=path, resume=True), whole)


def networks(seed):
    """Weights of two networks, in the format in which training draws them."""
    with jax.enable_x64(False):
        return jax.vmap(CIRCUIT.init)(jax.random.split(jax.random.key(seed), 2))


OTHERS = {
    "curriculum": {"task": Louder(enough=12.0), "optimizers": nb.Optimizers(None, None, None)},
    "stream": {"task": STREAM, "rule": STEP_WISE},
    "wiring, float64": {
        "circuit": nb.Circuit(CORTEX, READOUT, nb.GranularPredictor(5, fan_in=2)),
        "precision": "float64",
        "optimizers": nb.Optimizers(nb.Optimizer("rmsprop"), nb.Optimizer("sgd", 0.1), nb.Optimizer("adamw")),
    },
    "given weights": {"weights": networks(3)},
}


@pytest.mark.full
@pytest.mark.parametrize("experiment", OTHERS.values(), ids=OTHERS)
def test_all_that_a_learner_carries_survives(tmp_path, monkeypatch, experiment):
    path = tmp_path / "run"
    wanted = train(**{**ASKED, **experiment})
    stopped(monkeypatch, path, 2, **experiment)
    assert_identical(train(**{**ASKED, **experiment}, output=path, resume=True), wanted)


def test_a_network_that_diverged_stays_so_and_one_that_ended_is_not_continued(tmp_path, monkeypatch):
    path, wild = tmp_path / "run", {"optimizers": nb.Optimizers(*(nb.Optimizer("sgd", 1e30),) * 3)}
    with pytest.raises(FloatingPointError):
        train(**{**ASKED, **wild}, output=path)
    (point,) = nb.statuses(nb.open_run(path))
    assert point["status"] == "diverged"
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "run_updates", lambda *_: pytest.fail("trained again"))
        with pytest.raises(FloatingPointError, match="diverged"):
            train(**{**ASKED, **wild}, output=path, resume=True)
    assert (nb.open_run(path)["training"]["diverged_at"] >= 0).all()


def test_a_complete_run_is_returned_without_training(whole, tmp_path, monkeypatch):
    path = tmp_path / "run"
    train(**ASKED, output=path)
    before = {name: content for name, content in contents(path).items() if name.name != store.LOCK}
    monkeypatch.setattr(trainer, "run_updates", lambda *_: pytest.fail("trained again"))
    assert_identical(train(**ASKED, output=path, resume=True), whole)
    after = contents(path)
    assert before.items() <= after.items()


def test_where_there_is_nothing_resume_begins(whole, tmp_path):
    assert_identical(train(**ASKED, output=tmp_path / "new" / "run", resume=True), whole)


def test_another_seed_is_another_run(whole):
    """Negative control: what is called identical above is not always so."""
    assert not same(train(**ASKED, seeds=nb.Seeds((0, 1), (0, 2), (0, 1))), whole)


# --------------------------------------------------------------------------------------------------- another experiment

DIFFERENT = {
    "λ": ({"rule": nb.bp_lambda(0.5)}, r"rule.credit.lambda_: stored 1.0, asked for 0.5"),
    "rule": ({"rule": nb.bptt(), "record": []}, r"rule.credit.type: stored Predicted, asked for Exact"),
    "size": (
        {"circuit": nb.Circuit(nb.RateCortex(2, 4), READOUT, nb.LinearPredictor())},
        "n_units: stored 3, asked for 4",
    ),
    "learning rate": (
        {"optimizers": nb.Optimizers(nb.Optimizer("adam", 0.1))},
        "cortex.learning_rate: stored 0.001, asked for 0.1",
    ),
    "optimiser": ({"optimizers": nb.Optimizers(None)}, "optimizers.cortex"),
    "batch": ({"batch_size": 2}, "batch_size: stored 3, asked for 2"),
    "length": ({"n_updates": 7}, "n_updates: stored 6, asked for 7"),
    "chunks": ({"n_evaluations": 2}, "n_evaluations: stored 3, asked for 2"),
    "precision": ({"precision": "float64"}, "precision: stored float32, asked for float64"),
    "seeds": ({"seeds": 3}, r"seeds.data: stored \[0, 1\], asked for \[0, 1, 2\]"),
    "one seed": ({"seeds": nb.Seeds((0, 1), (0, 1), (0, 2))}, r"seeds.noise: stored \[0, 1\], asked for \[0, 2\]"),
    "record": ({"record": []}, "record: stored"),
    "task parameter": ({"task": Recall(noise=0.5)}, r"task.noise: stored 0.0, asked for 0.5"),
    "task": ({"task": Louder()}, "task.name: stored Recall, asked for Louder"),
    "given weights": (
        {"weights": jax.tree.map(lambda leaf: np.zeros((2, *leaf.shape), "float32"), CIRCUIT.init(jax.random.key(0)))},
        "start: stored drawn",
    ),
}


def begin(path, **experiment):
    """A run of which nothing but the birth is stored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "run_updates", lambda *_: (_ for _ in ()).throw(StoppedError))
        with pytest.raises(StoppedError):
            train(**{**ASKED, **experiment}, output=path)
    return path


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    return begin(tmp_path_factory.mktemp("runs") / "begun")


@pytest.mark.parametrize(("change", "words"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_experiment_is_refused_by_naming_what_differs_with_both_values(begun, change, words):
    before = contents(begun)
    with refused("run of the same experiment", words):
        train(**{**ASKED, **change}, output=begun, resume=True)
    assert contents(begun) == before


@pytest.mark.full
def test_other_data_and_other_given_weights_are_other_experiments(tmp_path):
    cues = [nb.tasks.TargetReaching(4, 2, 2, ("10", other)) for other in ("01", "11")]
    path = begin(tmp_path / "cues", task=cues[0])
    with refused("cues"):
        train(**{**ASKED, "task": cues[1]}, output=path, resume=True)
    path = begin(tmp_path / "weights", weights=networks(0))
    with refused("start: stored"):
        train(**{**ASKED, "weights": networks(1)}, output=path, resume=True)


def test_digits_of_another_order_of_the_same_shape_are_other_data():
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    tasks = [
        nb.tasks.SequentialDigits(
            {split: jax.numpy.asarray(data) for split in ("train", "validation", "test")},
            {split: jax.numpy.arange(2) for split in ("train", "validation", "test")},
        )
        for data in (images, images[::-1])
    ]
    experiments = [Experiment(CIRCUIT, task, BP1, nb.Optimizers(), Schedule(1), nb.Seeds.count(1)) for task in tasks]
    (found,) = differences(*map(describe, experiments))
    assert found.startswith("task_data: stored")


def test_a_single_run_is_not_gone_on_with_as_a_sweep(begun):
    with refused("resume", "not in this grid"):
        sweep({"lambda_": [0.0, 1.0]}, n_updates=6, n_evaluations=3, output=begun, resume=True)


def test_a_sweep_is_not_gone_on_with_as_a_single_run(tmp_path):
    path = tmp_path / "sweep"
    sweep({"lambda_": [0.0, 1.0]}, output=path, at_once=2)
    with refused("resume"):
        train(nb.bp_lambda(0.0), output=path, resume=True)


# ---------------------------------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_gives_back_every_array_in_shape_and_format():
    rng = np.random.default_rng(0)
    tree = {
        "a": rng.normal(size=(2, 3)),
        "b": (np.float32(3), np.arange(4, dtype=np.int32)),
        "c": np.array([True, False]),
    }
    packed = checkpoint.pack(tree)
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), np.asarray(leaf).dtype), tree)
    layout = checkpoint.layout(tree)
    got = checkpoint.unpack(packed, layout, like)
    for mine, wanted in zip(jax.tree.leaves(got), jax.tree.leaves(tree), strict=True):
        assert np.asarray(mine).dtype == np.asarray(wanted).dtype
        np.testing.assert_array_equal(mine, wanted)
    transposed = {**like, "a": jax.ShapeDtypeStruct((3, 2), np.float64)}
    for wrong in (like | {"d": like["c"]}, {"a": like["a"], "b": like["b"]}, transposed):
        with refused("packages that keep the same", r"(nothing|\(3, 2\))", error=checkpoint.CheckpointError):
            checkpoint.unpack(packed, layout, wrong)


@pytest.mark.parametrize("begin", [train, partial(sweep, {"lambda_": [0.0, 1.0]}, at_once=2)], ids=["run", "sweep"])
def test_a_checkpoint_with_other_arrays_is_refused_and_nothing_is_lost(tmp_path, monkeypatch, begin):
    """As if there were another Optax by now, whose optimisers keep a mean more."""
    path, transform = tmp_path / "run", nb.Optimizer.transform
    stopped(monkeypatch, path, 2, begin=begin)
    before = nb.open_run(path)
    with monkeypatch.context() as patch:
        patch.setattr(nb.Optimizer, "transform", lambda self: optax.chain(transform(self), optax.trace(0.9)))
        jax.clear_caches()  # a new process has none
        with refused(r"float32 \(2, \d", "packages that keep the same state", error=checkpoint.CheckpointError):
            begin(**ASKED, output=path, resume=True)
    jax.clear_caches()
    assert_identical(nb.open_run(path), before)
    run = begin(**ASKED, output=path, resume=True)
    assert {point["status"] for point in nb.statuses(run)} == {"complete"}


# ------------------------------------------------------------------------------------------------------ killed for good

CHILD = """
import sys
sys.path.insert(0, {tests!r})
import jax
jax.config.update("jax_disable_most_optimizations", True)
from neuro_bpl.runs import run_writer
from tiny import train

commit = run_writer.RunWriter.commit

def told(*arguments):
    print("begins to commit", flush=True)
    commit(*arguments)

run_writer.RunWriter.commit = told
train(n_updates={updates}, n_evaluations={evaluations}, output={path!r}, resume=True)
"""


def child(path, updates, evaluations):
    text = CHILD.format(tests=str(ROOT / "tests/support"), updates=updates, evaluations=evaluations, path=str(path))
    cache = {"JAX_COMPILATION_CACHE_DIR": f"{path}-compiled", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return subprocess.Popen(
        [sys.executable, "-c", text],
        cwd=ROOT,
        env={**os.environ, **cache},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def updates_of(path):
    """Updates committed to a store; 0 where there is none yet."""
    if not path.exists():
        return 0
    try:
        run = nb.open_run(path)
    except ValueError:  # Killed before the first commit: there is a folder, and no run yet.
        return 0
    assert [point["status"] for point in nb.statuses(run)] in (["running"], ["complete"])
    done = run["training"].sizes["update"] if "training" in run else 0
    assert int(run["evaluation"]["update"][-1]) == done
    return done


def kill_and_resume(path, kills, updates, evaluations, seed):
    """Kill a training process at random moments around its commits; the updates found after each kill, never fewer."""
    rng, found = random.Random(seed), [0]
    for _ in range(kills):
        process = child(path, updates, evaluations)
        for _ in range(rng.randint(1, 5)):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found.append(updates_of(path))
        assert found[-1] >= found[-2], found
    process = child(path, updates, evaluations)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return found


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.full)])
def test_a_killed_run_loses_no_committed_update_and_ends_as_if_it_had_not_been_killed(tmp_path, kills):
    path = tmp_path / "run"
    found = kill_and_resume(path, kills, 200, 100, seed=1)
    assert 0 < max(found) < 200, found
    assert_identical(nb.open_run(path), train(n_updates=200, n_evaluations=100), but=("created_at", "model"))


@pytest.mark.science
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_twenty_times_loses_nothing(tmp_path, seed):
    path = tmp_path / "run"
    found = kill_and_resume(path, 20, 400, 200, seed=seed)
    assert len(set(found)) > 5, found
    assert_identical(nb.open_run(path), train(n_updates=400, n_evaluations=200), but=("created_at", "model"))
