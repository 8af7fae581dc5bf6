"""Baselines: responses that say nothing about the condition, and what measures make of them."""

import numpy as np
import xarray as xr
from jaxtyping import Float


def cross_condition_average(means: xr.DataArray) -> xr.DataArray:
    """x̄_tu = ⟨x_ctu⟩ over conditions c, again for every condition: all that is common to them, and no more.

    Examples
    --------
    >>> means = xr.DataArray([[[1.0]], [[3.0]]], {"condition": ["L", "R"]}, ("condition", "time", "unit"))
    >>> cross_condition_average(means).values.ravel()
    array([2., 2.])
    """
    return xr.zeros_like(means) + means.mean("condition")


def same_for_all(means: Float[np.ndarray, "condition time unit"]) -> Float[np.ndarray, "condition time unit"]:
    """The same of an array."""
    return np.repeat(means.mean(0, keepdims=True), len(means), 0)
