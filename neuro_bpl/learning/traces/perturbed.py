"""Eligibility by trying: what noise did to the state, kept until it is known what that was worth."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from neuro_bpl.circuit import cortex as cortical
from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import Cell, State
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.credit import StepCredit
from neuro_bpl.learning.traces import by_synapse
from neuro_bpl.learning.traces.by_synapse import Synapses
from neuro_bpl.learning.traces.protocol import CorticalStep, no_influence
from neuro_bpl.parameters import check, documented, field


class PerturbedTrace(NamedTuple):
    """The perturbed twin's state s̃, the eligibility of synapses and of s₀, and whether the first step is to come."""

    twin: State
    synapses: Synapses
    s_0: State
    is_first: Bool[Array, ""]


@documented
@partial(jax.tree_util.register_dataclass, data_fields=("sd",), meta_fields=())
@dataclass(frozen=True)
class Perturbed:
    """eₜ = eₜ₋₁ + ξₜ ∂sₜ/∂W|_{sₜ₋₁}, with s̃ₜ = f(s̃ₜ₋₁, xₜ) + σ ξₜ of a perturbed twin, docs/theory.md (27).

    Node perturbation (Werfel, Xie & Seung 2005, Neural Comput 17:2699; Fiete & Seung 2006, Phys Rev Lett 97:048104):
    the excess cost of the twin over the unperturbed cortex, times e/σ, is the gradient on average, up to O(σ²).

    Raises
    ------
    ValueError
        If σ is not positive.
    """

    sd: float = field(1e-3, "standard deviation of the perturbation of each state variable", symbol="σ", above=0)

    paths = "trial"
    stochastic = True

    def __post_init__(self) -> None:
        check(self)

    def init(self, cortex: Cell, weights: CorticalWeights, n_trials: int, dtype: jnp.dtype, key: Any) -> PerturbedTrace:
        """Return the state before the first step: that of the perturbed twin is s₀, too."""
        return PerturbedTrace(
            twin=cortical.initial_state(cortex, weights, (n_trials,), dtype),
            synapses=by_synapse.zeros(cortex, n_trials, dtype),
            s_0=no_influence(cortex, (n_trials,), dtype),
            is_first=jnp.array(True),
        )

    def step(
        self, cortex: Cell, weights: CorticalWeights, trace: PerturbedTrace, now: CorticalStep, credit: StepCredit
    ) -> tuple[PerturbedTrace, CorticalWeights]:
        """(ℓₜ(s̃ₜ) − ℓₜ(sₜ)) eₜ / σ."""
        keys = jax.random.split(now.key, cortex.n_components)
        xi = tuple(jax.random.normal(k, s.shape, s.dtype) for k, s in zip(keys, now.s_tm1, strict=True))
        trace = advance(cortex, weights, trace, now, xi, self.sd)
        excess = credit.excess(trace.twin) / self.sd
        gradient = by_synapse.sum_over_trials(jnp.broadcast_to(excess, now.s_tm1[0].shape), trace.synapses)
        credit_0 = tuple(excess * component for component in trace.s_0)
        return trace, gradient._replace(s_0=jacobian.initial_state_gradient(weights, credit_0))


def advance(
    cortex: Cell,
    weights: CorticalWeights,
    trace: PerturbedTrace,
    now: CorticalStep,
    xi: State,
    sd: float | Float[Array, ""],
) -> PerturbedTrace:
    """Return the twin's state and the eligibility, from given noise; s₀ is judged by the noise of the first step."""
    moved = cortical.step(cortex, weights, trace.twin, now.x_t)
    _, pulled = jacobian.pull_gates(cortex, now.s_tm1, now.a_t, xi)
    first = jacobian.pull_state(cortex, weights, now.s_tm1, now.a_t, xi)
    return PerturbedTrace(
        twin=tuple(s + sd * noise for s, noise in zip(moved, xi, strict=True)),
        synapses=jax.tree.map(jnp.add, trace.synapses, by_synapse.outer(cortex, pulled, now)),
        s_0=tuple(jnp.where(trace.is_first, f, e) for f, e in zip(first, trace.s_0, strict=True)),
        is_first=jnp.array(False),
    )
