"""Repertoires: the published ratio, what it does not depend on, and that of Golub et al.'s monkey."""

import golub_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

from neuro_bpl.neural.datasets.golub2018 import read_golub
from neuro_bpl.neural.measures import repertoire


def movement_specific(before, angles_before, after, angles_after):
    changes = repertoire.movement_specific_change(before, angles_before, after, angles_after)
    return repertoire.mean_change(changes, angles_after)


def cloud(seed=0, n_samples=160, n_factors=4):
    return np.random.default_rng(seed).normal(size=(n_samples, n_factors))


@given(st.integers(0, 2**16))
@settings(max_examples=10)
def test_repertoire_change_does_not_depend_on_the_axes(seed):
    rng = np.random.default_rng(seed)
    before, after = cloud(seed), cloud(seed + 1) + 0.5
    matrix, shift = rng.normal(size=(4, 4)) + 3 * np.eye(4), rng.normal(size=4)
    plain = repertoire.repertoire_change(before, after)
    turned = repertoire.repertoire_change(before @ matrix + shift, after @ matrix + shift)
    np.testing.assert_allclose(turned, plain, rtol=1e-6, atol=1e-9)
    assert plain.mean() > 0.02
    assert abs(repertoire.repertoire_change(before, after + shift) - plain).max() > 1e-3


def test_repertoire_change_is_the_published_ratio():
    before, after = cloud(), cloud(1)
    inverse = np.linalg.inv(np.cov(before.T, bias=True))

    def fifth(point, others):
        apart = others - point
        return np.sort(np.sqrt(np.einsum("sf,fg,sg->s", apart, inverse, apart)))[4]

    own = np.mean([fifth(point, np.delete(before, n, 0)) for n, point in enumerate(before)])
    own *= len(before) / (len(before) - 1)
    expected = np.array([fifth(point, before) for point in after]) / own - 1
    np.testing.assert_allclose(repertoire.repertoire_change(before, after), expected, rtol=1e-9)


def test_the_same_repertoire_does_not_change_and_others_do():
    before, same = cloud(0, 600), cloud(1, 600)
    assert abs(repertoire.repertoire_change(before, same).mean()) < 0.05
    assert repertoire.repertoire_change(before, 2 * same).mean() > 0.5
    assert repertoire.repertoire_change(before, same / 10).mean() < -0.2
    bound, p = repertoire.chance_of_change(before[:100], same[:100], draws=99)
    assert p > 0.05
    moved = same[:100] + 1.5
    assert repertoire.chance_of_change(before[:100], moved, draws=99)[1] < 0.03
    assert repertoire.repertoire_change(before[:100], moved).mean() > bound


def test_patterns_that_change_places_are_new_for_each_movement_but_not_for_all():
    rng = np.random.default_rng(0)
    angles = np.repeat([0, 180], 200)
    places = np.where(angles[:, None] == 0, 4.0, -4.0) * np.array([1.0, 0.0])
    before, after = places + rng.normal(size=(400, 2)), -places + rng.normal(size=(400, 2))
    overall = repertoire.mean_change(repertoire.repertoire_change(before, after), angles)
    specific = movement_specific(before, angles, after, angles)
    assert overall.low < 0.05 < 5 < specific.low < specific.value < specific.high
    kept = movement_specific(before, angles, places + rng.normal(size=(400, 2)), angles)
    assert kept.high < 0.2
    with refused("angles_after"):
        repertoire.movement_specific_change(before, angles, after, angles + 1)


def test_variance_change_counts_what_the_mapping_reads():
    before = cloud(0, 5000)
    after = before * np.array([2.0, 1.0, 1.0, 1.0])
    reads, blind = np.array([[3.0, 0, 0, 0]]), np.array([[0, 1.0, 0, 0], [0, 0, 1.0, 0]])
    assert repertoire.variance_change(before, after, reads) == pytest.approx(3.0)
    assert repertoire.variance_change(before, after, blind) == pytest.approx(0, abs=1e-12)
    assert repertoire.variance_change(before, after, 7 * reads) == pytest.approx(3.0)


def test_the_monkey_keeps_its_repertoire():
    measured = read_golub(golub_files.real())
    trials = measured["trials"].to_dataset()
    before = trials["phase"].values == "before"
    z, angle = measured["activity/factors"].isel(time=0).values, trials["angle"].values
    overall = repertoire.mean_change(repertoire.repertoire_change(z[before], z[~before]), angle[~before])
    specific = movement_specific(z[before], angle[before], z[~before], angle[~before])
    assert overall.low < overall.value == pytest.approx(0.025, abs=0.001)
    assert specific.value == pytest.approx(0.084, abs=0.001)
    assert repertoire.repertoire_change(z[before], 1.5 * z[~before]).mean() > 0.2


def test_too_few_or_flat_patterns_are_refused(untyped):
    before, after = cloud(), cloud(1)
    with refused("neighbours = 160"):
        repertoire.repertoire_change(before, after, 160)
    with refused("before", "dimensions"):
        repertoire.repertoire_change(np.c_[before, before], np.c_[after, after])
    with refused("after.shape"):
        repertoire.repertoire_change(before, after[:, :2])
    with refused("after"):
        repertoire.repertoire_change(before, np.full_like(after, np.nan))
