"""A contest: averages of several rules' networks beside those of a recording, scored by a measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neuro_bpl.neural.similarity.averaging import Recorded, Target
from neuro_bpl.neural.similarity.baselines import cross_condition_average
from neuro_bpl.neural.similarity.measures import Measure
from neuro_bpl.neural.similarity.resampling import known_draws, orders, p_of_null
from neuro_bpl.neural.similarity.rule_differences import difference, over_seeds, over_seeds_and_units
from neuro_bpl.parameters import check, field


@dataclass(frozen=True)
class Resampling:
    """How often trials, conditions and units are drawn anew."""

    n_splits: int = field(10, "splits of the recording's trials into parts", low=1)
    n_permutations: int = field(100, "orders of the conditions in the null", low=1)
    n_bootstrap: int = field(100, "bootstrap samples of the recorded units", low=2)
    level: float = field(0.05, "adjusted p-value below which rules differ", above=0, high=1)
    seed: int = field(0, "seed of all that is drawn", low=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Scoring:
    """Averages of every rule's networks beside those of the recording."""

    models: Mapping[str, Float[np.ndarray, "seed condition time unit"]]
    used: Mapping[str, Bool[np.ndarray, " seed"]]
    recorded: Recorded
    resampling: Resampling


def scores_of(
    one: Measure, contest: Scoring, rule: str, order: Any = None, units: Any = None, split: int | None = None
) -> Float[np.ndarray, " seed"]:
    """Return score of each network (NaN: left out), with conditions in another order, or of other units."""
    every = contest.recorded.targets if one.of_split else contest.recorded.targets[:1]
    targets = every if split is None else [every[split % len(every)]]
    targets = targets if units is None else [target.of_units(units) for target in targets]
    models = contest.models[rule] if order is None else contest.models[rule][:, order]
    used = contest.used[rule]
    return np.array(
        [
            np.mean([one.score(model, target) for target in targets]) if use else np.nan
            for model, use in zip(models, used, strict=True)
        ]
    )


def _mean(scores: Float[np.ndarray, " seed"]) -> float:
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else np.nan


def _common(target: Target) -> Float[np.ndarray, "condition time unit"]:
    return cross_condition_average(xr.DataArray(target.means, dims=("condition", "time", "unit"))).values


def evaluated(one: Measure, contest: Scoring) -> dict[str, Any]:
    """Return everything that is told of one measure, by rule and by pair of rules."""
    how, recorded, rules = contest.resampling, contest.recorded, list(contest.models)
    random = np.random.default_rng([how.seed, 1])  # Trials are split by a stream of their own.
    reliability = float(np.mean([one.reliability(target) for target in recorded.targets]))
    ceiling = one.ceiling(reliability, recorded.targets)
    shuffled = orders(len(recorded.conditions), how.n_permutations if one.reads_conditions else 0, random)
    samples = random.integers(recorded.n_units, size=(how.n_bootstrap, recorded.n_units))
    scores = {rule: scores_of(one, contest, rule) for rule in rules}
    null = {
        rule: np.array([_mean(scores_of(one, contest, rule, order=order, split=k)) for k, order in enumerate(shuffled)])
        for rule in rules
    }
    drawn = {
        rule: np.array([_mean(scores_of(one, contest, rule, units=units, split=k)) for k, units in enumerate(samples)])
        for rule in rules
    }
    ceilings = _ceilings(one, recorded, samples)
    targets = recorded.targets if one.of_split else recorded.targets[:1]
    baseline = float(np.mean([one.score(_common(target), target) for target in targets]))
    return {
        "reliability": reliability,
        "ceiling": ceiling,
        "baseline": baseline,
        "rules": {
            rule: {
                **_of_rule(scores[rule], null[rule], drawn[rule]),
                **_normalised(scores[rule] / ceiling, drawn[rule] / ceilings, recorded.n_units),
            }
            for rule in rules
        },
        "pairs": [
            _of_pair(one, scores[a], scores[b], drawn[a] - drawn[b], recorded.n_units)
            for a, b in combinations(rules, 2)
        ],
    }


def _of_pair(one: Measure, first: Any, second: Any, drawn: Any, n_units: int) -> dict[str, float]:
    told = difference(first, second, drawn, n_units)
    return told if one.tells_rules else {**told, "p": np.nan}


def _ceilings(one: Measure, recorded: Recorded, samples: Any) -> Float[np.ndarray, " draw"]:
    """Return ceiling of each sample of units, from the split that its scores are from."""
    n_splits, found = len(recorded.targets), []
    for k, units in enumerate(samples):
        target = recorded.targets[k % n_splits].of_units(units)
        found.append(one.ceiling(one.reliability(target), [target]))
    return np.array(found)


def _normalised(scores: Any, drawn: Any, n_units: int) -> dict[str, float]:
    """Return mean score over ceiling, whose interval carries the uncertainty of the ceiling, too."""
    low, high = over_seeds_and_units(scores, known_draws(drawn), n_units)
    return {"mean_normalised": _mean(scores), "normalised_low": low, "normalised_high": high}


def _of_rule(scores: Any, null: Any, drawn: Any) -> dict[str, Any]:
    mean, low, high = over_seeds(scores)
    told = {"score": scores, "mean": mean, "low": low, "high": high}
    told["se_units"] = float(drawn.std(ddof=1))
    known = known_draws(null)
    has_null = len(known) > 0 and np.isfinite(mean)
    told["null_mean"] = float(known.mean()) if has_null else np.nan
    told["null_95"] = float(np.quantile(known, 0.95)) if has_null else np.nan
    told["p_null"] = p_of_null(mean, null) if has_null else np.nan
    return told
