"""A stream: the trials of a task, arriving one after another without a boundary, some of them without their target."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.protocol import Curriculum, Streaming, Task
from neuro_bpl.trials import Trials

LABELS = 1_263_871  # folded into the data key: an arbitrary number that no task folds in for itself


class Sized(Protocol):
    """Task with known numbers of inputs, outputs and steps."""

    n_inputs: int
    n_outputs: int
    n_steps: int


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("task", "label_probability"),
    meta_fields=("n_in_a_row",),
)
@dataclass(frozen=True)
class Stream:
    """A task whose trials follow one another without a boundary.

    Training carries the cortical state and the eligibility traces from each trial of a batch to the trial in the same
    place of the next batch; the stream says what arrives. Held-out trials are joined to long ones, so that they, too,
    begin in the state that the trial before left behind.

    Parameters
    ----------
    task : Task
        Where the trials come from; they must be equally long.
    label_probability : float
        Probability that a training trial keeps its target; without it the trial is seen, and its loss is zero.
    n_in_a_row : int
        Trials of the task in one held-out trial.

    Attributes
    ----------
    streaming : bool
        True: tells training not to reset the cortex between trials.

    Raises
    ------
    ValueError
        If a parameter is not possible, or the trials of the task are not equally long.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> task = nb.tasks.Stream(nb.tasks.SequentialDigits.load(), label_probability=0.3)
    >>> task.held_out("test").inputs.shape  # 360 digits of 8 rows, 8 digits in a row
    (45, 64, 8)
    """

    task: Task = field(doc="where the trials come from")
    label_probability: float = field(1.0, "probability that a training trial keeps its target", low=0, high=1)
    n_in_a_row: int = field(8, "trials of the task in one held-out trial", low=1)

    streaming = True

    def __post_init__(self) -> None:
        check(self)
        if not isinstance(self.task, Task) or isinstance(self.task, (type, Curriculum, Streaming)):
            raise refusal(
                "Stream.task",
                self.task,
                "a task with sample, held_out and probe that is neither a stream nor a curriculum",
                "a stream is made of separate trials, all of one level",
                "Stream(nb.tasks.SequentialDigits.load())",
            )

    @property
    def n_inputs(self) -> int:
        """Number of input channels of a step."""
        return cast(Sized, self.task).n_inputs

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the task."""
        return cast(Sized, self.task).n_outputs

    @property
    def n_steps(self) -> int:
        """Number of steps of a training trial."""
        return cast(Sized, self.task).n_steps

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Draw training trials of the task; the mask is zero where a trial lost its target.

        Inputs and targets are those that the task draws from the same keys.
        """
        trials = _equally_long(self.task.sample(data_key, noise_key, batch_size))
        lots = jax.random.uniform(jax.random.fold_in(data_key, LABELS), (batch_size, 1), trials.inputs.dtype)
        kept = (lots < self.label_probability).astype(trials.inputs.dtype)
        return Trials(trials.inputs, trials.targets, _mask(trials) * kept)

    def held_out(self, split: str) -> Trials:
        """Return all trials of a split, `n_in_a_row` at a time as one long trial; see `in_a_row`."""
        return in_a_row(self.task.held_out(split), self.n_in_a_row)

    def probe(self) -> Trials:
        """Return the probe batch, `n_in_a_row` at a time as one long trial; see `in_a_row`."""
        return in_a_row(self.task.probe(), self.n_in_a_row)


def in_a_row(trials: Trials, n: int) -> Trials:
    """Join trials in time, n at a time and in order: (rows, n·time, ...), with a target at every step.

    The mask is that of the trials, and 0 at steps without a target, where the target reads zero. The loss of a row is
    therefore the sum over its trials. Trials that do not fill a row are left out.

    Raises
    ------
    ValueError
        If there are fewer than n trials, or they are not equally long.
    """
    trials, n_rows = _equally_long(trials), trials.n_trials // n
    if n_rows == 0:
        raise refusal(
            "Stream.n_in_a_row",
            n,
            f"1 to {trials.n_trials}",
            f"the task has {trials.n_trials} held-out trials here, too few to fill one row",
            f"n_in_a_row={trials.n_trials}",
        )

    def joined(steps: Shaped[Array, "batch time *rest"]) -> Shaped[Array, "rows times *rest"]:
        return steps[: n_rows * n].reshape(n_rows, n * trials.n_steps, *steps.shape[2:])

    def at_every_step(values: Shaped[Array, "batch target *rest"]) -> Shaped[Array, "batch time *rest"]:
        before = trials.n_steps - values.shape[1]
        return jnp.pad(values, ((0, 0), (before, 0), *((0, 0),) * (values.ndim - 2)))

    return Trials(joined(trials.inputs), joined(at_every_step(trials.targets)), joined(at_every_step(_mask(trials))))


def _mask(trials: Trials) -> Float[Array, "batch target"]:
    return trials.weights().T


def _equally_long(trials: Trials) -> Trials:
    if trials.lengths is not None:
        raise refusal(
            "Stream.task",
            "a task whose trials have lengths",
            "a task whose trials are equally long (lengths=None)",
            "the next trial follows at once, and the trials of a batch would not end together",
            "Trials(inputs, targets, mask) without lengths, or train on the task itself",
        )
    return trials
