"""The projected trace: that of a predictor which sees k dimensions of the cortical state."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.predictors.projected import ProjectedPredictor, ProjectedWeights
from neuro_bpl.learning.predictor_traces.full import predictor_slope, pushed, trace_gradient
from neuro_bpl.learning.predictor_traces.protocol import Extent, Rates, taught_arrays
from neuro_bpl.learning.td_error import TDError
from neuro_bpl.learning.traces import CorticalStep
from neuro_bpl.refusals import refusal


class Projected(NamedTuple):
    """e of the inner predictor, and what the latest prediction was made from (if there was one)."""

    e: list[Float[Array, "batch k ..."]]
    fibres: Float[Array, "fibres batch"]
    made: Bool[Array, ""]


@dataclass(frozen=True)
class ProjectedTrace:
    """eₜ = γλ (P Jₜ Pᵀ) eₜ₋₁ + ∂qₜ/∂θ with the predictor's projection P, docs/theory.md (38).

    It holds k × size of θ numbers for each trial. What leaves the k dimensions and comes back is dropped.
    With k = n it is exact. A learned P learns from the present prediction alone.

    Raises
    ------
    ValueError
        If the predictor is not a `ProjectedPredictor` (when it meets the circuit).
    """

    label = "projected trace"

    def check(self, circuit: Circuit) -> None:
        """Refuse a predictor without a projection (`ValueError`)."""
        projection(circuit)

    def init(self, circuit: Circuit, weights: Weights, extent: Extent, key: jax.Array | None) -> Projected:
        """e₀ = 0 for each array of the inner predictor that learns; no prediction yet."""
        predictor, theta = projection(circuit), weights.cerebellum
        arrays = taught_arrays(predictor.predictor, theta.inner)
        e = [jnp.zeros((extent.n_trials, predictor.n_dimensions, *w.shape), w.dtype) for w in arrays]
        n_fibres = circuit.n_fibres()
        return Projected(e, jnp.zeros((n_fibres, extent.n_trials), theta.basis.dtype), jnp.array(False))

    def share(self, circuit: Circuit, weights: Weights, trace: Projected, error: TDError, rates: Rates) -> PyTree:
        """−⟨(P δₜ₋₁) eₜ₋₁⟩; and −⟨δₜ₋₁ ∂ĝₜ₋₁/∂P⟩ where P learns."""
        predictor, theta = projection(circuit), weights.cerebellum
        inner = trace_gradient(predictor.predictor, theta.inner, theta.basis @ error.delta, trace.e)
        if predictor.basis != "learned":
            return ProjectedWeights(jnp.zeros_like(theta.basis), inner)
        delta = jnp.where(trace.made, -error.delta / error.delta.shape[-1], 0)
        pull = jax.vjp(lambda basis: predictor.predict(theta._replace(basis=basis), trace.fibres), theta.basis)[1]
        return ProjectedWeights(pull(delta)[0], inner)

    def advance(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: Projected,
        now: CorticalStep,
        fibres_t: Float[Array, "fibres batch"],
        rates: Rates,
    ) -> Projected:
        """γλ (P Jₜ Pᵀ) eₜ₋₁ + ∂qₜ/∂θ."""
        predictor, theta = projection(circuit), weights.cerebellum
        slope = partial(predictor_slope, predictor.predictor, theta.inner)
        slopes = jax.vmap(slope, in_axes=-1)(predictor.project_fibres(theta, fibres_t))
        jacobians = projected_jacobian(circuit, weights, theta.basis, now)
        e = jax.vmap(pushed, (0, 0, 0, None))(trace.e, jacobians, slopes, rates.decay)
        return Projected(e, fibres_t, jnp.array(True))


def projected_jacobian(
    circuit: Circuit, weights: Weights, basis: Float[Array, "k state"], now: CorticalStep
) -> Float[Array, "batch k k"]:
    """P Jₜ Pᵀ of each trial, by pulling the k rows of P back."""

    def pulled(row: Float[Array, " state"]) -> Float[Array, "state batch"]:
        c = tuple(
            jnp.split(jnp.broadcast_to(row[:, None], (*row.shape, now.x_t.shape[-1])), circuit.cortex.n_components)
        )
        return jnp.concatenate(jacobian.pull_state(circuit.cortex, weights.cortex, now.s_tm1, now.a_t, c))

    return jnp.einsum("ksb,ls->bkl", jax.vmap(pulled)(basis), basis)


def projection(circuit: Circuit) -> ProjectedPredictor:
    """Return the circuit's predictor, if it has a projection (`ValueError` if not)."""
    predictor = circuit.predictor()
    if not isinstance(predictor, ProjectedPredictor):
        raise refusal(
            "Circuit.cerebellum",
            predictor,
            "ProjectedPredictor(predictor, n_dimensions)",
            "the projected trace lives in the dimensions that the predictor sees",
            "Circuit(cortex, readout, ProjectedPredictor(LinearPredictor(), n_dimensions=10))",
        )
    return predictor
