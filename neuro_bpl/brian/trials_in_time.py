"""Trials one after another, as functions of time."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import brian2
import numpy as np
from jaxtyping import Float

from neuro_bpl.refusals import expect, refusal
from neuro_bpl.trials import Trials

FUNCTIONS = ("stimulus", "goal", "importance", "has_future", "is_running")


class Schedule(NamedTuple):
    """Values of every step of every trial, trial after trial.

    `importance` is the weight of a step's target in the loss; `left` the number of steps to the trial's end.
    """

    inputs: Float[np.ndarray, "step inputs"]
    targets: Float[np.ndarray, "step outputs"]
    importance: Float[np.ndarray, " step"]
    left: Float[np.ndarray, " step"]

    def namespace(self, dt: brian2.Quantity) -> dict[str, brian2.TimedArray]:
        """Return functions of time by the names that the equations know them by."""
        has_future, is_running = (self.left > 0).astype(float), (self.left >= 0).astype(float)
        timed = (self.inputs, self.targets, self.importance / dt, has_future, is_running)
        return {
            name: brian2.TimedArray(values, dt=dt, name=name) for name, values in zip(FUNCTIONS, timed, strict=True)
        }


def of(trials: Trials) -> Schedule:
    """Return the steps of trials, in order."""

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


def check_namespace(namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return names of the user's own; refuses those of the trials' functions of time (`ValueError`)."""
    if namespace is None:
        return {}
    fix = 'namespace={"tau_a": 0.2 * brian2.second}'
    expect("namespace", namespace, Mapping, "names and what they stand for", "equations of your own read them", fix)
    for name in FUNCTIONS:
        if name in namespace:
            raise refusal("namespace", name, "other names", f"{', '.join(FUNCTIONS)} are functions of the trials", fix)
    return dict(namespace)
