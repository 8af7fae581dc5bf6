"""What a cortical eligibility trace must offer, and what it is told of a step."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.cortex import Cortex, CorticalWeights, State
from neuro_bpl.credit import Assignment, StepCredit
from neuro_bpl.episode import Episode

TraceInTime = Float[Array, "time component gate units pre batch"]
GatesInTime = tuple[Float[Array, "time units batch"], ...]


class CorticalStep(NamedTuple):
    """One step of the cortex: the state before it, the activated gates, the input."""

    s_tm1: State
    a_t: Float[Array, "drives batch"]
    x_t: Float[Array, "inputs batch"]


@runtime_checkable
class Trace(Protocol):
    """What a cortical trace must offer."""

    def drives(
        self, circuit: Circuit, weights: Weights, episode: Episode, credit: Assignment
    ) -> tuple[GatesInTime, State]:
        """Credit on the drives of every step, cₜ ∂sₜ/∂uₜ, and credit on s₀."""

    def init(self, cortex: Cortex, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype) -> PyTree:
        """The trace before the first step; of s₀, too, where the weights hold one."""

    def step(
        self, cortex: Cortex, weights: CorticalWeights, trace: PyTree, now: CorticalStep, credit: StepCredit
    ) -> tuple[PyTree, CorticalWeights]:
        """The trace after a step, and the step's share of the gradient."""

    def eligibility(self, cortex: Cortex, episode: Episode) -> TraceInTime:
        """The trace of every synapse at every step of an episode, for looking at it."""


def steps(episode: Episode) -> CorticalStep:
    """All steps of an episode, time first."""
    return CorticalStep(episode.trajectory.s_tm1, episode.trajectory.a_t, episode.inputs)
