"""Trials one after another, as functions of time."""

from typing import Any, NamedTuple

import brian2
import numpy as np
from jaxtyping import Float

from neuro_bpl.parameters import refusal
from neuro_bpl.trials import Trials


class Schedule(NamedTuple):
    """Values of every step of every trial, trial after trial.

    `importance` is the weight of a step's target in the loss; `left` the number of steps to the trial's end.
    """

    inputs: Float[np.ndarray, "step inputs"]
    targets: Float[np.ndarray, "step outputs"]
    importance: Float[np.ndarray, " step"]
    left: Float[np.ndarray, " step"]

    def namespace(self, dt: brian2.Quantity) -> dict[str, brian2.TimedArray]:
        """Functions of time by the names that the equations know them by."""
        timed = {
            "stimulus": self.inputs,
            "goal": self.targets,
            "importance": self.importance / dt,
            "has_future": (self.left > 0).astype(float),
            "is_running": (self.left >= 0).astype(float),
        }
        return {name: brian2.TimedArray(values, dt=dt, name=name) for name, values in timed.items()}


def of(trials: Trials) -> Schedule:
    """The steps of trials, in order."""

    def in_order(values: Any) -> np.ndarray:
        values = np.asarray(values, float)
        return np.moveaxis(values, -1, 0).reshape(-1, *values.shape[1:-1])

    inputs, targets, importance = trials.by_step()
    return Schedule(in_order(inputs), in_order(targets), in_order(importance), in_order(_left(trials)))


def _left(trials: Trials) -> np.ndarray:
    return np.broadcast_to(np.asarray(trials.steps_left()), (trials.n_steps, trials.n_trials))


def check_steps(trials: Trials, n_steps: int) -> None:
    """Refuse trials of another length than the circuit's clock of trials (`ValueError`)."""
    if trials.n_steps != n_steps:
        raise refusal(
            "trials.n_steps",
            trials.n_steps,
            f"{n_steps}",
            "the clock that begins trials is part of the network; shorter trials say so in `lengths`",
            f"BrianCircuit(..., n_steps={trials.n_steps})",
        )
