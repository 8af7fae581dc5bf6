"""Small made-up files of image data sets."""

import gzip
import struct

import numpy as np

N_TRAIN, N_TEST = 60, 7


def as_idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist_arrays(seed=0, shape=(5, 4)):
    """A few random images and labels, by the names of MNIST's files."""
    shapes = {
        "train-images-idx3-ubyte": (N_TRAIN, *shape),
        "train-labels-idx1-ubyte": (N_TRAIN,),
        "t10k-images-idx3-ubyte": (N_TEST, *shape),
        "t10k-labels-idx1-ubyte": (N_TEST,),
    }
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 10, size).astype(np.uint8) for name, size in shapes.items()}


def write_mnist(data_dir, zipped, seed=0, shape=(5, 4)):
    """A folder laid out as MNIST's; its arrays by file name."""
    folder = data_dir / "mnist"
    folder.mkdir(parents=True)
    arrays = mnist_arrays(seed, shape)
    for name, array in arrays.items():
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(as_idx(array)) if zipped else as_idx(array))
    return arrays


def write_batch(path, planes, labels):
    """A file of CIFAR-10: planes (image, colour, height, width)."""
    records = [bytes([label]) + plane.tobytes() for plane, label in zip(planes, labels, strict=True)]
    path.write_bytes(b"".join(records))


def cifar10_arrays(n=2, seed=0):
    """Planes and labels of n random images a file, by the names of CIFAR-10's files."""
    rng = np.random.default_rng(seed)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    return {name: (rng.integers(0, 256, (n, 3, 32, 32), np.uint8), rng.integers(0, 10, n)) for name in names}


def write_cifar10(data_dir, n=2, seed=0):
    """A folder laid out as CIFAR-10's; its planes and labels by file name."""
    folder = data_dir / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    made = cifar10_arrays(n, seed)
    for name, (planes, labels) in made.items():
        write_batch(folder / name, planes, labels.tolist())
    return made
