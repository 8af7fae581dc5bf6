"""Learning in rate-based cortical circuits taught by a cerebellum that predicts their future gradient."""

from neuro_bpl import tasks
from neuro_bpl.cerebellum import GranularPredictor, LinearPredictor
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.contents import statuses
from neuro_bpl.cortex import LSTMCortex, RateCortex
from neuro_bpl.credit import Exact, ImmediateError, Predicted
from neuro_bpl.evaluation import evaluate
from neuro_bpl.experiment import Seeds
from neuro_bpl.initial_state import InitialState
from neuro_bpl.loading import load
from neuro_bpl.netcdf import export_netcdf
from neuro_bpl.optimizers import OptaxOptimizer, Optimizer, Optimizers
from neuro_bpl.readout import LinearReadout
from neuro_bpl.regularization import Regularization
from neuro_bpl.rules import LearningRule, bp_lambda, bptt, dni, tbptt
from neuro_bpl.store import open_run
from neuro_bpl.sweeping import sweep
from neuro_bpl.traces import Immediate, Leaky
from neuro_bpl.training import train
from neuro_bpl.trials import Trials

__all__ = [
    "Circuit",
    "Exact",
    "GranularPredictor",
    "Immediate",
    "ImmediateError",
    "InitialState",
    "LSTMCortex",
    "Leaky",
    "LearningRule",
    "LinearPredictor",
    "LinearReadout",
    "OptaxOptimizer",
    "Optimizer",
    "Optimizers",
    "Predicted",
    "RateCortex",
    "Regularization",
    "Seeds",
    "Trials",
    "Weights",
    "bp_lambda",
    "bptt",
    "dni",
    "evaluate",
    "export_netcdf",
    "load",
    "open_run",
    "statuses",
    "sweep",
    "tasks",
    "tbptt",
    "train",
]
