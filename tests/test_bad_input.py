"""Bad input: refused with what is allowed, why, and what to type; never a library's traceback or a silent success."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bad_input import CALLS, JUNK, TRAIN, refusal_of, sweep, train
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tiny import CIRCUIT, CORTEX, READOUT, Recall

import neuro_bpl as nb

pytestmark = pytest.mark.usefixtures("untyped")
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
FAST, LONG = (
    settings(max_examples=6, suppress_health_check=CHECKS),
    settings(max_examples=120, suppress_health_check=CHECKS),
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Relative paths lead nowhere that matters, and a run that was not refused does not print."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_refused(data, name):
    call = CALLS[name]
    argument = data.draw(st.sampled_from(sorted(call.allowed)), label="argument")
    value = data.draw(st.sampled_from(JUNK), label="value")
    assume(not call.allowed[argument](value))
    assert refusal_of(name, argument, value) == "", f"{name}({argument}={value!r})"


@pytest.mark.parametrize("name", CALLS)
@FAST
@given(data=st.data())
def test_an_argument_that_makes_no_sense_is_refused(name, data):
    check_refused(data, name)


@pytest.mark.science
@pytest.mark.parametrize("name", CALLS)
@LONG
@given(data=st.data())
def test_no_argument_that_makes_no_sense_is_let_through(name, data):
    check_refused(data, name)


@pytest.mark.parametrize(
    "name", [name for name, call in CALLS.items() if None not in call.given.values() and name != "export_netcdf"]
)
def test_what_makes_sense_is_not_refused(name):
    """Liveness: it is the one argument that is refused above."""
    if name != "OptaxOptimizer":
        CALLS[name].make(**CALLS[name].given)


@settings(max_examples=10, suppress_health_check=CHECKS)
@given(
    wrong=st.dictionaries(
        st.sampled_from(["n_updates", "batch_size", "n_evaluations", "n_snapshots", "seeds"]),
        st.sampled_from([0, -1, 1.5, "3", None, float("nan")]),
        min_size=1,
        max_size=5,
    ),
    where=st.sampled_from(
        [{}, {"output": "run"}, {"output": "run", "resume": True}, {"output": "run", "overwrite": True}]
    ),
    maker=st.sampled_from([train, sweep]),
)
def test_several_wrong_arguments_are_refused_and_nothing_is_left_behind(tmp_path, wrong, where, maker):
    with pytest.raises(ValueError, match=r"(?s)Allowed: .*Why: .*Type: "):
        maker(**wrong, **where)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- what fits nothing else, one by one

KEY = jax.random.key(0)


def networks(n, circuit=CIRCUIT):
    with jax.enable_x64(False):
        return jax.vmap(circuit.init)(jax.random.split(KEY, n))


def spoilt(weights):
    return weights._replace(cortex=weights.cortex._replace(b=weights.cortex.b * jnp.nan))


WRONG = {
    "weights without a network axis": lambda: train(weights=CIRCUIT.init(KEY)),
    "weights of more networks than seeds": lambda: train(weights=networks(3), seeds=2),
    "weights of fewer networks than seeds": lambda: train(weights=networks(1), seeds=2),
    "weights of another circuit": lambda: train(
        weights=networks(1, nb.Circuit(nb.RateCortex(2, 4), READOUT, nb.LinearPredictor()))
    ),
    "weights without a cerebellum": lambda: train(weights=networks(1, nb.Circuit(CORTEX, READOUT))),
    "weights that are not finite": lambda: train(weights=spoilt(networks(1))),
    "weights as a dictionary": lambda: train(weights={"cortex": 1}),
    "a seed too large for JAX": lambda: train(seeds=nb.Seeds((2**70,), (0,), (0,))),
    "a seed that is True": lambda: nb.Seeds((True,), (0,), (0,)),
    "seeds in lists": lambda: sweep(seeds=nb.Seeds([0], [0], [0])),
    "a text as record": lambda: train(record="loss"),
    "record=None": lambda: train(record=None),
    "a misspelt quantity": lambda: train(record=["los"]),
    "granule cells without any": lambda: train(record=["granule_rates"]),
    "quantities of a prediction without one": lambda: train(rule=nb.bptt(), record=["td_error"]),
    "the maker of a rule": lambda: train(rule=nb.bptt),
    "the class of a task": lambda: train(task=Recall),
    "the class of a predictor": lambda: train(circuit=nb.Circuit(CORTEX, READOUT, nb.LinearPredictor)),
    "cortex and readout swapped": lambda: train(circuit=nb.Circuit(READOUT, CORTEX)),
    "a list of optimisers": lambda: train(optimizers=[nb.Optimizer()] * 3),
    "one optimiser for all": lambda: train(optimizers=nb.Optimizer()),
    "an optimiser by its name alone": lambda: train(optimizers=nb.Optimizers("adam")),
    "an Optax optimiser that is none": lambda: train(optimizers=nb.Optimizers(nb.OptaxOptimizer(0.1))),
    "an option that is not finite": lambda: nb.Optimizer(options={"b1": float("nan")}),
    "an option that is a text": lambda: nb.Optimizer(options={"b1": "0.9"}),
    "an option that is no number": lambda: nb.Optimizer(options={"mu_dtype": "float32"}),
    "λ as an array": lambda: train(rule=nb.bp_lambda(np.array([0.0, 1.0]))),
    "a task of other inputs": lambda: train(task=nb.tasks.TargetReaching(4, 2, 3)),
    "class numbers for vectors": lambda: train(
        circuit=nb.Circuit(CORTEX, nb.LinearReadout(2, "softmax_cross_entropy"), nb.LinearPredictor())
    ),
    "a stream with too few trials for a row": lambda: train(
        task=nb.tasks.Stream(Recall(), n_in_a_row=8), rule=nb.bp_lambda(view="backward", update="step")
    ),
    "a rule of trials on a stream": lambda: train(task=nb.tasks.Stream(Recall(), n_in_a_row=3)),
    "a predictor that is missing": lambda: train(circuit=nb.Circuit(CORTEX, READOUT)),
    "more fibres than there are": lambda: train(circuit=nb.Circuit(CORTEX, READOUT, nb.GranularPredictor(4, 9))),
    "resume without output": lambda: train(resume=True),
    "overwrite without output": lambda: train(overwrite=True),
    "resume and overwrite": lambda: train(resume=True, overwrite=True, output="run"),
    "an output that is a number": lambda: train(output=3),
    "an output with a zero byte": lambda: train(output="a\0b"),
    "an output with a name too long": lambda: train(output="x" * 300),
    "an empty grid": lambda: sweep(grid={}),
    "a grid of no values": lambda: sweep(grid={"lambda_": []}),
    "a grid that is a list": lambda: sweep(grid=[("lambda_", [0.5])]),
    "a grid of numbered parameters": lambda: sweep(grid={1: [0.5]}),
    "a grid of NaN": lambda: sweep(grid={"lambda_": [float("nan")]}),
    "a grid of an array": lambda: sweep(grid={"lambda_": np.array([0.0, 1.0])}),
    "a grid of mixed kinds": lambda: sweep(grid={"lambda_": [0.5, "0.7"]}),
    "a grid over the whole circuit": lambda: sweep(grid={"circuit": [CIRCUIT]}),
    "a grid over the precision and a typo": lambda: sweep(grid={"precison": ["float64"]}),
    "a grid of texts for a rule": lambda: sweep(grid={"rule": ["bptt", "bp_lambda"]}),
    "no networks at once": lambda: sweep(at_once=0),
    "fewer than no networks at once": lambda: sweep(at_once=-1),
    "a half network at once": lambda: sweep(at_once=1.5),
    "gradients of another circuit's weights": lambda: nb.bptt().gradients(
        CIRCUIT, nb.Circuit(CORTEX, READOUT).init(KEY), Recall().probe()
    ),
    "gradients with weights of several networks": lambda: nb.bptt().gradients(CIRCUIT, networks(2), Recall().probe()),
    "loading a dictionary": lambda: nb.load({}),
    "loading types that are none": lambda: nb.load(nb.train(CIRCUIT, Recall(), nb.bptt(), **TRAIN), types=[3]),
    "loading at a text": lambda: nb.load(nb.train(CIRCUIT, Recall(), nb.bptt(), **TRAIN), at="x"),
    "loading a seed by text": lambda: nb.load(nb.train(CIRCUIT, Recall(), nb.bptt(), **TRAIN), seed="0"),
    "evaluating no trials": lambda: nb.evaluate(
        CIRCUIT, CIRCUIT.init(KEY), nb.Trials(jnp.zeros((0, 4, 2)), jnp.zeros((0, 4, 2)))
    ),
    "evaluating NaN": lambda: nb.evaluate(
        CIRCUIT, CIRCUIT.init(KEY), nb.Trials(jnp.zeros((1, 4, 2)) / 0, jnp.zeros((1, 4, 2)))
    ),
    "evaluating lists": lambda: nb.evaluate(CIRCUIT, CIRCUIT.init(KEY), nb.Trials([[[0.0, 0.0]]], [[[0.0, 0.0]]])),
    "exporting to a folder": lambda: nb.export_netcdf(
        nb.train(CIRCUIT, Recall(), nb.bptt(), **TRAIN), ".", overwrite=True
    ),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused(make, tmp_path):
    with pytest.raises((ValueError, OSError), match=r"(?s)Type: ") as caught:
        make()
    assert "Allowed: " in str(caught.value) or isinstance(caught.value, OSError)
    assert list(tmp_path.iterdir()) == []
