"""Units of an NWB file: spike times, columns, regions, and when they were recorded."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from neuro_bpl.neural import times
from neuro_bpl.neural.sessions.nwb import tables
from neuro_bpl.neural.sessions.session import TAKEN


class Units(NamedTuple):
    """Units out of a file; `observed` are the (start, stop) of intervals in which each was recorded, where known."""

    spike_times: list[np.ndarray] | None
    columns: tables.Columns
    names: np.ndarray
    observed: list[np.ndarray] | None
    renamed: Mapping[str, str] = {}

    def recorded(self, starts: Float[np.ndarray, " trial"]) -> list[np.ndarray]:
        """From when and until when each unit was recorded around the start of each trial; from inf until −inf: never.

        Both are (trial, unit), or (trial) where all units were recorded at the same times.
        """
        around = [_around(starts, intervals) for intervals in self.observed or []]
        bounds = [np.stack(of_units, axis=-1) for of_units in zip(*around, strict=True)]
        together = all((values == values[:, :1]).all() for values in bounds)
        return [values[:, 0] if together else values for values in bounds]


def units_of(nwb: Any, kept: Mapping[str, Any]) -> tuple[Units, list[Any]]:
    """Return units, and the containers that they are read from."""
    had_spikes = "spikes" in kept.get("groups", ())
    if nwb.units is None:
        columns = tables.empty_columns(kept.get("units", {}))
        columns.pop(tables.NAMES, None)
        return Units([] if had_spikes else None, columns, np.arange(0), None), []
    table = nwb.units
    columns, taken = tables.columns_of(table, kept.get("units", {}))
    ragged = {name: _ragged(table[name]) for name in ("spike_times", "obs_intervals") if name in table.colnames}
    taken += [container for name in ragged for container in (table[name], table[name].target)]
    regions = _regions(table)
    if regions is not None and "region" not in columns:
        columns["region"] = (regions, "1", "location of the unit's electrodes")
        taken += [table["electrodes"], getattr(table["electrodes"], "target", None), nwb.electrodes["location"]]
    names = np.asarray(columns.pop(tables.NAMES)[0] if kept.get("named") else tables.ids(table))
    columns, renamed = tables.renamed(columns, TAKEN["units"])
    if len(set(names.tolist())) < len(names):
        columns["id"], names = (names, "1", "id in the file"), np.arange(len(names))
    observed = ragged.get("obs_intervals") if len(names) else None
    return Units(ragged.get("spike_times"), columns, names, observed, renamed), taken


def _ragged(index: Any) -> list[np.ndarray]:
    """Return rows of a ragged column."""
    ends, values = np.asarray(index.data[:]).astype(int), np.asarray(index.target.data[:], float)
    if (np.diff(ends, prepend=0) < 0).any() or (len(ends) and ends[-1] != len(values)):
        raise ValueError(f"{index.name} does not divide the {len(values)} values of {index.target.name} among its rows")
    return np.split(values, ends[:-1]) if len(ends) else []


def _regions(table: Any) -> list[str] | None:
    """Return locations of each unit's electrodes, as text; None where electrodes are not known, or have no location."""
    if "electrodes" not in table.colnames:
        return None
    column = table["electrodes"]
    region = getattr(column, "target", column)
    if "location" not in region.table.colnames:
        return None
    places = np.asarray(region.table["location"].data[:]).astype(str)
    rows = _ragged(column) if region is not column else np.asarray(column.data[:]).reshape(-1, 1)
    return [", ".join(sorted(set(places[np.asarray(row).astype(int)].tolist()))) for row in rows]


def _around(
    starts: Float[np.ndarray, " trial"], intervals: Float[np.ndarray, "interval bound"]
) -> tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " trial"]]:
    together = times.united(intervals)
    which = times.interval_of(starts, together)
    bounds = np.concatenate([together, [[np.inf, -np.inf]]])[which]  # the last ones are those of none
    return bounds[:, 0], bounds[:, 1]
