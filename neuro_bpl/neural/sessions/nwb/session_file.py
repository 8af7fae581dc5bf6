"""A recorded session as the contents of an NWB file."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from neuro_bpl.neural import times
from neuro_bpl.neural.sessions.nwb import about, layout, series, tables
from neuro_bpl.neural.sessions.nwb.clock import moments, on_session_clock
from neuro_bpl.neural.sessions.nwb.file import library
from neuro_bpl.neural.sessions.nwb.tables import described, refuse_reserved
from neuro_bpl.neural.sessions.session import RECORDED, spike_times, validate
from neuro_bpl.refusals import refusal

WHAT = "A recorded session, as neuro_bpl had it."
BOUNDS = ("start_time", "stop_time")
TABLES = ("units", "trials", "spikes", "events")


def file_of_session(session: xr.DataTree, gap: float, start_time: datetime.datetime | None) -> Any:
    """Return a `pynwb.NWBFile` that holds a session."""
    validate(session)
    _refuse_without_place({str(name): node.to_dataset() for name, node in session.children.items()})
    start = about.start_of(start_time, layout.plain(session.attrs), "start_time")
    laid = session if session.attrs["clock"] == "session" else on_session_clock(session, gap)
    groups = {str(name): node.to_dataset() for name, node in laid.children.items()}
    attrs = {k: v for k, v in layout.plain(laid.attrs).items() if k not in ("format", "format_version", "clock")}
    nwb = about.new_file(attrs, WHAT, start)
    kept: layout.Layout = {"of": layout.RECORDING, "groups": list(groups), "attrs": attrs}
    kept |= _add_trials(nwb, laid, groups["trials"])
    kept |= _add_units(nwb, laid, groups["units"])
    if "events" in groups:
        kept["events"] = _add_events(nwb, groups["events"])
    if "behaviour" in groups:
        kept["behaviour"] = _add_behaviour(nwb, groups["behaviour"])
    if "activity" in groups:
        kept["activity"] = _add_activity(nwb, groups["activity"])
    layout.keep(nwb, kept)
    return nwb


def _refuse_without_place(groups: Mapping[str, xr.Dataset]) -> None:
    """Refuse what the file would not give back: decoders, and coordinates of tables beside the names of their rows."""
    if "decoders" in groups:
        allowed, fix = "a session without them", 'write_nwb(session.drop_nodes("decoders"), path)'
        raise refusal("session/decoders", list(groups["decoders"].data_vars), allowed, "NWB has no place for them", fix)
    for group in TABLES:
        table = groups.get(group, xr.Dataset())
        extra = [str(name) for name in table.coords if name not in table.dims]
        if extra:
            fix = f'session["{group}"] = xr.DataTree(session["{group}"].to_dataset().reset_coords())'
            raise refusal(f"session/{group}", extra, "columns only", "coordinates of a table are not written", fix)


def _add_trials(nwb: Any, session: xr.DataTree, table: xr.Dataset) -> layout.Layout:
    refuse_reserved("trials", table, tables.TRIALS_RESERVED)
    if not table.sizes["trial"]:
        return {"trials": described(table)}
    always = all((table[name] == bound).all() for name, bound in zip(RECORDED, (-np.inf, np.inf), strict=True))
    if always and all(table[name].attrs["long_name"].startswith("units rec") for name in RECORDED):
        table = table.drop_vars(RECORDED)
    bounds = dict(zip(BOUNDS, _bounds(session), strict=True))
    made = [name for name in BOUNDS if name not in table]
    nwb.trials = tables.new_intervals("trials", "Trials of the session.", table, {name: bounds[name] for name in made})
    return {"trials": described(table), "made": made}


def _bounds(session: xr.DataTree) -> tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " trial"]]:
    """Start and stop of each trial: its first and its last moment, of events and of what was recorded."""
    known = moments(session)
    finite = np.isfinite(known)
    if not finite.any(0).all() and not set(BOUNDS) <= set(session["trials"].data_vars):
        at = int((~finite.any(0)).argmax())
        allowed, fix = "at least one finite time a trial", '{"start_time": (times, "s", "start"), …}'
        raise refusal(f"trials without a time, such as {at}", known[:, at], allowed, "NWB's trials have a start", fix)
    return np.where(finite, known, np.inf).min(0), np.where(finite, known, -np.inf).max(0)


def _add_units(nwb: Any, session: xr.DataTree, table: xr.Dataset) -> layout.Layout:
    refuse_reserved("units", table, tables.UNITS_RESERVED)
    labels, n_units = table["unit"].values, table.sizes["unit"]
    named = labels.dtype.kind not in "iu"
    if named:
        table = table.assign({tables.NAMES: ("unit", labels, {"units": "1", "long_name": "name of the unit"})})
    if n_units:
        trains = [spike_times(session, unit) for unit in range(n_units)] if "spikes" in session else None
        nwb.units = tables.new_units(table, None if named else labels, trains, _observed(session, trains))
    return {"units": described(table), "named": named}


def _observed(session: xr.DataTree, trains: Sequence[np.ndarray] | None) -> list[np.ndarray] | None:
    """Return intervals in which each unit was recorded; None where they are not known.

    Nor are they where spikes lie outside: NWB's intervals say that a unit was not recorded there.
    """
    table, n_units = session["trials"].to_dataset(), session["units"].sizes["unit"]
    bounds = [np.atleast_2d(table[name].values.astype(float).T) for name in RECORDED]
    each = np.stack([np.broadcast_to(rows, (n_units, table.sizes["trial"])) for rows in bounds], axis=-1)
    found = [times.united(intervals) for intervals in each]
    whole = all(np.isfinite(intervals).all() for intervals in found) and any(len(intervals) for intervals in found)
    inside = trains is None or all(
        (times.interval_of(train, of) >= 0).all() for train, of in zip(trains, found, strict=True)
    )
    return found if whole and inside else None


def _add_events(nwb: Any, events: xr.Dataset) -> layout.Layout:
    """Return one table a kind; `row` is the place of an event among those of all kinds."""
    refuse_reserved("events", events, tables.EVENTS_RESERVED)
    row = ("event", np.arange(events.sizes["event"]), {"units": "1", "long_name": "place among events of all kinds"})
    numbered = events.assign(row=row)
    kinds = events["kind"].values.astype(str) if "kind" in events else np.full(events.sizes["event"], "event")
    for kind in np.unique(kinds):
        chosen = numbered.isel(event=kinds == kind).drop_vars("kind", errors="ignore")
        nwb.add_events_table(tables.new_events(_table_name(str(kind)), chosen))
    return described(events)


def _table_name(kind: str) -> str:
    if not kind or "/" in kind or ":" in kind or "\0" in kind:
        fix = f'"{kind.replace("/", "_").replace(":", "_") or "event"}"'
        raise refusal("events/kind", kind, "a name without / and :", "it names a table of the file", fix)
    return kind


def _add_behaviour(nwb: Any, behaviour: xr.Dataset) -> dict[str, layout.Layout]:
    module = nwb.create_processing_module(series.BEHAVIOUR, "What was measured beside the units.")
    kept = {}
    for name, values in behaviour.data_vars.items():
        time = values[values.dims[0]]
        module.add(series.series(library(), _table_name(str(name)), values, time.values.astype(float)))
        kept[str(name)] = {**layout.described(values, without=(str(time.name),)), "time": layout.plain(time.attrs)}
    return kept


def _add_activity(nwb: Any, activity: xr.Dataset) -> Mapping[str, layout.Layout]:
    module = nwb.create_processing_module("activity", "Activity by trial.")
    refuse_reserved("activity", activity, ("id",))
    module.add(tables.new_table("activity", "Arrays of which a row belongs to a trial.", activity))
    arrays = {str(name): values for name, values in activity.data_vars.items()}
    return {name: layout.described(values, without=("trial",)) for name, values in arrays.items()}
