"""A spiking cortex taught by a spiking cerebellum, as Brian2 equations with units.

Offered: the constants that such a loop must have, playing all trials of a seed, and its run as labelled data.
"""

from neuro_bpl.brian.spiking.labelling import tree
from neuro_bpl.brian.spiking.playing import Seen, play
from neuro_bpl.brian.spiking.protocol import Loop, Timetable, Weights

__all__ = ["Loop", "Seen", "Timetable", "Weights", "play", "tree"]
