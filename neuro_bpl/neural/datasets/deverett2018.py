"""Activity of climbing fibres after a decision: Purkinje dendrites of crus I in mice that gather evidence."""

from pathlib import Path

import numpy as np
import xarray as xr

from neuro_bpl.neural import arguments
from neuro_bpl.neural.sessions.reading import existing_file
from neuro_bpl.refusals import nearest, refusal

OUTCOMES = ("error", "correct")
CITATION = "Deverett et al. 2018, eLife 7:e36781"


def read_deverett(path: Path | str) -> xr.Dataset:
    """Return mean activity of each Purkinje dendrite after the outcome of a trial, by outcome (figure 4E of the paper).

    Parameters
    ----------
    path : path
        `deverett2018_crusI_evidence.npz`, the figures' numbers as arrays: `fetch("deverett2018")` says where they are
        from.

    Returns
    -------
    Dataset
        `activity` (outcome, dendrite): mean fluorescence, in the units of the figure; `outcome` is "error" or
        "correct".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or is not that one.

    References
    ----------
    Deverett, B., Koay, S. A., Oostland, M. & Wang, S. S.-H. (2018). Cerebellar involvement in an evidence-accumulation
    decision-making task. eLife 7, e36781.
    """
    path = existing_file(path)
    activity = _outcomes(path)
    meaning = {"units": "1", "long_name": "mean activity after the outcome"}
    return xr.Dataset(
        {"activity": (("outcome", "dendrite"), activity, meaning)},
        {"outcome": list(OUTCOMES), "dendrite": np.arange(activity.shape[1])},
        {"region": "crus I", "citation": CITATION, "licence": "Apache-2.0"},
    )


def share_above(activity: xr.DataArray, one: str = "error", other: str = "correct") -> float:
    """Σ_d [a(one, d) > a(other, d)] / D: the part of dendrites that are more active after one outcome than the other.

    Examples
    --------
    >>> activity = xr.DataArray([[3.0, 1.0], [2.0, 2.0]], {"outcome": ["error", "correct"]}, ("outcome", "dendrite"))
    >>> share_above(activity)
    0.5
    """
    fix = 'read_deverett(path)["activity"]'
    arguments.data_array("activity", activity, ("outcome",), "outcomes are compared", fix)
    labels = [str(label) for label in activity["outcome"].values] if "outcome" in activity.coords else []
    for name, label in (("one", one), ("other", other)):
        if not isinstance(label, str) or label not in labels:
            fix = f'{name}="{nearest(str(label), labels)}"' if labels else "activity.assign_coords(outcome=labels)"
            raise refusal(name, label, ", ".join(labels) or "none", "activity has these outcomes", fix)
    return float((activity.sel(outcome=one) > activity.sel(outcome=other)).mean())


def _outcomes(path: Path) -> np.ndarray:
    """Return activity of each dendrite, one row an outcome."""
    fix = 'the file of fetch("deverett2018")'
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            rows = [arrays[f"fig4/E/{outcome}"] for outcome in OUTCOMES]
        activity = np.stack(rows).astype(float)
    # Damage of an archive shows as whatever zipfile, zlib or NumPy's reader of headers raise.
    except Exception as error:
        allowed = f"an npz file with {' and '.join(f'fig4/E/{outcome}' for outcome in OUTCOMES)} of one length"
        raise refusal("file", str(path), allowed, f"{type(error).__name__}: {error}", fix) from error
    if activity.ndim != 2 or not np.isfinite(activity).all():
        raise refusal("fig4/E", activity.shape, "one finite number a dendrite", "dendrites are counted", fix)
    return activity
