"""Which traces and credits may be joined: no path from a weight to a loss may be counted twice.

A trace holds paths from a weight to the present state (`Trace.paths`), a credit speaks of paths from the present state
to losses (`Credit.scope`). A path through later steps may be in one of them, not in both.
"""

from typing import Any

from neuro_bpl.credit import Credit
from neuro_bpl.parameters import refusal
from neuro_bpl.traces import Sweeping, Trace


def check_pair(trace: Trace, credit: Credit) -> None:
    """Refuse a pair that counts a path twice, or that has no meaning together.

    Raises
    ------
    ValueError
        It names the path, and what to type.
    """
    if (trace.paths == "trial") != (credit.scope == "reward"):
        raise refusal(
            "trace, credit",
            (trace, credit),
            "traces.Perturbed() with credit.Reward(), and neither of them with anything else",
            "a reward has a meaning only for a trace of what was tried, and what was tried holds every path from a "
            "weight to every loss already: with an error, too, those paths would be counted twice",
            "node_perturbation()",
        )
    if trace.paths == "recurrent" and credit.scope == "future":
        raise refusal(
            "trace, credit",
            (trace, credit),
            "ImmediateError() or credit.Feedback() with this trace",
            "the trace carries the influence of a weight through the recurrent connections from step to step, and the "
            "credit carries the error back through the same connections: every path from a weight through later steps "
            "to a later loss would be counted twice",
            "LearningRule(trace, ImmediateError(), 'backward'), or LearningRule(Immediate(), credit)",
        )
    cut = credit.scope == "future" and credit.window is not None and (not credit.predicting or credit.window > 1)
    if trace.paths == "own" and cut:
        raise refusal(
            "trace",
            trace,
            f"Immediate() with windows of {credit.window} steps",
            "the leaky trace carries the leak path across the window's end, and inside the window that path would be "
            "counted twice: by the trace and by backpropagation",
            "LearningRule(Immediate(), credit), or LearningRule(Leaky(), credit) with a credit without windows",
        )


def check_view(trace: Trace, credit: Credit, view: str, update: str) -> None:
    """Refuse what asks for more than is known at a step.

    Raises
    ------
    ValueError
        It says what would have to be known.
    """
    unforeseen = credit.scope == "future" and not credit.predicting
    if unforeseen and (view, update) != ("forward", "trial"):
        raise refusal(
            "view, update",
            (view, update),
            '"forward", "trial" with an exact future',
            "the true future gradient is known only when the trial is over",
            "bptt(), or bp_lambda(view='backward', update='step') to learn while the trial runs",
        )
    if view == "forward" and not isinstance(trace, Sweeping):
        raise refusal(
            "view",
            view,
            f'"backward" with {trace}',
            "this trace is carried forward in time, and nothing can be swept back",
            f'LearningRule({trace}, {credit}, "backward")',
        )
    if view == "backward" and credit.scope == "future" and credit.window is not None and credit.window > 1:
        raise refusal(
            "view",
            view,
            '"forward" with windows of several steps',
            "n-step targets are known at a window's end, not as the trial runs",
            f"dni({credit.window})",
        )
    if view == "forward" and update == "step":
        raise refusal(
            "update",
            update,
            '"trial" with the forward view',
            "its targets reach back from the end of the trial",
            'view="backward", update="step"',
        )


def no_key(name: str, key: Any) -> ValueError:
    """The refusal to draw random numbers from nothing."""
    return refusal(
        "key",
        key,
        "a JAX key",
        f"{name} draws random numbers, and the same key gives the same gradient",
        "rule.gradients(circuit, weights, trials, jax.random.key(0))",
    )
