"""Cortical eligibility traces: what of the past a synapse remembers.

A trace turns credit into a weight gradient, over a whole trial (`drives`, backwards in time, nothing stored per
synapse) or step by step (`init` and `step`, forwards in time).
"""

from neuro_bpl.traces.immediate import Immediate
from neuro_bpl.traces.leaky import Leaky
from neuro_bpl.traces.protocol import CorticalStep, Trace

__all__ = ["CorticalStep", "Immediate", "Leaky", "Trace"]
