"""CIFAR-10 (Krizhevsky 2009): photographs of 32×32 pixels and three colours, in the six files of its binary version."""

from pathlib import Path

import numpy as np

from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.images.image_set import ImageSet, absence

FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
FILES = (*TRAIN_FILES, "test_batch.bin")
SOURCE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SIZE, N_COLOURS = 32, 3
RECORD = 1 + N_COLOURS * SIZE * SIZE  # a label, then the planes of red, green and blue, each row by row


def read_cifar10(folder: Path) -> ImageSet:
    """Read the six files of a folder as images (image, height, width, colour).

    The last fifth of the training images validates.

    The files may hold any number of images, all the same one (10 000 in the original).

    Raises
    ------
    FileNotFoundError
        If files are missing; it says which, and where to put them.
    ValueError
        If a file is damaged, or the files do not belong together.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise absence("CIFAR-10", folder, missing, "", f"tar -xzf cifar-10-binary.tar.gz -C {folder.parent} ({SOURCE})")
    parts = [read_batch(folder / name) for name in FILES]
    sizes = [len(labels) for _, labels in parts]
    if len(set(sizes)) > 1:
        raise refusal(
            "CIFAR-10 sizes",
            dict(zip(FILES, sizes, strict=True)),
            "files of equally many images",
            f"the files in {folder} do not belong together, or one is cut short",
            f"fetch {SOURCE} again",
        )
    *train, test = parts
    images, labels = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    return ImageSet.of_files((images, labels), test, len(images) // len(TRAIN_FILES))


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the images (image, height, width, colour) and labels of one file.

    Raises
    ------
    ValueError
        If the file is not one of CIFAR-10, is damaged or is cut short.
    """
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    if raw.size == 0 or raw.size % RECORD:
        raise _damaged(path, f"it has {raw.size} bytes, and an image with its label takes {RECORD}")
    records = raw.reshape(-1, RECORD)
    labels, planes = records[:, 0], records[:, 1:].reshape(-1, N_COLOURS, SIZE, SIZE)
    if labels.max() > 9:
        raise _damaged(path, f"label {labels.max()} stands where one from 0 to 9 belongs")
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _damaged(path: Path, why: str) -> ValueError:
    return refusal("file", str(path), "a whole file of CIFAR-10's binary version", why, f"fetch {SOURCE} again")
