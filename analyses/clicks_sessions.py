"""Sessions of rats that count clicks (Hanks et al. 2015), as several analyses read them."""

from pathlib import Path

import xarray as xr

from neuro_bpl import neural
from neuro_bpl.refusals import refusal


def sessions_of(folder: str, download: bool = False) -> list[xr.DataTree]:
    """All sessions of a folder (empty: neural/hanks2015 of the data folder), with those that it lacks where asked for.

    Raises
    ------
    ValueError
        If there are none.
    """
    at = Path(folder) if folder else neural.sessions.fetching.paths("hanks2015")[0].parent
    if download:
        neural.fetch("hanks2015", at.parent)
    files = sorted(at.glob("*.mat"))
    if not files:
        fix = "--folder with the sessions; NEURO_BPL_DATA=…; or first analyses/clicks_recordings.py --download"
        raise refusal("folder", str(at), "a folder of sessions (*.mat)", "there are none in it", fix)
    return [neural.read(path) for path in files]


def by(attribute: str, sessions: list[xr.DataTree]) -> dict[str, list[xr.DataTree]]:
    """Sessions by an attribute, such as their region, in alphabetical order."""
    names = sorted({session.attrs[attribute] for session in sessions})
    return {name: [one for one in sessions if one.attrs[attribute] == name] for name in names}
