"""Gated recurrent units."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit.cells.protocol import Gates, State
from neuro_bpl.circuit.nonlinearities import tanh
from neuro_bpl.parameters import check, documented, field


@documented
@dataclass(frozen=True)
class GRUCortex:
    """Gated recurrent units (Cho et al. 2014, EMNLP), reset behind the recurrent product: docs/theory.md (19).

    hₜ = (1 − z) tanh(a + r c) + z hₜ₋₁, with r, z = σ(u), a = W_in xₜ + b from the inputs alone, and c = W_rec hₜ₋₁ + b
    from the rates alone (Engel 2017; the unit of cuDNN and `torch.nn.GRU`). A weight then reaches its own unit alone
    within a step, which keeps forward-mode rules cheap (Menick et al. 2021, ICLR).

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """

    n_inputs: int = field(doc="number of input channels", low=1)
    n_units: int = field(doc="number of cortical units", low=1, symbol="n")

    n_gates = 4
    n_components = 1
    input_gates = (0, 1, 2)
    recurrent_gates = (0, 1, 3)

    def __post_init__(self) -> None:
        check(self)

    def activate(self, u: Float[Array, "drives *batch"]) -> Float[Array, "drives *batch"]:
        """σ for the gates r and z; a and c are drives still."""
        to_gates = u[: 2 * self.n_units]
        return u.at[: 2 * self.n_units].set(jax.nn.sigmoid(to_gates))

    def slopes(self, gates: Gates) -> Gates:
        """a (1 − a) for r and z, 1 for a and c."""
        r, z, a, c = gates
        return r * (1 - r), z * (1 - z), jnp.ones_like(a), jnp.ones_like(c)

    def combine(self, s_tm1: State, gates: Gates) -> State:
        """hₜ = (1 − z) tanh(a + r c) + z hₜ₋₁."""
        (h_tm1,), (r, z, a, c) = s_tm1, gates
        return ((1 - z) * tanh(a + r * c) + z * h_tm1,)
