"""Learning rules: Δweights = −η Σₜ creditₜ · traceₜ.

A rule is a pair of a cortical trace and a credit; named algorithms are such pairs. How the predictor learns (forward or
backward view) and when weights change (per trial or per step) are arguments of the rule.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl import cortex as cortical
from neuro_bpl import online
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.credit import Credit, Exact, ImmediateError, OnlineCredit, Predicted
from neuro_bpl.episode import cortical_gradient, play, prediction_gradient
from neuro_bpl.metrics import Outcome, accuracy
from neuro_bpl.moment import Moment
from neuro_bpl.online import OnlineState
from neuro_bpl.parameters import check, field, refusal
from neuro_bpl.traces import Immediate, Leaky, Trace
from neuro_bpl.trials import Trials


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("credit",),
    meta_fields=("trace", "view", "update"),
)
@dataclass(frozen=True)
class LearningRule:
    """A legal pair of trace and credit.

    Parameters
    ----------
    trace : Immediate or Leaky
        Cortical eligibility trace.
    credit : ImmediateError, Exact or Predicted
        What multiplies it.
    view : "forward" or "backward"
        How the predictor's update is computed: from λ-targets when the trial is over, or from TD errors and traces as
        it runs. The two are equal while weights are held.
    update : "trial" or "step"
        When weights change.

    Raises
    ------
    ValueError
        If the pair would count a path twice, or asks for what the view cannot know.
    """

    trace: Trace = field(doc="cortical eligibility trace", kind=Trace, example="Immediate()")
    credit: Credit = field(doc="what multiplies the trace", kind=Credit, example="Predicted(lambda_=1.0)")
    view: str = field("forward", "how the predictor's update is computed", choices=("forward", "backward"))
    update: str = field("trial", "when weights change", choices=("trial", "step"))

    def __post_init__(self) -> None:
        check(self)
        if isinstance(self.credit, Exact) and (self.view, self.update) != ("forward", "trial"):
            raise refusal(
                "view, update",
                (self.view, self.update),
                '"forward", "trial" with an exact future',
                "the true future gradient is known only when the trial is over",
                "bptt(), or bp_lambda(view='backward', update='step') to learn while the trial runs",
            )
        if isinstance(self.credit, (Exact, Predicted, ImmediateError)):
            self._check_windows()
        if self.view == "forward" and self.update == "step":
            raise refusal(
                "update",
                self.update,
                '"trial" with the forward view',
                "its targets reach back from the end of the trial",
                'view="backward", update="step"',
            )

    def _check_windows(self) -> None:
        windowed = self.credit.window is not None and self.credit.window > 1
        cut = isinstance(self.credit, Exact) and self.credit.window is not None
        if isinstance(self.trace, Leaky) and (windowed or cut):
            raise refusal(
                "trace",
                self.trace,
                f"Immediate() with windows of {self.credit.window} steps",
                "the leaky trace carries the leak path across the window's end, and inside the window that path would "
                "be counted twice: by the trace and by backpropagation",
                "LearningRule(Immediate(), credit), or LearningRule(Leaky(), credit) with a credit without windows",
            )
        if self.view == "backward" and windowed:
            raise refusal(
                "view",
                self.view,
                '"forward" with windows of several steps',
                "n-step targets are known at a window's end, not as the trial runs",
                f"dni({self.credit.window})",
            )

    @property
    def name(self) -> str:
        """Name of the algorithm, such as "BP(1)"."""
        name = _credit_name(self.credit)
        name += " leaky" if isinstance(self.trace, Leaky) else ""
        name += " backward" if self.view == "backward" else ""
        return name + (" step-wise" if self.update == "step" else "")

    def gradients(self, circuit: Circuit, weights: Weights, trials: Trials) -> Weights:
        """Gradient of the mean-over-trials loss for cortex, readout and predictor, weights held during the trial.

        The one door through which rules are compared: with each other, with BPTT, with other implementations. The
        predictor's part is minus its update direction; it is zero where the rule does not use a predictor. The initial
        state has a gradient whether or not it learns; one that does not is held by the optimisers.

        Parameters
        ----------
        circuit : Circuit
            The circuit.
        weights : Weights
            Its weights.
        trials : Trials
            A batch of trials, inputs `(batch, time, inputs)`.

        Returns
        -------
        Weights
            Gradients, in the structure of `weights`.

        Raises
        ------
        ValueError
            If the trials do not fit the circuit, hold NaN, or the rule needs a predictor that the circuit lacks.
        """
        return self.learn(circuit, weights, trials)[0]

    def learn(self, circuit: Circuit, weights: Weights, trials: Trials) -> tuple[Weights, Outcome]:
        """`gradients`, and how the trials went."""
        circuit.check(trials)
        circuit.check_weights(weights)
        if self.view == "backward":
            return online.learn(self.trace, self._online(), circuit, weights, trials)
        return self._forward(circuit, weights, trials)

    def _forward(self, circuit: Circuit, weights: Weights, trials: Trials) -> tuple[Weights, Outcome]:
        episode = play(circuit, weights, trials, self.credit.predicting)
        credit = self.credit.assign(circuit, weights, episode)
        drives, credit_0 = self.trace.drives(circuit, weights, episode, credit)
        s_0 = cortical.initial_state_gradient(weights.cortex, credit_0)
        cortex = cortical_gradient(circuit.cortex, drives, episode)._replace(s_0=s_0)
        if credit.prediction_errors is None:
            theta = jax.tree.map(jnp.zeros_like, weights.cerebellum)
        else:
            theta = prediction_gradient(circuit, weights.cerebellum, episode, credit.prediction_errors)
        gradient = Weights(cortex, episode.readout_gradient, theta)
        gradient = circuit.regularized_gradient(gradient, weights, episode.steps_left)
        return gradient, Outcome(episode.loss, accuracy(circuit.readout, episode.outputs, trials))

    def init(self, circuit: Circuit, weights: Weights, n_trials: int) -> OnlineState:
        """State before the first step of a batch of trials."""
        return online.init(self.trace, self._online(), circuit, weights, n_trials)

    def step(
        self, circuit: Circuit, weights: Weights, state: OnlineState, moment: Moment
    ) -> tuple[OnlineState, Weights, Float[Array, ""], Float[Array, "outputs batch"]]:
        """One step of a batch of trials; weights may differ from those of the step before.

        Returns
        -------
        state, gradient, loss, outputs
            The state after the step, the step's share of the gradient, its loss (mean over trials), and yₜ.
        """
        return online.step(self.trace, self._online(), circuit, weights, state, moment)

    def _online(self) -> OnlineCredit:
        if isinstance(self.credit, OnlineCredit):
            return self.credit
        raise refusal(
            "credit",
            self.credit,
            "ImmediateError() or Predicted(...) for one step at a time",
            "the true future gradient is known only when the trial is over",
            'bp_lambda(view="backward")',
        )


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
    return type(credit).__name__


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
) -> LearningRule:
    """BP(λ): the cortex learns from κ ĝₜ, the cerebellum from λ-weighted targets (Pemberton & Ponte Costa 2024, TMLR).

    Parameters
    ----------
    lambda_, discount, kappa : float
        λ and γ in [0, 1], κ ≥ 0 (0: the predictor learns but is not applied).
    trace : Immediate or Leaky, optional
        Cortical eligibility trace; Immediate by default.
    view, update : str
        "forward" and "trial" (default), "backward" and "trial", or "backward" and "step".

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> nb.bp_lambda(0.5).name
    'BP(0.5)'
    """
    return LearningRule(Immediate() if trace is None else trace, Predicted(lambda_, discount, kappa), view, update)
