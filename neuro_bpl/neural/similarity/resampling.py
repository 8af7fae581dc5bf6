"""Resampling: parts of the trials, orders of the conditions, folds, and what half of the trials says about all."""

import math
from itertools import permutations

import numpy as np
from jaxtyping import Bool, Float, Int


def split(
    groups: Int[np.ndarray, " trial"],
    n_bins: Int[np.ndarray, " trial"],
    n_parts: int,
    random: np.random.Generator,
) -> Int[np.ndarray, " trial"]:
    """Part (0, …, n_parts − 1) of each trial: every group is dealt out evenly, its long trials as its short ones.

    Trials of a group are sorted by their number of bins, longest first, those of one length at random; of each
    n_parts in a row, every part gets one at random. Trials of group −1 belong to part −1.

    Examples
    --------
    >>> parts = split(np.array([0, 0, 1, 1, -1]), np.ones(5, int), 2, np.random.default_rng(0))
    >>> sorted(parts[:2].tolist()), sorted(parts[2:4].tolist()), int(parts[4])
    ([0, 1], [0, 1], -1)
    """
    part = np.full(len(groups), -1)
    for group in np.unique(groups[groups >= 0]):
        members = random.permutation(np.flatnonzero(groups == group))
        members = members[np.argsort(-n_bins[members], kind="stable")]
        for first in range(0, len(members), n_parts):
            block = members[first : first + n_parts]
            part[block] = random.permutation(n_parts)[: len(block)]
    return part


def spearman_brown(reliability: float, factor: float = 2.0) -> float:
    """r_k = k r / (1 + (k − 1) r): reliability of k times as many trials (Spearman 1910; Brown 1910).

    Examples
    --------
    >>> round(spearman_brown(0.5), 3)
    0.667
    """
    return factor * reliability / (1 + (factor - 1) * reliability)


def ceiling(reliability: float, factor: float = 2.0) -> float:
    """√r_k: the correlation of a model without error or noise with a noisy average; NaN where r ≤ 0.

    The classical correction for attenuation (Spearman 1904): two measurements that correlate by r share a truth with
    which each correlates by √r. `factor` is the number of such measurements in the average.

    Examples
    --------
    >>> ceiling(1.0), ceiling(-0.1)
    (1.0, nan)
    """
    return math.sqrt(spearman_brown(reliability, factor)) if reliability > 0 else math.nan


def orders(n_conditions: int, n_permutations: int, random: np.random.Generator) -> Int[np.ndarray, "order condition"]:
    """Return orders of the conditions other than their own: all of them where there are no more than `n_permutations`.

    Examples
    --------
    >>> orders(3, 100, np.random.default_rng(0)).shape
    (5, 3)
    """
    own = np.arange(n_conditions)
    if n_conditions < 10 and math.factorial(n_conditions) - 1 <= n_permutations:
        return np.array(list(permutations(own))[1:]).reshape(-1, n_conditions)
    drawn: list[Int[np.ndarray, " condition"]] = []
    while len(drawn) < n_permutations:
        order = random.permutation(n_conditions)
        if (order != own).any():
            drawn.append(order)
    return np.array(drawn, int).reshape(-1, n_conditions)


def p_of_null(score: float, null: Float[np.ndarray, " draw"]) -> float:
    """p = (1 + #{null ≥ score}) / (1 + n) (Phipson & Smyth 2010), over the n draws of `known_draws`; NaN without any.

    Examples
    --------
    >>> p_of_null(1.0, np.array([0.2, 0.3, 1.0])), p_of_null(1.0, np.array([0.2, np.nan, np.nan]))
    (0.5, nan)
    """
    known = known_draws(null)
    return float((1 + np.sum(known >= score)) / (1 + len(known))) if known.size and np.isfinite(score) else math.nan


def known_draws(null: Float[np.ndarray, " draw"]) -> Float[np.ndarray, " known"]:
    """Return the draws that are finite, where at least half are; otherwise none, as too little is known of the others.

    Examples
    --------
    >>> known_draws(np.array([0.2, np.nan, 0.4])).tolist(), known_draws(np.array([0.2, np.nan, np.nan])).tolist()
    ([0.2, 0.4], [])
    """
    known = null[np.isfinite(null)]
    return known if 2 * len(known) >= len(null) else known[:0]


def folds(n_conditions: int, n_folds: int) -> list[Bool[np.ndarray, " condition"]]:
    """For each fold the conditions that it leaves out: every `n_folds`-th one.

    Examples
    --------
    >>> [fold.astype(int).tolist() for fold in folds(3, 2)]
    [[1, 0, 1], [0, 1, 0]]
    """
    own = np.arange(n_conditions) % min(n_folds, n_conditions)
    return [own == fold for fold in range(min(n_folds, n_conditions))]


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Return P-values adjusted for their number, p̃₍ᵢ₎ = max_{j ≤ i} min(1, (m − j + 1) p₍ⱼ₎) (Holm 1979); NaN stays.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03, np.nan])).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    rising = known[np.argsort(p[known], kind="stable")]
    factors = len(rising) - np.arange(len(rising))
    adjusted[rising] = np.maximum.accumulate(np.minimum(1.0, factors * p[rising]))
    return adjusted
