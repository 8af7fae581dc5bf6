"""The history sweep: the full trace's updates, from remembered steps instead of a trace."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.predictor_traces import remembered_steps as past
from neuro_bpl.learning.predictor_traces.dutch import DutchSweep
from neuro_bpl.learning.predictor_traces.protocol import (
    Extent,
    Rates,
    as_gradient,
    features,
    is_linear,
    n_features,
    output_gradient,
    replaced,
    taught_arrays,
)
from neuro_bpl.learning.predictor_traces.remembered_steps import RememberedSteps, get, put
from neuro_bpl.learning.td_error import TDError
from neuro_bpl.learning.traces import CorticalStep
from neuro_bpl.parameters import check, documented, field


class History(NamedTuple):
    """Remembered steps, what the predictor read at each, and θ where inner weights change.

    `read` is [φ; 1] where the predictor is linear in what learns, else the mossy fibres.
    """

    passages: RememberedSteps
    read: Float[Array, "age read batch"]
    theta: PyTree


@documented
@dataclass(frozen=True)
class HistorySweep:
    """δₖ eₖ = Σⱼ (γλ)^(k−j) (δₖ J_k ⋯ J_(j+1)) ∂ĝⱼ/∂θ, docs/theory.md (30): the full trace's updates, for less.

    δₖ is pulled back through the remembered steps: for each of them state² + state · features multiply–adds a trial,
    where the full trace takes state² · size of θ in all.

    Parameters
    ----------
    horizon : int, optional
        Most steps to remember; None: those of a trial. With a horizon of the trial's length less 1, it is exact.
    tolerance : float
        Steps whose weight (γλ)^(k−j) is below this are left out.

    Raises
    ------
    ValueError
        If a parameter is outside its range; or, where trials have no end, if there is no horizon.
    """

    horizon: int | None = field(None, "most steps to remember (None: those of a trial)", low=1)
    tolerance: float = field(0.0, "steps of a weight (γλ)^age below this are left out", low=0, high=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def label(self) -> str:
        """History; with its horizon and tolerance where it leaves something out."""
        horizon = "" if self.horizon is None else f" of {self.horizon}"
        return f"history{horizon}" + (f" to {self.tolerance:g}" if self.tolerance else "")

    def dutch(self) -> DutchSweep:
        """Its counterpart in the true online view."""
        return DutchSweep(self.horizon, self.tolerance)

    def check(self, circuit: Circuit) -> None:
        """Every circuit with a predictor will do."""
        circuit.predictor()

    def init(self, circuit: Circuit, weights: Weights, extent: Extent, key: jax.Array | None) -> History:
        """Return an empty history."""
        theta, horizon = weights.cerebellum, past.horizon_of(extent, self.horizon)
        fixed = extent.held or is_linear(circuit)
        return History(
            past.begin(circuit, weights, extent, horizon),
            read=jnp.zeros((horizon, _n_read(circuit, theta), extent.n_trials), weights.cortex.w_rec.dtype),
            theta=() if fixed else jax.tree.map(lambda w: jnp.zeros((horizon, *w.shape), w.dtype), theta),
        )

    def share(self, circuit: Circuit, weights: Weights, trace: History, error: TDError, rates: Rates) -> PyTree:
        """−⟨δₜ₋₁ eₜ₋₁⟩, swept back from the latest step."""
        predictor, theta, n_trials = circuit.predictor(), weights.cerebellum, error.delta.shape[-1]

        def by_slope(total: list[Array], at: Int[Array, ""], c: Float[Array, "state batch"]) -> list[Array]:
            then = _then(trace.theta, at) if jax.tree.leaves(trace.theta) else theta

            def predict(free: list[Array]) -> Float[Array, "state batch"]:
                return predictor.predict(replaced(predictor, then, free), get(trace.read, at))

            slopes = jax.vjp(predict, taught_arrays(predictor, then))[1](c / n_trials)[0]
            return jax.tree.map(jnp.subtract, total, slopes)

        if is_linear(circuit):
            rows = past.swept_rows(circuit, weights.cortex, trace.passages, error.delta, rates.decay, self.tolerance)
            total = -jnp.einsum("asb,afb->sf", rows, trace.read) / n_trials
            return output_gradient(predictor, theta, total)
        delta, decay = error.delta, rates.decay
        nothing = [jnp.zeros_like(w) for w in taught_arrays(predictor, theta)]
        found = past.sweep(circuit, weights.cortex, trace.passages, delta, decay, self.tolerance, by_slope, nothing)
        return as_gradient(predictor, theta, found)

    def advance(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: History,
        now: CorticalStep,
        fibres_t: Float[Array, "fibres batch"],
        rates: Rates,
    ) -> History:
        """Return the history with the latest step, without the oldest one."""
        theta, at = weights.cerebellum, trace.passages.place
        read_t = features(circuit, theta, fibres_t) if is_linear(circuit) else fibres_t
        return History(
            past.remember(trace.passages, weights.cortex, now),
            put(at, trace.read, read_t),
            jax.tree.map(partial(put, at), trace.theta, theta if jax.tree.leaves(trace.theta) else ()),
        )


def _n_read(circuit: Circuit, theta: PyTree) -> int:
    if is_linear(circuit):
        return n_features(circuit, theta)
    return circuit.n_fibres()


def _then(rings: PyTree, at: Int[Array, ""]) -> PyTree:
    """Return θ of a remembered step."""
    return jax.tree.map(lambda ring: get(ring, at), rings)
