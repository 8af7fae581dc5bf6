"""Dynamical similarity: do two populations follow the same linear dynamics, seen in different coordinates?

Dynamical similarity analysis of Ostrow et al. (2023): a linear operator is fitted to the delay-embedded trajectories of
each population, and operators are compared up to an orthogonal change of basis.
"""

import numpy as np
from jaxtyping import Float

from neuro_bpl.neural import arguments
from neuro_bpl.neural.activity.responses import centred, rows
from neuro_bpl.refusals import refusal

Trajectories = Float[np.ndarray, "condition time unit"]
Operator = Float[np.ndarray, "state state"]
Bases = Float[np.ndarray, "start state state"]
N_STARTS, N_SCOUTED, N_FINALISTS, N_ITERATIONS, TOLERANCE = 16, 25, 2, 400, 1e-8


def delay_embedded(x: Trajectories, n_delays: int) -> Float[np.ndarray, "condition later lag"]:
    """h_t = [x_t, x_{t−1}, …, x_{t−n+1}] for each trajectory, from its n-th step on.

    Examples
    --------
    >>> delay_embedded(np.arange(4.0).reshape(1, 4, 1), 2)[0]
    array([[1., 0.],
           [2., 1.],
           [3., 2.]])
    """
    last = x.shape[1] - n_delays
    if n_delays < 1 or last < 1:
        fix = "n_delays=1"
        raise refusal("n_delays", n_delays, f"1 to {x.shape[1] - 1}", "a trajectory needs two embedded steps", fix)
    return np.concatenate([x[:, n_delays - 1 - lag : x.shape[1] - lag] for lag in range(n_delays)], -1)


def linear_operator(x: Trajectories, *, n_delays: int = 4, rank: int = 6) -> Operator:
    """Return a = argmin Σ_t ‖v_{t+1} − A v_t‖²,  v the first left singular vectors of the delay-embedded trajectories.

    Parameters
    ----------
    x : array `(condition, time, unit)`
        Trajectories, such as condition averages; all are taken to follow one operator.
    n_delays : int
        Steps that are embedded.
    rank : int
        Singular vectors kept. A population that varies along fewer has zeros in the others; a constant one, in all.

    Returns
    -------
    array `(rank, rank)`
        Its eigenvalues μ are those of the dynamics: exp(dt · rate) for each mode.

    Examples
    --------
    >>> decay = 0.8 ** np.arange(10.0)
    >>> trajectory = (decay - 0.0).reshape(1, 10, 1) * np.array([1.0, 2.0])
    >>> linear_operator(np.concatenate([trajectory, -trajectory]), n_delays=1, rank=1).round(3)
    array([[0.8]])
    """
    why, fix = "an operator leads from each step of a trajectory to the next", "condition_means(responses).values"
    x = arguments.array("x", x, 3, why, fix)
    arguments.whole("rank", rank, "singular vectors are counted", "rank=6", low=1, high=1000)
    arguments.whole("n_delays", n_delays, "a trajectory needs two embedded steps", "n_delays=1", low=1)
    embedded = delay_embedded(centred(rows(x)).reshape(np.shape(x)), n_delays)
    u, s, _ = np.linalg.svd(embedded.reshape(-1, embedded.shape[-1]), full_matrices=False)
    kept = min(rank, int((s > s[0] * 1e-6).sum()) if s[0] > 0 else 0)
    operator = np.zeros((rank, rank))
    if not kept:
        return operator
    states = u[:, :kept].reshape(*embedded.shape[:2], kept)
    before, after = (part.reshape(-1, kept) for part in (states[:, :-1], states[:, 1:]))
    operator[:kept, :kept] = np.linalg.lstsq(before, after, rcond=None)[0].T
    return operator


def change_of_basis(a: Operator, b: Operator) -> Operator:
    """C = argmax_{CᵀC = 1} tr(Aᵀ C B Cᵀ), the orthogonal matrix for which C B Cᵀ is closest to A.

    The trace is quadratic in C. Shifted by β‖C‖², which is constant on orthogonal matrices, it is convex, and
    C ← polar(A C Bᵀ + Aᵀ C B + 2 β C) never lowers it (Journée et al. 2010). It has several maxima: from `N_STARTS`
    starts, of which some match the eigenvectors of A + Aᵀ to those of B + Bᵀ, the best ones go on until they converge.
    """
    # Multiples of the identity add a constant to the trace; without them the iteration is quick.
    a, b = (operator - np.trace(operator) / len(operator) * np.eye(len(operator)) for operator in (a, b))
    scouts, reached = _climbed(a, b, _starts(a, b), N_SCOUTED)
    basis, reached = _climbed(a, b, scouts[np.argsort(reached)[-N_FINALISTS:]], N_ITERATIONS)
    return basis[np.argmax(reached)]


def _climbed(a: Operator, b: Operator, basis: Bases, n_iterations: int) -> tuple[Bases, Float[np.ndarray, " start"]]:
    """Return bases after so many iterations, or when none gains any more, and the traces that they reach."""
    shift = np.linalg.norm(a, 2) * np.linalg.norm(b, 2)
    reached = np.full(len(basis), -np.inf)
    for _ in range(n_iterations):
        u, _, vt = np.linalg.svd(a @ basis @ b.T + a.T @ basis @ b + 2 * shift * basis)
        basis = u @ vt
        before, reached = reached, (basis * (a @ basis @ b.T)).sum((1, 2))
        if (reached - before <= TOLERANCE * shift).all():
            break
    return basis, reached


def _starts(a: Operator, b: Operator) -> Bases:
    random = np.random.default_rng(0)
    n = len(a)
    (_, of_a), (_, of_b) = (np.linalg.eigh(operator + operator.T) for operator in (a, b))
    signs = random.choice([-1.0, 1.0], (N_STARTS // 2, n))
    matched = (of_a * signs[:, None]) @ of_b.T
    free = np.linalg.qr(random.normal(size=(N_STARTS - len(matched), n, n)))[0]
    return np.concatenate([matched, free])


def operator_similarity(a: Operator, b: Operator) -> float:
    """max_C tr(Aᵀ C B Cᵀ) / (‖A‖ ‖B‖) over orthogonal C: the cosine of the angle of Ostrow et al. (2023).

    Examples
    --------
    >>> turn = np.array([[0.9, -0.3], [0.3, 0.9]])
    >>> bool(np.isclose(operator_similarity(turn, turn.T), 1)), operator_similarity(turn, 0.9 * np.eye(2)) < 0.96
    (True, True)
    """
    size = np.linalg.norm(a) * np.linalg.norm(b)
    if size == 0:
        return float("nan")
    basis = change_of_basis(a, b)
    return float((a * (basis @ b @ basis.T)).sum() / size)


def operator_distance(a: Operator, b: Operator) -> float:
    """min_C ‖A − C B Cᵀ‖ over orthogonal C (Frobenius norm): 0 for the same dynamics in a rotated basis.

    Examples
    --------
    >>> operator_distance(np.diag([0.9, 0.5]), np.diag([0.5, 0.9])) < 1e-6
    True
    """
    why, fix = "operators are square and of one size", "linear_operator(trajectories)"
    a, b = (arguments.array(name, operator, 2, why, fix) for name, operator in (("a", a), ("b", b)))
    if a.shape[0] != a.shape[1] or a.shape != b.shape:
        raise refusal("a and b", (a.shape, b.shape), "square, and of one size", why, fix)
    basis = change_of_basis(a, b)
    return float(np.linalg.norm(a - basis @ b @ basis.T))


def dynamical_similarity(
    x: Trajectories, y: Float[np.ndarray, "condition_y time_y unit_y"], *, n_delays: int = 4, rank: int = 6
) -> float:
    """Return similarity of the operators of two populations, from −1 to 1; NaN where one of them is constant.

    Parameters
    ----------
    x, y : arrays `(condition, time, unit)`
        Trajectories in bins without gaps, at the same interval; conditions, times and units may differ.
    n_delays, rank : int
        As in `linear_operator`.

    Notes
    -----
    Noise lowers the eigenvalues of an operator. Populations that are not equally noisy differ for that alone, and a
    noisy one may be more similar to other dynamics than to its own.
    """
    first, second = (linear_operator(values, n_delays=n_delays, rank=rank) for values in (x, y))
    return operator_similarity(first, second)
