"""Names of rules: of pairs of a trace and a credit, and of traces of the predictor."""

from neuro_bpl.learning.credit import Credit, Exact, Feedback, ImmediateError, NoError, Predicted, RandomError, Reward
from neuro_bpl.learning.predictor_traces import (
    DiagonalTrace,
    FullTrace,
    HistorySweep,
    LeakTrace,
    LowRankTrace,
    PredictorTrace,
    ProjectedTrace,
)
from neuro_bpl.learning.rule_parts import learns_feedback
from neuro_bpl.learning.traces import Diagonal, Full, Immediate, Kronecker, Leaky, Perturbed, RankOne, Trace

TRACES = {
    FullTrace: "full trace",
    HistorySweep: "history",
    LowRankTrace: "low-rank trace",
    ProjectedTrace: "projected trace",
    DiagonalTrace: "diagonal trace",
    LeakTrace: "leak trace",
}
NAMES = {
    (Full, ImmediateError): "RTRL",
    (Diagonal, ImmediateError): "SnAp-1",
    (RankOne, ImmediateError): "UORO",
    (Kronecker, ImmediateError): "KF-RTRL",
    (Leaky, ImmediateError): "e-prop",
    (Leaky, Feedback): "RFLO",
    (Immediate, Feedback): "feedback alignment",
    (Immediate, NoError): "output only",
    (Immediate, RandomError): "random gradient",
    (Perturbed, Reward): "node perturbation",
}


def pair_name(trace: Trace, credit: Credit) -> str:
    """The name that a pair has in the literature, or the names of both parts."""
    name = NAMES.get((type(trace), type(credit)))
    if name is None:
        credited = _credit_name(credit)
        name = credited if isinstance(trace, Immediate) else f"{credited} {type(trace).__name__.lower()}"
    if isinstance(trace, Full) and trace.reach is not None:
        name = name.replace("RTRL", f"SnAp-{trace.reach}").replace("full", f"SnAp-{trace.reach}")
    return name + (" (learned)" if learns_feedback(credit) else "")


def trace_name(trace: PredictorTrace) -> str:
    """Such as "history"; with its horizon, tolerance or rank where that is not the usual one."""
    name = TRACES.get(type(trace), type(trace).__name__)
    if isinstance(trace, HistorySweep):
        name += "" if trace.horizon is None else f" of {trace.horizon}"
        name += f" to {trace.tolerance:g}" if trace.tolerance else ""
    if isinstance(trace, LowRankTrace) and trace.rank > 1:
        return f"rank-{trace.rank} trace"
    return name


def _credit_name(credit: Credit) -> str:
    match credit:
        case Exact(window=None):
            return "BPTT"
        case Exact(window=n):
            return f"TBPTT({n})"
        case Predicted(lambda_=value, window=1):
            return f"BP({value:g})" if isinstance(value, (int, float)) else "BP(λ)"
        case Predicted(window=n):
            return f"SG({n})"
        case ImmediateError():
            return "immediate error"
        case Feedback():
            return "feedback"
        case NoError():
            return "no error"
        case RandomError():
            return "random error"
    return type(credit).__name__
