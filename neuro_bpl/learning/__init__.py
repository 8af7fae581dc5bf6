"""Learning rules: Δweights = −η Σ credit · trace.

Offered: `LearningRule` and the named algorithms; the `credit`, `traces` and `predictor_traces` that they are made of;
optimisers; and the refinement of a predictor.
"""

from neuro_bpl.learning import credit, predictor_traces, traces
from neuro_bpl.learning.algorithms import (
    NAMED,
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
from neuro_bpl.learning.optimizers import OptaxOptimizer, Optimizer, Optimizers
from neuro_bpl.learning.refinement import refine
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.learning.td_error import ROUTES

__all__ = [
    "NAMED",
    "ROUTES",
    "LearningRule",
    "OptaxOptimizer",
    "Optimizer",
    "Optimizers",
    "bp_lambda",
    "bptt",
    "credit",
    "dni",
    "eprop",
    "feedback_alignment",
    "kf_rtrl",
    "node_perturbation",
    "output_only",
    "predictor_traces",
    "random_gradient",
    "refine",
    "rflo",
    "rtrl",
    "snap",
    "tbptt",
    "traces",
    "uoro",
]
