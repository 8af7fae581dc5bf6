"""The neural repertoire: the activity patterns that a population makes, and how far learning takes it from them.

Measures of Golub et al. 2018 (Nat Neurosci 21:607). Patterns are rows (sample, factor) of activity in the intrinsic
manifold; angles say which cursor-to-target direction a pattern belongs to.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from neuro_bpl.neural.activity.responses import centred, column_space
from neuro_bpl.refusals import refusal

NEIGHBOURS = 5  # Golub et al. 2018

Before = Float[np.ndarray, "reference factor"]
After = Float[np.ndarray, "tested factor"]
BeforeAngles = Shaped[np.ndarray, " reference"]
AfterAngles = Shaped[np.ndarray, " tested"]


class Interval(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def repertoire_change(before: Before, after: After, neighbours: int = NEIGHBOURS) -> Float[np.ndarray, " tested"]:
    """Change of each pattern after learning: how much farther it is from the repertoire than that from itself.

    Δ = ρ / (ν N/(N − 1)) − 1, Golub et al. 2018 (5): ρ is the Mahalanobis distance of the pattern to its 5th nearest
    neighbour among the N patterns before learning, in units of their covariance, and ν the mean distance of these to
    their own 5th nearest neighbour; N/(N − 1) makes up for the one that cannot be its own neighbour.

    Parameters
    ----------
    before, after : (sample, factor)
        Patterns before and after learning.
    neighbours : int
        Which neighbour's distance counts.

    Returns
    -------
    (sample,)
        Of each pattern after learning; its mean is the repertoire change: about 0 for patterns of the same repertoire,
        above 0 for other ones, below 0 where they fall on its dense part.

    Raises
    ------
    ValueError
        If there are no more patterns than neighbours or factors, or the covariance before learning is singular.

    Examples
    --------
    >>> cloud = np.random.default_rng(0).normal(size=(400, 3))
    >>> same, moved = cloud[200:], cloud[200:] + 1.0
    >>> [round(float(repertoire_change(cloud[:200], after).mean()), 1) + 0.0 for after in (same, moved)]
    [0.0, 0.5]
    """
    _check(before, after, neighbours)
    white = _whitening(before)
    reference, tested = before @ white, after @ white
    own = _distance(reference, reference, neighbours + 1).mean() * len(before) / (len(before) - 1)
    return _distance(reference, tested, neighbours) / own - 1


def movement_specific_change(
    before: Before,
    angles_before: BeforeAngles,
    after: After,
    angles_after: AfterAngles,
    neighbours: int = NEIGHBOURS,
) -> Float[np.ndarray, " tested"]:
    """Change of each pattern relative to the patterns of the same angle before learning; as `repertoire_change`.

    Raises
    ------
    ValueError
        If angles before and after are not the same, or one has too few patterns.
    """
    if set(angles_before.tolist()) != set(angles_after.tolist()):
        got, allowed = np.unique(angles_after).tolist(), str(np.unique(angles_before).tolist())
        raise refusal("angles_after", got, allowed, "patterns of one angle are compared", "the same angles")
    changes = np.zeros(len(after))
    for angle in np.unique(angles_after):
        chosen = angles_after == angle
        changes[chosen] = repertoire_change(before[angles_before == angle], after[chosen], neighbours)
    return changes


def by_angle(changes: Float[np.ndarray, " tested"], angles: AfterAngles) -> tuple[Float[np.ndarray, " pattern"], ...]:
    """Return changes of the patterns of each angle."""
    return tuple(changes[angles == angle] for angle in np.unique(angles))


def mean_change(changes: Float[np.ndarray, " tested"], angles: AfterAngles) -> Interval:
    """Return mean over angles of the mean change of each, with a 95 % bootstrap interval over patterns within angles.

    Patterns before learning stay as they are. Where patterns of a trial resemble one another the interval is too
    narrow: time steps are drawn as if they were independent.
    """
    from scipy import stats

    groups = by_angle(changes, angles)

    def mean(*parts: np.ndarray, axis: int = -1) -> Any:
        return np.mean([part.mean(axis) for part in parts], axis=0)

    found = stats.bootstrap(groups, mean, method="percentile", n_resamples=2000, rng=np.random.default_rng(0))
    bounds = found.confidence_interval
    return Interval(float(mean(*groups)), float(bounds.low), float(bounds.high))


def chance_of_change(
    before: Before, after: After, neighbours: int = NEIGHBOURS, draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Return upper 95 % bound of the change of labels dealt out at random, and the p-value of the one that was found.

    A permutation test of whether patterns before and after learning come from one repertoire (`scipy.stats`).
    """
    from scipy import stats

    pooled = np.concatenate([before, after])

    def change(reference: np.ndarray, tested: np.ndarray) -> float:
        chosen, others = pooled[reference.astype(int)], pooled[tested.astype(int)]
        return float(repertoire_change(chosen, others, neighbours).mean())

    labels = (np.arange(len(before)), np.arange(len(before), len(pooled)))
    found = stats.permutation_test(
        labels, change, n_resamples=draws, alternative="greater", vectorized=False, rng=np.random.default_rng(seed)
    )
    return float(np.quantile(found.null_distribution, 0.95)), float(found.pvalue)


def variance_change(before: Before, after: After, pushing: Float[np.ndarray, "velocity factor"]) -> float:
    """Relative change of the variance along the directions that a mapping reads: (V_after − V_before) / V_before.

    V = trace(R Σ Rᵀ) with R an orthonormal basis of the rows of B, Golub et al. 2018 (6)–(7); NaN where the patterns
    before learning do not vary.
    """
    basis = np.linalg.svd(pushing, full_matrices=False)[2]
    old, new = (float(((centred(patterns) @ basis.T) ** 2).sum(1).mean()) for patterns in (before, after))
    return new / old - 1 if old > 0 else float("nan")


def _whitening(patterns: Before) -> Float[np.ndarray, "factor factor"]:
    """Return a matrix that turns Mahalanobis distances in units of the patterns' covariance into Euclidean ones."""
    inverse = np.linalg.inv(np.atleast_2d(np.cov(patterns.T, bias=True)))
    return np.linalg.cholesky(inverse)


def _distance(reference: Before, tested: After, neighbours: int) -> Float[np.ndarray, " tested"]:
    from scipy.spatial import KDTree

    return KDTree(reference).query(tested, k=[neighbours])[0][:, 0]


def _check(before: Before, after: After, neighbours: int) -> None:
    for name, patterns in (("before", before), ("after", after)):
        if patterns.ndim != 2 or len(patterns) == 0 or not np.isfinite(patterns).all():
            why = "distances are between patterns"
            raise refusal(name, patterns.shape, "finite numbers (sample, factor)", why, f"{name}.reshape(samples, -1)")
    if isinstance(neighbours, bool) or not 1 <= neighbours < len(before):
        allowed = f"1 to {len(before) - 1}, one less than patterns before learning"
        raise refusal("neighbours", neighbours, allowed, "a pattern is not its own neighbour", "neighbours=5")
    if before.shape[1] != after.shape[1]:
        why = "both lie in one manifold"
        raise refusal("after.shape", after.shape, f"(samples, {before.shape[1]})", why, "the same factors")
    if column_space(before).shape[1] < before.shape[1]:
        got = f"{len(before)} patterns that do not fill {before.shape[1]} dimensions"
        raise refusal(
            "before", got, "more patterns, or fewer factors", "distances are scaled by the covariance", "more"
        )
