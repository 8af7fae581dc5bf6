"""Leaky rate units."""

from dataclasses import dataclass

from jaxtyping import Array, Float

from neuro_bpl.circuit.cells.protocol import Gates, State
from neuro_bpl.circuit.nonlinearities import NONLINEARITIES
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal


@documented
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
