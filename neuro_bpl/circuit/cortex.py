"""The cortex: sₜ = f(sₜ₋₁, xₜ; W), as a linear drive and an element-wise step, for any cell of `cells`.

uₜ = W_in xₜ + W_rec hₜ₋₁ + b,    aₜ = activate(uₜ),    sₜ = combine(sₜ₋₁, aₜ)
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from neuro_bpl.circuit.cells.protocol import Cell, Gates, State
from neuro_bpl.circuit.synapses import affine, uniform


class CorticalWeights(NamedTuple):
    """W_in, W_rec and b, and the initial state.

    W_in has a block of `units` rows for each gate that reads inputs, W_rec one for each gate that reads rates, and b
    one for every gate; blocks are in the order of the gates. `s_0` is None in a circuit that starts from zero for life.
    """

    w_in: Float[Array, "input_drives inputs"]
    w_rec: Float[Array, "recurrent_drives units"]
    b: Float[Array, " drives"]
    s_0: State | None = None


def n_state(cortex: Cell) -> int:
    """Return length of the state vector."""
    return cortex.n_components * cortex.n_units


def init(cortex: Cell, key: Key[Array, ""], dtype: jnp.dtype) -> CorticalWeights:
    """Return weights and biases, uniform in ±1/√units."""
    units = cortex.n_units
    k_in, k_rec, k_b = jax.random.split(key, 3)
    return CorticalWeights(
        w_in=uniform(k_in, (len(cortex.input_gates) * units, cortex.n_inputs), units, dtype),
        w_rec=uniform(k_rec, (len(cortex.recurrent_gates) * units, units), units, dtype),
        b=uniform(k_b, (cortex.n_gates * units,), units, dtype),
    )


def initial_state(cortex: Cell, weights: CorticalWeights, batch: tuple[int, ...], dtype: jnp.dtype) -> State:
    """s₀, the same for every trial; zero where the weights hold none."""
    shape = (cortex.n_units, *batch)
    if weights.s_0 is None:
        return (jnp.zeros(shape, dtype),) * cortex.n_components
    ones = (1,) * len(batch)
    return tuple(jnp.broadcast_to(c.reshape(-1, *ones).astype(dtype), shape) for c in weights.s_0)


def split(cortex: Cell, a: Float[Array, "drives *batch"]) -> Gates:
    """Return the activated drives, gate by gate."""
    return tuple(jnp.split(a, cortex.n_gates))


def all_rows(cortex: Cell, gates: Sequence[int], w: Float[Array, "rows pre"]) -> Float[Array, "drives pre"]:
    """Return rows for every gate: those of the gates that have some, zero for the others."""
    if len(gates) == cortex.n_gates:
        return w
    own = dict(zip(gates, jnp.split(w, len(gates)), strict=True))
    absent = jnp.zeros((cortex.n_units, w.shape[1]), w.dtype)
    return jnp.concatenate([own.get(k, absent) for k in range(cortex.n_gates)])


def add_recurrent(
    cortex: Cell,
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
    cortex: Cell, weights: CorticalWeights, s_tm1: State, x_t: Float[Array, "inputs *batch"]
) -> Float[Array, "drives *batch"]:
    """aₜ = activate(W_in xₜ + W_rec hₜ₋₁ + b)."""
    drive_t = affine(all_rows(cortex, cortex.input_gates, weights.w_in), weights.b, x_t)
    return cortex.activate(add_recurrent(cortex, weights, drive_t, s_tm1[0]))


def step(cortex: Cell, weights: CorticalWeights, s_tm1: State, x_t: Float[Array, "inputs *batch"]) -> State:
    """sₜ = f(sₜ₋₁, xₜ; W)."""
    return cortex.combine(s_tm1, split(cortex, activation(cortex, weights, s_tm1, x_t)))


class Trajectory(NamedTuple):
    """What a trial leaves behind: the state before and after each step, and the activated gates."""

    s_tm1: tuple[Float[Array, "time units batch"], ...]
    s_t: tuple[Float[Array, "time units batch"], ...]
    a_t: Float[Array, "time drives batch"]


def run(cortex: Cell, weights: CorticalWeights, inputs: Float[Array, "time inputs batch"]) -> Trajectory:
    """Return all states of a batch of trials, from s₀ on."""
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
