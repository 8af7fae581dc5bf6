"""Which circuits, rules and optimisers have equations in continuous time; the others are refused, with the reason."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import brian2
import numpy as np
from brian2.equations.equations import EquationError

from neuro_bpl.circuit.cells.rate import RateCortex
from neuro_bpl.circuit.circuit import Circuit
from neuro_bpl.circuit.predictors.granular import GranularPredictor
from neuro_bpl.learning.credit import ImmediateError, Predicted
from neuro_bpl.learning.optimizers import Optimizer, Optimizers
from neuro_bpl.learning.predictor_traces import DiagonalTrace, LeakTrace
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.learning.traces import Immediate, Leaky
from neuro_bpl.refusals import expect, refusal

EXAMPLE = (
    'bp_lambda(trace=Leaky(), view="backward", update="step", predictor_trace=predictor_traces.LeakTrace(), '
    'td_error="diagonal")'
)


def check_pair(circuit: Circuit, rule: LearningRule | None) -> None:
    """Refuse a circuit or rule with parts that have no equations (`ValueError`)."""
    expect("circuit", circuit, Circuit, "a Circuit", "it is what is simulated", "Circuit(cortex, readout, cerebellum)")
    _check_circuit(circuit)
    if rule is None:
        return
    why = "it is how the circuit learns; None: it does not"
    expect("rule", rule, LearningRule, "a LearningRule, or None", why, EXAMPLE)
    _check_rule(rule)
    rule.check_circuit(circuit)
    if rule.credit.predicting:
        _check_cerebellum(circuit)


def _check_circuit(circuit: Circuit) -> None:
    if not isinstance(circuit.cortex, RateCortex):
        why = "gates of the LSTM and the GRU have no equation in continuous time"
        raise refusal("Circuit.cortex", circuit.cortex, "RateCortex(...)", why, "RateCortex(..., tau=0.1, dt=0.01)")
    if circuit.readout.loss == "softmax_cross_entropy":
        why = "a softmax joins all outputs, and the readout's equations are those of single ones"
        fix = f'LinearReadout({circuit.readout.n_outputs}, "sigmoid_cross_entropy") with one bit for each class'
        raise refusal("LinearReadout.loss", circuit.readout.loss, "squared_error, sigmoid_cross_entropy", why, fix)
    if any(vars(circuit.regularization).values()):
        why = "costs of rates and weights have no equations here"
        raise refusal("Circuit.regularization", circuit.regularization, "none", why, "Circuit(...) without it")
    if circuit.initial_state.learned:
        why = "the initial state is a constant of the equations"
        raise refusal("InitialState.learned", True, "False", why, "InitialState(mean, sd)")


def _check_cerebellum(circuit: Circuit) -> None:
    cerebellum = circuit.cerebellum
    inputs = getattr(cerebellum, "reads_input", False)
    if not isinstance(cerebellum, GranularPredictor) or cerebellum.plasticity != "output" or inputs:
        raise refusal(
            "Circuit.cerebellum",
            cerebellum,
            "GranularPredictor(n_granule, fan_in) whose parallel fibres alone learn, and which reads the state alone",
            "these populations have equations",
            "GranularPredictor(n_granule=150, fan_in=4)",
        )


def _check_rule(rule: LearningRule) -> None:
    if rule.update != "step":
        why = "in continuous time weights change as the trial runs"
        raise refusal("LearningRule.update", rule.update, "step", why, EXAMPLE)
    if not isinstance(rule.trace, (Immediate, Leaky)):
        why = "these traces are one number for each synapse"
        raise refusal("LearningRule.trace", rule.trace, "Immediate() or Leaky()", why, "trace=Leaky()")
    if not isinstance(rule.credit, (ImmediateError, Predicted)):
        why = "these credits have equations"
        raise refusal("LearningRule.credit", rule.credit, "ImmediateError() or Predicted(...)", why, EXAMPLE)
    if not rule.credit.predicting:
        return
    if not isinstance(rule.predictor_trace, (LeakTrace, DiagonalTrace)):
        raise refusal(
            "LearningRule.predictor_trace",
            rule.predictor_trace,
            "predictor_traces.LeakTrace() or predictor_traces.DiagonalTrace()",
            "a synapse has one number for its trace",
            EXAMPLE,
        )
    if rule.td_error not in ("exact", "diagonal"):
        why = "the olive has no weights of its own here"
        raise refusal("LearningRule.td_error", rule.td_error, "exact, diagonal", why, 'td_error="diagonal"')


def check_optimizers(optimizers: Optimizers) -> None:
    """Refuse optimisers that are not plain gradient descent (`ValueError`)."""
    expect("optimizers", optimizers, Optimizers, "Optimizers", "each part has a learning rate of its own", SGD)
    for part, one in vars(optimizers).items():
        plain = isinstance(one, Optimizer) and one.name == "sgd" and not one.options and one.clip_norm is None
        if one is not None and not plain:
            why = "a synapse knows its own trace and credit, not the running means of Adam or a norm over all weights"
            raise refusal(f"Optimizers.{part}", one, 'Optimizer("sgd", rate), or None', why, SGD)


SGD = 'Optimizers(Optimizer("sgd", 0.01), Optimizer("sgd", 0.01), Optimizer("sgd", 0.1))'


# What is set and recorded, whatever the equations.
NEEDED = {
    "cortex": ("r", "bias", "r_birth"),
    "readout": ("y", "bias"),
    "granule": ("rate", "bias"),
    "nuclei": ("prediction", "bias"),
    "olive": ("td_error",),
    **dict.fromkeys(("feedforward", "recurrent", "output", "mossy", "parallel"), ("w",)),
}


def check_equations(given: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Refuse equations of the user's own that cannot stand for those of circuit and rule (`ValueError`).

    They may not leave a population or pathway out, name an unknown one, or lack what is set and recorded.
    """
    fix = "equations(circuit, rule) with one of them changed by swap(...) or add(...)"
    expect("equations", given, Mapping, "Equations by name", "each population and pathway has its own", fix)
    if set(given) != set(wanted):
        different = ", ".join(sorted(map(str, set(given) ^ set(wanted))))
        raise refusal("equations", list(given), ", ".join(wanted), f"{different}: on one side only", fix)
    for name, one in given.items():
        expect(f"equations[{name!r}]", one, type(wanted[name]), "Equations(model, ...)", "it is not text alone", fix)
        missing = [needed for needed in NEEDED.get(name, ()) if needed not in _variables(name, one)]
        if missing:
            why = "these are set from the weights, or recorded"
            raise refusal(f"equations[{name!r}]", f"no {missing[0]}", ", ".join(NEEDED[name]), why, fix)


def _variables(name: str, one: Any) -> Collection[str]:
    """Return variables that equations define; refuses text that Brian2 cannot read."""
    try:
        return brian2.Equations(one.model).names
    except (EquationError, SyntaxError, ValueError) as error:
        why = "Brian2 cannot read it"
        fix = '"da/dt = (r - a)/tau_a : 1" or "a = 2*r : 1", one a line'
        raise refusal(f"equations[{name!r}]", _plain(error), "equations with units", why, fix) from error


def check_n_steps(n_steps: int) -> None:
    """Refuse a number of steps that a trial cannot have (`ValueError`)."""
    if isinstance(n_steps, bool) or not isinstance(n_steps, (int, np.integer)) or n_steps < 1:
        why = "the clock of trials ticks once in so many steps"
        raise refusal("n_steps", n_steps, "a whole number >= 1", why, "n_steps=trials.n_steps")


def blocks(n_trials: int, n_snapshots: int, is_program: bool) -> list[int]:
    """Return numbers of trials between snapshots; refuses what cannot be done (`ValueError`)."""
    whole = isinstance(n_snapshots, (int, np.integer)) and not isinstance(n_snapshots, bool)
    if not whole or not 1 <= n_snapshots <= n_trials:
        why = "snapshots are taken between trials, the last one at the end"
        raise refusal("n_snapshots", n_snapshots, f"a whole number from 1 to {n_trials}", why, "n_snapshots=1")
    if is_program and n_snapshots > 1:
        why = "a program in C++ hands out its weights when it has ended"
        fix = 'n_snapshots=1, or target="cython"'
        raise refusal("n_snapshots", n_snapshots, "1 with target cpp_standalone", why, fix)
    edges = np.linspace(0, n_trials, n_snapshots + 1).round().astype(int)
    return [int(n) for n in np.diff(edges)]


def check_recorded(n_recorded: int | None, n_trials: int) -> int:
    """Return trials whose record is kept; refuses a number that cannot be (`ValueError`)."""
    if n_recorded is None:
        return n_trials
    whole = isinstance(n_recorded, (int, np.integer)) and not isinstance(n_recorded, bool)
    if not whole or not 1 <= n_recorded <= n_trials:
        why = "it counts trials, from the last one backwards"
        raise refusal("n_recorded", n_recorded, f"a whole number from 1 to {n_trials}, or None", why, "n_recorded=10")
    return int(n_recorded)


def check_network(network: brian2.Network, is_program: bool) -> None:
    """Refuse what Brian2 would silently leave out or get wrong (`ValueError`)."""
    for one in network.objects:
        if isinstance(one, brian2.NetworkOperation) and is_program:
            why = "a program in C++ cannot call Python, and leaves it out without a word"
            raise refusal("network", one.name, "no network_operation", why, 'run_regularly, or target="cython"')
        if isinstance(one, brian2.Synapses):
            _check_synapses(one)


def _check_synapses(synapses: brian2.Synapses) -> None:
    try:
        synapses.check_variable_write(synapses.variables["i"])
    except TypeError as error:  # nobody has called connect()
        why = "without synapses it would add nothing, without a word"
        raise refusal("network", synapses.name, "connected synapses", why, f"{synapses.name}.connect()") from error
    driven = [one.varname for one in synapses.event_driven.values()] if synapses.event_driven is not None else []
    if driven:
        why = "it is brought up to date by spikes alone, and out of date wherever else it is read"
        fix = f"{driven[0]}: (clock-driven)"
        raise refusal("network", f"{synapses.name}.{driven[0]} (event-driven)", "clock-driven traces", why, fix)


@contextmanager
def explained(*further: type[Exception]) -> Iterator[None]:
    """What went wrong in an equation, in the words of its cause (`ValueError`); also of errors of `further` types."""
    try:
        yield
    except (brian2.BrianObjectException, *further) as error:
        where = "" if error.__cause__ is None else f" {str(error).splitlines()[0]}"
        raise refusal(
            "equations",
            _plain(_root(error)) + where,
            "equations whose units agree and whose names are known",
            "Brian2 could not make code of them",
            "print(circuit.equations) to see all of them",
        ) from error


def _plain(error: BaseException) -> str:
    """Return the words of an error, in one line."""
    said = error.args[0] if isinstance(error, KeyError) else error  # which shows its words as a literal
    return " ".join(str(said).split())


def _root(error: BaseException) -> BaseException:
    """Return what an error comes from in the end."""
    return error if error.__cause__ is None else _root(error.__cause__)
