"""Copy-repeat: trials are those that a dull loop makes, whatever the padding, and networks climb the curriculum."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input import JUNK, is_above, is_whole, is_within
from compilations import counted
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro_bpl as nb
from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.experiments import probe as probing
from neuro_bpl.experiments.updates import run_updates
from neuro_bpl.scripting import rule_words
from neuro_bpl.tasks import CopyRepeat
from neuro_bpl.tasks.held_out import held_out_key

KEY, OTHER = jax.random.key(3), jax.random.key(4)
TASK = CopyRepeat(n_bits=2, n_steps=20, n_validation=6, n_test=6, n_probe=4)
CIRCUIT = nb.Circuit(
    nb.LSTMCortex(TASK.n_inputs, 3), nb.LinearReadout(TASK.n_outputs, "sigmoid_cross_entropy"), nb.LinearPredictor()
)
REFUSED = r"(?s)is not possible.*Allowed: .*Why: .*Type: "
MODEL = "models/copy_repeat.py"
TINY = ("--n-updates", 6, "--n-evaluations", 2, "--seeds", 2, "--n-units", 3, "--batch-size", 3, "--n-bits", 2)


def climbed(level):
    """N and R after so many steps up."""
    n = r = 1
    for _ in range(level):
        n, r = (n, r + 1) if r < n else (n + 1, r)
    return n, r


@pytest.mark.parametrize("level", range(7))
def test_a_trial_is_what_a_loop_makes(level):
    task = dataclasses.replace(TASK, n_steps=32, repeat_scale=7.0)
    trials, (n, r) = task.sample_level(level, KEY, OTHER, 4), climbed(level)
    length = (r + 1) * n + 3
    assert trials.lengths.tolist() == [length] * 4
    assert int(task.difficulty(level)) == length
    for x, y, mask in zip(*(np.asarray(a) for a in (trials.inputs, trials.targets, trials.mask)), strict=True):
        words = x[1 : n + 1, :2]
        inputs, targets, counted = np.zeros((32, 4)), np.zeros((32, 3)), np.zeros(32)
        inputs[0, 2], inputs[1 : n + 1, :2], inputs[n + 1, 3] = 1, words, r / 7
        for repeat in range(r):
            targets[n + 2 + repeat * n : n + 2 + (repeat + 1) * n, :2] = words
        targets[length - 1, 2] = 1
        counted[n + 2 : length] = 1 / (3 * (r * n + 1))
        np.testing.assert_allclose(x, inputs)
        np.testing.assert_array_equal(y, targets)
        np.testing.assert_allclose(mask, counted)


def test_words_are_fair_bits_that_change_with_the_key():
    words = CopyRepeat(n_steps=75).sample_level(14, KEY, OTHER, 200).inputs[:, 1:9, :8]
    assert 0.48 < float(words.mean()) < 0.52
    again = CopyRepeat(n_steps=75).sample_level(14, OTHER, KEY, 200).inputs[:, 1:9, :8]
    assert not jnp.array_equal(words, again)


def test_the_loss_of_a_readout_that_knows_nothing_is_one_bit():
    silent = jax.tree.map(jnp.zeros_like, CIRCUIT.init(KEY))
    for level in range(4):
        loss = CIRCUIT.outcome(silent, TASK.sample_level(level, KEY, OTHER, 5)).loss
        assert float(loss) / math.log(2) == pytest.approx(1)


def test_levels_go_up_below_the_threshold_only_and_not_above_the_last():
    def after(level, bits):
        return int(TASK.next_level(jnp.int32(level), Outcome(jnp.asarray(bits * math.log(2)), jnp.nan)))

    assert [after(0, 0.149), after(0, 0.151), after(3, 0.0)] == [1, 0, 4]
    assert after(TASK.n_levels - 1, 0.0) == TASK.n_levels - 1
    assert [int(TASK.difficulty(level)) for level in range(TASK.n_levels)] == [5, 7, 9, 12, 15, 19]


@pytest.mark.full
@pytest.mark.parametrize("level", [0, 3, 4])
def test_trials_do_not_depend_on_the_padding(level):
    short, long = (dataclasses.replace(TASK, n_steps=40, padding=n).sample_level(level, KEY, OTHER, 3) for n in (15, 0))
    assert (short.n_steps, long.n_steps) == (15, 40)
    for name in ("inputs", "targets", "mask"):
        np.testing.assert_array_equal(getattr(short, name), getattr(long, name)[:, :15])
        assert not getattr(long, name)[:, 15:].any()


@pytest.mark.full
@pytest.mark.parametrize("rule", [nb.bptt(), nb.tbptt(2), nb.dni(2), nb.bp_lambda(0.5)], ids=lambda rule: rule.name)
def test_gradients_do_not_depend_on_the_padding(rule):
    weights = jax.tree.map(lambda leaf: leaf + 0.1, CIRCUIT.init(KEY))
    short, long = (dataclasses.replace(TASK, padding=n).sample_level(2, KEY, OTHER, 3) for n in (9, 20))
    ours, padded = (rule.gradients(CIRCUIT, weights, trials) for trials in (short, long))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15), ours, padded)
    assert float(jnp.abs(ours.cortex.w_rec).max()) > 1e-4
    cut = dataclasses.replace(TASK, padding=8).sample_level(2, KEY, OTHER, 3)
    wrong = rule.gradients(CIRCUIT, weights, dataclasses.replace(cut, lengths=jnp.full(3, 8)))
    assert not np.allclose(wrong.cortex.w_rec, ours.cortex.w_rec, rtol=1e-3)


def trained(task, rule=None, predictor=None, **options):
    optimizer = nb.Optimizer("adam", 0.05)
    return nb.train(
        CIRCUIT,
        task,
        rule or nb.bptt(),
        n_updates=40,
        batch_size=4,
        seeds=2,
        n_evaluations=2,
        optimizers=nb.Optimizers(optimizer, optimizer, predictor),
        precision="float64",
        progress=False,
        **options,
    )


def test_a_run_climbs_and_does_not_depend_on_the_padding(monkeypatch):
    task, calls = dataclasses.replace(TASK, n_steps=40, threshold=0.9), []

    def noted(circuit, task, *rest):
        calls.append(task.padding)
        return run_updates(circuit, task, *rest)

    monkeypatch.setattr("neuro_bpl.training.trainer.run_updates", noted)
    run = trained(task)
    assert calls[:2] == [8, 40]  # the first chunk outgrew its padding, and was computed again
    lengths = run["training"]["difficulty"]
    assert lengths.isel(update=0).values.tolist() == [5, 5]
    assert (lengths.diff("update") >= 0).all()
    assert (lengths.isel(update=-1) > 16).any()
    monkeypatch.setattr(CopyRepeat, "padded", lambda self, levels: dataclasses.replace(self, padding=40))
    whole = trained(task)
    np.testing.assert_array_equal(lengths, whole["training"]["difficulty"])
    np.testing.assert_allclose(run["training"]["loss"], whole["training"]["loss"], rtol=1e-9)


@pytest.mark.full
def test_a_climb_compiles_once_for_each_padding_and_not_for_each_length(monkeypatch):
    paddings = set()

    def noted(circuit, task, *rest):
        paddings.add(task.padding)
        return run_updates(circuit, task, *rest)

    monkeypatch.setattr("neuro_bpl.training.trainer.run_updates", noted)
    with counted() as programs:
        lengths = trained(dataclasses.replace(TASK, n_steps=38, threshold=0.9))["training"]["difficulty"]
    assert sum("updates" in name for name in programs) <= len(paddings)
    assert len(paddings) < len(np.unique(lengths))


def test_padding_that_is_too_short_would_show(monkeypatch):
    monkeypatch.setattr(CopyRepeat, "padded", lambda self, levels: dataclasses.replace(self, padding=6))
    cut = trained(dataclasses.replace(TASK, n_steps=40, threshold=0.9))
    assert float(cut["training"]["loss"].min()) == 0  # no answer is left in a trial of six steps


@pytest.mark.full
def test_gradients_are_measured_on_trials_of_the_level_that_is_learnt():
    """The same numbers as by hand, network by network; at levels that nobody has met they would be others."""
    task = dataclasses.replace(TASK, n_steps=40, threshold=0.8)
    measured = ("weight_alignment", "gradient_alignment", "td_error_size")
    run = trained(task, nb.bp_lambda(), nb.Optimizer("adam", 0.01), record=("rates", *measured))
    lengths, key = run["training"]["difficulty"].isel(update=-1), held_out_key("validation")
    assert len(np.unique(lengths)) == 2, "networks at different levels"
    for seed, length in enumerate(lengths.values):
        with jax.enable_x64(True):
            circuit, weights = nb.load(run, seed=seed)
            level = next(level for level in range(9) if task.difficulty(level) == length)
            for trials, same in ((task.sample_level(level, key, key, 4), True), (task.probe(), False)):
                probe = probing.on(circuit, nb.bp_lambda(), weights, trials, 4)
                for name in measured:
                    found = run["gradients"][name].isel(seed=seed, update=-1)
                    assert np.allclose(found, probing.COMPUTED[name](probe), rtol=1e-6, equal_nan=True) == same
    assert run["activity"]["rates"].dims == ("seed", "snapshot", "trial", "time", "unit")


@settings(max_examples=20)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_padding_holds_every_level_and_is_one_of_a_few(levels):
    task = dataclasses.replace(TASK, n_steps=75).padded(np.array(levels))
    assert task.padding >= max(int(task.difficulty(level)) for level in levels)
    assert task.padding in (8, 12, 16, 24)


VALID = {
    "n_bits": is_whole(1),
    "n_steps": is_whole(5),
    "threshold": is_within(0),
    "repeat_scale": is_above(0),
    "n_validation": is_whole(1),
    "n_test": is_whole(1),
    "n_probe": is_whole(1),
    "padding": lambda value: is_whole(0)(value) and not 0 < value < 5 and value <= 75,
}


@pytest.mark.parametrize("name", VALID)
def test_junk_is_refused(name):
    for junk in JUNK:
        if not VALID[name](junk):
            with pytest.raises(ValueError, match=REFUSED):
                CopyRepeat(**{name: junk})


def test_rules_are_named_with_their_number():
    numbers = {"lambda_": 0.7, "discount": 0.9, "kappa": 0.1, "window": 2}
    words = ("bptt", "tbptt", "tbptt:5", "dni:3", "bp_lambda", "bp_lambda:0.5")
    names = [rule_words.rule_of(word, **numbers).name for word in words]
    assert names == ["BPTT", "TBPTT(2)", "TBPTT(5)", "SG(3)", "BP(0.7)", "BP(0.5)"]
    assert float(rule_words.rule_of("dni:3", **numbers).credit.discount) == 0.9


@pytest.mark.parametrize("words", ["bp", "bptt:3", "tbptt:0", "tbptt:x", "tbptt:1.5", "bp_lambda:2", "bp_lambda:a", ""])
def test_words_that_name_no_rule_are_refused(words):
    with pytest.raises(ValueError, match=REFUSED):
        rule_words.check_words(f"bptt,{words}")


@pytest.mark.full
def test_the_model_runs_and_reports(script, tmp_path):
    path = tmp_path / "run"
    status, out, _ = script(MODEL, "--rule", "tbptt:2,bp_lambda:0", "--n-steps", 9, *TINY, "--output", path)
    assert status == 0
    run = nb.open_run(path)
    assert run["training"]["difficulty"].sizes == {"rule": 2, "seed": 2, "update": 6}
    assert "TBPTT(2)" in out
    assert "bit" in out
