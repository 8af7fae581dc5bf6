"""Representational similarity: are the same pairs of conditions far apart in two populations?"""

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats
from scipy.spatial import distance

from neuro_bpl.neural import arguments
from neuro_bpl.neural.activity.responses import ROUNDING, centred
from neuro_bpl.refusals import one_of, refusal

CORRELATIONS = {
    "pearson": stats.pearsonr,
    "spearman": stats.spearmanr,
    "kendall": stats.kendalltau,
}


def distances(x: Float[np.ndarray, "condition feature"]) -> Float[np.ndarray, " pair"]:
    """d_ab = ‖x_a − x_b‖² / P over P features, for each pair of conditions, as `scipy.spatial.distance` orders them.

    Noise makes them larger: for averages of n trials with variance σ² of each feature by 2σ²/n.

    Examples
    --------
    >>> distances(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]]))
    array([ 2.,  8., 10.])
    """
    return distance.pdist(centred(x), "sqeuclidean") / x.shape[1]


def cross_validated_distances(
    first: Float[np.ndarray, "condition feature"], second: Float[np.ndarray, "condition feature"]
) -> Float[np.ndarray, " pair"]:
    """d_ab = (x_a − x_b)·(x′_a − x′_b) / P,  x and x′ averages of different trials.

    Right on average whatever the noise, and thus negative at times for conditions that do not differ (Walther et al.
    2016). With units divided by the SD of their noise it is the crossnobis distance with diagonal noise covariance.

    Examples
    --------
    >>> x = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]])
    >>> bool(np.allclose(cross_validated_distances(x, x), distances(x)))
    True
    """
    # What is added to all conditions changes no distance, but would cost it digits.
    products = centred(first) @ centred(second).T / first.shape[1]
    own = np.diag(products)
    return (own[:, None] + own - products - products.T)[np.triu_indices(len(first), 1)]


def rdm(responses: xr.DataArray) -> xr.DataArray:
    """Return squared distances per feature between conditions (`(condition, other)`): times and units are features.

    Parameters
    ----------
    responses : DataArray
        Averages with a dim `condition`, as `condition_means` gives them.

    Examples
    --------
    >>> averages = xr.DataArray([[[0.0]], [[2.0]]], {"condition": ["L", "R"]}, ("condition", "time", "unit"))
    >>> rdm(averages).sel(condition="L", other="R").item()
    4.0
    """
    why, fix = "conditions are compared in pairs", "rdm(condition_means(responses))"
    arguments.data_array("responses", responses, ("condition",), why, fix)
    if "condition" not in responses.coords or not np.isfinite(responses.values).all():
        got = "no labels of conditions" if "condition" not in responses.coords else "missing values"
        raise refusal("responses", got, "finite numbers with a coordinate condition", why, fix)
    values = responses.transpose("condition", ...)
    names = values["condition"].values
    square = distance.squareform(distances(values.values.reshape(len(names), -1)))
    attrs = {"units": f"({responses.attrs.get('units', '1')})2", "long_name": "squared distance per feature"}
    return xr.DataArray(square, {"condition": names, "other": names}, ("condition", "other"), attrs=attrs)


def rdm_similarity(
    first: Float[np.ndarray, " pair"], second: Float[np.ndarray, " pair"], method: str = "pearson"
) -> float:
    """Correlation of the distances of all pairs of conditions; 0 where one of them tells no pair apart from another.

    Parameters
    ----------
    first, second : arrays `(pair,)`
        Distances in the same order, at least three.
    method : "pearson", "spearman" or "kendall"
        Pearson's for distances on a ratio scale; the others ask for their order only (Kendall's τ-b).

    Examples
    --------
    >>> round(rdm_similarity(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]), "spearman"), 6)
    1.0
    """
    one_of("method", method, list(CORRELATIONS), "distances are correlated")
    why, fix = "pairs of conditions are correlated", "distances of the same conditions, in the same order"
    first, second = (arguments.array(n, at, 1, why, fix) for n, at in (("first", first), ("second", second)))
    if len(first) < 3 or len(first) != len(second):
        got, fix = (len(first), len(second)), "three conditions or more"
        raise refusal("pairs of conditions", got, "as many, at least 3", "fewer have no correlation", fix)
    if any(np.ptp(values) <= ROUNDING * np.abs(values).max() for values in (first, second)):
        return 0.0
    return float(CORRELATIONS[method](first, second).statistic)


def rdm_ceiling(rdms: Float[np.ndarray, "subject pair"]) -> tuple[float, float]:
    """Return lower and upper bound of what the best model scores on average over subjects (Nili et al. 2014).

    Lower: the mean correlation of each subject with the mean of the others. Upper: with the mean of all. RDMs are
    standardised first, for which these are bounds of Pearson's correlation; one that tells no pair apart correlates by
    0 with every other.

    Examples
    --------
    >>> lower, upper = rdm_ceiling(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.5], [1.0, 2.0, 2.8]]))
    >>> 0.9 < lower < upper <= 1
    True
    """
    why, fix = "each subject has a distance for each pair", "np.stack([distances of one subject, of another])"
    rdms = arguments.array("rdms", rdms, 2, why, fix)
    if rdms.shape[0] < 2 or rdms.shape[1] < 3:
        raise refusal("rdms", rdms.shape, "two subjects or more, three pairs or more", why, fix)
    deviations = centred(rdms.T).T
    size = deviations.std(1, keepdims=True)
    standard = np.divide(deviations, size, out=np.zeros_like(deviations), where=size > 0)
    total = standard.sum(0)
    lower = [rdm_similarity(own, total - own) for own in standard]
    upper = [rdm_similarity(own, total) for own in standard]
    return float(np.mean(lower)), float(np.mean(upper))
