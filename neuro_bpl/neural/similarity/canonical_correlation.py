"""Canonical correlation: which directions of two populations vary together?"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg

from neuro_bpl.neural.activity.responses import Population, centred, column_space
from neuro_bpl.neural.measures.dimensionality import leading
from neuro_bpl.neural.similarity.kernel_alignment import paired_rows

Maps = tuple[Float[np.ndarray, "unit component"], Float[np.ndarray, "unit_y component"]]


def canonical_correlations(x: Population, y: Population) -> Float[np.ndarray, " component"]:
    """ρᵢ = cos θᵢ, θ the principal angles between the column spaces of X and Y, both centred; largest first.

    Hotelling 1936. Any invertible linear map of either population leaves them as they are. They are fitted to the
    samples: with as many units as samples all are 1, whatever the populations. `held_out_correlation` tests them.
    There are as many as the directions in which the population with fewer of them varies; one of them, which is NaN,
    where a population is constant.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20, 3))
    >>> mixed = x @ np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 5.0], [0.0, 0.0, 0.1]])
    >>> canonical_correlations(x, mixed).round(6)
    array([1., 1., 1.])
    """
    first, second = (column_space(values) for values in paired_rows(x, y))
    count = min(first.shape[1], second.shape[1])
    return np.clip(linalg.svdvals(first.T @ second), 0, 1) if count else np.full(1, np.nan)


def canonical_maps(x: Float[np.ndarray, "sample unit"], y: Float[np.ndarray, "sample unit_y"]) -> Maps:
    """A = R_x⁻¹ U, B = R_y⁻¹ V of Q_xᵀ Q_y = U S Vᵀ: directions whose scores correlate by S (Björck & Golub 1973)."""
    (q, r), (qq, rr) = (linalg.qr(values, mode="economic") for values in (x, y))
    u, _, vt = linalg.svd(q.T @ qq, full_matrices=False)
    return linalg.pinv(r) @ u, linalg.pinv(rr) @ vt.T


def held_out_correlation(
    x: Float[np.ndarray, "condition time unit"],
    y: Float[np.ndarray, "condition time unit_y"],
    held_out: list[Bool[np.ndarray, " condition"]],
    n_components: int,
) -> float:
    """Mean over the directions of y of the correlation of canonical scores, fitted to some conditions, in others.

    Both populations are first reduced to their leading principal components (Raghu et al. 2017), y to those of the
    conditions that are fitted. Where x has fewer directions than y, those of y without a partner count as 0; so it is
    0 where a population does not vary.
    """
    reduced = leading(x, n_components)
    found = [_one_fold(reduced, y, out, n_components) for out in held_out]
    return float(np.mean(found))


def _one_fold(
    x: Float[np.ndarray, "condition time unit"],
    y: Float[np.ndarray, "condition time unit_y"],
    out: Bool[np.ndarray, " condition"],
    n_components: int,
) -> float:
    # Shorthand
    fit_x, fit_y = (values[~out].reshape(-1, values.shape[-1]) for values in (x, y))
    test_x, test_y = (values[out].reshape(-1, values.shape[-1]) for values in (x, y))
    mean = fit_y.mean(0)
    _, vectors = np.linalg.eigh(centred(fit_y).T @ centred(fit_y))
    basis = vectors[:, ::-1][:, :n_components]
    a, b = canonical_maps(centred(fit_x), centred(fit_y) @ basis)
    return float(column_correlations(test_x @ a, (test_y - mean) @ basis @ b).sum() / basis.shape[1])


def column_correlations(
    x: Float[np.ndarray, "sample component"], y: Float[np.ndarray, "sample component"]
) -> Float[np.ndarray, " component"]:
    """Pearson's correlation of each column of X with that of Y; 0 where one does not vary."""
    x, y = centred(x), centred(y)
    size = np.linalg.norm(x, axis=0) * np.linalg.norm(y, axis=0)
    return np.divide((x * y).sum(0), size, out=np.zeros(x.shape[1]), where=size > 0)
