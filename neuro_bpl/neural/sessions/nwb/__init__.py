"""Recordings and runs as NWB files (Neurodata Without Borders 2; Rübel et al. 2022, eLife 11:e78362), both ways."""

from neuro_bpl.neural.sessions.nwb.reading import read_nwb, read_run_nwb
from neuro_bpl.neural.sessions.nwb.spiking import ClimbingFibres, PoissonSpikes
from neuro_bpl.neural.sessions.nwb.writing import write_nwb

__all__ = ["ClimbingFibres", "PoissonSpikes", "read_nwb", "read_run_nwb", "write_nwb"]
