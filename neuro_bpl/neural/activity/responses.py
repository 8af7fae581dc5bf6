"""Responses: activity by trial, time and unit, recorded or simulated, and their averages over trials of a condition."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int, Num

from neuro_bpl.neural import arguments
from neuro_bpl.refusals import nearest, refusal

DIMS = ("trial", "time", "unit")
LEADING = ("snapshot", "seed")

ROUNDING = 1e-12  # part of the largest value of a unit by which values that differ by no more count as equal

Population = xr.DataArray | Float[np.ndarray, "... _unit"]


def checked(name: str, responses: Any, condition: str | None = None) -> xr.DataArray:
    """Responses with dims in their order: (`snapshot`, `seed`,) `trial, time, unit`, as floats; missing ones are NaN.

    Parameters
    ----------
    name : str
        What to call them in a message.
    responses : DataArray
        With dims `trial, time, unit`, and `seed` and `snapshot` where it is of a model; `time` in s.
    condition : str, optional
        A coordinate of `trial` that they must have.

    Raises
    ------
    ValueError
        If dims or coordinates are missing, or times do not increase.

    Examples
    --------
    >>> counts = xr.DataArray(np.ones((2, 3, 1)), {"time": [0.1, 0.2]}, ("time", "trial", "unit"))
    >>> checked("recording", counts).dims
    ('trial', 'time', 'unit')
    """
    if not isinstance(responses, xr.DataArray):
        fix = 'xr.DataArray(values, {"time": seconds}, ("trial", "time", "unit"))'
        raise refusal(name, type(responses).__name__, "a DataArray", "its axes would have no names", fix)
    if responses.dtype.kind not in arguments.NUMERIC:
        raise refusal(name, responses.dtype, "real numbers", "they are averaged", "responses.astype(float)")
    missing = set(DIMS) - set(responses.dims)
    unknown = set(responses.dims) - {*DIMS, *LEADING}
    if missing or unknown:
        allowed = f"{', '.join(DIMS)}, and {' and '.join(LEADING)} of a model"
        fix = f"responses.rename or .isel so that its dims are {DIMS}"
        raise refusal(f"{name} dims", responses.dims, allowed, "responses have these axes", fix)
    if not responses.size:
        raise refusal(
            name, dict(responses.sizes), "no dim of size 0", "there is nothing in it", "responses with trials"
        )
    _check_time(name, responses)
    if condition is not None:
        _check_condition(name, responses, condition)
    return responses.transpose(*(dim for dim in (*LEADING, *DIMS) if dim in responses.dims)).astype(float)


def _check_time(name: str, responses: xr.DataArray) -> None:
    times = responses["time"].values if "time" in responses.coords else np.zeros(0)
    if not times.size or not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        fix = "responses.assign_coords(time=seconds)"
        raise refusal(f"{name} time", times.tolist(), "increasing seconds", "bins are compared at their times", fix)


def _check_condition(name: str, responses: xr.DataArray, condition: str) -> None:
    columns = [str(key) for key, values in responses.coords.items() if values.dims == ("trial",) and key != "trial"]
    if not isinstance(condition, str) or condition not in columns:
        like = nearest(str(condition), columns) if columns else None
        fix = f'condition="{like}"' if like else 'responses.assign_coords(condition=("trial", labels))'
        allowed = "a coordinate of trial: " + (", ".join(columns) or "there is none")
        raise refusal(f"condition of {name}", condition, allowed, "trials of a condition are averaged", fix)


def conditions_of(responses: xr.DataArray, condition: str) -> tuple[Int[np.ndarray, " trial"], np.ndarray]:
    """Return number of each trial's condition (−1: it has no label), and the sorted labels.

    Examples
    --------
    >>> labelled = xr.DataArray(np.zeros((3, 1, 1)), dims=DIMS).assign_coords(side=("trial", ["R", "L", "R"]))
    >>> codes, names = conditions_of(labelled, "side")
    >>> codes.tolist(), names.tolist()
    ([1, 0, 1], ['L', 'R'])
    """
    labels = responses[condition].values
    if labels.dtype.kind in "US":
        labels = labels.astype(object)
    try:
        codes, names = pd.factorize(labels, sort=True)
    except TypeError as error:
        fix = f'responses.assign_coords({condition}=("trial", texts))'
        got = sorted({type(label).__name__ for label in labels.tolist()})
        raise refusal(condition, got, "labels of one kind", "conditions are sorted", fix) from error
    return np.asarray(codes, int), np.asarray(names)


def class_means(
    values: Float[np.ndarray, "*lead trial time unit"], codes: Int[np.ndarray, " trial"], n_classes: int
) -> Float[np.ndarray, "*lead clas time unit"]:
    """x̄_c = ⟨x_k⟩ over trials k of class c that have a value; NaN where there is none.

    Examples
    --------
    >>> x = np.array([1.0, 3.0, 5.0, np.nan]).reshape(4, 1, 1)
    >>> class_means(x, np.array([0, 0, 1, 1]), 2).ravel()
    array([2., 5.])
    """
    is_class = (codes == np.arange(n_classes)[:, None]).astype(float)
    known = np.isfinite(values)
    total = np.einsum("ck,...ktu->...ctu", is_class, np.where(known, values, 0.0), optimize=True)
    count = np.einsum("ck,...ktu->...ctu", is_class, known.astype(float), optimize=True)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0.5)


def condition_means(responses: xr.DataArray, condition: str = "condition") -> xr.DataArray:
    """Return averages over the trials of each condition, in the responses' units: `(…, condition, time, unit)`.

    Trials without a label are left out, and missing values of a trial, too; `n_left_out` in the attributes says how
    many trials have no label or no value at all.

    Examples
    --------
    >>> time = {"time": [0.0, 0.1], "side": ("trial", ["L", "R", "R"])}
    >>> responses = xr.DataArray(np.arange(6.0).reshape(3, 2, 1), time, DIMS)
    >>> condition_means(responses, "side").squeeze("unit").values
    array([[0., 1.],
           [3., 4.]])
    """
    arguments.text("condition", condition, "trials are averaged by it", 'condition="condition"')
    responses = checked("responses", responses, condition)
    codes, names = conditions_of(responses, condition)
    means = class_means(responses.values, codes, len(names))
    lead = [dim for dim in responses.dims if dim in LEADING]
    kept = {dim: responses[dim] for dim in (*lead, "time", "unit") if dim in responses.coords}
    known = np.isfinite(responses.transpose("trial", ...).values).reshape(len(codes), -1).any(1)
    attrs = {**responses.attrs, "n_left_out": int((~known | (codes < 0)).sum())}
    return xr.DataArray(means, {**kept, "condition": names}, (*lead, "condition", "time", "unit"), attrs=attrs)


def rows(responses: xr.DataArray | Num[np.ndarray, "... unit"]) -> Float[np.ndarray, "sample unit"]:
    """Return all axes but the last (`unit` of a DataArray) as one: a point in the space of units for each sample.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    allowed, fix = "real numbers with units along the last axis", "condition_means(responses)"
    why = "points in the space of units are compared"
    if isinstance(responses, xr.DataArray):
        arguments.data_array("responses", responses, ("unit",), why, fix)
        responses = responses.transpose(..., "unit").values
    try:
        values = np.asarray(responses)
    except (TypeError, ValueError) as error:
        raise refusal("responses", type(responses).__name__, allowed, why, fix) from error
    if values.dtype.kind not in arguments.NUMERIC or not values.ndim or not values.size:
        raise refusal("responses", f"{values.dtype} {values.shape}", allowed, why, fix)
    flat = values.astype(float).reshape(-1, values.shape[-1])
    if not np.isfinite(flat).all():
        got = f"{int((~np.isfinite(flat)).sum())} missing values"
        fix = "condition_means(responses), or responses without the trials or bins that are missing"
        raise refusal("responses", got, "finite numbers", "a point lacks some of its coordinates", fix)
    return flat


def centred(x: Float[np.ndarray, "sample unit"]) -> Float[np.ndarray, "sample unit"]:
    """X − ⟨X⟩ over samples; 0 in units whose samples differ by rounding only.

    Examples
    --------
    >>> centred(np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])).tolist()
    [[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]]
    """
    if not x.size:
        return x
    deviations = x - x.mean(0)
    varies = np.ptp(x, axis=0) > ROUNDING * np.abs(x).max(0)
    # The mean of large values is off by rounding, and so are deviations from it: all by the same, which this takes off.
    return np.where(varies, deviations - deviations.mean(0), 0.0)


def varies(x: Float[np.ndarray, "... unit"]) -> bool:
    """Return whether any unit differs between samples by more than rounding.

    Examples
    --------
    >>> varies(np.full((3, 2), 0.1)), varies(np.array([[1e6], [1e6 + 1]]))
    (False, True)
    """
    return bool(centred(x.reshape(-1, x.shape[-1])).any())


def column_space(x: Float[np.ndarray, "sample unit"]) -> Float[np.ndarray, "sample direction"]:
    """Return orthonormal basis of the columns of X − ⟨X⟩, without directions along which X differs by rounding only.

    Examples
    --------
    >>> column_space(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])).shape
    (3, 1)
    """
    u, s, _ = np.linalg.svd(centred(x), full_matrices=False)
    least = ROUNDING * np.linalg.norm(x)
    return u[:, s > max(least, 1e-10 * s.max(initial=0.0))]


def rates_of(name: str, model: Any, condition: str, snapshots: str = "last") -> xr.DataArray:
    """Return responses of a model: as they are, or the `rates` of a run at its last snapshot or at all, with time in s.

    Parameters
    ----------
    name : str
        The rule, for messages.
    model : DataArray or DataTree
        Responses; or a run that recorded `rates`, whose steps have a duration (`circuit.cortex.dt`), and whose probe
        trials have been given the coordinate `condition`.
    condition : str
        Coordinate of `trial`.
    snapshots : "last" or "all"
        Of a run.

    Raises
    ------
    ValueError
        If the run lacks one of these, or is a sweep of several points.
    """
    if not isinstance(snapshots, str) or snapshots not in ("last", "all"):
        raise refusal("snapshots", snapshots, '"last" or "all"', "a run has several", 'snapshots="all"')
    if not isinstance(model, xr.DataTree):
        return checked(name, model, condition)
    why = "the rates of a run are compared by condition, in seconds"
    if "activity" not in model or "rates" not in model["activity"]:
        raise refusal(name, "a run without rates", "activity/rates", why, 'nb.train(..., record=["rates"])')
    rates = model["activity"].to_dataset()["rates"]
    if condition not in rates.coords:
        fix = f'run["activity"] = run["activity"].to_dataset().assign_coords({condition}=("trial", labels))'
        raise refusal(name, f"a run whose trials have no {condition}", f"a coordinate {condition}", why, fix)
    rates = rates.isel(snapshot=-1, drop=True) if "snapshot" in rates.dims and snapshots == "last" else rates
    if rates["time"].attrs.get("units") == "step":
        rates = rates.assign_coords(time=rates["time"].values * _duration_of_a_step(name, model))
    return checked(name, rates, condition)


def _duration_of_a_step(name: str, run: xr.DataTree) -> float:
    parameters = run["parameters"].to_dataset() if "parameters" in run else xr.Dataset()
    if "circuit.cortex.dt" not in parameters:
        fix = 'run["activity"]["rates"].isel(snapshot=-1).assign_coords(time=seconds)'
        raise refusal(name, "steps", "seconds", "the cortex of this run has no dt", fix)
    return float(parameters["circuit.cortex.dt"])
