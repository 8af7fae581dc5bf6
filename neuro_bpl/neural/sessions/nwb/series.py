"""Time series of NWB as arrays whose first dim is a time of their own, and the other way round."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from neuro_bpl.neural.sessions.nwb import layout

BEHAVIOUR = "behavior"
SECONDS = {"units": "s", "long_name": "time on the session clock"}


def is_read(thing: Any, library: Any) -> bool:
    """Return whether it is a time series of numbers that fits a session."""
    left = (library.ecephys.ElectricalSeries, library.image.ImageSeries)  # raw voltage and video, and what derives
    if not isinstance(thing, library.TimeSeries) or isinstance(thing, left):
        return False
    data = thing.data
    return getattr(data, "ndim", 0) > 0 and np.dtype(data.dtype).kind in "biuf" and data.shape[0] == thing.num_samples


def times(series: Any) -> Float[np.ndarray, " sample"]:
    """Return seconds on the session clock: the timestamps, or start + n / rate."""
    if series.timestamps is not None:
        return np.asarray(series.timestamps[:], float)
    return series.starting_time + np.arange(series.data.shape[0]) / series.rate


def array(series: Any, name: str, kept: Mapping[str, Any]) -> xr.DataArray:
    """Return a series in its unit (data × conversion + offset), with a dim `<name>_time` of its own."""
    values = np.asarray(series.data[:])
    if name in kept:
        known, time = kept[name], kept[name]["dims"][0]
        return layout.rebuilt(values, known).assign_coords({time: (time, times(series), known["time"])})
    if series.conversion != 1 or series.offset != 0:
        values = values * series.conversion + series.offset
    dims = axes(name, values.ndim)
    attrs = {"units": series.unit or "not stated", "long_name": _said(series.description) or series.name}
    about = {key: _said(getattr(series, key, None)) for key in ("comments", "reference_frame")}
    attrs |= {key: text for key, text in about.items() if text} | {"place": place(series)}
    return xr.DataArray(values, {dims[0]: (dims[0], times(series), SECONDS)}, dims, attrs=attrs)


def axes(name: str, n_dims: int) -> tuple[str, ...]:
    """Return names of the dims of a series: its time, and further ones by number.

    Examples
    --------
    >>> axes("wheel", 2)
    ('wheel_time', 'wheel_axis1')
    """
    return (f"{name}_time", *(f"{name}_axis{axis}" for axis in range(1, n_dims)))


def place(thing: Any) -> str:
    """Return where it lies in its file, such as "behavior/Position/wheel"."""
    names = []
    while thing is not None and thing.parent is not None:
        names.append(thing.name)
        thing = thing.parent
    return "/".join(reversed(names))


def _said(text: Any) -> str:
    return "" if text in (None, "no comments", "no description") else str(text)


def series(library: Any, name: str, values: xr.DataArray, timestamps: Any) -> Any:
    """A `TimeSeries` with unit and description; `timestamps` (s), or another series whose timestamps it shares."""
    attrs = values.attrs
    return library.TimeSeries(
        name=name, data=values.values, unit=attrs["units"], description=attrs["long_name"], timestamps=timestamps
    )
