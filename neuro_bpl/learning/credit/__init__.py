"""Credit: what a step of the cortex is told about its effect on the loss.

Most credits have the form lₜ + Fₜ, the immediate error plus something that stands for the future gradient Gₜ: nothing
(`ImmediateError`), the cerebellar prediction (`Predicted`), or the true one (`Exact`). `Feedback`, `NoError` and
`RandomError` put something else in the place of lₜ; `Reward` is one number for all synapses.
"""

from neuro_bpl.learning.credit.controls import NoError, RandomError
from neuro_bpl.learning.credit.exact import Exact
from neuro_bpl.learning.credit.feedback import Feedback
from neuro_bpl.learning.credit.immediate_error import ImmediateError
from neuro_bpl.learning.credit.predicted import Predicted
from neuro_bpl.learning.credit.protocol import Assignment, Credit, StepCredit
from neuro_bpl.learning.credit.reward import Reward

__all__ = [
    "Assignment",
    "Credit",
    "Exact",
    "Feedback",
    "ImmediateError",
    "NoError",
    "Predicted",
    "RandomError",
    "Reward",
    "StepCredit",
]
