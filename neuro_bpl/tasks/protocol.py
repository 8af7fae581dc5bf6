"""What training needs of a task."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Key, PyTree, Shaped

from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.trials import Trials


@runtime_checkable
class Task(Protocol):
    """A source of trials. Tasks are registered pytrees, so that their data travel to compiled code as arguments."""

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Return training trials; which ones from the data key, their noise from the noise key."""

    def held_out(self, split: str) -> Trials:
        """Return all trials of "validation" or "test", the same at every call."""

    def probe(self) -> Trials:
        """Return a few fixed held-out trials for recording activity and gradients."""


@runtime_checkable
class Curriculum(Task, Protocol):
    """A task whose training trials depend on how well the learner does; each network has a level of its own.

    A level is a pytree of arrays of fixed shape, so that a step up never recompiles.
    """

    def first_level(self) -> PyTree:
        """Return where every network starts."""

    def sample_level(
        self, level: PyTree, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int
    ) -> Trials:
        """Return training trials of a level."""

    def next_level(self, level: PyTree, outcome: Outcome) -> PyTree:
        """Return the level after an update."""

    def difficulty(self, level: PyTree) -> Shaped[Array, ""]:
        """Return one number that tells levels apart on record, such as the steps of a trial."""

    def padded(self, levels: PyTree) -> "Curriculum":
        """Return the same task, padded no more than the trials of these levels (one for each network) need.

        A task whose trials are equally long at all levels gives itself.
        """


@runtime_checkable
class Streaming(Task, Protocol):
    """A task without trial boundaries: each sample goes on where the one before it ended."""

    streaming: bool
