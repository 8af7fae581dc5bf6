"""The cortex: sₜ = f(sₜ₋₁, xₜ; W), as a linear drive and an element-wise step, for any cell of `cells`.

uₜ = W_in xₜ + W_rec hₜ₋₁ + b,    aₜ = activate(uₜ),    sₜ = combine(sₜ₋₁, aₜ)
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from neuro_bpl.cells import Cortex, Gates, State
from neuro_bpl.synapses import affine, outer, uniform

Pull = Callable[[State], tuple[State, Gates]]


class CorticalWeights(NamedTuple):
    """W_in, W_rec and b, and the initial state.

    W_in has a block of `units` rows for each gate that reads inputs, W_rec one for each gate that reads rates, and b
    one for every gate; blocks are in the order of the gates. `s_0` is None in a circuit that starts from zero for life.
    """

    w_in: Float[Array, "input_drives inputs"]
    w_rec: Float[Array, "recurrent_drives units"]
    b: Float[Array, " drives"]
    s_0: State | None = None


def n_state(cortex: Cortex) -> int:
    """Length of the state vector."""
    return cortex.n_components * cortex.n_units


def init(cortex: Cortex, key: Key[Array, ""], dtype: jnp.dtype) -> CorticalWeights:
    """Weights and biases, uniform in ±1/√units."""
    units = cortex.n_units
    k_in, k_rec, k_b = jax.random.split(key, 3)
    return CorticalWeights(
        w_in=uniform(k_in, (len(cortex.input_gates) * units, cortex.n_inputs), units, dtype),
        w_rec=uniform(k_rec, (len(cortex.recurrent_gates) * units, units), units, dtype),
        b=uniform(k_b, (cortex.n_gates * units,), units, dtype),
    )


def initial_state(cortex: Cortex, weights: CorticalWeights, batch: tuple[int, ...], dtype: jnp.dtype) -> State:
    """s₀, the same for every trial; zero where the weights hold none."""
    shape = (cortex.n_units, *batch)
    if weights.s_0 is None:
        return (jnp.zeros(shape, dtype),) * cortex.n_components
    ones = (1,) * len(batch)
    return tuple(jnp.broadcast_to(c.reshape(-1, *ones).astype(dtype), shape) for c in weights.s_0)


def split(cortex: Cortex, a: Float[Array, "drives *batch"]) -> Gates:
    """The activated drives, gate by gate."""
    return tuple(jnp.split(a, cortex.n_gates))


def all_rows(cortex: Cortex, gates: Sequence[int], w: Float[Array, "rows pre"]) -> Float[Array, "drives pre"]:
    """Rows for every gate: those of the gates that have some, zero for the others."""
    if len(gates) == cortex.n_gates:
        return w
    own = dict(zip(gates, jnp.split(w, len(gates)), strict=True))
    absent = jnp.zeros((cortex.n_units, w.shape[1]), w.dtype)
    return jnp.concatenate([own.get(k, absent) for k in range(cortex.n_gates)])


def own_rows(cortex: Cortex, gates: Sequence[int], w: Float[Array, "drives pre"]) -> Float[Array, "rows pre"]:
    """The rows of some of the gates."""
    if len(gates) == cortex.n_gates:
        return w
    blocks = jnp.split(w, cortex.n_gates)
    return jnp.concatenate([blocks[k] for k in gates])


def add_recurrent(
    cortex: Cortex,
    weights: CorticalWeights,
    drive_t: Float[Array, "drives *batch"],
    h_tm1: Float[Array, "units *batch"],
) -> Float[Array, "drives *batch"]:
    """uₜ = (W_in xₜ + b) + W_rec hₜ₋₁ in the gates that read rates, the bracket alone in the others."""
    recurrent = jnp.tensordot(weights.w_rec, h_tm1, 1)
    if len(cortex.recurrent_gates) == cortex.n_gates:
        return drive_t + recurrent
    # Added where it belongs: at every step of a scan, filling up W_rec with zeros would cost more than the product.
    by_gate = drive_t.reshape(cortex.n_gates, *h_tm1.shape)
    for k, block in zip(cortex.recurrent_gates, jnp.split(recurrent, len(cortex.recurrent_gates)), strict=True):
        by_gate = by_gate.at[k].add(block)
    return by_gate.reshape(drive_t.shape)


def activation(
    cortex: Cortex, weights: CorticalWeights, s_tm1: State, x_t: Float[Array, "inputs *batch"]
) -> Float[Array, "drives *batch"]:
    """aₜ = activate(W_in xₜ + W_rec hₜ₋₁ + b)."""
    drive_t = affine(all_rows(cortex, cortex.input_gates, weights.w_in), weights.b, x_t)
    return cortex.activate(add_recurrent(cortex, weights, drive_t, s_tm1[0]))


def step(cortex: Cortex, weights: CorticalWeights, s_tm1: State, x_t: Float[Array, "inputs *batch"]) -> State:
    """sₜ = f(sₜ₋₁, xₜ; W)."""
    return cortex.combine(s_tm1, split(cortex, activation(cortex, weights, s_tm1, x_t)))


class Trajectory(NamedTuple):
    """What a trial leaves behind: the state before and after each step, and the activated gates."""

    s_tm1: tuple[Float[Array, "time units batch"], ...]
    s_t: tuple[Float[Array, "time units batch"], ...]
    a_t: Float[Array, "time drives batch"]


def run(cortex: Cortex, weights: CorticalWeights, inputs: Float[Array, "time inputs batch"]) -> Trajectory:
    """All states of a batch of trials, from s₀ on."""
    w_in = all_rows(cortex, cortex.input_gates, weights.w_in)
    drives = jnp.einsum("di,tib->tdb", w_in, inputs) + weights.b[:, None]

    def advance(
        s_tm1: State, drive_t: Float[Array, "drives batch"]
    ) -> tuple[State, tuple[State, State, Float[Array, "drives batch"]]]:
        a_t = cortex.activate(add_recurrent(cortex, weights, drive_t, s_tm1[0]))
        s_t = cortex.combine(s_tm1, split(cortex, a_t))
        return s_t, (s_tm1, s_t, a_t)

    s_0 = initial_state(cortex, weights, inputs.shape[2:], inputs.dtype)
    return Trajectory(*jax.lax.scan(advance, s_0, drives)[1])


def element_pull(cortex: Cortex, s_tm1: State, a_t: Float[Array, "drives *batch"]) -> Pull:
    """The linear map c ↦ (c ∂sₜ/∂sₜ₋₁|_u, c ∂sₜ/∂uₜ) of one step.

    It is a pytree of the slopes it needs. A reverse sweep that has those of all steps beforehand computes no
    transcendental function between its products, and each of them once.
    """
    gates = split(cortex, a_t)
    pull = jax.vjp(cortex.combine, s_tm1, gates)[1]
    return jax.tree_util.Partial(_pull_elements, pull, cortex.slopes(gates))


def _pull_elements(pull: Callable[[State], tuple[State, Gates]], slopes: Gates, credit_t: State) -> tuple[State, Gates]:
    direct, on_gates = pull(tuple(jnp.broadcast_to(c, slopes[0].shape) for c in credit_t))
    return direct, tuple(c * slope for c, slope in zip(on_gates, slopes, strict=True))


def element_pulls(cortex: Cortex, trajectory: Trajectory) -> Pull:
    """`element_pull` of every step of a trial, for a scan to go through."""
    return jax.vmap(lambda s_tm1, a_t: element_pull(cortex, s_tm1, a_t))(trajectory.s_tm1, trajectory.a_t)


def pull_gates(
    cortex: Cortex, s_tm1: State, a_t: Float[Array, "drives *batch"], credit_t: State
) -> tuple[State, Gates]:
    """Pull a cotangent of sₜ back to the direct path and to the drives: (c ∂sₜ/∂sₜ₋₁|_u, c ∂sₜ/∂uₜ).

    The first one is c D with D the Jacobian carried by the cell itself (docs/theory.md, section on traces).
    """
    return element_pull(cortex, s_tm1, a_t)(credit_t)


def pull_recurrent(cortex: Cortex, weights: CorticalWeights, drives: Gates) -> Float[Array, "units *batch"]:
    """Pull a cotangent of the drives back through W_rec to the rates: W_recᵀ c of the gates that read them."""
    return jnp.tensordot(weights.w_rec.T, jnp.concatenate([drives[k] for k in cortex.recurrent_gates]), 1)


def pull_through(cortex: Cortex, weights: CorticalWeights, pull: Pull, credit_t: State) -> State:
    """c Jₜ, from what the cell does with a cotangent: `pull_state`."""
    (on_rates, *others), drives = pull(credit_t)
    return (on_rates + pull_recurrent(cortex, weights, drives), *others)


def pull_state(
    cortex: Cortex, weights: CorticalWeights, s_tm1: State, a_t: Float[Array, "drives *batch"], credit_t: State
) -> State:
    """c Jₜ: pull a cotangent of sₜ back to sₜ₋₁, through the cell and through W_rec."""
    return pull_through(cortex, weights, element_pull(cortex, s_tm1, a_t), credit_t)


def recurrent_blocks(cortex: Cortex, weights: CorticalWeights) -> dict[int, Float[Array, "units units"]]:
    """W_rec of each gate that reads the rates."""
    blocks = jnp.split(weights.w_rec, len(cortex.recurrent_gates))
    return dict(zip(cortex.recurrent_gates, blocks, strict=True))


def autapses(cortex: Cortex, weights: CorticalWeights) -> dict[int, Float[Array, " units"]]:
    """Weight of every unit onto itself, by gate."""
    return {gate: jnp.diagonal(w) for gate, w in recurrent_blocks(cortex, weights).items()}


def pull_own(
    cortex: Cortex, weights: CorticalWeights, s_tm1: State, a_t: Float[Array, "drives *batch"], credit_t: State
) -> tuple[State, Gates]:
    """c diag(Jₜ): pull a cotangent of sₜ back within a unit, through the cell and its autapse; and to the drives."""
    (on_rates, *others), drives = pull_gates(cortex, s_tm1, a_t, credit_t)
    looped = (w.reshape(-1, *[1] * (a_t.ndim - 1)) * drives[gate] for gate, w in autapses(cortex, weights).items())
    return (sum(looped, start=on_rates), *others), drives


class LocalSlopes(NamedTuple):
    """Slopes of an element-wise step: `direct[c][d]` of component c by component d, `drive[c][g]` by the drive g."""

    direct: tuple[State, ...]
    drive: tuple[Gates, ...]


def local_slopes(cortex: Cortex, s_tm1: State, a_t: Float[Array, "drives *batch"]) -> LocalSlopes:
    """∂sₜ/∂sₜ₋₁|_u and ∂sₜ/∂uₜ, one number for each unit."""
    one, nothing = jnp.ones_like(s_tm1[0]), jnp.zeros_like(s_tm1[0])
    ranks = range(cortex.n_components)
    unit_vectors = [tuple(one if k == component else nothing for k in ranks) for component in ranks]
    return LocalSlopes(*zip(*(pull_gates(cortex, s_tm1, a_t, vector) for vector in unit_vectors), strict=True))


def push_state(cortex: Cortex, weights: CorticalWeights, local: LocalSlopes, tangent: State) -> State:
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
    cortex: Cortex,
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


def as_weights(cortex: Cortex, gradient: Float[Array, "gate units pre"]) -> CorticalWeights:
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
    cortex: Cortex, weights: CorticalWeights, s_tm1: State, x_t: Float[Array, " inputs"]
) -> Float[Array, "state state"]:
    """Jₜ = ∂sₜ/∂sₜ₋₁ of one trial, exact, by forward-mode differentiation of `step`."""

    def flat_step(s: Float[Array, " state"]) -> Float[Array, " state"]:
        return jnp.concatenate(step(cortex, weights, tuple(jnp.split(s, cortex.n_components)), x_t))

    return jax.jacfwd(flat_step)(jnp.concatenate(s_tm1))
