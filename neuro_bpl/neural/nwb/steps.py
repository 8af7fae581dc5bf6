"""Trials of a run in seconds: laid one after another, with a gap between them."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neuro_bpl.neural.nwb.trial_clock import check_gap
from neuro_bpl.parameters import refusal
from neuro_bpl.trials import Trials


class Steps(NamedTuple):
    """Where each trial starts (s), how many steps of `dt` seconds it has, and how many there are at most."""

    starts: Float[np.ndarray, " trial"]
    lengths: Int[np.ndarray, " trial"]
    n_steps: int
    dt: float

    @classmethod
    def of(cls, activity: xr.Dataset, dt: float, gap: float, trials: Trials | None) -> "Steps":
        """Trials of recorded activity, which are of full length unless the trials themselves are given.

        Raises
        ------
        ValueError
            If the gap is not possible, or the trials are not as many, or not as long.
        """
        check_gap(gap)
        n_trials, n_steps = activity.sizes["trial"], activity.sizes["time"]
        if trials is not None and (trials.n_trials, trials.n_steps) != (n_trials, n_steps):
            got, allowed = (trials.n_trials, trials.n_steps), f"{n_trials} trials of {n_steps} steps"
            raise refusal("trials", got, allowed, "activity was recorded on the probe trials", "trials=task.probe()")
        lengths = np.full(n_trials, n_steps) if trials is None else np.asarray(trials.last_step()).astype(int)
        return cls(np.arange(n_trials) * (n_steps * dt + gap), lengths, n_steps, dt)

    @property
    def stops(self) -> Float[np.ndarray, " trial"]:
        """End of each trial's own last step, s."""
        return self.starts + self.dt * self.lengths

    def ends(self) -> Float[np.ndarray, "trial time"]:
        """End of every step, s."""
        return self.starts[:, None] + self.dt * np.arange(1, self.n_steps + 1)

    def in_seconds(self, values: xr.DataArray) -> xr.DataArray:
        """The array with `time` in seconds from the beginning of the first step, and `step` its number."""
        steps = np.arange(1, self.n_steps + 1)
        time = ("time", self.dt * steps, {"units": "s", "long_name": "time from the beginning of the trial"})
        number = ("time", steps, {"units": "1", "long_name": "number of the step"})
        trial = ("trial", np.arange(len(self.starts)), {"units": "1", "long_name": "probe trial"})
        return values.assign_coords(time=time, step=number, trial=trial)


def stimuli(trials: Trials, steps: Steps) -> dict[str, xr.DataArray]:
    """Inputs, targets and their weights, `(trial, time, …)`; `(trial, …)` where they belong to the last step."""
    meanings = {"inputs": "input of the step", "targets": "target", "mask": "weight of the target in the loss"}
    found = {}
    for name, meaning in meanings.items():
        given = getattr(trials, name)
        if given is not None:
            at_end = name != "inputs" and trials.at_last_step
            values = np.asarray(given)[:, 0] if at_end else np.asarray(given)
            dims: tuple[str, ...] = ("trial",) if at_end else ("trial", "time")
            dims += (name.removesuffix("s"),) * (values.ndim - len(dims))
            array = xr.DataArray(values, dims=dims, attrs={"units": "1", "long_name": meaning})
            found[name] = (
                steps.in_seconds(array) if "time" in dims else array.assign_coords(trial=np.arange(len(values)))
            )
    return found
