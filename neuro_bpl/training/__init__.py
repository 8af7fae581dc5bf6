"""Training: who trains, where, in which order, and what happens when it is stopped.

Offered: `train` for one experiment, `sweep` for a grid of parameters, and `run` for a list of points.
"""

from neuro_bpl.training.grid import Point
from neuro_bpl.training.run_grid import run, sweep
from neuro_bpl.training.run_one import train

__all__ = [
    "Point",
    "run",
    "sweep",
    "train",
]
