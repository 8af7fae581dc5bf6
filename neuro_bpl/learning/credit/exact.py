"""The true future gradient, of the whole trial or of windows."""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Int

from neuro_bpl.circuit.cells.protocol import State
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning import lambda_targets
from neuro_bpl.learning.credit.protocol import Assignment, with_errors
from neuro_bpl.learning.whole_trial import WholeTrial
from neuro_bpl.parameters import check, documented, field


@documented
@jax.tree_util.register_static
@dataclass(frozen=True)
class Exact:
    """Fₜ = Gₜ, the true future gradient: BPTT; cut at the end of windows of n steps: TBPTT(n), docs/theory.md (13)."""

    window: int | None = field(None, "steps of a window (None: the whole trial)", low=1)

    predicting = False
    scope = "future"

    def __post_init__(self) -> None:
        check(self)

    @property
    def label(self) -> str:
        """BPTT or TBPTT(n)."""
        return "BPTT" if self.window is None else f"TBPTT({self.window})"

    def assign(self, circuit: Circuit, weights: Weights, trial: WholeTrial) -> Assignment:
        """Return one reverse sweep."""

        def mix(_: State, swept_t: State, left_t: Int[Array, " batch"]) -> State:
            if self.window is None:
                return swept_t
            return lambda_targets.window_mix(swept_t, swept_t, lambda_targets.window_ends(left_t, self.window), 0.0)

        swept = lambda_targets.future(circuit, weights, trial, mix)
        future = jax.vmap(mix)(swept, swept, trial.steps_left)
        return Assignment(future, with_errors(trial, future), None)
