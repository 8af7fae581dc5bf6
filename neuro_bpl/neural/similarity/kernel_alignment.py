"""Centred kernel alignment: do the same pairs of samples lie close together in two populations?"""

import numpy as np
from jaxtyping import Float

from neuro_bpl.neural import arguments
from neuro_bpl.neural.activity.responses import ROUNDING, Population, centred, rows
from neuro_bpl.refusals import refusal


def cka(x: Population, y: Population, *, debiased: bool = True) -> float:
    """HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)),  K = XXᵀ, L = YYᵀ.

    Linear CKA (Kornblith et al. 2019), by default with the unbiased HSIC of Song et al. (2012). That leaves the
    diagonals of K and L out, and with them the noise that is independent between samples, and is 0 on average for
    independent populations however many units they have.

    Parameters
    ----------
    x, y : arrays `(…, unit)` or DataArrays
        The same samples, such as conditions × time, in the same order; any numbers of units.
    debiased : bool
        Whether to leave the diagonals out.

    Returns
    -------
    float
        1 for populations that are equal up to rotation and scale (and permuted units); NaN where the unbiased HSIC of
        a population with itself is not positive, so that there is no structure to compare, as in constant ones.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(20, 5))
    >>> rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    >>> round(cka(x, 3 * x @ rotation), 6)
    1.0
    """
    arguments.flag("debiased", debiased, "the diagonals are left out, or not")
    first, second = paired_rows(x, y, at_least=4)
    hsic = unbiased_hsic if debiased else biased_hsic
    k, kk = gram(first), gram(second)
    own = hsic(k, k), hsic(kk, kk)
    least = ROUNDING * biased_hsic(k, k), ROUNDING * biased_hsic(kk, kk)
    has_structure = own[0] > least[0] and own[1] > least[1]
    return float(hsic(k, kk) / np.sqrt(own[0] * own[1])) if has_structure else float("nan")


def gram(x: Float[np.ndarray, "sample unit"]) -> Float[np.ndarray, "sample sample"]:
    """X Xᵀ of the centred population: what is added to all samples changes no estimator, but would cost it digits.

    Examples
    --------
    >>> gram(np.array([[1e9], [1e9 + 1], [1e9 + 2]])).tolist()
    [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]]
    """
    return centred(x) @ centred(x).T


def biased_hsic(k: Float[np.ndarray, "n n"], kk: Float[np.ndarray, "n n"]) -> float:
    """tr(K L) / (n − 1)², of centred Gram matrices."""
    return float((k * kk).sum() / (len(k) - 1) ** 2)


def unbiased_hsic(k: Float[np.ndarray, "n n"], kk: Float[np.ndarray, "n n"]) -> float:
    """[tr(K̃L̃) + 1ᵀK̃1 · 1ᵀL̃1 / ((n−1)(n−2)) − 2/(n−2) 1ᵀK̃L̃1] / (n(n−3)),  K̃ = K without its diagonal.

    Song et al. 2012, J Mach Learn Res 13:1393, estimator (5).
    """
    # Shorthand
    n, a, b = len(k), k - np.diag(np.diag(k)), kk - np.diag(np.diag(kk))
    total = (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * a.sum(0) @ b.sum(1)
    return float(total / (n * (n - 3)))


def paired_rows(
    x: Population, y: Population, at_least: int = 2
) -> tuple[Float[np.ndarray, "sample unit"], Float[np.ndarray, "sample unit_y"]]:
    """Return both populations as `(sample, unit)`; refused where they have not the same samples."""
    first, second = rows(x), rows(y)
    if len(first) != len(second) or len(first) < at_least:
        got, fix = (len(first), len(second)), "condition_means of both, at the same times"
        raise refusal("samples", got, f"as many, {at_least} or more", "samples are compared one by one", fix)
    return first, second
