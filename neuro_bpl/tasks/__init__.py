"""Tasks: pure functions of random keys to trials."""

from neuro_bpl.tasks.add import Add
from neuro_bpl.tasks.center_out import CenterOut
from neuro_bpl.tasks.copy_repeat import CopyRepeat
from neuro_bpl.tasks.images.sequential_images import SequentialImages
from neuro_bpl.tasks.mimic import Mimic
from neuro_bpl.tasks.poisson_clicks import PoissonClicks
from neuro_bpl.tasks.protocol import Task
from neuro_bpl.tasks.stream import Stream
from neuro_bpl.tasks.target_reaching import TargetReaching

SequentialDigits = SequentialImages  # the same, by the name of what it reads by default

__all__ = [
    "Add",
    "CenterOut",
    "CopyRepeat",
    "Mimic",
    "PoissonClicks",
    "SequentialDigits",
    "SequentialImages",
    "Stream",
    "TargetReaching",
    "Task",
]
