"""Cost of learning, before anything runs: multiply–adds of an update, and bytes.

A program is traced with the shapes of its arrays and counted; nothing is computed, compiled or allocated. Where JAX
writes programs down in a way that is not known here, the cost is unknown: None, with a warning.
"""

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.compilation import LOOP, compiled, known
from neuro_bpl.costs.multiply_adds import multiply_adds
from neuro_bpl.costs.peak_memory import footprint
from neuro_bpl.costs.traced_program import KNOWN_JAX, UnknownProgramError, program_of
from neuro_bpl.experiments import evaluation
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.experiment import Schedule, Seeds
from neuro_bpl.experiments.learner import Learner, learn_batch
from neuro_bpl.experiments.updates import UPDATES_STATIC, birth, sample, updates
from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import expect, refusal
from neuro_bpl.tasks.protocol import Curriculum
from neuro_bpl.trials import Trials

UNKNOWN = "unknown"


@dataclass(frozen=True, repr=False)
class Cost:
    """Cost of one update of all networks together.

    Parameters
    ----------
    multiply_adds : float or None
        Products of two numbers; sums alone are not counted (`arithmetic`). None where it is unknown.
    memory : int or None
        Bytes at the peak, all of the following among them. None where it is unknown.
    carried : int
        Bytes of state and traces that the rule carries from step to step; 0 for a rule that looks back on the trial.
    weights : int
        Bytes of weights and of what their optimisers remember.
    """

    multiply_adds: float | None
    memory: int | None
    carried: int
    weights: int

    def __repr__(self) -> str:
        bytes_of = {name: n_bytes(getattr(self, name)) for name in ("memory", "carried", "weights")}
        parts = {"multiply_adds": scaled(self.multiply_adds), **bytes_of}
        return f"Cost({', '.join(f'{name}={value}' for name, value in parts.items())})"


def cost(
    circuit: Circuit,
    rule: LearningRule,
    *,
    batch_size: int,
    n_steps: int,
    seeds: int | Seeds = 1,
    optimizers: Optimizers | None = None,
    precision: str = "float32",
    at_last_step: bool = False,
) -> Cost:
    """Estimate the cost of one update before it is run.

    A trace that sweeps back through stored steps is counted over all of them; its tolerance is ignored.

    Parameters
    ----------
    circuit : Circuit
        What learns.
    rule : LearningRule
        How it learns.
    batch_size, n_steps : int
        Trials of an update, and steps of a trial.
    seeds : int or Seeds
        Number of networks that are trained together, or their seeds.
    optimizers : Optimizers, optional
        Optimisers of cortex, readout and predictor; Adam with learning rate 0.001 each by default.
    precision : "float32" or "float64"
        Floating-point format.
    at_last_step : bool
        Whether targets are given at the last step only, instead of at every step.

    Returns
    -------
    Cost
        Of all networks together. Drawing trials, evaluation and recording are not part of it.

    Raises
    ------
    ValueError
        If an argument is not possible, or the circuit lacks what the rule reads.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> circuit = nb.Circuit(nb.RateCortex(n_inputs=10, n_units=100), nb.LinearReadout(2))
    >>> nb.cost(circuit, nb.rtrl(), batch_size=50, n_steps=20)
    Cost(multiply_adds=115 G, memory=444 MB, carried=222 MB, weights=136 kB)
    """
    expect("circuit", circuit, Circuit, "a Circuit", "it is what learns", "Circuit(cortex, readout, cerebellum)")
    expect("rule", rule, LearningRule, "a LearningRule", "it is how the circuit learns", "bp_lambda(), with brackets")
    expect("at_last_step", at_last_step, bool, "True or False", "it says when there are targets", "at_last_step=True")
    if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
        raise refusal("n_steps", n_steps, "a whole number >= 1", "it is the length of a trial", "n_steps=10")
    schedule = Schedule(n_updates=1, batch_size=batch_size, precision=precision)
    optimizers, seeds = optimizers or Optimizers(), seeds if isinstance(seeds, Seeds) else Seeds.count(seeds)
    rule.check_circuit(circuit)
    with jax.enable_x64(precision == "float64"):
        traced, learners = trace_update(circuit, rule, optimizers, schedule, seeds, n_steps, at_last_step)
        counted = count(traced, rounds(rule, n_steps))
        return Cost(
            multiply_adds=counted.multiply_adds,
            memory=counted.memory,
            carried=len(seeds.weights) * carried(circuit, rule, batch_size, n_steps),
            weights=_bytes((learners.weights, learners.optimizer_state)),
        )


def trace_update(
    circuit: Circuit,
    rule: LearningRule,
    optimizers: Optimizers,
    schedule: Schedule,
    seeds: Seeds,
    n_steps: int,
    at_last_step: bool,
) -> tuple[jax.stages.Traced, Learner]:
    """Trace one update of all networks on given trials, and return the networks' initial shapes too."""

    def one(learner: Learner, trials: Trials, key: Key[Array, ""]) -> tuple[Learner, Outcome]:
        return learn_batch(circuit, rule, optimizers, learner, trials, key)

    def given() -> tuple[Learner, Trials, Key[Array, " network"]]:
        keys = seeds.keys()[0]
        batch = partial(_trials, circuit, schedule, n_steps, at_last_step)
        return jax.vmap(partial(_newborn, circuit, optimizers))(keys), jax.vmap(lambda _: batch())(keys), keys

    shapes = jax.eval_shape(given)
    return jax.jit(jax.vmap(one)).trace(*shapes), shapes[0]


def of_part(part: Cohort) -> Cost:
    """Return the cost of an update of a part, drawing of trials included; memory covers its evaluation, too."""
    first = part.first
    schedule = first.schedule
    with jax.enable_x64(schedule.precision == "float64"):
        hyper, keys = part.hyperparameters(), jax.eval_shape(part.keys)
        learners = _learners(part, hyper, keys)
        n_updates = schedule.longest_chunk()
        traced = compiled(updates, known(LOOP), UPDATES_STATIC).trace(
            first.circuit,
            first.task,
            hyper,
            learners,
            keys[1:],
            0,
            n_updates,
            n_updates,
            schedule.batch_size,
            part.watch,
        )
        counted = count(traced, rounds(first.rule, _n_steps(part)))
        evaluated = count(_evaluation(part, learners.weights))
        return Cost(
            multiply_adds=None if counted.multiply_adds is None else counted.multiply_adds / n_updates,
            memory=_peak(counted.memory, evaluated.memory, _bytes(learners)),
            carried=len(keys[0]) * carried(first.circuit, first.rule, schedule.batch_size, _n_steps(part)),
            weights=_bytes((learners.weights, learners.optimizer_state)),
        )


class Counts(NamedTuple):
    """Multiply–adds of a program, and bytes at its peak; None where they are unknown."""

    multiply_adds: float | None
    memory: int | None


def count(traced: jax.stages.Traced, iterations: float = 1.0) -> Counts:
    """Count a traced program, with `iterations` rounds of loops of unknown length; warn where the cost is unknown."""
    try:
        program = program_of(traced.jaxpr)
        return Counts(multiply_adds(program, iterations), footprint(program))
    except UnknownProgramError as error:
        warnings.warn(
            f"the cost is unknown: JAX {jax.__version__} writes down programs in a way that neuro_bpl does not read "
            f"({error}); it reads those of JAX {KNOWN_JAX[0]} to {KNOWN_JAX[1]}. Memory is not checked before the run, "
            "and all else goes on.",
            RuntimeWarning,
            stacklevel=2,
        )
        return Counts(None, None)


def _peak(training: int | None, evaluation: int | None, learners: int) -> int | None:
    """Return the larger of the bytes of training, and of an evaluation with the learners; None where unknown."""
    return None if training is None or evaluation is None else max(training, learners + evaluation)


def rounds(rule: LearningRule, n_steps: int) -> float:
    """Return the mean number of rounds of a loop of unknown length: a sweep through the remembered steps."""
    horizon = getattr(rule.parts.eligibility, "horizon", None)
    remembered = min(n_steps, n_steps if horizon is None else horizon)
    return remembered * (1 - remembered / (2 * n_steps))


def carried(circuit: Circuit, rule: LearningRule, batch_size: int, n_steps: int) -> int:
    """Return the bytes that a rule carries from step to step for one network."""
    if rule.view == "forward" and rule.update == "trial":
        return 0

    def before_the_first_step() -> PyTree:
        key = jax.random.key(0)
        return rule.init(circuit, circuit.init(key), batch_size, key, n_steps)

    return _bytes(jax.eval_shape(before_the_first_step))


def n_bytes(number: float | None) -> str:
    """Return bytes in words, such as "1.2 GB"."""
    if number is None:
        return UNKNOWN
    return f"{scaled(number)}B" if number >= 999.5 else f"{number:.0f} B"


def scaled(number: float | None) -> str:
    """Return a large number in words, such as "1.2 G"."""
    if number is None:
        return UNKNOWN
    prefixes = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
    unit, name = next(((unit, name) for unit, name in prefixes if number >= 0.9995 * unit), (1.0, ""))
    return f"{_three_digits(number / unit)} {name}".strip()


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 99.95 else f"{number:.1f}"


def _newborn(circuit: Circuit, optimizers: Optimizers, key: Key[Array, ""]) -> Learner:
    """Return a network before its first update."""
    weights = circuit.init(key)
    return Learner(weights, optimizers.transform(circuit, weights).init(weights), jnp.full((), -1, jnp.int32))


def _trials(circuit: Circuit, schedule: Schedule, n_steps: int, at_last_step: bool) -> Trials:
    """Return a batch of trials whose inputs and targets are zero."""
    dtype, readout = jnp.zeros(0).dtype, circuit.readout
    n_trials, n_targets = schedule.batch_size, 1 if at_last_step else n_steps
    inputs = jnp.zeros((n_trials, n_steps, circuit.cortex.n_inputs), dtype)
    if readout.has_classes:
        return Trials(inputs, jnp.zeros((n_trials, n_targets), jnp.int32))
    return Trials(inputs, jnp.zeros((n_trials, n_targets, readout.n_outputs), dtype))


def _learners(part: Cohort, hyper: Any, keys: tuple) -> Learner:
    """Return the shapes of all networks before their first update."""
    first = part.first
    start = jax.eval_shape(part.start)

    def make(hyper: Any, keys: tuple, start: Weights | None) -> Learner:
        return birth(first.circuit, first.task, first.schedule.batch_size, hyper, keys, start, part.watch)[0]

    return jax.eval_shape(make, hyper, keys, start)


def _n_steps(part: Cohort) -> int:
    """Return the steps of a training trial."""
    task, batch_size = part.first.task, part.first.schedule.batch_size

    def draw() -> Trials:
        key = jax.random.key(0)
        return sample(task, task.first_level() if isinstance(task, Curriculum) else (), key, key, batch_size)

    return jax.eval_shape(draw).n_steps


def _evaluation(part: Cohort, weights: Weights) -> jax.stages.Traced:
    """Trace a held-out evaluation of all networks on as many trials as one compiled call takes."""
    trials = part.first.task.held_out("validation")
    some = jax.tree.map(lambda values: values[: evaluation.TRIALS_AT_ONCE], trials)
    return evaluation.outcomes_of_few.trace(part.first.circuit, weights, some)


def _bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
