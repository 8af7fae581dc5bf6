"""Learning in rate-based cortical circuits taught by a cerebellum that predicts their future gradient."""

import importlib
from types import ModuleType

from neuro_bpl import credit, predictor_traces, tasks, traces
from neuro_bpl.algorithms import (
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
from neuro_bpl.cells import GRUCortex, LSTMCortex, RateCortex
from neuro_bpl.cerebellum import DeepPredictor, GranularPredictor, LinearPredictor
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.compilation import keep_compiled
from neuro_bpl.contents import statuses
from neuro_bpl.costing import cost
from neuro_bpl.credit import Exact, ImmediateError, Predicted
from neuro_bpl.evaluation import evaluate
from neuro_bpl.experiment import Seeds
from neuro_bpl.feedback import FeedbackPathway
from neuro_bpl.initial_state import InitialState
from neuro_bpl.loading import load
from neuro_bpl.netcdf import export_netcdf
from neuro_bpl.olive import OlivaryPathway
from neuro_bpl.optimizers import OptaxOptimizer, Optimizer, Optimizers
from neuro_bpl.predictor_traces import HistorySweep
from neuro_bpl.projection import ProjectedPredictor
from neuro_bpl.readout import LinearReadout
from neuro_bpl.refinement import refine
from neuro_bpl.regularization import Regularization
from neuro_bpl.rules import LearningRule
from neuro_bpl.store import open_run
from neuro_bpl.sweeping import sweep
from neuro_bpl.traces import Immediate, Leaky
from neuro_bpl.training import train
from neuro_bpl.trials import Trials

__all__ = [
    "Circuit",
    "DeepPredictor",
    "Exact",
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
    "Seeds",
    "Trials",
    "Weights",
    "bp_lambda",
    "bptt",
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
    "node_perturbation",
    "open_run",
    "output_only",
    "predictor_traces",
    "random_gradient",
    "refine",
    "rflo",
    "rtrl",
    "snap",
    "statuses",
    "sweep",
    "tasks",
    "tbptt",
    "traces",
    "train",
    "uoro",
]


def __getattr__(name: str) -> ModuleType:
    """`neuro_bpl.brian` and `neuro_bpl.neural` when they are first used: what they need takes seconds to import."""
    if name in ("brian", "neural"):
        return importlib.import_module(f"neuro_bpl.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
