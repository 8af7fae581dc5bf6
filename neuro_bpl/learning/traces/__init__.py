"""Cortical eligibility traces: what of the past a synapse remembers.

A trace turns credit into a weight gradient, step by step as the trial runs (`init` and `step`); the first three also
over a whole trial, backwards in time, with nothing stored for each synapse (`drives`).
"""

from neuro_bpl.learning.traces.diagonal import Diagonal
from neuro_bpl.learning.traces.full import Full
from neuro_bpl.learning.traces.immediate import Immediate
from neuro_bpl.learning.traces.kronecker import Kronecker
from neuro_bpl.learning.traces.leaky import Leaky
from neuro_bpl.learning.traces.perturbed import Perturbed
from neuro_bpl.learning.traces.protocol import CorticalStep, Sweeping, Trace
from neuro_bpl.learning.traces.rank_one import RankOne

# From the dearest to the cheapest: where a rule is too large, the next one is offered.
BY_COST: tuple[Trace, ...] = (Full(), Kronecker(), RankOne(), Diagonal())

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
