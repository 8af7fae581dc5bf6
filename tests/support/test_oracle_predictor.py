"""The oracle of step-wise predictor learning against itself, against `oracle` and against definitions written anew."""

from itertools import product

import numpy as np
import oracle
import oracle_predictor as op
import pytest

EXACT = 1e-13
DISCOUNT, LAMBDA = 0.9, 0.8
DECAY = DISCOUNT * LAMBDA


def rate_weights(rng, n, n_in=2):
    return rng.normal(size=(n, n_in)) * 0.8, rng.normal(size=(n, n)) * 1.2 / np.sqrt(n), rng.normal(size=n) * 0.3


def rate_trial(n=4, T=7, leak=0.3, nonlinearity="tanh", seed=0):
    rng = np.random.default_rng(seed)
    weights = rate_weights(rng, n)
    return op.run_rate(*weights, rng.normal(size=(T, 2)), rng.normal(size=(T, n)), nonlinearity, leak)


def random_trial(n=4, T=7, features=3, seed=0):
    """Any cell: random Jacobians, errors and features."""
    rng = np.random.default_rng(seed)
    steps = [
        op.Step(rng.normal(size=(n, n)) / np.sqrt(n), rng.normal(size=n), rng.normal(size=features), t == T)
        for t in range(1, T + 1)
    ]
    return [None, *steps]


TRIALS = {"rate": rate_trial, "linear rate": lambda **k: rate_trial(nonlinearity="identity", **k), "any": random_trial}


def start(predictor, phi, seed=5):
    """Random theta for a predictor."""
    m = len(phi) + 1
    if isinstance(predictor, op.Linear):
        size = predictor.n * m
    else:
        size = predictor.n_hidden * m + predictor.n * (predictor.n_hidden + 1)
    return np.random.default_rng(seed).normal(size=size) * 0.5


def learnt(trials, traces, predictor, theta, alpha=0.2):
    return np.array(op.learn(op.Learner(predictor, theta, alpha, DISCOUNT, traces), trials))


def distance(a, b):
    """Largest difference, relative to the largest entry."""
    return np.max(np.abs(np.array(a) - np.array(b))) / np.max(np.abs(b))


def with_features(trial, features):
    return [None, *(step._replace(phi=features(step.phi)) for step in trial[1:])]


@pytest.mark.parametrize("nonlinearity", ["tanh", "identity"])
def test_jacobian_and_slopes_agree_with_finite_differences(nonlinearity):
    rng = np.random.default_rng(1)
    w_in, w_rec, b = rate_weights(rng, 3)
    h, x, small = rng.normal(size=3), rng.normal(size=2), 1e-6
    J = op.rate_step(w_in, w_rec, b, h, x, nonlinearity, 0.4)[1]
    predictor = op.Hidden(3, 5)
    theta = start(predictor, h)
    slope = predictor.slopes(theta, h)
    for i in range(3):
        step = small * np.eye(3)[i]
        up, down = (op.rate_step(w_in, w_rec, b, h + e, x, nonlinearity, 0.4)[0] for e in (step, -step))
        assert np.allclose((up - down) / (2 * small), J[:, i], atol=1e-8)
    for j in range(len(theta)):
        step = small * np.eye(len(theta))[j]
        change = predictor.predict(theta + step, h) - predictor.predict(theta - step, h)
        assert np.allclose(change / (2 * small), slope[:, j], atol=1e-8)


@pytest.mark.parametrize("kind", TRIALS)
@pytest.mark.parametrize("predictor", [op.Linear(4), op.Hidden(4, 5)], ids=["linear", "hidden"])
def test_full_trace_is_the_forward_view_while_theta_stays(kind, predictor):
    trial = TRIALS[kind]()
    T, theta = len(trial) - 1, start(predictor, trial[1].phi)
    g = [None, *(predictor.predict(theta, step.phi) for step in trial[1:-1]), np.zeros(4)]
    wanted, target = 0.0, np.zeros(4)
    for t in range(T - 1, 0, -1):
        mixed = (1 - LAMBDA) * g[t + 1] + LAMBDA * target
        target = (trial[t + 1].l + DISCOUNT * mixed) @ trial[t + 1].J
        wanted = wanted + (target - g[t]) @ predictor.slopes(theta, trial[t].phi)

    def summed(trace):
        total = 0.0
        for t in range(1, T):
            trace.advance(trial[t].J, predictor.slopes(theta, trial[t].phi))
            total = total + trace.share(op.td_error(trial[t + 1].l, g[t + 1], trial[t + 1].J, g[t], DISCOUNT))
        return total

    assert distance(summed(op.Full(DECAY)), wanted) < EXACT
    assert distance(summed(op.Full(DISCOUNT)), wanted) > 1e-3
    assert distance(summed(op.Full(DECAY, np.transpose)), wanted) > 1e-3


@pytest.mark.parametrize("kind", TRIALS)
@pytest.mark.parametrize(("discount", "lambda_"), [(0.9, 0.8), (1.0, 1.0), (0.9, 0.0)])
def test_true_online_is_online_lambda_sg(kind, discount, lambda_):
    trial = TRIALS[kind]()
    theta, alpha = start(op.Linear(4), trial[1].phi), 0.3
    wanted = op.online_lambda_sg(trial, 4, theta, alpha, discount, lambda_)
    got = op.learn(op.TrueOnline(4, theta, alpha, discount, lambda_), [trial])
    assert distance(got, wanted) < EXACT
    if lambda_ == 0:
        assert distance(learnt([trial], [op.Full(0.0)], op.Linear(4), theta, alpha), wanted) < EXACT
        return
    transposed = [None, *(step._replace(J=step.J.T, J_error=step.J) for step in trial[1:])]
    wrong = {
        "lambda": (op.TrueOnline(4, theta, alpha, discount, lambda_ - 0.1), trial),
        "transposed": (op.TrueOnline(4, theta, alpha, discount, lambda_), transposed),
        "projector": (op.TrueOnline(4, theta, alpha, discount, lambda_, dutch=False), trial),
        "accumulate": (op.Learner(op.Linear(4), theta, alpha, discount, [op.Full(discount * lambda_)]), trial),
    }
    for learner, steps in wrong.values():
        assert distance(op.learn(learner, [steps]), wanted) > 1e-4


def order_in_alpha(trial, theta, first, second):
    """Slope of log |difference| against log alpha, after the whole trial."""
    alphas = 0.1 / 2.0 ** np.arange(5, 11)
    differences = [np.linalg.norm(op.learn(first(a), [trial])[-1] - second(a)) for a in alphas]
    return np.polyfit(np.log(alphas), np.log(differences), 1)[0]


@pytest.mark.parametrize("kind", TRIALS)
def test_accumulate_differs_in_second_order_of_alpha(kind):
    trial = TRIALS[kind]()
    theta = start(op.Linear(4), trial[1].phi)

    def accumulate(decay):
        return lambda alpha: op.Learner(op.Linear(4), theta, alpha, DISCOUNT, [op.Full(decay)])

    def wanted(alpha):
        return op.online_lambda_sg(trial, 4, theta, alpha, DISCOUNT, LAMBDA)[-1]

    assert order_in_alpha(trial, theta, accumulate(DECAY), wanted) == pytest.approx(2, abs=0.05)
    assert order_in_alpha(trial, theta, accumulate(0.9 * DECAY), wanted) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", TRIALS)
@pytest.mark.parametrize("predictor", [op.Linear(4), op.Hidden(4, 5)], ids=["linear", "hidden"])
def test_history_is_the_full_trace(kind, predictor):
    trials = [TRIALS[kind](seed=k, T=7 - k) for k in range(3)]
    theta = start(predictor, trials[0][1].phi)
    wanted = learnt(trials, [op.Full(DECAY) for _ in trials], predictor, theta)
    for horizon in (None, 6):
        got = learnt(trials, [op.History(DECAY, horizon) for _ in trials], predictor, theta)
        assert distance(got, wanted) < EXACT
    wrong = [lambda: op.History(DECAY, 5), lambda: op.History(DISCOUNT), lambda: op.Full(DECAY, np.transpose)]
    for trace in wrong:
        assert distance(learnt(trials, [trace() for _ in trials], predictor, theta), wanted) > 1e-4
    only_now = learnt(trials, [op.History(DECAY, 1) for _ in trials], predictor, theta)
    assert distance(only_now, learnt(trials, [op.Full(0.0) for _ in trials], predictor, theta)) < EXACT


def test_local_traces_are_full_where_nothing_is_dropped():
    predictor, theta = op.Hidden(4, 5), None
    rng = np.random.default_rng(2)
    leak = 0.6

    def within(J):
        return op.within_units(J, 2)

    two_components = [None, *(step._replace(J=within(2 * step.J)) for step in random_trial()[1:])]
    no_recurrence = [None, *(step._replace(J=leak * np.eye(4)) for step in random_trial()[1:])]
    cases = [(two_components, within), (no_recurrence, lambda J: op.of_leak(J, leak))]
    for trial, local in cases:
        theta = start(predictor, trial[1].phi)
        wanted = learnt([trial], [op.Full(DECAY)], predictor, theta)
        assert distance(learnt([trial], [op.Full(DECAY, local)], predictor, theta), wanted) < EXACT
        assert distance(learnt([trial], [op.Full(0.9 * DECAY, local)], predictor, theta), wanted) > 1e-4
        dense = [None, *(step._replace(J=step.J + 0.5 * rng.normal(size=(4, 4))) for step in trial[1:])]
        wanted = learnt([dense], [op.Full(DECAY)], predictor, theta)
        assert distance(learnt([dense], [op.Full(DECAY, local)], predictor, theta), wanted) > 1e-3
    narrower = learnt([two_components], [op.Full(DECAY, lambda J: op.within_units(J, 4))], predictor, theta)
    assert distance(narrower, learnt([two_components], [op.Full(DECAY)], predictor, theta)) > 1e-3


def test_within_units_keeps_the_blocks_of_a_unit():
    kept = op.within_units(np.arange(16.0).reshape(4, 4) + 1, 2)
    assert np.array_equal(kept, [[1, 0, 3, 0], [0, 6, 0, 8], [9, 0, 11, 0], [0, 14, 0, 16]])


@pytest.mark.parametrize("k", [4, 2])
def test_projected_trace_is_full_with_a_projector_before_every_jacobian(k):
    P = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0][:k]
    trial = with_features(rate_trial(), lambda s: P @ s)
    predictor = op.Projected(P, op.Hidden(k, 5))
    theta = start(predictor.q, trial[1].phi)

    class OnStates(op.Projected):
        def slopes(self, theta, phi):
            return self.P.T @ self.q.slopes(theta, phi)

    def projected(trace):
        return learnt([trial], [trace], predictor, theta)

    local = {4: None, 2: lambda J: P.T @ P @ J}[k]
    wanted = learnt([trial], [op.Full(DECAY, local)], OnStates(*predictor), theta)
    assert distance(projected(op.ProjectedTrace(DECAY, P)), wanted) < EXACT
    assert distance(projected(op.ProjectedTrace(0.9 * DECAY, P)), wanted) > 1e-4
    missing = op.ProjectedTrace(DECAY, P)
    missing.advance = lambda J, slope: missing.inner.advance(J[:k, :k], slope)
    assert distance(projected(missing), wanted) > 1e-3
    if k < 4:
        exact = learnt([trial], [op.Full(DECAY)], OnStates(*predictor), theta)
        assert distance(projected(op.ProjectedTrace(DECAY, P)), exact) > 1e-3


def mean_estimate(trace, trial, predictor, theta, nu):
    """Mean of s~ theta~ over ranks, after a trial's last step."""
    low_rank = trace(nu)
    for step in trial[1:]:
        low_rank.advance(step.J, predictor.slopes(theta, step.phi))
    return np.array([low_rank.share(one) for one in np.eye(len(trial[1].l))])


def test_low_rank_trace_is_unbiased_over_all_signs():
    trial, predictor = rate_trial(n=2, T=4), op.Hidden(2, 3)
    theta = start(predictor, trial[1].phi)
    signs = np.array(list(product([-1, 1], repeat=8))).reshape(-1, 4, 2)
    nu = np.concatenate([np.zeros((1, len(signs), 2)), signs.transpose(1, 0, 2)])
    full = op.Full(DECAY)
    for step in trial[1:]:
        full.advance(step.J, predictor.slopes(theta, step.phi))

    def mean(decay=DECAY, local=None):
        return mean_estimate(lambda nu: op.LowRank(decay, nu, local), trial, predictor, theta, nu)

    assert distance(mean(), full.e) < EXACT
    assert distance(mean(0.0), predictor.slopes(theta, trial[-1].phi)) < EXACT
    assert distance(mean(0.9 * DECAY), full.e) > 1e-3
    assert distance(mean(local=np.transpose), full.e) > 1e-3
    every_sign_plus = op.LowRank(DECAY, np.ones((5, 1, 2)))
    assert distance(mean_estimate(lambda _: every_sign_plus, trial, predictor, theta, nu), full.e) > 1e-3


def test_error_of_low_rank_trace_falls_with_the_root_of_the_rank():
    rng, trial, predictor = np.random.default_rng(4), rate_trial(), op.Linear(4)
    theta, errors = start(predictor, trial[1].phi), {}
    wanted = learnt([trial], [op.Full(DECAY)], predictor, theta, 1e-6)[-1] - theta
    for ranks in (4, 400):
        draws = [
            learnt([trial], [op.LowRank(DECAY, rng.choice([-1, 1], (8, ranks, 4)))], predictor, theta, 1e-6)[-1]
            for _ in range(8)
        ]
        errors[ranks] = np.sqrt(np.mean([np.sum((draw - theta - wanted) ** 2) for draw in draws]))
    assert 5 < errors[4] / errors[400] < 20


def test_local_errors_are_td_errors_where_nothing_is_dropped():
    rng = np.random.default_rng(6)
    w_in, w_rec, b = rate_weights(rng, 3)
    h, x = rng.normal(size=(2, 3)), rng.normal(size=2)
    _, J, slope = op.rate_step(w_in, w_rec, b, h[0], x, "tanh", 0.4)
    errors = rng.normal(size=(3, 3))
    wanted = op.td_error(errors[0], errors[1], J, errors[2], DISCOUNT)

    def local(J):
        return op.td_error(errors[0], errors[1], J, errors[2], DISCOUNT)

    assert np.array_equal(local(op.feedback_jacobian(w_rec, slope, 0.4)), wanted)
    assert distance(local(op.feedback_jacobian(w_rec.T, slope, 0.4)), wanted) > 1e-3
    assert distance(local(op.within_units(J, 3)), wanted) > 1e-3
    itself = np.diag(np.diag(w_rec))
    assert distance(local(op.within_units(J, 3)), local(op.feedback_jacobian(itself, slope, 0.4))) < EXACT
    trial = rate_trial()
    theta = start(op.Linear(4), trial[1].phi)
    wanted = learnt([trial], [op.Full(DECAY)], op.Linear(4), theta)
    for change, same in ((lambda J: J, True), (lambda J: op.within_units(J, 4), False)):
        changed = [None, *(step._replace(J_error=change(step.J)) for step in trial[1:])]
        got = learnt([changed], [op.Full(DECAY)], op.Linear(4), theta)
        assert bool(distance(got, wanted) < EXACT) is same


def learn_with_cortex(learner, weights, inputs, targets, rates, kappa, nonlinearity, leak):
    """All weights learn at every step of one batch, rate cell, squared error 1/2 |y - target|^2 at every step.

    weights = (w_in, w_rec, b, w_out, b_out), rates = (cortex, readout); inputs (batch, time, in). W <- W - rate
    sum over trials of (l + kappa g) ds/dW with s_{t-1} held; all changes of a step use the weights on entry to it.
    """
    w_in, w_rec, b, w_out, b_out = (np.array(w, float) for w in weights)
    batch, time = inputs.shape[:2]
    states = [np.zeros(len(b))] * batch
    for t in range(1, time + 1):
        steps, gates, errors = [], [], []
        for k in range(batch):
            h, J, slope = op.rate_step(w_in, w_rec, b, states[k], inputs[k, t - 1], nonlinearity, leak)
            errors.append((w_out @ h + b_out - targets[k, t - 1]) / batch)
            steps.append(op.Step(J, errors[k] @ w_out, h, t == time))
            gates.append((1 - leak) * slope)
        credits = [
            (step.l + kappa * g) * gate for step, g, gate in zip(steps, learner.predictions(steps), gates, strict=True)
        ]
        learner.step(steps)
        w_in = w_in - rates[0] * sum(np.outer(c, x) for c, x in zip(credits, inputs[:, t - 1], strict=True))
        w_rec = w_rec - rates[0] * sum(np.outer(c, h) for c, h in zip(credits, states, strict=True))
        b = b - rates[0] * sum(credits)
        w_out = w_out - rates[1] * sum(np.outer(e, step.phi) for e, step in zip(errors, steps, strict=True))
        b_out = b_out - rates[1] * sum(errors)
        states = [step.phi for step in steps]
    return w_in, w_rec, b, w_out, b_out


@pytest.mark.parametrize("n_hidden", [0, 5])
def test_learning_with_the_cortex_is_that_of_the_other_oracle(n_hidden):
    rng = np.random.default_rng(7)
    weights = (*rate_weights(rng, 3), rng.normal(size=(2, 3)), rng.normal(size=2))
    inputs, targets = rng.normal(size=(2, 6, 2)), rng.normal(size=(2, 6, 2))
    arrays = (rng.normal(size=(3, 3)) * 0.3, rng.normal(size=3) * 0.3)
    predictor = oracle.Linear()
    if n_hidden:
        predictor = oracle.Deep("tanh")
        arrays = tuple(rng.normal(size=shape) * 0.3 for shape in ((n_hidden, 3), n_hidden, (3, n_hidden), 3))
    rule = oracle.Rule("bp_lambda", lambda_=LAMBDA, discount=DISCOUNT, kappa=0.7)
    w_in, w_rec, b, w_out, b_out = weights
    wanted = oracle.online_learning(
        rule,
        oracle.Rate("tanh", 0.6),
        "squared_error",
        predictor,
        oracle.Weights(w_in, w_rec, b, None, w_out, b_out, arrays),
        inputs,
        targets,
        (0.1, 0.2, 0.3),
    )
    flat = op.Arrays(
        tuple(np.shape(a) for a in arrays),
        lambda theta, phi: oracle.predict(predictor, theta, phi, None),
        lambda theta, phi: oracle.predictor_slopes(predictor, theta, phi, None),
        (True,) * len(arrays),
    )

    def learn(decay):
        traces = [op.Full(decay) for _ in range(2)]
        learner = op.Learner(flat, op.flatten(arrays), 0.3, DISCOUNT, traces)
        cortex = learn_with_cortex(learner, weights, inputs, targets, (0.1, 0.2), 0.7, "tanh", 0.4)
        return op.flatten([*cortex, learner.theta])

    expected = op.flatten([wanted.w_in, wanted.w_rec, wanted.b, wanted.w_out, wanted.b_out, *wanted.theta])
    assert distance(learn(DECAY), expected) < EXACT
    assert distance(learn(0.5 * DECAY), expected) > 1e-5
