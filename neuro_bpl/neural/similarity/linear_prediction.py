"""Linear prediction: how much of the recorded units' activity is a weighted sum of the model's?"""

import numpy as np
from jaxtyping import Bool, Float

from neuro_bpl.neural.activity.responses import centred
from neuro_bpl.neural.measures.dimensionality import leading


def predicted(
    x: Float[np.ndarray, "condition time unit"],
    y: Float[np.ndarray, "condition time unit_y"],
    held_out: list[Bool[np.ndarray, " condition"]],
    n_components: int,
) -> Float[np.ndarray, "condition time unit_y"]:
    """Ŷ = X_k B + b of each condition left out, with B, b by least squares from the others.

    X_k are the scores of x along its first k principal components, so that every model has as many weights to fit,
    however many units it has.
    """
    reduced = leading(x, n_components)
    regressors = np.concatenate([reduced, np.ones((*reduced.shape[:2], 1))], -1)
    found = np.zeros_like(y)
    for out in held_out:
        fit_x, fit_y = (values[~out].reshape(-1, values.shape[-1]) for values in (regressors, y))
        weights, *_ = np.linalg.lstsq(fit_x, fit_y, rcond=None)
        found[out] = regressors[out] @ weights
    return found


def pooled_correlation(x: Float[np.ndarray, "... unit"], y: Float[np.ndarray, "... unit"]) -> float:
    """Σ x y / √(Σ x² Σ y²) over all samples and units, each unit less its mean over samples; NaN where none varies.

    Units count by their variance, as those do that a common map is fitted to.

    Examples
    --------
    >>> x = np.arange(6.0).reshape(3, 2)
    >>> round(pooled_correlation(x, -x), 6)
    -1.0
    """
    first, second = (centred(values.reshape(-1, values.shape[-1])) for values in (x, y))
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / size) if size > 0 else float("nan")
