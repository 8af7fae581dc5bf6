"""Cortical eligibility traces: what of the past a synapse remembers.

A trace turns credit into a weight gradient, step by step as the trial runs (`init` and `step`); the first three also
over a whole trial, backwards in time, with nothing stored for each synapse (`drives`).
"""

from neuro_bpl.traces.diagonal import Diagonal
from neuro_bpl.traces.full import Full
from neuro_bpl.traces.immediate import Immediate
from neuro_bpl.traces.kronecker import Kronecker
from neuro_bpl.traces.leaky import Leaky
from neuro_bpl.traces.perturbed import Perturbed
from neuro_bpl.traces.protocol import CorticalStep, Sweeping, Trace
from neuro_bpl.traces.rank_one import RankOne

__all__ = [
    "CorticalStep",
    "Diagonal",
    "Full",
    "Immediate",
    "Kronecker",
    "Leaky",
    "Perturbed",
    "RankOne",
    "Sweeping",
    "Trace",
]
