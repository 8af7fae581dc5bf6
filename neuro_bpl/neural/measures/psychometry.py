"""How choices follow the evidence: fractions with their intervals, and a logistic curve with lapses."""

from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neuro_bpl.neural import arguments
from neuro_bpl.refusals import nearest, refusal

PARAMETERS = ("bias", "sensitivity", "lapse_left", "lapse_right")
START = (0.02, 0.1)  # lapses from which the fit sets out
MOST_LAPSES = 0.5


def psychometric(
    trials: xr.Dataset | xr.DataTree, evidence: str = "evidence", choice: str = "went_right", n_bins: int = 9
) -> xr.Dataset:
    """P(right | x) = ℓ_right + (1 − ℓ_left − ℓ_right) / (1 + exp(−(β₀ + β₁ x))), of highest likelihood.

    Parameters
    ----------
    trials : Dataset or DataTree
        A recorded session, or columns of trials (of several sessions).
    evidence, choice : str
        Columns: x, and 1 for right or 0 for left. Trials without one of them (NaN) are left out and counted.
    n_bins : int
        Bins of evidence, at most, with about as many trials each; trials of the same evidence share a bin.

    Returns
    -------
    Dataset
        `bias` β₀ (logits), `sensitivity` β₁ (logits per unit of evidence), `lapse_left` ℓ_left: the part of trials with
        overwhelming evidence for the right that go left all the same, and `lapse_right`, both 0 to .5;
        `log_likelihood` (nats). For each `bin`: `mean_evidence`, `n_trials`, `fraction_right`, and Wilson's 95 %
        interval `low` to `high`.

    Raises
    ------
    ValueError
        If there are no such columns, only one choice or only one value of evidence, or the fit does not converge.

    References
    ----------
    Wichmann, F. A. & Hill, N. J. (2001). The psychometric function: I. Fitting, sampling, and goodness of fit.
    Perception & Psychophysics 63, 1293–1313.

    Examples
    --------
    >>> x = np.repeat([-4.0, -1.0, 1.0, 4.0], 25)
    >>> right = np.arange(100) % 25 < np.repeat([1, 8, 17, 24], 25)
    >>> trials = xr.Dataset({"evidence": ("trial", x), "went_right": ("trial", right)})
    >>> float(psychometric(trials, n_bins=4)["sensitivity"].round(1))
    0.8
    """
    table = _table(trials)
    x, right, n_left_out = _columns(table, evidence, choice)
    fitted = dict(zip((*PARAMETERS, "log_likelihood"), fit(x, right), strict=True))
    units = ("logit", "logit per unit of evidence", "1", "1", "nat")
    scalars = {n: ((), v, {"units": u, "long_name": n}) for (n, v), u in zip(fitted.items(), units, strict=True)}
    return xr.Dataset(scalars, attrs={"trials_left_out": n_left_out}).merge(fractions(x, right, n_bins))


def intervals(
    trials: xr.Dataset | xr.DataTree,
    evidence: str = "evidence",
    choice: str = "went_right",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """95 % intervals of what `psychometric` fits: percentiles of fits to trials that are drawn with replacement.

    A fit to a draw that does not converge counts as far as it came.

    Parameters
    ----------
    trials, evidence, choice
        As `psychometric` takes them.
    n_bootstrap : int
        Draws, each of as many trials as there are.
    seed : int
        Of the draws.

    Returns
    -------
    Dataset
        `bias`, `sensitivity`, `lapse_left` and `lapse_right`, each (bound): "low" and "high". A lapse that is fitted
        as 0 has an interval from 0.

    Raises
    ------
    ValueError
        If there are fewer than 100 draws, or where `psychometric` refuses.

    Examples
    --------
    >>> x = np.repeat([-4.0, -1.0, 1.0, 4.0], 50)
    >>> right = np.arange(200) % 50 < np.repeat([1, 16, 34, 49], 50)
    >>> trials = xr.Dataset({"evidence": ("trial", x), "went_right": ("trial", right)})
    >>> low, high = intervals(trials, n_bootstrap=100)["sensitivity"].values
    >>> bool(low < psychometric(trials)["sensitivity"] < high)
    True
    """
    why = "2.5 % of draws lie below"
    arguments.whole("n_bootstrap", n_bootstrap, why, "n_bootstrap=1000", low=100, high=arguments.DRAWS)
    arguments.whole("seed", seed, "trials are drawn with it", "seed=0")
    table = _table(trials)
    x, right, _ = _columns(table, evidence, choice)
    values, counts = _counted(x, right)
    starts = _starts(x, right, fit(x, right))
    drawn = np.random.default_rng(seed).multinomial(len(x), counts.ravel() / len(x), n_bootstrap)
    fits = np.array([_best(values, draw.reshape(counts.shape), starts, refuse=False)[:4] for draw in drawn])
    bounds = np.quantile(fits, (0.025, 0.975), axis=0)
    columns = {name: ("bound", bounds[:, at], {"long_name": f"{name}, 95 %"}) for at, name in enumerate(PARAMETERS)}
    return xr.Dataset(columns, {"bound": ["low", "high"]})


def curve(fitted: xr.Dataset, evidence: Float[np.ndarray, " value"]) -> Float[np.ndarray, " value"]:
    """P(right) of a fit at given evidence.

    Examples
    --------
    >>> fitted = xr.Dataset({"bias": 0.0, "sensitivity": 1.0, "lapse_left": 0.0, "lapse_right": 0.2})
    >>> curve(fitted, np.array([0.0]))
    array([0.6])
    """
    return _probability(np.array([float(fitted[name]) for name in PARAMETERS]), evidence)


def fit(x: Float[np.ndarray, " trial"], right: Bool[np.ndarray, " trial"]) -> tuple[float, ...]:
    """β₀, β₁, ℓ_left, ℓ_right of highest likelihood, and the log-likelihood; best of several starts."""
    return _best(*_counted(x, right), _starts(x, right))


def _counted(
    x: Float[np.ndarray, " trial"], right: Bool[np.ndarray, " trial"]
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, "side value"]]:
    """Return each value of evidence, and how often choices went right and left at it."""
    values, place = np.unique(x, return_inverse=True)
    return values, np.stack([np.bincount(place, chosen, len(values)) for chosen in (right, ~right)])


def _starts(
    x: Float[np.ndarray, " trial"], right: Bool[np.ndarray, " trial"], near: tuple[float, ...] | None = None
) -> list[tuple[float, ...]]:
    """Parameters from which fits set out, of evidence up to ±1; those near a fit, with lapses off their bounds."""
    if near is not None:
        bias, sensitivity = near[0], near[1] * np.abs(x).max()
        return [(bias, sensitivity, max(near[2], START[0]), max(near[3], START[0]))]
    slope = np.sign(np.cov(x, right)[0, 1])
    return [(0.0, slope * steep, lapse, lapse) for steep in (1.0, 5.0) for lapse in START]


def _best(
    values: Float[np.ndarray, " value"], counts: np.ndarray, starts: list[tuple[float, ...]], refuse: bool = True
) -> tuple[float, ...]:
    """Return the likeliest fit, and its log-likelihood; one that does not converge is refused, or taken as it is."""
    from scipy.optimize import minimize

    scale = np.abs(values).max()
    bounds = [(None, None), (None, None), (0, MOST_LAPSES), (0, MOST_LAPSES)]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return negative log-likelihood, and its gradient."""
        low, span = parameters[3], 1 - parameters[2] - parameters[3]
        exact = _probability(parameters, values / scale)
        probability = np.clip(exact, 1e-12, 1 - 1e-12)
        slope = (counts[0] / probability - counts[1] / (1 - probability)) * (exact == probability)
        part = (probability - low) / span if span > 0 else np.full(len(values), 0.5)
        steep = span * part * (1 - part)
        gradient = np.stack([steep, steep * values / scale, -part, 1 - part]) @ slope
        return -float((counts * np.log([probability, 1 - probability])).sum()), -gradient

    found = min(
        (minimize(loss, s, jac=True, method="L-BFGS-B", bounds=bounds) for s in starts), key=lambda one: one.fun
    )
    if refuse and not found.success:
        raise refusal("fit", found.message, "one that converges", "its numbers mean nothing otherwise", "more trials")
    bias, sensitivity, left, other = found.x
    return float(bias), float(sensitivity / scale), float(left), float(other), -float(found.fun)


def fractions(x: Float[np.ndarray, " trial"], right: Bool[np.ndarray, " trial"], n_bins: int) -> xr.Dataset:
    """Return part of the trials of each bin of evidence that go right, with Wilson's 95 % interval."""
    from scipy.stats import binomtest

    n_bins = arguments.whole("n_bins", n_bins, "trials are put into so many bins", "n_bins=9", low=1, high=100_000)
    # Each bin ends with an evidence that occurs, so that trials of the same evidence share a bin.
    ends = np.unique(np.quantile(x, np.linspace(0, 1, n_bins + 1)[1:-1], method="inverted_cdf"))
    place = np.searchsorted(ends, x)
    rows = []
    for number in np.unique(place):
        inside = place == number
        test = binomtest(int(right[inside].sum()), int(inside.sum()))
        low, high = test.proportion_ci(0.95, "wilson")
        rows.append((x[inside].mean(), inside.sum(), test.statistic, low, high))
    meaning = {
        "mean_evidence": "mean evidence of the bin",
        "n_trials": "trials",
        "fraction_right": "part that went right",
        "low": "lower end of its 95 % interval",
        "high": "upper end of its 95 % interval",
    }
    columns = zip(meaning.items(), zip(*rows, strict=True), strict=True)
    return xr.Dataset({n: ("bin", np.asarray(v), {"units": "1", "long_name": text}) for (n, text), v in columns})


def _probability(parameters: np.ndarray, x: Float[np.ndarray, " trial"]) -> Float[np.ndarray, " trial"]:
    from scipy.special import expit

    bias, sensitivity, left, right = parameters
    return right + (1 - left - right) * expit(bias + sensitivity * x)


def _table(trials: Any) -> xr.Dataset:
    """Return columns of the trials."""
    if isinstance(trials, xr.DataTree) and "trials" in trials.children:
        return trials["trials"].to_dataset()
    if not isinstance(trials, xr.Dataset):
        allowed, fix = "a recorded session, or a Dataset of columns", 'session["trials"].to_dataset()'
        raise refusal("trials", type(trials).__name__, allowed, "evidence and choices are columns", fix)
    return trials


def _columns(table: xr.Dataset, evidence: str, choice: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Return evidence and choice of the trials that have both, and how many have not."""
    for role, name in (("evidence", evidence), ("choice", choice)):
        numbers = [str(key) for key, values in table.variables.items() if values.dtype.kind in "biuf"]
        sides = [key for key in numbers if np.isin(table[key].values, (0, 1)).all()]
        fitting = sides if role == "choice" else [key for key in numbers if key not in sides]
        if not isinstance(name, str) or name not in numbers:
            fix = f'{role}="{nearest(str(name), fitting)}"' if fitting else f"trials with a column of {role}"
            raise refusal(role, name, ", ".join(fitting) or "none", "trials have these columns of numbers", fix)
    x, side = table[evidence].values.astype(float), table[choice].values.astype(float)
    there = np.isfinite(x) & np.isfinite(side)
    x, side = x[there], side[there]
    if len(np.unique(x)) < 2 or set(np.unique(side)) != {0.0, 1.0}:
        got = f"{len(np.unique(x))} values of {evidence}, {choice} in {np.unique(side).tolist()}"
        raise refusal("trials", got, "at least two values, and choices 0 and 1", "a curve is fitted", "more trials")
    return x, side == 1, int((~there).sum())
