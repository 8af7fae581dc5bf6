"""Traces of the predictor: how its weights are found guilty of a TD error that comes later.

The full trace is exact and large; the history sweep makes the same updates from remembered steps. The others drop or
randomise a part, and say which.
"""

from neuro_bpl.learning.predictor_traces.diagonal import DiagonalTrace
from neuro_bpl.learning.predictor_traces.dutch import DutchSweep, DutchTrace
from neuro_bpl.learning.predictor_traces.full import FullTrace
from neuro_bpl.learning.predictor_traces.history import HistorySweep
from neuro_bpl.learning.predictor_traces.leak import LeakTrace
from neuro_bpl.learning.predictor_traces.low_rank import LowRankTrace
from neuro_bpl.learning.predictor_traces.projected import ProjectedTrace
from neuro_bpl.learning.predictor_traces.protocol import Extent, PredictorTrace, Rates, WithDutch

# From the dearest to the cheapest: where a rule is too large, the next one is offered.
BY_COST: tuple[PredictorTrace, ...] = (FullTrace(), HistorySweep(), LowRankTrace(), DiagonalTrace(), LeakTrace())

__all__ = [
    "DiagonalTrace",
    "DutchSweep",
    "DutchTrace",
    "Extent",
    "FullTrace",
    "HistorySweep",
    "LeakTrace",
    "LowRankTrace",
    "PredictorTrace",
    "ProjectedTrace",
    "Rates",
    "WithDutch",
]
