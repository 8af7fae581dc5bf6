"""One number for each synapse and trial, in blocks: synapses that exist, in arrays that are never put together."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl.circuit.cells.protocol import Cell, Gates
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.traces.protocol import CorticalStep


class Synapses(NamedTuple):
    """Numbers of the synapses from inputs, by gate that reads them; from rates, by gate that reads them; and biases."""

    w_in: tuple[Float[Array, "units inputs batch"], ...]
    w_rec: tuple[Float[Array, "units units_pre batch"], ...]
    b: tuple[Float[Array, "units batch"], ...]


def zeros(cortex: Cell, n_trials: int, dtype: jnp.dtype) -> Synapses:
    """0 for every synapse."""
    n = cortex.n_units
    return Synapses(
        (jnp.zeros((n, cortex.n_inputs, n_trials), dtype),) * len(cortex.input_gates),
        (jnp.zeros((n, n, n_trials), dtype),) * len(cortex.recurrent_gates),
        (jnp.zeros((n, n_trials), dtype),) * cortex.n_gates,
    )


def outer(cortex: Cell, drives: Gates, now: CorticalStep) -> Synapses:
    """Return a number for each drive times each of its sources, xₜ, hₜ₋₁ and 1."""
    return Synapses(
        tuple(drives[gate][:, None] * now.x_t for gate in cortex.input_gates),
        tuple(drives[gate][:, None] * now.s_tm1[0] for gate in cortex.recurrent_gates),
        tuple(drives),
    )


def outer_squared(cortex: Cell, drives: Gates, now: CorticalStep) -> Float[Array, " batch"]:
    """Return squared length of `outer`, trial by trial, from the lengths of its factors."""
    squares = jnp.stack([(drive * drive).sum(0) for drive in drives])
    inputs, rates = (now.x_t**2).sum(0), (now.s_tm1[0] ** 2).sum(0)
    read = [squares[jnp.array(gates)].sum(0) for gates in (cortex.input_gates, cortex.recurrent_gates)]
    return read[0] * inputs + read[1] * rates + squares.sum(0)


def scaled(factor: Float[Array, "*units batch"], numbers: Synapses) -> Synapses:
    """Return all numbers times one factor for each trial, or for each unit and trial."""

    def times(leaf: Float[Array, "units *pre batch"]) -> Float[Array, "units *pre batch"]:
        return factor.reshape(factor.shape[:-1] + (1,) * (leaf.ndim - factor.ndim) + factor.shape[-1:]) * leaf

    return jax.tree.map(times, numbers)


def sum_over_trials(credit: Float[Array, "units batch"], numbers: Synapses) -> CorticalWeights:
    """Σ over trials of the credit of a unit times the numbers of its synapses, in the structure of the weights."""

    def total(leaf: Float[Array, "units *pre batch"]) -> Float[Array, "units *pre"]:
        return jnp.einsum("ub,upb->up", credit, leaf) if leaf.ndim == 3 else (credit * leaf).sum(-1)

    w_in, w_rec, b = (jnp.concatenate([total(leaf) for leaf in blocks]) for blocks in numbers)
    return CorticalWeights(w_in, w_rec, b)


def dense(cortex: Cell, numbers: Synapses) -> Float[Array, "gate units pre batch"]:
    """Return all gates × [x; h; 1], with 0 where there is no synapse."""
    blocks = []
    for gate in range(cortex.n_gates):
        bias = numbers.b[gate][:, None]
        by_source = [
            of_gates[gates.index(gate)] if gate in gates else jnp.zeros((*bias.shape[:1], n, bias.shape[2]), bias.dtype)
            for of_gates, gates, n in (
                (numbers.w_in, cortex.input_gates, cortex.n_inputs),
                (numbers.w_rec, cortex.recurrent_gates, cortex.n_units),
            )
        ]
        blocks.append(jnp.concatenate([*by_source, bias], axis=1))
    return jnp.stack(blocks)
