"""The projection of a predictor: rows stay orthonormal, "pca" finds the principal subspace, "random" never moves."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle_predictor as op
import pytest
from random_circuits import N_UNITS, relative_error
from step_wise import CELLS, DISCOUNT, LAMBDA, Held, distance, held, of_oracle, of_package, rule, setting, trials

import neuro_bpl as nb
from neuro_bpl.learning.predictor_traces import FullTrace

EXACT = 1e-12
K = 2
IN_2 = {basis: nb.ProjectedPredictor(nb.LinearPredictor(), K, basis) for basis in ("random", "pca", "learned")}
VIEWS = {"step": rule(), "trial": rule(view="forward", update="trial")}


def in_rows(basis):
    """How far the rows are from orthonormal."""
    return float(jnp.abs(basis @ basis.T - jnp.eye(len(basis))).max())


@pytest.mark.parametrize(("cell", "basis"), [("rate", "random"), ("LSTM", "learned")])
def test_directions_are_orthonormal_at_birth_and_the_predictor_is_silent(basis, cell):
    circuit, _ = setting(cell, IN_2[basis])
    bear = jax.jit(circuit.init)
    born = bear(jax.random.key(1)).cerebellum
    assert in_rows(born.basis) <= EXACT
    assert born.basis.shape == (K, N_UNITS * circuit.cortex.n_components)
    assert (circuit.predictor().predict(born, jnp.ones(born.basis.shape[1])) == 0).all()
    other = bear(jax.random.key(2)).cerebellum
    assert distance(other.basis, born.basis) > 1e-2


@pytest.mark.parametrize("update", VIEWS)
@pytest.mark.parametrize("basis", IN_2)
def test_directions_stay_orthonormal_while_they_learn_and_random_ones_stay_as_they_were(basis, update):
    circuit, weights = setting("rate", IN_2[basis])
    after = of_package(circuit, VIEWS[update], weights, trials()).cerebellum
    assert in_rows(after.basis) <= EXACT
    assert distance(weights.cerebellum.inner, after.inner) > 1e-2
    if basis == "random":
        np.testing.assert_array_equal(after.basis, weights.cerebellum.basis)
    else:
        assert distance(weights.cerebellum.basis, after.basis) > 1e-3


def test_without_the_projection_rows_would_not_stay_orthonormal():
    circuit, weights = setting("rate", IN_2["learned"])
    gradient = held(circuit, VIEWS["trial"], weights, trials()).cerebellum
    assert in_rows(weights.cerebellum.basis - gradient.basis) > 1e-3


def states_with_a_future(circuit, weights):
    """All states of a batch up to the step before the last, state first."""
    path, _ = circuit.run(weights, trials())
    left = np.asarray(trials().steps_left())
    return np.concatenate(path.s_t, axis=1).swapaxes(0, 1)[:, left > 0]


@pytest.mark.parametrize("cell", ["LSTM"])
def test_pca_learns_by_ojas_rule_beside_what_td_errors_teach(cell):
    circuit, weights = setting(cell, IN_2["pca"])
    theta, s = jax.tree.map(np.asarray, weights.cerebellum), states_with_a_future(circuit, weights)
    z = theta.basis @ s
    gradient = held(circuit, VIEWS["trial"], weights, trials()).cerebellum
    assert relative_error(-gradient.basis, z @ (s - theta.basis.T @ z).T / trials().n_trials) <= EXACT
    fixed, _ = setting(cell, IN_2["random"])
    assert relative_error(gradient.inner, held(fixed, VIEWS["trial"], weights, trials()).cerebellum.inner) <= EXACT
    assert relative_error(-gradient.basis, z @ (s - s.mean(1, keepdims=True)).T / trials().n_trials) > 1e-3


class OfBasis(op.Arrays):
    """g = P' (W P s + b), theta = (P, W, b), all of which TD errors teach."""

    @classmethod
    def of(cls, theta):
        return cls(tuple(w.shape for w in theta), cls.g, cls.dg, (True,) * 3)

    @staticmethod
    def g(theta, s):
        P, W, b = theta
        return P.T @ (W @ P @ s + b)

    @staticmethod
    def dg(theta, s):
        P, W, b = theta
        z, n = P @ s, len(s)
        direct = np.einsum("ib,a->iab", np.eye(n), W @ z + b)
        return direct + np.einsum("ia,b->iab", P.T @ W, s), np.einsum("ia,b->iab", P.T, z), P.T


@pytest.mark.parametrize("cell", ["LSTM"])
def test_a_basis_that_learns_is_taught_by_td_errors_as_in_numpy(cell):
    circuit, weights = setting(cell, IN_2["learned"])
    theta = tuple(jax.tree.leaves(jax.tree.map(np.asarray, weights.cerebellum)))
    batch = trials()

    def taught(decay):
        traces = [op.Full(decay) for _ in range(batch.n_trials)]
        learner = Held(OfBasis.of(theta), op.flatten(theta), 1.0, DISCOUNT, traces)
        of_oracle(CELLS[cell][1], learner, weights, batch, (0.0, 0.0, 1.0), features=lambda s, _: s)
        return learner.total

    gradient = held(circuit, VIEWS["trial"], weights, batch).cerebellum
    found = op.flatten(jax.tree.leaves(gradient))
    assert relative_error(-found, taught(DISCOUNT * LAMBDA)) <= EXACT
    assert np.abs(found).max() > 1e-3
    assert relative_error(-found, taught(DISCOUNT)) > 1e-4


@pytest.mark.parametrize("basis", IN_2)
def test_forward_and_backward_views_are_the_same(basis):
    circuit, weights = setting("rate", IN_2[basis])
    backward = rule(FullTrace(), update="trial")
    forward, back = (held(circuit, asked, weights, trials()) for asked in (VIEWS["trial"], backward))
    assert relative_error(back, forward) <= EXACT
    assert (float(jnp.abs(forward.cerebellum.basis).max()) > 1e-3) == (basis != "random")
    other = held(circuit, rule(FullTrace(), update="trial", lambda_=0.9 * LAMBDA), weights, trials())
    assert distance(other.cerebellum.inner, forward.cerebellum.inner) > 1e-4


# ------------------------------------------------------------------------------------------- the principal subspace


def angle(basis, others):
    """Sine of the largest angle between two subspaces, rows of both orthonormal."""
    return np.sqrt(1 - min(1.0, np.linalg.svd(np.asarray(basis) @ others.T)[1].min() ** 2))


def leading(states):
    """Leading directions of the second moment of states, and how far its eigenvalues are apart."""
    sizes, directions = np.linalg.eigh(states @ states.T)
    return directions[:, -K:].T, sizes[-K] / sizes[-K - 1]


@pytest.mark.parametrize(("update", "rate", "near"), [("trial", 0.3, 1e-5), ("step", 0.05, 0.1)])
def test_pca_finds_the_leading_principal_subspace_of_a_fixed_cortex(update, rate, near):
    circuit, weights = setting("rate", IN_2["pca"])
    states = states_with_a_future(circuit, weights)
    wanted, apart = leading(states)
    assert apart > 1.5, "the subspace is well defined"
    about_mean, _ = leading(states - states.mean(1, keepdims=True))

    def grown(basis):
        here, now = setting("rate", IN_2[basis])[0], weights
        for _ in range(300):
            now = of_package(here, VIEWS[update], now, trials(), (0.0, 0.0, rate))
        return now.cerebellum.basis

    found = grown("pca")
    assert angle(weights.cerebellum.basis, wanted) > 0.3
    assert angle(found, wanted) < near
    assert angle(found, about_mean) > 2 * near, "control: of the states as they are, not about their mean"
    assert angle(grown("random"), wanted) > 0.3, "control: directions that do not learn"
