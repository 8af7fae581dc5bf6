"""Feedback alignment: output errors reach the cortex through weights of their own."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit.circuit import Weights
from neuro_bpl.parameters import check, documented, field


@documented
@jax.tree_util.register_static
@dataclass(frozen=True)
class Feedback:
    """B ∂ℓₜ/∂yₜ in place of lₜ = W_outᵀ ∂ℓₜ/∂yₜ, docs/theory.md (21); B is the circuit's `FeedbackPathway`.

    Fixed random weights (Lillicrap et al. 2016, Nat Commun 7:13276), or weights that learn along with the readout:
    Bᵀ is changed by the gradient of W_out, with the same optimiser and the same cost of weights (Kolen & Pollack 1994,
    ICNN; Akrout et al. 2019, NeurIPS 32), docs/theory.md (22).

    Raises
    ------
    ValueError
        If `learned` is not True or False.
    """

    learned: bool = field(False, "whether the feedback weights follow the readout's")

    label = "feedback"
    predicting = False
    window = 1
    scope = "now"
    stochastic = False
    reads_feedback = True

    def __post_init__(self) -> None:
        check(self)

    def reroute(
        self,
        weights: Weights,
        error_t: Float[Array, "units batch"],
        output_error_t: Float[Array, "outputs batch"],
        key: Any,
    ) -> Float[Array, "units batch"]:
        """B ∂ℓₜ/∂yₜ."""
        return jnp.tensordot(weights.feedback, output_error_t, 1)
