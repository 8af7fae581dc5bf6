"""Summaries over seeds: means, spreads and intervals, in words."""

import itertools
from collections.abc import Iterator

import numpy as np
import xarray as xr


def by_point(values: xr.DataArray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each point of a sweep and its values over seeds; points without values are left out."""
    dims = [str(dim) for dim in values.dims if dim != "seed"]
    for at in itertools.product(*(values[dim].values for dim in dims)):
        one = values.sel(dict(zip(dims, at, strict=True))).values
        if np.isfinite(one).any():
            yield ", ".join(v if dim == "rule" else f"{dim} {v}" for dim, v in zip(dims, at, strict=True)), one


def mean_and_spread(values: np.ndarray, digits: int) -> str:
    """Return mean ± SD over seeds in words; a dash where there is no number."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "–"
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def interval95(values: np.ndarray) -> tuple[float, float, float]:
    """Return mean and 95 % interval over seeds (Student's t)."""
    from scipy import stats

    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def finite95(values: np.ndarray) -> tuple[float, float, float]:
    """Return `interval95` of the seeds that have a finite value; NaN where fewer than two have one."""
    known = values[np.isfinite(values)]
    return interval95(known) if len(known) > 1 else (np.nan, np.nan, np.nan)


def summary95(values: np.ndarray, form: str = ".3f") -> str:
    """Return `finite95` as "mean [low, high]", and how many seeds have a value where some have none.

    Examples
    --------
    >>> summary95(np.array([1.0, 2.0, 3.0, np.nan]), ".1f"), summary95(np.array([np.nan, 2.0]), ".1f")
    ('2.0 [-0.5, 4.5] (3 of 4)', '2.0 (1 of 2)')
    >>> summary95(np.array([np.nan]))
    '–'
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return "–"
    mean, low, high = finite95(known)
    told = f"{mean:{form}} [{low:{form}}, {high:{form}}]" if len(known) > 1 else f"{known[0]:{form}}"
    return told + (f" ({len(known)} of {len(values)})" if len(known) < len(values) else "")
