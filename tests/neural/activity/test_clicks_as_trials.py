"""Recorded clicks as trials of the task."""

import os
from pathlib import Path

import numpy as np
import pytest
from heard_clicks import KEY, equal, session
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

import neuro_bpl as nb
from neuro_bpl.neural.activity.clicks_as_trials import trials_of
from neuro_bpl.neural.sessions.session import from_arrays
from neuro_bpl.tasks import PoissonClicks


def test_recorded_clicks_fall_into_their_steps():
    clicks = [(0, "left", 0.0), (0, "right", 0.0), (0, "right", 0.0199), (0, "left", 0.02), (0, "left", 0.05)]
    clicks += [(1, "right", 0.06), (1, "reward", 0.5)]
    trials = trials_of(session(clicks, [0.05, 0.06]), dt=0.02)
    assert np.asarray(trials.inputs[0]).tolist() == [[1, 2], [1, 0], [1, 0]]  # a click at the end is in the last step
    assert np.asarray(trials.inputs[1]).tolist() == [[0, 0], [0, 0], [0, 1]]
    assert trials.lengths.tolist() == [3, 3]
    assert trials.targets.tolist() == [[0], [1]]
    assert trials.mask.tolist() == [[1], [1]]


def test_stimuli_shorter_than_a_step_or_unknown_have_one_step_that_does_not_count():
    clicks = [(0, "left", 0.0), (1, "left", 0.0), (2, "left", 0.0)]
    trials = trials_of(session(clicks, [0.002, np.nan, 0.05]), dt=0.02)
    assert trials.lengths.tolist() == [1, 1, 3]
    assert trials.mask.tolist() == [[0], [0], [1]]
    assert np.asarray(trials.inputs.sum((1, 2))).tolist() == [1, 0, 1]
    circuit = nb.Circuit(nb.RateCortex(2, 3), nb.LinearReadout(2, "softmax_cross_entropy"))
    circuit.check(trials)
    assert np.isfinite(float(circuit.loss(circuit.init(KEY(0)), trials)))


def test_nothing_is_heard_in_a_session_without_clicks():
    trials = trials_of(session([], [0.1, 0.2]), dt=0.02)
    assert not trials.inputs.any()
    assert trials.lengths.tolist() == [5, 10]
    assert trials.targets.tolist() == [[1], [1]]


def test_clicks_count_from_stimulus_onset_whatever_the_clock():
    clicks = [(0, "left", 0.01), (1, "right", 0.03)]
    later = [(trial, kind, time + 10 * (trial + 1)) for trial, kind, time in clicks]
    on, duration = np.array([10.0, 20.0]), np.array([0.05, 0.05])
    own = trials_of(session(clicks, duration), dt=0.02)
    assert equal(own, trials_of(session(later, on + duration, on, "session"), dt=0.02))
    assert own.inputs.any()
    with refused("events/time", "stimulus of trial 0"):
        trials_of(session(later, duration), dt=0.02)


@pytest.mark.full
@settings(max_examples=8)
@given(st.integers(0, 1000), st.sampled_from([0.02, 0.05]))
def test_drawn_trials_come_back_from_a_session_made_of_them(seed, dt):
    task = PoissonClicks(shortest=0.1, longest=0.4, dt=dt)
    drawn = task.sample(KEY(seed), KEY(0), 4)
    where = np.argwhere(np.asarray(drawn.inputs) > 0)
    counts = np.asarray(drawn.inputs).astype(int)[tuple(where.T)]
    clicks = [
        (t, ("left", "right")[side], (step + (n + 0.5) / count) * dt)
        for (t, step, side), count in zip(where.tolist(), counts.tolist(), strict=True)
        for n in range(count)
    ]
    heard = trials_of(session(clicks, np.asarray(drawn.lengths) * dt), dt)
    longest = int(drawn.lengths.max())
    assert np.array_equal(heard.inputs, drawn.inputs[:, :longest])
    assert equal((heard.targets, heard.lengths), (drawn.targets, drawn.lengths))
    assert float(heard.mask.sum()) == 4


def test_noise_of_recorded_clicks_has_a_seed():
    one = session([(0, "left", 0.0), (0, "right", 0.01)], [0.1])
    quiet, loud = trials_of(one, 0.02), trials_of(one, 0.02, click_noise=0.5, seed=1)
    assert equal(loud, trials_of(one, 0.02, click_noise=0.5, seed=1))
    assert not np.array_equal(loud.inputs, trials_of(one, 0.02, click_noise=0.5, seed=2).inputs)
    assert np.array_equal(loud.inputs == 0, quiet.inputs == 0)
    assert equal(loud.targets, quiet.targets)


def test_sessions_without_what_is_heard_are_refused(untyped):
    whole = session([(0, "left", 0.0)], [0.1])
    with refused("recording"):
        trials_of("T034.mat", 0.02)
    with refused("stimulus_on"):
        trials_of(from_arrays(None, {"go": ([0.0], "s", "go")}), 0.02)
    with refused("events", "clicks"):
        trials_of(from_arrays(None, {name: ([0.0], "s", "x") for name in ("stimulus_on", "stimulus_off")}), 0.02)
    with refused("events/time", "0 to 0.1 s"):
        trials_of(session([(0, "left", 0.2)], [0.1]), 0.02)
    with refused("events/time"):
        trials_of(session([(0, "left", np.nan)], [0.1]), 0.02)
    for dt in (0, -0.1, np.nan, "0.02", True):
        with refused("dt"):
            trials_of(whole, dt)
    for noise in (-1.0, np.inf, None):
        with refused("click_noise"):
            trials_of(whole, 0.02, noise)


def test_real_sessions_are_heard_whole_and_rewarded_by_the_same_rule():
    place = os.environ.get("NEURO_BPL_DATA")
    folder = Path(place or "nowhere") / "neural" / "hanks2015"
    if not folder.is_dir():
        pytest.skip("NEURO_BPL_DATA names no folder with neural/hanks2015")
    from neuro_bpl.neural.sessions.reading import read

    for name, short in (("T035_156150", 1), ("T063_191956", 0), ("B053_51344", 0)):
        recorded = read(folder / f"{name}.mat")
        trials, table = trials_of(recorded, 0.02), recorded["trials"].to_dataset()
        heard = np.asarray(trials.inputs).sum(1)
        assert np.array_equal(heard, np.stack([table["n_left"], table["n_right"]], axis=1))
        assert np.array_equal(np.asarray(trials.targets)[:, 0], table["correct_right"])
        assert (np.asarray(trials.mask) == 0).sum() == short
        assert (np.asarray(trials.inputs)[:, 0] >= 1).all()
        assert (table["n_left"] == table["n_right"]).any()
