"""What training needs of a task."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Key, PyTree, Shaped

from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.trials import Trials


@runtime_checkable
class Task(Protocol):
    """Source of trials. Tasks are registered pytrees, so that compiled code takes their data as arguments."""

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Draw training trials: the trials from the data key, their noise from the noise key."""

    def held_out(self, split: str) -> Trials:
        """Return all trials of "validation" or "test", the same at every call."""

    def probe(self) -> Trials:
        """Return a few fixed held-out trials for recording activity and gradients."""


@runtime_checkable
class Curriculum(Task, Protocol):
    """Task whose training trials depend on the learner's performance; each network has its own level.

    A level is a pytree of arrays of fixed shape, so that a step up never recompiles.
    """

    def first_level(self) -> PyTree:
        """Return the level at which every network starts."""

    def sample_level(
        self, level: PyTree, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int
    ) -> Trials:
        """Draw training trials of a level."""

    def next_level(self, level: PyTree, outcome: Outcome) -> PyTree:
        """Return the level after an update."""

    def difficulty(self, level: PyTree) -> Shaped[Array, ""]:
        """Return one number that is recorded as the level's difficulty, such as the steps of a trial."""

    def padded(self, levels: PyTree) -> "Curriculum":
        """Return the task padded no more than the trials of these levels (one for each network) need.

        A task whose trials are equally long at all levels returns itself.
        """


@runtime_checkable
class Streaming(Task, Protocol):
    """Task without trial boundaries: each sample continues where the one before it ended."""

    streaming: bool
