"""Differences between rules: are they larger than those between networks, and than what other units would give?"""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

Interval = tuple[float, float, float]


def over_seeds(scores: Float[np.ndarray, " seed"]) -> Interval:
    """Return mean and 95 % interval over networks (Student's t); NaN where there are fewer than two.

    Examples
    --------
    >>> mean, low, high = over_seeds(np.array([1.0, 2.0, 3.0]))
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (2.0, -0.484, 4.484)
    """
    known = scores[np.isfinite(scores)]
    mean = float(known.mean()) if known.size else np.nan
    if known.size < 2:
        return mean, np.nan, np.nan
    half = float(stats.t.ppf(0.975, known.size - 1) * stats.sem(known))
    return mean, mean - half, mean + half


def over_seeds_and_units(
    scores: Float[np.ndarray, " seed"], resampled: Float[np.ndarray, " draw"], n_units: int
) -> tuple[float, float]:
    """95 % interval of the mean over networks and recorded units: x̄ ± t √(s²/n + s_u²), as in `difference`.

    Examples
    --------
    >>> low, high = over_seeds_and_units(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0]), 30)
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    known = scores[np.isfinite(scores)]
    if len(known) < 2 or len(resampled) < 2:
        return np.nan, np.nan
    shares = np.array([known.var(ddof=1) / len(known), resampled.var(ddof=1)])
    half = _half_width(shares, np.array([len(known) - 1, max(n_units - 1, 1)]))
    return float(known.mean() - half), float(known.mean() + half)


def _half_width(shares: Float[np.ndarray, " share"], freedom: Int[np.ndarray, " share"]) -> float:
    """Return half of a 95 % interval whose variance has these shares, their degrees of freedom joined."""
    variance = float(shares.sum())
    if not variance > 0:
        return variance  # 0, or unknown
    return float(stats.t.ppf(0.975, _joint(shares, freedom)) * np.sqrt(variance))


def _joint(shares: Float[np.ndarray, " share"], freedom: Int[np.ndarray, " share"]) -> float:
    return float(shares.sum() ** 2 / (shares**2 / freedom).sum())


def difference(
    first: Float[np.ndarray, " seed"],
    second: Float[np.ndarray, " seed_b"],
    resampled: Float[np.ndarray, " draw"],
    n_units: int,
) -> dict[str, float]:
    """t = (x̄ − ȳ) / √(s_x²/n_x + s_y²/n_y + s_u²), Welch's test with the recording's share of variance added.

    s_u is the SD of x̄ − ȳ over bootstrap samples of the recorded units, with n_units − 1 degrees of freedom; degrees
    of freedom are joined as Satterthwaite (1946) does. So a difference has to hold for new networks and new units.

    Parameters
    ----------
    first, second : arrays `(seed,)`
        Scores of the networks of two rules; NaN: left out.
    resampled : array `(draw,)`
        Differences of the mean scores with resampled units.
    n_units : int
        Recorded units.

    Returns
    -------
    dict
        `difference`, its 95 % interval `difference_low` and `difference_high`, `se_seeds`, `se_units`, and `p`
        (two-sided); NaN where a rule has fewer than two networks, or a resampled difference is NaN.

    Examples
    --------
    >>> found = difference(np.array([1.0, 1.1, 0.9]), np.array([0.1, 0.0, -0.1]), np.array([1.0, 0.98, 1.02]), 30)
    >>> round(found["difference"], 3), found["p"] < 0.001
    (1.0, True)
    """
    x, y = (scores[np.isfinite(scores)] for scores in (first, second))
    if min(len(x), len(y)) < 2:
        gap = float(x.mean() - y.mean()) if min(len(x), len(y)) else np.nan
        return {
            "difference": gap,
            **dict.fromkeys(("difference_low", "difference_high", "se_seeds", "se_units", "p"), np.nan),
        }
    shares = np.array([x.var(ddof=1) / len(x), y.var(ddof=1) / len(y), resampled.var(ddof=1)])
    freedom = np.array([len(x) - 1, len(y) - 1, max(n_units - 1, 1)])
    gap, variance = float(x.mean() - y.mean()), float(shares.sum())
    half = _half_width(shares, freedom)
    if np.isnan(variance):
        p = np.nan
    elif not variance > 0:
        p = 1.0 if gap == 0 else 0.0
    else:
        p = float(2 * stats.t.sf(abs(gap) / np.sqrt(variance), _joint(shares, freedom)))
    return {
        "difference": gap,
        "difference_low": gap - half,
        "difference_high": gap + half,
        "se_seeds": float(np.sqrt(shares[:2].sum())),
        "se_units": float(np.sqrt(shares[2])),
        "p": p,
    }
