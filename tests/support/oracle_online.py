"""Online learning rules as dull NumPy loops, one trial at a time, beside `oracle`; shares no code with the package.

Every rule returns the gradients of one trial's loss as `oracle.immediate_gradient` does: cortex (drive, pre) and s_0
(state). Signs and noise are arguments, lists or arrays indexed by t itself; entry 0 belongs to s_0, and is not read
where a rule draws nothing for s_0.
"""

import numpy as np
import oracle


def influences(trial, kept=None, kept_of_s_0=None):
    """P_t = ds_t/dW (state, drive, pre) and S_t = ds_t/ds_0 for t = 1..T; entries not kept are zeroed at every step."""
    P, S = np.zeros_like(trial.M[1]), np.eye(len(trial.s[0]))
    for t in range(1, trial.T + 1):
        P = np.einsum("rs,sdp->rdp", trial.J[t], P) + trial.M[t]
        S = trial.J[t] @ S
        if kept is not None:
            P = P * kept[:, :, None]
            S = S * kept_of_s_0
        yield t, P, S


def rtrl(trial):
    """Sum over t of l_t P_t with P_t = J_t P_{t-1} + M_t (Williams & Zipser 1989), and of l_t S_t with S_0 = 1."""
    total, total_of_s_0 = np.zeros_like(trial.M[1][0]), np.zeros_like(trial.s[0])
    for t, P, S in influences(trial):
        total += np.einsum("s,sdp->dp", trial.l[t], P)
        total_of_s_0 += trial.l[t] @ S
    return total, total_of_s_0


def reach(w_rec, n_units, order):
    """Whether unit i (row) is reached from unit j (column) by at most order - 1 synapses, of whatever gate."""
    synapse = np.zeros((n_units, n_units), bool)
    for drive, row in enumerate(w_rec):
        synapse[drive % n_units] |= row != 0
    reached = np.eye(n_units, dtype=bool)
    for _ in range(order - 1):
        further = reached.copy()
        for i in range(n_units):
            for j in range(n_units):
                further[i, j] |= bool((synapse[i] & reached[:, j]).any())
        reached = further
    return reached


def snap(trial, order, w_rec, n_units):
    """RTRL whose influences are kept only where the synapse's unit reaches the state's unit (SnAp, Menick et al. 2021).

    All state components of a unit are kept together, whichever gate the synapse belongs to. A component of s_0 is
    treated as a parameter of its own unit.
    """
    reached = reach(w_rec, n_units, order)
    unit_of_state = np.arange(len(trial.s[0])) % n_units
    unit_of_drive = np.arange(trial.M[1].shape[1]) % n_units
    kept, kept_of_s_0 = reached[np.ix_(unit_of_state, unit_of_drive)], reached[np.ix_(unit_of_state, unit_of_state)]
    total, total_of_s_0 = np.zeros_like(trial.M[1][0]), np.zeros_like(trial.s[0])
    for t, P, S in influences(trial, kept, kept_of_s_0):
        total += np.einsum("s,sdp->dp", trial.l[t], P)
        total_of_s_0 += trial.l[t] @ S
    return total, total_of_s_0


def balance(numerator, denominator):
    """Square root of the ratio of two 2-norms (of all entries); 1 where either norm is zero."""
    numerator, denominator = np.sqrt(np.sum(numerator**2)), np.sqrt(np.sum(denominator**2))
    return np.sqrt(numerator / denominator) if numerator > 0 and denominator > 0 else 1.0


def rank_one(trial, nu, inverted=False):
    """Sum over t of (l_t s~_t) theta~_t, where s~_t theta~_t estimates [P_t, S_t] (UORO, Tallec & Ollivier 2018).

    `nu` holds signs (state,) for t = 0..T. s~_0 = nu_0 and theta~_0 = [0, nu_0]: synapses and s_0 share theta~, whose
    norm covers both. The paper's epsilons are left out, `balance` guards instead. `inverted` is a mistake: theta~ is
    multiplied by rho_0.
    """
    s_tilde = np.array(nu[0], float)
    theta_tilde, theta_tilde_of_s_0 = np.zeros_like(trial.M[1][0]), np.array(nu[0], float)
    total, total_of_s_0 = np.zeros_like(theta_tilde), np.zeros_like(s_tilde)
    for t in range(1, trial.T + 1):
        forward = trial.J[t] @ s_tilde
        back = np.einsum("s,sdp->dp", nu[t], trial.M[t])
        rho_0 = balance(np.concatenate([theta_tilde.ravel(), theta_tilde_of_s_0]), forward)
        rho_1 = balance(back, np.asarray(nu[t]))
        shrink = rho_0 if inverted else 1 / rho_0
        s_tilde = rho_0 * forward + rho_1 * np.asarray(nu[t])
        theta_tilde = shrink * theta_tilde + back / rho_1
        theta_tilde_of_s_0 = shrink * theta_tilde_of_s_0
        total += (trial.l[t] @ s_tilde) * theta_tilde
        total_of_s_0 += (trial.l[t] @ s_tilde) * theta_tilde_of_s_0
    return total, total_of_s_0


def kronecker(trial, c1, c2, nu, inverted=False):
    """Sum over t of (l_t A_t) u_t, where A_t (state, drive) times u_t (pre,) estimates P_t (Mujika et al. 2018).

    `c1` and `c2` hold one sign for each t = 1..T; entries 0 are not read. S_t is estimated by (J_t ... J_1 nu) nu with
    signs nu (state,), apart from u and A. Norms of matrices are those of all their entries. `inverted` is a mistake:
    A is multiplied by p_1.
    """
    n_state, n_drive, n_pre = trial.M[1].shape
    u, A = np.zeros(n_pre), np.zeros((n_state, n_drive))
    s_tilde = np.array(nu, float)
    total, total_of_s_0 = np.zeros((n_drive, n_pre)), np.zeros(n_state)
    for t in range(1, trial.T + 1):
        n_units = n_pre - len(trial.x[t]) - 1
        pre = np.concatenate([trial.x[t], trial.s[t - 1][:n_units], [1.0]])
        H = trial.M[t][:, :, -1]  # the last entry of `pre` is 1
        forward = trial.J[t] @ A
        p1, p2 = balance(forward, u), balance(H, pre)
        u = c1[t] * p1 * u + c2[t] * p2 * pre
        A = c1[t] * (p1 if inverted else 1 / p1) * forward + c2[t] / p2 * H
        s_tilde = trial.J[t] @ s_tilde
        total += np.outer(trial.l[t] @ A, u)
        total_of_s_0 += (trial.l[t] @ s_tilde) * np.asarray(nu)
    return total, total_of_s_0


def output_errors(loss, weights, trial, targets, mask, scale):
    """Slope of the loss of every step with respect to the output, for t = 0..T; zero where there is no target."""
    n = weights.w_rec.shape[1]
    errors = [np.zeros_like(weights.b_out) for _ in range(trial.T + 1)]
    for t in range(1, trial.T + 1):
        k = target_of_step(t, trial.T, targets)
        if k is not None:
            y = weights.w_out @ trial.s[t][:n] + weights.b_out
            errors[t] = scale * mask[k] * oracle.loss_and_slope(loss, y, targets[k])[1]
    return errors


def with_feedback(trial, b, output_errors, rate_cost=0.0):
    """The trial with B e_t for l_t, B (units, outputs); a cell state's part stays zero.

    A penalty on rates needs no feedback: `rate_cost`, scale times penalty.rates, times the rates is added to l_t.
    """
    n = len(b)
    errors = [np.zeros_like(trial.s[0])]
    for t in range(1, trial.T + 1):
        l_t = np.zeros_like(trial.s[0])
        l_t[:n] = b @ output_errors[t] + rate_cost * trial.s[t][:n]
        errors.append(l_t)
    return trial._replace(l=errors)


def eprop(trial):
    """Leaky trace with l_t alone (Bellec et al. 2020); after `with_feedback` on a rate cell, RFLO (Murray 2019)."""
    nothing = [np.zeros_like(trial.s[0]) for _ in range(trial.T + 1)]
    return oracle.leaky_gradient(trial, nothing, 0.0, False)


def target_of_step(t, T, targets):
    """The index of a step's target, or None."""
    if len(targets) > 1:
        return t - 1
    return 0 if t == T else None


def loss_of_step(loss, weights, s, t, T, targets, mask, scale, penalty):
    """What step t costs in a state s; the cost of weights, which s does not change, left out."""
    h = s[: weights.w_rec.shape[1]]
    cost = scale * 0.5 * penalty.rates * np.sum(h**2)
    k = target_of_step(t, T, targets)
    if k is not None:
        cost += scale * mask[k] * oracle.loss_and_slope(loss, weights.w_out @ h + weights.b_out, targets[k])[0]
    return cost


def node_perturbation(
    cell, loss, weights, inputs, targets, mask, T, scale, noise, sd, penalty=oracle.NO_PENALTY, early=False
):
    """Sum over t of (loss_t(s~_t) - loss_t(s_t)) e_t / sd, for a twin with s~_t = f(s~_{t-1}, x_t) + sd noise_t.

    `noise` holds (state,) for t = 1..T, entry 0 is not read: both networks start in s_0. e_t = sum over k <= t of
    noise_k ds_k/dW with s_{k-1} held, in the network without noise. s_0 has noise_1 J_1 for its e_t, at every t.
    `early` is a mistake: e_t without its last term.
    """
    s = oracle.initial_state(cell, weights)
    twin = s
    e, e_of_s_0 = 0.0, 0.0
    total, total_of_s_0 = 0.0, np.zeros_like(s)
    for t in range(1, T + 1):
        step = oracle.cell_step(cell, weights, s, inputs[t - 1])
        s, twin = step.s, oracle.cell_step(cell, weights, twin, inputs[t - 1]).s + sd * np.asarray(noise[t])
        before = e
        e = e + np.einsum("s,sdp->dp", noise[t], step.M)
        if t == 1:
            e_of_s_0 = noise[1] @ step.J
        slope = loss_of_step(loss, weights, twin, t, T, targets, mask, scale, penalty)
        slope = (slope - loss_of_step(loss, weights, s, t, T, targets, mask, scale, penalty)) / sd
        total = total + slope * (before if early else e)
        total_of_s_0 = total_of_s_0 + slope * e_of_s_0
    return total, total_of_s_0
