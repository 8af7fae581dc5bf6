"""Named algorithms: pairs of a trace and a credit, each with its paper."""

import numbers
from collections.abc import Callable
from functools import partial

from neuro_bpl.learning.credit import Credit, Exact, Feedback, ImmediateError, NoError, Predicted, RandomError, Reward
from neuro_bpl.learning.predictor_traces import PredictorTrace
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.learning.traces import Diagonal, Full, Immediate, Kronecker, Leaky, Perturbed, RankOne, Sweeping, Trace
from neuro_bpl.refusals import nearest, refusal

PATHWAYS: dict[str, Credit] = {
    "symmetric": ImmediateError(),
    "random": Feedback(learned=False),
    "learned": Feedback(learned=True),
}


def bptt() -> LearningRule:
    """Backpropagation through time: the exact gradient (Werbos 1990, Proc IEEE 78:1550)."""
    return LearningRule(Immediate(), Exact())


def tbptt(window: int) -> LearningRule:
    """Truncated BPTT: no gradient across windows of n steps, the last of which ends with the trial.

    TBPTT(1) learns from the immediate error alone (Williams & Peng 1990, Neural Comput 2:490).
    """
    return LearningRule(Immediate(), Exact(window))


def dni(window: int = 1, discount: float = 1.0, kappa: float = 1.0) -> LearningRule:
    """n-step synthetic gradients (Jaderberg et al. 2017, ICML): TBPTT(n) plus κ ĝ at the end of each window."""
    return LearningRule(Immediate(), Predicted(0.0, discount, kappa, window))


def bp_lambda(
    lambda_: float = 1.0,
    discount: float = 1.0,
    kappa: float = 1.0,
    *,
    trace: Trace | None = None,
    view: str = "forward",
    update: str = "trial",
    predictor_trace: PredictorTrace | None = None,
    td_error: str = "exact",
) -> LearningRule:
    """BP(λ): the cortex learns from κ ĝₜ, the cerebellum from λ-weighted targets (Pemberton & Ponte Costa 2024, TMLR).

    Parameters
    ----------
    lambda_, discount, kappa : float
        λ and γ in [0, 1], κ ≥ 0 (0: the predictor learns but is not applied).
    trace : Immediate or Leaky, optional
        Cortical eligibility trace; Immediate by default.
    view, update : str
        "forward" and "trial" (default), "backward" and "trial" or "step", or "true online" and "step".
    predictor_trace, td_error
        As in `LearningRule`, in the backward and true online views.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> nb.bp_lambda(0.5).name
    'BP(0.5)'
    """
    return LearningRule(
        Immediate() if trace is None else trace,
        Predicted(lambda_, discount, kappa),
        view,
        update,
        predictor_trace,
        td_error,
    )


def rtrl(*, update: str = "trial") -> LearningRule:
    """Real-time recurrent learning: the exact gradient, carried forward (Williams & Zipser 1989, Neural Comput 1:270).

    Parameters
    ----------
    update : "trial" or "step"
        When weights change; here and in every rule below.
    """
    return _present(Full(), ImmediateError(), update)


def snap(order: int = 1, *, update: str = "trial") -> LearningRule:
    """SnAp-n: RTRL without influences that take more than n steps (Menick et al. 2021, ICLR).

    Parameters
    ----------
    order : int
        n. SnAp-1 keeps what a synapse does to its own unit; in a densely connected cortex SnAp-2 is RTRL.
    update : "trial" or "step"
        When weights change.
    """
    if isinstance(order, bool) or not isinstance(order, numbers.Integral) or order < 1:
        why = "influences are kept for so many steps"
        raise refusal("order", order, "a whole number >= 1", why, "snap(1), or rtrl() to keep all")
    trace = Diagonal() if order == 1 else Full(int(order))
    return _present(trace, ImmediateError(), update)


def uoro(*, update: str = "trial") -> LearningRule:
    """Unbiased online recurrent optimisation: RTRL's influence as one random product (Tallec & Ollivier 2018, ICLR)."""
    return _present(RankOne(), ImmediateError(), update)


def kf_rtrl(*, update: str = "trial") -> LearningRule:
    """Kronecker-factored RTRL: unbiased, with less noise than UORO (Mujika, Meier & Steger 2018, NeurIPS 31)."""
    return _present(Kronecker(), ImmediateError(), update)


def eprop(feedback: str = "symmetric", *, update: str = "trial") -> LearningRule:
    """E-prop: a leaky trace times the present error (Bellec et al. 2020, Nat Commun 11:3625).

    Parameters
    ----------
    feedback : "symmetric", "random" or "learned"
        Weights that bring the output error to the cortex: the readout's own, fixed random ones (which is RFLO's pair),
        or such that learn along with the readout.
    update : "trial" or "step"
        When weights change.
    """
    return _present(Leaky(), _pathway(feedback), update)


def rflo(feedback: str = "random", *, update: str = "trial") -> LearningRule:
    """Random-feedback local online learning: a leaky trace times random feedback (Murray 2019, eLife 8:e43299).

    Parameters
    ----------
    feedback : "random", "learned" or "symmetric"
        As in `eprop`; with "symmetric" it is e-prop.
    update : "trial" or "step"
        When weights change.
    """
    return _present(Leaky(), _pathway(feedback), update)


def feedback_alignment(feedback: str = "random", *, update: str = "trial") -> LearningRule:
    """Feedback alignment: the present step alone, random feedback (Lillicrap et al. 2016, Nat Commun 7:13276).

    Parameters
    ----------
    feedback : "random", "learned" or "symmetric"
        As in `eprop`; with "symmetric" it is TBPTT(1).
    update : "trial" or "step"
        When weights change.
    """
    return _present(Immediate(), _pathway(feedback), update)


def node_perturbation(sd: float = 1e-3, *, update: str = "trial") -> LearningRule:
    """Node perturbation, a three-factor rule: noise × source × reward (Fiete & Seung 2006, Phys Rev Lett 97:048104).

    Parameters
    ----------
    sd : float
        Standard deviation of the perturbation of each state variable, at every step.
    update : "trial" or "step"
        When weights change.
    """
    return LearningRule(Perturbed(sd), Reward(), "backward", update)


def output_only(*, update: str = "trial") -> LearningRule:
    """Return a control: the readout learns, the cortex stays as it was born (but for costs of rates or weights)."""
    return _present(Immediate(), NoError(), update)


def random_gradient(*, update: str = "trial") -> LearningRule:
    """Return a control: errors of the right size that point in a random direction."""
    return _present(Immediate(), RandomError(), update)


def _present(trace: Trace, credit: Credit, update: str) -> LearningRule:
    """A rule without a prediction: swept backwards after the trial where the trace allows it, else carried forward."""
    swept = isinstance(trace, Sweeping) and str(update) == "trial"
    return LearningRule(trace, credit, "forward" if swept else "backward", update)


def _pathway(feedback: str) -> Credit:
    if not isinstance(feedback, str) or feedback not in PATHWAYS:
        raise refusal(
            "feedback",
            feedback,
            ", ".join(PATHWAYS),
            "these are the ways of the output error to the cortex",
            f'feedback="{nearest(str(feedback), list(PATHWAYS))}"',
        )
    return PATHWAYS[feedback]


NAMED: dict[str, Callable[..., LearningRule]] = {
    "bptt": bptt,
    "rtrl": rtrl,
    "bp_lambda": bp_lambda,
    "dni": dni,
    "tbptt": partial(tbptt, 1),
    "snap": snap,
    "uoro": uoro,
    "kf_rtrl": kf_rtrl,
    "eprop": eprop,
    "rflo": rflo,
    "rflo_learned": partial(rflo, "learned"),
    "feedback_alignment": feedback_alignment,
    "node_perturbation": node_perturbation,
    "output_only": output_only,
    "random_gradient": random_gradient,
}
"""Every algorithm by a name to type, from exact to none."""
