"""What one population shows: dimensions, what is decoded from it, averages and tuning."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import DIMS, A, labelled, random_rotation, recording
from scipy import stats

from neuro_bpl.neural.activity.responses import condition_means
from neuro_bpl.neural.measures.decoding import decode
from neuro_bpl.neural.measures.dimensionality import participation_ratio, principal_components
from neuro_bpl.neural.measures.tuning import psth, tuning_curve
from neuro_bpl.neural.similarity.baselines import cross_condition_average

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture
def random():
    return np.random.default_rng(3)


# ----------------------------------------------------------------------------------------------------- dimensionality


@given(seeds, st.lists(st.floats(0.1, 10), min_size=2, max_size=6))
@settings(max_examples=20, deadline=None)
def test_participation_ratio_of_a_known_covariance(seed, variances):
    random, n = np.random.default_rng(seed), len(variances)
    raw = random.normal(size=(40, n))
    white = np.linalg.qr(raw - raw.mean(0))[0]
    x = white * np.sqrt(variances) @ random_rotation(n, random)
    expected = np.sum(variances) ** 2 / np.sum(np.square(variances))
    assert participation_ratio(x) == pytest.approx(expected)
    assert 1 <= expected <= n + 1e-9


def test_principal_components_give_the_population_back_and_refuse_too_many(random):
    x = xr.DataArray(random.normal(size=(4, 5, 3)), dims=("condition", "time", "unit"))
    parts = principal_components(x, 3)
    again = (parts["score"] * parts["loading"]).sum("component")
    centred = x - x.mean(("condition", "time"))
    xr.testing.assert_allclose(again.transpose(*x.dims), centred)
    assert parts["variance_fraction"].sum() == pytest.approx(1)
    assert all(b <= a for a, b in pairwise(parts["variance_fraction"].values))
    with pytest.raises(ValueError, match="1 to 3"):
        principal_components(x, 4)


# ------------------------------------------------------------------------------------------------------------ decoding


def trials(random, shift=3.0, n=40):
    side = np.repeat(["L", "R"], n // 2)
    context = np.tile(["a", "b", "c", "d"], n // 4)
    values = random.normal(size=(n, 2, 3))
    values[:, 1, 0] += shift * (side == "R")
    return xr.DataArray(values, {"time": [0.0, 0.1], "side": ("trial", side), "context": ("trial", context)}, DIMS)


@pytest.mark.full
def test_a_decoder_reads_what_is_there_and_nothing_where_there_is_nothing(random):
    found = decode(trials(random), "side", n_permutations=9)
    assert found["score"].values[1] > 0.85
    assert found["p"].values[1] == pytest.approx(1 / 10)
    assert found["null_mean"].values == pytest.approx([0.5, 0.5], abs=0.2)
    assert found["score"].values[0] < found["null_95"].values[0] + 0.1
    assert (found["chance"] == 0.5).all()


def test_a_decoder_across_conditions_fails_where_conditions_differ(random):
    one = trials(random)
    assert decode(one, "side", across="context")["score"].values[1] > 0.75
    # The sign of the difference depends on the context: read from trials, not from other contexts.
    mixed = one.copy()
    flipped = one["context"].isin(["a", "b"]).values
    mixed.values[:, 1, 1] = 6.0 * flipped
    mixed.values[:, 1, 0] *= np.where(flipped, -1, 1)
    product = mixed.copy()
    product.values[:, 1, 2] = mixed.values[:, 1, 0] * np.where(flipped, -1, 1)
    assert decode(product, "side")["score"].values[1] > 0.85
    assert decode(mixed, "side", across="context")["score"].values[1] < 0.75


def test_a_decoder_leaves_missing_trials_out_and_counts_them(random):
    one = trials(random)
    one.values[:4, 1] = np.nan
    found = decode(one, "side")
    assert found["n_trials"].values.tolist() == [40, 36]
    one = one.assign_coords(side=("trial", [None, *one["side"].values[1:]]))
    assert decode(one, "side")["n_trials"].values.tolist() == [39, 36]


def test_a_decoder_reads_numbers(random):
    angle = random.uniform(-1, 1, 60)
    values = np.stack([angle + 0.1 * random.normal(size=60), random.normal(size=60)], -1)[:, None]
    one = xr.DataArray(values, {"time": [0.0], "angle": ("trial", angle)}, DIMS)
    assert decode(one, "angle", kind="number")["score"].item() > 0.9
    shuffled = one.assign_coords(angle=("trial", random.permutation(angle)))
    assert abs(decode(shuffled, "angle", kind="number")["score"].item()) < 0.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "sied"}, 'condition="side"'),
        ({"kind": "klass"}, 'kind="class"'),
        ({"n_splits": 30}, "n_splits=2"),
    ],
)
def test_a_decoder_refuses_what_it_cannot_do(random, change, message):
    with pytest.raises(ValueError, match=message):
        decode(trials(random), **{"label": "side", **change})


# -------------------------------------------------------------------------------------------------- averages and tuning


def test_averages_leave_missing_values_out_and_count_trials():
    values = np.array([1.0, 3.0, np.nan, 8.0]).reshape(4, 1, 1)
    responses = labelled(values, np.array(["a", "a", "a", "b"]))
    found = psth(responses)
    assert found["mean"].values.ravel().tolist() == [2, 8]
    assert found["n_trials"].values.ravel().tolist() == [2, 1]
    assert found["sem"].values.ravel()[0] == pytest.approx(stats.sem([1, 3]))
    assert np.isnan(found["sem"].values.ravel()[1])
    assert condition_means(responses).attrs["n_left_out"] == 1


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_averages_agree_with_a_dull_loop(seed):
    random = np.random.default_rng(seed)
    values = random.normal(size=(9, 2, 3))
    values[random.random(values.shape) < 0.2] = np.nan
    labels = random.integers(0, 3, 9)
    found = condition_means(labelled(values, labels))
    for label in np.unique(labels):
        for time in range(2):
            for unit in range(3):
                one = [v for v in values[labels == label, time, unit] if np.isfinite(v)]
                mine = found.sel(condition=label).values[time, unit]
                assert mine == pytest.approx(np.mean(one)) if one else np.isnan(mine)


def test_a_tuning_curve_has_its_bins_and_says_what_lies_outside():
    angle = np.array([0.0, 45.0, 90.0, 180.0, 181.0, np.nan])
    values = np.arange(6.0).reshape(6, 1, 1) * np.ones((6, 3, 1))
    one = labelled(values, angle).rename(condition="angle")
    found = tuning_curve(one, "angle", [0, 90, 120, 180], (0.0, 0.1))
    assert found["mean"].values.ravel().tolist() == [0.5, 2, 3]
    assert found["n_trials"].values.ravel().tolist() == [2, 1, 1]
    assert found.attrs["n_outside"] == 2
    with pytest.raises(ValueError, match="rising"):
        tuning_curve(one, "angle", [90, 0], (0, 0.1))
    with pytest.raises(ValueError, match="window with bins"):
        tuning_curve(one, "angle", [0, 90], (5, 6))


def test_the_baseline_is_the_same_in_every_condition(random):
    means = condition_means(recording(A, random, n_trials=2))
    common = cross_condition_average(means)
    assert (common == common.isel(condition=0)).all()
    assert common.isel(condition=0).values == pytest.approx(means.values.mean(0))
    assert float(means.std("condition").max()) > 0
