# What the package offers: `__init__.py` imports each of these when it is first used.
from . import brian, neural, tasks
from .circuit.cells.gru import GRUCortex
from .circuit.cells.lstm import LSTMCortex
from .circuit.cells.rate import RateCortex
from .circuit.circuit import Circuit, Weights
from .circuit.feedback_pathway import FeedbackPathway
from .circuit.initial_state import InitialState
from .circuit.olivary_pathway import OlivaryPathway
from .circuit.predictors.deep import DeepPredictor
from .circuit.predictors.granular import GranularPredictor
from .circuit.predictors.linear import LinearPredictor
from .circuit.predictors.projected import ProjectedPredictor
from .circuit.readout import LinearReadout
from .circuit.regularization import Regularization
from .compilation import keep_compiled
from .costs.estimate import cost
from .experiments.evaluation import evaluate
from .experiments.experiment import Experiment, Schedule, Seeds
from .experiments.loading import load
from .learning import credit, predictor_traces, traces
from .learning.algorithms import (
    bp_lambda,
    bptt,
    dni,
    eprop,
    feedback_alignment,
    kf_rtrl,
    node_perturbation,
    output_only,
    random_gradient,
    rflo,
    rtrl,
    snap,
    tbptt,
    uoro,
)
from .learning.credit import Exact, ImmediateError, Predicted
from .learning.optimizers import OptaxOptimizer, Optimizer, Optimizers
from .learning.predictor_traces import HistorySweep
from .learning.refinement import refine
from .learning.rule import LearningRule
from .learning.traces import Immediate, Leaky
from .runs.contents import statuses
from .runs.netcdf import export_netcdf
from .runs.store import open_run
from .training.run_grid import run, sweep
from .training.run_one import train
from .trials import Trials

__all__ = [
    "Circuit",
    "DeepPredictor",
    "Exact",
    "Experiment",
    "FeedbackPathway",
    "GRUCortex",
    "GranularPredictor",
    "HistorySweep",
    "Immediate",
    "ImmediateError",
    "InitialState",
    "LSTMCortex",
    "Leaky",
    "LearningRule",
    "LinearPredictor",
    "LinearReadout",
    "OlivaryPathway",
    "OptaxOptimizer",
    "Optimizer",
    "Optimizers",
    "Predicted",
    "ProjectedPredictor",
    "RateCortex",
    "Regularization",
    "Schedule",
    "Seeds",
    "Trials",
    "Weights",
    "bp_lambda",
    "bptt",
    "brian",
    "cost",
    "credit",
    "dni",
    "eprop",
    "evaluate",
    "export_netcdf",
    "feedback_alignment",
    "keep_compiled",
    "kf_rtrl",
    "load",
    "neural",
    "node_perturbation",
    "open_run",
    "output_only",
    "predictor_traces",
    "random_gradient",
    "refine",
    "rflo",
    "rtrl",
    "run",
    "snap",
    "statuses",
    "sweep",
    "tasks",
    "tbptt",
    "traces",
    "train",
    "uoro",
]
