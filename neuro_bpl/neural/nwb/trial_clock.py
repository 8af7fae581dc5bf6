"""A session on a trial clock, laid out on one session clock, trial after trial."""

import numpy as np
import xarray as xr
from jaxtyping import Float

from neuro_bpl.neural.nwb.tables import refuse_reserved
from neuro_bpl.neural.session import RECORDED, event_names
from neuro_bpl.parameters import refusal

ZERO = "trial_zero"


def on_session_clock(session: xr.DataTree, gap: float) -> xr.DataTree:
    """The session on a session clock: a trial begins `gap` seconds after the last moment of the one before it.

    Trials get a column `trial_zero` (s): where the clock of each begins.

    Raises
    ------
    ValueError
        If the gap is not possible, a trial has no finite time at all, or the trials have such a column already.
    """
    check_gap(gap)
    refuse_reserved("trials", session["trials"].to_dataset(), (ZERO,))
    first, last = _spans(session)
    zero = np.concatenate([[0.0], np.cumsum(last - first + gap)[:-1]]) - first
    groups = {str(name): node.to_dataset() for name, node in session.children.items()}
    times = (*event_names(session), *RECORDED)
    shifted = {name: groups["trials"][name].copy(data=groups["trials"][name].values + zero) for name in times}
    about = {"units": "s", "long_name": "where the clock of the trial begins"}
    groups["trials"] = groups["trials"].assign(shifted).assign({ZERO: ("trial", zero, about)})
    for name in {"spikes", "events"} & set(groups):
        time = groups[name]["time"]
        groups[name] = groups[name].assign(time=time.copy(data=time.values + zero[groups[name]["trial"].values]))
    if "spikes" in groups:
        groups["spikes"] = groups["spikes"].drop_vars("trial")
    laid = xr.DataTree.from_dict(groups)
    laid.attrs = {**session.attrs, "clock": "session"}
    return laid


def check_gap(gap: float) -> None:
    """Refuse a time between trials (s) that is not possible."""
    if isinstance(gap, bool) or not isinstance(gap, (int, float)) or not 0 < gap < np.inf:
        raise refusal("gap", gap, "a finite number above 0 (s)", "trials do not overlap", "gap=1.0")


def _spans(session: xr.DataTree) -> tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " trial"]]:
    """First and last finite moment of each trial: of its columns, its spikes and its events."""
    table = session["trials"].to_dataset()
    columns = [table[name].values.astype(float) for name in (*event_names(session), *RECORDED)]
    moments = np.stack(columns) if columns else np.zeros((0, table.sizes["trial"]))
    first = np.where(np.isfinite(moments), moments, np.inf).min(0)
    last = np.where(np.isfinite(moments), moments, -np.inf).max(0)
    for name in {"spikes", "events"} & set(session.children):
        happened = session[name].to_dataset()
        trial, time = happened["trial"].values, happened["time"].values
        known = np.isfinite(time)
        np.minimum.at(first, trial[known], time[known])
        np.maximum.at(last, trial[known], time[known])
    if not np.isfinite(first).all():
        at = int((~np.isfinite(first)).argmax())
        fix = 'a column with a time, such as {"stimulus_on": (times, "s", "stimulus onset")}'
        raise refusal(f"trial {at}", "no finite time", "at least one", "it has a place on the session clock", fix)
    return first, last
