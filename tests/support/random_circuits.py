"""Small random circuits and trials, and how far two trees of arrays are from each other."""

import jax
import jax.numpy as jnp
import numpy as np

import neuro_bpl as nb

N_INPUTS, N_UNITS, N_OUTPUTS = 3, 5, 3
N_TRIALS, N_STEPS = 3, 7


def random_weights(circuit, seed):
    """Every weight drawn at random, the predictor's output weights too; a wiring mask or a projection is kept."""
    rng = np.random.default_rng(seed)

    def draw(leaf, scale):
        return jnp.asarray(rng.normal(size=leaf.shape) * scale)

    birth = circuit.init(jax.random.key(seed))
    weights = jax.tree.map(lambda leaf: draw(leaf, 0.5), birth)
    theta = jax.tree.map(lambda leaf: draw(leaf, 0.3), birth.cerebellum)
    theta = jax.tree_util.tree_map_with_path(
        lambda path, born, drawn: born if is_anatomy(path) else drawn, birth.cerebellum, theta
    )
    return circuit.project(weights._replace(cerebellum=theta))


def is_anatomy(path):
    """Whether an array says what exists rather than how strong it is: a wiring mask, the basis of a projection."""
    return getattr(path[-1], "name", "") in ("mask", "basis")


def random_trials(kind, loss, seed, n_steps=N_STEPS):
    """Trials with targets at every step or at the last one, some with a mask or of unequal length."""
    rng = np.random.default_rng(seed)
    n_targets = 1 if kind.startswith("last") else n_steps
    if loss == "softmax_cross_entropy":
        targets = rng.integers(0, N_OUTPUTS, size=(N_TRIALS, n_targets))
    elif loss == "sigmoid_cross_entropy":
        targets = rng.integers(0, 2, size=(N_TRIALS, n_targets, N_OUTPUTS)).astype(float)
    else:
        targets = rng.normal(size=(N_TRIALS, n_targets, N_OUTPUTS))
    mask = rng.uniform(0.2, 2, size=(N_TRIALS, n_targets)) * (rng.uniform(size=(N_TRIALS, n_targets)) < 0.7)
    mask[0] = 1.5
    return nb.Trials(
        inputs=jnp.asarray(rng.normal(size=(N_TRIALS, n_steps, N_INPUTS))),
        targets=jnp.asarray(targets),
        mask=jnp.asarray(mask) if "masked" in kind else None,
        lengths=jnp.asarray([n_steps - 2, n_steps, 2]) if "unequal" in kind else None,
    )


def relative_error(got, wanted):
    """Largest of max|got − wanted| / max|wanted| over the arrays of two trees; infinite where only `wanted` is zero."""
    got, wanted = jax.tree.leaves(got), jax.tree.leaves(wanted)
    assert len(got) == len(wanted)
    return max(map(_array_error, got, wanted))


def size(tree):
    """Largest absolute number in a tree."""
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def _array_error(got, wanted):
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    assert np.isfinite(got).all()
    assert np.isfinite(wanted).all()
    if not wanted.any():
        return np.inf if got.any() else 0.0
    return float(np.abs(got - wanted).max() / np.abs(wanted).max())
