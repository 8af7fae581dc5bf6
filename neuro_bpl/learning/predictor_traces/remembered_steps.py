"""Passages: the remembered steps of the cortex, through which a row vector can be pulled back to where it began."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning.lambda_targets import Scalar
from neuro_bpl.learning.predictor_traces.protocol import Extent
from neuro_bpl.learning.traces import CorticalStep
from neuro_bpl.refusals import refusal

Collect = Callable[[PyTree, Int[Array, ""], Float[Array, "state batch"]], PyTree]


class RememberedSteps(NamedTuple):
    """The latest steps in a ring: the state before each, the activated gates, and W_rec where weights change.

    `seen` is the number of steps since the trial began.
    """

    s_tm1: tuple[Float[Array, "age units batch"], ...]
    a_t: Float[Array, "age drives batch"]
    w_rec: Float[Array, "age recurrent_drives units"] | tuple[()]
    seen: Int[Array, ""]

    @property
    def horizon(self) -> int:
        """Most steps that are remembered."""
        return self.a_t.shape[0]

    @property
    def place(self) -> Int[Array, ""]:
        """Where in the ring the next step goes."""
        return self.seen % self.horizon


def horizon_of(extent: Extent, horizon: int | None) -> int:
    """Return steps to remember: those of a trial, or as many as are asked for."""
    if extent.n_steps is None and horizon is None:
        raise refusal(
            "horizon",
            None,
            "a whole number of steps",
            "where trials have no end, a history without a horizon would grow for ever",
            "HistorySweep(horizon=50)",
        )
    return min(steps for steps in (extent.n_steps, horizon) if steps is not None)


def begin(circuit: Circuit, weights: Weights, extent: Extent, horizon: int) -> RememberedSteps:
    """Return an empty history."""
    cortex, w_rec = circuit.cortex, weights.cortex.w_rec
    nothing = jnp.zeros((horizon, cortex.n_units, extent.n_trials), w_rec.dtype)
    return RememberedSteps(
        s_tm1=(nothing,) * cortex.n_components,
        a_t=jnp.tile(nothing, (1, cortex.n_gates, 1)),
        w_rec=() if extent.held else jnp.zeros((horizon, *w_rec.shape), w_rec.dtype),
        seen=jnp.zeros((), jnp.int32),
    )


def remember(passages: RememberedSteps, weights: CorticalWeights, now: CorticalStep) -> RememberedSteps:
    """Return the steps with that from sₜ₋₁ to sₜ in the place of the oldest one."""
    at = passages.place
    return RememberedSteps(
        s_tm1=tuple(put(at, past, new) for past, new in zip(passages.s_tm1, now.s_tm1, strict=True)),
        a_t=put(at, passages.a_t, now.a_t),
        w_rec=passages.w_rec if isinstance(passages.w_rec, tuple) else put(at, passages.w_rec, weights.w_rec),
        seen=passages.seen + 1,
    )


def put(at: Int[Array, ""], ring: Any, new: Array) -> Array:
    """Return the ring with a new array at a place."""
    return jax.lax.dynamic_update_index_in_dim(ring, new.astype(ring.dtype), at, 0)


def get(ring: Any, at: Int[Array, ""]) -> Array:
    """Return the array at a place of the ring."""
    return jax.lax.dynamic_index_in_dim(ring, at, 0, keepdims=False)


def sweep(
    circuit: Circuit,
    weights: CorticalWeights,
    passages: RememberedSteps,
    delta: Float[Array, "state batch"],
    decay: Scalar,
    tolerance: float,
    collect: Collect,
    start: PyTree,
) -> PyTree:
    """Σⱼ collect((γλ)^(k−j) δₖ J_k ⋯ J_(j+1)) over the remembered steps j, the latest first, docs/theory.md (30).

    It ends at the horizon, or where (γλ)^(k−j) falls below the tolerance.
    """
    kept = jnp.minimum(passages.seen, passages.horizon)

    def goes_on(carry: tuple) -> Array:
        age, size, _, _ = carry
        return (age < kept) & (size >= tolerance)

    def back(carry: tuple) -> tuple:
        age, size, c, total = carry
        at = (passages.seen - 1 - age) % passages.horizon
        total = collect(total, at, c)
        return age + 1, size * decay, decay * pull(circuit, weights, passages, at, c), total

    first = (jnp.zeros_like(kept), jnp.ones((), delta.dtype), delta, start)
    return jax.lax.while_loop(goes_on, back, first)[-1]


def swept_rows(
    circuit: Circuit,
    weights: CorticalWeights,
    passages: RememberedSteps,
    delta: Float[Array, "state batch"],
    decay: Scalar,
    tolerance: float,
) -> Float[Array, "age state batch"]:
    """(γλ)^(k−j) δₖ J_k ⋯ J_(j+1) at the place of every remembered step j; zero where the sweep did not come."""

    def keep(rows: Array, at: Int[Array, ""], c: Float[Array, "state batch"]) -> Array:
        return put(at, rows, c)

    nothing = jnp.zeros((passages.horizon, *delta.shape), delta.dtype)
    return sweep(circuit, weights, passages, delta, decay, tolerance, keep, nothing)


def pull(
    circuit: Circuit,
    weights: CorticalWeights,
    passages: RememberedSteps,
    at: Int[Array, ""],
    c: Float[Array, "state batch"],
) -> Float[Array, "state batch"]:
    """c Jₜ, through a remembered step."""
    then = weights if isinstance(passages.w_rec, tuple) else weights._replace(w_rec=get(passages.w_rec, at))
    s_tm1 = tuple(get(past, at) for past in passages.s_tm1)
    by_component = tuple(jnp.split(c, circuit.cortex.n_components))
    return jnp.concatenate(jacobian.pull_state(circuit.cortex, then, s_tm1, get(passages.a_t, at), by_component))
