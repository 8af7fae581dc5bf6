"""Temporal-difference learning of the predictor over a whole trial: λ-targets by one reverse sweep.

How each step mixes the bootstrap ĝₜ with the swept Gₜ tells BPTT, windows of n steps and λ-targets apart.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from neuro_bpl.circuit import jacobian
from neuro_bpl.circuit.cells.protocol import State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.whole_trial import StateInTime, WholeTrial, add_error

Scalar = float | Float[Array, ""]
Mix = Callable[[State, State, Int[Array, " batch"]], State]


def lambda_mix(prediction_t: State, target_t: State, discount: Scalar, lambda_: Scalar) -> State:
    """γ[(1 − λ) ĝₜ + λ G^λₜ]: the bracket of the λ-target, docs/theory.md (5)."""
    return jax.tree.map(lambda p, t: discount * ((1 - lambda_) * p + lambda_ * t), prediction_t, target_t)


def window_mix(prediction_t: State, swept_t: State, ends: Bool[Array, " batch"], discount: Scalar) -> State:
    """γ ĝₜ at the last step of a window, the swept gradient inside it."""
    return jax.tree.map(lambda p, s: jnp.where(ends, discount * p, s), prediction_t, swept_t)


def window_ends(steps_left: Int[Array, "*shape"], window: int | None) -> Bool[Array, "*shape"]:
    """Return whether a window of n steps ends here; the last one ends with the trial. None: one window."""
    return steps_left == 0 if window is None else steps_left % window == 0


def future(circuit: Circuit, weights: Weights, trial: WholeTrial, mix: Mix) -> StateInTime:
    """Gₜ = (lₜ₊₁ + mix(ĝₜ₊₁, Gₜ₊₁)) Jₜ₊₁ for all t, backwards from G_T = 0.

    With mix = Gₜ₊₁ this is the true future gradient (BPTT), with `lambda_mix` the λ-target. At a trial's own end lₜ, ĝₜ
    and Gₜ vanish, and with them everything after it.
    """
    cortex = circuit.cortex

    def sweep(G_t: State, at_t: tuple) -> tuple[State, State]:
        pull, error_t, prediction_t, left_t = at_t
        v_t = add_error(error_t, mix(prediction_t, G_t, left_t))
        return jacobian.pull_through(cortex, weights.cortex, pull, v_t), G_t

    path = trial.trajectory
    steps = (jacobian.element_pulls(cortex, path), trial.errors, trial.predictions, trial.steps_left)
    G_T = jax.tree.map(lambda s: jnp.zeros_like(s[0]), path.s_t)
    return jax.lax.scan(sweep, G_T, steps, reverse=True)[1]
