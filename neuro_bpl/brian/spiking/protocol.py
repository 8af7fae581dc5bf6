"""What a spiking loop is made of: its constants, the weights that it is born with, and what it is shown."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Loop(Protocol):
    """Constants of a spiking loop: a frozen dataclass of `parameters.field`; times in ms, voltages in mV, rates in Hz.

    The equations know its numbers by the names of its fields (`equations`), besides those that are listed here.
    """

    n_inputs: int
    n_units: int
    n_granule: int
    n_cues: int
    n_trials: int
    n_evaluations: int
    n_probe: int
    seeds: int
    first_seed: int
    dt: float
    duration: float
    tau_m: float
    tau_f: float
    v_threshold: float
    steepness: float
    lambda_: float
    discount: float
    readout_learning_rate: float
    predictor_learning_rate: float
    noise: float
    climbing_fibre: str
    target: str

    @property
    def rules(self) -> tuple[str, ...]:
        """Networks that learn side by side."""

    @property
    def n_steps(self) -> int:
        """Steps of a trial."""


class Weights(NamedTuple):
    """Weights of one network, (post, pre); the last input is the bias current. `mask`: mossy fibres that exist."""

    feedforward: np.ndarray
    recurrent: np.ndarray
    output: np.ndarray
    mossy: np.ndarray
    mask: np.ndarray


class Timetable(NamedTuple):
    """What is shown in every trial, whether it is learnt from, and the evaluation that it belongs to (-1: none)."""

    cues: np.ndarray
    goals: np.ndarray
    learning: np.ndarray
    evaluation: np.ndarray
    noted: np.ndarray
