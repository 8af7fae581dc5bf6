"""Spikes from events on: every spike of every window is counted once, on both clocks."""

import time
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from tiny import refused

from neuro_bpl.neural.activity.alignment import align
from neuro_bpl.neural.activity.binning import bin, rate, smooth
from neuro_bpl.neural.sessions.session import from_arrays, spike_times

# Times on a grid of 1/64 s, whose sums are exact, so that spikes do lie on the edges of windows and bins.
TIMES = st.integers(-128, 256).map(lambda ticks: ticks / 64)
TRAINS = st.lists(TIMES, max_size=12)


@st.composite
def sessions(draw):
    clock, n_units, n_trials = (
        draw(st.sampled_from(["session", "trial"])),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
    )
    events = draw(st.lists(TIMES | st.just(np.nan), min_size=n_trials, max_size=n_trials))
    units = st.lists(TRAINS, min_size=n_units, max_size=n_units)
    spikes = draw(units if clock == "session" else st.lists(units, min_size=n_trials, max_size=n_trials))
    until = draw(st.lists(TIMES | st.just(np.inf), min_size=n_trials, max_size=n_trials))
    columns = {"go": (events, "s", "go cue"), "recorded_until": (until, "s", "end")}
    return from_arrays(spikes, columns, clock=clock)


@st.composite
def windows(draw):
    """From, until, and the width of a bin."""
    start, width, count = draw(st.integers(-64, 32)), draw(st.integers(1, 16)), draw(st.integers(1, 6))
    return start / 64, (start + width * count) / 64, width / 64


def dull_counts(session, start, end, width):
    """The definition: for every trial, bin and unit, count."""
    events = session["trials"]["go"].values
    until = session["trials"]["recorded_until"].values
    n_units, n_bins = session["units"].sizes["unit"], round((end - start) / width)
    counts = np.full((len(events), n_bins, n_units), np.nan)
    for trial, event in enumerate(events):
        if np.isnan(event) or event + end > until[trial]:
            continue
        for unit in range(n_units):
            times = spike_times(session, unit, trial if session.attrs["clock"] == "trial" else None) - event
            for number in range(n_bins):
                low = start + number * width
                counts[trial, number, unit] = ((times >= low) & (times < low + width)).sum()
    return counts


@given(session=sessions(), window=windows())
def test_counts_are_those_of_a_dull_loop(session, window):
    start, end, width = window
    counts = bin(align(session, "go", (start, end)), width)
    wanted = dull_counts(session, start, end, width)
    np.testing.assert_array_equal(counts, wanted)
    assert counts.attrs["trials_not_covered"] == np.isnan(wanted).any((1, 2)).sum()
    np.testing.assert_array_equal(counts["time"], start + width * (np.arange(wanted.shape[1]) + 0.5))


@given(session=sessions(), window=windows())
def test_aligned_times_give_the_spikes_back(session, window):
    aligned = align(session, "go", window[:2])
    back = aligned["spike_time"] + aligned["event_time"].values[aligned["spike_trial"].values]
    spikes = session["spikes"].to_dataset()
    known = set(zip(spikes["unit"].values.tolist(), spikes["time"].values.tolist(), strict=True))
    assert set(zip(aligned["spike_unit"].values.tolist(), back.values.tolist(), strict=True)) <= known
    assert ((aligned["spike_time"] >= window[0]) & (aligned["spike_time"] < window[1])).all()


def test_a_spike_counts_in_every_window_that_it_lies_in():
    trials = {"go": ([1.0, 1.5, 9.0], "s", "go cue")}
    counts = bin(align(from_arrays([[1.2, 1.3]], trials), "go", (-1.0, 1.0)), 2.0)
    assert counts.values.ravel().tolist() == [2, 2, 0]


def test_a_window_begins_with_its_edge_and_ends_before_it():
    session = from_arrays([[0.5, 1.0, 1.5]], {"go": ([1.0], "s", "go cue")})
    assert bin(align(session, "go", (-0.5, 0.5)), 0.5).values.ravel().tolist() == [1, 1]


def test_what_was_not_recorded_is_nan_and_counted_and_its_neighbours_are_not():
    columns = {
        "go": ([1.0, np.nan, 3.0, 4.0], "s", "go cue"),
        "recorded_from": ([0.0, 0.0, 2.9, np.nan], "s", "from"),
        "recorded_until": ([1.1, 9.0, 9.0, 9.0], "s", "until"),
    }
    session = from_arrays([[1.05, 3.05, 4.05]], columns)
    aligned = align(session, "go", (-0.1, 0.1))
    assert aligned["covered"].values.tolist() == [True, False, True, False]  # 1 + 0.1 is not more than 1.1
    counts = bin(aligned, 0.1)
    assert counts.attrs["trials_not_covered"] == 2
    np.testing.assert_array_equal(counts[..., 0], [[0, 1], [np.nan] * 2, [0, 1], [np.nan] * 2])
    assert not align(session, "go", (-0.11, 0.1))["covered"].values[2]


def test_units_are_covered_each_for_itself():
    until = [[1.1, 9.0], [9.0, 9.0], [1.0, 1.0]]
    columns = {"go": ([1.0, 3.0, 1.0], "s", "go cue"), "recorded_until": (until, "s", "until")}
    session = from_arrays([[1.05, 3.05], [1.05]], columns)
    aligned = align(session, "go", (0.0, 0.2))
    assert aligned["covered"].dims == ("trial", "unit")
    counts = bin(aligned, 0.1)
    assert counts.attrs["trials_not_covered"] == 2
    np.testing.assert_array_equal(counts[..., 0], [[np.nan] * 2, [1, 0], [np.nan] * 2])
    np.testing.assert_array_equal(counts[..., 1], [[1, 0], [0, 0], [np.nan] * 2])
    assert counts.isnull().any("time").sum("trial").values.tolist() == [2, 1]


def test_bounds_of_other_units_are_refused():
    for wrong in ([[1.0], [1.0]], [[1.0] * 3] * 2):
        with refused("trials/recorded_until", "2 units"):
            from_arrays([[1.0], [2.0]], {"go": ([1.0, 2.0], "s", "go"), "recorded_until": (wrong, "s", "until")})
    with refused("trials/go", "one value a trial"):
        from_arrays([[1.0], [2.0]], {"go": ([[1.0], [2.0]], "s", "go")})


def test_spikes_and_activity_of_other_units_are_refused():
    counts = xr.DataArray(np.zeros((1, 2, 3)), dims=("trial", "time", "unit"), attrs={"units": "1", "long_name": "n"})
    trials = {"go": ([1.0], "s", "go")}
    with refused("spikes of 2 units, activity of 3"):
        from_arrays([[0.5], [0.7]], trials, activity={"counts": counts})
    assert from_arrays([[0.5]] * 3, trials, activity={"counts": counts})["units"].sizes["unit"] == 3
    rates = counts.rename(unit="factor")  # these are of no unit
    assert from_arrays([[0.5]] * 2, trials, activity={"rates": rates})["units"].sizes["unit"] == 2


def test_columns_of_trials_and_units_come_along():
    columns = {
        "go": ([1.0, 2.0], "s", "go cue"),
        "went_right": ([0, 1], "1", "choice"),
        "kind": (["a", "b"], "1", "kind"),
    }
    units = {"region": (["FOF", "PPC"], "1", "region")}
    session = from_arrays([[1.0], [2.0]], columns, units=units, unit=["x", "y"], attrs={"subject": "T034"})
    counts = bin(align(session, "go", (0.0, 0.1)), 0.1)
    assert counts["went_right"].values.tolist() == [0, 1]
    assert counts["kind"].dims == ("trial",)
    assert counts["region"].values.tolist() == ["FOF", "PPC"]
    assert counts.sel(unit="y").values.ravel().tolist() == [0, 1]
    assert counts.attrs["subject"] == "T034"
    assert counts.dims == ("trial", "time", "unit")


@pytest.mark.parametrize("clock", ["session", "trial"])
@pytest.mark.parametrize("n_units", [0, 2])
def test_sessions_without_spikes_or_units_have_counts_of_zero(clock, n_units):
    spikes = [[]] * n_units if clock == "session" else [[[]] * n_units] * 3
    session = from_arrays(spikes, {"go": ([1.0, 2.0, 3.0], "s", "go cue")}, clock=clock)
    counts = bin(align(session, "go", (0.0, 1.0)), 0.5)
    assert counts.shape == (3, 2, n_units)
    assert not counts.any()


# ------------------------------------------------------------------------------------------------------- bad requests


@pytest.fixture
def session():
    return from_arrays([[0.5, 1.2]], {"go": ([1.0], "s", "go cue"), "went_right": ([1], "1", "choice")})


@pytest.mark.parametrize("window", [(1.0, -1.0), (0.5, 0.5), (0.0, np.inf), (np.nan, 1.0), (0.0, 1.0, 2.0)])
def test_windows_that_are_none_are_refused(session, window, untyped):
    with refused("window = ", "from < until"):
        align(session, "go", window)


def test_events_that_are_none_are_refused(session):
    with refused("event = 'goo'", "Allowed: go", '"go"'):
        align(session, "goo", (0.0, 1.0))
    with refused("event = 'went_right'"):
        align(session, "went_right", (0.0, 1.0))
    with refused("no column has the unit s"):
        align(from_arrays([[0.5]], {"went_right": ([1], "1", "choice")}), "go", (0.0, 1.0))


def test_sessions_without_spike_times_are_refused():
    rates = xr.DataArray(np.zeros((1, 2)), dims=("trial", "unit"), attrs={"units": "Hz", "long_name": "rate"})
    only_rates = from_arrays(None, {"go": ([1.0], "s", "go cue")}, activity={"rates": rates})
    with refused("no spikes, but ", "activity"):
        align(only_rates, "go", (0.0, 1.0))
    with refused("recording = "):
        align(xr.DataTree(), "go", (0.0, 1.0))


def test_columns_that_would_hide_one_another_are_refused():
    trials, units = {"go": ([1.0], "s", "go"), "depth": ([1.0], "m", "depth")}, {"depth": ([1.0], "m", "depth")}
    with refused("column = 'depth'", "trial_depth"):
        align(from_arrays([[]], trials, units=units), "go", (0.0, 1.0))
    with refused("column = 'time'"):
        align(from_arrays([[]], {**trials, "time": ([1], "1", "time")}), "go", (0.0, 1.0))


@pytest.mark.parametrize("width", [0.3, 2.0, 0.0, -0.5, np.nan, np.inf])
def test_bins_that_do_not_fill_the_window_are_refused(session, width):
    with refused("width = ", "width="):
        bin(align(session, "go", (-0.5, 0.5)), width)


@pytest.mark.parametrize("width", [0.1, 0.05, 1 / 3, 0.001])
def test_bins_that_fill_it_but_for_rounding_are_not(session, width):
    counts = bin(align(session, "go", (-0.5, 0.5)), width)
    assert counts.sizes["time"] == round(1 / width)
    assert counts.sum() == 2


def test_counts_from_elsewhere_are_refused(session):
    with refused("aligned = ", "what align gives"):
        bin(xr.Dataset(), 0.1)
    with refused("no bin_width"):
        rate(xr.DataArray(np.zeros(3), {"time": [0.0, 0.1, 0.2]}))


# ---------------------------------------------------------------------------------------------------- rates, smoothing


def test_rates_are_counts_by_the_width_of_a_bin():
    rng = np.random.default_rng(0)
    columns = {"go": (np.arange(2000.0), "s", "go cue")}
    session = from_arrays([np.sort(rng.uniform(-1, 2001, 20 * 2002))], columns)
    counts = bin(align(session, "go", (-0.5, 0.5)), 0.1)
    rates = rate(counts)
    np.testing.assert_array_equal(rates, counts / 0.1)
    assert rates.attrs["units"] == "Hz"
    assert abs(float(rates.mean()) - 20) < 0.5
    assert float(rates.std()) > 1


def responses(values, width=0.05):
    return xr.DataArray(values, {"time": width * np.arange(values.shape[1])}, ("trial", "time", "unit"))


@pytest.mark.parametrize("sd", [0.02, 0.2, 1.0])
def test_smoothing_keeps_the_mean_over_time_and_leaves_trials_apart(sd):
    values = np.random.default_rng(0).normal(size=(4, 30, 3))
    values[2] = np.nan
    smoothed = smooth(responses(values), sd)
    np.testing.assert_allclose(smoothed.mean("time"), values.mean(1), atol=1e-12)
    assert np.isnan(smoothed[2]).all()
    assert np.isfinite(smoothed[[0, 1, 3]]).all()
    assert (smoothed[[0, 1, 3]].std("time") < values[[0, 1, 3]].std(1)).all()


def test_smoothing_is_the_gaussian_that_it_says():
    pulse = np.zeros((1, 201, 1))
    pulse[0, 100] = 1
    smoothed = smooth(responses(pulse, 0.01), 0.1)
    time_from = 0.01 * (np.arange(201) - 100)
    kernel = np.exp(-(time_from**2) / 0.02)
    kernel[abs(time_from) > 0.4001] = 0  # it ends at four standard deviations
    np.testing.assert_allclose(smoothed[0, :, 0], kernel / kernel.sum(), atol=1e-12)
    assert abs(float(smoothed[0, 100, 0]) - float(smooth(responses(pulse, 0.02), 0.1)[0, 100, 0])) > 0.01


def test_smoothing_without_even_time_or_width_is_refused():
    values = np.zeros((1, 3, 1))
    with refused("sd = 0"):
        smooth(responses(values), 0.0)
    with refused("time = ", "evenly spaced"):
        smooth(responses(values).assign_coords(time=[0.0, 0.1, 0.3]), 0.1)
    with refused("time = "):
        smooth(responses(values).drop_vars("time"), 0.1)


# --------------------------------------------------------------------------------------------------------------- speed


def test_a_million_spikes_take_seconds_and_modest_memory():
    rng = np.random.default_rng(0)
    trains = [rng.uniform(0, 3000, 10_000) for _ in range(100)]
    columns = {"go": (np.linspace(5, 2990, 1000), "s", "go cue")}
    session = from_arrays(trains, columns)
    start = time.process_time()
    tracemalloc.start()
    counts = bin(align(session, "go", (-0.5, 1.5)), 0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.shape == (1000, 20, 100)
    assert abs(float(counts.sum()) - 2 * 1000 * 1e6 / 3000) < 5000
    assert peak < 150e6
    assert time.process_time() - start < 10
