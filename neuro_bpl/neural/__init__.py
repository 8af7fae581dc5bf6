"""Recorded sessions as labelled arrays, and simulations held against them."""

from neuro_bpl.neural.alignment import align
from neuro_bpl.neural.binning import bin, rate, smooth
from neuro_bpl.neural.choice import choice_auc, rectified
from neuro_bpl.neural.climbing_fibres import read_deverett, share_above
from neuro_bpl.neural.fetching import RECORDINGS, fetch
from neuro_bpl.neural.hanks import read_hanks
from neuro_bpl.neural.psychometry import psychometric
from neuro_bpl.neural.reading import read
from neuro_bpl.neural.session import event_names, from_arrays, spike_times, validate

__all__ = [
    "RECORDINGS",
    "align",
    "bin",
    "choice_auc",
    "event_names",
    "fetch",
    "from_arrays",
    "psychometric",
    "rate",
    "read",
    "read_deverett",
    "read_hanks",
    "rectified",
    "share_above",
    "smooth",
    "spike_times",
    "validate",
]
