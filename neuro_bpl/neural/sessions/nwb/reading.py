"""Reading NWB: a file as a recorded session, and one that a run was written to as the arrays of that run."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuro_bpl.neural import arguments
from neuro_bpl.neural.sessions.nwb import about, layout, series, tables
from neuro_bpl.neural.sessions.nwb.file import extract, library
from neuro_bpl.neural.sessions.nwb.units import Units, units_of
from neuro_bpl.neural.sessions.session import RECORDED, TAKEN, Column, from_arrays
from neuro_bpl.neural.times import between, in_window
from neuro_bpl.refusals import nearest, refusal

OWN = ("kind", "time", "trial", "event")
BETWEEN = -1  # position of the trial of an event that lies in none
# Metadata that attributes hold, and rows' names, which units and trials are labelled with.
SAID = ("NWBFile", "Subject", "ElementIdentifiers")


class Contents(NamedTuple):
    """What a file holds, out of the file."""

    units: Units
    trials: tables.Columns
    trial: np.ndarray
    events: tables.Columns | None
    behaviour: dict[str, xr.DataArray]
    activity: dict[str, xr.DataArray]
    attrs: dict[str, str]
    not_read: list[str]
    renamed: dict[str, str]


def read_nwb(path: Path | str, *, events: Sequence[str] = ()) -> xr.DataTree:
    """Return a recorded session from an NWB file.

    Units with their spike times, scalar columns and the region of their electrodes; trials with their scalar columns,
    of which `start_time`, `stop_time`, others that end in `_time` or `_times`, and those named are events; events
    tables; every time series but raw voltage and video, as group `behaviour`; metadata as attributes. In a trial a unit
    counts as recorded within that one of its `obs_intervals` in which the trial starts, those that touch counting as
    one, and not at all where there is none. What has no place in a session is listed in `attrs["not_read"]` (JSON),
    each with its place in the file and its type. Columns and series that are called as an axis of a session, such as
    `trial`, or as another series, get another name: `attrs["renamed"]` (JSON) has it by their place in the file, where
    there are any. A session that `write_nwb` has written comes back as it was; of a run, the arrays are series of
    `behaviour`, and `read_run_nwb` gives them by trial and step.

    A file that was cut short is refused. Where single bytes were changed, HDF5 itself may end the process: a checksum
    tells such files beforehand, as `fetch` does.

    Parameters
    ----------
    path : path
        The file: NWB 2, in HDF5.
    events : sequence of str, optional
        Further columns of trials that hold moments, in seconds on the session clock.

    Returns
    -------
    DataTree
        The session, on the session clock.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is no NWB file, is damaged, or has no such columns.
    ImportError
        If pynwb is not installed.

    Examples
    --------
    >>> import datetime, tempfile
    >>> from neuro_bpl.neural import from_arrays
    >>> session = from_arrays([[0.9, 1.1], []], {"go_time": ([1.0], "s", "go cue")})
    >>> start = datetime.datetime(2015, 1, 31, tzinfo=datetime.UTC)
    >>> from neuro_bpl.neural import write_nwb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = read_nwb(write_nwb(session, f"{folder}/session.nwb", start_time=start))
    >>> again["spikes"]["time"].values.tolist(), again["trials"]["go_time"].values.tolist()
    ([0.9, 1.1], [1.0])
    """
    path = arguments.path("path", path)
    if not isinstance(events, (list, tuple)) or not all(isinstance(name, str) for name in events):
        raise refusal("events", events, "a list of names", "columns of trials are named", 'events=["go_cue"]')
    found = extract(path, partial(_contents, events=tuple(events)))
    _check_events(events, found.trials)
    attrs = {"source": path.name, **found.attrs, "not_read": json.dumps(found.not_read)}
    attrs |= {"renamed": json.dumps(found.renamed)} if found.renamed else {}
    session = from_arrays(
        found.units.spike_times,
        found.trials,
        units=found.units.columns,
        unit=found.units.names.tolist(),
        events=found.events,
        activity=found.activity,
        behaviour=found.behaviour,
        attrs=attrs,
    )
    return session if (found.trial == np.arange(len(found.trial))).all() else _with_ids(session, found.trial)


def read_run_nwb(path: Path | str) -> xr.Dataset:
    """Return the arrays of a run from a file that `write_nwb` has written them to, each `(trial, time, …)`.

    Values are those of the run, bit for bit. `time` is in seconds from the beginning of a trial's first step to the
    end of each, and `step` its number; columns of the trials are coordinates of `trial`. The attributes say of which
    run, seed and snapshot.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is damaged, or no run was written to it.
    ImportError
        If pynwb is not installed.
    """
    kept, arrays, columns = extract(arguments.path("path", path), _run_contents)
    if kept.get("of") != layout.RUN:
        why = "only there are dims of trials and steps known"
        raise refusal("NWB file", str(path), "a file that write_nwb made of a run", why, f'read_nwb("{path}")')
    dataset = xr.Dataset({name: layout.rebuilt(values, kept["arrays"][name]) for name, values in arrays.items()})
    labels = {name: ("trial", values, {"units": u, "long_name": t}) for name, (values, u, t) in columns.items()}
    return dataset.assign_coords(labels).assign_attrs(kept["attrs"])


def _contents(nwb: Any, events: Iterable[str]) -> Contents:
    kept = layout.of_file(nwb)
    units, taken = units_of(nwb, kept)
    trials, trial, columns, names = _trials(nwb, kept, units, events)
    happened, event_tables = _events(nwb, kept, trials)
    found = {str(thing.object_id): thing for thing in nwb.objects.values() if series.is_read(thing, library())}
    measured = _named(found.values())
    renamed = {f"trials/{old}": new for old, new in names.items()}
    renamed |= {f"units/{old}": new for old, new in units.renamed.items()}
    renamed |= {series.place(thing): name for name, thing in measured.items() if name != thing.name}
    behaviour = {name: series.array(thing, name, kept.get("behaviour", {})) for name, thing in measured.items()}
    activity, binned = _activity(nwb, kept)
    attrs = kept["attrs"] if kept.get("of") == layout.RECORDING else about.session_attrs(nwb)
    attrs |= {"run": json.dumps(kept["attrs"])} if kept.get("of") == layout.RUN else {}
    taken += [*columns, *event_tables, *measured.values(), *binned]
    left = _left_over(nwb, taken, (nwb.units, nwb.trials, *(nwb.events or {}).values()))
    return Contents(units, trials, trial, happened, behaviour, activity, attrs, left, renamed)


def _run_contents(nwb: Any) -> tuple[layout.Layout, dict[str, np.ndarray], tables.Columns]:
    kept = layout.of_file(nwb)
    if kept.get("of") != layout.RUN:
        return kept, {}, {}
    found = {thing.name: thing for thing in nwb.objects.values() if series.is_read(thing, library())}
    arrays = {name: np.asarray(found[name].data[:]) for name in kept["arrays"]}
    return kept, arrays, tables.columns_of(nwb.trials, kept["trials"])[0]


def _trials(
    nwb: Any, kept: Mapping[str, Any], units: Units, events: Iterable[str]
) -> tuple[tables.Columns, np.ndarray, list[Any], dict[str, str]]:
    """Columns, ids, containers and other names; columns that NWB asked for and the session had not are left out."""
    if nwb.trials is None:
        return tables.empty_columns(kept.get("trials", {})), np.arange(0), [], {}
    moments = [*events, *(str(name).removesuffix(tables.IN_FILE) for name in events)]
    columns, taken = tables.columns_of(nwb.trials, kept.get("trials", {}), moments)
    odd = [name for name in RECORDED if name in columns and np.asarray(columns[name][0]).dtype.kind not in "iuf"]
    columns, names = tables.renamed(columns, (*TAKEN["trials"], *odd))
    if units.observed is not None and not set(RECORDED) & set(columns) and "groups" not in kept:
        bounds = units.recorded(columns["start_time"][0])
        meanings = ("units recorded from here", "units recorded until here")
        columns |= {name: (b, "s", text) for name, b, text in zip(RECORDED, bounds, meanings, strict=True)}
    made = kept.get("made", ())
    return {name: column for name, column in columns.items() if name not in made}, tables.ids(nwb.trials), taken, names


def _events(nwb: Any, kept: Mapping[str, Any], trials: tables.Columns) -> tuple[tables.Columns | None, list[Any]]:
    """Return tables of events as one, in the order of time, or as they were; and the columns that are read.

    Left are columns that not all tables have, and those of other files that are named as the session's own are.
    """
    known = kept.get("events")
    if not nwb.events:
        return (None if known is None else tables.empty_columns(known)), []
    each, taken = [], []
    for table in nwb.events.values():
        columns, containers = tables.columns_of(table, {})
        each.append({name: column for name, column in columns.items() if known is not None or name not in OWN})
        taken += containers
    joined = {name: _joined([columns[name] for columns in each]) for name in each[0] if _in_all(name, each)}
    read = [container for container in taken if container.name in joined]
    kinds = [np.full(len(table.id), table.name) for table in nwb.events.values()]
    joined |= {"time": joined.pop("timestamp"), "kind": (np.concatenate(kinds), "1", "kind of event")}
    if known is None:
        within = _trial_of(joined["time"][0], trials)
        joined["trial"] = (within, "1", f"position of the trial, {BETWEEN} where it lies in none")
        known = {name: {"dtype": values.dtype, "units": u, "long_name": t} for name, (values, u, t) in joined.items()}
        order = np.argsort(joined["time"][0], kind="stable")
    else:
        order = np.argsort(joined["row"][0], kind="stable")
    return {
        name: (joined[name][0][order].astype(at["dtype"]), at["units"], at["long_name"]) for name, at in known.items()
    }, read


def _in_all(name: str, each: Sequence[tables.Columns]) -> bool:
    """Return whether all tables have the column, either all of texts or all of numbers."""
    are_texts = {columns[name][0].dtype.kind == "U" for columns in each if name in columns}
    return len(are_texts) == 1 and all(name in columns for columns in each)


def _joined(columns: Sequence[Column]) -> Column:
    """Return one column after another; a unit on which they do not agree is not stated."""
    values, units, meanings = zip(*columns, strict=True)
    unit = units[0] if len(set(units)) == 1 else "not stated"
    return np.concatenate(values), unit, "; ".join(dict.fromkeys(meanings))


def _trial_of(times: np.ndarray, trials: tables.Columns) -> np.ndarray:
    """Return position of the trial in which each event lies; at the end of one only where no other begins then."""
    inside = np.full(len(times), BETWEEN)
    if "start_time" not in trials:
        return inside
    bounds = list(zip(trials["start_time"][0], trials["stop_time"][0], strict=True))
    for holds in (between, in_window):  # the latter has the last word
        for at, (start, stop) in enumerate(bounds):
            inside[holds(times, start, stop)] = at
    return inside


def _named(found: Iterable[Any]) -> dict[str, Any]:
    """Series by name; by their place in the file, with dots, where several have one name, or it is that of an axis."""
    things = list(found)
    names = [thing.name for thing in things]
    axes = {axis for thing in things for axis in series.axes(thing.name, np.ndim(thing.data))}
    placed = {}
    for thing in things:
        name = thing.name
        if names.count(name) > 1 or name in axes:
            name = series.place(thing).replace("/", ".")
        while name in placed or name in axes:
            name += tables.IN_FILE
        placed[name] = thing
    return placed


def _activity(nwb: Any, kept: Mapping[str, Any]) -> tuple[dict[str, xr.DataArray], list[Any]]:
    """Return binned activity of a session, which only files that neuro_bpl has written have."""
    known = kept.get("activity", {})
    if not known:
        return {}, []
    table = nwb.processing["activity"]["activity"]
    return {name: layout.rebuilt(np.asarray(table[name].data[:]), at) for name, at in known.items()}, [table]


def _left_over(nwb: Any, taken: Iterable[Any], partly: Iterable[Any]) -> list[str]:
    """Place and type of the outermost objects that neither are in `taken`, nor lie in one, nor hold one.

    Of tables in `partly` single columns are taken, and each of the others is one that is left.
    """
    read = {container.object_id for container in taken if container is not None}
    if nwb.scratch and layout.NAME in nwb.scratch:
        read.add(nwb.scratch[layout.NAME].object_id)
    holders = {table.object_id for table in partly if table is not None}
    holders |= {above.object_id for thing in nwb.objects.values() if thing.object_id in read for above in _above(thing)}
    left = {
        thing.object_id: thing
        for thing in nwb.objects.values()
        if thing.object_id not in read | holders
        and type(thing).__name__ not in SAID
        and not any(above.object_id in read for above in _above(thing))
    }
    outermost = [thing for thing in left.values() if not any(above.object_id in left for above in _above(thing))]
    return sorted(f"{series.place(thing)} ({type(thing).__name__})" for thing in outermost)


def _above(thing: Any) -> Iterator[Any]:
    while thing.parent is not None:
        thing = thing.parent
        yield thing


def _check_events(events: Sequence[str], trials: tables.Columns) -> None:
    for name in events:
        if name not in trials or np.asarray(trials[name][0]).dtype.kind not in "iuf":
            columns = [known for known, column in trials.items() if np.asarray(column[0]).dtype.kind in "iuf"]
            fix = f'events=["{nearest(str(name), columns)}"]' if columns else "events=[]"
            raise refusal("events", name, ", ".join(columns) or "none", "trials have no other numbers", fix)


def _with_ids(session: xr.DataTree, ids: np.ndarray) -> xr.DataTree:
    """Return the session with the ids of the file as names of the trials."""
    groups = {str(name): node.to_dataset() for name, node in session.children.items()}
    for name, group in groups.items():
        groups[name] = group.assign_coords(trial=ids) if "trial" in group.dims else group
    named = xr.DataTree.from_dict(groups)
    named.attrs = session.attrs
    return named
