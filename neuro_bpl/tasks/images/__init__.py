"""Sequences of pixels or rows of images, and the image sets that they come from.

Offered: `SequentialImages`; the files of MNIST and CIFAR-10 are read and fetched here.
"""

from neuro_bpl.tasks.images.sequential_images import SequentialImages

__all__ = [
    "SequentialImages",
]
