"""A learner: one network in training."""

from typing import NamedTuple

from jaxtyping import Array, Int, PyTree

from neuro_bpl.circuit import Weights


class Learner(NamedTuple):
    """One network in training; `diverged_at` is the update of its first non-finite loss, or −1."""

    weights: Weights
    optimizer_state: PyTree
    diverged_at: Int[Array, ""]
