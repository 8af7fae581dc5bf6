"""Baselines: responses that say nothing about the condition, and what measures make of them."""

import xarray as xr

from neuro_bpl.neural import arguments


def cross_condition_average(means: xr.DataArray) -> xr.DataArray:
    """x̄_tu = ⟨x_ctu⟩ over conditions c, again for every condition: all that is common to them, and no more.

    Examples
    --------
    >>> means = xr.DataArray([[[1.0]], [[3.0]]], {"condition": ["L", "R"]}, ("condition", "time", "unit"))
    >>> cross_condition_average(means).values.ravel()
    array([2., 2.])
    """
    fix = "condition_means(responses)"
    arguments.data_array("means", means, ("condition",), "it is an average over conditions", fix)
    return xr.zeros_like(means) + means.mean("condition")
