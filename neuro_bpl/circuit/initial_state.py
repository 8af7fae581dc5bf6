"""The initial state s₀ of the cortex, in which every trial starts: zero, drawn at birth, or learnt."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.parameters import check, documented, field


@documented
@dataclass(frozen=True)
class InitialState:
    """s₀ = mean + sd · N(0, 1) at birth, drawn for each unit and component, docs/theory.md (16); learnt by (17).

    Zero by default. A learnt s₀ belongs to the cortical weights and to their optimiser; one that is not learnt keeps
    the value of its birth, whatever the optimiser.

    Raises
    ------
    ValueError
        If a number is not finite, or `sd` is negative.

    Examples
    --------
    >>> import jax, neuro_bpl as nb
    >>> circuit = nb.Circuit(
    ...     nb.RateCortex(n_inputs=3, n_units=2), nb.LinearReadout(2), initial_state=nb.InitialState(mean=0.5)
    ... )
    >>> circuit.init(jax.random.key(0)).cortex.s_0[0].tolist()
    [0.5, 0.5]
    """

    mean: float = field(0.0, "mean of the initial state at birth", symbol="μ", low=-math.inf)
    sd: float = field(0.0, "standard deviation of the initial state at birth", symbol="σ", low=0)
    learned: bool = field(False, "whether the initial state learns")

    def __post_init__(self) -> None:
        check(self)

    @property
    def is_zero(self) -> bool:
        """Whether s₀ is zero for life, so that no weights stand for it."""
        return self.mean == 0 and self.sd == 0 and not self.learned

    def init(self, cortex: Cell, key: Key[Array, ""], dtype: jnp.dtype) -> State | None:
        """s₀ = mean + sd · N(0, 1) for every component of every unit; None where it is zero for life."""
        if self.is_zero:
            return None
        noise = jax.random.normal(key, (cortex.n_components, cortex.n_units), dtype)
        return tuple(self.mean + self.sd * noise)
