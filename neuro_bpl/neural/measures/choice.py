"""Choices: how well a unit's responses tell them."""

import numpy as np
import xarray as xr

from neuro_bpl.neural import arguments
from neuro_bpl.refusals import nearest, refusal


def choice_auc(responses: xr.DataArray, choice: str | xr.DataArray = "went_right") -> xr.DataArray:
    """P(r_right > r_left) + P(r_right = r_left)/2 for a trial of each choice: area under the ROC curve.

    Parameters
    ----------
    responses : DataArray
        Dims `trial`, and any others such as `time`, `unit` and `seed`.
    choice : str or DataArray
        A coordinate of trials that is 1 for right and 0 for left; or such choices, with the dim `trial` and any others,
        such as one for shuffles.

    Returns
    -------
    DataArray
        The other dims; .5 where the response says nothing, NaN where one of the choices has no trial. Trials with NaN
        are left out: coordinates `trials_right` and `trials_left` say how many remain.

    Raises
    ------
    ValueError
        If the trials have no such coordinate, or it has other values.

    References
    ----------
    Britten, K. H., Newsome, W. T., Shadlen, M. N., Celebrini, S. & Movshon, J. A. (1996). A relationship between
    behavioral choice and the visual responses of neurons in macaque MT. Visual Neuroscience 13, 87–100.

    Examples
    --------
    >>> counts = xr.DataArray([1.0, 2.0, 2.0, 3.0], {"went_right": ("trial", [0, 0, 1, 1])}, ("trial",))
    >>> float(choice_auc(counts))
    0.875
    """
    went_right = _choices(responses, choice)
    valid = responses.notnull().astype(float)
    ranks = xr.apply_ufunc(_ranks, responses, input_core_dims=[["trial"]], output_core_dims=[["trial"]])
    n_right = xr.dot(valid, went_right, dim="trial")
    n_left = xr.dot(valid, 1 - went_right, dim="trial")
    pairs = (n_right * n_left).where(lambda number: number > 0)
    area = (xr.dot(ranks, went_right, dim="trial") - n_right * (n_right + 1) / 2) / pairs
    counted = {"trials_right": n_right.astype(int).variable, "trials_left": n_left.astype(int).variable}
    return area.assign_coords(counted).assign_attrs(units="1", long_name="area under the ROC curve of choice")


def rectified(auc: xr.DataArray) -> xr.DataArray:
    """abs(A − ½) + ½: how well a unit tells choices, whichever it prefers; above ½ by chance, too.

    Examples
    --------
    >>> rectified(xr.DataArray([0.3, 0.5, 0.7])).values
    array([0.7, 0.5, 0.7])
    """
    fix = "rectified(choice_auc(responses))"
    arguments.data_array("auc", auc, (), "areas are between 0 and 1", fix)
    if ((auc < 0) | (auc > 1)).any():
        raise refusal("auc", (float(auc.min()), float(auc.max())), "0 to 1", "they are areas under a curve", fix)
    return abs(auc - 0.5) + 0.5


def _choices(responses: xr.DataArray, choice: str | xr.DataArray) -> xr.DataArray:
    """1. for right and 0. for left, along trials."""
    arguments.data_array("responses", responses, ("trial",), "choices belong to trials", "bin(aligned, 0.05)")
    known = [str(name) for name, values in responses.coords.items() if values.dims == ("trial",) and _is_choice(values)]
    fix = 'responses.assign_coords(went_right=("trial", choices))'
    fix = f'choice="{nearest(str(choice), known)}"' if known else fix
    if isinstance(choice, str) and (choice not in responses.coords or responses[choice].dims != ("trial",)):
        allowed = ", ".join(known) or "none has 1 and 0"
        raise refusal("choice", choice, allowed, "trials have these coordinates with 1 (right) or 0 (left)", fix)
    chosen = responses[choice] if isinstance(choice, str) else choice
    if isinstance(choice, str) and not _is_choice(chosen):
        values = np.unique(chosen.values)[:10] if chosen.dtype.kind in "biufU" else chosen.dtype
        raise refusal(
            "choice", f"{choice}: {values}", "1 (right) or 0 (left) for each trial", "a choice has two sides", fix
        )
    arguments.data_array("choice", chosen, ("trial",), "a choice has two sides", fix)
    if chosen.sizes.get("trial") != responses.sizes["trial"] or not np.isin(chosen.values, (0, 1)).all():
        got, allowed = (dict(chosen.sizes), np.unique(chosen.values)[:10]), "1 (right) or 0 (left) for each trial"
        why, fix = "a choice has two sides", "responses.isel(trial=…) with the trials that have one"
        raise refusal("choice", got, allowed, why, fix)
    return chosen.astype(float).reset_coords(drop=True).drop_vars("trial", errors="ignore")


def _is_choice(values: xr.DataArray) -> bool:
    return values.dtype.kind in "biuf" and bool(np.isin(values.values, (0, 1)).all())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks along the last axis; equal ones share their mean rank, and NaN has rank 0."""
    from scipy.stats import rankdata

    return np.nan_to_num(rankdata(values, axis=-1, nan_policy="omit"))
