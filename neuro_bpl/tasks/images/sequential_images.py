"""Sequential images: pictures read row by row or pixel by pixel, named at the end.

The task of Le, Jaitly & Hinton 2015 (arXiv:1504.00941), with the 8×8 digits that come with scikit-learn (Alpaydin &
Kaynak 1998, UCI), with MNIST (LeCun, Cortes & Burges) or with CIFAR-10 (Krizhevsky 2009).
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

from neuro_bpl.compilation import ONCE, compiled, known
from neuro_bpl.data_files import data_folder
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import expect, one_of, refusal
from neuro_bpl.tasks.images import cifar10
from neuro_bpl.tasks.images.image_set import SPLITS, ImageSet, read_digits
from neuro_bpl.tasks.images.mnist import read_mnist
from neuro_bpl.tasks.images.mnist_download import fetch_mnist
from neuro_bpl.trials import Trials

DATASETS = ("digits", "mnist", "cifar10")
ORDERS = ("rows", "pixels", "permuted")
Images = dict[str, UInt8[Array, "image height width *colour"]]
Labels = dict[str, Int[Array, " image"]]


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("images", "labels", "noise"),
    meta_fields=("dataset", "order", "n_probe", "scale", "pad", "permutation", "n_held_out"),
)
@dataclass(frozen=True)
class SequentialImages:
    """Images as sequences; make one with `SequentialImages.load`.

    A pixel is one input channel, or three (red, green, blue) where images have colours. A row shows the channels of
    its pixels from left to right. The target is the number of the class, at the last step.

    Parameters
    ----------
    images, labels : dict of arrays
        By split: "train", "validation", "test"; images are bytes, (image, height, width) or, with
        colours, (image, height, width, colour).
    dataset : "digits", "mnist" or "cifar10"
        Which images.
    order : "rows", "pixels" or "permuted"
        What a step shows: a row of pixels; one pixel, row by row; or one pixel, in an order that is random but the same
        for all images and all networks.
    noise : float
        Standard deviation of Gaussian noise on training inputs, in units of full brightness.
    n_probe : int
        Number of trials of the probe batch.
    scale : float
        Byte of full brightness.
    pad : int
        Black pixels added on each side: 28×28 pixels become 32×32 with 2, and T = 784 becomes 1024.
    permutation : int
        Seed of the order of "permuted" pixels, the padding among them.
    n_held_out : int
        Held-out images that are evaluated, evenly spread over their split (0: all). Not the first ones: in MNIST these
        are easier than the others (LeCun, Cortes & Burges).

    Raises
    ------
    ValueError
        If a parameter is not possible.

    Examples
    --------
    >>> task = SequentialImages.load(order="pixels", pad=1)  # 8×8 digits with a border of one pixel
    >>> task.held_out("test").inputs.shape
    (360, 100, 1)
    """

    images: Images = dataclasses.field(repr=False)
    labels: Labels = dataclasses.field(repr=False)
    dataset: str = field("digits", "which images", choices=DATASETS)
    order: str = field("rows", "what a step shows", source="Le, Jaitly & Hinton 2015", choices=ORDERS)
    noise: float = field(0.0, "noise on training inputs, in units of full brightness", low=0)
    n_probe: int = field(100, "trials of the probe batch", low=1)
    scale: float = field(16.0, "byte of full brightness", above=0)
    pad: int = field(0, "black pixels added on each side", low=0, high=256)
    permutation: int = field(0, "seed of the order of permuted pixels", low=0, high=2**32 - 1)
    n_held_out: int = field(0, "held-out images that are evaluated (0: all)", low=0)

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def load(
        cls,
        dataset: str = "digits",
        order: str = "rows",
        *,
        noise: float = 0.0,
        n_probe: int = 100,
        pad: int = 0,
        permutation: int = 0,
        n_held_out: int = 0,
        data_dir: Path | str | None = None,
        download: bool = False,
    ) -> "SequentialImages":
        """Read a data set and split it, always in the same way, into train, validation and test.

        "digits" is embedded in scikit-learn (1797 images of 8×8: 1077 train, 360 validation, 360 test, stratified).
        "mnist" reads the four IDX files from `<data-dir>/mnist` (60 000 images, the last 10 000 for validation; 10 000
        test), where data-dir is `data_dir`, else the variable NEURO_BPL_DATA, else `data/external`; `download=True`
        fetches those that are missing. "cifar10" reads the six files of the binary version from
        `<data-dir>/cifar-10-batches-bin` (50 000 images of 32×32 in three colours, the last 10 000 for validation;
        10 000 test).

        Raises
        ------
        FileNotFoundError
            If files are missing; it says which, and where to put them.
        OSError
            If files cannot be fetched.
        ValueError
            If a file is damaged, or a parameter is not possible.
        """
        numbers = {"n_probe": n_probe, "pad": pad, "permutation": permutation, "n_held_out": n_held_out}
        asked = cls({}, {}, dataset, order, noise, **numbers)  # refused before anything is read or fetched
        if data_dir is not None:
            expect("data_dir", data_dir, (str, os.PathLike), "a path", "it holds mnist/", 'data_dir="data/external"')
        _check_download(dataset, download)
        read = _read(dataset, data_folder(data_dir), download)
        images, labels = (jax.tree.map(jnp.asarray, part) for part in (read.images, read.labels))
        task = dataclasses.replace(asked, images=images, labels=labels, scale=read.scale)
        for split in SPLITS[1:]:
            task._evaluated(split)
        return task

    @property
    def n_inputs(self) -> int:
        """Number of input channels of a step."""
        _, _, width, *colours = self.images["train"].shape
        return int(np.prod(colours, dtype=int)) * (width + 2 * self.pad if self.order == "rows" else 1)

    @property
    def n_outputs(self) -> int:
        """Number of classes: ten."""
        return 10

    @property
    def n_steps(self) -> int:
        """Number of steps of a trial."""
        _, height, width, *_ = self.images["train"].shape
        return (height + 2 * self.pad) * (1 if self.order == "rows" else width + 2 * self.pad)

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Draw training images with replacement, with noise on their pixels."""
        chosen = jax.random.randint(data_key, (batch_size,), 0, self.labels["train"].shape[0])
        trials = self._trials("train", chosen)
        noise = self.noise * jax.random.normal(noise_key, trials.inputs.shape, trials.inputs.dtype)
        return Trials(trials.inputs + noise, trials.targets)

    def held_out(self, split: str) -> Trials:
        """Return the images of a split, or `n_held_out` of them, without noise."""
        one_of("split", split, SPLITS, "images are kept apart in three sets")
        return self._shown(split, self._evaluated(split))

    def probe(self) -> Trials:
        """Return the first validation images."""
        return self._shown("validation", np.arange(min(self.n_probe, self.labels["validation"].shape[0])))

    def _evaluated(self, split: str) -> Int[np.ndarray, " held"]:
        """Return the indices of the images of a split that are evaluated."""
        n_images = self.labels[split].shape[0]
        n = self.n_held_out or n_images
        if n > n_images:
            allowed = f"0 to {n_images}"
            raise refusal("n_held_out", n, allowed, f"{split} has {n_images} images", "n_held_out=0 for all of them")
        return np.arange(n) * n_images // n

    def _shown(self, split: str, chosen: Int[np.ndarray, " batch"]) -> Trials:
        """Return images of a split without noise as trials, in one compiled program."""
        return compiled(SequentialImages._trials, known(ONCE), ("split",))(self, split, chosen)

    def _trials(self, split: str, chosen: Int[Array, " batch"]) -> Trials:
        inputs = self._inputs(self.images[split][chosen])
        return Trials(inputs, self.labels[split][chosen][:, None])

    def _inputs(self, images: UInt8[Array, "batch height width *colour"]) -> Float[Array, "batch time inputs"]:
        """Return images as inputs; only those of the batch are converted from bytes to floating-point numbers."""
        if self.pad:
            around = [(0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0)]
            images = jnp.pad(images, around[: images.ndim])
        steps = images.reshape(images.shape[0], self.n_steps, self.n_inputs)
        if self.order == "permuted":
            steps = steps[:, _permuted(self.n_steps, self.permutation)]
        return steps.astype(jnp.zeros(0).dtype) / self.scale


def _permuted(n_steps: int, seed: int) -> Int[np.ndarray, " time"]:
    """Return the pixel of every step; NumPy guarantees the numbers of this generator, so that runs stay the same."""
    return np.random.RandomState(seed).permutation(n_steps)


def _check_download(dataset: str, download: bool) -> None:
    expect("download", download, bool, "True or False", "it says whether to fetch what is missing", "download=True")
    if download and dataset != "mnist":
        why = "digits come with scikit-learn, and CIFAR-10 is put in place by hand"
        raise refusal("download", download, 'True with dataset "mnist"', why, 'load("mnist", download=True)')


def _read(dataset: str, folder: Path, download: bool) -> ImageSet:
    if dataset == "digits":
        return read_digits()
    if dataset == "cifar10":
        return cifar10.read_cifar10(folder / cifar10.FOLDER)
    if download:
        fetch_mnist(folder / "mnist")
    return read_mnist(folder / "mnist")
