"""Experiments: circuit, task, rule, optimisers and seeds; one chunk of updates, and what is recorded of it.

Offered: `Experiment`, `Schedule` and `Seeds`; `evaluate` and `load`; and the names that a rule can have recorded.
"""

from neuro_bpl.experiments.evaluation import evaluate
from neuro_bpl.experiments.experiment import Experiment, Schedule, Seeds
from neuro_bpl.experiments.learner import Learner, learn_batch
from neuro_bpl.experiments.loading import load
from neuro_bpl.experiments.recording import applicable, check_names

__all__ = [
    "Experiment",
    "Learner",
    "Schedule",
    "Seeds",
    "applicable",
    "check_names",
    "evaluate",
    "learn_batch",
    "load",
]
