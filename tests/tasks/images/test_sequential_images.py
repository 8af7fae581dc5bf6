"""Sequential images: orders, padding, held-out images, and the files of CIFAR-10."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_files import N_TEST, cifar10_arrays, write_batch, write_cifar10, write_mnist
from stopping import ASKED, stopped

import neuro_bpl as nb
from neuro_bpl.experiments.description import describe
from neuro_bpl.experiments.experiment import Experiment, Schedule
from neuro_bpl.runs.provenance import differences
from neuro_bpl.tasks.images.cifar10 import FILES, RECORD, read_batch

MODEL = "models/sequential_digits.py"
KEYS = jax.random.key(1), jax.random.key(2)
load = nb.tasks.SequentialImages.load


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A folder with images of the sizes of MNIST and CIFAR-10."""
    folder = tmp_path_factory.mktemp("data")
    write_mnist(folder, True, shape=(28, 28))
    write_cifar10(folder)
    return folder


@pytest.fixture(params=["digits", "mnist", "cifar10"])
def dataset(request):
    return request.param


# ----------------------------------------------------------------------------------------------------------- order


@pytest.mark.full
@pytest.mark.parametrize(
    ("wanted", "asked"),
    {
        (28, 28): {"dataset": "mnist"},
        (784, 1): {"dataset": "mnist", "order": "pixels"},
        (784, 1, "permuted"): {"dataset": "mnist", "order": "permuted"},
        (32, 32): {"dataset": "mnist", "pad": 2},
        (1024, 1): {"dataset": "mnist", "order": "pixels", "pad": 2},
        (1024, 1, "permuted"): {"dataset": "mnist", "order": "permuted", "pad": 2},
        (32, 96): {"dataset": "cifar10"},
        (1024, 3): {"dataset": "cifar10", "order": "pixels"},
        (34, 102): {"dataset": "cifar10", "pad": 1},
        (100, 1): {"order": "pixels", "pad": 1},
    }.items(),
    ids=str,
)
def test_steps_and_channels_are_those_of_the_order(data_dir, wanted, asked):
    task = load(**asked, data_dir=data_dir)
    assert (task.n_steps, task.n_inputs, task.n_outputs) == (*wanted[:2], 10)
    for trials in (task.sample(*KEYS, 3), task.held_out("test"), task.probe()):
        assert trials.inputs.shape[1:] == wanted[:2]
        assert trials.targets.shape == (trials.n_trials, 1)
        assert 0 <= trials.inputs.min() <= trials.inputs.max() <= 1


@pytest.mark.full
def test_permuted_pixels_are_the_pixels_in_one_other_order(data_dir, dataset):
    pixels, permuted = (load(dataset, order, data_dir=data_dir) for order in ("pixels", "permuted"))
    order = np.random.RandomState(0).permutation(pixels.n_steps)
    assert sorted(order) == list(range(pixels.n_steps))
    for seed in range(3):
        keys = jax.random.key(seed), KEYS[1]
        plain, mixed = (np.asarray(task.sample(*keys, 4).inputs) for task in (pixels, permuted))
        np.testing.assert_array_equal(mixed, plain[:, order])
        assert not np.array_equal(mixed, plain)
    for split in ("train", "validation", "test"):
        plain, mixed = (task.held_out(split) for task in (pixels, permuted))
        np.testing.assert_array_equal(mixed.inputs, plain.inputs[:, order])
        np.testing.assert_array_equal(mixed.targets, plain.targets)


def test_the_permutation_follows_its_number_alone():
    # A picture whose pixels are their own numbers shows where each one went.
    image = jnp.arange(10, dtype=jnp.uint8).reshape(1, 2, 5)
    parts = dict.fromkeys(("train", "validation", "test"), image)
    labels = {split: jnp.zeros(1, jnp.int32) for split in parts}

    def order(permutation):
        task = nb.tasks.SequentialImages(parts, labels, order="permuted", scale=1.0, permutation=permutation)
        return task.held_out("test").inputs[0, :, 0].astype(int).tolist()

    assert order(0) == [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]  # the same in every version of NumPy
    assert order(1) != order(0)
    assert sorted(order(1)) == list(range(10))


def test_colours_of_a_pixel_stand_together(data_dir):
    made, task = cifar10_arrays(), load("cifar10", "pixels", data_dir=data_dir)
    planes, labels = made["test_batch.bin"]
    inputs = np.asarray(task.held_out("test").inputs)
    for colour in range(3):
        np.testing.assert_allclose(inputs[:, :, colour], planes[:, colour].reshape(2, 1024) / 255)
    np.testing.assert_array_equal(task.held_out("test").targets[:, 0], labels)
    rows = np.asarray(replace(task, order="rows").held_out("test").inputs)
    np.testing.assert_array_equal(rows.reshape(inputs.shape), inputs)
    np.testing.assert_allclose(rows[0, 7, :6], planes[0, :, 7, :2].T.ravel() / 255)


# --------------------------------------------------------------------------------------------------------- padding


@pytest.mark.parametrize("pad", [1, 2])
def test_a_padded_image_is_the_image_with_black_around_it(data_dir, dataset, pad):
    plain = load(dataset, data_dir=data_dir)
    height, width = plain.images["test"].shape[1:3]
    n_colours = plain.n_inputs // width
    for order in ("rows", "pixels"):
        padded = np.asarray(replace(plain, order=order, pad=pad).held_out("test").inputs)
        padded = padded.reshape(-1, height + 2 * pad, width + 2 * pad, n_colours)
        inside = padded[:, pad:-pad, pad:-pad]
        np.testing.assert_array_equal(inside.reshape(len(inside), height, -1), plain.held_out("test").inputs)
        border = padded.copy()
        border[:, pad:-pad, pad:-pad] = 0
        assert not border.any()


def test_noise_is_on_the_border_too():
    trials = load(order="pixels", pad=1, noise=0.5).sample(*KEYS, 200)
    assert np.std(trials.inputs[:, 0]) == pytest.approx(0.5, rel=0.1)


# ------------------------------------------------------------------------------------------------- held-out images


def test_held_out_images_are_spread_evenly_over_their_split():
    whole, few = load(), load(n_held_out=7)
    for split in ("validation", "test"):
        places = np.arange(7) * 360 // 7
        assert places[-1] > 300
        np.testing.assert_array_equal(few.held_out(split).inputs, whole.held_out(split).inputs[places])
        np.testing.assert_array_equal(few.held_out(split).targets, whole.held_out(split).targets[places])
    jax.tree.map(np.testing.assert_array_equal, few.sample(*KEYS, 5), whole.sample(*KEYS, 5))
    jax.tree.map(np.testing.assert_array_equal, few.probe(), whole.probe())


def test_all_held_out_images_asked_for_by_number_are_all_of_them(data_dir):
    asked = load("mnist", n_held_out=N_TEST, data_dir=data_dir)
    np.testing.assert_array_equal(asked.held_out("test").inputs, replace(asked, n_held_out=0).held_out("test").inputs)
    assert asked.held_out("validation").n_trials == N_TEST


# --------------------------------------------------------------------------------------------- as before, and cheap


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_unless_told_otherwise_a_trial_is_an_image_over_its_scale(precision):
    assert nb.tasks.SequentialDigits is nb.tasks.SequentialImages
    with jax.enable_x64(precision == "float64"):
        task = nb.tasks.SequentialDigits.load()
        trials = task.sample(*KEYS, 20)
        chosen = jax.random.randint(KEYS[0], (20,), 0, 1077)
        images, labels = (np.asarray(part["train"])[np.asarray(chosen)] for part in (task.images, task.labels))
        assert trials.inputs.dtype == precision
        assert np.asarray(trials.inputs).tobytes() == (images.astype(precision) / np.array(16, precision)).tobytes()
        np.testing.assert_array_equal(trials.targets[:, 0], labels)


@pytest.mark.parametrize("order", ["rows", "pixels", "permuted"])
def test_no_batch_makes_a_floating_point_copy_of_the_data(data_dir, order):
    task = load("mnist", order, pad=1, data_dir=data_dir)
    assert {images.dtype for images in task.images.values()} == {np.dtype(np.uint8)}
    text = jax.make_jaxpr(lambda task, *keys: task.sample(*keys, 3))(task, *KEYS)
    made = [var.aval for equation in text.jaxpr.eqns for var in equation.outvars]
    largest = max(aval.size for aval in made if jnp.issubdtype(aval.dtype, jnp.floating))
    assert largest == 3 * 30 * 30


# ------------------------------------------------------------------------------------------------------- bad input


WRONG = [{"order": "permute"}, {"pad": -1}, {"pad": 1.0}, {"pad": 257}, {"permutation": -1}, {"permutation": 2**32}]
WRONG += [{"n_held_out": -1}, {"n_held_out": 361}, {"n_held_out": 2.5}, {"n_probe": 0}, {"dataset": "cifar"}]
WRONG += [{"download": True}, {"dataset": "cifar10", "download": True}]


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_impossible_parameters_are_refused(wrong):
    with tiny.refused("is not possible", "Allowed: ", "Why: "):
        load(**wrong)


def test_parameters_are_refused_before_files_are_looked_for(tmp_path):
    with tiny.refused("SequentialImages.order = 'columns'"):
        load("mnist", "columns", data_dir=tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- runs


def test_a_run_says_how_its_images_were_shown(data_dir):
    task = load("mnist", "permuted", pad=2, permutation=3, n_held_out=5, data_dir=data_dir)

    def described(task):
        return describe(
            Experiment(tiny.CIRCUIT, task, tiny.BP1, nb.Optimizers(), Schedule(n_updates=1), nb.Seeds.count(1))
        )

    shown = described(task)["task"]
    assert shown.items() >= {"dataset": "mnist", "order": "permuted", "pad": 2, "permutation": 3}.items()
    assert shown["n_held_out"] == 5
    for change in ({"pad": 1}, {"permutation": 4}, {"n_held_out": 6}, {"order": "pixels"}):
        (found,) = differences(described(task), described(replace(task, **change)))
        assert found.startswith(f"task.{next(iter(change))}: stored")


@pytest.mark.full
def test_a_run_on_permuted_pixels_goes_on_bit_for_bit_and_not_in_another_order(tmp_path, monkeypatch):
    task = load(order="permuted", pad=1, n_held_out=3, n_probe=2)
    circuit = nb.Circuit(nb.RateCortex(1, 3), nb.LinearReadout(10, "softmax_cross_entropy"), nb.LinearPredictor())
    asked = {**ASKED, "circuit": circuit, "task": task}
    stopped(monkeypatch, tmp_path / "run", 2, **asked)
    with tiny.refused("task.permutation: stored 0, asked for 1"):
        tiny.train(**{**asked, "task": replace(task, permutation=1)}, output=tmp_path / "run", resume=True)
    tiny.assert_identical(tiny.train(**asked, output=tmp_path / "run", resume=True), tiny.train(**asked))


# --------------------------------------------------------------------------------------------------------- CIFAR-10


def test_cifar10_is_split_into_four_fifths_one_fifth_and_the_test_file(tmp_path):
    made = write_cifar10(tmp_path, n=3)
    task = load("cifar10", data_dir=tmp_path)
    assert {split: images.shape for split, images in task.images.items()} == {
        "train": (12, 32, 32, 3),
        "validation": (3, 32, 32, 3),
        "test": (3, 32, 32, 3),
    }
    for split, name in (("validation", "data_batch_5.bin"), ("test", "test_batch.bin")):
        planes, labels = made[name]
        np.testing.assert_array_equal(task.images[split], planes.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(task.labels[split], labels)
    first = np.concatenate([made[f"data_batch_{number}.bin"][0] for number in range(1, 5)])
    np.testing.assert_array_equal(task.images["train"], first.transpose(0, 2, 3, 1))


@settings(max_examples=20)
@given(st.data(), st.integers(1, 3))
def test_files_of_cifar10_are_read_back_as_written(tmp_path_factory, data, n):
    planes = data.draw(hnp.arrays(np.uint8, (n, 3, 32, 32)))
    labels = data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    path = tmp_path_factory.getbasetemp() / "batch.bin"
    write_batch(path, planes, labels)
    images, got = read_batch(path)
    assert (images.dtype, images.shape) == (np.uint8, (n, 32, 32, 3))
    np.testing.assert_array_equal(images.transpose(0, 3, 1, 2), planes)
    assert got.tolist() == labels


DAMAGED = {
    "empty": b"",
    "text": b"<html>404 not found</html>",
    "cut short": bytes(RECORD * 2 - 1),
    "too long": bytes(RECORD + 1),
    "labels above 9": bytes([10]) * RECORD,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_of_cifar10_are_refused_by_name(tmp_path, name):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    path.write_bytes(DAMAGED[name])
    with tiny.refused("data_batch_3.bin", "Allowed: a whole file", "Why: "):
        load("cifar10", data_dir=tmp_path)


def test_a_file_of_cifar10_cut_short_between_images_is_noticed(tmp_path):
    write_cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:RECORD])
    with tiny.refused("'data_batch_2.bin': 1", "cut short"):
        load("cifar10", data_dir=tmp_path)


def test_missing_files_of_cifar10_are_named_with_the_folder_where_they_belong(tmp_path):
    write_cifar10(tmp_path)
    folder = tmp_path / "cifar-10-batches-bin"
    (folder / "test_batch.bin").unlink()
    with tiny.refused(
        "CIFAR-10 is not in", "NEURO_BPL_DATA", "cifar-10-binary.tar.gz", error=FileNotFoundError
    ) as found:
        load("cifar10", data_dir=tmp_path)
    assert str(folder) in str(found.value)
    assert [name for name in FILES if name in str(found.value)] == ["test_batch.bin"]


# -------------------------------------------------------------------------------------------------------- the model


@pytest.mark.full
@pytest.mark.parametrize("order", ["rows", "pixels", "permuted"])
def test_the_model_learns_from_images_in_every_order(tmp_path, script, order):
    write_mnist(tmp_path, True)
    words = ["--dataset", "mnist", "--order", order, "--pad", "1", "--n-held-out", "5", "--n-probe", "2"]
    words += ["--data-dir", tmp_path, "--output", tmp_path / "run", "--rule", "bptt", "--cortex", "rate"]
    words += ["--n-updates", "2", "--n-evaluations", "1", "--n-units", "3", "--seeds", "1", "--batch-size", "3"]
    status, out, _ = script(MODEL, *words)
    assert status == 0
    assert "test accuracy after 2 updates" in out
    run = nb.open_run(tmp_path / "run")
    assert run["parameters"]["task.order"] == order
    assert run["activity"]["rates"].sizes["trial"] == 2
    assert run["activity"]["rates"].sizes["time"] == (7 if order == "rows" else 7 * 6)
