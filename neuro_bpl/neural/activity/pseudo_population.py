"""Pseudo-populations: units of several sessions as if they were one population, and trials as if recorded at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neuro_bpl.neural import arguments, times
from neuro_bpl.neural.columns import labels_in_common
from neuro_bpl.refusals import refusal

DIMS = ("trial", "time", "unit")


def pooled(responses: Sequence[xr.DataArray]) -> xr.DataArray:
    """Return responses of several sessions `(trial, time, unit)` as one array: all trials, all units.

    A unit is NaN in the trials of other sessions. Columns of trials that every session has are kept; units are called
    "session/unit", by the sessions' `session` attributes or their place in the sequence.

    Raises
    ------
    ValueError
        If there are none, their times differ, two sessions have one name, or a column is of numbers in one and of
        texts in another.

    Examples
    --------
    >>> time = {"time": [0.1, 0.2], "side": ("trial", ["L", "R"])}
    >>> one = xr.DataArray(np.ones((2, 2, 1)), time, DIMS, attrs={"session": "a"})
    >>> both = pooled([one, 2 * one.assign_attrs(session="b")])
    >>> both.isel(time=0).values.tolist(), both["side"].values.tolist()
    ([[1.0, nan], [1.0, nan], [nan, 2.0], [nan, 2.0]], ['L', 'R', 'L', 'R'])
    """
    _check(responses)
    ends = np.cumsum([[0, 0], *([one.sizes["trial"], one.sizes["unit"]] for one in responses)], axis=0)
    values = np.full((ends[-1, 0], responses[0].sizes["time"], ends[-1, 1]), np.nan)
    for one, (trial, unit), (last_trial, last_unit) in zip(responses, ends[:-1], ends[1:], strict=True):
        values[trial:last_trial, :, unit:last_unit] = one.transpose(*DIMS).values
    columns = [{str(n) for n, c in one.coords.items() if c.dims == ("trial",) and n != "trial"} for one in responses]
    shared = sorted(set.intersection(*columns))
    coords = {name: ("trial", labels_in_common(name, [one[name].values for one in responses])) for name in shared}
    return xr.DataArray(
        values,
        {"time": responses[0]["time"], "unit": _names(responses), **coords},
        DIMS,
        attrs={key: responses[0].attrs[key] for key in ("units", "long_name") if key in responses[0].attrs},
    )


def pseudo_trials(responses: xr.DataArray, label: str, seed: int = 0, most: int | None = None) -> xr.DataArray:
    """Return trials put together from trials of the same label, drawn for each unit on its own, without replacement.

    A label has as many trials as the unit that was recorded in fewest of them; a unit's trial counts where it has a
    value at all times. What units share within a trial (noise correlations) is lost.

    Parameters
    ----------
    responses : DataArray `(trial, time, unit)`
        NaN where a unit was not recorded.
    label : str
        Coordinate of `trial`.
    seed : int
        Of what is drawn.
    most : int, optional
        No more trials of a label than these.

    Returns
    -------
    DataArray
        `(trial, time, unit)` without NaN, with the coordinate `label`.

    Raises
    ------
    ValueError
        If a unit has no trial of a label, or there is no such coordinate.

    Examples
    --------
    >>> values = np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, 5.0]])[:, None]
    >>> responses = xr.DataArray(values, {"time": [0.1], "side": ("trial", ["L", "L", "L"])}, DIMS)
    >>> pseudo_trials(responses, "side").shape
    (1, 1, 2)
    """
    arguments.data_array("responses", responses, DIMS, "trials are put together", "pooled([one, other])")
    arguments.whole("seed", seed, "trials are drawn with it", "seed=0")
    if most is not None:
        arguments.whole("most", most, "trials are counted", "most=20", low=1)
    if not isinstance(label, str) or label not in responses.coords or responses[label].dims != ("trial",):
        fix = 'responses.assign_coords(went_right=("trial", …))'
        raise refusal("label", label, "a coordinate of trial", "trials of one label are put together", fix)
    responses = responses.transpose(*DIMS)
    labels, rng = responses[label].values, np.random.default_rng(seed)
    whole = responses.notnull().all("time").values
    usable = {value: whole & (labels == value)[:, None] for value in np.unique(labels)}
    parts = {value: _drawn(responses.values, own, rng)[:most] for value, own in usable.items()}
    empty = [value for value, part in parts.items() if not len(part)]
    if empty:
        fix = "fewer labels, or units with trials of each"
        raise refusal(label, empty[0], "labels of which each unit has a trial", "units are put together", fix)
    coords: dict[str, Any] = {name: responses[name] for name in ("time", "unit") if name in responses.coords}
    coords[label] = ("trial", np.repeat(list(parts), [len(part) for part in parts.values()]))
    return xr.DataArray(np.concatenate(list(parts.values())), coords, DIMS, attrs=responses.attrs)


def _drawn(
    values: Float[np.ndarray, "trial time unit"], usable: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, "drawn time unit"]:
    """Return as many trials as every unit has, each unit's own in random order."""
    count = int(usable.sum(0).min())
    chosen: list[Int[np.ndarray, " drawn"]] = [rng.permutation(np.flatnonzero(one))[:count] for one in usable.T]
    return np.stack([values[own, :, unit] for unit, own in enumerate(chosen)], axis=-1)


def _names(responses: Sequence[xr.DataArray]) -> list[str]:
    sessions = [str(one.attrs.get("session", at)) for at, one in enumerate(responses)]
    units = [one["unit"].values if "unit" in one.coords else range(one.sizes["unit"]) for one in responses]
    names = [f"{session}/{unit}" for session, own in zip(sessions, units, strict=True) for unit in own]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        fix = 'responses.assign_attrs(session="another name") for one of them'
        raise refusal("units", twice, "each name once", "units are found by session and unit", fix)
    return names


def _check(responses: Sequence[xr.DataArray]) -> None:
    fix = "pooled([one, other])"
    if not isinstance(responses, (list, tuple)) or not len(responses):
        got = responses if isinstance(responses, (list, tuple)) else type(responses).__name__
        raise refusal("responses", got, "a list of one session or more", "units are put together", fix)
    for one in responses:
        arguments.data_array("responses", one, ("time", "trial", "unit"), "units are put together", fix)
        if "time" not in one.coords:
            raise refusal("responses", "no time", "a coordinate time", "sessions are put together by their times", fix)
    wrong = next((one.dims for one in responses if set(one.dims) != set(DIMS)), None)
    if wrong is not None:
        raise refusal("responses", wrong, f"dims {DIMS}", "sessions are put together", "rate(bin(aligned, 0.05))")
    each = [one["time"].values for one in responses]
    if not all(times.same(one, each[0]) for one in each):
        got, fix = [(len(one), *one[:1], *one[-1:]) for one in each], "the same window and width for each"
        raise refusal("number, first and last of times", got, "the same times", "units are put together", fix)
