"""Multiply–adds and memory of an experiment, counted before anything runs.

Offered: `cost`.
"""

from neuro_bpl.costs.estimate import cost

__all__ = [
    "cost",
]
