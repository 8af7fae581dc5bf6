"""Measures of similarity between a model's population and a recorded one, each with the ceiling that noise sets it.

A measure takes a model's averages and a recording's (`averaging.Target`), and gives a number that is larger for more
similar populations. How reliable the recording is under it is found from two halves of the trials.
"""

import inspect
import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from neuro_bpl.neural.activity.responses import rows, varies
from neuro_bpl.neural.similarity.averaging import Target
from neuro_bpl.neural.similarity.canonical_correlation import held_out_correlation
from neuro_bpl.neural.similarity.dynamics import linear_operator, operator_similarity
from neuro_bpl.neural.similarity.kernel_alignment import cka, gram, unbiased_hsic
from neuro_bpl.neural.similarity.linear_prediction import pooled_correlation, predicted
from neuro_bpl.neural.similarity.procrustes import aligned
from neuro_bpl.neural.similarity.representational_similarity import (
    CORRELATIONS,
    cross_validated_distances,
    distances,
    rdm_similarity,
)
from neuro_bpl.neural.similarity.resampling import ceiling, folds
from neuro_bpl.refusals import nearest, one_of, refusal

Averages = Float[np.ndarray, "condition time unit"]


@dataclass(frozen=True)
class Measure:
    """A measure of similarity.

    Parameters
    ----------
    name : str
        As in a table.
    score : callable
        `(averages of the model, Target) → float`.
    reliability : callable
        `Target → float`: the same of one half of the recording's trials against the other.
    n_parts : int
        Disjoint parts of the trials that it needs, 2 or 4.
    of_split : bool
        Whether the score depends on how trials were split, so that it is averaged over splits.
    attenuates : bool
        Whether noise lowers the score as it lowers a correlation, so that the ceiling is √(2r/(1 + r)) of the
        reliability r; otherwise the score is that against halves, and the ceiling is r.
    reads_conditions : bool
        Whether it matters which condition of the model is held against which of the recording.
    n_conditions : int
        How many conditions it needs.
    power : callable, optional
        `Target → (shared, whole)`: the power of the signal, from independent halves, and of what is scored, so that
        the ceiling is √(shared / whole). For measures of products of averages, of whose noise more than half is gone
        with twice the trials.
    tells_rules : bool
        Whether a higher score speaks for a rule. If noise lowers the score of the true rule more than that of others,
        differences are given, but without a p-value, and no rule is named closest.
    even_times : bool
        Whether times must be evenly spaced.
    """

    name: str
    score: Callable[[Averages, Target], float]
    reliability: Callable[[Target], float]
    n_parts: int = 2
    of_split: bool = False
    attenuates: bool = True
    reads_conditions: bool = True
    n_conditions: int = 2
    power: Callable[[Target], tuple[float, float]] | None = None
    tells_rules: bool = True
    even_times: bool = False

    def ceiling(self, reliability: float, targets: Sequence[Target]) -> float:
        """What a model scores that is equal to the recording but for its noise; NaN where noise is all there is."""
        if self.power is not None:
            shared, whole = np.mean([self.power(target) for target in targets], 0)
            return math.sqrt(shared / whole) if min(shared, whole) > 0 else math.nan
        if self.attenuates:
            return ceiling(reliability)
        return reliability if reliability > 0 else math.nan


def predictivity(n_components: int = 8, n_folds: int = 5) -> Measure:
    """Correlation of recorded activity with that predicted from the model, in conditions that were not fitted."""

    def score(model: Averages, target: Target) -> float:
        if not varies(model):
            return math.nan
        held_out = folds(len(model), n_folds)
        return pooled_correlation(predicted(model, target.means, held_out, n_components), target.means)

    return Measure("predictivity", score, _correlation_of_halves)


def canonical(n_components: int = 4, n_folds: int = 5) -> Measure:
    """Return mean canonical correlation of the leading components, in conditions that were not fitted.

    The ceiling is too low for noisy recordings: both halves have directions that noise has turned, a model has not.
    """

    def score(model: Averages, target: Target) -> float:
        if not varies(model):
            return math.nan
        return held_out_correlation(model, target.means, folds(len(model), n_folds), n_components)

    def reliability(target: Target) -> float:
        first, second = target.halves()
        return held_out_correlation(first, second, folds(len(first), n_folds), n_components)

    return Measure("cca", score, reliability)


def procrustes(n_folds: int = 5) -> Measure:
    """Return correlation of recorded activity with the model's, rotated and scaled to fit in other conditions."""

    def score(model: Averages, target: Target) -> float:
        if not varies(model):
            return math.nan
        return pooled_correlation(aligned(model, target.means, folds(len(model), n_folds)), target.means)

    return Measure("procrustes", score, _correlation_of_halves)


def kernel() -> Measure:
    """Return unbiased linear CKA over conditions and times."""

    def score(model: Averages, target: Target) -> float:
        return cka(model, target.means)

    def power(target: Target) -> tuple[float, float]:
        first, second, every = (gram(rows(values)) for values in (*target.halves(), target.means))
        return unbiased_hsic(first, second), unbiased_hsic(every, every)

    return Measure("cka", score, lambda target: cka(*target.halves()), power=power)


def representational(method: str = "pearson") -> Measure:
    """Return correlation of the distances between conditions (all times), cross-validated over trials in the recording.

    The power of distances sets the ceiling of Pearson's correlation; that of ranks is corrected as correlations are,
    and is too low for noisy recordings.
    """

    def recorded(target: Target) -> Float[np.ndarray, " pair"]:
        return np.mean([cross_validated_distances(a, b) for a, b in combinations(_features(target.parts), 2)], 0)

    def halves(target: Target) -> tuple[Float[np.ndarray, " pair"], Float[np.ndarray, " pair"]]:
        parts = _features(target.parts)
        return cross_validated_distances(parts[0], parts[1]), cross_validated_distances(parts[2], parts[3])

    def score(model: Averages, target: Target) -> float:
        if not varies(model):
            return math.nan
        return rdm_similarity(distances(_features(model)), recorded(target), method)

    def reliability(target: Target) -> float:
        return rdm_similarity(*halves(target), method)

    def power(target: Target) -> tuple[float, float]:
        return float(np.cov(*halves(target))[0, 1]), float(recorded(target).var(ddof=1))

    of_size = power if method == "pearson" else None
    return Measure("rsa", score, reliability, n_parts=4, of_split=True, n_conditions=3, power=of_size)


def dynamical(n_delays: int = 4, rank: int = 6) -> Measure:
    """Return similarity of linear operators fitted to delay-embedded trajectories, up to an orthogonal change of basis.

    It does not tell rules apart: noise changes the operator of a recording and not that of a model, so that a model
    with other dynamics may come to lie closer than the true one.
    """

    def operator(x: Averages) -> Float[np.ndarray, "state state"]:
        return linear_operator(x, n_delays=n_delays, rank=rank)

    def score(model: Averages, target: Target) -> float:
        own = operator(model)
        return float(np.mean([operator_similarity(own, operator(half)) for half in target.halves()]))

    def reliability(target: Target) -> float:
        first, second = target.halves()
        return operator_similarity(operator(first), operator(second))

    return Measure(
        "dsa",
        score,
        reliability,
        of_split=True,
        attenuates=False,
        reads_conditions=False,
        tells_rules=False,
        even_times=True,
    )


MEASURES: dict[str, Callable[..., Measure]] = {
    "predictivity": predictivity,
    "cca": canonical,
    "procrustes": procrustes,
    "cka": kernel,
    "rsa": representational,
    "dsa": dynamical,
}
DEFAULTS = ("predictivity", "procrustes", "cka", "rsa")


def measure(name: str, **options: Any) -> Measure:
    """Return the measure called `name`, with options such as `n_components` other than their defaults.

    Raises
    ------
    ValueError
        If there is no such measure or option, or the option has no such value: all but `method` are whole numbers.

    Examples
    --------
    >>> measure("cca", n_components=3).name
    'cca'
    """
    if not isinstance(name, str) or name not in MEASURES:
        fix = f'"{nearest(str(name), list(MEASURES))}"'
        raise refusal("metric", name, ", ".join(MEASURES), "these measures are known", fix)
    for option, value in options.items():
        _check_option(name, option, value)
    return MEASURES[name](**options)


def _check_option(name: str, option: str, value: Any) -> None:
    known = list(inspect.signature(MEASURES[name]).parameters)
    if option not in known:
        fix = f"{nearest(option, known)}=…" if known else f'measure("{name}")'
        raise refusal(f"option of {name}", option, ", ".join(known) or "none", "it has these settings", fix)
    if option == "method":
        one_of("method", value, list(CORRELATIONS), "distances are correlated")
        return
    least = 2 if option == "n_folds" else 1
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        why = "conditions are fitted and held out" if least > 1 else "it is a count"
        raise refusal(option, value, f"a whole number, at least {least}", why, f"{option}={least}")


def _correlation_of_halves(target: Target) -> float:
    return pooled_correlation(*target.halves())


def _features(x: Float[np.ndarray, "*lead time unit"]) -> Float[np.ndarray, "*lead feature"]:
    return x.reshape(*x.shape[:-2], -1)
