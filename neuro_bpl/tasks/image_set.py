"""An image set: labelled images of ten classes, as bytes, always split in the same way into three parts."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATA_VARIABLE = "NEURO_BPL_DATA"
DEFAULT_DATA = Path("data/external")
SPLITS = ("train", "validation", "test")


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
        """A set that comes as images and labels to train and to test on; the last ones of the former validate."""
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
    """The 8×8 digits embedded in scikit-learn: 1077 train, 360 validation, 360 test, stratified."""
    from sklearn.datasets import load_digits  # slow to import
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    index = np.arange(len(digits.target))
    rest, test = train_test_split(index, test_size=360, random_state=0, stratify=digits.target)
    train, validation = train_test_split(rest, test_size=360, random_state=0, stratify=digits.target[rest])
    parts = dict(zip(SPLITS, (train, validation, test), strict=True))
    return ImageSet(
        {split: digits.images[part].astype(np.uint8) for split, part in parts.items()},
        {split: digits.target[part].astype(np.int32) for split, part in parts.items()},
        scale=16.0,
    )


def data_folder(data_dir: Path | str | None) -> Path:
    """Where data sets lie: `data_dir`, else the variable NEURO_BPL_DATA, else `data/external`."""
    return Path(data_dir or os.environ.get(DATA_VARIABLE) or DEFAULT_DATA)


def absence(name: str, folder: Path, missing: Sequence[str], note: str, fix: str) -> FileNotFoundError:
    """An error that says which files of a data set are missing, and how they come to where they belong."""
    return FileNotFoundError(
        f"{name} is not in {folder}.\n  Missing: {', '.join(missing)}{note}.\n"
        f"  Why: the data set is not shipped with neuro_bpl.\n"
        f"  Type: {fix}, or name their parent folder with --data-dir or {DATA_VARIABLE}."
    )
