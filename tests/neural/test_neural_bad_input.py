"""Bad calls of every public callable of `neural`: refused with what to type, never a library's error or a success."""

import warnings

import pytest
from bad_neural_input import CALLS, JUNK, N_TRIALS, RATES, SESSION, refusal_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from neuro_bpl import neural

pytestmark = pytest.mark.usefixtures("untyped")
CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
FILES = ("read", "read_connectome", "read_deverett", "read_golub", "read_hanks", "read_nwb", "read_run_nwb", "fetch")
NO_CALL = (*FILES, "table", "respond", "write_nwb")  # what is given beside the bad argument is no valid call


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Relative paths lead nowhere that matters."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_every_public_callable_has_its_bad_calls():
    made = {name for name in neural.__all__ if callable(getattr(neural, name))}
    assert made <= set(CALLS), made - set(CALLS)


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=8, suppress_health_check=CHECKS)
@given(data=st.data())
def test_an_argument_that_makes_no_sense_is_refused(name, data):
    argument = data.draw(st.sampled_from(sorted(CALLS[name].allowed)), label="argument")
    value = data.draw(st.sampled_from(JUNK), label="value")
    assume(not CALLS[name].allowed[argument](value))
    assert refusal_of(name, argument, value) == "", f"{name}({argument}={value!r})"


@pytest.mark.science
@pytest.mark.parametrize("name", CALLS)
def test_no_argument_that_makes_no_sense_is_let_through(name):
    """All of them, one by one: 10 000 calls."""
    for argument, is_allowed in CALLS[name].allowed.items():
        for value in JUNK:
            if not is_allowed(value):
                assert refusal_of(name, argument, value) == "", f"{name}({argument}={value!r})"


@pytest.mark.parametrize("name", [name for name in CALLS if name not in NO_CALL])
def test_what_makes_sense_is_not_refused(name):
    """Liveness: it is the one argument that is refused above."""
    CALLS[name].make(**CALLS[name].given)


def refused(*words):
    return pytest.raises(ValueError, match="(?s)" + "".join(f"(?=.*{word})" for word in words) + ".*Type: ")


def test_the_nearest_column_that_fits_is_named_and_not_the_nearest_spelling():
    trial = {"side_name": ("trial", ["L", "R"] * (N_TRIALS // 2)), "sides": ("trial", [2, 3] * (N_TRIALS // 2))}
    rates = RATES.assign_coords(trial)
    with refused(r"choice = .side_name: ", r'choice="side"'):
        neural.choice_auc(rates, "side_name")
    with refused("choice = 'sidesx'", r'choice="side"'):
        neural.choice_auc(rates, "sidesx")
    assert neural.choice_auc(rates, "side").dims == ("time", "unit")
    trials = SESSION["trials"].to_dataset().assign(evidence_text=("trial", ["a"] * N_TRIALS))
    with refused("evidence = 'evidence_text'", 'evidence="(go|event_time|recorded)'):
        neural.psychometric(trials, "evidence_text", "side")
    with refused("choice = 'went_right'", 'choice="side"'):
        neural.psychometric(trials, "go")


def test_a_unit_is_found_by_a_position_that_there_is():
    assert neural.spike_times(SESSION, 2).size == 200
    for wrong in (3, -1, "2", 1.0, True):
        with refused("unit = ", "0 to 2"):
            neural.spike_times(SESSION, wrong)
    with refused("trial = 0", "session clock"):
        neural.spike_times(SESSION, 0, trial=0)
