"""Sequential digits: handwritten digits read row by row or pixel by pixel, named at the end.

The task of Le, Jaitly & Hinton 2015 (arXiv:1504.00941), with the 8×8 digits that come with scikit-learn (Alpaydin &
Kaynak 1998, UCI) or with MNIST (LeCun, Cortes & Burges).
"""

import dataclasses
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from neuro_bpl.parameters import check, expect, field, refusal
from neuro_bpl.tasks.idx import read_idx
from neuro_bpl.trials import Trials

DATA_VARIABLE = "NEURO_BPL_DATA"
DEFAULT_DATA = Path("data/external")
SPLITS = ("train", "validation", "test")
Images = dict[str, UInt8[Array, "image height width"]]
Labels = dict[str, Int[Array, " image"]]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("images", "labels", "noise"),
    meta_fields=("dataset", "order", "n_probe", "scale"),
)
@dataclass(frozen=True)
class SequentialDigits:
    """Digits as sequences; make one with `SequentialDigits.load`.

    Parameters
    ----------
    images, labels : dict of arrays
        By split: "train", "validation", "test"; images are bytes.
    dataset : "digits" or "mnist"
        Which digits.
    order : "rows" or "pixels"
        What a step shows: a row of pixels, or one pixel.
    noise : float
        Standard deviation of Gaussian noise on training inputs, in units of full brightness.
    n_probe : int
        Number of trials of the fixed probe batch.
    scale : float
        Byte of full brightness.
    """

    images: Images = dataclasses.field(repr=False)
    labels: Labels = dataclasses.field(repr=False)
    dataset: str = field("digits", "which digits", choices=("digits", "mnist"))
    order: str = field("rows", "what a step shows", choices=("rows", "pixels"))
    noise: float = field(0.0, "noise on training inputs, in units of full brightness", low=0)
    n_probe: int = field(100, "trials of the probe batch", low=1)
    scale: float = field(16.0, "byte of full brightness", above=0)

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def load(
        cls,
        dataset: str = "digits",
        order: str = "rows",
        *,
        noise: float = 0.0,
        data_dir: Path | str | None = None,
    ) -> "SequentialDigits":
        """Read a data set and split it, always in the same way, into train, validation and test.

        "digits" is embedded in scikit-learn (1797 images of 8×8: 1077 train, 360 validation, 360 test, stratified).
        "mnist" reads the four IDX files from `<data-dir>/mnist` (60 000 images, the last 10 000 for validation; 10 000
        test), where data-dir is `data_dir`, else the variable NEURO_BPL_DATA, else `data/external`.

        Raises
        ------
        FileNotFoundError
            If MNIST's files are missing; it says which, and where to put them.
        ValueError
            If a file is damaged, or a parameter is not possible.
        """
        if data_dir is not None:
            expect("data_dir", data_dir, (str, os.PathLike), "a path", "it holds mnist/", 'data_dir="data/external"')
        if isinstance(dataset, str) and dataset == "mnist":
            images, labels = _read_mnist(_data_dir(data_dir) / "mnist")
            scale = 255.0
        else:
            images, labels = _read_digits()
            scale = 16.0
        return cls(
            jax.tree.map(jnp.asarray, images), jax.tree.map(jnp.asarray, labels), dataset, order, noise, scale=scale
        )

    @property
    def n_inputs(self) -> int:
        """Input channels of a step."""
        return self.images["train"].shape[2] if self.order == "rows" else 1

    @property
    def n_outputs(self) -> int:
        """Ten digits."""
        return 10

    @property
    def n_steps(self) -> int:
        """Steps of a trial."""
        _, height, width = self.images["train"].shape
        return height if self.order == "rows" else height * width

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Training digits drawn with replacement, with noise on their pixels."""
        chosen = jax.random.randint(data_key, (batch_size,), 0, self.labels["train"].shape[0])
        trials = self._trials("train", chosen)
        noise = self.noise * jax.random.normal(noise_key, trials.inputs.shape, trials.inputs.dtype)
        return Trials(trials.inputs + noise, trials.targets)

    def held_out(self, split: str) -> Trials:
        """All digits of a split, without noise."""
        if split not in SPLITS:
            raise refusal("split", split, ", ".join(SPLITS), "digits are kept apart in three sets", '"test"')
        return self._trials(split, jnp.arange(self.labels[split].shape[0]))

    def probe(self) -> Trials:
        """The first validation digits."""
        return self._trials("validation", jnp.arange(min(self.n_probe, self.labels["validation"].shape[0])))

    def _trials(self, split: str, chosen: Int[Array, " batch"]) -> Trials:
        inputs = self._inputs(self.images[split][chosen])
        return Trials(inputs, self.labels[split][chosen][:, None])

    def _inputs(self, images: UInt8[Array, "batch height width"]) -> Float[Array, "batch time inputs"]:
        brightness = images.astype(jnp.zeros(0).dtype) / self.scale
        return brightness if self.order == "rows" else brightness.reshape(images.shape[0], -1, 1)


def _data_dir(data_dir: Path | str | None) -> Path:
    return Path(data_dir or os.environ.get(DATA_VARIABLE) or DEFAULT_DATA)


def _read_digits() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    digits = load_digits()
    index = np.arange(len(digits.target))
    rest, test = train_test_split(index, test_size=360, random_state=0, stratify=digits.target)
    train, validation = train_test_split(rest, test_size=360, random_state=0, stratify=digits.target[rest])
    parts = dict(zip(SPLITS, (train, validation, test), strict=True))
    images = {split: digits.images[part].astype(np.uint8) for split, part in parts.items()}
    return images, {split: digits.target[part].astype(np.int32) for split, part in parts.items()}


def _read_mnist(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    paths = [next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing:
        raise FileNotFoundError(
            f"MNIST is not in {folder}.\n  Missing: {', '.join(missing)} (each with or without .gz).\n"
            f"  Why: the data set is not shipped with neuro_bpl.\n"
            f"  Type: put the four files into {folder}, or name their parent folder with --data-dir or {DATA_VARIABLE}."
        )
    images, labels, test_images, test_labels = (read_idx(path) for path in paths if path is not None)
    for part, part_labels in ((images, labels), (test_images, test_labels)):
        if part.ndim != 3 or part_labels.shape != part.shape[:1] or len(part) == 0 or part_labels.max() > 9:
            raise refusal(
                "MNIST shapes",
                (part.shape, part_labels.shape),
                "(n, height, width) images and (n,) labels 0 to 9",
                f"the files in {folder} do not belong together",
                "fetch the four files again",
            )
    n_validation = len(images) // 6
    return (
        dict(zip(SPLITS, (images[:-n_validation], images[-n_validation:], test_images), strict=True)),
        {
            split: part.astype(np.int32)
            for split, part in zip(SPLITS, (labels[:-n_validation], labels[-n_validation:], test_labels), strict=True)
        },
    )
