"""Measures of similarity: known answers, what they do not change under, and what they must notice."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import DT, N_CONDITIONS, A, labelled, latent, random_rotation, rates, turning
from scipy import spatial, stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from neuro_bpl.neural.activity.responses import rows
from neuro_bpl.neural.similarity import dynamics
from neuro_bpl.neural.similarity import representational_similarity as rsa
from neuro_bpl.neural.similarity.averaging import Target, recorded_averages
from neuro_bpl.neural.similarity.canonical_correlation import canonical_correlations
from neuro_bpl.neural.similarity.kernel_alignment import cka
from neuro_bpl.neural.similarity.linear_prediction import predicted
from neuro_bpl.neural.similarity.measures import MEASURES, measure
from neuro_bpl.neural.similarity.procrustes import procrustes_distance, procrustes_similarity
from neuro_bpl.neural.similarity.resampling import ceiling, folds

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture
def random():
    return np.random.default_rng(3)


# -------------------------------------------------------------- what each measure does not change under, and does


TRANSFORMS = {
    "itself": lambda x, random: x,
    "rotated": lambda x, random: x @ random_rotation(x.shape[-1], random),
    "scaled": lambda x, random: 3 * x,
    "permuted units": lambda x, random: x[..., random.permutation(x.shape[-1])],
    "more units": lambda x, random: np.concatenate([x, x[..., ::-1]], -1),
    "stretched": lambda x, random: x @ random.normal(size=(x.shape[-1], x.shape[-1])) * np.array([1, 4, 20, 100]),
    "conditions shuffled": lambda x, random: x[[1, 2, 3, 4, 5, 0]],
    "times shuffled": lambda x, random: x[:, np.random.default_rng(0).permutation(x.shape[1])],
}
SHAPE = {"itself", "rotated", "scaled", "permuted units", "more units"}
UNCHANGED = {
    "predictivity": SHAPE | {"stretched"},
    "cca": SHAPE | {"stretched"},
    "procrustes": SHAPE,
    "cka": SHAPE,
    "rsa": SHAPE | {"times shuffled"},
    "dsa": SHAPE | {"stretched", "conditions shuffled"},
}


def noiseless(x):
    return Target(x, np.stack([x] * 4))


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_is_one_where_it_is_invariant_and_below_where_it_is_not(name, transform, random):
    population = latent(A, n_times=15)
    model = TRANSFORMS[transform](population, random)
    score = measure(name, **({"rank": 4} if name == "dsa" else {})).score(model, noiseless(population))
    if transform in UNCHANGED[name]:
        assert score == pytest.approx(1, abs=2e-3)
    else:
        assert score < 0.97


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "dsa"])
def test_a_model_equal_but_for_the_noise_reaches_the_ceiling_and_an_unrelated_one_does_not(name):
    random = np.random.default_rng(1)
    truth, other = rates(A, 30, random), random.normal(size=(N_CONDITIONS, 12, 30)).cumsum(1)
    conditions = np.repeat(np.arange(N_CONDITIONS), 40)
    noisy = labelled(random.poisson(0.2 * truth[conditions]).astype(float), conditions)
    targets = recorded_averages(noisy, "condition", n_splits=3, n_parts=4, normalise="none", seed=0).targets
    one = measure(name)
    reliability = np.mean([one.reliability(target) for target in targets])
    assert 0.3 < reliability < 0.999
    scores = [np.mean([one.score(model, target) for target in targets]) for model in (truth, other)]
    # What is fitted pays for the noise of the conditions that it is fitted to.
    low = 0.88 if name in ("predictivity", "procrustes") else 0.95
    assert low < scores[0] / one.ceiling(reliability, targets) < 1.05
    assert scores[1] < 0.6 * scores[0]


def test_where_noise_is_strong_the_true_model_still_scores_the_ceiling():
    random, names = np.random.default_rng(0), ("cka", "rsa")
    found = {name: [] for name in names}
    for _ in range(12):
        truth, conditions = rates(A, 40, random), np.repeat(np.arange(N_CONDITIONS), 16)
        noisy = labelled(random.poisson(0.3 * DT * truth[conditions]).astype(float), conditions)
        targets = recorded_averages(noisy, "condition", n_splits=4, n_parts=4, normalise="none", seed=0).targets
        for name in names:
            one = measure(name)
            score = np.mean([one.score(truth, target) for target in targets])
            reliability = np.mean([one.reliability(target) for target in targets])
            found[name].append((score, one.ceiling(reliability, targets), ceiling(reliability)))
    for name in names:
        score, limit, of_correlations = np.mean(found[name], 0)
        assert 0.9 < score / limit < 1.1, name
        # Doubling the trials does more for products of averages than Spearman and Brown say of sums.
        assert score / of_correlations > 1.15, name


def test_where_the_halves_share_nothing_there_is_no_ceiling(random):
    drawn = random.normal(size=(2, N_CONDITIONS, 12, 5))
    opposed = Target(drawn[0], np.stack([drawn[0], drawn[0], -drawn[0], -drawn[0]]))
    for name in ("procrustes", "dsa"):
        assert np.isnan(measure(name).ceiling(-0.1, [opposed]))
    # Distances of one half that fall where those of the other rise.
    apart = Target(drawn[0], np.stack([drawn[0], drawn[0], drawn[0], -drawn[0]]))
    assert np.isnan(measure("rsa").ceiling(0.5, [apart]))
    assert measure("rsa", method="spearman").ceiling(0.5, [apart]) == ceiling(0.5)
    assert measure("dsa").ceiling(0.3, [opposed]) == 0.3


def test_a_population_of_fewer_dimensions_is_judged_by_all_that_was_recorded():
    population = latent(A, n_times=15)
    scores = [measure("cca").score(population[..., :n], noiseless(population)) for n in (4, 2)]
    assert scores == pytest.approx([1, 0.5], abs=2e-3)


def test_of_independent_populations_only_the_debiased_alignment_is_zero(random):
    drawn = [(random.normal(size=(20, 60)), random.normal(size=(20, 50))) for _ in range(40)]
    debiased = [cka(x, y) for x, y in drawn]
    assert abs(np.mean(debiased)) < 3 * stats.sem(debiased)
    assert np.mean([cka(x, y, debiased=False) for x, y in drawn]) > 0.5
    assert np.mean([procrustes_similarity(x, y) for x, y in drawn]) > 0.5
    assert canonical_correlations(*drawn[0])[0] > 0.99


@given(seeds, st.integers(2, 6), st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_shapes_are_compared_whatever_rotation_shift_and_scale(seed, n_units, scale):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(2, 25, n_units))
    moved = scale * x @ random_rotation(n_units, random) + random.normal(size=n_units)
    assert procrustes_similarity(moved, y) == pytest.approx(procrustes_similarity(x, y))
    assert cka(moved, y) == pytest.approx(cka(x, y))
    assert procrustes_distance(moved, x) < 1e-6
    assert procrustes_distance(x, y) == pytest.approx(procrustes_distance(y, x))
    assert procrustes_distance(x, y) > 0.1
    mixed = x @ random.normal(size=(n_units, n_units))
    assert canonical_correlations(mixed, y) == pytest.approx(canonical_correlations(x, y), abs=1e-6)


def test_procrustes_and_prediction_are_those_of_other_libraries(random):
    x, y = random.normal(size=(2, 25, 6))
    assert 1 - procrustes_similarity(x, y) ** 2 == pytest.approx(spatial.procrustes(x, y)[2])
    x, y = x.reshape(5, 5, 6), y.reshape(5, 5, 6)
    theirs = cross_val_predict(LinearRegression(), rows(x), rows(y), cv=PredefinedSplit(np.repeat(np.arange(5), 5)))
    mine = predicted(x, y, folds(5, 5), n_components=6)
    assert rows(mine) == pytest.approx(theirs)


def test_populations_with_other_samples_are_refused(random):
    with pytest.raises(ValueError, match=r"samples = \(5, 6\)"):
        cka(random.normal(size=(5, 2)), random.normal(size=(6, 2)))
    with pytest.raises(ValueError, match="missing values"):
        procrustes_similarity(np.full((5, 2), np.nan), np.ones((5, 2)))


# ---------------------------------------------------------------------------------------------- distances of conditions


def test_cross_validated_distances_are_right_on_average_and_plain_ones_too_large(random):
    truth = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    drawn = truth + random.normal(size=(4000, 2, 3, 3))
    found = np.array([rsa.cross_validated_distances(a, b) for a, b in drawn])
    plain = np.array([rsa.distances(a) for a, _ in drawn])
    assert found.mean(0) == pytest.approx([0, 3, 3], abs=0.15)
    assert plain.mean(0) == pytest.approx([2, 5, 5], abs=0.15)
    assert (found[:, 0] < 0).any()


def test_a_matrix_of_distances_is_labelled_and_symmetric():
    angles = np.deg2rad([0, 90, 180])
    ring = xr.DataArray(
        np.stack([np.cos(angles), np.sin(angles)], -1)[:, None],
        {"condition": ["east", "north", "west"]},
        ("condition", "time", "unit"),
    )
    found = rsa.rdm(ring)
    assert found.sel(condition="east", other="west").item() == pytest.approx(2)
    assert found.sel(condition="east", other="north").item() == pytest.approx(1)
    assert (found.values == found.values.T).all()


def test_distances_correlate_by_rank_or_by_size_and_flat_ones_not_at_all():
    one = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert rsa.rdm_similarity(one, one**5, "spearman") == pytest.approx(1)
    assert rsa.rdm_similarity(one, one**5, "kendall") == pytest.approx(1)
    assert rsa.rdm_similarity(one, one**5) < 0.9
    assert rsa.rdm_similarity(one, np.full(6, 2.0)) == 0
    with pytest.raises(ValueError, match='method="pearson"'):
        rsa.rdm_similarity(one, one, "person")
    with pytest.raises(ValueError, match="at least 3"):
        rsa.rdm_similarity(one[:1], one[:1])


def test_the_ceiling_of_several_subjects_brackets_the_true_matrix(random):
    truth = random.normal(size=15)
    subjects = truth + 0.7 * random.normal(size=(12, 15))
    lower, upper = rsa.rdm_ceiling(subjects)
    of_truth = np.mean([rsa.rdm_similarity(own, truth) for own in subjects])
    assert lower < of_truth < upper
    assert lower > 0.3


# ------------------------------------------------------------------------------------------------------------ dynamics


@given(seeds)
@settings(max_examples=12, deadline=None)
def test_the_same_dynamics_in_a_rotated_basis_have_distance_zero(seed):
    random = np.random.default_rng(seed)
    operator = turning(*random.uniform(0.05, 1.5, 2), decay=random.uniform(0.7, 1))
    basis = random_rotation(4, random)
    turned = basis @ operator @ basis.T
    assert dynamics.operator_similarity(operator, turned) == pytest.approx(1, abs=2e-3)
    assert np.linalg.norm(operator - turned) > 10 * dynamics.operator_distance(operator, turned)


def test_other_eigenvalues_have_a_distance_and_it_is_the_known_one():
    slow, fast = turning(0.2), turning(0.9)
    # Rotations commute with each other, so no basis brings them closer than the angle between them.
    assert dynamics.operator_distance(slow, fast) == pytest.approx(np.linalg.norm(slow - fast), rel=1e-6)
    assert dynamics.operator_similarity(slow, fast) == pytest.approx(np.cos(0.7))
    assert dynamics.operator_distance(np.diag([3.0, 1.0]), np.diag([1.0, 2.0])) == pytest.approx(1)


def test_the_operator_of_linear_trajectories_has_their_eigenvalues(random):
    x = latent(A, n_times=20) @ random.normal(size=(4, 9))
    operator = dynamics.linear_operator(x - x.mean((0, 1)), n_delays=3, rank=5)
    found = np.sort_complex(np.linalg.eigvals(operator))
    for true in np.linalg.eigvals(A):
        assert np.abs(found - true).min() < 0.02
    with pytest.raises(ValueError, match="1 to 19"):
        dynamics.linear_operator(x, n_delays=20)
