"""The task of Poisson clicks: its statistics and targets, keys and splits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from heard_clicks import KEY, SHORT, equal
from tiny import refused

import neuro_bpl as nb
from neuro_bpl.tasks import PoissonClicks
from neuro_bpl.tasks.poisson_clicks import with_noise

MANY = 10_000


def sample(task, n=MANY, data=0, noise=1):
    trials = task.sample(KEY(data), KEY(noise), n)
    return np.asarray(trials.inputs), np.asarray(trials.targets)[:, 0], np.asarray(trials.lengths)


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


@pytest.mark.full
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


@pytest.mark.full
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


@pytest.mark.full
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
