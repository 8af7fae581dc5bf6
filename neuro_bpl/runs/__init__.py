"""Runs as labelled data, in memory and on disk; nothing here knows what has learnt.

Offered: opening a run and what happened to its points, exporting it, the schema, and the list of what can be recorded.
"""

from neuro_bpl.runs.attributes import grid
from neuro_bpl.runs.contents import finished, statuses
from neuro_bpl.runs.netcdf import export_netcdf
from neuro_bpl.runs.pieces import FORMAT, FORMAT_VERSION, coordinate
from neuro_bpl.runs.provenance import origin
from neuro_bpl.runs.quantities import QUANTITIES
from neuro_bpl.runs.schema import validate
from neuro_bpl.runs.selection import by_rule, selected
from neuro_bpl.runs.store import open_run

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "QUANTITIES",
    "by_rule",
    "coordinate",
    "export_netcdf",
    "finished",
    "grid",
    "open_run",
    "origin",
    "selected",
    "statuses",
    "validate",
]
