"""Step-wise learning of the predictor as dull NumPy loops, beside `oracle`; shares no code with the package.

Gradients and errors are row vectors; lists over time are indexed by t itself, entry 0 is s_0 and is not read. The
weights theta of a predictor are one flat vector, its slopes dg/dtheta an array (state, theta). Every function takes any
cell: what it reads are Jacobians J_t (state, state), immediate errors l_t (state,) and features phi_t of each step.
Predictors have predict(theta, phi) -> g and slopes(theta, phi) -> dg/dtheta; traces, one for each trial, with decay =
discount lambda, have advance(J_t, dg_t/dtheta) and then share(delta_t).
A "share" is an update direction, added to theta: the opposite of a gradient.
"""

from typing import Any, NamedTuple

import numpy as np


class Step(NamedTuple):
    """What one step of one trial shows: J_t, l_t, phi_t, whether g_t = 0, and what stands for J_t in TD errors."""

    J: np.ndarray
    l: np.ndarray  # noqa: E741
    phi: Any
    last: bool = False
    J_error: np.ndarray | None = None


def rate_step(w_in, w_rec, b, h, x, nonlinearity, leak):
    """One step h' = leak h + (1 - leak) phi(u), u = w_in x + w_rec h + b; returns h', J, slopes phi'(u)."""
    u = w_in @ x + w_rec @ h + b
    rate, slope = {"tanh": (np.tanh(u), 1 - np.tanh(u) ** 2), "identity": (u, np.ones_like(u))}[nonlinearity]
    return leak * h + (1 - leak) * rate, feedback_jacobian(w_rec, slope, leak), slope


def feedback_jacobian(B, slope, leak):
    """The matrix leak I + (1 - leak) diag(phi') B: J of the rate cell for B = W_rec, else J with feedback B."""
    return leak * np.eye(len(slope)) + (1 - leak) * np.diag(slope) @ B


def within_units(J, n_units):
    """J with the entries [(c, i), (d, i)] alone, for a state of components c, d of units i: [h; c], say."""
    kept = np.zeros_like(J)
    for row in range(len(J)):
        for column in range(len(J)):
            if row % n_units == column % n_units:
                kept[row, column] = J[row, column]
    return kept


def of_leak(J, leak):
    """The matrix leak I, of the size of J."""
    return leak * np.eye(len(J))


def run_rate(w_in, w_rec, b, inputs, errors, nonlinearity="tanh", leak=0.0):
    """Steps 1..T of a trial from h_0 = 0: inputs (T, in), errors l (T, units); phi_t = h_t. Entry 0 is None."""
    h, steps = np.zeros(len(b)), [None]
    for t, (x, l_t) in enumerate(zip(inputs, errors, strict=True), start=1):
        h, J, _ = rate_step(w_in, w_rec, b, h, x, nonlinearity, leak)
        steps.append(Step(J, l_t, h, t == len(inputs)))
    return steps


def with_one(phi):
    """[phi; 1]."""
    return np.concatenate([phi, [1.0]])


class Linear(NamedTuple):
    """g = Theta [phi; 1], theta = the rows of Theta (n, features + 1) one after another."""

    n: int

    def predict(self, theta, phi):
        """g = Theta [phi; 1]."""
        return theta.reshape(self.n, -1) @ with_one(phi)

    def slopes(self, theta, phi):
        """dg_i / dTheta_ab = [i = a] [phi; 1]_b."""
        total = np.zeros((self.n, self.n, len(phi) + 1))
        for i in range(self.n):
            total[i, i] = with_one(phi)
        return total.reshape(self.n, -1)


class Hidden(NamedTuple):
    """g = A [tanh(C [phi; 1]); 1], all plastic; theta = the rows of C (hidden, features + 1), then those of A."""

    n: int
    n_hidden: int

    def weights(self, theta, phi):
        """C and A."""
        n_inner = self.n_hidden * (len(phi) + 1)
        return theta[:n_inner].reshape(self.n_hidden, -1), theta[n_inner:].reshape(self.n, -1)

    def predict(self, theta, phi):
        """g = A [tanh(C [phi; 1]); 1]."""
        C, A = self.weights(theta, phi)
        return A @ with_one(np.tanh(C @ with_one(phi)))

    def slopes(self, theta, phi):
        """dg_i / dC_ab = A_ia (1 - y_a^2) [phi; 1]_b, dg_i / dA_jb = [i = j] [y; 1]_b."""
        C, A = self.weights(theta, phi)
        y = np.tanh(C @ with_one(phi))
        inner = (A[:, :-1] * (1 - y**2))[:, :, None] * with_one(phi)
        return np.hstack([inner.reshape(self.n, -1), Linear(self.n).slopes(None, y)])


class Projected(NamedTuple):
    """g = P' q(phi), P (k, n) with orthonormal rows, q a predictor of k numbers; phi = P s is the caller's to make."""

    P: np.ndarray
    q: Any

    def predict(self, theta, phi):
        """g = P' q."""
        return self.q.predict(theta, phi) @ self.P

    def slopes(self, theta, phi):
        """dq/dtheta (k, theta), which `ProjectedTrace` wants; P' dq/dtheta is that of g."""
        return self.q.slopes(theta, phi)


class Arrays(NamedTuple):
    """A predictor whose functions take theta as a tuple of arrays, as `oracle.predict`; phi is whatever they take.

    predict(arrays, phi) -> (n,), slopes(arrays, phi) -> one (n, *shape) for each array; not plastic: slopes zero.
    """

    shapes: tuple
    predict_arrays: Any
    slopes_arrays: Any
    plastic: tuple

    def arrays(self, theta):
        """Theta in pieces."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        return tuple(part.reshape(shape) for part, shape in zip(np.split(theta, ends[:-1]), self.shapes, strict=True))

    def predict(self, theta, phi):
        """The prediction g."""
        return self.predict_arrays(self.arrays(theta), phi)

    def slopes(self, theta, phi):
        """dg/dtheta (n, theta), the arrays one after another."""
        parts = self.slopes_arrays(self.arrays(theta), phi)
        return np.hstack([on * part.reshape(len(part), -1) for on, part in zip(self.plastic, parts, strict=True)])


def flatten(arrays):
    """A tuple of arrays as one vector."""
    return np.concatenate([np.ravel(a) for a in arrays])


class Full:
    """e_t = decay J_t e_{t-1} + dg_t/dtheta, e (state, theta); `local` says what stands for J_t (matrix -> matrix)."""

    def __init__(self, decay, local=None):
        self.decay, self.local, self.e = decay, local, None

    def advance(self, J, slope):
        """e <- decay J e + dg/dtheta."""
        J = J if self.local is None else self.local(J)
        self.e = slope if self.e is None else self.decay * J @ self.e + slope

    def share(self, delta):
        """Delta e."""
        return delta @ self.e


class History:
    """Sum over the last `horizon` steps t <= k of decay^(k-t) delta_k ds_k/ds_t dg_t/dtheta; k itself is one of them.

    ds_k/ds_t = J_k J_{k-1} ... J_{t+1}. Without a horizon all steps are kept.
    """

    def __init__(self, decay, horizon=None):
        self.decay, self.horizon, self.steps = decay, horizon, []

    def advance(self, J, slope):
        """Remember J_k and dg_k/dtheta."""
        self.steps.append((J, slope))

    def share(self, delta):
        """The sum, each product of Jacobians made anew."""
        k, total = len(self.steps) - 1, 0.0
        for t in range(k + 1):
            if self.horizon is not None and k - t >= self.horizon:
                continue
            product = np.eye(len(delta))
            for j in range(t + 1, k + 1):
                product = self.steps[j][0] @ product
            total = total + self.decay ** (k - t) * (delta @ product) @ self.steps[t][1]
        return total


class ProjectedTrace:
    """e_t = decay (P J_t P') e_{t-1} + dq_t/dtheta, e (k, theta); share = (P delta) e."""

    def __init__(self, decay, P):
        self.P, self.inner = P, Full(decay)

    def advance(self, J, slope):
        """e <- decay (P J P') e + dq/dtheta."""
        self.inner.advance(self.P @ J @ self.P.T, slope)

    def share(self, delta):
        """(P delta) e."""
        return self.inner.share(self.P @ delta)


def balance(numerator, denominator):
    """Square root of the ratio of two 2-norms; 1 where either norm is zero."""
    numerator, denominator = np.sqrt(np.sum(numerator**2)), np.sqrt(np.sum(denominator**2))
    return np.sqrt(numerator / denominator) if numerator > 0 and denominator > 0 else 1.0


class LowRank:
    """e_t estimated by the mean over ranks of s~ theta~, with signs nu (T + 1, ranks, state), nu[0] not read.

    s~ = rho_0 decay J s~ + rho_1 nu, theta~ = theta~ / rho_0 + (nu dg/dtheta) / rho_1, with
    rho_0^2 = |theta~| / |decay J s~| and rho_1^2 = |nu dg/dtheta| / |nu|, both before the update. Where decay J s~ = 0
    theta~ counts for nothing any more, and is forgotten (without `forgets` it stays as noise, right on average).
    """

    def __init__(self, decay, nu, local=None, forgets=True):
        self.decay, self.nu, self.local, self.t, self.pairs = decay, np.asarray(nu, float), local, 0, None
        self.forgets = forgets

    def advance(self, J, slope):
        """One step of s~ and theta~ of every rank."""
        self.t += 1
        ranks = len(self.nu[self.t])
        if self.pairs is None:
            self.pairs = [(np.zeros(len(slope)), np.zeros(slope.shape[1]))] * ranks
        J = J if self.local is None else self.local(J)
        for r in range(ranks):
            s_tilde, theta_tilde = self.pairs[r]
            nu = self.nu[self.t, r]
            forward, back = self.decay * J @ s_tilde, nu @ slope
            rho_0, rho_1 = balance(theta_tilde, forward), balance(back, nu)
            kept = 1 / rho_0 if forward.any() or not self.forgets else 0.0
            self.pairs[r] = (rho_0 * forward + rho_1 * nu, kept * theta_tilde + back / rho_1)

    def share(self, delta):
        """Mean over ranks of (delta s~) theta~."""
        return sum((delta @ s_tilde) * theta_tilde for s_tilde, theta_tilde in self.pairs) / len(self.pairs)


def td_error(l_next, g_next, J_next, g, discount):
    """delta_k = (l_{k+1} + discount g_{k+1}) J_{k+1} - g_k; local with what stands for J."""
    return (l_next + discount * g_next) @ J_next - g


class Learner:
    """Backward view: theta <- theta + alpha mean over trials of delta_k e_k, at step k + 1; one trace for each trial.

    Both predictions in delta_k, and dg_{k+1}/dtheta in the trace, are made with theta on entry to step k + 1.
    """

    def __init__(self, predictor, theta, alpha, discount, traces):
        self.predictor, self.theta, self.alpha, self.discount = predictor, np.array(theta, float), alpha, discount
        self.traces, self.before = traces, [None] * len(traces)

    def predictions(self, steps):
        """g_t with the present theta, 0 at a trial's last step; None for a trial that is over."""
        return [None if step is None else self.prediction(step) for step in steps]

    def prediction(self, step):
        """g_t of one trial."""
        return np.zeros(len(step.l)) if step.last else self.predictor.predict(self.theta, step.phi)

    def step(self, steps):
        """One step of all trials, `steps` a `Step` for each or None where a trial is over."""
        share = np.zeros_like(self.theta)
        for k, (step, g) in enumerate(zip(steps, self.predictions(steps), strict=True)):
            if step is None:
                continue
            if self.before[k] is not None:
                J = step.J if step.J_error is None else step.J_error
                g_before = self.predictor.predict(self.theta, self.before[k])
                share += self.traces[k].share(td_error(step.l, g, J, g_before, self.discount)) / len(steps)
            self.traces[k].advance(step.J, self.predictor.slopes(self.theta, step.phi))
            self.before[k] = step.phi
        self.theta = self.theta + self.alpha * share


class TrueOnline(Learner):
    """True online BP(lambda), one trial, linear predictor; below, phi stands for [phi; 1]; E (state, row, feature).

    E_t = discount lambda J_t E_{t-1} (I - alpha phi_t phi_t') + alpha I x phi_t (without `dutch`, a mistake, I alone);
    Theta_{t+1} = Theta_t + (v_{t+1} - Theta_{t-1} phi_t) E_t - alpha (Theta_t - Theta_{t-1}) phi_t phi_t'.
    """

    def __init__(self, n, theta, alpha, discount, lambda_, dutch=True):
        super().__init__(Linear(n), theta, alpha, discount, [None])
        self.n, self.lambda_, self.dutch, self.earlier, self.E = n, lambda_, dutch, self.theta, None

    def step(self, steps):
        """Theta_{t+1} from what step t + 1 shows, then E_{t+1}."""
        (step,), before = steps, self.before[0]
        now, earlier = self.theta.reshape(self.n, -1), self.earlier.reshape(self.n, -1)
        if before is not None:
            phi = with_one(before)
            J = step.J if step.J_error is None else step.J_error
            v = (step.l + self.discount * self.prediction(step)) @ J
            late = self.alpha * np.outer((now - earlier) @ phi, phi)
            self.earlier, self.theta = self.theta, (now + np.tensordot(v - earlier @ phi, self.E, 1) - late).ravel()
        phi = with_one(step.phi)
        project = np.eye(len(phi)) - (self.alpha * np.outer(phi, phi) if self.dutch else 0)
        added = self.alpha * np.einsum("ia,b->iab", np.eye(self.n), phi)
        E = np.zeros_like(added) if self.E is None else self.E
        self.E = self.discount * self.lambda_ * np.einsum("ij,jac,cb->iab", step.J, E, project) + added
        self.before = [step.phi]


def learn(learner, trials):
    """Theta after each step, entry 0 as on entry; trials are lists of `Step`, entry 0 not read, of any lengths."""
    thetas = [learner.theta]
    for t in range(1, max(map(len, trials))):
        learner.step([trial[t] if t < len(trial) else None for trial in trials])
        thetas.append(learner.theta)
    return thetas


def interim_target(steps, t, k, discount, lambda_, g):
    """G_t^k = (l_{t+1} + discount [(1 - lambda) g_{t+1} + lambda G_{t+1}^k]) J_{t+1}; at t + 1 = k, [...] is g_k."""
    further = g[t + 1]
    if t + 1 < k:
        further = (1 - lambda_) * g[t + 1] + lambda_ * interim_target(steps, t + 1, k, discount, lambda_, g)
    return (steps[t + 1].l + discount * further) @ steps[t + 1].J


def online_lambda_sg(steps, n, theta, alpha, discount, lambda_):
    """Theta_0..Theta_T of online lambda-SG: Theta_k is learnt from the first Theta on all targets of horizon k.

    Theta <- Theta + alpha (G_t^k - Theta phi_t) phi_t' for t = 1..k-1, where g_k in the targets is Theta_{k-1} phi_k.
    """
    T, first = len(steps) - 1, np.array(theta, float).reshape(n, -1)
    thetas, g = [first, first], [None, None]
    for k in range(2, T + 1):
        g.append(np.zeros(n) if steps[k].last else thetas[k - 1] @ with_one(steps[k].phi))
        Theta = first
        for t in range(1, k):
            phi = with_one(steps[t].phi)
            target = interim_target(steps, t, k, discount, lambda_, g)
            Theta = Theta + alpha * np.outer(target - Theta @ phi, phi)
        thetas.append(Theta)
    return [Theta.ravel() for Theta in thetas]
