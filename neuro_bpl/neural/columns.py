"""Columns of tables: values of whatever kind of array as numbers, truth values, texts or dates, or refused."""

import datetime
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from neuro_bpl.refusals import refusal

NUMBERS, KINDS = "iuf", "biufUM"  # whole numbers and floats; and truth values, texts and dates
ALLOWED = "numbers, truth values, texts or dates, all of one kind"


def values_of(place: str, given: Any, unit: str) -> Shaped[np.ndarray, "..."]:
    """Return values of a column of lists, NumPy, pandas (categories and missing numbers, too), xarray or JAX.

    Categories become their texts or numbers, missing numbers NaN, bytes texts. Columns in seconds hold numbers.

    Raises
    ------
    ValueError
        If kinds are mixed, texts are missing, or there are dates or texts where seconds should be.

    Examples
    --------
    >>> import pandas as pd
    >>> values_of("trials/side", pd.Series(["L", "R", "L"], dtype="category"), "1").tolist()
    ['L', 'R', 'L']
    >>> values_of("trials/reward", pd.array([1, None], dtype="Int64"), "ml").tolist()
    [1.0, nan]
    """
    array = _array(place, given)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype == object:
        array = _of_objects(place, array.ravel().tolist()).reshape(array.shape)
    if array.dtype.kind == "m":
        fix = 'values / np.timedelta64(1, "s")'
        raise refusal(place, array.dtype, ALLOWED, "durations are told in seconds", fix)
    if array.dtype.kind not in KINDS:
        raise refusal(place, array.dtype, ALLOWED, "nothing else can be a label", "values as numbers or texts")
    if unit == "s" and array.dtype.kind not in NUMBERS:
        is_date = array.dtype.kind == "M"
        fix = '(dates - dates[0]) / np.timedelta64(1, "s")' if is_date else '(values, "1", "what it is")'
        raise refusal(place, array.dtype, "numbers in a column of seconds", "activity is aligned to them", fix)
    return array


def _array(place: str, given: Any) -> np.ndarray:
    """Return the array of a column; lists of mixed kinds, of which NumPy makes texts, stay objects."""
    if isinstance(given, (str, bytes, dict, set, type)):
        raise refusal(place, given, ALLOWED, "a column has a value for each row", f"[{given!r}, …]")
    try:
        array = np.asarray(given)
        is_mixed = array.dtype.kind == "U" and isinstance(given, (list, tuple)) and array.ndim == 1
        if is_mixed and not all(isinstance(item, str) for item in given):
            return np.array([*given, None], object)[:-1]
    except (TypeError, ValueError) as error:
        fix = "rows of one length, or one value a row"
        raise refusal(place, given, ALLOWED, "rows have other lengths or kinds", fix) from error
    return array


def _of_objects(place: str, items: Sequence[Any]) -> np.ndarray:
    """Return objects as the array of their kind."""
    odd = next((item for item in items if np.ndim(item)), None)
    if odd is not None:
        raise refusal(place, odd, ALLOWED, "a column has one value a row", "one number or text for each row")
    there = [item for item in items if not pd.isna(item)]
    if there and all(isinstance(item, (bool, np.bool)) for item in there) and len(there) == len(items):
        return np.asarray(items, bool)
    if all(_is_number(item) for item in there):
        return np.asarray([np.nan if pd.isna(item) else item for item in items], float)
    if all(isinstance(item, str) for item in there):
        if len(there) < len(items):
            missing = next(at for at, item in enumerate(items) if pd.isna(item))
            fix = 'a text of its own, such as "none"'
            raise refusal(place, f"no text in row {missing}", "a text in each row", "it would become a text", fix)
        return np.asarray(items, str)
    dates = next((item for item in there if isinstance(item, (datetime.date, datetime.timedelta))), None)
    if dates is not None:
        fix = "[str(date) for date in dates], or np.asarray(dates, 'datetime64[s]')"
        raise refusal(place, dates, ALLOWED, "dates of Python carry zones and kinds that columns have not", fix)
    kinds = sorted({type(item).__name__ for item in there})
    raise refusal(place, kinds, ALLOWED, "1 and '1' would become the same label", "[str(value) for value in values]")


def _is_number(item: Any) -> bool:
    return isinstance(item, numbers.Real) and not isinstance(item, (bool, np.bool))


def labels_in_common(name: str, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return labels of several tables, one after another; refused where they are of different kinds.

    Examples
    --------
    >>> labels_in_common("side", [np.array([0, 1]), np.array([1.0])]).tolist()
    [0.0, 1.0, 1.0]
    """
    kinds = {_kind(part) for part in parts if len(part)}
    if len(kinds) > 1:
        why, fix = "0 and '0' would become the same label", f"{name} as numbers, or as texts, in all of them"
        raise refusal(name, sorted(kinds), "labels of one kind", why, fix)
    return np.concatenate(parts)


def _kind(labels: np.ndarray) -> str:
    kinds = {"numbers": "biuf", "texts": "US", "dates": "M"}
    if labels.dtype == object:
        return "texts" if all(isinstance(item, str) for item in labels.tolist()) else "objects"
    return next((name for name, known in kinds.items() if labels.dtype.kind in known), str(labels.dtype))
