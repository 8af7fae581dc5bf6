"""Cells of the cortex: what a unit does with its drives, element by element.

A cell is a frozen class with `n_inputs`, `n_units`, the number of its gates and of its state components, which gates
read inputs and which read rates, and three element-wise methods (`activate`, `slopes`, `combine`). A state is a tuple
of components, each `(units, *batch)`; the first one is the firing rates h.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.nonlinearities import NONLINEARITIES, tanh
from neuro_bpl.parameters import check, field, refusal

State = tuple[Float[Array, "units *#batch"], ...]
Gates = tuple[Float[Array, "units *#batch"], ...]


@runtime_checkable
class Cortex(Protocol):
    """What a cell must offer; see `RateCortex`, `LSTMCortex` and `GRUCortex`."""

    @property
    def n_inputs(self) -> int:
        """Number of input channels."""

    @property
    def n_units(self) -> int:
        """Number of cortical units."""

    @property
    def n_gates(self) -> int:
        """Number of drives a unit receives."""

    @property
    def n_components(self) -> int:
        """Number of state variables of a unit; the first one is its rate."""

    @property
    def input_gates(self) -> tuple[int, ...]:
        """Numbers of the gates whose drive reads the inputs, ascending; every gate reads inputs, rates or both."""

    @property
    def recurrent_gates(self) -> tuple[int, ...]:
        """Numbers of the gates whose drive reads the rates, ascending."""

    def activate(self, u: Float[Array, "drives *batch"]) -> Float[Array, "drives *batch"]:
        """aₜ, element-wise in the drive of all gates."""

    def slopes(self, gates: Gates) -> Gates:
        """∂a/∂u of each gate, written in terms of a."""

    def combine(self, s_tm1: State, gates: Gates) -> State:
        """sₜ, element-wise in the previous state and the activated gates."""


@dataclass(frozen=True)
class RateCortex:
    """Leaky rate units: hₜ = (1 − dt/τ) hₜ₋₁ + (dt/τ) φ(uₜ), docs/theory.md (1).

    τ = dt gives the plain recurrent network.

    Raises
    ------
    ValueError
        If a parameter is outside its range, or dt > τ.
    """

    n_inputs: int = field(doc="number of input channels", low=1)
    n_units: int = field(doc="number of cortical units", low=1, symbol="n")
    nonlinearity: str = field("tanh", "transfer function φ", choices=tuple(NONLINEARITIES))
    tau: float = field(0.02, "membrane time constant", unit="s", symbol="τ", above=0)
    dt: float = field(0.02, "duration of a step", unit="s", symbol="dt", above=0)

    n_gates = 1
    n_components = 1
    input_gates = recurrent_gates = (0,)

    def __post_init__(self) -> None:
        check(self)
        if self.dt > self.tau:
            raise refusal(
                "dt",
                self.dt,
                f"0 < dt <= tau = {self.tau} (seconds)",
                "an Euler step longer than the time constant overshoots: the leak 1 - dt/tau is negative",
                f"RateCortex(..., tau={self.tau}, dt={self.tau})",
            )

    @property
    def leak(self) -> float:
        """1 − dt/τ: what a unit keeps of its rate from one step to the next."""
        return 1 - self.dt / self.tau

    def activate(self, u: Float[Array, "units *batch"]) -> Float[Array, "units *batch"]:
        """a = φ(u)."""
        return NONLINEARITIES[self.nonlinearity].value(u)

    def slopes(self, gates: Gates) -> Gates:
        """φ'(u), from a."""
        return (NONLINEARITIES[self.nonlinearity].slope(gates[0]),)

    def combine(self, s_tm1: State, gates: Gates) -> State:
        """hₜ = (1 − dt/τ) hₜ₋₁ + (dt/τ) aₜ."""
        (h_tm1,), (a_t,) = s_tm1, gates
        rate = self.dt / self.tau
        return ((1 - rate) * h_tm1 + rate * a_t,)


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
