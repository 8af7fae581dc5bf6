"""Comparison of models with a recording: similarity of their responses by rule, and whether rules differ in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from neuro_bpl.neural import arguments
from neuro_bpl.neural.activity.responses import varies
from neuro_bpl.neural.similarity.averaging import NORMALISATIONS, Recorded, model_averages, recorded_averages
from neuro_bpl.neural.similarity.measures import DEFAULTS, Measure, measure
from neuro_bpl.neural.similarity.models_compared import entrants
from neuro_bpl.neural.similarity.over_learning import Stage, stages_of
from neuro_bpl.neural.similarity.scorecard import decided, labelled
from neuro_bpl.neural.similarity.scoring import Resampling, Scoring
from neuro_bpl.neural.times import spacing
from neuro_bpl.refusals import expect, one_of, refusal

UNCERTAINTY = (
    "low and high: 95 % interval over networks (Student's t), for these units and trials. Differences of rules, "
    "and scores over ceiling: over networks and over recorded units (bootstrap), which carry the noise of their own "
    "trials. Not covered: other animals, sessions and tasks, and noise that units share."
)


def compare(
    models: Mapping[str, xr.DataArray | xr.DataTree] | xr.DataTree,
    recording: xr.DataArray | Mapping[str, xr.DataArray],
    *,
    condition: str = "condition",
    metrics: Sequence[str | Measure] = DEFAULTS,
    normalise: str = "noise",
    snapshots: str = "last",
    n_splits: int = 10,
    n_permutations: int = 100,
    n_bootstrap: int = 100,
    level: float = 0.05,
    performance: Mapping[str, Any] | None = None,
    recorded_performance: float | Mapping[str, float] | None = None,
    matched: tuple[float, float] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """How similar each rule's networks are to a recording, and which rules differ in it (docs/neural_comparing.md).

    Responses are averaged over the trials of each condition, the models' interpolated onto the recording's times. Each
    measure gives a score per network, to be read beside the ceiling set by the recording's noise, the null of shuffled
    conditions, and the baseline of a response that is the same in all conditions.

    Parameters
    ----------
    models : mapping or DataTree
        For each rule its responses `(seed, trial, time, unit)`, or `(snapshot, seed, trial, time, unit)` over
        learning; or a run that recorded `rates` on trials labelled by `condition`. Times in s. Every point of a sweep
        has its own label on `rule`, such as "BPTT" of a run alone, or "small, BPTT" of one called "small".
    recording : DataArray `(trial, time, unit)`, or mapping
        NaN where a unit was not recorded. By session, such as early and late: each is compared with all models.
    condition : str
        Coordinate of `trial` of both; they must have the same conditions.
    metrics : sequence
        Names among `predictivity, cca, procrustes, cka, rsa, dsa`, or measures with other settings
        (`measure("cca", n_components=3)`). Settle which, and their settings, before looking. `dsa` is given without
        p-values and names no rule.
    normalise : "noise" or "none"
        Whether recorded units are divided by the SD of their single trials.
    snapshots : "last" or "all"
        Of runs. Responses are compared at each snapshot that they have.
    n_splits, n_permutations, n_bootstrap : int
        Splits of trials, shuffled orders of conditions, bootstrap samples of units.
    level : float
        Rules differ where the p-value, adjusted by Holm's method over all pairs, measures, snapshots and sessions, is
        below.
    performance : mapping, optional
        For each rule the task performance of its networks, `(seed,)` or `(snapshot, seed)`.
    recorded_performance : float or mapping, optional
        That of the animal; by session, where recordings are.
    matched : (float, float), optional
        Networks that perform outside of this interval are left out.
    seed : int
        Of everything that is drawn.

    Returns
    -------
    Dataset
        With dims metric, rule, seed and pair (and session and snapshot): `score`, `normalised` (score over ceiling),
        `mean`, `low`, `high`, `mean_normalised` with `normalised_low` and `normalised_high`, `se_units`, `null_mean`,
        `null_95`, `p_null`, `baseline`, `ceiling`, `reliability`,
        `used`, `n_left_out` (networks that diverged, whose responses are constant, or that are not `matched`),
        `performance`; for pairs of rules `difference` with interval and standard errors, `p`,
        `p_holm`, `differs`; and `closest`, the rule that scores higher than each other one, differs from it, and
        exceeds the null (`p_null` at most `level`) and the baseline, if there is one.
        What was left out of the recording is in the attributes `left_out …` (times: at the snapshot that lacks most),
        which begin with the session's name where there are several.

    Raises
    ------
    ValueError
        If conditions or times do not agree, or there is too little to compare.
    """
    counts = {"n_splits": n_splits, "n_permutations": n_permutations, "n_bootstrap": n_bootstrap}
    for what, count in counts.items():
        low = 2 if what == "n_bootstrap" else 1
        arguments.whole(what, count, "they are drawn one by one", f"{what}=100", low=low, high=arguments.DRAWS)
    condition = arguments.text("condition", condition, "trials are averaged by it", 'condition="condition"')
    if not isinstance(metrics, (list, tuple)):
        raise refusal("metrics", metrics, "a list of measures", "each gives a score", 'metrics=["cka"]')
    if matched is not None:
        matched = arguments.window("matched", matched, "performance lies within", "matched=(0.7, 0.9)")
    if performance is not None:
        fix = "performance={rule: (seed,) numbers}"
        expect("performance", performance, Mapping, "a mapping of rules", "each network has its own", fix)
    of_animal = recorded_performance.values() if isinstance(recorded_performance, Mapping) else [recorded_performance]
    for known in of_animal:
        if known is not None:
            why = "it is the performance of the animal"
            arguments.number("recorded_performance", known, why, "recorded_performance=0.8")
    arguments.number("level", level, "p-values below it tell rules apart", "level=0.05", above=0, high=1)
    arguments.whole("seed", seed, "all is drawn with it", "seed=0")
    one_of("normalise", normalise, NORMALISATIONS, "units count by their signal to noise")
    resampling = Resampling(n_splits, n_permutations, n_bootstrap, level, seed)
    chosen = [one if isinstance(one, Measure) else measure(one) for one in metrics]
    responses = entrants(models, condition, snapshots)
    _check_request(responses, chosen, performance, matched)
    stages = stages_of(responses, performance, matched)
    sessions = _sessions(recording, recorded_performance)
    found: list[xr.Dataset] = []
    about: dict[str, Any] = {}
    for name, (one, told) in sessions.items():
        recorded = _recorded(one, condition, chosen, resampling, normalise)
        contests = [_contest(stage, recorded, condition, chosen, resampling) for stage in stages.values()]
        tables = [
            labelled(own, chosen, stage.performances) for own, stage in zip(contests, stages.values(), strict=True)
        ]
        found.append(_joined(tables, "snapshot", list(stages)))
        about |= {key if name is None else f"{name}: {key}": value for key, value in _about(contests, told).items()}
    result = decided(_joined(found, "session", list(sessions)), level)
    limits = {} if matched is None else {"matched": list(matched)}
    return result.assign_attrs(uncertainty=UNCERTAINTY, condition=condition, level=level, **about, **limits)


def _sessions(
    recording: xr.DataArray | Mapping[str, xr.DataArray], performance: float | Mapping[str, float] | None
) -> dict[str | None, tuple[xr.DataArray, float | None]]:
    """Return recordings by session, each with the animal's performance; a single one is called None."""
    if not isinstance(recording, Mapping):
        if isinstance(performance, Mapping):
            got, why = list(performance), "the recording is of one session"
            raise refusal("recorded_performance", got, "a number", why, "recorded_performance=0.8")
        return {None: (recording, performance)}
    if not recording:
        raise refusal("recording", {}, "one session or more", "models are compared with it", '{"early": recording}')
    if len({str(name) for name in recording}) < len(recording):
        why, fix = "results are labelled by them", '{"early": recording, "late": another}'
        raise refusal("recording", list(recording), "names that differ as texts", why, fix)
    numbers = performance if isinstance(performance, Mapping) else dict.fromkeys(recording, performance)
    if set(numbers) != set(recording):
        fix = f"numbers for {', '.join(map(str, recording))}"
        raise refusal("recorded_performance", list(numbers), "a number for every session", "each has its own", fix)
    return {str(name): (one, numbers[name]) for name, one in recording.items()}


def _joined(tables: list[xr.Dataset], dim: str, labels: list) -> xr.Dataset:
    """Return tables along a dim; one that has no label is left as it is."""
    return tables[0] if labels == [None] else xr.concat(tables, dim).assign_coords({dim: labels})


def _recorded(
    recording: xr.DataArray, condition: str, chosen: list[Measure], how: Resampling, normalise: str
) -> Recorded:
    n_parts = max(one.n_parts for one in chosen)
    found = recorded_averages(
        recording, condition, n_splits=how.n_splits, n_parts=n_parts, normalise=normalise, seed=how.seed
    )
    _check_conditions(found, chosen)
    return found


def _about(contests: list[Scoring], performance: float | None) -> dict[str, Any]:
    """Return what was recorded in a session, and what of it was left out."""
    recorded = [contest.recorded for contest in contests]
    left_out = {**recorded[0].left_out, "times": max(one.left_out["times"] for one in recorded)}
    about = {"n_conditions": len(recorded[0].conditions), "n_units": recorded[0].n_units}
    told = {} if performance is None else {"recorded_performance": float(performance)}
    return {**about, **{f"left_out {name}": number for name, number in left_out.items()}, **told}


def _check_request(models: Mapping[str, Any], chosen: list[Measure], performance: Any, matched: Any) -> None:
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
    if asking and len(steps) and spacing(times) is None:
        got = f"steps of {steps.min():g} to {steps.max():g} s"
        fix = f"recording.sel(time=slice(…, …)) without gaps, or metrics without {asking[0]}"
        raise refusal("times compared", got, "even steps", f"{asking[0]} fits one step from each bin to the next", fix)


def _contest(
    stage: Stage, recorded: Recorded, condition: str, chosen: list[Measure], resampling: Resampling
) -> Scoring:
    """Return averages at the times that every network in use and the recording have."""
    if not recorded.times.size:
        raise refusal(
            "recording", "no time with all units", "one or more", "units are compared together", "fewer units"
        )
    averages = {rule: model_averages(rule, values, recorded, condition) for rule, values in stage.responses.items()}
    alive = {rule: np.array([_is_alive(one) for one in values], bool) for rule, values in averages.items()}
    used = {rule: stage.within[rule] & alive[rule] for rule in averages}
    whole = [np.isfinite(values[used[rule]]).all((0, 1, 3)) for rule, values in averages.items()]
    times = np.all(whole, 0)
    if not times.any():
        fix = "responses with values at the recording's times"
        raise refusal("models", "no time at which all have values", "one or more", "averages are compared", fix)
    _check_times(recorded.times[times], chosen)
    return Scoring(
        {rule: values[:, :, times] for rule, values in averages.items()}, used, recorded.at(times), resampling
    )


def _is_alive(averages: Float[np.ndarray, "condition time unit"]) -> bool:
    """Whether a network has values, and they differ between conditions or times: others are similar to nothing."""
    whole = np.isfinite(averages).all((0, 2))
    return bool(np.isfinite(averages).any()) and (not whole.any() or varies(averages[:, whole]))
