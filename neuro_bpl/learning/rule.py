"""Learning rules: Δweights = −η Σₜ creditₜ · traceₜ.

A rule is a pair of a cortical trace and a credit; named algorithms (`algorithms`) are such pairs. How the predictor
learns (its view, its trace, its TD error) and when weights change (per trial or per step) are arguments of the rule.
"""

from dataclasses import dataclass
from functools import partial

import jax
from jaxtyping import Array, Float, Key

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.learning.backward_view import BackwardView, OnlineState
from neuro_bpl.learning.credit import Credit
from neuro_bpl.learning.credit.protocol import is_stochastic
from neuro_bpl.learning.forward_view import ForwardView
from neuro_bpl.learning.lambda_targets import Scalar
from neuro_bpl.learning.legality import check_pair, check_predictor_trace, check_view, no_key
from neuro_bpl.learning.names import pair_name, trace_name
from neuro_bpl.learning.predictor_traces import FullTrace, PredictorTrace, WithDutch
from neuro_bpl.learning.random_draws import Noise
from neuro_bpl.learning.rule_parts import RuleParts, learns_feedback
from neuro_bpl.learning.single_step import SingleStep
from neuro_bpl.learning.td_error import OWN_WEIGHTS, ROUTES
from neuro_bpl.learning.traces import Sweeping, Trace
from neuro_bpl.learning.true_online_view import TrueOnlineView
from neuro_bpl.parameters import check, documented, field, is_placeholder
from neuro_bpl.refusals import refusal
from neuro_bpl.trials import Trials

VIEWS = ("forward", "backward", "true online")


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("trace", "credit"),
    meta_fields=("view", "update", "predictor_trace", "td_error"),
)
@dataclass(frozen=True)
class LearningRule:
    """A legal pair of trace and credit.

    Parameters
    ----------
    trace : Trace
        Cortical eligibility trace: a class of `neuro_bpl.traces`.
    credit : Credit
        What multiplies it: a class of `neuro_bpl.credit`.
    view : "forward", "backward" or "true online"
        How the predictor's update is computed: from λ-targets when the trial is over, or from TD errors and traces as
        it runs. The two are equal while weights are held. The true online view makes up for changes of the weights
        within a trial: for one trial at a time, step by step, with plain gradient descent of the predictor.
    update : "trial" or "step"
        When weights change.
    predictor_trace : PredictorTrace, optional
        Trace of the predictor in the backward and true online views: a class of `neuro_bpl.predictor_traces`;
        `FullTrace()` by default.
    td_error : "exact", "diagonal", "random" or "learned"
        How climbing fibres come by (lₜ + γ ĝₜ) Jₜ in the backward view: with Jₜ itself, with what of it stays within a
        unit, or through fixed or learning weights of the olive in the place of W_rec.

    Raises
    ------
    ValueError
        If the pair would count a path twice, or asks for what the view cannot know or does not read.
    """

    trace: Trace = field(doc="cortical eligibility trace", kind=Trace, example="Immediate()")
    credit: Credit = field(doc="what multiplies the trace", kind=Credit, example="Predicted(lambda_=1.0)")
    view: str = field("forward", "how the predictor's update is computed", choices=VIEWS)
    update: str = field("trial", "when weights change", choices=("trial", "step"))
    predictor_trace: PredictorTrace | None = field(
        None, "trace of the predictor", kind=PredictorTrace, example="HistorySweep()"
    )
    td_error: str = field("exact", "how errors come to the climbing fibres", choices=ROUTES)

    def __post_init__(self) -> None:
        check(self)
        if is_placeholder(self.trace) or is_placeholder(self.credit):
            return
        check_pair(self.trace, self.credit)
        check_view(self.trace, self.credit, self.view, self.update)
        check_predictor_trace(self.credit, self.view, self.update, self.predictor_trace, self.td_error)

    @property
    def name(self) -> str:
        """Name of the algorithm, such as "BP(1)"."""
        name = pair_name(self.trace, self.credit)
        name += f" {self.view}" if self.view != "forward" and isinstance(self.trace, Sweeping) else ""
        name += " step-wise" if self.update == "step" else ""
        eligibility = "" if self.predictor_trace is None else trace_name(self.predictor_trace)
        td_error = "" if self.td_error == "exact" else f"{self.td_error} TD error"
        return ", ".join(part for part in (name, eligibility, td_error) if part)

    @property
    def stochastic(self) -> bool:
        """Whether it draws random numbers, so that `gradients` needs a key."""
        return any(map(is_stochastic, (self.trace, self.credit, self.predictor_trace)))

    @property
    def parts(self) -> RuleParts:
        """What a step needs to know of the rule."""
        eligibility = None
        if self.credit.predicting and self.view != "forward":
            eligibility = self.predictor_trace or FullTrace()
            if self.view == "true online" and isinstance(eligibility, WithDutch):
                eligibility = eligibility.dutch()
        return RuleParts(self.trace, self.credit, eligibility, self.td_error, self.update == "trial")

    @property
    def reads_feedback(self) -> bool:
        """Whether it needs the circuit's feedback pathway."""
        return getattr(self.credit, "reads_feedback", False)

    def gradients(
        self, circuit: Circuit, weights: Weights, trials: Trials, key: Key[Array, ""] | None = None
    ) -> Weights:
        """Return gradient of the mean-over-trials loss for every part of the circuit, weights held during the trial.

        The one door through which rules are compared: with each other, with BPTT, with other implementations. The
        predictor's part is minus its update direction; it is zero where the rule does not use a predictor, and so is
        that of feedback weights that do not learn. The initial state has a gradient whether or not it learns; one that
        does not is held by the optimisers.

        Parameters
        ----------
        circuit : Circuit
            The circuit.
        weights : Weights
            Its weights.
        trials : Trials
            A batch of trials, inputs `(batch, time, inputs)`.
        key : JAX key, optional
            Needed by rules that draw random numbers (`stochastic`); the others do not read it.

        Returns
        -------
        Weights
            Gradients, in the structure of `weights`.

        Raises
        ------
        ValueError
            If the trials do not fit the circuit, hold NaN, or the rule needs a predictor, a feedback pathway or a key
            that is not there.
        """
        return self.learn(circuit, weights, trials, key)[0]

    def learn(
        self, circuit: Circuit, weights: Weights, trials: Trials, key: Key[Array, ""] | None = None
    ) -> tuple[Weights, Outcome]:
        """`gradients`, and how the trials went."""
        circuit.check(trials)
        circuit.check_weights(weights)
        self.check_circuit(circuit)
        return self._in_view().learn(circuit, weights, trials, self._noise(key))

    def _in_view(self) -> ForwardView | BackwardView | TrueOnlineView:
        if self.view == "forward":
            return ForwardView(self.parts)
        steps = BackwardView(self.parts)
        return steps if self.view == "backward" else TrueOnlineView(self.name, steps)

    def check_circuit(self, circuit: Circuit) -> None:
        """Refuse a circuit that lacks what the rule reads (`ValueError`)."""
        if self.credit.predicting:
            circuit.predictor()
        if self.reads_feedback:
            circuit.check_feedback()
        if self.td_error in OWN_WEIGHTS:
            circuit.check_olive()
        if (eligibility := self.parts.eligibility) is not None:
            eligibility.check(circuit)

    def _noise(self, key: Key[Array, ""] | None) -> Noise:
        if not self.stochastic:
            return ()
        if not isinstance(key, jax.Array):
            raise no_key(self.name, key)
        return jax.random.key_data(key)

    def init(
        self,
        circuit: Circuit,
        weights: Weights,
        n_trials: int,
        key: Key[Array, ""] | None = None,
        n_steps: int | None = None,
    ) -> OnlineState:
        """Return state before the first step of a batch of trials.

        Parameters
        ----------
        circuit, weights
            The circuit and its weights.
        n_trials : int
            Trials of the batch.
        key : JAX key, optional
            As in `gradients`.
        n_steps : int, optional
            Steps of a trial, which a history without a horizon remembers; None: without end.

        Returns
        -------
        OnlineState
            What `step` carries on.

        Raises
        ------
        ValueError
            If the rule needs the end of the trial, a part that the circuit lacks, a key or a horizon.
        """
        self._check_online()
        self.check_circuit(circuit)
        return BackwardView(self.parts).init(circuit, weights, n_trials, n_steps, self._noise(key))

    def step(
        self,
        circuit: Circuit,
        weights: Weights,
        state: OnlineState,
        single_step: SingleStep,
        step_size: Scalar | None = None,
    ) -> tuple[OnlineState, Weights, Float[Array, ""], Float[Array, "outputs batch"]]:
        """Return one step of a batch of trials; weights may differ from those of the step before.

        `step_size` is the predictor's learning rate α, which the true online view needs to know.

        Returns
        -------
        state, gradient, loss, outputs
            The state after the step, the step's share of the gradient, its loss (mean over trials), and yₜ.
        """
        return BackwardView(self.parts).step(circuit, weights, state, single_step, step_size)

    def held(self, before: Weights, after: Weights) -> Weights:
        """Weights after an update; those of feedback and olive as before where the rule does not let them learn."""
        feedback = after.feedback if learns_feedback(self.credit) else before.feedback
        olive = after.olive if self.td_error == "learned" else before.olive
        return after._replace(feedback=feedback, olive=olive)

    def _check_online(self) -> None:
        if self.credit.scope == "future" and not self.credit.predicting:
            raise refusal(
                "credit",
                self.credit,
                "ImmediateError() or Predicted(...) for one step at a time",
                "the true future gradient is known only when the trial is over",
                'bp_lambda(view="backward")',
            )
