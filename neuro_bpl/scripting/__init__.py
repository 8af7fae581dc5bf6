"""What scripts are written with: the command line, grids of points, and summaries over seeds.

Offered: `main`, `points`, `storage`; words for rules; means, spreads and intervals in words.
"""

from neuro_bpl.scripting.analysis import recorded, save
from neuro_bpl.scripting.command_line import main, parse, points, storage
from neuro_bpl.scripting.model_parameters import RuleNumbers, Storage
from neuro_bpl.scripting.summaries import by_point, finite95, interval95, mean_and_spread, summary95

__all__ = [
    "RuleNumbers",
    "Storage",
    "by_point",
    "finite95",
    "interval95",
    "main",
    "mean_and_spread",
    "parse",
    "points",
    "recorded",
    "save",
    "storage",
    "summary95",
]
