"""Scorecard: what contests found, labelled by measure, rule, network and pair of rules, and what follows from it."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from neuro_bpl.neural.similarity.measures import Measure
from neuro_bpl.neural.similarity.resampling import holm
from neuro_bpl.neural.similarity.scoring import Scoring, evaluated

BY_RULE = {
    "mean": "mean score over networks",
    "low": "lower end of the 95 % interval of the mean over networks",
    "high": "upper end of the 95 % interval of the mean over networks",
    "mean_normalised": "mean score over ceiling",
    "normalised_low": "lower end of its 95 % interval over networks and units",
    "normalised_high": "upper end of its 95 % interval over networks and units",
    "se_units": "standard error of the mean score over recorded units",
    "null_mean": "mean score with conditions in another order",
    "null_95": "95th percentile of the score with conditions in another order",
    "p_null": "p-value of the mean score against conditions in another order",
}
BY_METRIC = {
    "reliability": "score of one half of the trials against the other",
    "ceiling": "score of a model equal to the recording but for its noise",
    "baseline": "score of the recording's own average over conditions",
}
BY_PAIR = {
    "difference": "difference of mean scores, first rule less second",
    "difference_low": "lower end of its 95 % interval over networks and units",
    "difference_high": "upper end of its 95 % interval over networks and units",
    "se_seeds": "its standard error over networks",
    "se_units": "its standard error over recorded units",
    "p": "p-value of the difference",
}


def labelled(
    contest: Scoring, chosen: Sequence[Measure], performances: Mapping[str, Float[np.ndarray, " seed"]]
) -> xr.Dataset:
    """Return all that was found, labelled."""
    rules = list(contest.models)
    found = [evaluated(one, contest) for one in chosen]
    seeds = max(len(used) for used in contest.used.values())
    pairs = [f"{a} − {b}" for a, b in combinations(rules, 2)]
    of_rules = {key: [[one["rules"][rule][key] for rule in rules] for one in found] for key in BY_RULE}
    columns: dict[str, tuple] = {
        "score": (("metric", "rule", "seed"), [_padded(one["rules"], rules, "score", seeds) for one in found], "score"),
        **{key: (("metric", "rule"), values, BY_RULE[key]) for key, values in of_rules.items()},
        **{key: ("metric", [one[key] for one in found], text) for key, text in BY_METRIC.items()},
        "n_times": ((), contest.recorded.times.size, "times compared"),
    }
    for key, text in BY_PAIR.items():
        name = "difference_se_units" if key == "se_units" else "difference_se_seeds" if key == "se_seeds" else key
        values = np.array([[pair[key] for pair in one["pairs"]] for one in found]).reshape(len(found), len(pairs))
        columns[name] = (("metric", "pair"), values, text)
    told = {rule: {"used": contest.used[rule], "performance": performances[rule]} for rule in rules}
    columns["used"] = (("rule", "seed"), _padded(told, rules, "used", seeds) == 1, "network is compared")
    left_out = [int((~contest.used[rule]).sum()) for rule in rules]
    columns["n_left_out"] = ("rule", left_out, "networks left out: diverged, are constant, or are outside of `matched`")
    columns["performance"] = (("rule", "seed"), _padded(told, rules, "performance", seeds), "task performance")
    coords = {"metric": [one.name for one in chosen], "rule": rules, "seed": np.arange(seeds), "pair": pairs}
    variables = {
        key: (dims, values, {"units": "1", "long_name": text}) for key, (dims, values, text) in columns.items()
    }
    result = xr.Dataset(variables, coords)
    result["normalised"] = (result["score"] / result["ceiling"]).assign_attrs(units="1", long_name="score over ceiling")
    return result


def _padded(found: Mapping[str, Any], rules: list[str], key: str, n_seeds: int) -> Float[np.ndarray, "rule seed"]:
    """Return one row a rule; NaN where it has fewer networks than another."""
    table = np.full((len(rules), n_seeds), np.nan)
    for row, rule in zip(table, rules, strict=True):
        row[: len(found[rule][key])] = found[rule][key]
    return table


def decided(result: xr.Dataset, level: float) -> xr.Dataset:
    """Return P-values adjusted for all tests of this result, and the rule that differs from every other one.

    A rule that scores higher than the others may still be far from the recording, which may be of neither. So it is
    `closest` only if it also exceeds the null (`p_null` at most `level`) and the baseline, if there is one. That is
    asked on top of the tests of differences, so that it needs no correction of its own.
    """
    adjusted = holm(result["p"].values.reshape(-1)).reshape(result["p"].shape)
    texts = {
        "p_holm": "p-value adjusted for all pairs, measures, snapshots and sessions (Holm)",
        "differs": "whether the rules differ",
        "closest": "rule above null and baseline that scores higher than each other one and differs from it",
    }
    p_holm = result["p"].copy(data=adjusted)
    differs = p_holm < level
    closest = xr.full_like(result["mean"].isel(rule=0, drop=True), "", dtype=object)
    resembles = (result["p_null"] <= level) & ~(result["mean"] <= result["baseline"])
    rules = result["rule"].values.tolist()
    for rule in rules:
        wins = resembles.sel(rule=rule, drop=True)
        for a, b in combinations(rules, 2):
            gap, sure = (values.sel(pair=f"{a} − {b}", drop=True) for values in (result["difference"], differs))
            if rule in (a, b):
                wins &= sure & (gap > 0 if rule == a else gap < 0)
        closest = closest.where(~wins | (len(rules) < 2), rule)
    decided = {"p_holm": p_holm, "differs": differs, "closest": closest.astype(str)}
    about = {name: values.assign_attrs(units="1", long_name=texts[name]) for name, values in decided.items()}
    return result.assign(about)
