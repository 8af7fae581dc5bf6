"""What training needs of a task."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Key

from neuro_bpl.trials import Trials


@runtime_checkable
class Task(Protocol):
    """A source of trials. Tasks are registered pytrees, so that their data travel to compiled code as arguments."""

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Training trials; which ones from the data key, their noise from the noise key."""

    def held_out(self, split: str) -> Trials:
        """All trials of "validation" or "test", the same at every call."""

    def probe(self) -> Trials:
        """A few fixed held-out trials for recording activity and gradients."""
