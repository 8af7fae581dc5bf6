"""Figures as a journal prints them.

Offered: the style, lines with spread over seeds, maps over learning, and saving.
"""

from neuro_bpl.figures.style import STYLE, line_with_spread, look, map_over_learning, panels, save, styled

__all__ = [
    "STYLE",
    "line_with_spread",
    "look",
    "map_over_learning",
    "panels",
    "save",
    "styled",
]
