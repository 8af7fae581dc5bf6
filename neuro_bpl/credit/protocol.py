"""What a credit must offer: over a whole trial, and one step at a time."""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float

from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.cortex import State
from neuro_bpl.episode import Episode, StateInTime, add_error
from neuro_bpl.td import Scalar


class Assignment(NamedTuple):
    """The credit of every step of an episode.

    `future` is Fₜ, so that lₜ + Fₜ multiplies the immediate trace ∂sₜ/∂W. `explicit` is the signal whose pull through
    the recurrent weights joins lₜ₋₁ when the trace carries the leak, docs/theory.md (10). `prediction_errors` is what
    the predictor learns from, target minus ĝₜ; None for a credit without a predictor.
    """

    future: StateInTime
    explicit: StateInTime
    prediction_errors: StateInTime | None


class StepCredit(NamedTuple):
    """The credit of one step, as far as it is known at that step.

    lₜ on the rates; lₜ + Fₜ; the signal that goes back through the recurrent weights; and lₜ + γ ĝₜ, the bracket of the
    TD error.
    """

    error_t: Float[Array, "units batch"]
    signal_t: State
    explicit_t: State
    bootstrap_t: State


@runtime_checkable
class Credit(Protocol):
    """What a credit must offer."""

    @property
    def predicting(self) -> bool:
        """Whether it reads the cerebellum."""

    @property
    def window(self) -> int | None:
        """Steps of exact backpropagation inside which credit is exact; None: the whole trial."""

    def assign(self, circuit: Circuit, weights: Weights, episode: Episode) -> Assignment:
        """The credit of every step of a trial, known when it is over."""


@runtime_checkable
class OnlineCredit(Protocol):
    """A credit that is known as the trial runs."""

    @property
    def predicting(self) -> bool:
        """Whether it reads the cerebellum."""

    @property
    def decay(self) -> Scalar:
        """γλ, the decay of the predictor's trace."""

    def now(self, error_t: Float[Array, "units batch"], prediction_t: State) -> StepCredit:
        """The credit of one step from lₜ and ĝₜ."""


def with_errors(episode: Episode, future: StateInTime) -> StateInTime:
    """lₜ + Fₜ."""
    return add_error(episode.errors, future)
