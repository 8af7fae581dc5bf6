"""Clicks that are quick to draw, and sessions in which some were heard: the material of tests of clicks."""

import jax
import numpy as np

from neuro_bpl.neural.sessions.session import from_arrays
from neuro_bpl.tasks import PoissonClicks

KEY = jax.random.key
SHORT = PoissonClicks(shortest=0.1, longest=0.3, n_validation=40, n_test=30, n_probe=7)


def equal(one, other):
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


def session(clicks, off, on=None, clock="trial", **columns):
    """A session without units from (trial, kind, time) and the stimulus' ends."""
    trial, kind, time = zip(*clicks, strict=True) if clicks else ((), (), ())
    on = np.zeros(len(off)) if on is None else on
    table = {"stimulus_on": (on, "s", "onset"), "stimulus_off": (off, "s", "end"), **columns}
    events = {
        "time": (np.array(time, float), "s", "time"),
        "trial": (np.array(trial, int), "1", "trial"),
        "kind": (np.array(kind, "<U6"), "1", "side"),
    }
    return from_arrays(None, table, clock=clock, events=events)
