"""Temporal-difference learning of the predictor: λ-targets, TD errors, predictor traces.

The forward view needs one reverse sweep of vector–Jacobian products; how each step mixes the bootstrap ĝₜ with the
swept Gₜ tells BPTT, windows of n steps and λ-targets apart. The backward view carries traces forward in time.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from neuro_bpl import cortex as cortical
from neuro_bpl.cells import Cortex, State
from neuro_bpl.cerebellum import Predictor
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.episode import Episode, StateInTime, add_error

Scalar = float | Float[Array, ""]
Mix = Callable[[State, State, Int[Array, " batch"]], State]


def lambda_mix(prediction_t: State, target_t: State, discount: Scalar, lambda_: Scalar) -> State:
    """γ[(1 − λ) ĝₜ + λ G^λₜ]: the bracket of the λ-target, docs/theory.md (5)."""
    return jax.tree.map(lambda p, t: discount * ((1 - lambda_) * p + lambda_ * t), prediction_t, target_t)


def window_mix(prediction_t: State, swept_t: State, ends: Bool[Array, " batch"], discount: Scalar) -> State:
    """γ ĝₜ at the last step of a window, the swept gradient inside it."""
    return jax.tree.map(lambda p, s: jnp.where(ends, discount * p, s), prediction_t, swept_t)


def window_ends(steps_left: Int[Array, "*shape"], window: int | None) -> Bool[Array, "*shape"]:
    """Whether a window of n steps ends here; the last one ends with the trial. None: one window."""
    return steps_left == 0 if window is None else steps_left % window == 0


def future(circuit: Circuit, weights: Weights, episode: Episode, mix: Mix) -> StateInTime:
    """Gₜ = (lₜ₊₁ + mix(ĝₜ₊₁, Gₜ₊₁)) Jₜ₊₁ for all t, backwards from G_T = 0.

    With mix = Gₜ₊₁ this is the true future gradient (BPTT), with `lambda_mix` the λ-target. At a trial's own end lₜ, ĝₜ
    and Gₜ vanish, and with them everything after it.
    """
    cortex = circuit.cortex

    def sweep(G_t: State, at_t: tuple) -> tuple[State, State]:
        s_tm1, a_t, error_t, prediction_t, left_t = at_t
        v_t = add_error(error_t, mix(prediction_t, G_t, left_t))
        return cortical.pull_state(cortex, weights.cortex, s_tm1, a_t, v_t), G_t

    path = episode.trajectory
    steps = (path.s_tm1, path.a_t, episode.errors, episode.predictions, episode.steps_left)
    G_T = jax.tree.map(lambda s: jnp.zeros_like(s[0]), path.s_t)
    return jax.lax.scan(sweep, G_T, steps, reverse=True)[1]


def td_error(
    cortex: Cortex,
    weights: cortical.CorticalWeights,
    s_tm1: State,
    a_t: Float[Array, "drives *batch"],
    bootstrap_t: State,
    prediction_tm1: State,
) -> State:
    """δₜ₋₁ = (lₜ + γ ĝₜ) Jₜ − ĝₜ₋₁, docs/theory.md (6), known one step late; the bracket is `bootstrap_t`."""
    pulled = cortical.pull_state(cortex, weights, s_tm1, a_t, bootstrap_t)
    return jax.tree.map(jnp.subtract, pulled, prediction_tm1)


def predictor_trace(
    trace_tm1: PyTree, jacobian_t: Float[Array, "state state"], slope_t: PyTree, decay: Scalar
) -> PyTree:
    """eₜ = γλ Jₜ eₜ₋₁ + ∂ĝₜ/∂θ for one trial, docs/theory.md (9)."""
    return jax.tree.map(lambda e, d: decay * jnp.tensordot(jacobian_t, e, 1) + d, trace_tm1, slope_t)


def predictor_slope(predictor: Predictor, theta: PyTree, fibres_t: Float[Array, " fibres"]) -> list[Array]:
    """∂ĝₜ/∂θ of one trial for each array of θ that learns, the predicted gradient's axis first."""
    free = [w for w, learns in _with_plasticity(predictor, theta) if learns]
    return jax.jacrev(lambda free: predictor.predict(_merge(predictor, theta, free), fibres_t))(free)


def no_trace(predictor: Predictor, theta: PyTree, n_trials: int, n_state: int) -> list[Array]:
    """e₀ = 0 of each trial, for each array of θ that learns."""
    return [
        jnp.zeros((n_trials, n_state, *w.shape), w.dtype) for w, learns in _with_plasticity(predictor, theta) if learns
    ]


def trace_gradient(
    predictor: Predictor, theta: PyTree, error: Float[Array, "state batch"], trace: list[Array]
) -> PyTree:
    """−⟨δₜ eₜ⟩ over trials, zero for weights that do not learn: docs/theory.md (8), backward view."""
    n_trials = error.shape[-1]
    steps = [-jnp.einsum("sb,bs...->...", error, e) / n_trials for e in trace]
    return _merge(predictor, jax.tree.map(jnp.zeros_like, theta), steps)


def _with_plasticity(predictor: Predictor, theta: PyTree) -> list[tuple[Array, bool]]:
    return list(zip(jax.tree.leaves(theta), jax.tree.leaves(predictor.plastic(theta)), strict=True))


def _merge(predictor: Predictor, theta: PyTree, free: list[Array]) -> PyTree:
    """Θ with the arrays that learn replaced by `free`, in order."""
    replacements = iter(free)
    leaves = [next(replacements) if learns else w for w, learns in _with_plasticity(predictor, theta)]
    return jax.tree.unflatten(jax.tree.structure(theta), leaves)
