"""Procrustes: how well does a rotation of one population lie on the other?"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg

from neuro_bpl.neural.activity.responses import Population, centred
from neuro_bpl.neural.similarity.kernel_alignment import paired_rows


def procrustes_similarity(x: Population, y: Population) -> float:
    """max_Q ⟨XQ, Y⟩ / (‖X‖ ‖Y‖) = ‖XᵀY‖_* / (‖X‖ ‖Y‖),  QᵀQ = 1, X and Y centred.

    The cosine of the angular shape distance of Williams et al. (2021). The rotation is fitted to all samples, so that
    noise and many units make independent populations similar; `aligned` holds samples out.

    Parameters
    ----------
    x, y : arrays `(…, unit)` or DataArrays
        The same samples in the same order; any numbers of units (missing ones count as silent).

    Returns
    -------
    float
        Between 0 and 1; 1 for populations equal up to rotation, reflection, shift and scale; NaN for constant ones.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20, 5))
    >>> round(procrustes_similarity(x, 3 * x[:, ::-1] + 1), 6)
    1.0
    """
    first, second = (centred(values) for values in paired_rows(x, y))
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float(linalg.svdvals(first.T @ second).sum() / size) if size > 0 else float("nan")


def procrustes_distance(x: Population, y: Population) -> float:
    """arccos of the similarity (rad): a metric on shapes, 0 to π/2.

    Examples
    --------
    >>> x = np.eye(4)
    >>> procrustes_distance(x, x[::-1]) < 1e-6
    True
    """
    return float(np.arccos(np.clip(procrustes_similarity(x, y), 0, 1)))


def rotation(
    x: Float[np.ndarray, "sample unit"], y: Float[np.ndarray, "sample unit_y"]
) -> tuple[Float[np.ndarray, "unit unit_y"], float]:
    """Q = U Vᵀ and s = tr S / ‖X‖² of XᵀY = U S Vᵀ: the partial isometry and scale that bring X closest to Y."""
    u, s, vt = linalg.svd(x.T @ y, full_matrices=False)
    return u @ vt, float(s.sum() / (x * x).sum()) if x.any() else 0.0


def aligned(
    x: Float[np.ndarray, "condition time unit"],
    y: Float[np.ndarray, "condition time unit_y"],
    held_out: list[Bool[np.ndarray, " condition"]],
) -> Float[np.ndarray, "condition time unit_y"]:
    """s X Q of each held-out condition, where Q, s and the means are fitted to the others."""
    turned = np.zeros_like(y)
    for out in held_out:
        offset, goal = x[~out].mean((0, 1)), y[~out].mean((0, 1))
        fit_x, fit_y = (centred(values[~out].reshape(-1, values.shape[-1])) for values in (x, y))
        q, scale = rotation(fit_x, fit_y)
        turned[out] = scale * (x[out] - offset) @ q + goal
    return turned
