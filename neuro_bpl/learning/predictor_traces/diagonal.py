"""The diagonal trace: one number for each synapse, driven by what a unit does to itself."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.predictor_traces.protocol import (
    Extent,
    Rates,
    check_linear,
    features,
    n_features,
    output_gradient,
)
from neuro_bpl.learning.td_error import TDError
from neuro_bpl.learning.traces import CorticalStep
from neuro_bpl.learning.traces.diagonal import diagonal

ByComponents = tuple[tuple[Float[Array, "units features_1 batch"], ...], ...]


@dataclass(frozen=True)
class DiagonalTrace:
    """eₜ = γλ diag(Jₜ) eₜ₋₁ + ∂ĝₜ/∂θ, docs/theory.md (31): what comes back through other units is dropped.

    diag(J) holds the entries of J between state components of one unit: the cell's own path and the autapse. Where the
    predictor is linear in what learns, each output weight keeps one number for each state component of its unit; it is
    exact where no unit reads another one.

    Raises
    ------
    ValueError
        If inner weights of the predictor learn, too (when it meets the circuit).
    """

    label = "diagonal trace"

    def check(self, circuit: Circuit) -> None:
        """Refuse a predictor that is not linear in what learns (`ValueError`)."""
        check_linear(circuit, "the diagonal trace")

    def init(self, circuit: Circuit, weights: Weights, extent: Extent, key: jax.Array | None) -> ByComponents:
        """e₀ = 0: of the prediction for one component of a unit, by the weights of the prediction for another one."""
        k, b = circuit.cortex.n_components, weights.cortex.b
        shape = (circuit.cortex.n_units, n_features(circuit, weights.cerebellum), extent.n_trials)
        return ((jnp.zeros(shape, b.dtype),) * k,) * k

    def share(self, circuit: Circuit, weights: Weights, trace: ByComponents, error: TDError, rates: Rates) -> PyTree:
        """−⟨δₜ₋₁ eₜ₋₁⟩."""
        deltas = jnp.split(error.delta / error.delta.shape[-1], circuit.cortex.n_components)
        by_weights = [
            -sum(jnp.einsum("ub,ufb->uf", delta, e) for delta, e in zip(deltas, column, strict=True))
            for column in zip(*trace, strict=True)
        ]
        return output_gradient(circuit.predictor(), weights.cerebellum, jnp.concatenate(by_weights))

    def advance(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: ByComponents,
        now: CorticalStep,
        fibres_t: Float[Array, "fibres batch"],
        rates: Rates,
    ) -> ByComponents:
        """γλ diag(Jₜ) eₜ₋₁ + ∂ĝₜ/∂θ."""
        slope_t = features(circuit, weights.cerebellum, fibres_t)[None]
        kept = diagonal(circuit.cortex, weights.cortex, now)

        def moved(row: int, column: int) -> Array:
            terms = (rates.decay * d[:, None] * e[column] for d, e in zip(kept[row], trace, strict=True))
            first, *others = terms
            return sum(others, start=first) + (slope_t if row == column else 0)

        ranks = range(circuit.cortex.n_components)
        return tuple(tuple(moved(row, column) for column in ranks) for row in ranks)
