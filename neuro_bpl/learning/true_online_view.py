"""The true online view: TD errors and traces that make up for changes of the weights within a trial."""

from dataclasses import dataclass
from typing import NoReturn

from jaxtyping import Array, Float

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.backward_view import BackwardView, OnlineState
from neuro_bpl.learning.lambda_targets import Scalar
from neuro_bpl.learning.legality import not_held
from neuro_bpl.learning.random_draws import Noise
from neuro_bpl.learning.single_step import SingleStep
from neuro_bpl.trials import Trials


@dataclass(frozen=True)
class TrueOnlineView:
    """The backward view with a Dutch trace, docs/theory.md (30): step by step, and never with weights held."""

    name: str
    steps: BackwardView

    def learn(self, circuit: Circuit, weights: Weights, trials: Trials, noise: Noise) -> NoReturn:
        """Refuse a gradient with weights held (`ValueError`): the view is about weights that are not."""
        raise not_held(self.name)

    def init(self, circuit: Circuit, weights: Weights, n_trials: int, n_steps: int | None, noise: Noise) -> OnlineState:
        """Return the state before the first step, as in the backward view."""
        return self.steps.init(circuit, weights, n_trials, n_steps, noise)

    def step(
        self,
        circuit: Circuit,
        weights: Weights,
        state: OnlineState,
        single_step: SingleStep,
        step_size: Scalar | None = None,
    ) -> tuple[OnlineState, Weights, Float[Array, ""], Float[Array, "outputs batch"]]:
        """Return the state after a step, the step's share of the gradient, its loss, and yₜ."""
        return self.steps.step(circuit, weights, state, single_step, step_size)
