"""MNIST (LeCun, Cortes & Burges): handwritten digits of 28×28 pixels, in four IDX files."""

from pathlib import Path

from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.images.idx_files import read_idx
from neuro_bpl.tasks.images.image_set import ImageSet, absence

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def find(folder: Path, name: str) -> Path | None:
    """Return the file called `name` in a folder, gzip-compressed or not; None where there is neither."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_mnist(folder: Path) -> ImageSet:
    """Read the four IDX files of a folder, of any image size; the last sixth of the training images validates.

    Raises
    ------
    FileNotFoundError
        If files are missing; it says which, and where to put them.
    ValueError
        If a file is damaged, or the files do not belong together.
    """
    paths = {name: find(folder, name) for name in FILES}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise absence(
            "MNIST",
            folder,
            missing,
            " (each with or without .gz)",
            f'--download (in Python: load("mnist", download=True)), or put the four files into {folder}',
        )
    images, labels, test_images, test_labels = (read_idx(path) for path in paths.values() if path is not None)
    for part, part_labels in ((images, labels), (test_images, test_labels)):
        if part.ndim != 3 or part_labels.shape != part.shape[:1] or len(part) == 0 or part_labels.max() > 9:
            raise refusal(
                "MNIST shapes",
                (part.shape, part_labels.shape),
                "(n, height, width) images and (n,) labels 0 to 9",
                f"the files in {folder} do not belong together",
                "fetch the four files again",
            )
    return ImageSet.of_files((images, labels), (test_images, test_labels), len(images) // 6)
