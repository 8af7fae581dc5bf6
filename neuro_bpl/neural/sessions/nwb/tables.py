"""Tables of NWB (`DynamicTable`) as columns with unit and meaning, and the other way round."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuro_bpl.neural.sessions.nwb.file import library
from neuro_bpl.neural.sessions.session import Column
from neuro_bpl.refusals import refusal

SECONDS = ("TimestampVectorData", "DurationVectorData")
MOMENTS = ("_time", "_times")  # how names of columns in seconds end
KINDS = "biufU"  # booleans, whole numbers, floats, texts
Columns = dict[str, Column]
NAMES = "unit_name"
IN_FILE = "_in_file"  # what is added to names that a session has of its own
MEANING = {"start_time": "start of the trial (s)", "stop_time": "end of the trial (s)"}
# Columns that a file has of its own, beside those of a session.
RAGGED = ("spike_times", "obs_intervals", "electrodes", "waveforms")
TRIALS_RESERVED = ("id", "tags", "tags_index", "timeseries", "timeseries_index")
UNITS_RESERVED = ("id", NAMES, "electrode_group", *RAGGED, *(f"{name}_index" for name in RAGGED))
EVENTS_RESERVED = ("id", "row", "timestamp")


def columns_of(table: Any, kept: Mapping[str, Any], events: Iterable[str] = ()) -> tuple[Columns, list[Any]]:
    """Columns with one value a row, and the containers that they are; of those that neuro_bpl kept, with several, too.

    A unit is the one that neuro_bpl kept in the file; else "s" for columns of times, those whose name ends in `_time`
    (as the best practices of NWB ask for) or `_times`, and those named in `events`; "1" for texts, truth values and
    whole numbers; "not stated" for other numbers. Categories (`EnumData`) are the texts that their numbers stand for.
    """
    found: Columns = {}
    taken = []
    for name in table.colnames:
        column = table[name]
        values = _rows(column, 2 if name in kept else 1)
        if values is not None:
            known = kept.get(name, {})
            unit = known.get("units") or _unit(name, column, values, frozenset(events))
            found[name] = (
                values.astype(known.get("dtype", values.dtype)),
                unit,
                known.get("long_name") or _meaning(column),
            )
            taken += [column, column.elements] if type(column).__name__ == "EnumData" else [column]
    empty = {name: known for name, known in kept.items() if name not in found and not len(table.id)}
    return found | empty_columns(empty), taken


def ids(table: Any) -> np.ndarray:
    """Return ids of the rows of a table in a file, as the file has them: HDMF counts rows where there are none."""
    if isinstance(table.id.data, list):
        why = "rows are found by their ids, and this file has none"
        raise refusal(f"{table.name}/id", None, "an id for each row", why, "another copy of the file")
    return np.asarray(table.id[:])


def renamed(columns: Columns, taken: Sequence[str]) -> tuple[Columns, dict[str, str]]:
    """Return columns of which none is called as something that a session has of its own, and what names they have got.

    Examples
    --------
    >>> renamed({"trial": ([4], "1", "number")}, ("trial",))[1]
    {'trial': 'trial_in_file'}
    """
    names: dict[str, str] = {}
    for name in columns:
        if name in taken:
            names[name] = f"{name}{IN_FILE}"
            while names[name] in columns:
                names[name] += "_"
    return {names.get(name, name): column for name, column in columns.items()}, names


def empty_columns(kept: Mapping[str, Any]) -> Columns:
    """Return columns of a table without rows."""
    return {name: (np.zeros(0, at["dtype"]), at["units"], at["long_name"]) for name, at in kept.items()}


def described(table: xr.Dataset) -> dict[str, dict[str, str]]:
    """Return number format, unit and meaning of each column."""
    return {
        str(name): {"dtype": str(at.dtype), "units": at.attrs["units"], "long_name": at.attrs["long_name"]}
        for name, at in table.data_vars.items()
    }


def refuse_reserved(group: str, table: xr.Dataset, reserved: Iterable[str]) -> None:
    """Refuse columns whose name an NWB file has for something else.

    Raises
    ------
    ValueError
        It names the first such column.
    """
    for name in reserved:
        if name in table.data_vars:
            why = "the file has a column of that name for something else"
            raise refusal(f"{group}/{name}", name, "another name", why, f'rename({{"{name}": "own_{name}"}})')


def new_intervals(name: str, description: str, table: xr.Dataset, bounds: Mapping[str, np.ndarray]) -> Any:
    """`TimeIntervals` of a table of trials; `bounds` are the start or stop times that it lacks."""
    core = _core()
    columns = {key: {"name": key, "description": MEANING[key], "data": values} for key, values in bounds.items()}
    columns |= _vectors("trials", table)
    first = [columns.pop("start_time"), columns.pop("stop_time")]
    made = [core.VectorData(**column) for column in (*first, *columns.values())]
    return library().epoch.TimeIntervals(name=name, description=description, id=_ids(table["trial"]), columns=made)


def new_units(
    table: xr.Dataset,
    ids: np.ndarray | None,
    trains: Sequence[np.ndarray] | None,
    observed: Sequence[np.ndarray] | None,
) -> Any:
    """`Units` with their spike times, and the intervals in which each of them was recorded."""
    core, n_units = _core(), table.sizes["unit"]
    made = [core.VectorData(**column) for column in _vectors("units", table).values()]
    if trains is not None:
        made += _ragged("spike_times", "spike times (s)", trains)
    if observed is not None:
        made += _ragged("obs_intervals", "intervals in which the unit was recorded (s)", observed)
    numbers = np.arange(n_units) if ids is None else ids
    return library().misc.Units(name="units", description="Units.", id=numbers.tolist(), columns=made)


def new_events(name: str, table: xr.Dataset) -> Any:
    """Return an `EventsTable` of events that have a `time`."""
    event, columns = library().event, _vectors("events", table)
    time = event.TimestampVectorData(**{**columns.pop("time"), "name": "timestamp"})
    others = [_core().VectorData(**column) for column in columns.values()]
    return event.EventsTable(name=name, description=f"Events of the kind {name}.", columns=[time, *others])


def new_table(name: str, description: str, arrays: xr.Dataset) -> Any:
    """Return a `DynamicTable` with a row for each trial, and an array in each cell."""
    core = _core()
    made = [
        core.VectorData(name=str(key), description=values.attrs["long_name"], data=values.values)
        for key, values in arrays.data_vars.items()
    ]
    return core.DynamicTable(name=name, description=description, columns=made)


def _vectors(group: str, table: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return columns as `DynamicTable.add_column` takes them.

    Raises
    ------
    ValueError
        If a column is neither of numbers, nor of truth values, nor of texts, or texts have a character NUL.
    """
    return {str(name): _vector(f"{group}/{name}", str(name), at) for name, at in table.data_vars.items()}


def _vector(place: str, name: str, column: xr.DataArray) -> dict[str, Any]:
    values = column.values
    if values.dtype.kind not in KINDS:
        why = "NWB has no other columns"
        raise refusal(place, values.dtype, "numbers, truth values or texts", why, "seconds for dates, text for others")
    texts = values.tolist() if values.dtype.kind == "U" else None
    if texts is not None and any("\0" in text for text in texts):
        raise refusal(place, texts, "texts without the character NUL", "HDF5 ends texts with it", "texts without it")
    unit = column.attrs["units"]
    meaning = column.attrs["long_name"] + ("" if unit == "1" else f" ({unit})")
    return {"name": name, "description": meaning, "data": values if texts is None else texts}


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


def _rows(column: Any, most_dims: int) -> np.ndarray | None:
    """Return one number or text a row, or as many numbers in each; None for a column of anything else."""
    if not hasattr(column, "description") or type(column).__name__ in ("VectorIndex", "DynamicTableRegion"):
        return None
    values = np.asarray(column.data[:])
    if type(column).__name__ == "EnumData":
        values = np.asarray(column.elements.data[:])[values]
    if values.ndim == 1 and values.dtype == object and all(isinstance(value, (str, bytes)) for value in values):
        values = np.asarray([v.decode() if isinstance(v, bytes) else v for v in values], str)
    return values if 1 <= values.ndim <= most_dims and values.dtype.kind in KINDS else None


def _unit(name: str, column: Any, values: np.ndarray, events: frozenset[str]) -> str:
    if name in events or type(column).__name__ in SECONDS or (name.endswith(MOMENTS) and values.dtype.kind == "f"):
        return "s"
    return "not stated" if values.dtype.kind == "f" else "1"


def _meaning(column: Any) -> str:
    return str(column.description or column.name)
