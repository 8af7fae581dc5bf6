"""Credit: what a step of the cortex is told about its effect on the loss.

Every credit has the form lₜ + Fₜ, the immediate error plus something that stands for the future gradient Gₜ: nothing
(`ImmediateError`), the cerebellar prediction (`Predicted`), or the true one (`Exact`).
"""

from neuro_bpl.credit.exact import Exact
from neuro_bpl.credit.immediate_error import ImmediateError
from neuro_bpl.credit.predicted import Predicted
from neuro_bpl.credit.protocol import Assignment, Credit, OnlineCredit, StepCredit

__all__ = ["Assignment", "Credit", "Exact", "ImmediateError", "OnlineCredit", "Predicted", "StepCredit"]
