"""Clicks: the task's statistics and targets; recorded clicks as trials; responses of networks to them."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

import neuro_bpl as nb
from neuro_bpl.neural.clicks import trials_of
from neuro_bpl.neural.responding import respond
from neuro_bpl.neural.session import from_arrays
from neuro_bpl.tasks import PoissonClicks
from neuro_bpl.tasks.clicks import with_noise

KEY = jax.random.key
MANY = 10_000
SHORT = PoissonClicks(shortest=0.1, longest=0.3, n_validation=40, n_test=30, n_probe=7)


def sample(task, n=MANY, data=0, noise=1):
    trials = task.sample(KEY(data), KEY(noise), n)
    return np.asarray(trials.inputs), np.asarray(trials.targets)[:, 0], np.asarray(trials.lengths)


def equal(one, other):
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


# ----------------------------------------------------------------------------------------------- the task's statistics


def test_both_sides_begin_with_a_click_and_go_on_at_forty_hertz_together():
    clicks, _, lengths = sample(PoissonClicks())
    assert (clicks[:, 0] >= 1).all()
    assert (clicks[:, 0] == 1).all(-1).mean() == pytest.approx(np.exp(-40 * 0.02), abs=0.02)
    rate = (clicks.sum() - 2 * MANY) / (lengths.sum() * 0.02)
    assert rate == pytest.approx(40, abs=5 * np.sqrt(40 / (lengths.sum() * 0.02)))


@pytest.mark.parametrize("rate", [38.0, 33.0, 25.0])
def test_the_richer_side_has_its_rate_and_is_either_side_by_half(rate):
    clicks, _, lengths = sample(PoissonClicks(rates=(rate,), shortest=1.2))
    seconds = 0.02 * lengths
    first = np.sort((clicks.sum(1) - 1) / seconds[:, None], axis=1)
    to_right = (clicks.sum(1)[:, 1] > clicks.sum(1)[:, 0]).mean()
    assert to_right == pytest.approx(0.5, abs=0.02)
    if rate > 30:  # the richer side is told from its clicks without fail
        assert first.mean(0) == pytest.approx([40 - rate, rate], abs=0.1)
    variance = ((clicks.sum(1) - 1) ** 2).mean(0) - ((clicks.sum(1) - 1).mean(0)) ** 2
    of_poisson = 1.2 * 20 + (1.2 * (rate - 20)) ** 2  # of a mixture of both sides
    assert variance == pytest.approx([of_poisson] * 2, rel=0.05)


def test_durations_are_uniform_between_their_bounds_and_nothing_is_heard_after_them():
    clicks, _, lengths = sample(SHORT)
    found, counts = np.unique(lengths, return_counts=True)
    assert found.tolist() == list(range(5, 16))
    assert counts == pytest.approx([MANY / 11] * 11, rel=0.2)
    after = np.arange(15) >= lengths[:, None]
    assert not clicks[after].any()
    assert clicks[~after].any()
    assert clicks.shape == (MANY, SHORT.n_steps, SHORT.n_inputs)


def test_targets_are_the_side_with_more_clicks_and_ties_are_right():
    clicks, targets, _ = sample(SHORT, 2000)
    assert targets.tolist() == [int(sum(trial[:, 1]) >= sum(trial[:, 0])) for trial in clicks]
    ties = clicks.sum(1)[:, 0] == clicks.sum(1)[:, 1]
    assert ties.sum() > 20
    assert targets[ties].all()
    assert 0.4 < targets.mean() < 0.6


def test_a_perfect_integrator_is_always_right_and_a_leaky_one_is_not():
    task = PoissonClicks()
    circuit = nb.Circuit(nb.RateCortex(2, 1, "identity"), nb.LinearReadout(2, "softmax_cross_entropy"))
    weights = jax.tree.map(jnp.zeros_like, circuit.init(KEY(0)))
    readout = weights.readout._replace(w=jnp.array([[-1.0], [1.0]]), b=jnp.array([0.0, 0.5]))

    def accuracy(kept, noise=0.0):
        cortex = weights.cortex._replace(w_in=jnp.array([[-1.0, 1.0]]), w_rec=jnp.array([[kept]]))
        trials = PoissonClicks(click_noise=noise).held_out("test")
        return float(circuit.outcome(weights._replace(cortex=cortex, readout=readout), trials).accuracy)

    assert task.n_outputs == 2
    assert accuracy(1.0) == 1.0
    assert accuracy(0.7) < 0.95
    assert 0.85 < accuracy(1.0, noise=1.0) < 0.98


# --------------------------------------------------------------------------------------------------------- keys, splits


def test_the_data_key_draws_clicks_and_the_noise_key_what_they_count():
    loud = PoissonClicks(longest=0.3, click_noise=0.5)
    assert equal(SHORT.sample(KEY(3), KEY(4), 9), SHORT.sample(KEY(3), KEY(5), 9))
    assert not equal(SHORT.sample(KEY(3), KEY(4), 9), SHORT.sample(KEY(6), KEY(4), 9))
    one, other = loud.sample(KEY(3), KEY(4), 9), loud.sample(KEY(3), KEY(5), 9)
    assert equal(one, loud.sample(KEY(3), KEY(4), 9))
    assert equal((one.targets, one.lengths), (other.targets, other.lengths))
    assert not np.array_equal(one.inputs, other.inputs)
    assert np.array_equal(one.inputs == 0, other.inputs == 0)  # silence stays silent


def test_noise_of_n_clicks_has_n_times_the_variance_of_one():
    clicks = jnp.broadcast_to(jnp.array([0.0, 1.0, 4.0]), (MANY, 1, 3))
    heard = with_noise(clicks, 0.5 * jax.random.normal(KEY(0), clicks.shape))
    assert np.asarray(heard.mean(0)[0]) == pytest.approx([0, 1, 4], abs=0.03)
    assert np.asarray(heard.std(0)[0]) == pytest.approx([0, 0.5, 1.0], abs=0.02)


def test_held_out_trials_are_the_same_always_and_apart():
    for split, n in (("validation", 40), ("test", 30)):
        assert equal(SHORT.held_out(split), SHORT.held_out(split))
        assert SHORT.held_out(split).n_trials == n
    loud = PoissonClicks(click_noise=1.0)
    assert equal(loud.held_out("test"), loud.held_out("test"))
    assert not np.array_equal(loud.held_out("test").inputs, PoissonClicks().held_out("test").inputs)
    assert not equal(SHORT.held_out("validation").inputs[:30], SHORT.held_out("test").inputs)
    assert equal(SHORT.probe(), jax.tree.map(lambda leaf: leaf[:7], SHORT.held_out("validation")))
    with refused("split", "validation"):
        SHORT.held_out("train")


def test_trials_are_the_same_in_32_bit():
    wide = SHORT.sample(KEY(3), KEY(4), 50)
    with jax.enable_x64(False):
        narrow = SHORT.sample(KEY(3), KEY(4), 50)
        assert narrow.inputs.dtype == jnp.float32
    assert wide.inputs.dtype == jnp.float64
    assert equal(wide, narrow)
    assert wide.inputs.any()


def test_it_is_a_task_and_its_noise_is_a_number_that_never_recompiles():
    assert isinstance(SHORT, nb.tasks.Task)
    compiled = []

    @jax.jit
    def drawn(task):
        compiled.append(1)
        return task.sample(KEY(0), KEY(1), 2).inputs

    assert not np.array_equal(drawn(PoissonClicks(click_noise=0.1)), drawn(PoissonClicks(click_noise=0.2)))
    assert len(compiled) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"total_rate": 0.0}, ("total_rate", "Hz")),
        ({"rates": ()}, ("rates", "20 to 40")),
        ({"rates": (10.0,)}, ("rates", "20 to 40")),
        ({"rates": (41.0, 30.0)}, ("rates", "20 to 40")),
        ({"rates": (np.nan,)}, ("rates",)),
        ({"rates": "38,25"}, ("rates",)),
        ({"shortest": 0.01}, ("dt <= shortest <= longest",)),
        ({"shortest": 2.0}, ("dt <= shortest <= longest",)),
        ({"longest": np.inf}, ("longest",)),
        ({"dt": 0.0}, ("dt",)),
        ({"click_noise": -1.0}, ("click_noise",)),
        ({"n_test": 0}, ("n_test",)),
    ],
)
def test_what_is_not_possible_is_refused(arguments, words, untyped):
    with refused(*words):
        PoissonClicks(**arguments)


# ------------------------------------------------------------------------------------------------------ recorded clicks


def session(clicks, off, on=None, clock="trial", **columns):
    """A session without units from (trial, kind, time) and the stimulus' ends."""
    trial, kind, time = zip(*clicks, strict=True) if clicks else ((), (), ())
    on = np.zeros(len(off)) if on is None else on
    table = {"stimulus_on": (on, "s", "onset"), "stimulus_off": (off, "s", "end"), **columns}
    events = {
        "time": (np.array(time, float), "s", "time"),
        "trial": (np.array(trial, int), "1", "trial"),
        "kind": (np.array(kind, "<U6"), "1", "side"),
    }
    return from_arrays(None, table, clock=clock, events=events)


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
    from neuro_bpl.neural.reading import read

    for name, short in (("T035_156150", 1), ("T063_191956", 0), ("B053_51344", 0)):
        recorded = read(folder / f"{name}.mat")
        trials, table = trials_of(recorded, 0.02), recorded["trials"].to_dataset()
        heard = np.asarray(trials.inputs).sum(1)
        assert np.array_equal(heard, np.stack([table["n_left"], table["n_right"]], axis=1))
        assert np.array_equal(np.asarray(trials.targets)[:, 0], table["correct_right"])
        assert (np.asarray(trials.mask) == 0).sum() == short
        assert (np.asarray(trials.inputs)[:, 0] >= 1).all()
        assert (table["n_left"] == table["n_right"]).any()


# ------------------------------------------------------------------------------------------------------------ responses


@pytest.fixture(scope="module")
def run():
    circuit = nb.Circuit(nb.RateCortex(2, 4, tau=0.1), nb.LinearReadout(2, "softmax_cross_entropy"))
    return nb.train(circuit, SHORT, nb.bptt(), n_updates=3, seeds=2, batch_size=3, precision="float64", progress=False)


def test_responses_are_the_rates_of_each_network_until_each_trial_ends(run):
    trials = SHORT.probe()
    found = respond(run, trials, 0.02, columns={"evidence": trials.inputs.sum(1) @ np.array([-1.0, 1.0])})
    assert found.dims == ("seed", "trial", "time", "unit")
    assert found.time.values == pytest.approx(0.02 * np.arange(1, 16))
    circuit, weights = nb.load(run)
    for seed in range(2):
        own = jax.tree.map(lambda leaf, seed=seed: leaf[seed], weights)
        trajectory, outputs = circuit.run(own, trials)
        for trial, length in enumerate(trials.lengths.tolist()):
            got = found.values[seed, trial]
            assert got[:length] == pytest.approx(np.asarray(trajectory.s_t[0])[:length, :, trial], abs=1e-12)
            assert np.isnan(got[length:]).all()
        assert found["choice"].values[seed].tolist() == outputs[:, 0].argmax(0).tolist()
    assert np.abs(found.values[0] - found.values[1])[:, 0].max() > 1e-3  # networks differ
    assert found["evidence"].dims == ("trial",)


def test_responses_over_learning(run):
    trials = SHORT.probe()
    both = respond(run, trials, 0.02, snapshots=[0, 3])
    assert both.dims == ("snapshot", "seed", "trial", "time", "unit")
    xr.testing.assert_equal(both.sel(snapshot=3, drop=True), respond(run, trials, 0.02))
    assert float(np.abs(both.sel(snapshot=0) - both.sel(snapshot=3)).max()) > 0
    assert both["choice"].dims == ("snapshot", "seed", "trial")


def test_columns_of_a_session_are_coordinates_with_their_units(run):
    recorded = session([(0, "left", 0.0), (1, "right", 0.0)], [0.1, 0.2], side=(np.array([0, 1]), "1", "choice"))
    found = respond(run, trials_of(recorded, 0.02), 0.02, columns=recorded["trials"].to_dataset())
    assert found["side"].values.tolist() == [0, 1]
    assert found["stimulus_off"].attrs["units"] == "s"


def test_a_circuit_without_classes_has_no_choice():
    circuit = nb.Circuit(nb.RateCortex(10, 3), nb.LinearReadout(2))
    task = nb.tasks.TargetReaching(n_steps=3)
    trained = nb.train(circuit, task, nb.bptt(), n_updates=1, progress=False)
    assert "choice" not in respond(trained, task.probe(), 0.02).coords


def test_responses_that_make_no_sense_are_refused(run, untyped):
    trials = SHORT.probe()
    for dt in (0.01, 0, np.nan, "0.02"):
        with refused("dt"):
            respond(run, trials, dt)
    with refused("trials"):
        respond(run, SHORT, 0.02)
    with refused("columns", "evidence"):
        respond(run, trials, 0.02, columns={"evidence": [1.0]})
    with refused("columns", "choice"):
        respond(run, trials, 0.02, columns={"choice": np.zeros(7)})
    with refused("snapshot"):
        respond(run, trials, 0.02, snapshots=[2])
    with refused("at"):
        respond(run, trials, 0.02, at={"rule": "BP(1)"})
    with refused("inputs"):
        respond(run, nb.Trials(jnp.zeros((2, 3, 5)), jnp.zeros((2, 1), int)), 0.02)
