"""Illegal rules and bad input are refused: value got, what is allowed, why, what to type."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_circuits import N_INPUTS, N_OUTPUTS, N_STEPS, N_TRIALS, N_UNITS, random_trials
from refusing import refusal

import neuro_bpl as nb

OUTSIDE_UNIT_INTERVAL = st.floats().filter(lambda value: not 0 <= value <= 1)
NOT_NUMBERS = st.one_of(st.text(max_size=5), st.booleans(), st.lists(st.floats(0, 1), max_size=2))
CORTEX = nb.RateCortex(N_INPUTS, N_UNITS)


# Numbers of rules and cells


@given(OUTSIDE_UNIT_INTERVAL)
def test_lambda_and_discount_lie_between_0_and_1(value):
    refusal(lambda: nb.bp_lambda(lambda_=value), value)
    refusal(lambda: nb.bp_lambda(discount=value), value)
    refusal(lambda: nb.dni(discount=value), value)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e6))
def test_every_number_inside_is_accepted(lambda_, discount, kappa):
    credit = nb.bp_lambda(lambda_, discount, kappa).credit
    assert (credit.lambda_, credit.discount, credit.kappa) == (lambda_, discount, kappa)


@given(NOT_NUMBERS)
def test_what_is_no_number_is_refused(value):
    refusal(lambda: nb.Predicted(lambda_=value), value)
    refusal(lambda: nb.Predicted(discount=value), value)
    refusal(lambda: nb.Predicted(kappa=value), value)


@given(st.floats(max_value=0, exclude_max=True) | st.sampled_from([float("nan"), float("inf")]))
def test_kappa_is_not_negative(value):
    refusal(lambda: nb.bp_lambda(kappa=value), value)
    refusal(lambda: nb.dni(kappa=value), value)


@pytest.mark.parametrize("value", [0, -1, 2.5, "2", True])
def test_windows_are_whole_and_positive(value):
    refusal(lambda: nb.Exact(value), value)
    refusal(lambda: nb.Predicted(0.0, window=value), value)


@given(st.floats(max_value=0) | st.sampled_from([float("nan"), float("inf")]))
def test_time_constants_are_positive(value):
    refusal(lambda: nb.RateCortex(N_INPUTS, N_UNITS, tau=value), value)
    refusal(lambda: nb.RateCortex(N_INPUTS, N_UNITS, dt=value), value)


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3))
def test_a_step_is_not_longer_than_the_time_constant(tau, dt):
    assume(dt > tau)
    message = refusal(lambda: nb.RateCortex(N_INPUTS, N_UNITS, tau=tau, dt=dt), dt)
    assert repr(tau) in message


@pytest.mark.parametrize("value", [0, -3, 1.5])
def test_there_is_at_least_one_of_everything(value):
    refusal(lambda: nb.RateCortex(value, N_UNITS), value)
    refusal(lambda: nb.LSTMCortex(N_INPUTS, value), value)
    refusal(lambda: nb.GRUCortex(N_INPUTS, value), value)
    refusal(lambda: nb.LinearReadout(value), value)
    refusal(lambda: nb.GranularPredictor(value), value)
    refusal(lambda: nb.GranularPredictor(8, fan_in=value), value)


def test_fan_in_is_at_most_the_number_of_fibres():
    key = jax.random.key(0)
    for cortex, n_fibres in ((CORTEX, N_UNITS), (nb.LSTMCortex(N_INPUTS, N_UNITS), 2 * N_UNITS)):
        circuit = nb.Circuit(cortex, nb.LinearReadout(2), nb.GranularPredictor(8, fan_in=n_fibres + 1))
        assert str(n_fibres) in refusal(lambda circuit=circuit: circuit.init(key), n_fibres + 1)
        full = nb.Circuit(cortex, nb.LinearReadout(2), nb.GranularPredictor(8, fan_in=n_fibres)).init(key)
        assert full.cerebellum.mask.all()


@pytest.mark.parametrize(
    ("make", "wrong", "nearest"),
    [
        (lambda name: nb.RateCortex(N_INPUTS, N_UNITS, name), "tahn", "tanh"),
        (lambda name: nb.RateCortex(N_INPUTS, N_UNITS, name), "ReLU", "relu"),
        (lambda name: nb.LinearReadout(2, name), "square_error", "squared_error"),
        (lambda name: nb.LinearReadout(2, name), "cross_entropy_softmax", "softmax_cross_entropy"),
        (lambda name: nb.GranularPredictor(8, plasticity=name), "outputs", "output"),
        (lambda name: nb.bp_lambda(view=name), "backwards", "backward"),
        (lambda name: nb.bp_lambda(update=name), "steps", "step"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(make, wrong, nearest):
    message = refusal(lambda: make(wrong), wrong)
    assert f'"{nearest}"' in message.partition("Type: ")[2]


# Pairs of trace and credit


@pytest.mark.parametrize(
    "credit", [nb.Exact(1), nb.Exact(3), nb.Predicted(0.0, window=3)], ids=["TBPTT(1)", "TBPTT(3)", "SG(3)"]
)
def test_a_leaky_trace_refuses_windows_because_a_path_would_count_twice(credit):
    message = refusal(lambda: nb.LearningRule(nb.Leaky(), credit), nb.Leaky())
    assert "twice" in message


@pytest.mark.parametrize(("view", "update"), [("backward", "trial"), ("backward", "step"), ("forward", "step")])
@pytest.mark.parametrize("credit", [nb.Exact(), nb.Exact(2)])
def test_an_exact_future_is_known_only_after_the_trial(credit, view, update):
    refusal(lambda: nb.LearningRule(nb.Immediate(), credit, view, update), (view, update))


@pytest.mark.parametrize("trace", [nb.Immediate(), nb.Leaky()])
def test_the_forward_view_cannot_learn_step_by_step(trace):
    refusal(lambda: nb.bp_lambda(trace=trace, update="step"), "step")


def test_the_backward_view_has_no_windows():
    refusal(lambda: nb.LearningRule(nb.Immediate(), nb.Predicted(0.0, window=3), "backward"), "backward")


@given(st.floats(0, 1, exclude_min=True), st.integers(2, 50))
def test_lambda_and_windows_exclude_each_other(lambda_, window):
    refusal(lambda: nb.Predicted(lambda_, window=window), lambda_)


@pytest.mark.parametrize("rule", [nb.bp_lambda(), nb.bp_lambda(view="backward"), nb.dni(3)], ids=lambda rule: rule.name)
def test_a_predicting_rule_needs_a_cerebellum(rule):
    circuit = nb.Circuit(CORTEX, nb.LinearReadout(N_OUTPUTS))
    weights, trials = circuit.init(jax.random.key(0)), random_trials("every step", "squared_error", 0)
    refusal(lambda: rule.gradients(circuit, weights, trials), None)


@pytest.mark.parametrize(
    "rule",
    [nb.bptt(), nb.tbptt(2), nb.LearningRule(nb.Immediate(), nb.ImmediateError(), "backward")],
    ids=lambda rule: rule.name,
)
def test_other_rules_do_without_a_cerebellum(rule):
    circuit = nb.Circuit(CORTEX, nb.LinearReadout(N_OUTPUTS))
    weights, trials = circuit.init(jax.random.key(0)), random_trials("every step", "squared_error", 0)
    gradients = jax.jit(rule.gradients, static_argnums=0)(circuit, weights, trials)
    assert gradients.cerebellum is None
    assert gradients.cortex.w_rec.any()


# Trials


def gradients_with(loss, **changed):
    """BPTT on good trials with some fields replaced."""
    good = random_trials("every step", loss, seed=0)
    fields = {"inputs": good.inputs, "targets": good.targets, **changed}
    circuit = nb.Circuit(CORTEX, nb.LinearReadout(N_OUTPUTS, loss))
    return nb.bptt().gradients(circuit, circuit.init(jax.random.key(0)), nb.Trials(**fields))


@pytest.mark.parametrize(
    "shape",
    [
        (N_TRIALS, N_STEPS, N_INPUTS + 1),
        (N_TRIALS, 0, N_INPUTS),
        (0, N_STEPS, N_INPUTS),
        (N_STEPS, N_INPUTS),
        (N_TRIALS, N_STEPS, N_INPUTS, 1),
    ],
)
def test_inputs_have_the_circuits_shape(shape):
    refusal(lambda: gradients_with("squared_error", inputs=jnp.zeros(shape)), shape)


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        ("squared_error", (N_TRIALS, N_STEPS, N_OUTPUTS + 1)),
        ("squared_error", (N_TRIALS, N_OUTPUTS)),
        ("squared_error", (N_TRIALS, N_STEPS - 1, N_OUTPUTS)),
        ("squared_error", (N_TRIALS + 1, N_STEPS, N_OUTPUTS)),
        ("sigmoid_cross_entropy", (N_TRIALS, N_STEPS)),
        ("softmax_cross_entropy", (N_TRIALS, N_STEPS, N_OUTPUTS)),
        ("softmax_cross_entropy", (N_TRIALS,)),
    ],
)
def test_targets_have_the_readouts_shape(loss, shape):
    refusal(lambda: gradients_with(loss, targets=jnp.zeros(shape, int)), shape)


@pytest.mark.parametrize("shape", [(N_TRIALS,), (N_TRIALS, 1), (N_STEPS, N_TRIALS), (N_TRIALS, N_STEPS, N_OUTPUTS)])
def test_the_mask_has_one_number_a_target(shape):
    refusal(lambda: gradients_with("squared_error", mask=jnp.ones(shape)), shape)


@pytest.mark.parametrize("shape", [(), (1,), (N_TRIALS + 1,), (N_TRIALS, 1)])
def test_there_is_one_length_a_trial(shape):
    refusal(lambda: gradients_with("squared_error", lengths=jnp.ones(shape, int)), shape)


@pytest.mark.parametrize("value", [0, -1, N_STEPS + 1])
def test_lengths_lie_within_the_inputs(value):
    message = refusal(lambda: gradients_with("squared_error", lengths=jnp.asarray([1, value, N_STEPS])), value)
    assert message.startswith("lengths[1]")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["inputs", "targets", "mask"])
def test_a_number_that_is_not_finite_is_refused_where_it_stands(name, value):
    good = random_trials("every step masked", "squared_error", seed=0)
    values = getattr(good, name)
    where = (2, 3, 1)[: values.ndim]
    message = refusal(lambda: gradients_with("squared_error", **{name: values.at[where].set(value)}), value)
    assert message.startswith(f"{name}{list(where)}")


@settings(max_examples=20)
@given(st.integers(-100, -1) | st.integers(N_OUTPUTS, 100))
def test_classes_lie_within_the_outputs(value):
    targets = jnp.zeros((N_TRIALS, N_STEPS), int).at[1, 2].set(value)
    refusal(lambda: gradients_with("softmax_cross_entropy", targets=targets), value)


def test_classes_are_whole_numbers():
    targets = jnp.zeros((N_TRIALS, N_STEPS))
    refusal(lambda: gradients_with("softmax_cross_entropy", targets=targets), "float64")


@pytest.mark.parametrize("loss", ["squared_error", "softmax_cross_entropy", "sigmoid_cross_entropy"])
def test_good_trials_are_accepted(loss):
    assert gradients_with(loss, lengths=jnp.asarray([1, 2, N_STEPS])).cortex.w_rec.any()
