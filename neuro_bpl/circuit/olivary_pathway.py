"""The inferior olive: climbing fibres carry δₜ₋₁ = (lₜ + γ ĝₜ) Jₜ − ĝₜ₋₁, as far as the olive knows Jₜ."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from neuro_bpl.circuit.cells.protocol import Cell
from neuro_bpl.circuit.synapses import uniform
from neuro_bpl.parameters import check, documented, field


@documented
@dataclass(frozen=True)
class OlivaryPathway:
    """B, which stands for W_rec where the olive pulls errors back through Jₜ, docs/theory.md (32).

    Uniform in ±scale/√units at birth, like W_rec. Whether it learns is a matter of the rule: `td_error="learned"`.

    Raises
    ------
    ValueError
        If the scale is negative or not finite.

    Examples
    --------
    >>> import jax, neuro_bpl as nb
    >>> cortex = nb.RateCortex(n_inputs=3, n_units=5)
    >>> circuit = nb.Circuit(cortex, nb.LinearReadout(2), nb.LinearPredictor(), olive=nb.OlivaryPathway())
    >>> circuit.init(jax.random.key(0)).olive.shape
    (5, 5)
    """

    scale: float = field(1.0, "size of the olivary weights, relative to the cortex's at birth", low=0)

    def __post_init__(self) -> None:
        check(self)

    def init(self, key: Key[Array, ""], cortex: Cell, dtype: jnp.dtype) -> Float[Array, "recurrent_drives units"]:
        """B, uniform in ±scale/√units."""
        units = cortex.n_units
        return self.scale * uniform(key, (len(cortex.recurrent_gates) * units, units), units, dtype)
