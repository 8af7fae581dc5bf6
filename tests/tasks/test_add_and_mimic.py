"""Addition and mimicry: targets, baselines and teachers are those that a dull NumPy loop makes."""

import itertools
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input import JUNK, is_flag, is_one_of, is_whole, is_within, or_none
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import neuro_bpl as nb
from neuro_bpl.parameters import to_dict
from neuro_bpl.tasks import Add, Mimic, Stream

KEYS = jax.random.key(1), jax.random.key(2)
OTHER = jax.random.key(3)
FEW = settings(max_examples=5)  # of what computes: every new shape is compiled
REFUSED = r"(?s)is not possible.*Allowed: .*Why: .*Type: "
SHORT = Add(delays=(1, 3), n_steps=7, n_validation=4, n_test=5, n_probe=3)
SMALL = Mimic(n_inputs=3, n_units=4, n_outputs=2, n_steps=6, n_validation=4, n_test=5, n_probe=3)
TASKS = pytest.mark.parametrize("task", [SHORT, SMALL], ids=["Add", "Mimic"])


def assert_equal_trees(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


def added(bits, delays, hold):
    """y* of every step of one trial, bit by bit."""
    y = np.zeros(len(bits))
    for t in range(len(bits)):
        past = [bits[(t // hold - delay) * hold] if t // hold >= delay else 0 for delay in delays]
        y[t] = 0.5 + 0.5 * past[0] - 0.25 * past[1]
    return y


def cross_entropy(y, target):
    """Of both outputs, in nats, for probabilities strictly between 0 and 1."""
    return -2 * (target * np.log(y) + (1 - target) * np.log(1 - y))


def taught(task, inputs):
    """Outputs of a teacher of tanh units, step by step and trial by trial, with the leak of its cell."""
    weights = jax.tree.map(np.asarray, task.teacher_weights())
    (w_in, w_rec, b, _), (w, b_out), *_ = weights
    leak = 1 - task.teacher.cortex.dt / task.teacher.cortex.tau
    y = np.zeros((*inputs.shape[:2], len(w)))
    for trial, x in enumerate(np.asarray(inputs)):
        h = np.zeros(len(w_rec))
        for t in range(len(x)):
            h = leak * h + (1 - leak) * np.tanh(w_in @ x[t] + w_rec @ h + b)
            y[trial, t] = w @ h + b_out
    return y


# ----------------------------------------------------------------------------------------------------------- both tasks


@TASKS
def test_keys_say_which_trials_are_drawn_and_what_noise_is_in_them(task):
    noisy = replace(task, noise=0.5)
    sample = jax.jit(lambda task, *keys: task.sample(*keys, 400))
    clean, first, second = sample(task, *KEYS), sample(noisy, *KEYS), sample(noisy, KEYS[0], OTHER)
    assert_equal_trees(sample(task, KEYS[0], OTHER), clean)
    assert_equal_trees(sample(noisy, *KEYS), first)
    for trials in (first, second):
        np.testing.assert_array_equal(trials.targets, clean.targets)
        difference = np.asarray(trials.inputs - clean.inputs)
        np.testing.assert_allclose(difference.std(axis=(0, 2)), 0.5, rtol=0.15)
        np.testing.assert_allclose(difference.mean(axis=(0, 2)), 0, atol=0.1)
    assert (np.asarray(first.inputs) != np.asarray(second.inputs)).all()
    other = sample(task, OTHER, KEYS[1])
    assert not np.array_equal(other.inputs, clean.inputs)
    assert not np.array_equal(other.targets, clean.targets)
    assert_equal_trees(noisy.held_out("test"), task.held_out("test"))


@pytest.mark.full
@TASKS
def test_held_out_trials_are_drawn_once_and_apart(task):
    validation, test, probe = task.held_out("validation"), task.held_out("test"), task.probe()
    assert (validation.n_trials, test.n_trials, probe.n_trials) == (4, 5, 3)
    assert_equal_trees(task.held_out("validation"), validation)
    assert_equal_trees(probe, jax.tree.map(lambda leaf: leaf[:3], validation))
    assert not np.array_equal(validation.inputs, test.inputs[:4])
    assert replace(task, n_probe=9).probe().n_trials == 4
    for trials in (validation, test, probe, task.sample(*KEYS, 2)):
        assert trials.inputs.shape[1:] == (task.n_steps, task.n_inputs)
        assert trials.targets.shape[1:] == (task.n_steps, task.n_outputs)
        nb.Circuit(nb.RateCortex(task.n_inputs, 3), nb.LinearReadout(task.n_outputs)).check(trials)


@pytest.mark.parametrize("task", [SHORT, SMALL, replace(SMALL, inputs="bits")], ids=["Add", "Mimic", "Mimic of bits"])
def test_trials_are_the_same_in_every_floating_point_format(task):
    with jax.enable_x64(False):
        single = task.held_out("test")
        assert {leaf.dtype for leaf in jax.tree.leaves(single)} == {jnp.dtype("float32")}
        single = jax.tree.map(np.asarray, single)
    double = task.held_out("test")
    assert {leaf.dtype for leaf in jax.tree.leaves(double)} == {jnp.dtype("float64")}
    np.testing.assert_array_equal(single.inputs, double.inputs)
    np.testing.assert_allclose(single.targets, double.targets, rtol=1e-5, atol=1e-6)


@TASKS
def test_tasks_are_pytrees_that_come_back_and_describe_themselves(task):
    leaves, structure = jax.tree.flatten(task)
    assert structure.unflatten(leaves) == task
    assert isinstance(task, nb.tasks.Task)
    described = json.loads(json.dumps(to_dict(task)))
    assert described.pop("type") == type(task).__name__
    assert described == {name: list(v) if isinstance(v, tuple) else v for name, v in vars(task).items()}
    sampled = jax.vmap(lambda key: task.sample(key, key, 2).inputs)(jax.random.split(KEYS[0], 3))
    assert sampled.shape == (3, 2, task.n_steps, task.n_inputs)


@TASKS
def test_changing_a_number_does_not_compile_again(task):
    n_traced = 0

    @jax.jit
    def sample(task):
        nonlocal n_traced
        n_traced += 1
        return task.sample(*KEYS, 3).inputs

    for noise in (0.0, 0.25, 1.0):
        noisy = replace(task, noise=noise)
        np.testing.assert_allclose(sample(noisy), noisy.sample(*KEYS, 3).inputs, rtol=1e-12)
    assert n_traced == 1


@pytest.mark.full
@TASKS
def test_trials_join_to_a_stream(task):
    stream = Stream(task, label_probability=0.5, n_in_a_row=2)
    assert (stream.n_inputs, stream.n_outputs, stream.n_steps) == (task.n_inputs, task.n_outputs, task.n_steps)
    rows, trials = stream.held_out("test"), task.held_out("test")
    assert rows.inputs.shape == (2, 2 * task.n_steps, task.n_inputs)
    np.testing.assert_array_equal(rows.targets[1, task.n_steps :], trials.targets[3])
    np.testing.assert_array_equal(rows.mask[1, task.n_steps :], trials.weights().T[3])
    kept = np.asarray(stream.sample(*KEYS, 40).mask)
    labelled = kept.any(axis=1)
    assert 0 < labelled.sum() < 40
    np.testing.assert_array_equal(kept[labelled][0], trials.weights().T[0])


@TASKS
@pytest.mark.parametrize(("split", "meant"), [("tests", "test"), ("valid", "validation"), ("train", None)])
def test_an_unknown_split_is_refused_with_the_nearest_name(task, split, meant):
    with pytest.raises(ValueError, match=REFUSED) as caught:
        task.held_out(split)
    assert meant is None or f'Type: split="{meant}".' in str(caught.value)


SIZES = {name: is_whole(1) for name in ("n_steps", "hold", "n_validation", "n_test", "n_probe")}
ALLOWED = {
    SHORT: {
        **SIZES,
        "n_steps": is_whole(4),
        "hold": is_whole(1, 2),
        "delays": lambda value: isinstance(value, tuple) and value == (0, 1),
        "count_early": is_flag,
        "noise": is_within(0),
    },
    SMALL: {
        **SIZES,
        **{name: is_whole(1) for name in ("n_inputs", "n_units", "n_outputs")},
        "cell": or_none(lambda value: False),
        "teacher_seed": is_whole(0),
        **{name: is_within(0) for name in ("gain", "bias", "noise")},
        "inputs": is_one_of(("gaussian", "bits")),
    },
}


@TASKS
@settings(max_examples=60)
@given(data=st.data())
def test_impossible_parameters_are_refused(task, data):
    assert set(ALLOWED[task]) == set(vars(task))
    name = data.draw(st.sampled_from(sorted(ALLOWED[task])), label="parameter")
    value = data.draw(st.sampled_from(JUNK), label="value")
    assume(not ALLOWED[task][name](value))
    with pytest.raises(ValueError, match=REFUSED):
        replace(task, **{name: value})


# ------------------------------------------------------------------------------------------------------------- addition


@pytest.mark.full
@FEW
@given(
    st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda delays: delays[0] != delays[1]),
    st.integers(1, 3),
    st.integers(1, 8),
    st.booleans(),
)
def test_targets_are_what_a_dull_loop_adds_up(delays, hold, more, count_early):
    longest = max(delays) * hold
    task = Add(delays, longest + more, hold, count_early, n_test=3)
    trials = task.held_out("test")
    inputs, targets = np.asarray(trials.inputs), np.asarray(trials.targets)
    assert np.isin(inputs, (0, 1)).all()
    for channels, of_first in ((inputs, inputs[..., 0]), (targets, targets[..., 0])):
        np.testing.assert_array_equal(channels[..., 0], of_first)
        np.testing.assert_array_equal(channels.sum(-1), 1)
    for x, y in zip(inputs[..., 0], targets[..., 0], strict=True):
        np.testing.assert_array_equal(x, x[np.arange(len(x)) // hold * hold])
        np.testing.assert_array_equal(y, added(x, delays, hold))
    counted = np.arange(task.n_steps) >= (0 if count_early else longest)
    np.testing.assert_array_equal(trials.weights().T, np.tile(counted, (3, 1)))
    assert (trials.mask is None) == count_early


def test_targets_of_other_delays_differ():
    task = replace(SHORT, n_steps=40)
    trials = task.held_out("test")
    for delays in ((2, 3), (1, 2), (3, 1)):
        wrong = [added(x, delays, 1) for x in np.asarray(trials.inputs)[..., 0]]
        assert not np.allclose(wrong, trials.targets[..., 0])


def test_bits_are_fair_and_independent_from_step_to_step():
    bits = np.asarray(replace(SHORT, n_steps=20).sample(*KEYS, 2000).inputs)[..., 0]
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(bits.size)
    correlations = np.corrcoef(bits.T) - np.eye(20)
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)


@pytest.mark.parametrize("delays", [(1, 3), (2, 1), (0, 2)])
@pytest.mark.parametrize(("hold", "count_early"), [(1, False), (1, True), (2, True)])
@pytest.mark.parametrize("loss", ["squared_error", "sigmoid_cross_entropy"])
def test_baselines_are_the_best_that_a_list_of_all_trials_allows(delays, hold, count_early, loss):
    task = Add(delays, (max(delays) + 2) * hold, hold, count_early)
    n_bits = max(delays) + 2
    streams = np.array(list(itertools.product((0, 1), repeat=n_bits))).repeat(hold, axis=1)
    targets = np.array([added(x, delays, hold) for x in streams])
    wanted = np.zeros(3)
    for t in range(0 if count_early else max(delays) * hold, task.n_steps):
        for known in range(3):
            alike = {}  # targets of the trials that look the same to a network that knows so much
            for x, y in zip(streams, targets[:, t], strict=True):
                seen = tuple(x[t - delay * hold] if t >= delay * hold else 0 for delay in delays[:known])
                alike.setdefault(seen, []).append(y)
            for members in map(np.array, alike.values()):
                best = members.mean()
                if loss == "squared_error":
                    losses = (best - members) ** 2
                else:
                    losses = cross_entropy(np.clip(best, 1e-15, 1 - 1e-15), members)
                wanted[known] += losses.sum() / len(streams)
    got = [task.baseline_loss(loss, known) for known in range(3)]
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)
    assert got[0] > got[1] > got[2] >= 0


@pytest.mark.parametrize("loss", ["squared_error", "sigmoid_cross_entropy"])
def test_a_baseline_is_in_the_units_of_a_circuits_loss_and_nothing_simpler_beats_it(loss):
    task = replace(SHORT, n_test=4000)
    circuit = nb.Circuit(nb.RateCortex(2, 3), nb.LinearReadout(2, loss))
    silent = jax.tree.map(jnp.zeros_like, circuit.init(KEYS[0]))

    def constant(mean):
        y = np.array([mean, 1 - mean])
        y = y if loss == "squared_error" else np.log(y / (1 - y))
        weights = silent._replace(readout=silent.readout._replace(b=jnp.asarray(y)))
        return float(circuit.loss(weights, task.held_out("test")))

    ignorant = task.baseline_loss(loss, 0)
    assert constant(0.625) == pytest.approx(ignorant, rel=0.03)
    for mean in (0.5, 0.75):
        assert constant(mean) > 1.02 * ignorant


def test_the_baselines_of_the_authors_code_are_found_again():
    task = Add(n_steps=10)
    halves = [task.baseline_loss("sigmoid_cross_entropy", known) / 2 for known in range(3)]
    assert [round(half, 2) for half in halves] == [0.66, 0.52, 0.45]


@pytest.mark.parametrize("known", [-1, 3, 1.0, True, None])
def test_a_baseline_of_something_else_is_refused(known, untyped):
    with pytest.raises(ValueError, match=REFUSED):
        SHORT.baseline_loss("squared_error", known)
    with pytest.raises(ValueError, match=REFUSED) as caught:
        SHORT.baseline_loss("sigmoid", 0)
    assert 'Type: "sigmoid_cross_entropy".' in str(caught.value)


@given(st.integers(1, 20), st.integers(1, 5), st.data())
def test_trials_too_short_for_the_delays_are_refused_with_steps_that_fit(longest, hold, data):
    n_steps = data.draw(st.integers(1, longest * hold))
    with pytest.raises(ValueError, match=REFUSED) as caught:
        Add((longest, 0), n_steps, hold)
    fitting = int(str(caught.value).rsplit("n_steps=")[-1].rstrip("."))
    assert Add((longest, 0), fitting, hold).n_steps == longest * hold + 1


@pytest.mark.parametrize("delays", [(3, 3), (1, -2), (1,), (1, 2, 3), [1, 2], (1.0, 2), (True, 2), 4, None, "12"])
def test_delays_that_are_not_two_different_whole_numbers_are_refused(delays):
    with pytest.raises(ValueError, match=REFUSED):
        Add(delays)


@pytest.mark.full
def test_training_gets_below_what_an_ignorant_network_reaches_and_only_with_the_delays_it_learnt():
    task = Add(delays=(1, 2), n_steps=8)
    circuit = nb.Circuit(nb.RateCortex(2, 8), nb.LinearReadout(2, "sigmoid_cross_entropy"))
    fast = nb.Optimizer("adam", 0.02)
    run = nb.train(
        circuit,
        task,
        nb.bptt(),
        n_updates=150,
        batch_size=20,
        n_evaluations=1,
        optimizers=nb.Optimizers(fast, fast),
        progress=False,
    )
    before, after = run["evaluation"]["loss"].sel(split="test", seed=0).values
    ignorant, half_ignorant, floor = (task.baseline_loss("sigmoid_cross_entropy", known) for known in range(3))
    assert floor < after < half_ignorant < ignorant < before
    _, weights = nb.load(run, seed=0)
    swapped = float(circuit.loss(weights, replace(task, delays=(2, 1)).held_out("test")))
    assert swapped > half_ignorant


# -------------------------------------------------------------------------------------------------------------- mimicry


LEAKY = nb.RateCortex(3, 4, tau=0.05, dt=0.02)


@FEW
@given(
    st.sampled_from(("gaussian", "bits")),
    st.sampled_from((None, LEAKY)),
    st.integers(0, 2**40),
    st.floats(0, 3),
    st.integers(1, 3),
)
def test_targets_are_what_a_dull_loop_makes_of_the_teachers_weights(inputs, cell, seed, gain, hold):
    task = replace(SMALL, inputs=inputs, cell=cell, teacher_seed=seed, gain=gain, hold=hold)
    trials = task.sample(*KEYS, 2)
    np.testing.assert_allclose(trials.targets, taught(task, trials.inputs), rtol=1e-9, atol=1e-12)
    x = np.asarray(trials.inputs)
    np.testing.assert_array_equal(x, x[:, np.arange(6) // hold * hold])
    assert (np.isin(x, (0, 1)).all()) == (inputs == "bits")


def test_a_leak_changes_the_targets_but_not_the_weights_or_the_inputs():
    plain, leaky = SMALL, replace(SMALL, cell=LEAKY)
    assert_equal_trees(plain.teacher_weights(), leaky.teacher_weights())
    np.testing.assert_array_equal(plain.probe().inputs, leaky.probe().inputs)
    assert not np.allclose(plain.probe().targets, leaky.probe().targets)
    assert not np.allclose(plain.probe().targets, taught(leaky, plain.probe().inputs))


@pytest.mark.parametrize("cell", [None, LEAKY, nb.LSTMCortex(3, 4)], ids=["tanh", "leaky", "LSTM"])
def test_the_teacher_reproduces_itself_and_no_other_teacher_does(cell):
    task = replace(SMALL, cell=cell)
    trials, loss = task.sample(*KEYS, 7), jax.jit(task.teacher.loss)
    assert loss(task.teacher_weights(), trials) < 1e-25
    assert loss(replace(task, teacher_seed=1).teacher_weights(), trials) > 0.1
    assert loss(replace(task, gain=0.5).teacher_weights(), trials) > 1e-3


def test_a_teachers_weights_have_the_distributions_that_are_promised():
    task = Mimic(n_inputs=40, n_units=50, n_outputs=60, gain=1.5, bias=0.2)
    cortex, readout, cerebellum, *_ = jax.tree.map(np.asarray, task.teacher_weights())
    assert cerebellum is None
    np.testing.assert_allclose(cortex.w_rec @ cortex.w_rec.T, 1.5**2 * np.eye(50), atol=1e-12)
    scales = ((cortex.w_in, 40**-0.5), (readout.w, 50**-0.5), (cortex.b, 0.2), (readout.b, 0.2))
    for values, sd in (*scales, (cortex.w_rec, 1.5 * 50**-0.5)):
        assert abs(values.mean()) < 4 * sd / np.sqrt(values.size)
        assert values.std() == pytest.approx(sd, rel=4 / np.sqrt(2 * values.size))
    gates = np.split(np.asarray(replace(SMALL, cell=nb.LSTMCortex(3, 4)).teacher_weights().cortex.w_rec), 4)
    for gate in gates:
        np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-12)
    assert not np.allclose(gates[0], gates[1])


def test_a_teacher_follows_its_seed_alone():
    weights = SMALL.teacher_weights()
    assert_equal_trees(replace(SMALL, noise=1.0, inputs="bits", n_steps=9, n_test=1).teacher_weights(), weights)
    others = replace(SMALL, teacher_seed=1).teacher_weights()
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: not np.any(a == b), weights, others)))
    with jax.enable_x64(False):
        single = SMALL.teacher_weights()
        assert {leaf.dtype for leaf in jax.tree.leaves(single)} == {jnp.dtype("float32")}
        single = jax.tree.map(np.asarray, single)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-7), single, weights)


@pytest.mark.parametrize(("inputs", "mean", "sd"), [("gaussian", 0, 1), ("bits", 0.5, 0.5)])
def test_inputs_are_independent_and_identically_distributed(inputs, mean, sd):
    x = np.asarray(replace(SMALL, inputs=inputs).sample(*KEYS, 3000).inputs).reshape(3000, -1)
    np.testing.assert_allclose(x.mean(0), mean, atol=5 * sd / np.sqrt(3000))
    np.testing.assert_allclose(x.std(0), sd, rtol=0.07)
    assert np.abs(np.corrcoef(x.T) - np.eye(x.shape[1])).max() < 5 / np.sqrt(3000)


def test_gain_and_bias_do_not_compile_again():
    n_traced = 0

    @jax.jit
    def targets(task):
        nonlocal n_traced
        n_traced += 1
        return task.probe().targets

    for gain, bias in ((1.0, 0.1), (0.5, 0.0), (2.0, 1.0)):
        task = replace(SMALL, gain=gain, bias=bias)
        np.testing.assert_allclose(targets(task), task.probe().targets, rtol=1e-9, atol=1e-12)
    assert n_traced == 1


@pytest.mark.parametrize("cell", [nb.RateCortex(3, 5), nb.LSTMCortex(2, 4)])
def test_a_cell_of_other_sizes_is_refused_with_the_sizes_to_type(cell):
    with pytest.raises(ValueError, match=REFUSED) as caught:
        replace(SMALL, cell=cell)
    assert f"Type: n_inputs={cell.n_inputs}, n_units={cell.n_units}." in str(caught.value)
    assert replace(SMALL, cell=cell, n_inputs=cell.n_inputs, n_units=cell.n_units).teacher.cortex == cell
