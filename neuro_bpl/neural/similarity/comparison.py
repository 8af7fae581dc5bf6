"""Comparison of models with a recording: similarity of their responses by rule, and whether rules differ in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neuro_bpl.neural.responses import rates_of
from neuro_bpl.neural.similarity.averaging import Recorded, model_averages, recorded_averages
from neuro_bpl.neural.similarity.contest import Contest, Resampling
from neuro_bpl.neural.similarity.measures import DEFAULTS, Measure, measure
from neuro_bpl.neural.similarity.scorecard import decided, labelled
from neuro_bpl.parameters import refusal

UNCERTAINTY = (
    "low and high: 95 % interval over networks (Student's t), for these units and trials. Differences of rules: over "
    "networks and over recorded units (bootstrap), which carry the noise of their own trials. Not covered: other "
    "animals, sessions and tasks, and noise that units share."
)


def compare(
    models: Mapping[str, xr.DataArray | xr.DataTree],
    recording: xr.DataArray,
    *,
    condition: str = "condition",
    metrics: Sequence[str | Measure] = DEFAULTS,
    normalise: str = "noise",
    n_splits: int = 10,
    n_permutations: int = 100,
    n_bootstrap: int = 100,
    level: float = 0.05,
    performance: Mapping[str, Any] | None = None,
    recorded_performance: float | None = None,
    matched: tuple[float, float] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """How similar each rule's networks are to a recording, and which rules differ in it (docs/neural_comparing.md).

    Responses are averaged over the trials of each condition, the models' interpolated onto the recording's times. Each
    measure gives a score per network, to be read beside the ceiling set by the recording's noise, the null of shuffled
    conditions, and the baseline of a response that is the same in all conditions.

    Parameters
    ----------
    models : mapping
        For each rule its responses `(seed, trial, time, unit)`, or `(snapshot, seed, trial, time, unit)` over
        learning; or a run that recorded `rates` on trials labelled by `condition`. Times in s.
    recording : DataArray `(trial, time, unit)`
        NaN where a unit was not recorded.
    condition : str
        Coordinate of `trial` of both; they must have the same conditions.
    metrics : sequence
        Names among `predictivity, cca, procrustes, cka, rsa, dsa`, or measures with other settings
        (`measure("cca", n_components=3)`). Settle which, and their settings, before looking. `dsa` is given without
        p-values and names no rule.
    normalise : "noise" or "none"
        Whether recorded units are divided by the SD of their single trials.
    n_splits, n_permutations, n_bootstrap : int
        Splits of trials, shuffled orders of conditions, bootstrap samples of units.
    level : float
        Rules differ where the p-value, adjusted by Holm's method over all pairs, measures and snapshots, is below.
    performance : mapping, optional
        For each rule the task performance of its networks, `(seed,)` or `(snapshot, seed)`.
    recorded_performance : float, optional
        That of the animal.
    matched : (float, float), optional
        Networks that perform outside of this interval are left out.
    seed : int
        Of everything that is drawn.

    Returns
    -------
    Dataset
        With dims metric, rule, seed and pair (and snapshot): `score`, `normalised` (score over ceiling), `mean`, `low`,
        `high`, `mean_normalised`, `se_units`, `null_mean`, `null_95`, `p_null`, `baseline`, `ceiling`, `reliability`,
        `used`, `n_left_out`, `performance`; for pairs of rules `difference` with interval and standard errors, `p`,
        `p_holm`, `differs`; and `closest`, the rule that scores higher than each other one, differs from it, and
        exceeds the null (`p_null` at most `level`) and the baseline, if there is one.
        What was left out of the recording is in the attributes `left_out …` (times: at the snapshot that lacks most).

    Raises
    ------
    ValueError
        If conditions or times do not agree, or there is too little to compare.
    """
    resampling = Resampling(n_splits, n_permutations, n_bootstrap, level, seed)
    chosen = [one if isinstance(one, Measure) else measure(one) for one in metrics]
    _check_request(models, chosen, performance, matched)
    n_parts = max(one.n_parts for one in chosen)
    recorded = recorded_averages(
        recording, condition, n_splits=n_splits, n_parts=n_parts, normalise=normalise, seed=seed
    )
    _check_conditions(recorded, chosen)
    responses = {str(rule): rates_of(str(rule), model, condition) for rule, model in models.items()}
    found, n_times = [], []
    for snapshot in (snapshots := _snapshots(responses)):
        at = {rule: values if snapshot is None else values.sel(snapshot=snapshot) for rule, values in responses.items()}
        place = None if snapshot is None else snapshots.index(snapshot)
        performances = _performances(performance, at, place)
        contest = _contest(at, recorded, condition, _within(performances, matched), resampling)
        _check_times(contest.recorded.times, chosen)
        n_times.append(contest.recorded.left_out["times"])
        found.append(labelled(contest, chosen, performances))
    result = found[0] if snapshots == [None] else xr.concat(found, "snapshot").assign_coords(snapshot=snapshots)
    result = decided(result, level)
    about = {"n_conditions": len(recorded.conditions), "n_units": recorded.n_units, "level": level}
    left_out = {f"left_out {name}": number for name, number in {**recorded.left_out, "times": max(n_times)}.items()}
    told = {} if recorded_performance is None else {"recorded_performance": float(recorded_performance)}
    limits = {} if matched is None else {"matched": list(matched)}
    return result.assign_attrs(uncertainty=UNCERTAINTY, condition=condition, **about, **left_out, **told, **limits)


def _check_request(models: Any, chosen: list[Measure], performance: Any, matched: Any) -> None:
    if not isinstance(models, Mapping) or not models:
        fix = 'compare({"BP(1)": responses}, recording)'
        raise refusal("models", models, "responses by the name of their rule", "rules are compared", fix)
    names = [one.name for one in chosen]
    if not names or len(set(names)) < len(names):
        raise refusal("metrics", names, "measures, each once", "results are labelled by them", 'metrics=("cka",)')
    if matched is not None and performance is None:
        why = "networks are chosen by their performance"
        raise refusal("matched", matched, "an interval, with performance", why, "performance={rule: (seed,) numbers}")
    if performance is not None and set(performance) != set(models):
        fix = f"performance of {', '.join(map(str, models))}"
        raise refusal("performance", list(performance), "numbers for every rule", "rules are matched by it", fix)


def _check_conditions(recorded: Recorded, chosen: list[Measure]) -> None:
    short = [one for one in chosen if one.n_conditions > len(recorded.conditions)]
    if short:
        got, allowed = f"{len(recorded.conditions)} conditions", f"at least {short[0].n_conditions} for {short[0].name}"
        raise refusal("recording", got, allowed, "it correlates their distances", "metrics without it")


def _check_times(times: Float[np.ndarray, " time"], chosen: list[Measure]) -> None:
    steps, asking = np.diff(times), [one.name for one in chosen if one.even_times]
    if asking and len(steps) and np.ptp(steps) > 1e-6 * steps.mean():
        got = f"steps of {steps.min():g} to {steps.max():g} s"
        fix = f"recording.sel(time=slice(…, …)) without gaps, or metrics without {asking[0]}"
        raise refusal("times compared", got, "even steps", f"{asking[0]} fits one step from each bin to the next", fix)


def _snapshots(responses: Mapping[str, xr.DataArray]) -> list:
    labels = {tuple(v["snapshot"].values.tolist()) if "snapshot" in v.dims else None for v in responses.values()}
    if len(labels) > 1:
        fix = "responses.sel(snapshot=[...]) of every rule"
        raise refusal("snapshot", list(labels), "the same of every rule", "rules are compared at each", fix)
    only = labels.pop()
    return [None] if only is None else list(only)


def _performances(
    performance: Mapping[str, Any] | None, responses: Mapping[str, xr.DataArray], place: int | None
) -> dict[str, Float[np.ndarray, " seed"]]:
    found = {}
    for rule, values in responses.items():
        n_seeds = values.sizes.get("seed", 0)
        given = np.full(n_seeds, np.nan) if performance is None else np.asarray(performance[rule], float)
        given = given[place] if given.ndim == 2 and place is not None else given
        if given.shape != (n_seeds,):
            got, fix = given.shape, "one number for each network"
            raise refusal(f"performance of {rule}", got, f"({n_seeds},)", "each network has its own", fix)
        found[rule] = given
    return found


def _within(
    performances: Mapping[str, Float[np.ndarray, " seed"]], matched: tuple[float, float] | None
) -> dict[str, Bool[np.ndarray, " seed"]]:
    low, high = matched or (-np.inf, np.inf)
    known = {rule: np.ones(len(values), bool) for rule, values in performances.items()}
    if matched is None:
        return known
    return {rule: (values >= low) & (values <= high) for rule, values in performances.items()}


def _contest(
    responses: Mapping[str, xr.DataArray],
    recorded: Recorded,
    condition: str,
    within: Mapping[str, Bool[np.ndarray, " seed"]],
    resampling: Resampling,
) -> Contest:
    """Averages at the times that every network in use and the recording have."""
    if not recorded.times.size:
        raise refusal(
            "recording", "no time with all units", "one or more", "units are compared together", "fewer units"
        )
    averages = {rule: model_averages(rule, values, recorded, condition) for rule, values in responses.items()}
    used = {rule: within[rule] & np.isfinite(values).any((1, 2, 3)) for rule, values in averages.items()}
    whole = [np.isfinite(values[used[rule]]).all((0, 1, 3)) for rule, values in averages.items()]
    times = np.all(whole, 0)
    if not times.any():
        fix = "responses with values at the recording's times"
        raise refusal("models", "no time at which all have values", "one or more", "averages are compared", fix)
    chosen = {rule: values[:, :, times] for rule, values in averages.items()}
    return Contest(chosen, used, recorded.at(times), resampling)
