"""Tuning: average responses over time by condition, and by the value of a variable."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neuro_bpl.neural import arguments, times
from neuro_bpl.neural.activity.responses import DIMS, checked, class_means, condition_means, conditions_of
from neuro_bpl.refusals import refusal

RESULTS = ("mean", "sem", "n_trials")


def psth(responses: xr.DataArray, condition: str = "condition") -> xr.Dataset:
    """Return mean over the trials of each condition, its standard error, and the number of trials: `(…, time, unit)`.

    The first dim is called as the condition.

    Parameters
    ----------
    responses : DataArray `(trial, time, unit)`
        NaN where a trial was not recorded; such values are left out, and `n_trials` says how many are in.
    condition : str
        Coordinate of `trial`.

    Returns
    -------
    Dataset
        `mean`, `sem` and `n_trials`, each `(side, time, unit)` for the condition "side".

    Raises
    ------
    ValueError
        If there is no such coordinate, or it is called as one of the results.

    Examples
    --------
    >>> sides = {"time": [0.0], "side": ("trial", ["L", "L", "R"])}
    >>> found = psth(xr.DataArray([[[1.0]], [[3.0]], [[4.0]]], sides, DIMS), "side")
    >>> found["mean"].dims, found["mean"].values.ravel(), found["n_trials"].values.ravel()
    (('side', 'time', 'unit'), array([2., 4.]), array([2, 1]))
    """
    if isinstance(condition, str) and condition in RESULTS:
        fix = f'responses.rename({condition}="own_{condition}")'
        raise refusal("condition", condition, f"not {', '.join(RESULTS)}", "results are called so", fix)
    mean = condition_means(responses, condition)
    values = checked("responses", responses, condition)
    if values.dims != DIMS:
        raise refusal("responses", values.dims, f"dims {DIMS}", "errors are over trials", "responses.isel(seed=0)")
    codes, names = conditions_of(values, condition)
    deviations = values.values - mean.values[codes]
    n_trials = np.stack([np.isfinite(values.values[codes == code]).sum(0) for code in range(len(names))])
    # The mean of squares is divided by n; the variance of the mean is n/(n − 1) of it, over n.
    squares = class_means(deviations**2, codes, len(names))
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(n_trials > 1, np.sqrt(squares / (n_trials - 1)), np.nan)
    units = str(responses.attrs.get("units", "1"))
    mean = mean.rename(condition=condition)
    return xr.Dataset(
        {
            "mean": mean.assign_attrs(units=units, long_name="mean over trials"),
            "sem": mean.copy(data=error).assign_attrs(units=units, long_name="standard error of the mean"),
            "n_trials": mean.copy(data=n_trials).assign_attrs(units="1", long_name="number of trials"),
        }
    )


def tuning_curve(
    responses: xr.DataArray, variable: str, edges: Sequence[float], window: tuple[float, float]
) -> xr.Dataset:
    """Return mean response in a window of time by the value of a variable, with its error and trials: `(value, unit)`.

    Parameters
    ----------
    responses : DataArray `(trial, time, unit)`
        Such as rates in Hz.
    variable : str
        Coordinate of `trial` with numbers.
    edges : sequence of float
        Limits of the bins of the variable, rising; the last one is part of its bin. `value` are their centres.
    window : (float, float)
        First and last time of the bins that are averaged (s).

    Returns
    -------
    Dataset
        `mean`, `sem`, `n_trials`; trials outside the edges are left out, as `n_outside` in the attributes says.

    Examples
    --------
    >>> labels = {"time": [0.1, 0.2], "angle": ("trial", [10.0, 20.0, 80.0])}
    >>> rates = xr.DataArray(np.array([1.0, 3.0, 5.0]).reshape(3, 1, 1) * np.ones((3, 2, 1)), labels, DIMS)
    >>> tuning_curve(rates, "angle", [0, 45, 90], (0.1, 0.2))["mean"].values.ravel()
    array([2., 5.])
    """
    arguments.text("variable", variable, "it is a coordinate of trial", 'variable="angle"')
    responses = checked("responses", responses, variable)
    if responses.dims != DIMS:
        raise refusal("responses", responses.dims, f"dims {DIMS}", "errors are over trials", "responses.isel(seed=0)")
    if responses[variable].dtype.kind not in arguments.NUMERIC:
        why, fix = "its values fall between edges", f'psth(responses, "{variable}")'
        raise refusal(variable, responses[variable].dtype, "numbers", why, fix)
    limits = arguments.array("edges", edges, 1, "they limit the bins", "edges=[0, 45, 90]")
    numbers = np.asarray(responses[variable].values, float)
    why = "responses are averaged between these times"
    window = arguments.window("window", window, why, "window=(0.0, 0.5)")
    if len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise refusal("edges", edges, "two or more rising numbers", "they limit the bins", "edges=[0, 45, 90]")
    at = responses["time"].values
    inside = responses.isel(time=times.between(at, *window))
    if not inside.sizes["time"]:
        allowed = f"a window with bins, which are from {at[0]:g} to {at[-1]:g} s"
        raise refusal("window", window, allowed, "responses are averaged over it", f"window=({at[0]}, {at[-1]})")
    place = np.digitize(numbers, limits) - 1
    place[numbers == limits[-1]] = len(limits) - 2
    place[~((numbers >= limits[0]) & (numbers <= limits[-1]))] = -1
    centres = (limits[1:] + limits[:-1]) / 2
    average = inside.mean("time", keepdims=True).assign_coords(time=[float(np.mean(window))])
    labels = np.where(place < 0, np.nan, centres[place])
    found = psth(average.assign_coords(value=("trial", labels)), "value").isel(time=0, drop=True)
    found = found.reindex(value=centres)
    found["n_trials"] = found["n_trials"].fillna(0).astype(int).assign_attrs(units="1", long_name="number of trials")
    return found.assign_attrs(n_outside=int((place < 0).sum()))
