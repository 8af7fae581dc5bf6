"""What analyses have in common: a stored run that is opened, chosen from and refused, and figures that are saved."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neuro_bpl import figures
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import selection
from neuro_bpl.runs.store import open_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def recorded(
    path: Path | str, group: str, name: str, *, why: str, command: str, select: Sequence[str] = ()
) -> xr.DataArray:
    """Open a run, and return one of its quantities by rule: of those rules that have a number of it.

    Parameters
    ----------
    path : path
        The folder of the run.
    group, name : str
        Where the quantity is, such as "gradients" and "td_error_size".
    why, command : str
        Why a run may lack it, and what to type to make one that does not.
    select : sequence of str
        Values of further parameters of a sweep, such as "kappa=0.3".

    Raises
    ------
    FileNotFoundError
        If there is no run.
    ValueError
        If the run did not record the quantity, varies other parameters than the rule, or has no such point.
    """
    run = selection.selected(open_run(path), select)
    if group not in run or name not in run[group]:
        raise refusal("run", str(path), f'a run that recorded "{name}"', why, command)
    values = selection.by_rule(run[group].to_dataset()[name], run)
    return values.sel(rule=[bool(np.isfinite(values.sel(rule=rule)).any()) for rule in values.rule])


def save(figure: "Figure", path: Path | str) -> None:
    """Save a figure as PNG and SVG, and print where the files are."""
    for file in figures.save(figure, path):
        sys.stdout.write(f"figure: {file}\n")
