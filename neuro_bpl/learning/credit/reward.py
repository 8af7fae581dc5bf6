"""Reward: one number for all synapses, for rules that find out by trying."""

from dataclasses import dataclass

import jax


@jax.tree_util.register_static
@dataclass(frozen=True)
class Reward:
    """ℓₜ(s̃ₜ) − ℓₜ(sₜ): how much more a perturbed state costs than the unperturbed one, docs/theory.md (28).

    The third factor of a three-factor rule: it says how well it went, and not which unit did it.
    """

    predicting = False
    window = 1
    scope = "reward"
    stochastic = False
