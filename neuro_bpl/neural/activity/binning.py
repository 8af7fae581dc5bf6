"""Spike counts in bins of time, and rates."""

import numpy as np
import xarray as xr

from neuro_bpl.neural import arguments, times
from neuro_bpl.refusals import refusal

LONGEST = 3600.0  # s: a Gaussian that is wider has no use


def bin(aligned: xr.Dataset, width: float) -> xr.DataArray:
    """n(trial, time, unit), the number of spikes with from + kΔ ≤ t < from + (k + 1)Δ; time is the middle of the bin.

    A spike on the edge between two bins is counted in the later one; times within a microsecond are taken as equal.

    Parameters
    ----------
    aligned : Dataset
        As `align` gives it.
    width : float
        Δ, seconds, 1e-5 or more; the window is a whole number of them.

    Returns
    -------
    DataArray
        Counts (trial, time, unit) with the columns of trials and units as coordinates; `time` in seconds from the
        event. Trials whose window is not covered are NaN, in those units for which it is not, and
        `attrs["trials_not_covered"]` says how many trials have such a unit.

    Raises
    ------
    ValueError
        If the window is not a whole number of bins.

    Examples
    --------
    >>> from neuro_bpl.neural import from_arrays
    >>> from neuro_bpl.neural import align
    >>> session = from_arrays([[0.9, 1.1, 3.2]], {"go": ([1.0, 3.0], "s", "go cue")})
    >>> bin(align(session, "go", (-0.5, 0.5)), 0.5).values[..., 0]
    array([[1., 1.],
           [0., 1.]])
    """
    edges = _edges(aligned, width)
    covered = aligned["covered"].values
    sizes = (aligned.sizes["trial"], len(edges) - 1, aligned.sizes["unit"])
    place = times.bin_of(aligned["spike_time"].values, edges)
    flat = np.ravel_multi_index((aligned["spike_trial"].values, place, aligned["spike_unit"].values), sizes)
    # Weights make it count in floating point at once, where NaN can be; not so where there is nothing to count.
    counts = np.bincount(flat, np.ones(len(flat)), int(np.prod(sizes))).reshape(sizes).astype(float, copy=False)
    counts.swapaxes(1, 2)[~covered] = np.nan
    lost = int((~covered).reshape(len(covered), -1).any(1).sum()) if covered.size else 0
    event = aligned.attrs["event"]
    about = {"units": "s", "long_name": f"time from {event}", "bin_width": float(width)}
    coordinates = {name: values.variable for name, values in aligned.coords.items()}
    coordinates["time"] = xr.Variable("time", (edges[:-1] + edges[1:]) / 2, about)
    attrs = {"units": "1", "long_name": "spike count", "trials_not_covered": lost}
    return xr.DataArray(counts, coordinates, ("trial", "time", "unit"), attrs={**aligned.attrs, **attrs})


def rate(counts: xr.DataArray) -> xr.DataArray:
    """r = n/Δ, in Hz.

    Raises
    ------
    ValueError
        If the counts do not say how wide their bins are.

    Examples
    --------
    >>> from neuro_bpl.neural import from_arrays
    >>> from neuro_bpl.neural import align
    >>> session = from_arrays([[0.9, 1.1, 3.2]], {"go": ([1.0, 3.0], "s", "go cue")})
    >>> rate(bin(align(session, "go", (-0.5, 0.5)), 0.5)).values[..., 0]
    array([[2., 2.],
           [0., 2.]])
    """
    fix = "rate(bin(aligned, 0.05))"
    arguments.data_array("counts", counts, ("time",), "a rate is a count by the width of its bin", fix)
    width = counts["time"].attrs.get("bin_width") if "time" in counts.coords else None
    if width is None:
        why = "a rate is a count by the width of its bin"
        raise refusal("counts", "no bin_width", 'counts with time.attrs["bin_width"]', why, fix)
    return (counts / width).assign_attrs({**counts.attrs, "units": "Hz", "long_name": "firing rate"})


def smooth(rates: xr.DataArray, sd: float) -> xr.DataArray:
    """Σ_s r(s) exp(−(t − s)²/2σ²) along time, normalised; beyond its ends the rate is its own mirror image.

    The mean over time stays what it is. NaN trials stay NaN.

    Parameters
    ----------
    rates : DataArray
        With evenly spaced `time` (s), and any other dims.
    sd : float
        σ, seconds; above 0.

    Raises
    ------
    ValueError
        If `sd` is not above 0, or the bins are not evenly spaced.

    Examples
    --------
    >>> pulse = xr.DataArray([0.0, 0.0, 1.0, 0.0, 0.0], {"time": [0.0, 0.1, 0.2, 0.3, 0.4]})
    >>> smooth(pulse, 0.05).values.round(2)
    array([0.  , 0.11, 0.79, 0.11, 0.  ])
    """
    from scipy.ndimage import gaussian_filter1d

    arguments.data_array("rates", rates, ("time",), "they are smoothed along time", "rate(bin(aligned, 0.05))")
    sd = arguments.number("sd", sd, "it is the width of the Gaussian, in seconds", "sd=0.05", above=0, high=LONGEST)
    smoothed = gaussian_filter1d(rates.values.astype(float), sd / _spacing(rates), rates.get_axis_num("time"))
    return rates.copy(data=smoothed)


def _edges(aligned: xr.Dataset, width: float) -> np.ndarray:
    if not isinstance(aligned, xr.Dataset) or not {"window_from", "window_until", "event"} <= set(aligned.attrs):
        why = "bins fill the window that its attributes tell"
        raise refusal("aligned", type(aligned).__name__, "what align gives", why, 'align(session, "go", (-0.5, 1.0))')
    start, end = aligned.attrs["window_from"], aligned.attrs["window_until"]
    width = arguments.number("width", width, "it is the width of a bin, in seconds", "width=0.05", low=times.SHORTEST)
    count = times.whole_steps(end - start, width)
    if count is None:
        allowed = f"a whole part of the window, {end - start:g} s"
        fix = f"width={(end - start) / max(round((end - start) / width), 1):g}"
        raise refusal("width", width, allowed, "bins fill the window without a rest", fix)
    return np.linspace(start, end, count + 1)


def _spacing(rates: xr.DataArray) -> float:
    """Return seconds from one bin to the next."""
    at = rates["time"].values if "time" in rates.coords else np.zeros(0)
    step = times.spacing(at)
    if step is None:
        why, allowed = "the Gaussian's width is told in seconds", "evenly spaced, rising seconds, two or more"
        raise refusal("time", at.tolist(), allowed, why, "bin(aligned, 0.05)")
    return step
