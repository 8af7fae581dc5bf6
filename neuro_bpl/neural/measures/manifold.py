"""The intrinsic manifold of a population, and mappings from it to a cursor, permuted or not.

A brain–computer interface after Sadtler et al. 2014 (Nature 512:423): factor analysis finds the directions in which
units vary together; the intuitive mapping reads velocity from them; a within-manifold perturbation permutes them.
"""

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neuro_bpl.neural.activity.responses import centred
from neuro_bpl.neural.measures import cursor
from neuro_bpl.refusals import refusal

ITERATIONS = 20_000  # more than factor analysis has been seen to need


def intrinsic_manifold(activity: xr.DataArray, n_factors: int = 10) -> xr.Dataset:
    """Return factor analysis of the z-scored activity: x = L z + ε with ε ~ N(0, Ψ), Ψ diagonal.

    Latents are read out by their posterior mean, β = Lᵀ (L Lᵀ + Ψ)⁻¹ (Yu et al. 2009, J Neurophysiol 102:614).

    Parameters
    ----------
    activity : DataArray
        Spike counts or rates with a dim `unit`; all other dims are samples.
    n_factors : int
        Number of factors (10 in Sadtler et al. 2014).

    Returns
    -------
    Dataset
        `mu_u`, `sigma_u`, `loadings`, `private_variance`, `beta`, `sigma_z`, `U`, `D`, `V`, as in a session's decoders.

    Raises
    ------
    ValueError
        If activity is not finite, a unit is silent or constant, or there are as many factors as units.

    Examples
    --------
    >>> drive = np.random.default_rng(0).normal(size=(200, 1))
    >>> noise = np.random.default_rng(1).normal(size=(200, 4))
    >>> found = intrinsic_manifold(xr.DataArray(drive + 0.1 * noise, dims=("trial", "unit")), n_factors=1)
    >>> bool(found["private_variance"].max() < 0.03)
    True
    """
    from sklearn.decomposition import FactorAnalysis

    samples = _samples(activity)
    n_units = samples.shape[1]
    if isinstance(n_factors, bool) or not isinstance(n_factors, int | np.integer) or not 1 <= n_factors < n_units:
        why = "factors are what several units share"
        raise refusal("n_factors", n_factors, f"a whole number from 1 to {n_units - 1}", why, "n_factors=10")
    mean, spread = samples.mean(0), centred(samples).std(0)
    if not (spread > 0).all():
        got = f"unit {int(np.argmin(spread))} never changes"
        raise refusal("activity", got, "units that vary", "z-scores divide by the spread", "the other units alone")
    scores = (samples - mean) / spread
    model = FactorAnalysis(int(n_factors), svd_method="lapack", max_iter=ITERATIONS, tol=1e-4).fit(scores)
    manifold = _matrices(mean, 1 / spread, model.components_.T, model.noise_variance_)
    deviation = (scores @ manifold["beta"].values.T).std(0)
    return manifold.assign(sigma_z=_variable("latent", 1 / deviation, "one over the standard deviation of the latents"))


def mapping(manifold: xr.Dataset, activity: xr.DataArray, intended: xr.DataArray) -> xr.Dataset:
    """Return the intuitive mapping: intended velocity regressed on the normalised latents.

    v = K Σ_z ẑ + k₀, by least squares over samples.

    Parameters
    ----------
    manifold : Dataset
        From `intrinsic_manifold`.
    activity : DataArray
        Calibration activity, with `unit`.
    intended : DataArray
        Velocity that was intended: the other dims of `activity`, and `velocity`.

    Returns
    -------
    Dataset
        The manifold with `K`, `k0`, `eta` (no permutation), `M2` and `m0`.
    """
    latents = (manifold["sigma_z"] * cursor.latents(activity, manifold)).stack(sample=_others(activity, "unit"))
    wanted = intended.stack(sample=_others(intended, "velocity")).transpose("sample", "velocity")
    regressors = np.column_stack([latents.transpose("sample", "latent").values, np.ones(latents.sizes["sample"])])
    solution = np.linalg.lstsq(regressors, wanted.sel(sample=latents["sample"]).values, rcond=None)[0]
    units = intended.attrs.get("units", "1")
    fitted = manifold.assign(
        K=_variable(("velocity", "latent"), solution[:-1].T, "velocity of a normalised latent", units),
        k0=_variable("velocity", solution[-1], "velocity without latents", units),
    )
    return permuted(fitted, np.arange(manifold.sizes["latent"]))


def permuted(mapping: xr.Dataset, order: Int[np.ndarray, " latent"]) -> xr.Dataset:
    """Return the mapping with its latents in another order: a within-manifold perturbation.

    M₂ = K η Σ_z β Σᵤ and m₀ = k₀ − M₂ μᵤ, with η the permutation (Golub et al. 2018, Supplementary Math Note).

    Raises
    ------
    ValueError
        If `order` is no permutation of the latents.
    """
    order, size = np.asarray(order), mapping.sizes["latent"]
    if order.shape != (size,) or sorted(order.tolist()) != list(range(size)):
        fix = f"np.random.default_rng(0).permutation({size})"
        raise refusal("order", order.tolist(), f"each of 0 to {size - 1} once", "it is a permutation", fix)
    eta = _variable(("latent", "latent_other"), np.eye(size)[order], "permutation of the latents: the perturbation")
    scaled = (mapping["sigma_z"] * mapping["beta"] * mapping["sigma_u"]).rename(latent="latent_other")
    matrix = xr.dot(mapping["K"], eta, scaled, dim=("latent", "latent_other"))
    units = mapping["K"].attrs.get("units", "1")
    offset = mapping["k0"] - xr.dot(matrix, mapping["mu_u"], dim="unit")
    return mapping.assign(
        eta=eta,
        M2=matrix.assign_attrs(units=units, long_name="velocity of a spike, or of a rate of 1"),
        m0=offset.assign_attrs(units=units, long_name="velocity without activity"),
    )


def residual_share(activity: xr.DataArray, manifold: xr.Dataset) -> float:
    """Return share of the variance of the z-scored activity that lies outside the space of the loadings.

    1 − ‖Uᵀ x‖² / ‖x‖², with U an orthonormal basis of the manifold and x = Σᵤ (u − ⟨u⟩); NaN where nothing varies.
    """
    scores = centred(_samples(activity)) * manifold["sigma_u"].values
    inside = scores @ manifold["U"].transpose("unit", "factor").values
    return float(1 - (inside**2).sum() / (scores**2).sum()) if scores.any() else float("nan")


def _matrices(
    mean: Float[np.ndarray, " unit"],
    scale: Float[np.ndarray, " unit"],
    loadings: Float[np.ndarray, "unit latent"],
    private: Float[np.ndarray, " unit"],
) -> xr.Dataset:
    weighted = loadings / private[:, None]
    # The same as Lᵀ (L Lᵀ + Ψ)⁻¹, by a matrix of the size of the latents.
    beta = np.linalg.solve(np.eye(loadings.shape[1]) + loadings.T @ weighted, weighted.T)
    left, singular, right = np.linalg.svd(loadings, full_matrices=False)
    return xr.Dataset(
        {
            "mu_u": _variable("unit", mean, "mean activity"),
            "sigma_u": _variable("unit", scale, "one over the standard deviation of the activity"),
            "loadings": _variable(("unit", "latent"), loadings, "loadings of factor analysis"),
            "private_variance": _variable("unit", private, "variance that no factor explains"),
            "beta": _variable(("latent", "unit"), beta, "posterior mean of the latents, by z-scored activity"),
            "U": _variable(("unit", "factor"), left, "left singular vectors of the loadings"),
            "D": _variable("factor", singular, "singular values of the loadings"),
            "V": _variable(("latent", "factor"), right.T, "right singular vectors of the loadings"),
        }
    )


def _samples(activity: xr.DataArray) -> Float[np.ndarray, "sample unit"]:
    values = activity.transpose(..., "unit").values
    samples = np.asarray(values, float).reshape(-1, values.shape[-1])
    if not np.isfinite(samples).all():
        got = f"{int((~np.isfinite(samples)).sum())} numbers that are not finite"
        raise refusal("activity", got, "finite numbers", "covariances need all of them", "trials that are covered")
    return samples


def _others(values: xr.DataArray, dim: str) -> list[str]:
    return sorted(str(name) for name in values.dims if name != dim)


def _variable(dims: str | tuple[str, ...], values: np.ndarray, meaning: str, units: str = "1") -> xr.DataArray:
    names = (dims,) if isinstance(dims, str) else dims
    return xr.DataArray(values, dims=names, attrs={"units": units, "long_name": meaning})
