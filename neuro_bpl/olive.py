"""The inferior olive: climbing fibres carry δₜ₋₁ = (lₜ + γ ĝₜ) Jₜ − ĝₜ₋₁, as far as the olive knows Jₜ."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from neuro_bpl import cortex as cortical
from neuro_bpl.cells import Cortex, State
from neuro_bpl.cortex import CorticalWeights
from neuro_bpl.parameters import check, field
from neuro_bpl.synapses import uniform

ROUTES = ("exact", "diagonal", "random", "learned")
OWN_WEIGHTS = ("random", "learned")


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

    def init(self, key: Key[Array, ""], cortex: Cortex, dtype: jnp.dtype) -> Float[Array, "recurrent_drives units"]:
        """B, uniform in ±scale/√units."""
        units = cortex.n_units
        return self.scale * uniform(key, (len(cortex.recurrent_gates) * units, units), units, dtype)


class TDError(NamedTuple):
    """The two terms of δₜ₋₁, both from the present weights, and the trials that are not over yet."""

    pulled: Float[Array, "state batch"]
    prediction: Float[Array, "state batch"]
    alive: Bool[Array, " batch"]

    @property
    def delta(self) -> Float[Array, "state batch"]:
        """δₜ₋₁, docs/theory.md (6); zero after a trial's end."""
        return jnp.where(self.alive, self.pulled - self.prediction, 0)


def pull(
    route: str,
    cortex: Cortex,
    weights: CorticalWeights,
    olive: Any,
    s_tm1: State,
    a_t: Float[Array, "drives batch"],
    bootstrap_t: State,
) -> Float[Array, "state batch"]:
    """(lₜ + γ ĝₜ) Jₜ, with Jₜ itself, its diagonal, or B in the place of W_rec: docs/theory.md (6), (31), (32)."""
    if route == "diagonal":
        return jnp.concatenate(cortical.pull_own(cortex, weights, s_tm1, a_t, bootstrap_t)[0])
    known = weights._replace(w_rec=olive) if route in OWN_WEIGHTS else weights
    return jnp.concatenate(cortical.pull_state(cortex, known, s_tm1, a_t, bootstrap_t))
