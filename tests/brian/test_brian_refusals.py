"""What Brian2 circuits cannot do is refused, and traps of the simulator are guarded."""

import dataclasses
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import brian2
import numpy as np
import pytest
from bad_input import JUNK
from brian_loops import RECORD, bp, loop_of, make_circuit, needs_compiler, part_of, some_trials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_circuits import N_INPUTS, N_OUTPUTS, N_STEPS, N_UNITS, random_weights

import neuro_bpl as nb
from neuro_bpl.brian import BrianCircuit, equations
from neuro_bpl.learning.predictor_traces import FullTrace
from neuro_bpl.learning.traces import Diagonal

pytestmark = pytest.mark.usefixtures("untyped")
WAY_OUT = r"(?s)is not possible\.\n  Allowed: .*\n  Why: .*\n  Type: "
CIRCUIT, EPROP = make_circuit(), nb.eprop(update="step")
OPEN = make_circuit(cerebellum=False)


@pytest.fixture(scope="module")
def loop():
    return loop_of(CIRCUIT, bp())


@pytest.fixture(scope="module")
def simple():
    """A circuit that learns nothing: the quickest to make."""
    return loop_of(OPEN)


# --------------------------------------------------------------------------------------- circuits, rules and optimisers

SHAPE = {"n_inputs": N_INPUTS, "n_units": N_UNITS}
READOUT = nb.LinearReadout(N_OUTPUTS)
RATES, GRANULAR = nb.RateCortex(**SHAPE, tau=0.05, dt=0.01), nb.GranularPredictor(12, fan_in=3)


def with_cerebellum(cerebellum):
    return nb.Circuit(RATES, READOUT, cerebellum), bp()


def with_rule(rule, **parts):
    return nb.Circuit(RATES, READOUT, GRANULAR, **parts), rule


IMPOSSIBLE = {
    "no circuit": (lambda: (None, None), "circuit = None"),
    "a class of circuit": (lambda: (nb.Circuit, None), "circuit = "),
    "an LSTM": (lambda: (nb.Circuit(nb.LSTMCortex(**SHAPE), READOUT), None), "Circuit.cortex = LSTMCortex"),
    "a GRU": (lambda: (nb.Circuit(nb.GRUCortex(**SHAPE), READOUT), None), "Circuit.cortex = GRUCortex"),
    "a softmax": (
        lambda: (nb.Circuit(RATES, nb.LinearReadout(N_OUTPUTS, "softmax_cross_entropy")), None),
        "LinearReadout.loss = 'softmax_cross_entropy'",
    ),
    "a cost of rates": (
        lambda: (nb.Circuit(RATES, READOUT, regularization=nb.Regularization(rates=0.1)), None),
        "Circuit.regularization",
    ),
    "an initial state that learns": (
        lambda: (nb.Circuit(RATES, READOUT, initial_state=nb.InitialState(learned=True)), None),
        "InitialState.learned = True",
    ),
    "no cerebellum": (lambda: with_cerebellum(None), "cerebellum"),
    "a linear cerebellum": (lambda: with_cerebellum(nb.LinearPredictor()), "Circuit.cerebellum = LinearPredictor"),
    "granule cells that read inputs": (
        lambda: with_cerebellum(dataclasses.replace(GRANULAR, reads_input=True)),
        "Circuit.cerebellum = GranularPredictor",
    ),
    "granule cells that learn": (
        lambda: with_cerebellum(dataclasses.replace(GRANULAR, plasticity="all")),
        "GranularPredictor",
    ),
    "the maker of a rule": (lambda: with_rule(nb.eprop), "rule = "),
    "updates of trials": (lambda: with_rule(nb.bp_lambda()), "LearningRule.update = 'trial'"),
    "a rule that is not local": (lambda: with_rule(nb.rtrl(update="step")), "LearningRule.trace = Full"),
    "a diagonal cortical trace": (
        lambda: with_rule(nb.LearningRule(Diagonal(), nb.ImmediateError(), "backward", "step")),
        "LearningRule.trace = Diagonal",
    ),
    "random feedback": (
        lambda: with_rule(nb.rflo(update="step"), feedback=nb.FeedbackPathway()),
        "LearningRule.credit = Feedback",
    ),
    "the full trace": (lambda: with_rule(bp(predictor_trace=FullTrace())), "predictor_trace = FullTrace"),
    "the full trace by default": (
        lambda: with_rule(nb.bp_lambda(view="backward", update="step")),
        "predictor_trace = None",
    ),
    "an olive with weights": (
        lambda: with_rule(bp(td_error="random"), olive=nb.OlivaryPathway()),
        "LearningRule.td_error = 'random'",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_circuits_and_rules_without_equations_are_refused(case):
    make, words = IMPOSSIBLE[case]
    with pytest.raises(ValueError, match=WAY_OUT) as error:
        equations(*make())
    assert words in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        nb.Optimizers(),
        nb.Optimizers(nb.Optimizer("sgd", 0.1, {"momentum": 0.9}), None, None),
        nb.Optimizers(None, nb.Optimizer("sgd", 0.1, clip_norm=1.0), None),
        nb.Optimizers(None, None, nb.Optimizer("rmsprop")),
        [nb.Optimizer("sgd")] * 3,
        "sgd",
    ],
    ids=str,
)
def test_optimisers_that_are_not_plain_gradient_descent_are_refused(wrong):
    with pytest.raises(ValueError, match=WAY_OUT):
        loop_of(CIRCUIT, EPROP, optimizers=wrong)


def test_weights_of_another_circuit_are_refused():
    with pytest.raises(ValueError, match=WAY_OUT):
        BrianCircuit(CIRCUIT, random_weights(OPEN, 0), n_steps=N_STEPS)


# ----------------------------------------------------------------------------------------- arguments, whatever they are


def is_whole(value, low=1, high=np.inf):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and low <= value <= high


TRIALS, RECORDED = some_trials(n_trials=3), ("rates", "outputs")
JUDGED = {
    "n_steps": (lambda value: loop_of(OPEN, n_steps=value), lambda value: is_whole(value)),
    "target": (lambda value: loop_of(OPEN, target=value), lambda _: False),
    "equations": (lambda value: loop_of(OPEN, equations=value), lambda value: value is None),
    "namespace": (lambda value: loop_of(OPEN, namespace=value), lambda value: value is None or isinstance(value, dict)),
    "rule": (lambda value: loop_of(OPEN, value), lambda value: value is None),
    "optimizers": (lambda value: loop_of(OPEN, optimizers=value), lambda value: value is None),
    "circuit": (equations, lambda value: isinstance(value, nb.Circuit)),
}
PLAYED = {
    "trials": (lambda loop, value: loop.run(value), lambda _: False),
    "probe": (lambda loop, value: loop.run(TRIALS, probe=value), lambda value: value is None),
    "record": (
        lambda loop, value: loop.run(TRIALS, value),
        lambda value: isinstance(value, (list, tuple)) and not value,
    ),
    "n_snapshots": (lambda loop, value: loop.run(TRIALS, n_snapshots=value), lambda value: is_whole(value, 1, 3)),
    "n_recorded": (
        lambda loop, value: loop.run(TRIALS, n_recorded=value),
        lambda value: value is None or is_whole(value, 1, 3),
    ),
    "values": (lambda loop, value: loop.sweep(value, TRIALS), lambda _: False),
    "a value": (
        lambda loop, value: loop.sweep({"lambda_": value}, TRIALS),
        lambda value: isinstance(value, (list, tuple)) and value in ([1], (0, 1)),
    ),
    "a number": (
        lambda loop, value: loop.sweep({"lambda_": [value]}, TRIALS),
        lambda value: is_real(value, 1),
    ),
    "a rate": (
        lambda loop, value: loop.sweep({"learning_rate": [value]}, TRIALS),
        lambda value: is_real(value, np.inf),
    ),
}


def is_real(value, high):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= high and value < np.inf


@pytest.mark.parametrize("argument", JUDGED)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.sampled_from(JUNK))
def test_an_argument_of_a_circuit_that_makes_no_sense_is_refused(argument, value):
    make, allows = JUDGED[argument]
    if not allows(value):
        with pytest.raises(ValueError, match=WAY_OUT):
            make(value)


@pytest.mark.parametrize("argument", PLAYED)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.sampled_from(JUNK))
def test_an_argument_of_a_run_that_makes_no_sense_is_refused(loop, argument, value):
    call, allows = PLAYED[argument]
    if not allows(value):
        with pytest.raises(ValueError, match=WAY_OUT):
            call(loop, value)


def other_length(n_steps):
    return nb.Trials(np.zeros((2, n_steps, N_INPUTS)), np.zeros((2, 1, N_OUTPUTS)))


UNFIT = {
    "shorter trials": (lambda loop: loop.run(other_length(N_STEPS - 1)), f"n_steps={N_STEPS - 1}"),
    "longer trials": (lambda loop: loop.sweep({"kappa": [1.0]}, other_length(N_STEPS + 1)), f"n_steps={N_STEPS + 1}"),
    "other inputs": (lambda loop: loop.run(nb.Trials(TRIALS.inputs[..., :1], TRIALS.targets)), "inputs"),
    "NaN": (lambda loop: loop.run(nb.Trials(TRIALS.inputs * np.nan, TRIALS.targets)), "inputs"),
    "a misspelt name": (lambda loop: loop.run(TRIALS, ["rate"]), 'record=["rates"]'),
    "what no circuit here records": (lambda loop: loop.run(TRIALS, ["cortical_trace"]), "outputs, granule_rates"),
    "a quantity of evaluations without a probe": (lambda loop: loop.run(TRIALS, ["gradient_alignment"]), "`probe`"),
    "a text as record": (lambda loop: loop.run(TRIALS, "rates"), 'record=["rates"]'),
    "too many snapshots": (lambda loop: loop.run(TRIALS, n_snapshots=4), "from 1 to 3"),
    "too many recorded trials": (lambda loop: loop.run(TRIALS, n_recorded=4), "from 1 to 3"),
    "a misspelt number": (lambda loop: loop.sweep({"lambda": [0.5]}, TRIALS), '{"lambda_": [...]}'),
    "no values": (lambda loop: loop.sweep({"lambda_": []}, TRIALS), "a list of different numbers"),
    "the same value twice": (lambda loop: loop.sweep({"lambda_": [0.5, 0.5]}, TRIALS), "a list of different numbers"),
    "no grid": (lambda loop: loop.sweep({}, TRIALS), "names and lists of numbers"),
    "a value out of range": (lambda loop: loop.sweep({"lambda_": [0.5, 1.5]}, TRIALS), "0 <= lambda_ <= 1"),
    "a negative rate": (lambda loop: loop.sweep({"learning_rate": [-0.1]}, TRIALS), "0 <= learning_rate"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_trials_records_and_grids_that_do_not_fit_are_refused(loop, case):
    call, words = UNFIT[case]
    with pytest.raises(ValueError, match=WAY_OUT) as error:
        call(loop)
    assert words in str(error.value)


def test_what_a_circuit_without_a_cerebellum_or_rule_lacks_is_refused(simple):
    with pytest.raises(ValueError, match=WAY_OUT + r"record=\[\"rates\"\]"):
        simple.run(TRIALS, ["granule_rates"])
    with pytest.raises(ValueError, match=WAY_OUT):
        simple.run(TRIALS, ["weight_alignment"], probe=TRIALS)
    with pytest.raises(ValueError, match="a LearningRule"):
        simple.sweep({"learning_rate": [0.1]}, TRIALS)
    learning = loop_of(OPEN, EPROP, optimizers=nb.Optimizers(None, nb.Optimizer("sgd", 0.1), None))
    for name in ("lambda_", "learning_rate", "predictor_learning_rate"):
        with pytest.raises(ValueError, match="Allowed: readout_learning_rate"):
            learning.sweep({name: [0.1]}, TRIALS)


def test_what_makes_sense_is_not_refused(loop):
    """Liveness: it is the one argument that is refused above."""
    loop.run(TRIALS, RECORD, n_snapshots=np.int64(3), n_recorded=1, probe=TRIALS)
    loop.sweep({"lambda_": (0, 1)}, TRIALS, list(RECORD))


# ----------------------------------------------------------------------------------------------- equations of one's own


def edited(name="cortex", rule=EPROP, circuit=OPEN, **edit):
    script = equations(circuit, rule)
    script[name] = script[name].swap(**edit) if "old" in edit else script[name].add(**edit)
    return script


OPEN_BRACKET = r"'\(' was never closed|Unbalanced parentheses"  # in the words of Brian2 2.9, and of 2.11
MISTAKES = {
    "a unit too few": (edited(old="(activation - r)/tau", new="activation - r"), r"expected unit hertz \(unit is 1\)"),
    "units of what is learnt": (edited(learn="bias += tau"), "'bias' has unit 1; 'tau' has unit s"),
    "an unknown name": (edited(model="a = nonsense : 1"), 'The identifier "nonsense" could not be resolved'),
    "an unknown name in code": (edited(reset="bias = nonsense"), 'The identifier "nonsense" could not be resolved'),
    "no unit": (edited(model="a = 2"), "Parsing failed"),
    "an open bracket": (edited(model="a = (2 : 1"), OPEN_BRACKET),
    "an open bracket in code": (edited(learn="bias += (2"), OPEN_BRACKET),
    "an unknown flag": (edited(model="a = 2 : 1 (shred)"), "cannot have a flag 'shred'"),
    "a variable twice": (edited(model="r : 1"), "Duplicate definition of variable 'r'"),
    "a sum for nobody": (edited("output", old="synaptic_post", new="synaptc_post"), "'synaptc_post' does not refer"),
    "nothing to record": (edited("readout", old="y = ", new="z = "), "no y"),
    "no weight": (edited("recurrent", old="w : 1", new="v : 1"), "no w"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_an_equation_is_said_in_words(case):
    script, words = MISTAKES[case]
    with pytest.raises(ValueError, match=WAY_OUT) as error:
        loop_of(OPEN, EPROP, equations=script).run(TRIALS)
    assert re.search(words, str(error.value))


def test_equations_of_other_populations_or_of_another_kind_are_refused():
    script = equations(OPEN)
    for wrong in (
        {},
        equations(CIRCUIT, bp()),
        {**script, "cortx": script["cortex"]},
        {**script, "cortex": "r : 1"},
    ):
        with pytest.raises(ValueError, match=WAY_OUT):
            loop_of(OPEN, equations=wrong)
    with pytest.raises(ValueError, match=WAY_OUT):
        script["cortex"].swap("activaton", "r")
    with pytest.raises(ValueError, match="functions of the trials"):
        loop_of(OPEN, namespace={"stimulus": 1})


def test_equations_print_as_they_are_read():
    script = equations(CIRCUIT, bp())
    for one in script.values():
        lines = str(one).splitlines()
        assert all(line.startswith("    ") and line == line.rstrip() for line in lines)
        columns = {line.index("#") for line in lines if "#" in line}
        assert len(columns) <= 1
        assert f"\n{one}" in str(script)
    assert str(script).startswith("inputs\n")
    assert "\nrecurrent: cortex → cortex\n" in str(script)


# ---------------------------------------------------------------------------------------------------------------- traps


def test_event_driven_traces_are_refused():
    script = edited("feedforward", model="da/dt = -a/tau_post : 1 (event-driven)")
    with pytest.raises(ValueError, match=WAY_OUT + r"a: \(clock-driven\)"):
        loop_of(OPEN, EPROP, equations=script).run(TRIALS)


@pytest.mark.full
def test_synapses_without_connect_are_refused():
    loop = loop_of(OPEN)
    forgotten = brian2.Synapses(loop.groups["cortex"], loop.groups["cortex"], name="forgotten")
    loop.network.add(forgotten)
    with pytest.raises(ValueError, match=WAY_OUT + r"forgotten\.connect\(\)"):
        loop.run(TRIALS)
    forgotten.connect(j="i")
    loop.run(TRIALS)


def test_every_clock_has_a_name_of_its_own():
    loop = loop_of(CIRCUIT, bp())
    monitor = brian2.StateMonitor(loop.groups["cortex"], "r", record=True)
    loop.network.add(monitor)
    run = loop.run(TRIALS, ["rates"])
    clocks = {id(one.clock): one.clock.name for one in loop.network.sorted_objects}
    assert sorted(clocks.values()) == ["step", "trial"]
    # It looks at "start": behind the reset of a trial, before its first step.
    rates, seen = run["activity"]["rates"].values[0, 0], monitor.r.T.reshape(3, N_STEPS, N_UNITS)
    assert (seen[:, 1:] == rates[:, :-1]).all()
    assert (seen[:, 0] == 0).all()


@pytest.mark.parametrize("target", ["cython", "cpp_standalone"])
def test_code_that_must_be_compiled_is_refused_in_a_thread(monkeypatch, target):
    monkeypatch.setattr(brian2.CythonCodeObject, "is_available", lambda: True)
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(loop_of, OPEN, target=target).exception()
        assert pool.submit(loop_of, OPEN).exception() is None
    assert isinstance(error, ValueError)
    assert "compiling in a thread ends the whole process" in str(error)
    loop_of(OPEN)


def test_without_a_compiler_numpy_is_used_with_a_warning_or_on_request(monkeypatch):
    monkeypatch.setattr(brian2.CythonCodeObject, "is_available", lambda: False)
    with pytest.warns(UserWarning, match="no working C.. compiler was found"):
        assert loop_of(OPEN, target="auto").target == "numpy"
    assert loop_of(OPEN, target="numpy").target == "numpy"
    for target in ("cython", "cpp_standalone"):
        with pytest.raises(ValueError, match=WAY_OUT + 'target="numpy"'):
            loop_of(OPEN, target=target)


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match=WAY_OUT + 'target="cython"'):
        loop_of(OPEN, target="cythn")


def test_the_target_is_that_of_a_circuit_and_not_of_the_session():
    before = brian2.prefs.codegen.target
    loop_of(OPEN).run(TRIALS)
    assert brian2.prefs.codegen.target == before


@needs_compiler
def test_a_program_in_cpp_is_alone_and_gives_way():
    with loop_of(OPEN, target="cpp_standalone") as program:
        folder = program._program.folder
        with pytest.raises(ValueError, match=WAY_OUT + r"circuit\.close\(\)"):
            loop_of(OPEN)
        with pytest.raises(ValueError, match="1 with target cpp_standalone"):
            program.run(TRIALS, n_snapshots=2)
        program.network.add(brian2.NetworkOperation(lambda: None, clock=program.groups["cortex"].clock))
        with pytest.raises(ValueError, match=WAY_OUT + "run_regularly"):
            program.run(TRIALS)
    assert not folder.exists()
    program.close()
    with pytest.raises(ValueError, match=WAY_OUT) as error:
        program.run(part_of(TRIALS, slice(1)))
    assert "a run after close()" in str(error.value)
    loop_of(OPEN).run(TRIALS)


@needs_compiler
def test_a_program_in_cpp_that_cannot_be_made_does_not_stay_in_the_way():
    with pytest.raises(ValueError, match=WAY_OUT):
        loop_of(OPEN, EPROP, equations=MISTAKES["a sum for nobody"][0], target="cpp_standalone")
    loop_of(OPEN).run(TRIALS)


@needs_compiler
def test_a_program_in_cpp_that_failed_is_not_tried_again():
    with loop_of(OPEN, EPROP, equations=MISTAKES["a unit too few"][0], target="cpp_standalone") as program:
        with pytest.raises(ValueError, match="expected unit hertz"):
            program.run(TRIALS)
        with pytest.raises(ValueError, match="a second run"):
            program.run(TRIALS)
    loop_of(OPEN).run(TRIALS)


@pytest.mark.full
def test_importing_the_package_does_not_import_brian2():
    code = "import sys, neuro_bpl as nb; assert 'brian2' not in sys.modules; nb.brian; assert 'brian2' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
