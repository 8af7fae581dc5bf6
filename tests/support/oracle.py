"""The theory as dull NumPy loops, one trial at a time, with Jacobians by hand; shares no code with the package.

Gradients are row vectors, arrays over time are indexed by t itself (entry 0 is the initial state), and weights are
plain arrays. A "gradient" is minus the update direction.
"""

from typing import NamedTuple

import numpy as np


class Rate(NamedTuple):
    """h <- (1 - rate) h + rate phi(u)."""

    nonlinearity: str
    rate: float


class LSTM(NamedTuple):
    """State [h; c], gates i, f, o, g."""


class GRU(NamedTuple):
    """State h, drives r, z, a, c: a reads no rates and c no inputs, and w_in and w_rec lack those rows."""


class Linear(NamedTuple):
    """g = w s + b; theta = (w, b). With `reads_input`, [s; x] stands for s."""

    reads_input: bool = False


class Granular(NamedTuple):
    """g = w_out relu((mask * w_in) s + b_in) + b_out; theta = (mask, w_in, b_in, w_out, b_out)."""

    plasticity: str
    reads_input: bool = False


class Deep(NamedTuple):
    """g = w_out y_L + b_out with y_k = phi(w_k y_{k-1} + b_k) and y_0 = s; theta = (*w_k, *b_k, w_out, b_out)."""

    nonlinearity: str
    plasticity: str = "all"
    reads_input: bool = False


class Penalty(NamedTuple):
    """Every step adds 1/2 rates |h|^2 + 1/2 weights (|w_in|^2 + |w_rec|^2 + |w_out|^2) to the loss."""

    rates: float = 0.0
    weights: float = 0.0


NO_PENALTY = Penalty()


class Rule(NamedTuple):
    """One learning rule; `transposed`, `doubled` and `input_delay` are mistakes, for negative controls."""

    kind: str  # "bptt", "tbptt", "dni", "bp_lambda", "immediate_error"
    window: int = 1
    lambda_: float = 1.0
    discount: float = 1.0
    kappa: float = 1.0
    leaky: bool = False
    view: str = "forward"
    transposed: bool = False
    doubled: bool = False
    input_delay: int = 0


class Weights(NamedTuple):
    """All weights as arrays; theta is a tuple of arrays, s_0 a tuple of state components, or None for zero."""

    w_in: np.ndarray
    w_rec: np.ndarray
    b: np.ndarray
    s_0: tuple | None
    w_out: np.ndarray
    b_out: np.ndarray
    theta: tuple


class Step(NamedTuple):
    """One step of a cell: s_t, J_t, the direct part D_t of J_t, and ds_t/dW with s_{t-1} held (state, drive, pre)."""

    s: np.ndarray
    J: np.ndarray
    D: np.ndarray
    M: np.ndarray


class Trial(NamedTuple):
    """One trial: lists over t = 0..T of inputs, states, Jacobians, immediate weight tensors, immediate errors."""

    T: int
    x: list
    s: list
    J: list
    D: list
    M: list
    l: list  # noqa: E741
    loss: float
    d_w_out: np.ndarray
    d_b_out: np.ndarray


def sigmoid(u):
    """Logistic function."""
    return 1 / (1 + np.exp(-u))


def phi(name, u):
    """Transfer function."""
    if name == "identity":
        return u
    if name == "tanh":
        return np.tanh(u)
    if name == "relu":
        return np.maximum(u, 0)
    if name == "softplus":
        return np.log(1 + np.exp(u))
    if name == "sigmoid":
        return sigmoid(u)
    raise KeyError(name)


def d_phi(name, u):
    """Its slope."""
    if name == "identity":
        return np.ones_like(u)
    if name == "tanh":
        return 1 - np.tanh(u) ** 2
    if name == "relu":
        return np.where(u > 0, 1.0, 0.0)
    if name == "softplus":
        return sigmoid(u)
    if name == "sigmoid":
        return sigmoid(u) * (1 - sigmoid(u))
    raise KeyError(name)


def existing_rows(cell, weights):
    """Which drives the rows of w_in and of w_rec belong to."""
    n, drives = weights.w_rec.shape[1], np.arange(len(weights.b))
    if isinstance(cell, GRU):
        return drives[: 3 * n], np.concatenate([drives[: 2 * n], drives[3 * n :]])
    return drives, drives


def synapses(cell, weights):
    """w_in and w_rec side by side, with a row for every drive: zeros where there is no synapse."""
    n_in, n = weights.w_in.shape[1], weights.w_rec.shape[1]
    from_inputs, from_rates = existing_rows(cell, weights)
    w = np.zeros((len(weights.b), n_in + n))
    w[from_inputs, :n_in] = weights.w_in
    w[from_rates, n_in:] = weights.w_rec
    return w


def cell_step(cell, weights, s, x):
    """One step of a cell with all its derivatives."""
    n = weights.w_rec.shape[1]
    h = s[:n]
    w = synapses(cell, weights)
    w_rec = w[:, len(x) :]
    u = w @ np.concatenate([x, h]) + weights.b
    pre = np.concatenate([x, h, [1.0]])
    if isinstance(cell, Rate):
        s_new = (1 - cell.rate) * h + cell.rate * phi(cell.nonlinearity, u)
        d_u = cell.rate * np.diag(d_phi(cell.nonlinearity, u))
        D = (1 - cell.rate) * np.eye(n)
        R = d_u @ w_rec
    elif isinstance(cell, GRU):
        r, z, a, c = sigmoid(u[:n]), sigmoid(u[n : 2 * n]), u[2 * n : 3 * n], u[3 * n :]
        q = np.tanh(a + r * c)
        s_new = (1 - z) * q + z * h
        d_a = (1 - z) * (1 - q**2)
        d_u = np.hstack(
            [np.diag(d_a * c * r * (1 - r)), np.diag((h - q) * z * (1 - z)), np.diag(d_a), np.diag(d_a * r)]
        )
        D = np.diag(z)
        R = d_u @ w_rec
    else:
        c = s[n:]
        i, f, o = sigmoid(u[:n]), sigmoid(u[n : 2 * n]), sigmoid(u[2 * n : 3 * n])
        g = np.tanh(u[3 * n :])
        c_new = f * c + i * g
        squashed = np.tanh(c_new)
        s_new = np.concatenate([o * squashed, c_new])
        zero = np.zeros((n, n))
        d_c = np.hstack([np.diag(g * i * (1 - i)), np.diag(c * f * (1 - f)), zero, np.diag(i * (1 - g**2))])
        d_h = np.diag(o * (1 - squashed**2)) @ d_c
        d_h += np.hstack([zero, zero, np.diag(squashed * o * (1 - o)), zero])
        d_u = np.vstack([d_h, d_c])
        D = np.block([[zero, np.diag(o * (1 - squashed**2) * f)], [zero, np.diag(f)]])
        R = np.hstack([d_u @ w_rec, np.zeros((2 * n, n))])
    M = d_u[:, :, None] * pre[None, None, :]
    return Step(s_new, D + R, D, M)


def loss_and_slope(loss, y, target):
    """The loss of one target, and its gradient with respect to the output."""
    if loss == "squared_error":
        return 0.5 * np.sum((y - target) ** 2), y - target
    if loss == "softmax_cross_entropy":
        p = np.exp(y - y.max())
        p = p / p.sum()
        one_hot = np.zeros_like(y)
        one_hot[int(target)] = 1.0
        return -np.log(p[int(target)]), p - one_hot
    if loss == "sigmoid_cross_entropy":
        p = sigmoid(y)
        return -np.sum(target * np.log(p) + (1 - target) * np.log(1 - p)), p - target
    raise KeyError(loss)


def initial_state(cell, weights):
    """s_0 as one vector."""
    n = weights.w_rec.shape[1]
    if weights.s_0 is None:
        return np.zeros(2 * n if isinstance(cell, LSTM) else n)
    return np.concatenate(weights.s_0)


def components(cell, weights, s):
    """A vector as a tuple of state components; None where the weights hold no initial state."""
    n = weights.w_rec.shape[1]
    if weights.s_0 is None:
        return None
    return (s[:n], s[n:]) if isinstance(cell, LSTM) else (s,)


def weight_cost(penalty, weights):
    """What the weights cost at one step of one trial."""
    return 0.5 * penalty.weights * sum(np.sum(w**2) for w in (weights.w_in, weights.w_rec, weights.w_out))


def run_trial(cell, loss, weights, inputs, targets, mask, T, scale, penalty):
    """Forward pass of one trial of T steps; losses are multiplied by `scale` (one over the number of trials)."""
    n = weights.w_rec.shape[1]
    n_state = 2 * n if isinstance(cell, LSTM) else n
    trial = Trial(
        T=T,
        x=[np.zeros(inputs.shape[1]), *inputs],
        s=[initial_state(cell, weights)],
        J=[None],
        D=[None],
        M=[None],
        l=[np.zeros(n_state)],
        loss=0.0,
        d_w_out=np.zeros_like(weights.w_out),
        d_b_out=np.zeros_like(weights.b_out),
    )
    total = 0.0
    for t in range(1, T + 1):
        step = cell_step(cell, weights, trial.s[t - 1], inputs[t - 1])
        trial.s.append(step.s)
        trial.J.append(step.J)
        trial.D.append(step.D)
        trial.M.append(step.M)
        l_t = np.zeros(n_state)
        if len(targets) > 1 or t == T:
            k = t - 1 if len(targets) > 1 else 0
            h = step.s[:n]
            value, slope = loss_and_slope(loss, weights.w_out @ h + weights.b_out, targets[k])
            total += scale * mask[k] * value
            slope = scale * mask[k] * slope
            l_t[:n] = slope @ weights.w_out
            trial.d_w_out[:] += np.outer(slope, h)
            trial.d_b_out[:] += slope
        total += scale * (0.5 * penalty.rates * np.sum(step.s[:n] ** 2) + weight_cost(penalty, weights))
        l_t[:n] += scale * penalty.rates * step.s[:n]
        trial.d_w_out[:] += scale * penalty.weights * weights.w_out
        trial.l.append(l_t)
    return trial._replace(loss=total)


def predict(predictor, theta, s, x):
    """The prediction of one state."""
    s = np.concatenate([s, x]) if predictor.reads_input else s
    if isinstance(predictor, Linear):
        w, b = theta
        return w @ s + b
    if isinstance(predictor, Deep):
        return theta[-2] @ layers(predictor, theta, s)[0][-1] + theta[-1]
    mask, w_in, b_in, w_out, b_out = theta
    return w_out @ np.maximum((mask * w_in) @ s + b_in, 0) + b_out


def layers(predictor, theta, s):
    """Activities y_0 ... y_L of a deep predictor, and the slopes of its hidden layers."""
    n_hidden = len(theta) // 2 - 1
    activities, slopes = [s], []
    for w, b in zip(theta[:n_hidden], theta[n_hidden : 2 * n_hidden], strict=True):
        u = w @ activities[-1] + b
        activities.append(phi(predictor.nonlinearity, u))
        slopes.append(d_phi(predictor.nonlinearity, u))
    return activities, slopes


def deep_slopes(predictor, theta, n, s):
    """The same as `predictor_slopes` for a deep predictor of n numbers: back through the layers, one number a time."""
    activities, slopes = layers(predictor, theta, s)
    n_hidden = len(slopes)
    d_theta = [np.zeros((n, *np.shape(w))) for w in theta]
    for i in range(n):
        d_theta[-2][i, i] = activities[-1]
        d_theta[-1][i, i] = 1.0
        back = theta[-2][i]
        for k in reversed(range(n_hidden if predictor.plasticity == "all" else 0)):
            back = back * slopes[k]
            d_theta[k][i] = np.outer(back, activities[k])
            d_theta[n_hidden + k][i] = back
            back = back @ theta[k]
    return d_theta


def predictor_slopes(predictor, theta, s, x):
    """d prediction / d theta, one tensor for each array of theta, the prediction's axis first."""
    n = len(s)
    s = np.concatenate([s, x]) if predictor.reads_input else s
    if isinstance(predictor, Linear):
        d_w, d_b = np.zeros((n, n, len(s))), np.zeros((n, n))
        for i in range(n):
            d_w[i, i] = s
            d_b[i, i] = 1.0
        return [d_w, d_b]
    if isinstance(predictor, Deep):
        return deep_slopes(predictor, theta, n, s)
    mask, w_in, b_in, w_out, _ = theta
    m = len(b_in)
    drive = (mask * w_in) @ s + b_in
    d_mask, d_w_in, d_b_in = np.zeros((n, m, len(s))), np.zeros((n, m, len(s))), np.zeros((n, m))
    d_w_out, d_b_out = np.zeros((n, n, m)), np.zeros((n, n))
    for i in range(n):
        d_w_out[i, i] = np.maximum(drive, 0)
        d_b_out[i, i] = 1.0
        for k in range(m):
            if predictor.plasticity == "all" and drive[k] > 0:
                d_w_in[i, k] = w_out[i, k] * mask[k] * s
                d_b_in[i, k] = w_out[i, k]
    return [d_mask, d_w_in, d_b_in, d_w_out, d_b_out]


def true_future(trial):
    """G_t for t = 0..T, from G_T = 0."""
    G = [None] * (trial.T + 1)
    G[trial.T] = np.zeros_like(trial.s[0])
    for t in range(trial.T - 1, -1, -1):
        G[t] = (trial.l[t + 1] + G[t + 1]) @ trial.J[t + 1]
    return G


def windows(T, n):
    """Pairs (a, b) of windows a < t <= b; the last ends at T, the first may be shorter."""
    pairs, b = [], T
    while b > 0:
        pairs.append((max(0, b - n), b))
        b -= n
    return pairs


def windowed_future(trial, n, at_end):
    """F_t inside windows of n steps; at_end[b] stands for the future of a window's last state."""
    F = [np.zeros_like(trial.s[0]) for _ in range(trial.T + 1)]
    for a, b in windows(trial.T, n):
        F[b] = at_end[b]
        for t in range(b - 1, a, -1):
            F[t] = (trial.l[t + 1] + F[t + 1]) @ trial.J[t + 1]
    return F


def immediate_gradient(trial, F):
    """Sum over t of (l_t + F_t) ds_t/dW with s_{t-1} held, and (l_1 + F_1) J_1 for s_0."""
    total = np.zeros_like(trial.M[1][0])
    for t in range(1, trial.T + 1):
        total += np.einsum("s,sdp->dp", trial.l[t] + F[t], trial.M[t])
    return total, (trial.l[1] + F[1]) @ trial.J[1]


def leaky_gradient(trial, F, kappa, doubled):
    """Sum over t of L_t eps_t with eps_t = D_t eps_{t-1} + ds_t/dW; `doubled` takes l_t + F_t for L_t.

    For s_0 the sum begins at t = 0, with eps_0 the identity and nothing added to it later.
    """
    eps, eps_of_s_0 = np.zeros_like(trial.M[1]), np.eye(len(trial.s[0]))
    total, total_of_s_0 = np.zeros_like(trial.M[1][0]), np.zeros_like(trial.s[0])
    for t in range(trial.T + 1):
        if t > 0:
            eps = np.einsum("rs,sdp->rdp", trial.D[t], eps) + trial.M[t]
            eps_of_s_0 = trial.D[t] @ eps_of_s_0
        L = trial.l[t].copy()
        if doubled:
            L = L + F[t]
        elif t < trial.T:
            R = trial.J[t + 1] - trial.D[t + 1]
            L = L + kappa * (trial.l[t + 1] + F[t + 1]) @ R
        total += np.einsum("s,sdp->dp", L, eps)
        total_of_s_0 += L @ eps_of_s_0
    return total, total_of_s_0


def forward_view(trial, predictor, theta, g, discount, lambda_):
    """Minus sum over t of (G^lambda_t - g_t) dg_t/dtheta."""
    target = np.zeros_like(trial.s[0])
    total = [np.zeros_like(np.asarray(w)) for w in theta]
    for t in range(trial.T - 1, 0, -1):
        mixed = (1 - lambda_) * g[t + 1] + lambda_ * target
        target = (trial.l[t + 1] + discount * mixed) @ trial.J[t + 1]
        for k, slope in enumerate(predictor_slopes(predictor, theta, trial.s[t], trial.x[t])):
            total[k] -= np.tensordot(target - g[t], slope, 1)
    return total


def backward_view(trial, predictor, theta, g, discount, lambda_, transposed):
    """Minus sum over t of delta_t e_t with e_t = discount lambda J_t e_{t-1} + dg_t/dtheta."""
    total = [np.zeros_like(np.asarray(w)) for w in theta]
    e = [np.zeros((len(trial.s[0]), *np.shape(w))) for w in theta]
    for t in range(1, trial.T):
        J = trial.J[t].T if transposed else trial.J[t]
        slopes = predictor_slopes(predictor, theta, trial.s[t], trial.x[t])
        e = [discount * lambda_ * np.tensordot(J, e_k, 1) + slope for e_k, slope in zip(e, slopes, strict=True)]
        delta = (trial.l[t + 1] + discount * g[t + 1]) @ trial.J[t + 1] - g[t]
        for k, e_k in enumerate(e):
            total[k] -= np.tensordot(delta, e_k, 1)
    return total


def window_regression(trial, predictor, theta, g, discount, n):
    """Minus sum over windows (a, b), a > 0, of (target_a - g_a) dg_a/dtheta, from explicit products of Jacobians."""
    total = [np.zeros_like(np.asarray(w)) for w in theta]
    for a, b in windows(trial.T, n):
        if a == 0:
            continue
        target, product = np.zeros_like(trial.s[0]), np.eye(len(trial.s[0]))
        for k in range(a + 1, b + 1):
            product = trial.J[k] @ product
            target = target + trial.l[k] @ product
        target = target + discount * g[b] @ product
        for k, slope in enumerate(predictor_slopes(predictor, theta, trial.s[a], trial.x[a])):
            total[k] -= np.tensordot(target - g[a], slope, 1)
    return total


def trial_gradient(rule, predictor, theta, trial):
    """Gradients of one trial: cortex, a pair of (drive, pre) and s_0, and theta."""
    nothing = [np.zeros_like(np.asarray(w)) for w in theta]
    zeros = [np.zeros_like(trial.s[0]) for _ in range(trial.T + 1)]
    if rule.kind in ("bptt", "tbptt", "immediate_error"):
        if rule.kind == "bptt":
            F = true_future(trial)
        elif rule.kind == "tbptt":
            F = windowed_future(trial, rule.window, zeros)
        else:
            F = zeros
        if not rule.leaky:
            return immediate_gradient(trial, F), nothing
        return leaky_gradient(trial, F, 0.0 if rule.kind == "immediate_error" else 1.0, rule.doubled), nothing
    trial = trial._replace(x=[trial.x[0]] * rule.input_delay + trial.x)
    g = [predict(predictor, theta, s, x) for s, x in zip(trial.s, trial.x, strict=False)]
    g[trial.T] = np.zeros_like(trial.s[0])
    if rule.kind == "dni":
        F = windowed_future(trial, rule.window, [rule.kappa * g_t for g_t in g])
        return immediate_gradient(trial, F), window_regression(trial, predictor, theta, g, rule.discount, rule.window)
    if rule.view == "forward":
        d_theta = forward_view(trial, predictor, theta, g, rule.discount, rule.lambda_)
    else:
        d_theta = backward_view(trial, predictor, theta, g, rule.discount, rule.lambda_, rule.transposed)
    if rule.leaky:
        return leaky_gradient(trial, g, rule.kappa, rule.doubled), d_theta
    return immediate_gradient(trial, [rule.kappa * g_t for g_t in g]), d_theta


def run_batch(cell, loss, weights, inputs, targets, mask=None, lengths=None, penalty=NO_PENALTY):
    """All trials of a batch."""
    batch, time = inputs.shape[:2]
    mask = np.ones(targets.shape[:2]) if mask is None else mask
    lengths = [time] * batch if lengths is None else lengths
    return [
        run_trial(cell, loss, weights, inputs[k], targets[k], mask[k], int(lengths[k]), 1 / batch, penalty)
        for k in range(batch)
    ]


def gradients(rule, cell, loss, predictor, weights, inputs, targets, mask=None, lengths=None, penalty=NO_PENALTY):
    """Loss and gradients of a batch; theta's gradient is averaged over trials once more."""
    trials = run_batch(cell, loss, weights, inputs, targets, mask, lengths, penalty)
    n_in, n = weights.w_in.shape[1], weights.w_rec.shape[1]
    from_inputs, from_rates = existing_rows(cell, weights)
    cortex = np.zeros((len(weights.b), n_in + n + 1))
    s_0 = np.zeros_like(initial_state(cell, weights))
    theta = [np.zeros_like(np.asarray(w)) for w in weights.theta]
    for trial in trials:
        (d_cortex, d_s_0), d_theta = trial_gradient(rule, predictor, weights.theta, trial)
        decay = penalty.weights * trial.T / len(trials)
        cortex += d_cortex
        cortex[:, : n_in + n] += decay * synapses(cell, weights)
        s_0 += d_s_0
        for k, d in enumerate(d_theta):
            theta[k] += d / len(trials)
    gradient = Weights(
        w_in=cortex[from_inputs, :n_in],
        w_rec=cortex[from_rates, n_in : n_in + n],
        b=cortex[:, -1],
        s_0=components(cell, weights, s_0),
        w_out=sum(trial.d_w_out for trial in trials),
        b_out=sum(trial.d_b_out for trial in trials),
        theta=tuple(theta),
    )
    return sum(trial.loss for trial in trials), gradient


def online_learning(rule, cell, loss, predictor, weights, inputs, targets, rates, penalty=NO_PENALTY):
    """Weights after one batch of trials in which all weights change at every step, by gradient descent.

    Both predictions in a TD error are made with the weights of the step that computes it. `rates` are the learning
    rates of cortex, readout and predictor. Targets at every step; trials equally long.
    """
    batch, time, n_in = inputs.shape
    n = weights.w_rec.shape[1]
    n_state = 2 * n if isinstance(cell, LSTM) else n
    from_inputs, from_rates = existing_rows(cell, weights)
    states = [initial_state(cell, weights) for _ in range(batch)]
    eps_of_s_0 = [np.eye(n_state) for _ in range(batch)]
    eps = [np.zeros((n_state, len(weights.b), n_in + n + 1)) for _ in range(batch)]
    traces = [[np.zeros((n_state, *np.shape(w))) for w in weights.theta] for _ in range(batch)]
    for t in range(1, time + 1):
        d_cortex = np.zeros((len(weights.b), n_in + n + 1))
        d_cortex[:, : n_in + n] += penalty.weights * synapses(cell, weights)
        d_s_0 = np.zeros(n_state)
        d_w_out, d_b_out = penalty.weights * weights.w_out, np.zeros_like(weights.b_out)
        d_theta = [np.zeros_like(np.asarray(w)) for w in weights.theta]
        for k in range(batch):
            x, x_before = inputs[k, t - 1], inputs[k, t - 2] if t > 1 else np.zeros(n_in)
            step = cell_step(cell, weights, states[k], x)
            h = step.s[:n]
            slope = loss_and_slope(loss, weights.w_out @ h + weights.b_out, targets[k, t - 1])[1] / batch
            d_w_out += np.outer(slope, h)
            d_b_out += slope
            l_t = np.zeros(n_state)
            l_t[:n] = slope @ weights.w_out + penalty.rates * h / batch
            g_t = predict(predictor, weights.theta, step.s, x) if t < time else np.zeros(n_state)
            delta = (l_t + rule.discount * g_t) @ step.J - predict(predictor, weights.theta, states[k], x_before)
            for j, e in enumerate(traces[k]):
                d_theta[j] -= np.tensordot(delta, e, 1) / batch
            decay = rule.discount * rule.lambda_
            slopes = predictor_slopes(predictor, weights.theta, step.s, x)
            traces[k] = [decay * np.tensordot(step.J, e, 1) + d for e, d in zip(traces[k], slopes, strict=True)]
            if rule.leaky:
                late = rule.kappa * (l_t + g_t) @ (step.J - step.D)
                d_cortex += np.einsum("s,sdp->dp", late, eps[k])
                d_s_0 += late @ eps_of_s_0[k]
                eps_of_s_0[k] = step.D @ eps_of_s_0[k]
                d_s_0 += l_t @ eps_of_s_0[k]
                eps[k] = np.einsum("rs,sdp->rdp", step.D, eps[k]) + step.M
                d_cortex += np.einsum("s,sdp->dp", l_t, eps[k])
            else:
                d_cortex += np.einsum("s,sdp->dp", l_t + rule.kappa * g_t, step.M)
                d_s_0 += (l_t + rule.kappa * g_t) @ step.J * (t == 1)
            states[k] = step.s
        weights = Weights(
            w_in=weights.w_in - rates[0] * d_cortex[from_inputs, :n_in],
            w_rec=weights.w_rec - rates[0] * d_cortex[from_rates, n_in : n_in + n],
            b=weights.b - rates[0] * d_cortex[:, -1],
            s_0=components(cell, weights, initial_state(cell, weights) - rates[0] * d_s_0),
            w_out=weights.w_out - rates[1] * d_w_out,
            b_out=weights.b_out - rates[1] * d_b_out,
            theta=tuple(np.asarray(w) - rates[2] * d for w, d in zip(weights.theta, d_theta, strict=True)),
        )
    return weights
