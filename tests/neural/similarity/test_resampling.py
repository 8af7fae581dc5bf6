"""Splits of trials, ceilings, orders and p values: each against what it has to be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro_bpl.neural.similarity.resampling import ceiling, folds, holm, orders, p_of_null, spearman_brown, split


@pytest.fixture
def random():
    return np.random.default_rng(3)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.lists(st.integers(-1, 3), min_size=1, max_size=30))
def test_parts_of_every_group_are_of_equal_size_to_within_one_trial(seed, n_parts, groups):
    groups = np.array(groups)
    random = np.random.default_rng(seed)
    part = split(groups, random.integers(1, 5, len(groups)), n_parts, random)
    assert ((part == -1) == (groups == -1)).all()
    for group in set(groups.tolist()) - {-1}:
        counts = np.bincount(part[groups == group], minlength=n_parts)
        assert len(counts) == n_parts
        assert counts.max() - counts.min() <= 1


def test_long_trials_are_dealt_out_evenly():
    n_bins = np.array([9, 9, 1, 1, 1, 1])
    for seed in range(10):
        part = split(np.zeros(6, int), n_bins, 2, np.random.default_rng(seed))
        assert part[0] != part[1]


def test_half_of_the_trials_says_what_all_would(random):
    truth = random.normal(size=4000)
    first, second = truth + random.normal(size=(2, 4000))
    r = np.corrcoef(first, second)[0, 1]
    assert r == pytest.approx(0.5, abs=0.05)
    assert ceiling(r) == pytest.approx(np.corrcoef(truth, (first + second) / 2)[0, 1], abs=0.02)
    assert ceiling(r, factor=1) == pytest.approx(np.corrcoef(truth, first)[0, 1], abs=0.02)
    assert spearman_brown(0.5, 1) == 0.5
    assert np.isnan(ceiling(-0.2))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_method_agrees_with_its_stepwise_form(p):
    adjusted = holm(np.array(p))
    for level in (0.01, 0.05, 0.3):
        rejected, open_ = set(), True
        for rank, at in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            open_ = open_ and p[at] * (len(p) - rank) <= level
            if open_:
                rejected.add(at)
        assert {i for i, q in enumerate(adjusted) if q <= level} == rejected


def test_orders_are_all_of_them_where_they_are_few(random):
    found = orders(4, 100, random)
    assert len({tuple(order) for order in found}) == 23
    assert orders(6, 50, random).shape == (50, 6)
    assert orders(5, 0, random).shape == (0, 5)
    assert (np.sort(orders(6, 50, random)) == np.arange(6)).all()
    assert [fold.sum() for fold in folds(7, 3)] == [3, 2, 2]
    assert p_of_null(5, np.zeros(99)) == 0.01


def test_orders_without_a_score_are_no_evidence():
    assert p_of_null(5, np.array([0.0] * 9 + [np.nan] * 9)) == pytest.approx(0.1)
    assert np.isnan(p_of_null(5, np.array([0.0] * 9 + [np.nan] * 10)))
    assert np.isnan(p_of_null(np.nan, np.zeros(9)))
