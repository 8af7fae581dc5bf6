"""The circuit: cortex, readout, cerebellum and the pathways between them; one forward pass and its derivatives.

Offered: `Circuit` and what it is made of. Nothing here knows a loss of the future.
"""

from neuro_bpl.circuit.cells import GRUCortex, LSTMCortex, RateCortex
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.feedback_pathway import FeedbackPathway
from neuro_bpl.circuit.initial_state import InitialState
from neuro_bpl.circuit.olivary_pathway import OlivaryPathway
from neuro_bpl.circuit.predictors import (
    DeepPredictor,
    GranularPredictor,
    GranularWeights,
    LinearPredictor,
    ProjectedPredictor,
)
from neuro_bpl.circuit.readout import LinearReadout, ReadoutWeights
from neuro_bpl.circuit.regularization import Regularization
from neuro_bpl.circuit.synapses import fan_in_mask

__all__ = [
    "Circuit",
    "DeepPredictor",
    "FeedbackPathway",
    "GRUCortex",
    "GranularPredictor",
    "GranularWeights",
    "InitialState",
    "LSTMCortex",
    "LinearPredictor",
    "LinearReadout",
    "OlivaryPathway",
    "ProjectedPredictor",
    "RateCortex",
    "ReadoutWeights",
    "Regularization",
    "Weights",
    "fan_in_mask",
]
