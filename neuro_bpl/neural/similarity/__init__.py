"""How like one another two populations respond: measures, their ceilings and nulls, and the contest between rules."""

from neuro_bpl.neural.similarity.baselines import cross_condition_average
from neuro_bpl.neural.similarity.canonical_correlation import canonical_correlations
from neuro_bpl.neural.similarity.comparison import compare
from neuro_bpl.neural.similarity.comparison_table import table
from neuro_bpl.neural.similarity.dynamics import dynamical_similarity, operator_distance
from neuro_bpl.neural.similarity.kernel_alignment import cka
from neuro_bpl.neural.similarity.measures import Measure, measure
from neuro_bpl.neural.similarity.procrustes import procrustes_distance, procrustes_similarity
from neuro_bpl.neural.similarity.representational_similarity import rdm, rdm_ceiling, rdm_similarity

__all__ = [
    "Measure",
    "canonical_correlations",
    "cka",
    "compare",
    "cross_condition_average",
    "dynamical_similarity",
    "measure",
    "operator_distance",
    "procrustes_distance",
    "procrustes_similarity",
    "rdm",
    "rdm_ceiling",
    "rdm_similarity",
    "table",
]
