"""An image set: labelled images of ten classes, as bytes, always split in the same way into three parts."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuro_bpl.data_files import DATA_VARIABLE

SPLITS = ("train", "validation", "test")
# Places of the digits of each split, one after another, as scikit-learn's train_test_split drew them, stratified.
DIGITS_SPLIT = Path(__file__).with_name("digits_split.npy")


@dataclass(frozen=True)
class ImageSet:
    """Images and labels by split, and the byte of full brightness."""

    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    scale: float

    @classmethod
    def of_files(
        cls, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], n_validation: int
    ) -> "ImageSet":
        """Split images and labels for training and testing; the last `n_validation` training images validate."""
        (images, labels), (test_images, test_labels) = train, test
        first = len(images) - n_validation
        parts = (images[:first], labels[:first]), (images[first:], labels[first:]), (test_images, test_labels)
        by_split = dict(zip(SPLITS, parts, strict=True))
        return cls(
            {split: part for split, (part, _) in by_split.items()},
            {split: part.astype(np.int32) for split, (_, part) in by_split.items()},
            scale=255.0,
        )


def read_digits() -> ImageSet:
    """Read the 8×8 digits embedded in scikit-learn: 1077 train, 360 validation, 360 test, stratified."""
    images, targets = _digits()
    places = np.split(np.load(DIGITS_SPLIT), [1077, 1437])
    parts = dict(zip(SPLITS, places, strict=True))
    return ImageSet(
        {split: images[part].astype(np.uint8) for split, part in parts.items()},
        {split: targets[part].astype(np.int32) for split, part in parts.items()},
        scale=16.0,
    )


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels in the order of scikit-learn.

    They are read from its file where there is one: importing scikit-learn is slow.
    """
    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.exists():
            rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
            return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target


def absence(name: str, folder: Path, missing: Sequence[str], note: str, fix: str) -> FileNotFoundError:
    """Return an error that says which files of a data set are missing, and how to put them in place."""
    return FileNotFoundError(
        f"{name} is not in {folder}.\n  Missing: {', '.join(missing)}{note}.\n"
        f"  Why: the data set is not shipped with neuro_bpl.\n"
        f"  Type: {fix}, or name their parent folder with --data-dir or {DATA_VARIABLE}."
    )
