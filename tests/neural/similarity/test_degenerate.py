"""Populations that do not vary are similar to nothing, whatever constant they hold; a shift costs no digits."""

import warnings

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from neuro_bpl import neural
from neuro_bpl.neural.measures import manifold, repertoire
from neuro_bpl.neural.similarity.averaging import Target
from neuro_bpl.neural.similarity.measures import MEASURES
from neuro_bpl.neural.similarity.representational_similarity import cross_validated_distances, distances

DIMS = ("trial", "time", "unit")
CONSTANTS = (0.0, 0.1, 0.3, 0.7, 1.0, 1 / 3, 1e-9, 1e9, "own")
SIMILARITIES = {
    "procrustes_similarity": neural.procrustes_similarity,
    "procrustes_distance": neural.procrustes_distance,
    "cka": neural.cka,
    "biased cka": lambda x, y: neural.cka(x, y, debiased=False),
    "canonical_correlations": lambda x, y: neural.canonical_correlations(x, y).max(),
    "dynamical_similarity": lambda x, y: neural.dynamical_similarity(
        *(values.reshape(6, 5, -1) for values in (x, y)), n_delays=2, rank=3
    ),
}


@pytest.fixture
def random():
    return np.random.default_rng(0)


def constant(value, n_units=5):
    """The same in all samples: one number, or for each unit its own."""
    own = np.random.default_rng(1).uniform(0, 20, n_units) if value == "own" else np.full(n_units, value)
    return np.tile(own, (30, 1))


@pytest.mark.parametrize("value", CONSTANTS)
@pytest.mark.parametrize("name", SIMILARITIES)
def test_a_constant_population_is_similar_to_nothing(name, value, random):
    busy, similarity = random.normal(size=(30, 6)), SIMILARITIES[name]
    assert np.isfinite(similarity(busy, busy @ random.normal(size=(6, 5))))  # liveness
    assert np.isnan(similarity(constant(value), busy))
    assert np.isnan(similarity(busy, constant(value)))
    assert np.isnan(similarity(constant(value), constant(0.7, 6)))


@pytest.mark.parametrize("value", CONSTANTS)
def test_a_constant_population_has_no_dimensions(value, random):
    flat = constant(value)
    assert np.isnan(neural.participation_ratio(flat))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        components = neural.principal_components(xr.DataArray(flat, dims=("trial", "unit")), 2)
    assert components["variance_fraction"].isnull().all()
    assert (components["score"] == 0).all()
    little = 1e-6 * max(abs(flat).max(), 1.0) * random.normal(size=flat.shape)
    assert 1 < neural.participation_ratio(flat + little) <= 5  # liveness


@pytest.mark.parametrize("mean", [0.0, 10.0, 1e3, 1e6, -1e8])
def test_what_is_added_to_all_samples_of_a_unit_changes_no_estimator(mean, random):
    """The right values are those of the populations as they are; only what is added is rounded."""
    x = random.normal(size=(60, 8)).round(3)
    y = (x @ random.normal(size=(8, 8))).round(3)
    shifts = [mean * random.integers(1, 9, 8) for _ in range(2)]
    far = x + shifts[0], y + shifts[1]
    close = {"rel": 2e-16 * max(abs(mean), 1) * 1e4 + 1e-9}
    measures = [SIMILARITIES[name] for name in ("procrustes_similarity", "cka", "biased cka", "canonical_correlations")]
    for measure in measures:
        assert measure(*far) == pytest.approx(measure(x, y), **close)
        assert measure(x, y) < 1 - 1e-3 or measure is SIMILARITIES["canonical_correlations"]
    assert neural.participation_ratio(far[0]) == pytest.approx(neural.participation_ratio(x), **close)
    exact = distances(x)
    np.testing.assert_allclose(distances(far[0]), exact, **{"rtol": close["rel"]})
    np.testing.assert_allclose(
        cross_validated_distances(far[0], x + shifts[1]), exact, rtol=close["rel"], atol=close["rel"] * exact.max()
    )


def test_a_unit_that_others_add_up_to_gives_no_direction_of_its_own_after_a_shift(random):
    """Rounding of large means is no direction in which populations could correlate."""
    two = random.normal(size=(40, 2))
    x = np.column_stack([two, two.sum(1)])
    y = np.column_stack([two @ random.normal(size=(2, 2)), random.normal(size=(40, 3))])
    for mean in (0.0, 1e4):
        np.testing.assert_allclose(neural.canonical_correlations(x + mean, y + mean), [1, 1], atol=1e-6)


@pytest.mark.parametrize(("value", "metrics"), [(0.0, ("procrustes", "dsa")), (0.1, tuple(MEASURES))])
def test_a_rule_whose_networks_are_silent_has_no_score_and_is_counted(value, metrics, random):
    n, steps, units = 6, 8, 10
    signal, condition = random.normal(size=(n, steps, units)) * 3, np.repeat(np.arange(n), 12)
    time = 0.05 * np.arange(steps)
    labels = {"time": time, "condition": ("trial", condition)}
    recording = xr.DataArray(signal[condition] + random.normal(size=(72, steps, units)), labels, DIMS)

    def model(values):
        return xr.DataArray(values, {"time": time, "condition": ("trial", np.arange(n))}, ("seed", *DIMS))

    alive = model(np.stack([signal @ random.normal(size=(units, 7)) for _ in range(3)]))
    half = alive.copy()
    half.values[1] = value
    models = {"alive": alive, "half": half, "dead": model(np.full((3, n, steps, 7), value))}
    few = {"n_splits": 2, "n_permutations": 3, "n_bootstrap": 3}
    found = neural.compare(models, recording, metrics=metrics, **few)
    assert found["mean"].sel(rule="dead").isnull().all()
    assert found["mean"].sel(rule=["alive", "half"]).notnull().all()
    assert found["n_left_out"].values.tolist() == [0, 1, 3]
    assert not (found["closest"] == "dead").any()
    assert "diverged or are constant are left out: alive: 0, half: 1, dead: 3" in neural.table(found)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_has_no_score_for_a_model_that_does_not_vary(name, random):
    means = random.normal(size=(6, 12, 5))
    target = Target(means, np.stack([means] * 4))
    assert np.isnan(neural.measure(name).score(np.full((6, 12, 4), 0.1), target))
    assert neural.measure(name).score(means, target) > 0.9


def test_distances_that_differ_by_rounding_tell_no_pair_apart():
    """Averages of 0.1 over unequal numbers of trials differ in the last digit."""
    averages = 0.1 + 1e-17 * np.arange(20).reshape(5, 4)
    averages[2] = np.full((3, 4), 0.1).sum(0) / 3
    pairs = distances(averages)
    assert neural.rdm_similarity(pairs, np.arange(10.0)) == 0
    tiny = 1e-18 * np.arange(10.0)  # such as squared volts, and no rounding
    assert neural.rdm_similarity(tiny, np.arange(10.0)) == pytest.approx(1)


def test_a_subject_without_distances_takes_its_part_in_the_ceiling_as_zero(random):
    rdms = np.stack([np.arange(6.0), np.arange(6.0) + 0.1 * random.normal(size=6), np.full(6, 0.1)])
    lower, upper = neural.rdm_ceiling(rdms)
    r = stats.pearsonr(rdms[0], rdms[1]).statistic
    assert lower == pytest.approx(2 * r / 3)
    assert r < 1
    assert lower < upper < 1


def test_chance_and_null_are_of_the_trials_that_are_scored_at_that_time(random):
    """Three classes at the first time, two at the second, where trials of the third have ended."""
    side = np.repeat([0, 1, 2], 12)
    values = random.normal(size=(36, 2, 2))
    values[side == 2, 1] = np.nan
    recording = xr.DataArray(values, {"time": [0.1, 0.2], "side": ("trial", side)}, DIMS)
    settings = {"n_splits": 2, "n_permutations": 4, "seed": 1}
    found = neural.decode(recording, "side", **settings)
    np.testing.assert_allclose(found["chance"], [1 / 3, 1 / 2])
    alone = neural.decode(recording.isel(trial=side < 2, time=[1]), "side", **settings)
    for name in ("score", "chance", "n_trials", "null_mean", "null_95", "p"):
        assert found[name].values[1] == alone[name].item(), name
    assert found["null_mean"].values[0] != found["null_mean"].values[1]  # liveness


def test_a_time_with_one_class_has_no_chance_to_be_compared_with(random):
    values, side = random.normal(size=(40, 2, 3)), np.repeat([0, 1], 20)
    values[side == 1, 1] = np.nan
    found = neural.decode(xr.DataArray(values, {"time": [0.1, 0.2], "side": ("trial", side)}, DIMS), "side")
    assert found["chance"].values[0] == 0.5
    assert np.isnan(found["chance"].values[1])
    assert np.isnan(found["score"].values[1])


def test_units_that_do_not_vary_have_no_manifold_and_no_repertoire(random):
    counts = random.normal(size=(50, 4))
    counts[:, 2] = 0.1
    with pytest.raises(ValueError, match="unit 2 never changes"):
        manifold.intrinsic_manifold(xr.DataArray(counts, dims=("trial", "unit")), 1)
    with pytest.raises(ValueError, match="do not fill 4 dimensions"):
        repertoire.repertoire_change(counts, random.normal(size=(20, 4)))
    assert np.isnan(repertoire.variance_change(np.full((9, 2), 0.1), random.normal(size=(9, 2)), np.eye(2)))
    doubled = repertoire.variance_change(counts[:, :2] + 1e6, np.sqrt(2) * counts[:, :2], np.eye(2))
    assert doubled == pytest.approx(1, abs=1e-6)
