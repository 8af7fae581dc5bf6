"""Times within a microsecond are equal: judged by arithmetic in whole samples, of which each has its exact place."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro_bpl import neural
from neuro_bpl.neural import times
from neuro_bpl.neural.sessions.nwb import reading
from neuro_bpl.neural.sessions.nwb.units import Units

RATES = (1000, 1250, 20_000, 24_414, 30_000)  # samples a second


def session_of(spikes, events, fs, **columns):
    """A session whose spikes and events fall on samples."""
    return neural.from_arrays([np.asarray(spikes) / fs], {"go": (np.asarray(events) / fs, "s", "go cue"), **columns})


@settings(max_examples=60)
@given(data=st.data())
def test_spikes_on_samples_fall_into_the_bins_of_whole_number_arithmetic(data):
    fs = data.draw(st.sampled_from(RATES))
    per_bin = data.draw(st.integers(max(1, fs // 1000), fs // 20))
    n_bins, first = data.draw(st.integers(1, 30)), data.draw(st.integers(-fs, fs))
    start = data.draw(st.sampled_from((0, 3600 * fs, 10_000_000 * fs)))  # of the session; up to four months
    random = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    events = start + np.sort(random.integers(2 * fs, 10 * fs, 5))
    spikes = start + np.sort(random.integers(0, 14 * fs, 400))
    window = (first / fs, (first + n_bins * per_bin) / fs)
    aligned = neural.align(session_of(spikes, events, fs), "go", window)
    counts = neural.bin(aligned, per_bin / fs).values[..., 0]
    place = (spikes - events[:, None] - first) // per_bin
    exact = np.array([[(row == one).sum() for one in range(n_bins)] for row in place])
    np.testing.assert_array_equal(counts, exact)
    assert aligned.sizes["spike"] == exact.sum()


def test_a_shift_by_one_sample_moves_spikes_to_other_bins():
    """Negative control: the tolerance is far below a sample."""
    spikes, events = np.arange(0, 30_000, 30), np.array([15_000])
    counts = [
        neural.bin(neural.align(session_of(spikes + late, events, 30_000), "go", (-0.1, 0.1)), 0.001).values.sum()
        for late in (0, 1)
    ]
    ahead = neural.align(session_of(spikes - 1, events, 30_000), "go", (-0.1, 0.1))
    assert counts == [200, 200]
    assert (neural.bin(ahead, 0.1).values.ravel() == [100, 100]).all()
    own = neural.align(session_of([14_999, 15_000], events, 30_000), "go", (-0.1, 0.1))
    assert neural.bin(own, 0.1).values.ravel().tolist() == [1, 1]


@pytest.mark.parametrize("fs", RATES)
def test_windows_side_by_side_share_out_every_spike_once(fs):
    spikes, events = np.arange(4 * fs), np.array([2 * fs])
    cuts = [0.1 * k for k in range(-5, 6)]
    parts = [
        neural.align(session_of(spikes, events, fs), "go", (a, b)).sizes["spike"] for a, b in itertools.pairwise(cuts)
    ]
    exact = [int(np.floor((k + 1) * fs / 10 - 1e-9) - np.floor(k * fs / 10 - 1e-9)) for k in range(-5, 5)]
    assert parts == exact


def test_trials_whose_window_ends_with_the_recording_are_covered():
    bounds = {"recorded_from": ([0.1 + 0.2], "s", "from"), "recorded_until": ([1.2 - 0.3], "s", "until")}
    session = session_of([300, 500], [600], 1000, **bounds)
    assert neural.align(session, "go", (-0.3, 0.3))["covered"].item()
    assert not neural.align(session, "go", (-0.3, 0.301))["covered"].item()


def test_a_window_of_a_tuning_curve_has_the_bins_that_are_named():
    time = np.arange(10) * 0.1  # the fourth is 0.30000000000000004
    values = np.arange(10.0)[None, :, None] * np.ones((3, 1, 1))
    rates = xr.DataArray(values, {"time": time, "angle": ("trial", [1.0, 2.0, 3.0])}, ("trial", "time", "unit"))
    found = neural.tuning_curve(rates, "angle", [0, 4], (0.1, 0.3))["mean"].item()
    assert found == pytest.approx((1 + 2 + 3) / 3)
    assert neural.tuning_curve(rates, "angle", [0, 4], (0.11, 0.29))["mean"].item() == pytest.approx(2)


def test_sessions_are_pooled_at_equal_times_only():
    def session(name, times):
        return xr.DataArray(np.ones((2, 2, 1)), {"time": times}, ("trial", "time", "unit"), attrs={"session": name})

    assert neural.pooled([session("a", [10.0, 10.3]), session("b", [10.0, 10.0 + 0.1 + 0.2])]).sizes["unit"] == 2
    with pytest.raises(ValueError, match="the same times"):
        neural.pooled([session("a", [10.0, 10.3]), session("b", [10.0, 10.30005])])


def test_even_spacing_is_a_grid_and_not_equal_differences():
    rates = xr.DataArray(np.ones(4000), {"time": 1e6 + np.arange(4000) / 1000}, ("time",))
    assert np.allclose(neural.smooth(rates, 0.01), 1)  # differences are off by 1e-10, a ten-millionth of a bin
    with pytest.raises(ValueError, match="evenly spaced"):
        neural.smooth(rates.isel(time=[0, 1, 3, 4]), 0.01)


@given(cuts=st.lists(st.integers(0, 400), min_size=2, max_size=12, unique=True), late=st.integers(-3, 3))
def test_intervals_that_touch_are_one_and_hold_what_whole_numbers_say(cuts, late):
    """Intervals of whole milliseconds, each of which begins where the one before it ends, or `late` ms after."""
    cuts = sorted(cuts)
    pairs = [(a + late * (k % 2), b) for k, (a, b) in enumerate(itertools.pairwise(cuts))]
    pairs = [(a, b) for a, b in pairs if a <= b]
    whole = {at for a, b in pairs for at in range(a, b + 1)}
    joined = times.united(np.array([(a / 1000 * 3 / 3, b / 1000) for a, b in reversed(pairs)]).reshape(-1, 2))
    inside = times.interval_of(np.arange(420) / 1000, joined) >= 0
    assert set(np.flatnonzero(inside).tolist()) == whole & set(range(420))
    assert (joined[1:, 0] > joined[:-1, 1] + times.TOLERANCE).all()


def test_a_unit_counts_as_recorded_through_intervals_that_touch():
    """Trials from 0.2 and 0.7 s; the unit is recorded until 0.3 s, and from 0.1 + 0.2 s on until 1 s."""
    observed = [np.array([[0.0, 0.3], [0.1 + 0.2, 1.0]]), np.array([[0.0, 0.3], [0.4, 1.0]])]
    begins, ends = Units([], {}, np.arange(2), observed).recorded(np.array([0.2, 0.7]))
    np.testing.assert_array_equal(begins, [[0.0, 0.0], [0.0, 0.4]])
    np.testing.assert_array_equal(ends, [[1.0, 0.3], [1.0, 1.0]])


def test_an_event_between_two_trials_belongs_to_the_one_that_begins_whatever_their_order():
    ends = np.array([0.3, 1.0, 2.0])
    for order in ([0, 1, 2], [2, 1, 0]):
        starts = np.array([0.0, 0.1 + 0.2, 1.0])[order]
        columns = {"start_time": (starts, "s", "start"), "stop_time": (ends[order], "s", "stop")}
        found = reading._trial_of(np.array([0.0, 0.3, 1.0, 2.0, 2.1]), columns)
        assert [order[at] if at >= 0 else -1 for at in found] == [0, 1, 2, 2, -1]


@pytest.mark.parametrize("width", [1e-7, 0.0, -0.1, np.inf, np.nan])
def test_bins_too_narrow_to_be_told_apart_are_refused(width):
    with pytest.raises(ValueError, match="at least 1e-05"):
        neural.bin(neural.align(session_of([1], [1], 1000), "go", (0, 1)), width)
