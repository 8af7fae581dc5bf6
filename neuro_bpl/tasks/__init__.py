"""Tasks: pure functions of random keys to trials."""

from neuro_bpl.tasks.digits import SequentialDigits
from neuro_bpl.tasks.protocol import Task

__all__ = ["SequentialDigits", "Task"]
