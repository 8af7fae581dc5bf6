"""Held-out trials of tasks that draw their trials: always the same ones, apart from those of training."""

import jax
from jaxtyping import Array, Key

from neuro_bpl.refusals import one_of

SEEDS = {"validation": 716_243_089, "test": 1_402_876_511}  # arbitrary numbers that nobody counts up to


def held_out_key(split: str) -> Key[Array, ""]:
    """Return the key that the trials of "validation" or "test" are drawn from.

    Raises
    ------
    ValueError
        If there is no such split.
    """
    why = "training trials are drawn anew at every update; these two sets are drawn once and kept apart"
    return jax.random.key(SEEDS[one_of("split", split, list(SEEDS), why)])
