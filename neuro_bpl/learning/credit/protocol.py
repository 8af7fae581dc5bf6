"""What a credit must offer, and what it says: over a whole trial, and one step at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float

from neuro_bpl.circuit.cells.protocol import State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.lambda_targets import Scalar
from neuro_bpl.learning.whole_trial import StateInTime, WholeTrial, add_error


class Assignment(NamedTuple):
    """What is said of the future of every step of a trial; None where nothing is said.

    `future` is Fₜ, so that lₜ + Fₜ multiplies the immediate trace ∂sₜ/∂W. `explicit` is the signal whose pull through
    the recurrent weights joins lₜ₋₁ when the trace carries the leak, docs/theory.md (10). `prediction_errors` is what
    the predictor learns from, target minus ĝₜ.
    """

    future: StateInTime | None
    explicit: StateInTime | None
    prediction_errors: StateInTime | None


NO_FUTURE = Assignment(None, None, None)


def untold(other: State) -> Float[Array, " batch"]:
    """Return what a credit without a reward says of other states."""
    raise TypeError("this credit tells no reward")


class StepCredit(NamedTuple):
    """The credit of one step, as far as it is known at that step.

    lₜ on the rates; lₜ + Fₜ; the signal that goes back through the recurrent weights (None where there is no future);
    lₜ + γ ĝₜ, the bracket of the TD error; and, from a reward, how much more than sₜ another state would have cost,
    trial by trial.
    """

    error_t: Float[Array, "units batch"]
    signal_t: State
    explicit_t: State | None
    bootstrap_t: State
    excess: Callable[[State], Float[Array, " batch"]] = untold


@runtime_checkable
class Credit(Protocol):
    """What every credit must say of itself."""

    @property
    def predicting(self) -> bool:
        """Whether it reads the cerebellum."""

    @property
    def window(self) -> int | None:
        """Steps of exact backpropagation inside which credit is exact; None: the whole trial."""

    @property
    def scope(self) -> str:
        """What the credit speaks of, which decides with which traces it may be joined.

        "now": the effect of a state on the present error; "future": on later errors, too; "reward": one number for all.
        """


@runtime_checkable
class Foreseeing(Protocol):
    """A credit that speaks of the future."""

    def assign(self, circuit: Circuit, weights: Weights, trial: WholeTrial) -> Assignment:
        """Return the credit of every step of a trial, known when it is over."""


@runtime_checkable
class Predicting(Protocol):
    """A credit that speaks of the future while the trial runs."""

    @property
    def predicting(self) -> bool:
        """Whether it reads the cerebellum."""

    @property
    def decay(self) -> Scalar:
        """γλ, the decay of the predictor's trace."""

    def now(self, error_t: Float[Array, "units batch"], prediction_t: State) -> StepCredit:
        """Return the credit of one step from lₜ and ĝₜ."""


@runtime_checkable
class Rerouting(Protocol):
    """A credit whose error reaches the cortex on another way than through the readout's weights."""

    @property
    def stochastic(self) -> bool:
        """Whether it draws random numbers."""

    def reroute(
        self,
        weights: Weights,
        error_t: Float[Array, "units batch"],
        output_error_t: Float[Array, "outputs batch"],
        key: Any,
    ) -> Float[Array, "units batch"]:
        """Return what takes the place of lₜ, from lₜ, ∂ℓₜ/∂yₜ and (where it is stochastic) a key of the step."""


def assign(credit: Credit, circuit: Circuit, weights: Weights, trial: WholeTrial) -> Assignment:
    """Return what a credit says of every step of a trial."""
    return credit.assign(circuit, weights, trial) if isinstance(credit, Foreseeing) else NO_FUTURE


def now(credit: Credit, error_t: Float[Array, "units batch"], prediction_t: State) -> StepCredit:
    """Return what a credit says of one step: lₜ alone where it knows of no future."""
    if isinstance(credit, Predicting):
        return credit.now(error_t, prediction_t)
    signal_t = add_error(error_t, tuple(0 * component for component in prediction_t))
    return StepCredit(error_t, signal_t, None, signal_t)


def is_stochastic(part: Any) -> bool:
    """Return whether a trace or a credit draws random numbers."""
    return getattr(part, "stochastic", False)


def with_errors(trial: WholeTrial, future: StateInTime) -> StateInTime:
    """lₜ + Fₜ."""
    return add_error(trial.errors, future)
