"""Names of rules: of pairs of a trace and a credit, and of traces of the predictor."""

from typing import Any, Protocol, runtime_checkable

from neuro_bpl.learning.credit import Credit, Feedback, ImmediateError, NoError, RandomError, Reward
from neuro_bpl.learning.predictor_traces import PredictorTrace
from neuro_bpl.learning.rule_parts import learns_feedback
from neuro_bpl.learning.traces import Diagonal, Full, Immediate, Kronecker, Leaky, Perturbed, RankOne, Trace

# Pairs that the literature has names for.
ALGORITHMS: dict[tuple[type, type], str] = {
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


@runtime_checkable
class Labelled(Protocol):
    """A trace or a credit that says what figures and tables call it."""

    @property
    def label(self) -> str:
        """Name, such as "history"."""


def pair_name(trace: Trace, credit: Credit) -> str:
    """Return the name that a pair has in the literature, or the labels of both parts."""
    if isinstance(trace, Full) and trace.reach is not None and isinstance(credit, ImmediateError):
        name = trace.label
    elif (type(trace), type(credit)) in ALGORITHMS:
        name = ALGORITHMS[type(trace), type(credit)]
    elif isinstance(trace, Immediate):
        name = _label(credit)
    else:
        name = f"{_label(credit)} {trace.label if isinstance(trace, Labelled) else type(trace).__name__.lower()}"
    return name + (" (learned)" if learns_feedback(credit) else "")


def trace_name(trace: PredictorTrace) -> str:
    """Return the label of a trace of the predictor, such as "history"; the name of its class where it has none."""
    return _label(trace)


def _label(part: Any) -> str:
    return part.label if isinstance(part, Labelled) else type(part).__name__
