"""Cells of the cortex: what a unit does with its drives, element by element.

A cell is a frozen class with `n_inputs`, `n_units`, the number of its gates and of its state components, which gates
read inputs and which read rates, and three element-wise methods (`activate`, `slopes`, `combine`). A state is a tuple
of components, each `(units, *batch)`; the first one is the firing rates h.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

State = tuple[Float[Array, "units *#batch"], ...]
Gates = tuple[Float[Array, "units *#batch"], ...]


@runtime_checkable
class Cell(Protocol):
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
