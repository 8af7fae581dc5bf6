"""A cursor that population activity moves through a linear decoder: velocity, progress, factors.

A decoder is a Dataset with the matrices of docs/neural_learning.md, of one mapping or of several along `mapping`.
"""

import numpy as np
import xarray as xr

from neuro_bpl.refusals import refusal


def velocity(activity: xr.DataArray, decoder: xr.Dataset) -> xr.DataArray:
    """Return velocity of the cursor in a single step, without what it keeps of the step before.

    v = M₂ u + m₀ (Golub et al. 2018, Nat Neurosci 21:607; the cursor itself moved at M₁ vₜ₋₁ + v).

    Parameters
    ----------
    activity : DataArray
        u, with a dim `unit`: spike counts of a step, or rates.
    decoder : Dataset
        `M2` (velocity, unit) and `m0` (velocity), perhaps with further dims such as `mapping`.

    Returns
    -------
    DataArray
        `activity` with `velocity` instead of `unit`, in the unit of `m0`.

    Raises
    ------
    ValueError
        If the decoder reads other units than there are.

    Examples
    --------
    >>> decoder = xr.Dataset({"M2": (("velocity", "unit"), [[1.0, 0.0], [0.0, 2.0]]), "m0": ("velocity", [0.0, 1.0])})
    >>> velocity(xr.DataArray([3.0, 4.0], dims="unit"), decoder).values
    array([3., 9.])
    """
    _check_units(activity, decoder["M2"])
    made = xr.dot(decoder["M2"], activity, dim="unit") + decoder["m0"]
    return made.assign_attrs(units=decoder["m0"].attrs.get("units", "1"), long_name="velocity of the cursor")


def progress(velocity: xr.DataArray, direction: xr.DataArray, dt: float = 1.0) -> xr.DataArray:
    """Return progress towards the target in a step of `dt` seconds.

    p = dt v·d with the unit vector d from cursor to target (Golub et al. 2018, Nat Neurosci 21:607).

    Raises
    ------
    ValueError
        If `direction` is not of unit length, to a part in a million.

    Examples
    --------
    >>> v, d = xr.DataArray([3.0, 4.0], dims="velocity"), xr.DataArray([0.0, 1.0], dims="velocity")
    >>> float(progress(v, d, dt=0.5))
    2.0
    """
    length = np.sqrt((direction**2).sum("velocity"))
    if not bool((abs(length - 1) < 1e-6).all()):
        why = "progress is the part of the velocity along it"
        raise refusal("direction", float(length.min()), "vectors of length 1", why, "direction / its length")
    made = dt * xr.dot(velocity, direction, dim="velocity")
    return made.assign_attrs(units="mm", long_name="progress towards the target in a step")


def session_progress(session: xr.DataTree) -> xr.DataArray:
    """Return progress (mm) of every step of a session under every mapping, made of the spikes: (mapping, trial)."""
    trials, decoders = session["trials"].to_dataset(), session["decoders"].to_dataset()
    counts = session["activity"].to_dataset()["spike_counts"].isel(time=0, drop=True)
    parts = [trials["direction_x"].drop_attrs(), trials["direction_y"].drop_attrs()]
    direction = xr.concat(parts, "velocity").assign_coords(velocity=decoders["velocity"])
    return progress(velocity(counts, decoders), direction, float(decoders["dt"][0]))


def latents(activity: xr.DataArray, decoder: xr.Dataset) -> xr.DataArray:
    """Return posterior mean of the latents of factor analysis.

    ẑ = β Σᵤ (u − μᵤ), with the z-scored activity Σᵤ (u − μᵤ) (Yu et al. 2009, J Neurophysiol 102:614).
    """
    _check_units(activity, decoder["mu_u"])
    return xr.dot(decoder["beta"], decoder["sigma_u"] * (activity - decoder["mu_u"]), dim="unit")


def factors(activity: xr.DataArray, decoder: xr.Dataset) -> xr.DataArray:
    """Return latents in orthonormal axes of the intrinsic manifold, in order of the variance shared by the units.

    z = D Vᵀ ẑ with the singular values D and right singular vectors V of the loadings (Yu et al. 2009).
    """
    made = decoder["D"] * xr.dot(decoder["V"], latents(activity, decoder), dim="latent")
    return made.assign_attrs(units="1", long_name="orthonormalised factor")


def pushing_directions(decoder: xr.Dataset) -> xr.DataArray:
    """Return velocity by orthonormalised factor: the mapping inside the intrinsic manifold.

    B = K η Σ_z V D⁻¹ (Golub et al. 2018, Supplementary Math Note (21)).
    """
    scaled = (decoder["sigma_z"] * decoder["V"] / decoder["D"]).rename(latent="latent_other")
    made = xr.dot(decoder["K"], decoder["eta"], scaled, dim=("latent", "latent_other"))
    return made.assign_attrs(units=decoder["K"].attrs.get("units", "1"), long_name="velocity of a factor")


def _check_units(activity: xr.DataArray, matrix: xr.DataArray) -> None:
    got = activity.sizes.get("unit")
    if got != matrix.sizes["unit"]:
        allowed = f"{matrix.sizes['unit']} along a dim unit"
        raise refusal("units", got, allowed, "the decoder has a number for each of them", "the units it was made for")
