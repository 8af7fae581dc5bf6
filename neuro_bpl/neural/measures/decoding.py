"""Decoding: what can be read out of a population, of trials, or of conditions, that the decoder has not seen?"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neuro_bpl.neural import arguments
from neuro_bpl.neural.activity.responses import DIMS, checked, varies
from neuro_bpl.refusals import one_of, refusal

KINDS = ("class", "number")
PENALTIES = tuple(np.logspace(-2, 4, 7))


class Decoded(NamedTuple):
    """Score and chance level at one time, number of trials, and scores of shuffled labels."""

    score: float
    chance: float
    n_trials: int
    null: list[float]


def decode(
    responses: xr.DataArray,
    label: str,
    *,
    across: str | None = None,
    kind: str = "class",
    n_splits: int = 5,
    n_permutations: int = 0,
    seed: int = 0,
) -> xr.Dataset:
    """How well a linear decoder reads a label of the trials, at each time, from trials that it was not fitted to.

    Classes: logistic regression on standardised units, scored by balanced accuracy (the mean over classes of the
    fraction answered right). Numbers: ridge regression, its penalty chosen within the fitted trials, scored by
    Pearson's correlation of predicted and true numbers.

    Parameters
    ----------
    responses : DataArray `(trial, time, unit)`
        Recorded or simulated.
    label : str
        Coordinate of `trial` to read.
    across : str, optional
        Coordinate of `trial` whose values are held out as a whole: the decoder has to hold across conditions. Without
        it single trials are held out.
    kind : "class" or "number"
        What the label is.
    n_splits : int
        Folds.
    n_permutations : int
        Times that labels are shuffled among trials, for the null; 0 with `across`.
    seed : int
        Of folds and shuffles.

    Returns
    -------
    Dataset
        By `time`: `score`, `chance` (1/number of classes, or 0) and `n_trials`; with permutations `null_mean`,
        `null_95`, `p`. Trials without a label, or with a unit missing at that time, are left out, and everything is of
        those that remain: a time at which a class has none left has a chance of its own. Times that have too few trials
        to be split are NaN.

    Raises
    ------
    ValueError
        If there is no such coordinate, or a class has fewer trials than folds at every time.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> side = np.repeat(["L", "R"], 20)
    >>> values = random.normal(size=(40, 1, 3)) + 4.0 * (side == "R")[:, None, None]
    >>> labelled = xr.DataArray(values, {"time": [0.1], "side": ("trial", side)}, DIMS)
    >>> decode(labelled, "side")["score"].item() > 0.9
    True
    """
    arguments.text("label", label, "it is a coordinate of trial", 'label="side"')
    responses = checked("responses", responses, label)
    if responses.dims != DIMS:
        raise refusal(
            "responses", responses.dims, f"dims {DIMS}", "one population is decoded", "responses.isel(seed=0)"
        )
    one_of("kind", kind, KINDS, "it decides the decoder")
    arguments.whole("n_splits", n_splits, "they are folds", "n_splits=5", low=2)
    arguments.whole("n_permutations", n_permutations, "they are counted", "n_permutations=0", high=arguments.DRAWS)
    arguments.whole("seed", seed, "folds and shuffles are drawn with it", "seed=0", high=2**32 - 1)
    if across is not None and n_permutations:
        why = "trials of a condition that is held out whole cannot change places with others"
        raise refusal("n_permutations", n_permutations, "0 with across", why, "n_permutations=0, or across=None")
    targets = _targets(responses, label, kind)
    groups = None if across is None else pd.factorize(checked("responses", responses, across)[across].values)[0]
    known = np.isfinite(targets) & ((groups >= 0) if groups is not None else True)
    found = [
        _at_one_time(responses.values[known, at], targets[known], None if groups is None else groups[known], args)
        for at in range(responses.sizes["time"])
        for args in [(kind, n_splits, seed, n_permutations)]
    ]
    if not np.isfinite([one.score for one in found]).any():
        fix = f"n_splits=2, or a {label} with more trials"
        why = "every fold needs trials of all classes, also to be fitted to"
        raise refusal("n_splits", n_splits, "no more than there are trials of a class, or values held out", why, fix)
    return _labelled(found, responses, n_permutations)


def _targets(responses: xr.DataArray, label: str, kind: str) -> Float[np.ndarray, " trial"]:
    values = responses[label].values
    if kind == "number":
        if values.dtype.kind not in "biuf":
            raise refusal(f"label {label}", values.dtype, "numbers", "they are predicted", 'kind="class"')
        return np.asarray(values, float)
    codes = pd.factorize(values.astype(object) if values.dtype.kind in "US" else values, sort=True)[0]
    return np.where(codes < 0, np.nan, codes)


def _at_one_time(
    x: Float[np.ndarray, "trial unit"],
    targets: Float[np.ndarray, " trial"],
    groups: Int[np.ndarray, " trial"] | None,
    settings: tuple[str, int, int, int],
) -> Decoded:
    """Return what is decoded from the trials that have all units: all of it from the same trials, and their classes."""
    kind, n_splits, seed, n_permutations = settings
    whole = np.isfinite(x).all(1)
    x, targets, groups = x[whole], targets[whole], None if groups is None else groups[whole]
    splits = _splits(x, targets, groups, kind, n_splits, seed)
    if splits is None:
        return Decoded(np.nan, np.nan, len(x), [np.nan] * n_permutations)
    random = np.random.default_rng(seed)
    null = []
    for _ in range(n_permutations):
        shuffled = random.permutation(targets)
        others = _splits(x, shuffled, groups, kind, n_splits, seed)
        null.append(np.nan if others is None else _score(x, shuffled, others, kind))
    chance = 0.0 if kind == "number" else 1 / len(np.unique(targets))
    return Decoded(_score(x, targets, splits, kind), chance, len(x), null)


def _splits(x: Any, targets: Any, groups: Any, kind: str, n_splits: int, seed: int) -> list | None:
    """Return trials to fit and to test; None where a class would be missing from either."""
    counts = np.unique(targets, return_counts=True)[1]
    if groups is not None:
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            return None
        splits = list(GroupKFold(min(n_splits, n_groups)).split(x, targets, groups))
    elif kind == "class":
        if len(counts) < 2 or counts.min() < n_splits:
            return None
        splits = list(StratifiedKFold(n_splits, shuffle=True, random_state=seed).split(x, targets))
    else:
        if len(targets) < max(n_splits, 3):
            return None
        splits = list(KFold(n_splits, shuffle=True, random_state=seed).split(x))
    lacks = kind == "class" and any(len(np.unique(targets[fit])) < len(counts) for fit, _ in splits)
    return None if lacks else splits


def _score(x: Any, targets: Any, splits: list, kind: str) -> float:
    if kind == "class":
        decoder = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        return float(balanced_accuracy_score(targets, cross_val_predict(decoder, x, targets, cv=splits)))
    decoder = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    guessed = cross_val_predict(decoder, x, targets, cv=splits)
    known = varies(x) and np.ptp(guessed) > 0 and np.ptp(targets) > 0
    return float(np.corrcoef(guessed, targets)[0, 1]) if known else 0.0


def _labelled(found: list[Decoded], responses: xr.DataArray, n_permutations: int) -> xr.Dataset:
    scores, chance, n_trials, nulls = (np.array(values) for values in zip(*found, strict=True))
    columns: dict[str, tuple[Any, str]] = {
        "score": (scores, "score on held-out trials"),
        "chance": (chance, "score by chance, with the classes of these trials"),
        "n_trials": (n_trials, "number of trials"),
    }
    if n_permutations:
        tried = np.isfinite(nulls).sum(1)  # a shuffle may leave a fold without trials of a class
        p = (1 + (nulls >= scores[:, None]).sum(1)) / (1 + tried)
        known = np.isfinite(scores) & (tried > 0)
        columns["null_mean"] = (_over(np.mean, nulls), "mean score of shuffled labels")
        columns["null_95"] = (
            _over(partial(np.quantile, q=0.95), nulls),
            "95th percentile of scores of shuffled labels",
        )
        columns["p"] = (np.where(known, p, np.nan), "p-value against shuffled labels")
    variables = {name: ("time", values, {"units": "1", "long_name": text}) for name, (values, text) in columns.items()}
    return xr.Dataset(variables, {"time": responses["time"]})


def _over(statistic: Callable[[np.ndarray], Any], nulls: Float[np.ndarray, "time draw"]) -> Float[np.ndarray, " time"]:
    """Return a statistic of the draws that are finite; NaN where there is none."""
    return np.array([statistic(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in nulls])
