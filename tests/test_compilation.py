"""Compile options: chosen by need, stored with a run, left out where a compiler does not know them; kept programs."""

import subprocess
import sys
import warnings

import jax
import pytest
from tiny import BP1, CIRCUIT, Recall

import neuro_bpl as nb
from neuro_bpl import compilation
from neuro_bpl.experiments.experiment import Experiment, Schedule
from neuro_bpl.runs import store
from neuro_bpl.runs.contents import StoredPart
from neuro_bpl.training import trainer

UNKNOWN = ("xla_this_option_is_of_no_compiler", 1)
N_STEPS = 4
TWICE = """
import sys, jax, neuro_bpl as nb
nb.keep_compiled(sys.argv[1])
print(float(jax.jit(lambda a: 2 * a + 1)(3.0)))
"""


@pytest.fixture
def optimising():
    """As in a process of a user, where JAX was not told to optimise less."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def experiment(n_updates):
    seeds = nb.Seeds.count(2)
    return Experiment(CIRCUIT, Recall(), BP1, nb.Optimizers(), Schedule(n_updates=n_updates, batch_size=3), seeds)


def stored(**attrs):
    return StoredPart({}, {}, {"status": "running", **attrs})


def test_an_option_that_the_compiler_does_not_know_is_left_out(optimising, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert compilation.known((UNKNOWN, *compilation.LOOP[:1])) == compilation.LOOP[:1]


def test_an_option_that_the_user_has_set_is_left_to_the_user(optimising, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"--{compilation.LOOP[0][0]}=3")
    assert compilation.LOOP[0] not in compilation.known(compilation.LOOP)


def test_another_backend_than_the_cpu_gets_no_options(optimising, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    assert compilation.known(compilation.LOOP)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compilation.known(compilation.LOOP) == ()


def test_options_of_a_stored_run_come_back_and_those_unknown_here_are_named():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compilation.read(compilation.written(compilation.LOOP)) == compilation.LOOP
    with pytest.warns(RuntimeWarning, match=UNKNOWN[0]):
        assert compilation.read(compilation.written((*compilation.LOOP, UNKNOWN))) == compilation.LOOP


def test_a_run_keeps_the_options_that_it_began_with_however_long_it_becomes(optimising, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")

    def options(n_updates, stored=None):
        return trainer._compile_options(experiment(n_updates), N_STEPS, stored)

    short, long = options(10), options(10**9)
    assert (short, long) == (compilation.known(compilation.ONCE), compilation.known(compilation.LOOP))
    assert short != long
    assert options(160_000) == long, "seconds of a loop that was compiled in a hurry are no gain"
    assert options(10**9, stored(compile_options=compilation.written(short))) == short
    assert options(10, stored(compile_options=compilation.written(long))) == long
    assert options(10, stored()) == (), "a run that says nothing was compiled without any"
    with pytest.warns(RuntimeWarning, match=UNKNOWN[0]):
        assert options(10, stored(compile_options=compilation.written((UNKNOWN,)))) == ()


@pytest.mark.full
def test_a_run_says_what_it_was_compiled_with(optimising, monkeypatch, tmp_path):
    monkeypatch.setenv("XLA_FLAGS", "")
    nb.train(CIRCUIT, Recall(), BP1, n_updates=1, batch_size=3, output=tmp_path / "run", progress=False)
    said = {part.attrs["compile_options"] for part in store.read(tmp_path / "run").parts.values()}
    assert said == {compilation.written(compilation.known(compilation.ONCE))}


@pytest.mark.full
def test_a_damaged_program_is_compiled_again(tmp_path):
    def start():
        return subprocess.run([sys.executable, "-c", TWICE, tmp_path], capture_output=True, text=True, check=True)

    assert start().stdout == "7.0\n"
    programs = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert programs
    for path in programs:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert start().stdout == "7.0\n"
