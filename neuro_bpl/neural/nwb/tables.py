"""Tables of NWB (`DynamicTable`) as columns with unit and meaning, and the other way round."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuro_bpl.neural.session import Column
from neuro_bpl.parameters import refusal

SECONDS = ("TimestampVectorData", "DurationVectorData")
KINDS = "biufU"  # booleans, whole numbers, floats, texts
Columns = dict[str, Column]
NAMES = "unit_name"
# Columns that a file has of its own, beside those of a session.
RAGGED = ("spike_times", "obs_intervals", "electrodes", "waveforms")
TRIALS_RESERVED = ("id", "tags", "tags_index", "timeseries", "timeseries_index")
UNITS_RESERVED = ("id", NAMES, "electrode_group", *RAGGED, *(f"{name}_index" for name in RAGGED))
EVENTS_RESERVED = ("id", "row", "timestamp")


def columns_of(table: Any, kept: Mapping[str, Any], events: Iterable[str] = ()) -> tuple[Columns, list[Any]]:
    """Columns with one value a row, and the containers that they are.

    A unit is the one that neuro_bpl kept in the file; else "s" for columns of times, those whose name ends in `_time`
    (as the best practices of NWB ask for), and those named in `events`; "1" for texts, truth values and whole numbers;
    "not stated" for other numbers.
    """
    found: Columns = {}
    taken = []
    for name in table.colnames:
        column = table[name]
        values = _scalars(column)
        if values is not None:
            known = kept.get(name, {})
            unit = known.get("units") or _unit(name, column, values, frozenset(events))
            found[name] = (
                values.astype(known.get("dtype", values.dtype)),
                unit,
                known.get("long_name") or _meaning(column),
            )
            taken.append(column)
    empty = {name: known for name, known in kept.items() if name not in found and not len(table.id)}
    return found | empty_columns(empty), taken


def empty_columns(kept: Mapping[str, Any]) -> Columns:
    """Columns of a table without rows."""
    return {name: (np.zeros(0, at["dtype"]), at["units"], at["long_name"]) for name, at in kept.items()}


def described(table: xr.Dataset) -> dict[str, dict[str, str]]:
    """Number format, unit and meaning of each column."""
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


def vectors(group: str, table: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Columns as `DynamicTable.add_column` takes them.

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


def _scalars(column: Any) -> np.ndarray | None:
    """One number or text a row; None for a column of anything else."""
    if not hasattr(column, "description") or type(column).__name__ in ("VectorIndex", "DynamicTableRegion"):
        return None
    values = np.asarray(column.data[:])
    if values.ndim == 1 and values.dtype == object and all(isinstance(value, (str, bytes)) for value in values):
        values = np.asarray([v.decode() if isinstance(v, bytes) else v for v in values], str)
    return values if values.ndim == 1 and values.dtype.kind in KINDS else None


def _unit(name: str, column: Any, values: np.ndarray, events: frozenset[str]) -> str:
    if name in events or type(column).__name__ in SECONDS or (name.endswith("_time") and values.dtype.kind == "f"):
        return "s"
    return "not stated" if values.dtype.kind == "f" else "1"


def _meaning(column: Any) -> str:
    return str(column.description or column.name)
