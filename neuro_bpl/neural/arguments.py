"""Arguments of functions: numbers, texts and arrays, brought to one form or refused with what to type."""

import math
import numbers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Shaped

from neuro_bpl.refusals import refusal

NUMERIC = "biuf"
DRAWS = 1_000_000  # more than these take days


def number(
    name: str,
    given: Any,
    why: str,
    fix: str,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    high: float = math.inf,
) -> float:
    """Return a finite number within bounds; no truth value, and no array.

    Examples
    --------
    >>> number("sd", np.float32(0.5), "it is a width", "sd=0.05", above=0)
    0.5
    """
    is_one = isinstance(given, numbers.Real) and not isinstance(given, (bool, np.bool))
    try:
        value = float(given) if is_one else math.nan
    except OverflowError:  # a whole number beyond all floats
        value = math.inf
    if not math.isfinite(value) or not low <= value <= high or not value > above:
        parts = [f"at least {low:g}"] * (low > -math.inf) + [f"above {above:g}"] * (above > -math.inf)
        parts += [f"at most {high:g}"] * (high < math.inf)
        raise refusal(name, given, ", ".join(["a finite number", *parts]), why, fix)
    return value


def whole(name: str, given: Any, why: str, fix: str, *, low: int = 0, high: float = math.inf) -> int:
    """Return a whole number within bounds; no truth value, and no float.

    Examples
    --------
    >>> whole("seed", np.int64(3), "it is a seed", "seed=0")
    3
    """
    is_one = isinstance(given, numbers.Integral) and not isinstance(given, (bool, np.bool))
    if not is_one or not low <= int(given) <= high:
        bounds = f"at least {low}" if math.isinf(high) else f"{low} to {high}"
        raise refusal(name, given, f"a whole number, {bounds}", why, fix)
    return int(given)


def flag(name: str, given: Any, why: str) -> bool:
    """True or False."""
    if not isinstance(given, (bool, np.bool)):
        raise refusal(name, given, "True or False", why, f"{name}=True")
    return bool(given)


def text(name: str, given: Any, why: str, fix: str) -> str:
    """Return a text that is not empty."""
    if not isinstance(given, str) or not given:
        raise refusal(name, given, "a text", why, fix)
    return given


def window(name: str, given: Any, why: str, fix: str) -> tuple[float, float]:
    """Return two finite numbers, the first below the second."""
    bounds = given.tolist() if isinstance(given, np.ndarray) else given
    is_pair = isinstance(bounds, (list, tuple)) and len(bounds) == 2
    is_pair = is_pair and all(isinstance(at, numbers.Real) and not isinstance(at, (bool, np.bool)) for at in bounds)
    if not is_pair or not all(map(math.isfinite, bounds)) or not bounds[0] < bounds[1]:
        raise refusal(name, given, "(from, until), from < until, both finite", why, fix)
    return float(bounds[0]), float(bounds[1])


def path(name: str, given: Any) -> Path:
    """Return the path of a file."""
    if not isinstance(given, (str, os.PathLike)) or not str(given):
        raise refusal(name, given, "a path", "a file is looked for there", f'{name}="recordings/session.nwb"')
    return Path(given)


def data_array(name: str, given: Any, dims: Sequence[str], why: str, fix: str) -> xr.DataArray:
    """Return a DataArray of real numbers that has some dims, none of them empty."""
    allowed = f"a DataArray of real numbers{' with ' if dims else ''}{', '.join(dims)}"
    if not isinstance(given, xr.DataArray):
        raise refusal(name, type(given).__name__, allowed, why, fix)
    if given.dtype.kind not in NUMERIC or not set(dims) <= set(given.dims) or not all(given.sizes[dim] for dim in dims):
        raise refusal(name, f"{given.dtype} {dict(given.sizes)}", allowed, why, fix)
    return given


def array(name: str, given: Any, n_dims: int, why: str, fix: str) -> Shaped[np.ndarray, "..."]:
    """Real finite numbers of NumPy, JAX, pandas, xarray or lists, as doubles, with so many axes, none of them empty.

    Examples
    --------
    >>> array("x", [[1, 2], [3, 4]], 2, "they are compared", "x").tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    allowed = f"finite numbers in {n_dims} ax{'i' if n_dims == 1 else 'e'}s"
    try:
        values = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise refusal(name, type(given).__name__, allowed, why, fix) from error
    if values.dtype.kind not in NUMERIC or values.ndim != n_dims or not values.size:
        raise refusal(name, f"{values.dtype} {values.shape}", allowed, why, fix)
    values = values.astype(float)
    if not np.isfinite(values).all():
        raise refusal(name, f"{int((~np.isfinite(values)).sum())} numbers that are not finite", allowed, why, fix)
    return values
