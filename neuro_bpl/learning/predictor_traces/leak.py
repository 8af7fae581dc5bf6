"""The leak trace: a synapse's own memory of its parallel fibre, and nothing of the cortex but its time constant."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from neuro_bpl.circuit.cells.rate import RateCortex
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
from neuro_bpl.refusals import refusal


@dataclass(frozen=True)
class LeakTrace:
    """eₜ = γλ (1 − dt/τ) eₜ₋₁ + φₜ, docs/theory.md (31): one number for each synapse, with a fixed time constant.

    All synapses of one parallel fibre have the same trace, so it is stored once for each fibre. It is exact where
    recurrent weights are zero. It has no memory at τ = dt.

    Raises
    ------
    ValueError
        If the cortex has no constant leak, or inner weights of the predictor learn (when it meets the circuit).

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> cortex = nb.RateCortex(n_inputs=3, n_units=5, tau=0.02, dt=0.001)
    >>> round(1e3 * nb.predictor_traces.LeakTrace().time_constant(cortex, decay=0.9), 2)  # ms
    6.38
    """

    label = "leak trace"

    def check(self, circuit: Circuit) -> None:
        """Refuse a cortex without a constant leak, and a predictor that is not linear in what learns."""
        check_linear(circuit, "the leak trace")
        leak(circuit)

    def time_constant(self, cortex: RateCortex, decay: float) -> float:
        """τₑ = −dt/ln(γλ (1 − dt/τ)) in seconds, docs/theory.md (33); 0 without memory, infinite without decay."""
        kept = decay * cortex.leak
        if kept <= 0:
            return 0.0
        return math.inf if kept >= 1 else -cortex.dt / math.log(kept)

    def init(
        self, circuit: Circuit, weights: Weights, extent: Extent, key: jax.Array | None
    ) -> Float[Array, "features_1 batch"]:
        """e₀ = 0."""
        return jnp.zeros((n_features(circuit, weights.cerebellum), extent.n_trials), weights.cortex.b.dtype)

    def share(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: Float[Array, "features_1 batch"],
        error: TDError,
        rates: Rates,
    ) -> PyTree:
        """−⟨δₜ₋₁ eₜ₋₁⟩."""
        gradient = -(error.delta / error.delta.shape[-1]) @ trace.T
        return output_gradient(circuit.predictor(), weights.cerebellum, gradient)

    def advance(
        self,
        circuit: Circuit,
        weights: Weights,
        trace: Float[Array, "features_1 batch"],
        now: CorticalStep,
        fibres_t: Float[Array, "fibres batch"],
        rates: Rates,
    ) -> Float[Array, "features_1 batch"]:
        """γλ (1 − dt/τ) eₜ₋₁ + [φₜ; 1]."""
        return rates.decay * leak(circuit) * trace + features(circuit, weights.cerebellum, fibres_t)


def leak(circuit: Circuit) -> float:
    """1 − dt/τ of the cortex; refuses cells without (`ValueError`)."""
    if not isinstance(circuit.cortex, RateCortex):
        raise refusal(
            "Circuit.cortex",
            circuit.cortex,
            "RateCortex(...)",
            "gated cells keep what their gates say: there is no constant leak",
            "predictor_trace=DiagonalTrace()",
        )
    return circuit.cortex.leak
