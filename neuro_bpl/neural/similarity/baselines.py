"""Baselines: responses that say nothing about the condition, and what measures make of them."""

import xarray as xr


def cross_condition_average(means: xr.DataArray) -> xr.DataArray:
    """x̄_tu = ⟨x_ctu⟩ over conditions c, again for every condition: all that is common to them, and no more.

    Examples
    --------
    >>> means = xr.DataArray([[[1.0]], [[3.0]]], {"condition": ["L", "R"]}, ("condition", "time", "unit"))
    >>> cross_condition_average(means).values.ravel()
    array([2., 2.])
    """
    return xr.zeros_like(means) + means.mean("condition")
