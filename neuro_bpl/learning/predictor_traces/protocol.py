"""What a trace of the predictor must offer, and the arrays of θ that it is about."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.predictors.protocol import Featured, Predictor, taught
from neuro_bpl.learning.lambda_targets import Scalar
from neuro_bpl.learning.td_error import TDError
from neuro_bpl.learning.traces import CorticalStep
from neuro_bpl.refusals import refusal


class Extent(NamedTuple):
    """Trials of a batch, steps of a trial (None: without end), and whether weights are held during a trial."""

    n_trials: int
    n_steps: int | None
    held: bool


class Rates(NamedTuple):
    """γλ, the decay of a trace, and the step size α, which only the true online view reads."""

    decay: Scalar
    step_size: Scalar | None = None


@runtime_checkable
class PredictorTrace(Protocol):
    """What every trace of the predictor must offer: e₀, what a TD error makes of it, and how it goes on."""

    def check(self, circuit: Circuit) -> None:
        """Refuse a circuit for which the trace has no meaning (`ValueError`)."""

    def init(self, circuit: Circuit, weights: Weights, extent: Extent, key: jax.Array | None) -> PyTree:
        """Return the trace before the first step."""

    def share(self, circuit: Circuit, weights: Weights, trace: PyTree, error: TDError, rates: Rates) -> PyTree:
        """−⟨δₜ₋₁ eₜ₋₁⟩ over trials, in the structure of θ; the weights are those of the present step."""

    def advance(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: PyTree,
        now: CorticalStep,
        fibres_t: Float[Array, "fibres batch"],
        rates: Rates,
    ) -> PyTree:
        """eₜ from eₜ₋₁ and the step from sₜ₋₁ to sₜ."""


@runtime_checkable
class WithDutch(Protocol):
    """A trace whose updates are exact, and which has a counterpart in the true online view."""

    def dutch(self) -> PredictorTrace:
        """Return the counterpart."""


def taught_arrays(predictor: Predictor, theta: PyTree) -> list[Array]:
    """Return the arrays of θ that learn from TD errors."""
    return [w for w, learns in _with_taught(predictor, theta) if learns]


def replaced(predictor: Predictor, theta: PyTree, free: list[Array]) -> PyTree:
    """Return θ with the arrays that learn from TD errors replaced by `free`, in order."""
    replacements = iter(free)
    leaves = [next(replacements) if learns else w for w, learns in _with_taught(predictor, theta)]
    return jax.tree.unflatten(jax.tree.structure(theta), leaves)


def as_gradient(predictor: Predictor, theta: PyTree, free: list[Array]) -> PyTree:
    """Return gradients of the arrays that learn from TD errors, zero for the others."""
    return replaced(predictor, jax.tree.map(jnp.zeros_like, theta), free)


def output_gradient(predictor: Predictor, theta: PyTree, gradient: Float[Array, "state features_and_1"]) -> PyTree:
    """Return a gradient of [W b] in the structure of θ, for predictors that are linear in what learns."""
    return as_gradient(predictor, theta, [gradient[:, :-1], gradient[:, -1]])


def features(circuit: Circuit, theta: PyTree, fibres: Float[Array, "fibres batch"]) -> Float[Array, "features_1 batch"]:
    """[φ; 1]: what the output weights [W b] of the predictor read."""
    predictor = circuit.predictor()
    if not isinstance(predictor, Featured):
        raise TypeError(f"{predictor} has no features")
    phi = predictor.features(theta, fibres)
    return jnp.concatenate([phi, jnp.ones_like(phi[:1])])


def n_features(circuit: Circuit, theta: PyTree) -> int:
    """Return length of [φ; 1]."""
    return jax.tree.leaves(theta)[-2].shape[1] + 1


def is_linear(circuit: Circuit) -> bool:
    """Return whether the predictor is linear in the weights that learn."""
    predictor = circuit.predictor()
    return isinstance(predictor, Featured) and predictor.linear


def check_linear(circuit: Circuit, what: str) -> None:
    """Refuse a predictor that is not linear in the weights that learn."""
    if not is_linear(circuit):
        raise refusal(
            "Circuit.cerebellum",
            circuit.predictor(),
            'LinearPredictor(), or GranularPredictor(...) or DeepPredictor(...) with plasticity="output"',
            f"{what} is about one synapse and the one prediction that it adds to; an inner weight reaches all",
            'plasticity="output", or predictor_trace=HistorySweep()',
        )


def _with_taught(predictor: Predictor, theta: PyTree) -> list[tuple[Array, bool]]:
    return list(zip(jax.tree.leaves(theta), jax.tree.leaves(taught(predictor, theta)), strict=True))
