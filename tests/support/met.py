"""Whether the default tier meets every rule, cell, trace, credit, predictor, task and script; a session fails if not.

What a test computes with is noted where all of it passes: where a rule learns, a task is asked for trials, and a script
is run.
"""

import functools

import pytest
import scripting

DEFAULT = "not full and not science"
SCRIPTS = ("models", "analyses", "benchmarks")
PROTOCOLS = {
    *("CorticalStep", "Sweeping", "Trace", "Assignment", "Credit", "StepCredit"),
    *("Extent", "PredictorTrace", "Rates", "WithDutch"),
}


class Met:
    """Notes what tests meet, in the processes that run them, and compares it in the process that began the session."""

    def __init__(self, config):
        self.config, self.met, self.wanted = config, set(), set()
        self.is_worker = hasattr(config, "workerinput")
        self.missing = []
        if self.is_worker or not config.getoption("numprocesses", 0):
            self.wanted = watched(self.met)

    def pytest_sessionfinish(self, session):
        if self.is_worker:
            self.config.workeroutput["met"] = (sorted(self.met), sorted(self.wanted))
        elif self.whole_tier() and session.testscollected > 0 and session.exitstatus == pytest.ExitCode.OK:
            self.missing = sorted(self.wanted - self.met)
            if self.missing:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        met, wanted = getattr(node, "workeroutput", {}).get("met", ((), ()))
        self.met.update(met)
        self.wanted.update(wanted)

    def pytest_terminal_summary(self, terminalreporter):
        if self.missing:
            terminalreporter.section("FAILED: the default tier does not meet", red=True, bold=True)
            for name in self.missing:
                terminalreporter.line(name)

    def whole_tier(self):
        """Whether all tests of the default tier were asked for."""
        config = self.config
        everywhere = config.args_source is config.ArgsSource.TESTPATHS
        return everywhere and config.option.markexpr == DEFAULT and not config.option.keyword


def watched(met):
    """Note from now on what is met; the names of all that should be."""
    import neuro_bpl as nb

    for name in ("learn", "init"):
        setattr(nb.LearningRule, name, noting(getattr(nb.LearningRule, name), of_rule, met))
    tasks = [getattr(nb.tasks, name) for name in nb.tasks.__all__ if name not in ("Task", "SequentialDigits")]
    for task in tasks:
        method = "sample_level" if hasattr(task, "sample_level") else "sample"
        setattr(task, method, noting(getattr(task, method), lambda task, *_: {f"task {type(task).__name__}"}, met))
    for name in ("status_of", "in_shell"):
        setattr(scripting, name, noting(getattr(scripting, name), lambda path, *_: {f"script {path}"}, met))
    return everything(nb) | {f"task {task.__name__}" for task in tasks} | scripts()


def noting(function, named, met):
    """A function that notes what it is called with."""

    @functools.wraps(function)
    def noted(*given, **more):
        met.update(named(*given[:2]))
        return function(*given, **more)

    return noted


def of_rule(rule, circuit):
    """Names of the parts of a rule, and of those of the circuit that learns by it."""
    parts = {"trace": rule.trace, "credit": rule.credit, "cell": circuit.cortex}
    if rule.credit.predicting:
        parts["predictor"] = circuit.cerebellum
    if (carried := rule.parts.eligibility) is not None:
        parts["predictor trace"] = carried
    return {f"{kind} {type(part).__name__}" for kind, part in parts.items()} | {pair(rule)}


def pair(rule):
    return f"rule {type(rule.trace).__name__} × {type(rule.credit).__name__}"


def everything(nb):
    """Names of all parts of rules and circuits, and of the pairs that algorithms have names for."""
    arguments = {nb.tbptt: (2,)}
    public = {name: getattr(nb, name) for name in nb.__all__}
    algorithms = [one for one in public.values() if getattr(one, "__module__", "") == "neuro_bpl.learning.algorithms"]
    folders = {"trace": nb.traces, "credit": nb.credit, "predictor trace": nb.predictor_traces}
    parts = {f"{kind} {name}" for kind, folder in folders.items() for name in folder.__all__ if name not in PROTOCOLS}
    cells = {f"cell {name}" for name in nb.__all__ if name.endswith("Cortex")}
    predictors = {f"predictor {name}" for name in nb.__all__ if name.endswith("Predictor")}
    return parts | cells | predictors | {pair(make(*arguments.get(make, ()))) for make in algorithms}


def scripts():
    """Names of all scripts that a person may start."""
    files = (path for folder in SCRIPTS for path in (scripting.ROOT / folder).glob("*.py"))
    found = {path.relative_to(scripting.ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return {f"script {path}" for path, text in found.items() if '__name__ == "__main__"' in text}
