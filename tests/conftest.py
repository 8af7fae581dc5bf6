"""Session settings, and fixtures that several test files share."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile

import met
import pytest

# Compiling is most of the time of the tests: optimised less, in one piece, by the older emitters of fused loops.
QUICK = ("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1")
ASK = """
import sys, jax
for flag in sys.argv[1:]:
    name, value = flag.lstrip("-").split("=")
    try:
        jax.jit(lambda a: a + 1, compiler_options={name: value}).lower(1.0).compile()
        print(flag)
    except Exception:
        pass
"""


def known_flags():
    """The flags that the installed jaxlib knows, asked in a process of its own: XLA ends one on an unknown flag."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", ASK, *QUICK], env=environment, capture_output=True, text=True)
    return done.stdout.split()


# Set once, before the worker processes begin, which inherit them. Compiled programs are shared by the workers and by
# the scripts that tests start, however small they are; none are found beforehand.
if "NEURO_BPL_TEST_FLAGS" not in os.environ:
    os.environ["NEURO_BPL_TEST_FLAGS"] = " ".join(known_flags())
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {os.environ['NEURO_BPL_TEST_FLAGS']}".strip()
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="neuro_bpl_compiled_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

MOST_MAPS = 65_530  # Linux's vm.max_map_count, unless it was set


def pytest_configure(config):
    """Settings of JAX and Hypothesis, where tests run: the process that only hands them out imports neither."""
    config.pluginmanager.register(met.Met(config))
    if config.getoption("numprocesses", 0) and not hasattr(config, "workerinput"):
        return
    import hypothesis
    import jax

    jax.config.update("jax_enable_x64", True)
    hypothesis.settings.register_profile("tests", deadline=None, database=None, derandomize=True)
    hypothesis.settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Where parameters of a test are crossed, cases beyond those that meet every value once are of the full tier."""
    functions = {}
    for item in items:
        functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in functions.values():
        for case in set(cases) - set(covering(cases)):
            case.add_marker(pytest.mark.full)


def parameters(case):
    """The parameters of a case, each with its name; a tuple is as many parameters as it has members."""
    values = case.callspec.params if hasattr(case, "callspec") else {}
    return {
        (name, place, id(value))
        for name, given in values.items()
        for place, value in enumerate(given if isinstance(given, tuple) else (given,))
    }


def covering(cases):
    """Few cases of a test that meet every value of every parameter, chosen greedily; all of them where it says so."""
    if cases[0].get_closest_marker("every_case"):
        return cases
    values = [parameters(case) for case in cases]
    missing, chosen = set().union(*values), [] if any(values) else cases
    while missing:
        best = max(range(len(cases)), key=lambda at: len(values[at] & missing))
        chosen.append(cases[best])
        missing -= values[best]
    return chosen


def n_maps():
    """Memory maps of this process; as many as there may be where the system does not say."""
    try:
        with open("/proc/self/maps", "rb") as maps:
            return sum(1 for _ in maps)
    except OSError:
        return MOST_MAPS


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Every compiled program takes several of the memory maps that a process may have: half of them are enough."""
    yield
    if n_maps() > MOST_MAPS // 2:
        import jax

        jax.clear_caches()


@pytest.fixture
def untyped():
    """Without the type checks that only tests have: wrong types are refused by the package itself."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def script(monkeypatch, capsys):
    """Run a script in this process, as from a shell in the repository root; its status and what it wrote."""
    import scripting

    # JAX's settings stay as they are.
    monkeypatch.setattr("neuro_bpl.scripting.command_line.keep_compiled", lambda: None)
    monkeypatch.chdir(scripting.ROOT)

    def run(path, *words):
        monkeypatch.setattr(sys, "argv", [path, *map(str, words)])
        status = scripting.status_of(path)
        wrote = capsys.readouterr()
        return status, wrote.out, wrote.err

    return run
