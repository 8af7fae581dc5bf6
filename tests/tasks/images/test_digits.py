"""Sequential digits: the same data, split the same way, and files that are whole or refused."""

import gzip
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_files import as_idx, write_mnist
from scripting import ROOT
from sklearn.datasets import load_digits

import neuro_bpl as nb
from neuro_bpl.tasks.images.idx_files import read_idx
from neuro_bpl.tasks.images.mnist import FILES

SPLITS = {"train": 1077, "validation": 360, "test": 360}
KEYS = jax.random.key(1), jax.random.key(2)
OTHER = jax.random.key(3)


@pytest.fixture(scope="module")
def digits():
    return nb.tasks.SequentialDigits.load()


# ------------------------------------------------------------------------------------------------------ 8x8 digits


def test_splits_have_the_documented_sizes(digits):
    assert {split: len(labels) for split, labels in digits.labels.items()} == SPLITS
    assert {split: digits.held_out(split).n_trials for split in SPLITS} == SPLITS


def test_splits_are_disjoint_and_cover_all_images(digits):
    # The images differ from one another, so the pixels tell where each one went.
    split = np.concatenate([np.asarray(digits.images[s]).reshape(-1, 64) for s in SPLITS])
    labels = np.concatenate([np.asarray(digits.labels[s]) for s in SPLITS])
    whole = load_digits()
    assert len(np.unique(whole.data, axis=0)) == 1797
    got, wanted = (np.unique(np.column_stack(pair), axis=0) for pair in ((split, labels), (whole.data, whole.target)))
    np.testing.assert_array_equal(got, wanted)


def test_splits_hold_the_classes_in_equal_shares(digits):
    whole = np.bincount(load_digits().target) / 1797
    for split, size in SPLITS.items():
        assert np.abs(np.bincount(np.asarray(digits.labels[split])) - whole * size).max() <= 1.5


def test_every_load_gives_the_same_data(digits):
    again = nb.tasks.SequentialDigits.load()
    assert jax.tree.structure(digits) == jax.tree.structure(again)
    for one, other in zip(jax.tree.leaves(digits), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("order", "shape"), [("rows", (8, 8)), ("pixels", (64, 1))])
def test_a_trial_shows_rows_or_pixels_and_names_its_digit_at_the_end(order, shape):
    task = nb.tasks.SequentialDigits.load(order=order)
    assert (task.n_steps, task.n_inputs, task.n_outputs) == (*shape, 10)
    for trials in (task.sample(*KEYS, 5), task.held_out("test"), task.probe()):
        assert trials.inputs.shape[1:] == shape
        assert trials.targets.shape == (trials.n_trials, 1)
        assert trials.at_last_step
        assert (trials.mask, trials.lengths) == (None, None)
        assert trials.inputs.min() >= 0
        assert trials.inputs.max() <= 1
    assert task.held_out("train").inputs.max() == 1
    assert task.probe().n_trials == 100


def test_pixels_are_the_rows_read_from_left_to_right(digits):
    pixels = nb.tasks.SequentialDigits.load(order="pixels").held_out("validation")
    rows = digits.held_out("validation")
    np.testing.assert_array_equal(pixels.inputs.reshape(rows.inputs.shape), rows.inputs)
    np.testing.assert_array_equal(rows.inputs, np.asarray(digits.images["validation"]) / 16)
    np.testing.assert_array_equal(rows.targets[:, 0], digits.labels["validation"])


def test_the_probe_is_the_start_of_validation(digits):
    np.testing.assert_array_equal(digits.probe().inputs, digits.held_out("validation").inputs[:100])


def test_a_sample_depends_on_its_keys_only(digits):
    jax.tree.map(np.testing.assert_array_equal, digits.sample(*KEYS, 6), digits.sample(*KEYS, 6))
    other = digits.sample(OTHER, KEYS[1], 6)
    assert not np.array_equal(digits.sample(*KEYS, 6).inputs, other.inputs)


def test_samples_are_training_digits_under_their_own_names(digits):
    known = {
        (image.tobytes(), int(label))
        for image, label in zip(np.asarray(digits.images["train"]), np.asarray(digits.labels["train"]), strict=True)
    }
    trials = digits.sample(*KEYS, 40)
    bytes_again = (np.asarray(trials.inputs) * 16).round().astype(np.uint8)
    drawn = [(image.tobytes(), int(label)) for image, label in zip(bytes_again, trials.targets[:, 0], strict=True)]
    assert set(drawn) <= known
    assert len(set(drawn)) > 30


def test_noise_comes_from_the_noise_key_and_spares_targets_and_held_out_digits(digits):
    noisy = nb.tasks.SequentialDigits.load(noise=0.5)
    clean, first, second = digits.sample(*KEYS, 50), noisy.sample(*KEYS, 50), noisy.sample(KEYS[0], OTHER, 50)
    for trials in (first, second):
        np.testing.assert_array_equal(trials.targets, clean.targets)
        assert np.std(trials.inputs - clean.inputs) == pytest.approx(0.5, rel=0.05)
    assert not np.array_equal(first.inputs, second.inputs)
    np.testing.assert_array_equal(digits.sample(KEYS[0], OTHER, 50).inputs, clean.inputs)
    np.testing.assert_array_equal(noisy.held_out("test").inputs, digits.held_out("test").inputs)
    np.testing.assert_array_equal(noisy.probe().inputs, digits.probe().inputs)


@pytest.mark.parametrize("wrong", [{"order": "columns"}, {"dataset": "letters"}, {"noise": -1.0}, {"noise": np.nan}])
def test_impossible_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match=r"(?s)Allowed: .*Why: .*Type: "):
        nb.tasks.SequentialDigits.load(**wrong)


def test_an_unknown_split_is_refused(digits):
    with pytest.raises(ValueError, match=r"(?s)split = 'dev'.*Allowed: train, validation, test"):
        digits.held_out("dev")


# -------------------------------------------------------------------------------------------------------- IDX files


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)), st.booleans())
def test_idx_files_are_read_back_as_written(tmp_path_factory, array, zipped):
    path = tmp_path_factory.getbasetemp() / ("array.gz" if zipped else "array")
    path.write_bytes(gzip.compress(as_idx(array), 1) if zipped else as_idx(array))
    got = read_idx(path)
    assert got.dtype == np.uint8
    assert got.shape == array.shape
    np.testing.assert_array_equal(got, array)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=40), st.booleans())
def test_random_bytes_are_refused_and_nothing_else_is_raised(tmp_path_factory, content, zipped):
    path = tmp_path_factory.getbasetemp() / ("garbage.gz" if zipped else "garbage")
    path.write_bytes(content)
    try:
        array = read_idx(path)
    except ValueError as error:
        assert "Allowed: " in str(error)  # noqa: PT017
        assert str(path) in str(error)  # noqa: PT017
    else:
        content = gzip.decompress(content) if zipped else content
        assert content == as_idx(array)


WHOLE = as_idx(np.arange(12, dtype=np.uint8).reshape(3, 4))
DAMAGED = {
    "empty": b"",
    "text": b"<html>404 not found</html>",
    "numbers of another type": bytes([0, 0, 0x0D, 1]) + WHOLE[4:],
    "header cut short": WHOLE[:7],
    "data cut short": WHOLE[:-1],
    "data too long": WHOLE + b"x",
    "announces too much": bytes([0, 0, 8, 4]) + b"\xff" * 16 + b"abc",
    "gzip.cut.gz": gzip.compress(WHOLE)[:-9],
    "gzip.header.only.gz": gzip.compress(WHOLE)[:5],
    "gzip.checksum.gz": gzip.compress(WHOLE)[:-8] + b"\0" * 8,
    "gzip.body.gz": gzip.compress(WHOLE)[:12] + b"\xff" * 12,
    "gzip.garbage.gz": b"not gzip at all",
    "gzip.tail.gz": gzip.compress(WHOLE) + b"tail",
    "zipped.but.named.plain": gzip.compress(WHOLE),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_and_foreign_files_are_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(DAMAGED[name])
    with pytest.raises(ValueError, match=r"(?s)Allowed: a whole IDX file.*Why: .*Type: ") as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


# ------------------------------------------------------------------------------------------------------------ MNIST


@pytest.mark.parametrize("zipped", [True, False])
def test_mnist_is_read_from_plain_and_gzipped_files(tmp_path, zipped):
    arrays = write_mnist(tmp_path, zipped)
    task = nb.tasks.SequentialDigits.load("mnist", data_dir=tmp_path)
    assert (task.n_steps, task.n_inputs) == (5, 4)
    got = {split: np.asarray(images) for split, images in task.images.items()}
    np.testing.assert_array_equal(got["train"], arrays["train-images-idx3-ubyte"][:50])
    np.testing.assert_array_equal(got["validation"], arrays["train-images-idx3-ubyte"][50:])
    np.testing.assert_array_equal(got["test"], arrays["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(task.labels["train"], arrays["train-labels-idx1-ubyte"][:50])
    np.testing.assert_array_equal(task.labels["validation"], arrays["train-labels-idx1-ubyte"][50:])
    np.testing.assert_array_equal(task.labels["test"], arrays["t10k-labels-idx1-ubyte"])
    np.testing.assert_allclose(task.held_out("test").inputs, got["test"] / 255)
    assert task.probe().n_trials == 10


def test_data_dir_comes_before_the_variable_and_the_variable_before_the_default(tmp_path, monkeypatch):
    seeds = {"argument": 1, "variable": 2, "default/data/external": 3}
    wanted = {
        where: write_mnist(tmp_path / where, True, seed)["t10k-images-idx3-ubyte"] for where, seed in seeds.items()
    }
    monkeypatch.chdir(tmp_path / "default")
    monkeypatch.setenv("NEURO_BPL_DATA", str(tmp_path / "variable"))

    def loaded(**where):
        return np.asarray(nb.tasks.SequentialDigits.load("mnist", **where).images["test"])

    np.testing.assert_array_equal(loaded(data_dir=tmp_path / "argument"), wanted["argument"])
    np.testing.assert_array_equal(loaded(data_dir=str(tmp_path / "argument")), wanted["argument"])
    np.testing.assert_array_equal(loaded(), wanted["variable"])
    monkeypatch.delenv("NEURO_BPL_DATA")
    np.testing.assert_array_equal(loaded(), wanted["default/data/external"])


def test_missing_files_are_named_with_the_folder_where_they_belong(tmp_path):
    write_mnist(tmp_path, True)
    gone = ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte")
    for name in gone:
        (tmp_path / "mnist" / f"{name}.gz").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        nb.tasks.SequentialDigits.load("mnist", data_dir=tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "mnist") in message
    assert "NEURO_BPL_DATA" in message
    assert {name for name in FILES if name in message} == set(gone)


@pytest.mark.parametrize("shape", [(59,), (60, 1)])
def test_mnist_files_that_do_not_belong_together_are_refused(tmp_path, shape):
    write_mnist(tmp_path, False)
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").write_bytes(as_idx(np.zeros(shape, np.uint8)))
    with pytest.raises(ValueError, match=r"(?s)Allowed: .*do not belong together"):
        nb.tasks.SequentialDigits.load("mnist", data_dir=tmp_path)


def test_labels_that_are_not_digits_are_refused(tmp_path):
    write_mnist(tmp_path, False)
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").write_bytes(as_idx(np.full(60, 10, np.uint8)))
    with pytest.raises(ValueError, match="Allowed: "):
        nb.tasks.SequentialDigits.load("mnist", data_dir=tmp_path)


def test_the_real_mnist_is_split_into_50000_10000_and_10000():
    places = [os.environ.get("NEURO_BPL_DATA"), ROOT.parent / "shared" / "data"]
    data_dir = next((place for place in places if place and (Path(place) / "mnist").is_dir()), None)
    if data_dir is None:
        pytest.skip("MNIST is neither under NEURO_BPL_DATA nor under ../shared/data")
    task = nb.tasks.SequentialDigits.load("mnist", data_dir=data_dir)
    assert {split: images.shape for split, images in task.images.items()} == {
        "train": (50000, 28, 28),
        "validation": (10000, 28, 28),
        "test": (10000, 28, 28),
    }
    for labels in task.labels.values():
        assert np.unique(labels).tolist() == list(range(10))
    assert np.asarray(task.labels["train"][:5]).tolist() == [5, 0, 4, 1, 9]
