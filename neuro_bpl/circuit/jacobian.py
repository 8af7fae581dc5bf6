"""The Jacobian Jₜ = ∂sₜ/∂sₜ₋₁ of the cortex as products: cotangents pulled back, tangents pushed forward."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit.cells.protocol import Cell, Gates, State
from neuro_bpl.circuit.cortex import CorticalWeights, Trajectory, split, step
from neuro_bpl.circuit.synapses import outer

Pull = Callable[[State], tuple[State, Gates]]


def own_rows(cortex: Cell, gates: Sequence[int], w: Float[Array, "drives pre"]) -> Float[Array, "rows pre"]:
    """Return the rows of some of the gates."""
    if len(gates) == cortex.n_gates:
        return w
    blocks = jnp.split(w, cortex.n_gates)
    return jnp.concatenate([blocks[k] for k in gates])


def element_pull(cortex: Cell, s_tm1: State, a_t: Float[Array, "drives *batch"]) -> Pull:
    """Return the linear map c ↦ (c ∂sₜ/∂sₜ₋₁|_u, c ∂sₜ/∂uₜ) of one step.

    It is a pytree of the slopes it needs. A reverse sweep that has those of all steps beforehand computes no
    transcendental function between its products, and each of them once.
    """
    gates = split(cortex, a_t)
    pull = jax.vjp(cortex.combine, s_tm1, gates)[1]
    return jax.tree_util.Partial(_pull_elements, pull, cortex.slopes(gates))


def _pull_elements(pull: Callable[[State], tuple[State, Gates]], slopes: Gates, credit_t: State) -> tuple[State, Gates]:
    direct, on_gates = pull(tuple(jnp.broadcast_to(c, slopes[0].shape) for c in credit_t))
    return direct, tuple(c * slope for c, slope in zip(on_gates, slopes, strict=True))


def element_pulls(cortex: Cell, trajectory: Trajectory) -> Pull:
    """`element_pull` of every step of a trial, for a scan to go through."""
    return jax.vmap(lambda s_tm1, a_t: element_pull(cortex, s_tm1, a_t))(trajectory.s_tm1, trajectory.a_t)


def pull_gates(cortex: Cell, s_tm1: State, a_t: Float[Array, "drives *batch"], credit_t: State) -> tuple[State, Gates]:
    """Pull a cotangent of sₜ back to the direct path and to the drives: (c ∂sₜ/∂sₜ₋₁|_u, c ∂sₜ/∂uₜ).

    The first one is c D with D the Jacobian carried by the cell itself (docs/theory.md, section on traces).
    """
    return element_pull(cortex, s_tm1, a_t)(credit_t)


def pull_recurrent(cortex: Cell, weights: CorticalWeights, drives: Gates) -> Float[Array, "units *batch"]:
    """Pull a cotangent of the drives back through W_rec to the rates: W_recᵀ c of the gates that read them."""
    return jnp.tensordot(weights.w_rec.T, jnp.concatenate([drives[k] for k in cortex.recurrent_gates]), 1)


def pull_through(cortex: Cell, weights: CorticalWeights, pull: Pull, credit_t: State) -> State:
    """c Jₜ, from what the cell does with a cotangent: `pull_state`."""
    (on_rates, *others), drives = pull(credit_t)
    return (on_rates + pull_recurrent(cortex, weights, drives), *others)


def pull_state(
    cortex: Cell, weights: CorticalWeights, s_tm1: State, a_t: Float[Array, "drives *batch"], credit_t: State
) -> State:
    """c Jₜ: pull a cotangent of sₜ back to sₜ₋₁, through the cell and through W_rec."""
    return pull_through(cortex, weights, element_pull(cortex, s_tm1, a_t), credit_t)


def recurrent_blocks(cortex: Cell, weights: CorticalWeights) -> dict[int, Float[Array, "units units"]]:
    """W_rec of each gate that reads the rates."""
    blocks = jnp.split(weights.w_rec, len(cortex.recurrent_gates))
    return dict(zip(cortex.recurrent_gates, blocks, strict=True))


def autapses(cortex: Cell, weights: CorticalWeights) -> dict[int, Float[Array, " units"]]:
    """Return weight of every unit onto itself, by gate."""
    return {gate: jnp.diagonal(w) for gate, w in recurrent_blocks(cortex, weights).items()}


def pull_own(
    cortex: Cell, weights: CorticalWeights, s_tm1: State, a_t: Float[Array, "drives *batch"], credit_t: State
) -> tuple[State, Gates]:
    """c diag(Jₜ): pull a cotangent of sₜ back within a unit, through the cell and its autapse; and to the drives."""
    (on_rates, *others), drives = pull_gates(cortex, s_tm1, a_t, credit_t)
    looped = (w.reshape(-1, *[1] * (a_t.ndim - 1)) * drives[gate] for gate, w in autapses(cortex, weights).items())
    return (sum(looped, start=on_rates), *others), drives


class LocalSlopes(NamedTuple):
    """Slopes of an element-wise step: `direct[c][d]` of component c by component d, `drive[c][g]` by the drive g."""

    direct: tuple[State, ...]
    drive: tuple[Gates, ...]


def local_slopes(cortex: Cell, s_tm1: State, a_t: Float[Array, "drives *batch"]) -> LocalSlopes:
    """∂sₜ/∂sₜ₋₁|_u and ∂sₜ/∂uₜ, one number for each unit."""
    one, nothing = jnp.ones_like(s_tm1[0]), jnp.zeros_like(s_tm1[0])
    ranks = range(cortex.n_components)
    unit_vectors = [tuple(one if k == component else nothing for k in ranks) for component in ranks]
    return LocalSlopes(*zip(*(pull_gates(cortex, s_tm1, a_t, vector) for vector in unit_vectors), strict=True))


def push_state(cortex: Cell, weights: CorticalWeights, local: LocalSlopes, tangent: State) -> State:
    """Jₜ v: push a change of sₜ₋₁ forward to sₜ; v has components `(units, ..., batch)`."""

    def times(slope: Float[Array, "units batch"], v: Float[Array, "units *others"]) -> Float[Array, "units *others"]:
        return slope.reshape(slope.shape[:1] + (1,) * (v.ndim - 2) + slope.shape[1:]) * v

    drives = {gate: jnp.tensordot(w, tangent[0], 1) for gate, w in recurrent_blocks(cortex, weights).items()}
    return tuple(
        sum((times(drive[gate], u) for gate, u in drives.items()), start=times(direct[0], tangent[0]))
        + sum(times(d, v) for d, v in zip(direct[1:], tangent[1:], strict=True))
        for direct, drive in zip(local.direct, local.drive, strict=True)
    )


def weight_gradient(
    cortex: Cell,
    drives: tuple[Float[Array, "time units batch"], ...],
    h_tm1: Float[Array, "time units batch"],
    inputs: Float[Array, "time inputs batch"],
) -> CorticalWeights:
    """Σ_t (cₜ ∂sₜ/∂uₜ) ∂uₜ/∂W|_{sₜ₋₁ held}: outer products with xₜ, hₜ₋₁ and 1, as far as a gate reads them."""
    return CorticalWeights(
        w_in=jnp.concatenate([outer(drives[k], inputs) for k in cortex.input_gates]),
        w_rec=jnp.concatenate([outer(drives[k], h_tm1) for k in cortex.recurrent_gates]),
        b=jnp.concatenate([c.sum((0, 2)) for c in drives]),
    )


def as_weights(cortex: Cell, gradient: Float[Array, "gate units pre"]) -> CorticalWeights:
    """One number for each drive and each source [xₜ; hₜ₋₁; 1], in the structure of the weights: those that exist."""
    rows = gradient.reshape(cortex.n_gates * cortex.n_units, -1)
    w_in, w_rec, b = jnp.split(rows, [cortex.n_inputs, cortex.n_inputs + cortex.n_units], axis=1)
    return CorticalWeights(
        own_rows(cortex, cortex.input_gates, w_in), own_rows(cortex, cortex.recurrent_gates, w_rec), b[:, 0]
    )


def initial_state_gradient(weights: CorticalWeights, credit_0: State) -> State | None:
    """Credit on s₀ summed over trials, for all share it, docs/theory.md (17); None where the weights hold no s₀."""
    return None if weights.s_0 is None else tuple(c.sum(-1) for c in credit_0)


def jacobian(
    cortex: Cell, weights: CorticalWeights, s_tm1: State, x_t: Float[Array, " inputs"]
) -> Float[Array, "state state"]:
    """Jₜ = ∂sₜ/∂sₜ₋₁ of one trial, exact, by forward-mode differentiation of `step`."""

    def flat_step(s: Float[Array, " state"]) -> Float[Array, " state"]:
        return jnp.concatenate(step(cortex, weights, tuple(jnp.split(s, cortex.n_components)), x_t))

    return jax.jacfwd(flat_step)(jnp.concatenate(s_tm1))
