"""Tables of an NWB file, made of labelled columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuro_bpl.neural.nwb.file import library
from neuro_bpl.neural.nwb.tables import vectors

MEANING = {"start_time": "start of the trial (s)", "stop_time": "end of the trial (s)"}


def intervals(name: str, description: str, table: xr.Dataset, bounds: Mapping[str, np.ndarray]) -> Any:
    """`TimeIntervals` of a table of trials; `bounds` are the start or stop times that it lacks."""
    core = _core()
    columns = {key: {"name": key, "description": MEANING[key], "data": values} for key, values in bounds.items()}
    columns |= vectors("trials", table)
    first = [columns.pop("start_time"), columns.pop("stop_time")]
    made = [core.VectorData(**column) for column in (*first, *columns.values())]
    return library().epoch.TimeIntervals(name=name, description=description, id=_ids(table["trial"]), columns=made)


def units(
    table: xr.Dataset, ids: np.ndarray | None, trains: Sequence[np.ndarray] | None, observed: np.ndarray | None
) -> Any:
    """`Units` with their spike times, and the intervals in which all of them were recorded."""
    core, n_units = _core(), table.sizes["unit"]
    made = [core.VectorData(**column) for column in vectors("units", table).values()]
    if trains is not None:
        made += _ragged("spike_times", "spike times (s)", trains)
    if observed is not None:
        made += _ragged("obs_intervals", "intervals in which the unit was recorded (s)", [observed] * n_units)
    numbers = np.arange(n_units) if ids is None else ids
    return library().misc.Units(name="units", description="Units.", id=numbers.tolist(), columns=made)


def events(name: str, table: xr.Dataset) -> Any:
    """An `EventsTable` of events that have a `time`."""
    event, columns = library().event, vectors("events", table)
    time = event.TimestampVectorData(**{**columns.pop("time"), "name": "timestamp"})
    others = [_core().VectorData(**column) for column in columns.values()]
    return event.EventsTable(name=name, description=f"Events of the kind {name}.", columns=[time, *others])


def table(name: str, description: str, arrays: xr.Dataset) -> Any:
    """A `DynamicTable` with a row for each trial, and an array in each cell."""
    core = _core()
    made = [
        core.VectorData(name=str(key), description=values.attrs["long_name"], data=values.values)
        for key, values in arrays.data_vars.items()
    ]
    return core.DynamicTable(name=name, description=description, columns=made)


def _ragged(name: str, description: str, rows: Sequence[np.ndarray]) -> list[Any]:
    core = _core()
    flat = core.VectorData(name=name, description=description, data=np.concatenate(rows))
    return [flat, core.VectorIndex(name=f"{name}_index", data=np.cumsum([len(row) for row in rows]), target=flat)]


def _core() -> Any:
    library()
    import hdmf.common

    return hdmf.common


def _ids(labels: xr.DataArray) -> list[int]:
    whole = labels.dtype.kind in "iu"
    return labels.values.tolist() if whole else list(range(labels.size))
