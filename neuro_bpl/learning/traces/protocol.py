"""What a cortical eligibility trace must offer, and what it is told of a step."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.credit import Assignment, StepCredit
from neuro_bpl.learning.whole_trial import WholeTrial

TraceInTime = Float[Array, "time component gate units pre batch"]
GatesInTime = tuple[Float[Array, "time units batch"], ...]


class CorticalStep(NamedTuple):
    """One step of the cortex: the state before it, the activated gates, the input; a JAX key where noise is drawn."""

    s_tm1: State
    a_t: Float[Array, "drives batch"]
    x_t: Float[Array, "inputs batch"]
    key: Any = None

    def sources(self) -> Float[Array, "pre batch"]:
        """[xₜ; hₜ₋₁; 1]: what the synapses of every drive read."""
        return jnp.concatenate([self.x_t, self.s_tm1[0], jnp.ones_like(self.s_tm1[0][:1])])


@runtime_checkable
class Trace(Protocol):
    """What every cortical trace must offer."""

    @property
    def paths(self) -> str:
        """Paths from a synapse to the present state that the trace holds, which decide what credit may be joined.

        "none": the present step alone; "own": through the cell's own memory; "recurrent": through recurrent weights,
        too; "trial": all there are, by trying.
        """

    def init(self, cortex: Cell, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype, key: Any) -> PyTree:
        """Return the trace before the first step; of s₀, too, where the weights hold one."""

    def step(
        self, cortex: Cell, weights: CorticalWeights, trace: PyTree, now: CorticalStep, credit: StepCredit
    ) -> tuple[PyTree, CorticalWeights]:
        """Return the trace after a step, and the step's share of the gradient."""


@runtime_checkable
class Sweeping(Protocol):
    """A trace whose gradient can also be had backwards in time, with nothing stored for each synapse."""

    def drives(
        self, circuit: Circuit, weights: Weights, trial: WholeTrial, credit: Assignment
    ) -> tuple[GatesInTime, State]:
        """Return credit on the drives of every step, cₜ ∂sₜ/∂uₜ, and credit on s₀."""

    def eligibility(self, cortex: Cell, weights: CorticalWeights, trial: WholeTrial) -> TraceInTime:
        """Return the trace of every synapse at every step of a trial."""


def steps(trial: WholeTrial) -> CorticalStep:
    """Return all steps of a trial, time first."""
    return CorticalStep(trial.trajectory.s_tm1, trial.trajectory.a_t, trial.inputs)


def n_sources(cortex: Cell) -> int:
    """Return length of [xₜ; hₜ₋₁; 1]."""
    return cortex.n_inputs + cortex.n_units + 1


def no_influence(cortex: Cell, shape: tuple[int, ...], dtype: jnp.dtype) -> State:
    """Return a zero for each state component, `(units, *shape)`."""
    return (jnp.zeros((cortex.n_units, *shape), dtype),) * cortex.n_components


def identity(cortex: Cell, dtype: jnp.dtype, n_trials: int) -> State:
    """∂s₀/∂s₀, `(units, component, units, trials)` for each state component."""
    k, n = cortex.n_components, cortex.n_units
    eye = jnp.eye(k * n, dtype=dtype).reshape(k, n, k, n)
    return tuple(jnp.broadcast_to(block[..., None], (n, k, n, n_trials)) for block in eye)
