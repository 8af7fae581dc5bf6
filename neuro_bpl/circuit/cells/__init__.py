"""Cells of the cortex, one a file: what a unit does with its drives.

Offered: the cells, and `Cell`, the protocol that they and cells of one's own follow.
"""

from neuro_bpl.circuit.cells.gru import GRUCortex
from neuro_bpl.circuit.cells.lstm import LSTMCortex
from neuro_bpl.circuit.cells.protocol import Cell
from neuro_bpl.circuit.cells.rate import RateCortex

__all__ = [
    "Cell",
    "GRUCortex",
    "LSTMCortex",
    "RateCortex",
]
