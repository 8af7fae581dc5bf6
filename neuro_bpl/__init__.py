"""Learning in rate-based cortical circuits taught by a cerebellum that predicts their future gradient."""

from neuro_bpl.cerebellum import GranularPredictor, LinearPredictor
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.cortex import LSTMCortex, RateCortex
from neuro_bpl.credit import Exact, ImmediateError, Predicted
from neuro_bpl.readout import LinearReadout
from neuro_bpl.rules import LearningRule, bp_lambda, bptt, dni, tbptt
from neuro_bpl.traces import Immediate, Leaky
from neuro_bpl.trials import Trials
