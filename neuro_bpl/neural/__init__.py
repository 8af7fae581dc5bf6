"""Recorded sessions as labelled arrays, and simulations held against them."""

from neuro_bpl.neural.activity.alignment import align
from neuro_bpl.neural.activity.binning import bin, rate, smooth
from neuro_bpl.neural.activity.clicks_as_trials import trials_of
from neuro_bpl.neural.activity.pseudo_population import pooled, pseudo_trials
from neuro_bpl.neural.activity.responses import condition_means
from neuro_bpl.neural.activity.simulated_responses import respond
from neuro_bpl.neural.datasets.deverett2018 import read_deverett, share_above
from neuro_bpl.neural.datasets.golub2018 import read_golub
from neuro_bpl.neural.datasets.hanks2015 import read_hanks
from neuro_bpl.neural.datasets.nguyen2023 import read_connectome
from neuro_bpl.neural.measures.choice import choice_auc, rectified
from neuro_bpl.neural.measures.decoding import decode
from neuro_bpl.neural.measures.dimensionality import participation_ratio, principal_components
from neuro_bpl.neural.measures.psychometry import psychometric
from neuro_bpl.neural.measures.tuning import psth, tuning_curve
from neuro_bpl.neural.sessions.fetching import RECORDINGS, fetch
from neuro_bpl.neural.sessions.nwb import ClimbingFibres, PoissonSpikes, read_nwb, read_run_nwb, write_nwb
from neuro_bpl.neural.sessions.reading import read
from neuro_bpl.neural.sessions.session import event_names, from_arrays, spike_times, validate
from neuro_bpl.neural.similarity import (
    canonical_correlations,
    cka,
    compare,
    cross_condition_average,
    dynamical_similarity,
    measure,
    operator_distance,
    procrustes_distance,
    procrustes_similarity,
    rdm,
    rdm_ceiling,
    rdm_similarity,
    table,
)

__all__ = [
    "RECORDINGS",
    "ClimbingFibres",
    "PoissonSpikes",
    "align",
    "bin",
    "canonical_correlations",
    "choice_auc",
    "cka",
    "compare",
    "condition_means",
    "cross_condition_average",
    "decode",
    "dynamical_similarity",
    "event_names",
    "fetch",
    "from_arrays",
    "measure",
    "operator_distance",
    "participation_ratio",
    "pooled",
    "principal_components",
    "procrustes_distance",
    "procrustes_similarity",
    "pseudo_trials",
    "psth",
    "psychometric",
    "rate",
    "rdm",
    "rdm_ceiling",
    "rdm_similarity",
    "read",
    "read_connectome",
    "read_deverett",
    "read_golub",
    "read_hanks",
    "read_nwb",
    "read_run_nwb",
    "rectified",
    "respond",
    "share_above",
    "smooth",
    "spike_times",
    "table",
    "trials_of",
    "tuning_curve",
    "validate",
    "write_nwb",
]
