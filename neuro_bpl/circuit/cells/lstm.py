"""Units with long short-term memory."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit.cells.protocol import Gates, State
from neuro_bpl.parameters import check, documented, field


@documented
@dataclass(frozen=True)
class LSTMCortex:
    """LSTM units (Hochreiter & Schmidhuber 1997): state [h; c], docs/theory.md (2).

    cₜ = f cₜ₋₁ + i g,  hₜ = o tanh(cₜ), with i, f, o = σ(u) and g = tanh(u).

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """

    n_inputs: int = field(doc="number of input channels", low=1)
    n_units: int = field(doc="number of cortical units", low=1, symbol="n")

    n_gates = 4
    n_components = 2
    input_gates = recurrent_gates = (0, 1, 2, 3)

    def __post_init__(self) -> None:
        check(self)

    def activate(self, u: Float[Array, "drives *batch"]) -> Float[Array, "drives *batch"]:
        """σ for the gates i, f, o and tanh(u) = 2 σ(2u) − 1 for g: one logistic over all of them."""
        is_cell = (jnp.arange(u.shape[0]) >= 3 * self.n_units).astype(u.dtype)
        is_cell = is_cell.reshape((-1,) + (1,) * (u.ndim - 1))
        return (1 + is_cell) * jax.nn.sigmoid((1 + is_cell) * u) - is_cell

    def slopes(self, gates: Gates) -> Gates:
        """a (1 − a) for i, f, o and 1 − a² for g."""
        i, f, o, g = gates
        return i * (1 - i), f * (1 - f), o * (1 - o), 1 - g * g

    def combine(self, s_tm1: State, gates: Gates) -> State:
        """cₜ = f cₜ₋₁ + i g and hₜ = o tanh(cₜ)."""
        (_, c_tm1), (i, f, o, g) = s_tm1, gates
        c_t = f * c_tm1 + i * g
        return o * jnp.tanh(c_t), c_t
