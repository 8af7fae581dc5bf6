"""Which traces and credits may be joined: no path from a weight to a loss may be counted twice.

A trace holds paths from a weight to the present state (`Trace.paths`), a credit speaks of paths from the present state
to losses (`Credit.scope`). A path through later steps may be in one of them, not in both.
"""

from typing import Any

from neuro_bpl.learning.credit import Credit
from neuro_bpl.learning.optimizers import Optimizer
from neuro_bpl.learning.predictor_traces import PredictorTrace, WithDutch
from neuro_bpl.learning.traces import Sweeping, Trace
from neuro_bpl.refusals import refusal

UNSAID = (None, "exact")


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
    if view == "true online" and (update != "step" or not credit.predicting):
        raise refusal(
            "view, update",
            (view, update),
            '"true online", "step" with Predicted(...)',
            "it makes up for changes of the predictor within a trial, and here there are none",
            'bp_lambda(view="true online", update="step")',
        )
    if view != "forward" and credit.scope == "future" and credit.window is not None and credit.window > 1:
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


def check_predictor_trace(credit: Credit, view: str, update: str, trace: PredictorTrace | None, td_error: str) -> None:
    """Refuse a trace of the predictor, or a way of its errors, that nothing would read.

    Raises
    ------
    ValueError
        It says which view reads it.
    """
    unread = [name for name, given in (("predictor_trace", trace), ("td_error", td_error)) if given not in UNSAID]
    if unread and (view == "forward" or not credit.predicting):
        raise refusal(
            ", ".join(unread),
            (trace, td_error),
            'None and "exact", unless the predictor learns as the trial runs',
            f"the {view} view of {credit} carries no trace of the predictor and computes no TD errors",
            'bp_lambda(view="backward", predictor_trace=HistorySweep())',
        )
    if view == "true online" and trace is not None and not isinstance(trace, WithDutch):
        raise refusal(
            "predictor_trace",
            trace,
            "FullTrace() or HistorySweep() with the true online view",
            "true online learning is exact, and this trace is not",
            'bp_lambda(view="true online", update="step", predictor_trace=HistorySweep())',
        )
    if view == "true online" and td_error != "exact":
        raise refusal(
            "td_error",
            td_error,
            '"exact" with the true online view',
            "what it equals is defined by the Jacobian itself",
            'view="backward"',
        )


def check_descent(view: str, predictor: Any, batch_size: int) -> None:
    """Refuse optimisers of the predictor, or batches, with which true online learning would not be exact.

    Raises
    ------
    ValueError
        If it is not plain gradient descent, or there are several trials at a time.
    """
    if view != "true online":
        return
    plain = isinstance(predictor, Optimizer) and predictor == Optimizer("sgd", predictor.learning_rate)
    if not plain:
        raise refusal(
            "optimizers.predictor",
            predictor,
            'Optimizer("sgd", α), without clipping and momentum',
            "the trace holds the step size α; whatever else changes the update breaks its exactness",
            'Optimizers(predictor=Optimizer("sgd", 0.01))',
        )
    if batch_size != 1:
        raise refusal(
            "batch_size",
            batch_size,
            "1 with the true online view",
            "the trace of one trial would have to know the changes that the others make",
            "batch_size=1",
        )


def not_held(name: str) -> ValueError:
    """Return the refusal to compute true online learning with weights that are held."""
    return refusal(
        "rule",
        name,
        'a rule with view="forward" or "backward"',
        "true online learning is about weights that change at every step, and a gradient is taken with weights held",
        "train(...) with this rule, or rule.init(...) and rule.step(...)",
    )


def no_key(name: str, key: Any) -> ValueError:
    """Return the refusal to draw random numbers from nothing."""
    return refusal(
        "key",
        key,
        "a JAX key",
        f"{name} draws random numbers, and the same key gives the same gradient",
        "rule.gradients(circuit, weights, trials, jax.random.key(0))",
    )
