from . import activity, datasets, measures, sessions, similarity
from .activity.alignment import align
from .activity.binning import bin, rate, smooth
from .activity.clicks_as_trials import trials_of
from .activity.pseudo_population import pooled, pseudo_trials
from .activity.responses import condition_means
from .activity.simulated_responses import respond
from .datasets.deverett2018 import read_deverett, share_above
from .datasets.golub2018 import read_golub
from .datasets.hanks2015 import read_hanks
from .datasets.nguyen2023 import read_connectome
from .measures.choice import choice_auc, rectified
from .measures.decoding import decode
from .measures.dimensionality import participation_ratio, principal_components
from .measures.psychometry import psychometric
from .measures.tuning import psth, tuning_curve
from .sessions.fetching import RECORDINGS, fetch
from .sessions.nwb import ClimbingFibres, PoissonSpikes, read_nwb, read_run_nwb, write_nwb
from .sessions.reading import read
from .sessions.session import event_names, from_arrays, spike_times, validate
from .similarity import (
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
    "activity",
    "align",
    "bin",
    "canonical_correlations",
    "choice_auc",
    "cka",
    "compare",
    "condition_means",
    "cross_condition_average",
    "datasets",
    "decode",
    "dynamical_similarity",
    "event_names",
    "fetch",
    "from_arrays",
    "measure",
    "measures",
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
    "sessions",
    "share_above",
    "similarity",
    "smooth",
    "spike_times",
    "table",
    "trials_of",
    "tuning_curve",
    "validate",
    "write_nwb",
]
