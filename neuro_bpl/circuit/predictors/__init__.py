"""Predictors of the future gradient, one a file: the forms of the cerebellum.

Offered: the predictors, and `Predictor`, the protocol that they and predictors of one's own follow.
"""

from neuro_bpl.circuit.predictors.deep import DeepPredictor
from neuro_bpl.circuit.predictors.granular import GranularPredictor, GranularWeights
from neuro_bpl.circuit.predictors.linear import LinearPredictor
from neuro_bpl.circuit.predictors.projected import ProjectedPredictor
from neuro_bpl.circuit.predictors.protocol import Predictor

__all__ = [
    "DeepPredictor",
    "GranularPredictor",
    "GranularWeights",
    "LinearPredictor",
    "Predictor",
    "ProjectedPredictor",
]
