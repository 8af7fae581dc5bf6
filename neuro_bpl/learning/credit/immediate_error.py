"""The immediate error alone."""

from dataclasses import dataclass

import jax


@jax.tree_util.register_static
@dataclass(frozen=True)
class ImmediateError:
    """Fₜ = 0: the cortex learns from lₜ alone."""

    label = "immediate error"
    predicting = False
    window = 1
    scope = "now"
