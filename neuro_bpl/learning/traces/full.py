"""The full influence of every synapse on every unit, and what is left of it within a few synapses."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.credit import StepCredit
from neuro_bpl.learning.traces.protocol import CorticalStep, identity, n_sources, no_influence
from neuro_bpl.parameters import check, documented, field


class Influence(NamedTuple):
    """∂sₜ/∂W `(units, gate, units, pre, batch)` and ∂sₜ/∂s₀ `(units, component, units, batch)`, by state component."""

    synapses: State
    s_0: State | None


@documented
@jax.tree_util.register_static
@dataclass(frozen=True)
class Full:
    """Pₜ = Jₜ Pₜ₋₁ + ∂sₜ/∂W|_{sₜ₋₁}: RTRL (Williams & Zipser 1989, Neural Comput 1:270), docs/theory.md (23).

    With a `reach` of n, entries of P are kept where a synapse of unit j can affect unit i within n steps, that is,
    where a path of at most n − 1 recurrent synapses leads from j to i: SnAp-n (Menick et al. 2021, ICLR),
    docs/theory.md (24). A synapse exists where its weight is not zero. In a densely connected cortex a reach of 2 is
    RTRL.

    Memory is units² · gates · (inputs + units + 1) numbers for each state component and trial, and a step takes units ·
    gates multiplications of each, whatever the reach: the entries left out are zeros that are stored.

    Raises
    ------
    ValueError
        If the reach is not a whole number of at least 2 (a reach of 1 is `Diagonal`).
    """

    reach: int | None = field(None, "steps within which an influence is kept (None: all)", low=2, symbol="n")

    paths = "recurrent"

    def __post_init__(self) -> None:
        check(self)

    @property
    def label(self) -> str:
        """Full, or SnAp-n."""
        return "full" if self.reach is None else f"SnAp-{self.reach}"

    def init(self, cortex: Cell, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype, key: Any) -> Influence:
        """P₀ = 0, and ∂s₀/∂s₀ = I."""
        shape = (cortex.n_gates, cortex.n_units, n_sources(cortex), n_trials)
        s_0 = None if weights.s_0 is None else identity(cortex, dtype, n_trials)
        return Influence(no_influence(cortex, shape, dtype), s_0)

    def step(
        self, cortex: Cell, weights: CorticalWeights, trace: Influence, now: CorticalStep, credit: StepCredit
    ) -> tuple[Influence, CorticalWeights]:
        """lₜ Pₜ."""
        local = jacobian.local_slopes(cortex, now.s_tm1, now.a_t)
        within = jnp.ones((cortex.n_units,) * 2, bool) if self.reach is None else pattern(cortex, weights, self.reach)
        own = jnp.eye(cortex.n_units, dtype=now.x_t.dtype)[:, None, :, None, None]
        immediate = (
            own * jnp.stack(drive, 1)[:, :, None, None, :] * now.sources()[None, None, None] for drive in local.drive
        )
        pushed = jacobian.push_state(cortex, weights, local, trace.synapses)
        synapses = tuple(
            jnp.where(within[:, None, :, None, None], p, 0) + m for p, m in zip(pushed, immediate, strict=True)
        )
        s_0 = trace.s_0
        if s_0 is not None:
            pushed = jacobian.push_state(cortex, weights, local, s_0)
            s_0 = tuple(jnp.where(within[:, None, :, None], p, 0) for p in pushed)
        trace = Influence(synapses, s_0)
        return trace, _share(cortex, weights, credit.error_t, trace)


def pattern(cortex: Cell, weights: CorticalWeights, reach: int) -> Bool[Array, "units units"]:
    """Return whether unit i is reached from unit j by at most reach − 1 recurrent synapses that exist."""
    exists = jnp.stack([w != 0 for w in jacobian.recurrent_blocks(cortex, weights).values()]).any(0)
    one_more = exists | jnp.eye(cortex.n_units, dtype=bool)
    within = one_more
    for _ in range(min(reach, cortex.n_units) - 2):  # no path without a loop is longer
        within = (one_more[:, :, None] & within[None]).any(1)
    return within


def _share(
    cortex: Cell, weights: CorticalWeights, error_t: Float[Array, "units batch"], trace: Influence
) -> CorticalWeights:
    gradient = jacobian.as_weights(cortex, jnp.einsum("ub,ugvpb->gvp", error_t, trace.synapses[0]))
    if trace.s_0 is None:
        return gradient
    return gradient._replace(s_0=tuple(jnp.einsum("ub,uivb->iv", error_t, trace.s_0[0])))
