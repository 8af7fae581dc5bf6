"""Averages over trials, of a recording and of models, at the same conditions and times, ready to be compared."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from neuro_bpl.neural import times
from neuro_bpl.neural.activity.responses import DIMS, checked, class_means, conditions_of
from neuro_bpl.neural.similarity.resampling import split
from neuro_bpl.refusals import refusal

NORMALISATIONS = ("noise", "none")


@dataclass(frozen=True)
class Target:
    """A recording's averages: of all trials, and of disjoint parts of them."""

    means: Float[np.ndarray, "condition time unit"]
    parts: Float[np.ndarray, "part condition time unit"]

    def of_units(self, units: Int[np.ndarray, " chosen"]) -> "Target":
        """Return the same of chosen units."""
        return Target(self.means[..., units], self.parts[..., units])

    def halves(self) -> tuple[Float[np.ndarray, "condition time unit"], Float[np.ndarray, "condition time unit"]]:
        """Return averages of either half of the parts."""
        middle = len(self.parts) // 2
        return self.parts[:middle].mean(0), self.parts[middle:].mean(0)


@dataclass(frozen=True)
class Recorded:
    """A recording split several times, its conditions and times, and how much of it was left out."""

    targets: tuple[Target, ...]
    conditions: np.ndarray
    times: Float[np.ndarray, " time"]
    left_out: Mapping[str, int]

    @property
    def n_units(self) -> int:
        """Units that are compared."""
        return self.targets[0].means.shape[-1]

    def at(self, chosen: Bool[np.ndarray, " time"]) -> "Recorded":
        """Return the same at chosen times; the others are counted as left out."""
        targets = tuple(Target(one.means[:, chosen], one.parts[:, :, chosen]) for one in self.targets)
        left_out = {**self.left_out, "times": self.left_out["times"] + int((~chosen).sum())}
        return replace(self, targets=targets, times=self.times[chosen], left_out=left_out)


def recorded_averages(
    recording: xr.DataArray, condition: str, *, n_splits: int, n_parts: int, normalise: str, seed: int
) -> Recorded:
    """Return condition averages of all trials, and of `n_parts` parts of them, dealt out anew for each split.

    Left out and counted are: trials without a label or without any value; units that are silent, or of which some
    condition has fewer than `n_parts` trials; and then times at which an average lacks a unit. Units may come from
    different sessions: trials in which other units were recorded are dealt out separately.

    Parameters
    ----------
    recording : DataArray `(trial, time, unit)`
        NaN where it was not recorded.
    normalise : "noise" or "none"
        Whether each unit is divided by the SD of single trials around their condition's average, over all times, so
        that units count by their signal in units of their noise.
    """
    recording = checked("recording", recording, condition)
    if recording.dims != DIMS:
        raise refusal("recording", recording.dims, f"dims {DIMS}", "it is one population", "recording.isel(seed=0)")
    codes, names = conditions_of(recording, condition)
    values = recording.values
    empty = ~np.isfinite(values).any((1, 2))
    codes = np.where(empty, -1, codes)
    groups = _groups(np.isfinite(values).any(1), codes)
    units = _sufficient(np.isfinite(values).any(1), codes, groups, len(names), n_parts)
    noise = _noise(values, codes, len(names))
    silent = units & (np.nan_to_num(values) == 0).all((0, 1))
    chosen = units & ~silent
    _check_left(chosen, len(names), n_parts, recording, condition)
    values = values[..., chosen] / _divisors(noise[chosen], normalise)
    random = np.random.default_rng(seed)
    n_bins = np.isfinite(values).any(2).sum(1)
    means = class_means(values, codes, len(names))
    targets = []
    for _ in range(n_splits):
        part = split(groups, n_bins, n_parts, random)
        own = [class_means(values, np.where(part == one, codes, -1), len(names)) for one in range(n_parts)]
        targets.append(Target(means, np.stack(own)))
    left_out = {
        "trials": int((codes < 0).sum()),
        "units with too few trials": int((~units).sum()),
        "silent units": int(silent.sum()),
        "times": 0,
    }
    whole = Recorded(tuple(targets), names, recording["time"].values.astype(float), left_out)
    return whole.at(np.all([np.isfinite(one.parts).all((0, 1, 3)) for one in targets], 0))


def model_averages(
    name: str, model: xr.DataArray, recorded: Recorded, condition: str
) -> Float[np.ndarray, "seed condition time unit"]:
    """Return condition averages of each network, interpolated linearly onto the recording's times."""
    if model.dims != ("seed", *DIMS):
        fix = "responses.expand_dims(seed=[0]) of a single network"
        raise refusal(name, model.dims, f"dims {('seed', *DIMS)}", "the unit of inference is the network", fix)
    codes, names = conditions_of(model, condition)
    if set(names.tolist()) != set(recorded.conditions.tolist()):
        fix = f"recording.where(recording.{condition}.isin([...]), drop=True), or the like of the model"
        got, allowed = names.tolist(), f"{recorded.conditions.tolist()}, those of the recording"
        raise refusal(f"conditions of {name}", got, allowed, "averages of the same conditions are compared", fix)
    order = [names.tolist().index(label) for label in recorded.conditions.tolist()]
    own = model["time"].values
    if not times.between(recorded.times, own[0], own[-1]).all():
        got = f"{recorded.times[0]:g} to {recorded.times[-1]:g} s"
        fix = f"recording.isel(time=neuro_bpl.neural.times.between(recording.time.values, {own[0]:g}, {own[-1]:g}))"
        allowed = f"{own[0]:g} to {own[-1]:g} s, those of {name}"
        raise refusal("times of the recording", got, allowed, "a model is not extrapolated", fix)
    means = class_means(model.values, codes, len(names))[:, order]
    labelled = xr.DataArray(means, {"time": own}, ("seed", "condition", "time", "unit"))
    inside = np.clip(recorded.times, own[0], own[-1])
    return labelled.interp(time=inside).values if len(own) > 1 else means


def _groups(recorded: Bool[np.ndarray, "trial unit"], codes: Int[np.ndarray, " trial"]) -> Int[np.ndarray, " trial"]:
    """Return trials of one condition in which the same units were recorded (−1: trials left out)."""
    patterns = np.unique(recorded, axis=0, return_inverse=True)[1].reshape(-1)
    return np.where(codes < 0, -1, codes * (patterns.max(initial=0) + 1) + patterns)


def _sufficient(
    recorded: Bool[np.ndarray, "trial unit"],
    codes: Int[np.ndarray, " trial"],
    groups: Int[np.ndarray, " trial"],
    n_conditions: int,
    n_parts: int,
) -> Bool[np.ndarray, " unit"]:
    """Return units of which every condition has a group of at least `n_parts` trials."""
    enough = np.zeros((n_conditions, recorded.shape[1]), bool)
    for group in np.unique(groups[groups >= 0]):
        members = np.flatnonzero(groups == group)
        if len(members) >= n_parts:
            enough[codes[members[0]]] |= recorded[members[0]]
    return np.all(enough, axis=0)


def _noise(
    values: Float[np.ndarray, "trial time unit"], codes: Int[np.ndarray, " trial"], n_conditions: int
) -> Float[np.ndarray, " unit"]:
    """SD of single trials around the average of their condition, over all times; 0 where it is rounding."""
    means = class_means(values, codes, n_conditions)
    deviations = np.where((codes >= 0)[:, None, None], values - means[codes], np.nan)
    count = np.isfinite(deviations).sum((0, 1))
    noise = np.sqrt(np.nansum(deviations**2, (0, 1)) / np.maximum(count, 1))
    return np.where(noise > 1e-9 * np.abs(np.nan_to_num(values)).max((0, 1)), noise, 0.0)


def _divisors(noise: Float[np.ndarray, " unit"], normalise: str) -> Float[np.ndarray, " unit"]:
    if normalise not in NORMALISATIONS:
        fix = 'normalise="noise"'
        raise refusal("normalise", normalise, " or ".join(NORMALISATIONS), "units count by their signal to noise", fix)
    if normalise == "none":
        return np.ones_like(noise)
    if (noise <= 0).any():
        got = f"{int((noise <= 0).sum())} units without noise"
        raise refusal("recording", got, "trials that differ", "units are divided by their noise", 'normalise="none"')
    return noise


def _check_left(
    units: Bool[np.ndarray, " unit"], n_conditions: int, n_parts: int, recording: xr.DataArray, condition: str
) -> None:
    if n_conditions < 2:
        got = f"{n_conditions} values of {condition}"
        raise refusal("recording", got, "at least two", "conditions are told apart", 'condition="another one"')
    if not units.any():
        got = f"no unit with {n_parts} trials of each condition"
        fix = "fewer conditions, or measures that need fewer parts: all but rsa need 2"
        raise refusal("recording", got, "at least one", "trials are split into parts", fix)
