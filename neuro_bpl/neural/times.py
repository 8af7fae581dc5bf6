"""Times compared with a tolerance: at edges, in windows and intervals, and evenly spaced.

Sums and differences of times are off by rounding, so that a spike on an edge may come out before or behind it. Times
within `TOLERANCE` of one another count as equal everywhere in `neural`. A microsecond is less than a thirtieth of a
sample at 30 kHz, and more than what double precision rounds off from times of up to 2e9 s, as clocks that count from
1970 have them.
"""

from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

TOLERANCE = 1e-6  # s
SHORTEST = 10 * TOLERANCE  # s: bins that are shorter could not be told apart

Values = Float[np.ndarray, "..."] | xr.DataArray | float
Times = Float[np.ndarray, " time"]
Intervals = Float[np.ndarray, "interval bound"]


def at_or_after(times: Values, edge: Values) -> Any:
    """t ≥ edge, or equal to it within the tolerance.

    Examples
    --------
    >>> at_or_after(np.array([0.7 - 1.2, -0.6]), -0.5).tolist()
    [True, False]
    """
    return np.greater_equal(times, edge - TOLERANCE)


def before(times: Values, edge: Values) -> Any:
    """t < edge, and not equal to it within the tolerance: what `at_or_after` is not.

    Examples
    --------
    >>> before(np.array([1.5 - 1.2, 0.2]), 0.3).tolist()
    [False, True]
    """
    return np.less(times, edge - TOLERANCE)


def at_or_before(times: Values, edge: Values) -> Any:
    """t ≤ edge, or equal to it within the tolerance."""
    return np.less_equal(times, edge + TOLERANCE)


def in_window(times: Values, start: Values, stop: Values) -> Any:
    """Start ≤ t < stop: the beginning of a window belongs to it, its end does not."""
    return at_or_after(times, start) & before(times, stop)


def between(times: Values, first: Values, last: Values) -> Any:
    """Return first ≤ t ≤ last: both ends belong to it.

    Examples
    --------
    >>> between(np.array([0.1 + 0.2, 0.4]), 0.0, 0.3).tolist()
    [True, False]
    """
    return at_or_after(times, first) & at_or_before(times, last)


def bin_of(times: Times, edges: Float[np.ndarray, " edge"]) -> Int[np.ndarray, " time"]:
    """Number k of the bin edges[k] ≤ t < edges[k + 1]; −1 before the first edge, the last number from the last one on.

    Examples
    --------
    >>> bin_of(np.array([1.3 - 1.0, 0.25]), np.linspace(0, 1, 11)).tolist()
    [3, 2]
    """
    return np.searchsorted(edges - TOLERANCE, times, side="right") - 1


def slices(
    sorted_times: Times, starts: Float[np.ndarray, " window"], stops: Float[np.ndarray, " window"]
) -> tuple[Int[np.ndarray, " window"], Int[np.ndarray, " window"]]:
    """Return first place, and one behind the last, of the sorted times that start ≤ t < stop holds for, by bisection.

    Examples
    --------
    >>> first, behind = slices(np.array([0.1, 0.2, 0.1 + 0.2]), np.array([0.1]), np.array([0.3]))
    >>> first.tolist(), behind.tolist()
    ([0], [2])
    """
    return np.searchsorted(sorted_times, starts - TOLERANCE), np.searchsorted(sorted_times, stops - TOLERANCE)


def whole_steps(duration: float, width: float) -> int | None:
    """Return how many steps of a width fill a duration without a rest; None where there is one, or no step.

    Examples
    --------
    >>> whole_steps(0.1 + 0.2, 0.1), whole_steps(0.25, 0.1)
    (3, None)
    """
    count = round(duration / width)
    return count if count >= 1 and abs(count * width - duration) <= TOLERANCE else None


def steps_begun(durations: Times, width: float) -> Int[np.ndarray, " time"]:
    """⌈T / width⌉: steps that have begun when a duration is over; one that begins at its end has not.

    Examples
    --------
    >>> steps_begun(np.array([0.1 + 0.2, 0.31, 0.0]), 0.1).tolist()
    [3, 4, 0]
    """
    return np.ceil((durations - TOLERANCE) / width).astype(int)


def step_of(times: Times, width: float) -> Int[np.ndarray, " time"]:
    """⌊t / width⌋: number of the step in which a time lies, from 0.

    Examples
    --------
    >>> step_of(np.array([1.3 - 1.0, 0.29]), 0.1).tolist()
    [3, 2]
    """
    return np.floor((times + TOLERANCE) / width).astype(int)


def spacing(times: Times) -> float | None:
    """Seconds from each time to the next; None where they are not evenly spaced, do not rise, or are fewer than two.

    Examples
    --------
    >>> round(spacing(np.array([0.1, 0.2, 0.1 + 0.2])), 9), spacing(np.array([0.1, 0.2, 0.4]))
    (0.1, None)
    """
    if len(times) < 2 or not np.isfinite(times).all():
        return None
    # Steps are held against a grid, not against one another: small differences add up along it.
    grid = np.linspace(times[0], times[-1], len(times))
    step = float((times[-1] - times[0]) / (len(times) - 1))
    return step if step > TOLERANCE and (np.abs(times - grid) <= TOLERANCE).all() else None


def same(first: Times, second: Times) -> bool:
    """Return whether there are as many times of either, each equal to the other's.

    Examples
    --------
    >>> same(np.array([0.1 + 0.2]), np.array([0.3])), same(np.array([10.0]), np.array([10.0001]))
    (True, False)
    """
    return first.shape == second.shape and bool((np.abs(first - second) <= TOLERANCE).all())


def united(intervals: Intervals) -> Float[np.ndarray, "united bound"]:
    """Return intervals (start, stop) in order; those that overlap, touch or are apart by rounding only as one.

    Intervals that end before they begin hold nothing, and are left out.

    Examples
    --------
    >>> united(np.array([[2.0, 3.0], [0.0, 0.3], [0.1 + 0.2, 1.0], [5.0, 4.0]])).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    intervals = intervals.reshape(-1, 2)
    ordered = intervals[at_or_before(intervals[:, 0], intervals[:, 1])]
    ordered = ordered[np.argsort(ordered[:, 0], kind="stable")]
    reached = np.maximum.accumulate(ordered[:, 1])
    edge = np.ones(len(ordered[:1]), bool)
    first = np.concatenate([edge, ~at_or_before(ordered[1:, 0], reached[:-1])])
    last = np.concatenate([first[1:], edge])
    return np.stack([ordered[first, 0], reached[last]], axis=-1)


def interval_of(times: Times, intervals: Intervals) -> Int[np.ndarray, " time"]:
    """Return number of the interval of `united` ones in which each time lies, both ends belonging to it; −1 in none.

    Examples
    --------
    >>> interval_of(np.array([0.1 + 0.2, 1.5, 2.0]), np.array([[0.0, 0.3], [2.0, 3.0]])).tolist()
    [0, -1, 1]
    """
    which = bin_of(times, intervals[:, 0])
    stops = np.append(intervals[:, 1], -np.inf)  # the last one is that of none
    return np.where(at_or_before(times, stops[which]), which, -1)
