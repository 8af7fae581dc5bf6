"""Choices: areas under ROC curves and psychometric curves against known answers, and the script that uses them."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from tiny import refused

from neuro_bpl.neural.measures.choice import choice_auc, rectified
from neuro_bpl.neural.measures.psychometry import curve, fractions, intervals, psychometric


def responses(values, choices, **coordinates):
    return xr.DataArray(values, {"went_right": ("trial", choices), **coordinates}, ("trial", "time", "unit"))


def noise(n_trials=300, n_units=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.poisson(3, (n_trials, 2, n_units)).astype(float), rng.integers(0, 2, n_trials)


# --------------------------------------------------------------------------------------------------- area under curves


@given(st.lists(st.tuples(st.integers(0, 4) | st.just(np.nan), st.booleans()), min_size=2, max_size=30))
def test_areas_are_those_of_scikit_learn_and_of_all_pairs(trials):
    values, choices = np.array([v for v, _ in trials], float), np.array([c for _, c in trials])
    area = choice_auc(xr.DataArray(values, {"went_right": ("trial", choices)}, ("trial",)))
    valid = np.isfinite(values)
    right, left = values[valid & choices], values[valid & ~choices]
    assert (area["trials_right"], area["trials_left"]) == (len(right), len(left))
    if not len(right) or not len(left):
        assert np.isnan(area)
        return
    pairs = right[:, None] - left
    np.testing.assert_allclose(area, ((pairs > 0) + 0.5 * (pairs == 0)).mean())
    np.testing.assert_allclose(area, roc_auc_score(choices[valid], values[valid]))


def test_units_that_tell_the_choice_and_units_that_do_not():
    values, choices = noise()
    values[:, 1, 0] += 100 * choices
    values[:, 1, 1] -= 100 * choices
    area = choice_auc(responses(values, choices))
    assert area.dims == ("time", "unit")
    assert area[1, 0] == 1
    assert area[1, 1] == 0
    assert (abs(area[0] - 0.5) < 0.1).all()
    assert (rectified(area)[1, :2] == 1).all()
    assert (area[0] != 0.5).all()


def test_any_increasing_function_of_a_response_has_the_same_area_and_a_decreasing_one_the_other():
    values, choices = noise()
    area = choice_auc(responses(values, choices))
    np.testing.assert_array_equal(choice_auc(responses(np.exp(values), choices)), area)
    np.testing.assert_allclose(choice_auc(responses(-values, choices)), 1 - area)
    np.testing.assert_allclose(rectified(choice_auc(responses(-values, choices))), rectified(area))
    assert (choice_auc(responses(np.sin(values), choices)) != area).all()


def test_rectified_areas_lie_above_one_half_by_chance_and_areas_do_not():
    values, choices = noise(100, 400)
    area = choice_auc(responses(values, choices))
    assert abs(float(area.mean()) - 0.5) < 0.006
    assert float(rectified(area).mean()) > 0.53


def test_trials_that_were_not_recorded_are_left_out_of_their_bin_alone():
    values, choices = noise()
    whole = choice_auc(responses(values, choices))
    values[:150, 0, 0] = np.nan
    part = choice_auc(responses(values, choices))
    assert part["trials_right"][0, 0] + part["trials_left"][0, 0] == 150
    assert part["trials_right"][0, 1] + part["trials_left"][0, 1] == 300
    assert part[0, 0] == choice_auc(responses(values[150:], choices[150:]))[0, 0] != whole[0, 0]
    np.testing.assert_array_equal(part.values.ravel()[1:], whole.values.ravel()[1:])


def test_many_choices_at_once_are_as_one_by_one():
    values, choices = noise()
    rng = np.random.default_rng(1)
    many = np.stack([choices, rng.permutation(choices), 1 - choices])
    # Trials may have labels: they do not matter.
    areas = choice_auc(
        responses(values, choices, trial=np.arange(300) + 5), xr.DataArray(many, dims=("shuffle", "trial"))
    )
    for at, one in enumerate(many):
        np.testing.assert_allclose(areas.isel(shuffle=at).transpose("time", "unit"), choice_auc(responses(values, one)))
    assert (areas.isel(shuffle=0) != areas.isel(shuffle=1)).all()


def test_choices_that_are_none_are_refused():
    values, choices = noise()
    with refused("choice = 'went_left'", "went_right"):
        choice_auc(responses(values, choices), "went_left")
    with refused("choice = ", "1 .right. or 0 .left."):
        choice_auc(responses(values, choices + 1))
    with refused("choice = "):
        choice_auc(responses(values, choices), xr.DataArray(choices[1:], dims="trial"))
    with refused("responses = ", "with trial"):
        choice_auc(xr.DataArray(np.zeros(3), dims="time"))


# ------------------------------------------------------------------------------------------------------ psychometric


def simulated(n_trials, bias, sensitivity, left, right, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(-30, 31, n_trials).astype(float)
    truth = {"bias": bias, "sensitivity": sensitivity, "lapse_left": left, "lapse_right": right}
    went = rng.uniform(size=n_trials) < curve(xr.Dataset(truth), x)
    return xr.Dataset({"evidence": ("trial", x), "went_right": ("trial", went.astype(int))}), truth


@pytest.mark.full
@pytest.mark.parametrize("truth", [(0.5, 0.2, 0.1, 0.05), (-1.0, 0.1, 0.0, 0.0), (0.0, -0.3, 0.2, 0.2)])
def test_a_fit_finds_what_choices_were_drawn_with(truth):
    trials, wanted = simulated(20_000, *truth)
    found = psychometric(trials)
    for name, value in wanted.items():
        assert abs(float(found[name]) - value) < {"bias": 0.15, "sensitivity": 0.05}.get(name, 0.02)
    x, right = trials["evidence"].values, trials["went_right"].values == 1
    probability = curve(xr.Dataset(wanted), x)
    of_truth = np.log(np.where(right, probability, 1 - probability)).sum()
    assert of_truth <= float(found["log_likelihood"]) < of_truth + 10


def test_lapses_make_the_curve_level_off():
    fitted = psychometric(simulated(5000, 0.0, 0.5, 0.1, 0.2)[0])
    ends = curve(fitted, np.array([-1e3, 1e3]))
    np.testing.assert_allclose(ends, [0.2, 0.9], atol=0.03)
    without = psychometric(simulated(5000, 0.0, 0.5, 0.0, 0.0)[0])
    np.testing.assert_allclose(curve(without, np.array([-1e3, 1e3])), [0, 1], atol=0.01)


def test_intervals_hold_what_choices_were_drawn_with_in_19_of_20_bins():
    rng = np.random.default_rng(0)
    x, truth = np.repeat([-1.0, 0.0, 1.0], 60), np.array([0.1, 0.4, 0.8])
    held = []
    for _ in range(300):
        found = fractions(x, rng.uniform(size=180) < np.repeat(truth, 60), 3)
        assert found["mean_evidence"].values.tolist() == [-1, 0, 1]
        held.append((found["low"].values < truth) & (truth < found["high"].values))
        assert not ((found["low"] < truth[::-1]) & (truth[::-1] < found["high"]))[[0, 2]].any()
    assert 0.93 < np.mean(held) < 0.97


@pytest.mark.full
def test_intervals_of_parameters_hold_what_choices_were_drawn_with():
    held = []
    for seed in range(12):
        trials, truth = simulated(1500, 0.5, 0.2, 0.1, 0.05, seed)
        found = intervals(trials, n_bootstrap=100)
        held += [float(found[name][0]) < value < float(found[name][1]) for name, value in truth.items()]
        assert not found["sensitivity"][0] < 0.4 < found["sensitivity"][1]
    assert 0.85 < np.mean(held) <= 1
    xr.testing.assert_identical(found, intervals(trials, n_bootstrap=100))
    assert (intervals(trials, n_bootstrap=100, seed=1) != found).any().to_array().any()
    with refused("n_bootstrap = 99", "100 to 1000000"):
        intervals(trials, n_bootstrap=99)


@pytest.mark.parametrize(("n_bins", "wanted"), [(1, [0.9]), (2, [3 / 7, 2]), (3, [0, 1, 2]), (50, [0, 1, 2])])
def test_trials_of_the_same_evidence_share_a_bin(n_bins, wanted):
    x = np.repeat([0.0, 1.0, 2.0], [4, 3, 3])
    assert fractions(x, x > 0, n_bins)["mean_evidence"].values.tolist() == pytest.approx(wanted)
    with refused("n_bins = 0"):
        fractions(x, x > 0, 0)


def test_bins_hold_every_trial_once_and_trials_without_evidence_are_counted():
    trials, _ = simulated(1000, 0.0, 0.2, 0.0, 0.0)
    trials["evidence"][:100] = np.nan
    found = psychometric(trials)
    assert found.attrs["trials_left_out"] == 100
    assert int(found["n_trials"].sum()) == 900
    share = (found["fraction_right"] * found["n_trials"]).sum() / 900
    np.testing.assert_allclose(share, trials["went_right"][100:].mean())
    assert (found["mean_evidence"].diff("bin") > 0).all()
    assert 7 <= found.sizes["bin"] <= 9


def test_trials_without_a_curve_are_refused():
    trials, _ = simulated(100, 0.0, 0.2, 0.0, 0.0)
    with refused("evidence = 'clicks'", 'evidence="evidence"'):
        psychometric(trials, evidence="clicks")
    with refused("trials = ", "choices 0 and 1"):
        psychometric(trials.isel(trial=trials["went_right"].values == 1))
    with refused("trials = ", "1 values of evidence"):
        psychometric(trials.assign(evidence=("trial", np.ones(100))))
