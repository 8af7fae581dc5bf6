"""The TD error δₜ₋₁ = (lₜ + γ ĝₜ) Jₜ − ĝₜ₋₁ of climbing fibres, as far as the olive knows Jₜ."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.circuit.cortex import CorticalWeights

ROUTES = ("exact", "diagonal", "random", "learned")
OWN_WEIGHTS = ("random", "learned")


def delta(bootstrapped: Float[Array, "state *batch"], prediction: Float[Array, "state *batch"]) -> Array:
    """Return δₜ₋₁ = (lₜ + γ ĝₜ) Jₜ − ĝₜ₋₁, docs/theory.md (6), from its two terms."""
    return bootstrapped - prediction


class TDError(NamedTuple):
    """The two terms of δₜ₋₁, both from the present weights, and the trials that are not over yet."""

    pulled: Float[Array, "state batch"]
    prediction: Float[Array, "state batch"]
    alive: Bool[Array, " batch"]

    @property
    def delta(self) -> Float[Array, "state batch"]:
        """δₜ₋₁, docs/theory.md (6); zero after a trial's end."""
        return jnp.where(self.alive, delta(self.pulled, self.prediction), 0)


def pull(
    route: str,
    cortex: Cell,
    weights: CorticalWeights,
    olive: Any,
    s_tm1: State,
    a_t: Float[Array, "drives batch"],
    bootstrap_t: State,
) -> Float[Array, "state batch"]:
    """(lₜ + γ ĝₜ) Jₜ, with Jₜ itself, its diagonal, or B in the place of W_rec: docs/theory.md (6), (31), (32)."""
    if route == "diagonal":
        return jnp.concatenate(jacobian.pull_own(cortex, weights, s_tm1, a_t, bootstrap_t)[0])
    known = weights._replace(w_rec=olive) if route in OWN_WEIGHTS else weights
    return jnp.concatenate(jacobian.pull_state(cortex, known, s_tm1, a_t, bootstrap_t))
