"""Target reaching and streams: the trials are those that the definitions say, at the right steps."""

import json
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

import neuro_bpl as nb
from neuro_bpl.parameters import flatten, to_dict
from neuro_bpl.tasks import Stream, TargetReaching
from neuro_bpl.tasks.stream import in_a_row

KEYS = jax.random.key(1), jax.random.key(2)
OTHER = jax.random.key(3)
FEW = settings(max_examples=30)
REFUSED = r"(?s)is not possible.*Allowed: .*Why: .*Type: "
RELEASED = TargetReaching(n_steps=10, n_cues=1, n_inputs=10, cues=("1101000001",))
SIX = TargetReaching(n_steps=5, n_cues=6, n_inputs=4)


def bits(task):
    """The cues of a task, as rows of 0 and 1."""
    return np.asarray(task.held_out("test").inputs)[:, 0].astype(int)


def assert_equal_trees(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


# ---------------------------------------------------------------------------------------------------- target reaching


def test_the_released_setting_is_one_cue_at_the_first_step_and_one_target_at_the_last():
    inputs = np.zeros((1, 10, 10))
    inputs[0, 0] = [1, 1, 0, 1, 0, 0, 0, 0, 0, 1]
    for trials in (RELEASED.held_out("validation"), RELEASED.held_out("test"), RELEASED.probe()):
        np.testing.assert_array_equal(trials.inputs, inputs)
        assert np.asarray(trials.targets).tolist() == [[[0.0, 1.0]]]
        assert trials.at_last_step
        assert (trials.mask, trials.lengths) == (None, None)
    batch = RELEASED.sample(*KEYS, 10)
    np.testing.assert_array_equal(batch.inputs, inputs.repeat(10, axis=0))
    np.testing.assert_array_equal(batch.targets, np.full((10, 1, 2), (0, 1)))
    assert (RELEASED.n_inputs, RELEASED.n_outputs, RELEASED.n_steps) == (10, 2, 10)


def test_the_whole_trajectory_is_a_straight_line_from_the_origin():
    targets = np.asarray(replace(RELEASED, trajectory="whole").probe().targets)
    assert targets.shape == (1, 10, 2)
    for t in range(1, 11):
        assert targets[0, t - 1].tolist() == [0.0, t / 10]
    whole, end = replace(SIX, trajectory="whole"), SIX
    np.testing.assert_array_equal(whole.probe().targets[:, -1:], end.probe().targets)
    np.testing.assert_allclose(
        np.diff(whole.probe().targets, axis=1, prepend=0), end.probe().targets / 5 + np.zeros((6, 5, 2))
    )
    np.testing.assert_array_equal(whole.sample(*KEYS, 9).inputs, end.sample(*KEYS, 9).inputs)


@pytest.mark.parametrize("n_cues", [1, 2, 3, 4, 6])
def test_targets_lie_around_the_unit_circle_from_the_top_onwards(n_cues):
    targets = np.asarray(TargetReaching(n_cues=n_cues).probe().targets)[:, 0]
    for k in range(n_cues):
        angle = np.radians(90 + k * 360 / n_cues)
        np.testing.assert_allclose(targets[k], [np.cos(angle), np.sin(angle)], atol=1e-15)


@pytest.mark.full
@FEW
@given(st.data(), st.sampled_from((1, 2, 7)), st.integers(0, 2**40))
def test_drawn_cues_differ_from_one_another_and_from_silence(data, n_inputs, seed):
    n_cues = data.draw(st.integers(1, 2**n_inputs - 1))
    task = TargetReaching(n_cues=n_cues, n_inputs=n_inputs, cue_seed=seed)
    drawn = bits(task)
    assert drawn.shape == (n_cues, n_inputs)
    assert len({tuple(row) for row in drawn}) == n_cues
    assert np.isin(drawn, (0, 1)).all()
    assert drawn.any(axis=1).all()
    np.testing.assert_array_equal(drawn, bits(replace(task, noise=0.5)))


def test_bits_of_drawn_cues_are_as_often_one_as_zero_and_follow_the_seed():
    task = TargetReaching(n_cues=200, n_inputs=30)
    assert abs(bits(task).mean() - 0.5) < 4 * 0.5 / np.sqrt(6000)
    assert (bits(task) != bits(replace(task, cue_seed=1))).mean() == pytest.approx(0.5, abs=0.05)


def test_cues_do_not_depend_on_the_floating_point_format():
    with jax.enable_x64(False):
        trials = SIX.probe()
        assert trials.inputs.dtype == trials.targets.dtype == jnp.float32
        single = np.asarray(trials.inputs)
    np.testing.assert_array_equal(single, SIX.probe().inputs)


def test_every_sample_is_a_cue_with_its_own_target_and_cues_are_equally_likely():
    held, trials = SIX.held_out("test"), SIX.sample(*KEYS, 3000)
    which = (np.asarray(trials.inputs)[:, None, 0] == np.asarray(held.inputs)[None, :, 0]).all(-1)
    assert (which.sum(1) == 1).all()
    np.testing.assert_array_equal(trials.targets, np.asarray(held.targets)[which.argmax(1)])
    assert not np.asarray(trials.inputs)[:, 1:].any()
    assert np.abs(which.mean(0) - 1 / 6).max() < 4 * np.sqrt(5 / 36 / 3000)


def test_noise_is_in_the_inputs_at_every_step_and_comes_from_the_noise_key():
    noisy = replace(SIX, noise=0.5)
    clean, first, second = SIX.sample(*KEYS, 400), noisy.sample(*KEYS, 400), noisy.sample(KEYS[0], OTHER, 400)
    for trials in (first, second):
        np.testing.assert_array_equal(trials.targets, clean.targets)
        difference = np.asarray(trials.inputs - clean.inputs)
        np.testing.assert_allclose(difference.std(axis=(0, 2)), 0.5, rtol=0.1)
        np.testing.assert_allclose(difference.mean(axis=(0, 2)), 0, atol=0.06)
    assert (np.asarray(first.inputs) != np.asarray(second.inputs)).all()
    assert_equal_trees(SIX.sample(KEYS[0], OTHER, 400), clean)
    assert not np.array_equal(SIX.sample(OTHER, KEYS[1], 400).targets, clean.targets)
    assert_equal_trees(noisy.held_out("test"), SIX.held_out("test"))
    assert_equal_trees(noisy.probe(), SIX.probe())


def test_a_reaching_task_describes_itself():
    assert json.loads(json.dumps(to_dict(RELEASED))) == {
        "type": "TargetReaching",
        "n_steps": 10,
        "n_cues": 1,
        "n_inputs": 10,
        "cues": ["1101000001"],
        "trajectory": "end",
        "noise": 0.0,
        "cue_seed": 0,
    }
    leaves = {name: value for name, (value, _) in flatten(SIX, "task.").items()}
    assert leaves == {f"task.{name}": value for name, value in to_dict(SIX).items() if name not in ("type", "cues")}


@FEW
@given(
    st.one_of(
        st.fixed_dictionaries(
            {
                name: st.one_of(
                    st.integers(max_value=low - 1), st.floats(), st.text(max_size=3), st.booleans(), st.just([3])
                )
            }
        )
        for name, low in (("n_steps", 1), ("n_cues", 1), ("n_inputs", 1), ("cue_seed", 0))
    )
)
def test_sizes_that_are_not_whole_numbers_in_range_are_refused(wrong):
    with pytest.raises(ValueError, match=REFUSED):
        TargetReaching(**wrong)


@FEW
@given(
    st.one_of(
        st.fixed_dictionaries({"noise": st.floats(max_value=-1e-300) | st.sampled_from((np.nan, np.inf, "0.1", True))}),
        st.fixed_dictionaries({"trajectory": st.text(max_size=6) | st.integers() | st.none()}),
    )
)
def test_other_impossible_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match=REFUSED):
        TargetReaching(**wrong)


@FEW
@given(st.integers(1, 60), st.integers(0, 10**6))
def test_more_cues_than_there_are_bit_patterns_are_refused_with_the_bits_it_takes(n_inputs, more):
    n_cues = 2**n_inputs + more
    with pytest.raises(ValueError, match=REFUSED) as caught:
        TargetReaching(n_cues=n_cues, n_inputs=n_inputs)
    needed = int(str(caught.value).rsplit("n_inputs=")[-1].rstrip("."))
    assert TargetReaching(n_cues=n_cues, n_inputs=needed).n_inputs == needed
    TargetReaching(n_cues=2**n_inputs - 1, n_inputs=n_inputs)


PATTERNS = st.integers(1, 15).map(lambda number: f"{number:04b}")


@FEW
@given(st.lists(PATTERNS, min_size=1, max_size=3, unique=True), st.data())
def test_given_cues_are_taken_as_they_are_and_refused_where_they_do_not_fit(cues, data):
    fitting = {"n_cues": len(cues), "n_inputs": 4}
    task = TargetReaching(cues=tuple(cues), **fitting)
    assert ["".join(map(str, row)) for row in bits(task)] == cues
    assert task.cues == tuple(cues)
    at = data.draw(st.integers(0, len(cues) - 1))
    foreign = data.draw(
        st.text(max_size=6).filter(lambda text: len(text) != 4 or set(text) - {"0", "1"}) | st.just("0000")
    )
    spoilt = [
        ((*cues[:at], foreign, *cues[at + 1 :]), fitting),
        ((*cues, cues[at]), {**fitting, "n_cues": len(cues) + 1}),
        (tuple(cues), {**fitting, "n_cues": len(cues) + 1}),
        (tuple(cues), {**fitting, "n_inputs": 5}),
        (cues, fitting),
        (cues[0], fitting),
        (tuple(int(cue) for cue in cues), fitting),
        ((), fitting),
    ]
    for wrong, sizes in spoilt:
        with pytest.raises(ValueError, match=REFUSED):
            TargetReaching(cues=wrong, **sizes)


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        ({"cues": ("110", "011"), "n_inputs": 3}, "Type: n_cues=2."),
        ({"cues": ("110",)}, "Type: n_inputs=3, "),
        ({"cues": "110", "n_inputs": 3}, "Type: cues=('"),
        ({"trajectory": "hole"}, 'Type: trajectory="whole".'),
    ],
)
def test_a_refusal_says_what_to_type(arguments, typed):
    with pytest.raises(ValueError, match=REFUSED) as caught:
        TargetReaching(**arguments)
    assert typed in str(caught.value)


@pytest.mark.parametrize(("split", "meant"), [("tests", "test"), ("valid", "validation"), ("train", None)])
def test_an_unknown_split_is_refused_with_the_nearest_name(split, meant):
    with pytest.raises(ValueError, match=REFUSED) as caught:
        SIX.held_out(split)
    assert meant is None or f'Type: split="{meant}".' in str(caught.value)


# -------------------------------------------------------------------------------------------------------------- pytrees


def test_changing_a_number_does_not_compile_again():
    n_traced = 0

    @partial(jax.jit, static_argnums=1)
    def sample(task, batch_size):
        nonlocal n_traced
        n_traced += 1
        return task.sample(*KEYS, batch_size)

    reaching = [replace(SIX, noise=noise) for noise in (0.0, 0.25, 1.0)]
    for task in reaching:
        np.testing.assert_allclose(sample(task, 3).inputs, task.sample(*KEYS, 3).inputs, rtol=1e-12)
    assert n_traced == 1
    for task, probability in zip(reaching, (0.0, 0.5, 1.0), strict=True):
        stream = Stream(task, probability, n_in_a_row=2)
        np.testing.assert_array_equal(sample(stream, 9).mask, stream.sample(*KEYS, 9).mask)
    assert n_traced == 2
    sample(replace(SIX, trajectory="whole"), 3)
    assert n_traced == 3


@pytest.mark.parametrize("task", [RELEASED, SIX, Stream(SIX, 0.5, 3)])
def test_tasks_are_pytrees_that_come_back_as_they_were(task):
    leaves, structure = jax.tree.flatten(task)
    assert structure.unflatten(leaves) == task
    assert isinstance(task, nb.tasks.Task)
    jax.vmap(lambda key: task.sample(key, key, 2))(jax.random.split(KEYS[0], 3))


# -------------------------------------------------------------------------------------------------------------- streams


@partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=("kind", "n_held_out"))
@dataclass(frozen=True)
class Fixed:
    """Trials of four steps; what sort of targets, mask and lengths they have is their `kind`."""

    kind: str
    n_held_out: int = 11

    def sample(self, data_key, noise_key, batch_size):
        rng, n_targets = np.random.default_rng(0), 4 if self.kind.startswith("every") else 1
        shape = (batch_size, n_targets)
        targets = rng.integers(1, 9, shape) if "classes" in self.kind else rng.normal(size=(*shape, 2))
        return nb.Trials(
            jnp.asarray(rng.normal(size=(batch_size, 4, 3))),
            jnp.asarray(targets),
            jnp.asarray(rng.uniform(0.1, 2, shape)) if "masked" in self.kind else None,
            jnp.arange(batch_size) % 4 + 1 if "unequal" in self.kind else None,
        )

    def held_out(self, split):
        return self.sample(None, None, self.n_held_out)

    def probe(self):
        return self.sample(None, None, self.n_held_out)


KINDS = ["last", "last classes", "last masked", "every", "every classes", "every masked"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 3, 4, 11])
def test_trials_in_a_row_are_what_a_dull_loop_makes_of_them(kind, n):
    task = Fixed(kind)
    inner, stream = task.held_out("test"), Stream(task, n_in_a_row=n)
    n_rows = 11 // n
    inputs = np.zeros((n_rows, 4 * n, 3))
    targets = np.zeros((n_rows, 4 * n, *inner.targets.shape[2:]))
    mask = np.zeros((n_rows, 4 * n))
    steps_with_target = [3] if kind.startswith("last") else [0, 1, 2, 3]
    for row in range(n_rows):
        for place in range(n):
            trial = row * n + place
            for t in range(4):
                inputs[row, 4 * place + t] = inner.inputs[trial, t]
            for number, t in enumerate(steps_with_target):
                targets[row, 4 * place + t] = inner.targets[trial, number]
                mask[row, 4 * place + t] = 1 if inner.mask is None else inner.mask[trial, number]
    for trials in (stream.held_out("test"), stream.probe()):
        np.testing.assert_array_equal(trials.inputs, inputs)
        np.testing.assert_array_equal(trials.targets, targets)
        np.testing.assert_array_equal(trials.mask, mask)
        assert (trials.targets.dtype, trials.lengths) == (inner.targets.dtype, None)
        assert trials.mask.dtype == trials.inputs.dtype
        assert not trials.at_last_step


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_a_stream_is_the_sample_of_its_task_with_a_mask(kind):
    inner, trials = Fixed(kind).sample(*KEYS, 50), Stream(Fixed(kind), 0.5).sample(*KEYS, 50)
    np.testing.assert_array_equal(trials.inputs, inner.inputs)
    np.testing.assert_array_equal(trials.targets, inner.targets)
    full = np.ones(inner.targets.shape[:2]) if inner.mask is None else np.asarray(inner.mask)
    kept = (np.asarray(trials.mask) != 0).all(1)
    assert 0 < kept.sum() < 50
    np.testing.assert_array_equal(trials.mask, full * kept[:, None])
    np.testing.assert_array_equal(Stream(Fixed(kind)).sample(*KEYS, 50).mask, full)
    assert not np.asarray(Stream(Fixed(kind), 0.0).sample(*KEYS, 50).mask).any()


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.9])
def test_labels_are_as_frequent_as_asked_and_do_not_follow_the_cue_or_the_noise(probability):
    stream = Stream(replace(SIX, noise=0.5), probability)
    trials = stream.sample(*KEYS, 6000)
    kept = np.asarray(trials.mask)[:, 0]
    assert set(kept) == {0, 1}
    spread = np.sqrt(probability * (1 - probability))
    assert abs(kept.mean() - probability) < 4 * spread / np.sqrt(6000)
    for target in np.unique(trials.targets[:, 0], axis=0):
        of_this_cue = (np.asarray(trials.targets)[:, 0] == target).all(1)
        assert abs(kept[of_this_cue].mean() - probability) < 4 * spread / np.sqrt(of_this_cue.sum())
    assert_equal_trees(stream.sample(KEYS[0], OTHER, 6000).mask, trials.mask)
    assert not np.array_equal(stream.sample(OTHER, KEYS[1], 6000).mask, trials.mask)
    assert_equal_trees(replace(trials, mask=None), stream.task.sample(*KEYS, 6000))


@partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=("kind", "n_held_out"))
@dataclass(frozen=True)
class Lottery(Fixed):
    """Every trial shows the first number that its data key gives."""

    kind: str = "last"

    def sample(self, data_key, noise_key, batch_size):
        drawn = jax.random.uniform(data_key, (batch_size, 1))
        return nb.Trials(drawn[:, None], drawn)


def test_labels_are_not_drawn_from_the_key_that_the_task_draws_from():
    trials = Stream(Lottery(), 0.5).sample(*KEYS, 1000)
    assert abs(np.corrcoef(trials.inputs[:, 0, 0], trials.mask[:, 0])[0, 1]) < 4 / np.sqrt(1000)


def test_a_stream_of_digits_has_the_sizes_of_its_task():
    digits = nb.tasks.SequentialDigits.load()
    stream = Stream(digits, label_probability=0.3)
    assert stream.streaming
    assert not hasattr(digits, "streaming")
    assert (stream.n_inputs, stream.n_outputs, stream.n_steps) == (digits.n_inputs, digits.n_outputs, digits.n_steps)
    assert stream.held_out("test").inputs.shape == (45, 64, 8)
    assert stream.probe().n_trials == 12
    circuit = nb.Circuit(nb.RateCortex(stream.n_inputs, 3), nb.LinearReadout(stream.n_outputs, "softmax_cross_entropy"))
    for trials in (stream.sample(*KEYS, 5), stream.held_out("validation"), stream.probe()):
        circuit.check(trials)
    leaves = {name: value for name, (value, _) in flatten(stream, "task.").items()}
    assert leaves["task.task.type"] == "SequentialImages"
    assert leaves["task.task.noise"] == 0.0
    assert (leaves["task.label_probability"], leaves["task.n_in_a_row"]) == (0.3, 8)


def test_the_loss_of_a_row_is_the_sum_over_its_trials_for_a_cortex_without_memory():
    # With τ = dt and no recurrent weights nothing is carried over, so that the trials of a row count one by one.
    circuit = nb.Circuit(nb.RateCortex(4, 5), nb.LinearReadout(2))
    weights = circuit.init(KEYS[0])
    forgetful = weights._replace(cortex=weights.cortex._replace(w_rec=jnp.zeros((5, 5))))
    rows, trials = in_a_row(SIX.probe(), 3), SIX.probe()
    row, one, other = (
        float(circuit.loss(*pair)) for pair in ((forgetful, rows), (forgetful, trials), (weights, trials))
    )
    assert one > 0
    assert row == pytest.approx(3 * one, rel=1e-12)
    assert float(circuit.loss(weights, rows)) != pytest.approx(3 * other, rel=1e-6)


@FEW
@given(
    st.one_of(
        st.fixed_dictionaries(
            {
                "label_probability": st.floats(min_value=1, exclude_min=True)
                | st.floats(max_value=0, exclude_max=True)
                | st.sampled_from((np.nan, "0.5", True))
            }
        ),
        st.fixed_dictionaries({"n_in_a_row": st.integers(max_value=0) | st.floats() | st.text(max_size=3)}),
        st.fixed_dictionaries({"task": st.sampled_from((None, 3, "digits", KEYS, Stream(SIX), TargetReaching))}),
    )
)
def test_impossible_streams_are_refused(wrong):
    with pytest.raises(ValueError, match=REFUSED):
        Stream(**{"task": SIX, **wrong})


@FEW
@given(st.integers(0, 6), st.integers(1, 100))
def test_too_few_trials_for_a_row_are_refused_with_a_number_that_fits(n_trials, more):
    stream = Stream(Fixed("last", n_trials), n_in_a_row=n_trials + more)
    for ask in (stream.probe, lambda: stream.held_out("test")):
        with pytest.raises(ValueError, match=REFUSED):
            ask()


@pytest.mark.parametrize("kind", ["last unequal", "every unequal masked"])
def test_trials_of_unequal_length_are_refused(kind):
    stream = Stream(Fixed(kind), n_in_a_row=2)
    for ask in (stream.probe, lambda: stream.held_out("test"), lambda: stream.sample(*KEYS, 3)):
        with pytest.raises(ValueError, match=f"{REFUSED}.*without lengths"):
            ask()


def test_a_stream_refuses_the_splits_that_its_task_refuses():
    with pytest.raises(ValueError, match=r"(?s)split = 'tests'.*Type: split=\"test\""):
        Stream(SIX).held_out("tests")


def test_a_curriculum_is_refused_because_a_stream_has_one_level():
    @dataclass(frozen=True)
    class Levels(Fixed):
        def first_level(self):
            return 0

        def sample_level(self, level, data_key, noise_key, batch_size):
            return self.sample(data_key, noise_key, batch_size)

        def next_level(self, level, outcome):
            return level

        def difficulty(self, level):
            return level

        def padded(self, levels):
            return self

    with pytest.raises(ValueError, match=REFUSED):
        Stream(Levels("last"))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("split", [np.ones(2), np.array(["test", "test"]), ["test"], {"test"}, None, 1, "tets"])
def test_held_out_refuses_what_is_no_name_of_a_split(split):
    for task in (nb.tasks.TargetReaching(), nb.tasks.Add(), nb.tasks.SequentialDigits.load()):
        with refused("split"):
            task.held_out(split)
