"""The oracle of the online rules against itself, against backpropagation and against finite differences."""

from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import oracle
import oracle_online as online
import pytest

CELLS = {
    "rate, tau dt": oracle.Rate("tanh", 1.0),
    "rate, tau 2dt": oracle.Rate("softplus", 0.5),
    "LSTM": oracle.LSTM(),
}
DENSE, CHAIN = "dense", "chain"


class Setting(NamedTuple):
    """A random network with one trial; `arguments` are those of `oracle.run_trial`."""

    arguments: tuple
    trial: oracle.Trial
    n: int

    @property
    def weights(self):
        return self.arguments[2]


def setting(cell, n=4, T=6, wiring=DENSE, last=False, loss="squared_error", penalty=oracle.NO_PENALTY, seed=0):
    """Weights, s_0, inputs, targets, mask drawn at random; chain: unit j sends to unit j + 1 alone, gates in turn."""
    rng = np.random.default_rng(seed)
    cell = CELLS[cell]
    gates, parts = (4, 2) if isinstance(cell, oracle.LSTM) else (1, 1)
    w_rec = rng.normal(size=(gates * n, n)) * 1.2 / np.sqrt(n)
    if wiring == CHAIN:
        kept = np.zeros_like(w_rec)
        for j in range(n - 1):
            kept[(j % gates) * n + j + 1, j] = 1
        w_rec = 3 * w_rec * kept
    weights = oracle.Weights(
        w_in=rng.normal(size=(gates * n, 2)) * 0.5,
        w_rec=w_rec,
        b=rng.normal(size=gates * n) * 0.5,
        s_0=tuple(rng.normal(size=(parts, n)) * 0.5),
        w_out=rng.normal(size=(3, n)),
        b_out=rng.normal(size=3),
        theta=(),
    )
    n_targets = 1 if last else T
    targets = rng.integers(0, 3, n_targets) if loss == "softmax_cross_entropy" else rng.normal(size=(n_targets, 3))
    mask = rng.uniform(0.5, 1.5, size=n_targets)
    arguments = (cell, loss, weights, rng.normal(size=(T, 2)), targets, mask, T, 0.3, penalty)
    return Setting(arguments, oracle.run_trial(*arguments), n)


def backpropagation(trial):
    return oracle.immediate_gradient(trial, oracle.true_future(trial))


def error(got, wanted):
    """Largest relative error of cortex and s_0."""
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(got, wanted, strict=True))


def least_error(got, wanted):
    """The same for whichever of cortex and s_0 is closer: what a negative control must exceed."""
    return min(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(got, wanted, strict=True))


def flat(gradient):
    return np.concatenate([np.ravel(part) for part in gradient])


def transposed(trial):
    return trial._replace(J=[None, *(J.T for J in trial.J[1:])])


def signs(*shape):
    """Every pattern of signs of a shape."""
    for pattern in product((-1.0, 1.0), repeat=int(np.prod(shape))):
        yield np.reshape(pattern, shape)


def mean(gradients):
    """Mean of many gradients."""
    gradients = list(gradients)
    return tuple(sum(parts) / len(gradients) for parts in zip(*gradients, strict=True))


def random_sign(rng, *shape):
    return rng.choice([-1.0, 1.0], size=shape)


# RTRL


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("last", [True, False])
def test_rtrl_is_backpropagation(cell, last):
    trial = setting(cell, last=last, loss="softmax_cross_entropy", penalty=oracle.Penalty(rates=0.1)).trial
    assert error(online.rtrl(trial), backpropagation(trial)) <= 1e-12
    assert least_error(online.rtrl(transposed(trial)), backpropagation(trial)) > 1e-2


@pytest.mark.parametrize("cell", CELLS)
def test_rtrl_is_the_slope_of_the_loss(cell):
    case = setting(cell)
    weights, step = case.weights, 1e-6

    def loss_with(cortex, s_0):
        w_in, w_rec, b = cortex[:, :2], cortex[:, 2:-1], cortex[:, -1]
        moved = weights._replace(w_in=w_in, w_rec=w_rec, b=b, s_0=(s_0,))
        return oracle.run_trial(*case.arguments[:2], moved, *case.arguments[3:]).loss

    at = [np.hstack([weights.w_in, weights.w_rec, weights.b[:, None]]), np.concatenate(weights.s_0)]
    slopes = [np.zeros_like(array) for array in at]
    for which, array in enumerate(at):
        for index in np.ndindex(array.shape):
            moved = [[a.copy() for a in at] for _ in range(2)]
            moved[0][which][index] += step
            moved[1][which][index] -= step
            slopes[which][index] = (loss_with(*moved[0]) - loss_with(*moved[1])) / (2 * step)
    assert error(online.rtrl(case.trial), slopes) <= 1e-7


# SnAp


def direct_diagonal(trial, n):
    """SnAp-1 unit by unit: the influence of a unit's own synapses and s_0 on its own state components."""
    n_state, n_drive, n_pre = trial.M[1].shape
    cortex, s_0 = np.zeros((n_drive, n_pre)), np.zeros(n_state)
    for unit in range(n):
        own = np.arange(unit, n_state, n)
        p, q = np.zeros((len(own), n_drive // n, n_pre)), np.eye(len(own))
        for t in range(1, trial.T + 1):
            J = trial.J[t][np.ix_(own, own)]
            p = np.tensordot(J, p, 1) + trial.M[t][own][:, unit::n]
            q = J @ q
            cortex[unit::n] += np.tensordot(trial.l[t][own], p, 1)
            s_0[own] += trial.l[t][own] @ q
    return cortex, s_0


@pytest.mark.parametrize("cell", CELLS)
def test_snap_of_a_dense_network(cell):
    case = setting(cell)
    exact = online.rtrl(case.trial)
    for order in (2, 3, 7):
        assert error(online.snap(case.trial, order, case.weights.w_rec, case.n), exact) <= 1e-12
    first = online.snap(case.trial, 1, case.weights.w_rec, case.n)
    assert error(first, direct_diagonal(case.trial, case.n)) <= 1e-12
    assert least_error(first, exact) > 1e-2


@pytest.mark.parametrize("cell", CELLS)
def test_snap_grows_along_a_chain(cell):
    n = 5
    case = setting(cell, n=n, T=8, wiring=CHAIN)
    w_rec = case.weights.w_rec
    exact = online.rtrl(case.trial)
    patterns = [online.reach(w_rec, n, order) for order in range(1, n + 2)]
    for before, after in pairwise(patterns[:n]):
        assert (after >= before).all()
        assert after.sum() > before.sum()
    np.testing.assert_array_equal(patterns[n - 1], np.tri(n, dtype=bool))
    np.testing.assert_array_equal(patterns[n], patterns[n - 1])
    errors = [error(online.snap(case.trial, order, w_rec, n), exact) for order in range(1, n + 1)]
    assert errors[-1] <= 1e-12
    assert min(errors[:-1]) > 1e-4
    backwards, of_one_gate = patterns[1].T, w_rec[:n]
    assert error(online.snap(case.trial, n, backwards, n), exact) > 1e-2
    if len(w_rec) > n:
        assert error(online.snap(case.trial, n, of_one_gate, n), exact) > 1e-2


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_snap_keeps_what_steps_of_the_network_reach(cell, steps):
    """The paper's words: nonzero within n steps. So SnAp-n is exact for synapses while t <= n, for s_0 while t < n."""
    n = 5
    case = setting(cell, n=n, T=steps, wiring=CHAIN)
    *_, (_, P, S) = online.influences(case.trial)
    of_synapses, of_s_0 = np.zeros((n, n), bool), np.zeros((n, n), bool)
    for state, drive, pre in np.argwhere(P):
        assert pre < P.shape[2]
        of_synapses[state % n, drive % n] = True
    for state, component in np.argwhere(S):
        of_s_0[state % n, component % n] = True
    if cell == "rate, tau dt":  # no leak: what is reached earlier only is forgotten, kept in the pattern all the same
        assert (of_synapses <= online.reach(case.weights.w_rec, n, steps)).all()
        assert (of_s_0 <= online.reach(case.weights.w_rec, n, steps + 1)).all()
    else:
        np.testing.assert_array_equal(of_synapses, online.reach(case.weights.w_rec, n, steps))
        np.testing.assert_array_equal(of_s_0, online.reach(case.weights.w_rec, n, steps + 1))
    exact = online.rtrl(case.trial)
    cortex, s_0 = online.snap(case.trial, steps, case.weights.w_rec, n)
    assert np.abs(cortex - exact[0]).max() <= 1e-12 * np.abs(exact[0]).max()
    assert np.abs(s_0 - exact[1]).max() > 1e-4 * np.abs(exact[1]).max()
    assert error(online.snap(case.trial, steps + 1, case.weights.w_rec, n), exact) <= 1e-12


# UORO and KF-RTRL

SMALL = [
    ("rate, tau dt", 2, 2),
    ("rate, tau 2dt", 2, 2),
    ("rate, tau 2dt", 2, 1),
    ("rate, tau 2dt", 2, 3),
    ("LSTM", 1, 2),
]


@pytest.mark.parametrize(("cell", "n", "T"), SMALL)
def test_rank_one_is_unbiased(cell, n, T):
    trial = setting(cell, n=n, T=T).trial
    exact = backpropagation(trial)
    patterns = list(signs(T + 1, len(trial.s[0])))
    assert error(mean(online.rank_one(trial, nu) for nu in patterns), exact) <= 1e-12
    assert error(online.rank_one(trial, patterns[1]), exact) > 1e-2
    assert error(mean(online.rank_one(trial, nu, inverted=True) for nu in patterns), exact) > 1e-2
    again = (online.rank_one(trial, [nu[0]] * (T + 1)) for nu in patterns)
    assert error(mean(again), exact) > 1e-2
    if T > 1:
        wrong = mean(online.rank_one(transposed(trial), nu) for nu in patterns)
        assert least_error(wrong, exact) > 1e-3


@pytest.mark.parametrize(("cell", "n", "T"), SMALL)
def test_kronecker_is_unbiased(cell, n, T):
    trial = setting(cell, n=n, T=T).trial
    exact = backpropagation(trial)
    ones = np.ones(len(trial.s[0]))
    pairs = [np.vstack([np.full(2, np.nan), c]) for c in signs(T, 2)]

    def averaged(trial, inverted=False):
        cortex = mean(online.kronecker(trial, c[:, 0], c[:, 1], ones, inverted)[0:1] for c in pairs)
        s_0 = mean(online.kronecker(trial, pairs[0][:, 0], pairs[0][:, 1], nu)[1:] for nu in signs(len(ones)))
        return *cortex, *s_0

    single = online.kronecker(trial, pairs[0][:, 0], pairs[0][:, 1], ones)
    assert error(averaged(trial), exact) <= 1e-12
    if T == 1:
        assert error(single[:1], exact[:1]) <= 1e-12
    else:
        assert least_error(single, exact) > 1e-2
        assert error(averaged(trial, inverted=True), exact) > 1e-2
        assert least_error(averaged(transposed(trial)), exact) > 1e-3


def norm(array):
    return np.linalg.norm(np.ravel(array))


def test_rank_one_by_hand():
    trial = setting("LSTM", n=2, T=2, last=True).trial
    nu = random_sign(np.random.default_rng(1), 3, 4)
    back = [np.tensordot(nu[t], trial.M[t], 1) for t in (1, 2)]
    rho_1 = [np.sqrt(norm(back[t]) / 2.0) for t in (0, 1)]
    forward = trial.J[1] @ nu[0]
    rho_0 = np.sqrt(2.0 / norm(forward))
    s_tilde, synapses, s_0 = rho_0 * forward + rho_1[0] * nu[1], back[0] / rho_1[0], nu[0] / rho_0
    forward = trial.J[2] @ s_tilde
    rho_0 = np.sqrt(np.hypot(norm(synapses), norm(s_0)) / norm(forward))
    credit = trial.l[2] @ (rho_0 * forward + rho_1[1] * nu[2])
    got = online.rank_one(trial, nu)
    assert error(got, (credit * (synapses / rho_0 + back[1] / rho_1[1]), credit * s_0 / rho_0)) <= 1e-13
    assert least_error(got, online.rank_one(trial, nu, inverted=True)) > 1e-2


def test_kronecker_by_hand():
    case = setting("LSTM", n=2, T=2, last=True)
    trial = case.trial
    pre = [np.concatenate([trial.x[t], trial.s[t - 1][:2], [1.0]]) for t in (1, 2)]
    H = [trial.M[t][:, :, -1] for t in (1, 2)]
    for t in (0, 1):
        np.testing.assert_allclose(H[t][:, :, None] * pre[t], trial.M[t + 1], rtol=1e-14)
    p2 = [np.sqrt(norm(H[t]) / norm(pre[t])) for t in (0, 1)]
    forward = trial.J[2] @ H[0] / p2[0]
    p1 = np.sqrt(norm(forward) / norm(p2[0] * pre[0]))
    for c1, c2, c2_first in product((-1.0, 1.0), repeat=3):
        u = c1 * p1 * c2_first * p2[0] * pre[0] + c2 * p2[1] * pre[1]
        A = c1 / p1 * c2_first * forward + c2 / p2[1] * H[1]
        nu = np.array([1.0, -1.0, -1.0, 1.0])
        s_0 = (trial.l[2] @ trial.J[2] @ trial.J[1] @ nu) * nu
        got = online.kronecker(trial, [None, -1.0, c1], [None, c2_first, c2], nu)
        assert error(got, (np.outer(trial.l[2] @ A, u), s_0)) <= 1e-13


def test_a_silent_network_leaves_the_norms_at_one():
    """Dead units: J and M are zero; what rho_1 = 1 then adds to s~ is noise in the estimate for s_0, of mean zero."""
    case = setting("rate, tau dt", n=2, T=2)
    dead = case.weights._replace(b=np.full(2, -1e3))
    trial = oracle.run_trial(oracle.Rate("relu", 1.0), case.arguments[1], dead, *case.arguments[3:])
    for c in signs(3, 2):
        assert not flat(online.kronecker(trial, c[:, 0], c[:, 1], c[0])).any()
        assert not online.rank_one(trial, c)[0].any()
    noise = [online.rank_one(trial, c)[1] for c in signs(3, 2)]
    assert np.abs(noise).max() > 1e-2
    assert np.abs(np.mean(noise, 0)).max() <= 1e-14


@pytest.mark.parametrize("rule", ["rank_one", "kronecker"])
@pytest.mark.parametrize("cell", ["rate, tau 2dt", "LSTM"])
def test_the_error_falls_with_the_square_root_of_the_draws(rule, cell):
    trial = setting(cell, n=2, T=4).trial
    exact = flat(backpropagation(trial))
    rng = np.random.default_rng(2)
    draws = []
    for _ in range(4096):
        if rule == "rank_one":
            draws.append(flat(online.rank_one(trial, random_sign(rng, 5, len(trial.s[0])))))
        else:
            c1, c2, nu = random_sign(rng, 5), random_sign(rng, 5), random_sign(rng, len(trial.s[0]))
            draws.append(flat(online.kronecker(trial, c1, c2, nu)))
    sizes = np.array([1, 4, 16, 64, 256])
    errors = [np.sqrt(np.mean(np.sum((np.reshape(draws, (-1, m, len(exact))).mean(1) - exact) ** 2, 1))) for m in sizes]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert -0.6 < slope < -0.4
    assert errors[-1] < 0.3 * np.linalg.norm(exact)


# Node perturbation


def perturbed(case, noise, sd, **mistake):
    return online.node_perturbation(*case.arguments[:8], noise, sd, case.arguments[8], **mistake)


def linearised(case, noise):
    """The same for vanishing noise: the twin's distance obeys d_t = J_t d_{t-1} + noise_t."""
    trial = case.trial
    d, e = np.zeros_like(trial.s[0]), np.zeros_like(trial.M[1][0])
    cortex, s_0 = np.zeros_like(e), np.zeros_like(d)
    for t in range(1, trial.T + 1):
        d = trial.J[t] @ d + noise[t]
        for i in range(len(d)):
            e = e + noise[t][i] * trial.M[t][i]
        cortex += (trial.l[t] @ d) * e
        s_0 += (trial.l[t] @ d) * (noise[1] @ trial.J[1])
    return cortex, s_0


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("last", [True, False])
def test_node_perturbation_is_a_finite_difference_of_the_twin(cell, last):
    case = setting(cell, last=last, loss="softmax_cross_entropy", penalty=oracle.Penalty(rates=0.1))
    noise = np.random.default_rng(3).normal(size=(case.trial.T + 1, len(case.trial.s[0])))
    noise[0] = np.nan
    wanted = linearised(case, noise)
    coarse, fine = (error(perturbed(case, noise, sd), wanted) for sd in (2e-3, 1e-3))
    assert 1.8 < coarse / fine < 2.2
    assert error(perturbed(case, noise, 1e-6), wanted) <= 1e-4
    assert error(perturbed(case, noise, 1e-6, early=True), wanted) > 1e-2
    shifted = np.vstack([noise[:1], noise[2:], noise[1:2]])
    assert least_error(perturbed(case, shifted, 1e-6), wanted) > 1e-2


@pytest.mark.parametrize(("cell", "n", "T"), SMALL)
def test_node_perturbation_is_backpropagation_on_average(cell, n, T):
    """Over all patterns of signs, whose covariance is exactly one; opposite ones cancel the error of first order."""
    case = setting(cell, n=n, T=T)
    exact = backpropagation(case.trial)
    patterns = [np.vstack([np.full(noise.shape[1], np.nan), noise]) for noise in signs(T, len(case.trial.s[0]))]
    assert error(mean(perturbed(case, noise, 1e-4) for noise in patterns), exact) <= 1e-7
    assert least_error(perturbed(case, patterns[0], 1e-4), exact) > 1e-2
    assert error(mean(perturbed(case, noise, 1e-4, early=True) for noise in patterns), exact) > 1e-2


@pytest.mark.parametrize("cell", CELLS)
def test_node_perturbation_with_normal_noise(cell):
    case = setting(cell, n=2, T=3)
    rng = np.random.default_rng(4)
    got = flat(mean(perturbed(case, rng.normal(size=(4, len(case.trial.s[0]))), 1e-4) for _ in range(2000)))
    exact = flat(backpropagation(case.trial))
    assert got @ exact / np.linalg.norm(got) / np.linalg.norm(exact) > 0.95
    assert np.linalg.norm(got - exact) < 0.3 * np.linalg.norm(exact)


# Feedback and e-prop


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("last", [True, False])
def test_symmetric_feedback_changes_nothing(cell, last):
    case = setting(cell, last=last, loss="softmax_cross_entropy", penalty=oracle.Penalty(rates=0.1))
    _, loss, weights, _, targets, mask, _, scale, penalty = case.arguments
    errors = online.output_errors(loss, weights, case.trial, targets, mask, scale)
    same = online.with_feedback(case.trial, weights.w_out.T, errors, scale * penalty.rates)
    np.testing.assert_allclose(same.l, case.trial.l, rtol=1e-13, atol=1e-15)
    assert error(online.rtrl(same), backpropagation(case.trial)) <= 1e-12
    assert error([sum(errors)], [case.trial.d_b_out]) <= 1e-13
    other = online.with_feedback(case.trial, -weights.w_out.T, errors)
    assert error(online.eprop(other)[:1], online.eprop(case.trial)[:1]) > 1e-2
    for l_t in other.l:
        assert not l_t[case.n :].any()


def test_eprop_of_an_lstm_by_its_paper():
    """Bellec et al. 2020: eps_t = f_t eps_{t-1} + dc_t/dW, e_t = dh_t/dc_t eps_t, and the output gate has no memory."""
    case = setting("LSTM", n=3)
    n, weights, trial = case.n, case.weights, case.trial
    cortex = np.zeros((4 * n, 2 + n + 1))
    for unit in range(n):
        eps = np.zeros((4, 2 + n + 1))
        for t in range(1, trial.T + 1):
            pre = np.concatenate([trial.x[t], trial.s[t - 1][:n], [1.0]])
            u = np.hstack([weights.w_in, weights.w_rec, weights.b[:, None]])[unit::n] @ pre
            i, f, o, g = *(1 / (1 + np.exp(-u[:3]))), np.tanh(u[3])
            c_before, c = trial.s[t - 1][n + unit], trial.s[t][n + unit]
            eps = f * eps + np.outer([g * i * (1 - i), c_before * f * (1 - f), 0, i * (1 - g**2)], pre)
            e = o * (1 - np.tanh(c) ** 2) * eps
            e[2] = np.tanh(c) * o * (1 - o) * pre
            cortex[unit::n] += trial.l[t][unit] * e
    got = online.eprop(trial)
    assert error(got[:1], [cortex]) <= 1e-12
    assert not got[1][:n].any()
    assert got[1][n:].all()
    assert least_error(got, backpropagation(trial)) > 1e-2


def test_rflo_by_its_paper():
    """Murray 2019: the trace leaks, and random feedback carries the error."""
    case = setting("rate, tau 2dt")
    cell, loss, weights, _, targets, mask, _, scale, _ = case.arguments
    b = np.random.default_rng(5).normal(size=(case.n, 3))
    errors = online.output_errors(loss, weights, case.trial, targets, mask, scale)
    p = np.zeros((case.n, 2 + case.n + 1))
    cortex = np.zeros_like(p)
    for t in range(1, case.trial.T + 1):
        pre = np.concatenate([case.trial.x[t], case.trial.s[t - 1], [1.0]])
        u = np.hstack([weights.w_in, weights.w_rec, weights.b[:, None]]) @ pre
        p = (1 - cell.rate) * p + cell.rate * np.outer(1 / (1 + np.exp(-u)), pre)
        cortex += (b @ errors[t])[:, None] * p
    got = online.eprop(online.with_feedback(case.trial, b, errors))
    assert error(got[:1], [cortex]) <= 1e-12
    assert least_error(got, online.eprop(case.trial)) > 1e-2
