"""Dimensionality: principal components of a population, and how many of them it spreads over."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from sklearn.decomposition import PCA

from neuro_bpl.neural import arguments
from neuro_bpl.neural.activity.responses import Population, centred, rows
from neuro_bpl.refusals import refusal


def participation_ratio(x: Population) -> float:
    """(Σᵢ λᵢ)² / Σᵢ λᵢ²,  λ the eigenvalues of the covariance between units.

    From 1 (all variance along one direction) to the number of units (the same along each); Gao et al. 2017. With
    fewer samples than some times that number it is too small, and noise makes it larger.

    Parameters
    ----------
    x : array `(…, unit)` or DataArray
        Samples such as condition averages at each time.

    Returns
    -------
    float
        NaN where nothing varies.

    Examples
    --------
    >>> participation_ratio(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    2.0
    """
    flat = rows(x)
    if len(flat) < 2:
        raise refusal(
            "x", flat.shape, "two samples or more", "variance is between samples", "condition_means(responses)"
        )
    deviations = centred(flat)
    covariance = deviations.T @ deviations
    squares = (covariance**2).sum()
    return float(np.trace(covariance) ** 2 / squares) if squares > 0 else float("nan")


def principal_components(responses: xr.DataArray, n_components: int) -> xr.Dataset:
    """Return scores along the first principal components, the components, and the fraction of variance of each.

    Parameters
    ----------
    responses : DataArray
        With a dim `unit`; all others are samples.
    n_components : int
        At most the number of units, and of samples.

    Returns
    -------
    Dataset
        `score (…, component)`, `loading (component, unit)`, `variance_fraction (component)`, which is NaN where nothing
        varies.

    Examples
    --------
    >>> line = xr.DataArray(np.outer(np.arange(5.0), [3.0, 4.0]), dims=("time", "unit"))
    >>> components = principal_components(line, 1)
    >>> np.abs(components["loading"].values).round(3), components["variance_fraction"].values.round(6)
    (array([[0.6, 0.8]]), array([1.]))
    """
    fix = "condition_means(responses)"
    samples = arguments.data_array("responses", responses, ("unit",), "axes other than unit are samples", fix)
    samples = samples.transpose(..., "unit")
    flat = rows(samples)
    most = min(flat.shape)
    arguments.whole("n_components", n_components, "there are no more directions", "n_components=1", low=1, high=most)
    deviations = centred(flat)
    with np.errstate(invalid="ignore"):
        fitted = PCA(n_components, svd_solver="full").fit(deviations)
    scores = fitted.transform(deviations).reshape(*samples.shape[:-1], n_components)
    lead = {dim: samples[dim] for dim in samples.dims[:-1] if dim in samples.coords}
    unit = {"unit": samples["unit"]} if "unit" in samples.coords else {}
    units = str(responses.attrs.get("units", "1"))
    fraction = {"units": "1", "long_name": "fraction of variance"}
    return xr.Dataset(
        {
            "score": ((*samples.dims[:-1], "component"), scores, {"units": units, "long_name": "score"}),
            "loading": (("component", "unit"), fitted.components_, {"units": "1", "long_name": "loading of the unit"}),
            "variance_fraction": ("component", fitted.explained_variance_ratio_, fraction),
        },
        {**lead, **unit, "component": np.arange(1, n_components + 1)},
    )


def leading(
    x: Float[np.ndarray, "condition time unit"], n_components: int
) -> Float[np.ndarray, "condition time component"]:
    """Return scores of each condition and time along the first components, at most as many as vary."""
    flat = rows(x)
    deviations = centred(flat)
    values, vectors = np.linalg.eigh(deviations.T @ deviations)
    varying = int((values > values[-1] * 1e-10).sum()) if values[-1] > 0 else 1
    chosen = vectors[:, ::-1][:, : min(n_components, varying)]
    return (deviations @ chosen).reshape(*x.shape[:-1], -1)
