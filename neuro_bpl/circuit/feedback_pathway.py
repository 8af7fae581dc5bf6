"""The feedback pathway: B, which brings output errors to the cortex without reading the readout's weights."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from neuro_bpl.circuit.synapses import uniform
from neuro_bpl.parameters import check, documented, field


@documented
@dataclass(frozen=True)
class FeedbackPathway:
    """B at birth, uniform in ±scale/√units like the readout that it stands for, docs/theory.md (21).

    Whether it learns is a matter of the rule: `credit.Feedback(learned=True)`.

    Raises
    ------
    ValueError
        If the scale is negative or not finite.

    Examples
    --------
    >>> import jax, neuro_bpl as nb
    >>> circuit = nb.Circuit(
    ...     nb.RateCortex(n_inputs=3, n_units=5), nb.LinearReadout(2), feedback=nb.FeedbackPathway()
    ... )
    >>> circuit.init(jax.random.key(0)).feedback.shape
    (5, 2)
    """

    scale: float = field(1.0, "size of the feedback weights, relative to the readout's at birth", low=0)

    def __post_init__(self) -> None:
        check(self)

    def init(
        self, key: Key[Array, ""], n_units: int, n_outputs: int, dtype: jnp.dtype
    ) -> Float[Array, "units outputs"]:
        """B, uniform in ±scale/√units."""
        return self.scale * uniform(key, (n_units, n_outputs), n_units, dtype)
