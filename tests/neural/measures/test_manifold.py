"""Intrinsic manifolds: the space of planted loadings, and mappings that read from it."""

import numpy as np
import pytest
import xarray as xr
from tiny import refused

from neuro_bpl.neural.measures import cursor, manifold


def population(n_samples=400, n_units=12, n_factors=3, seed=0, private=0.3):
    rng = np.random.default_rng(seed)
    loadings, latents = rng.normal(size=(n_units, n_factors)), rng.normal(size=(n_samples, n_factors))
    values = latents @ loadings.T + private * rng.normal(size=(n_samples, n_units)) + rng.uniform(1, 5, n_units)
    return xr.DataArray(values, dims=("trial", "unit")), loadings, latents


def test_factor_analysis_finds_the_space_of_planted_loadings():
    activity, loadings, latents = population(2000)
    found = manifold.intrinsic_manifold(activity, 3)
    scaled = found["sigma_u"].values[:, None] * loadings
    planted = np.linalg.qr(scaled)[0]
    cosines = np.linalg.svd(planted.T @ found["U"].values)[1]
    assert cosines.min() > 0.999
    # The latents are found up to a rotation: regression explains them.
    z = cursor.latents(activity, found).transpose("trial", "latent").values
    left = latents - z @ np.linalg.lstsq(z, latents, rcond=None)[0]
    assert (left**2).mean() / (latents**2).mean() < 0.05
    # A space drawn at random is another one.
    other = np.linalg.qr(np.random.default_rng(1).normal(size=planted.shape))[0]
    assert np.linalg.svd(planted.T @ other)[1].min() < 0.9


def test_the_posterior_mean_is_that_of_factor_analysis():
    activity, *_ = population()
    found = manifold.intrinsic_manifold(activity, 3)
    loadings, private = found["loadings"].values, found["private_variance"].values
    direct = loadings.T @ np.linalg.inv(loadings @ loadings.T + np.diag(private))
    np.testing.assert_allclose(found["beta"], direct, atol=1e-10)
    np.testing.assert_allclose(found["U"].values @ np.diag(found["D"]) @ found["V"].values.T, loadings, atol=1e-10)
    assert abs(direct).max() > 0.01


def test_a_mapping_regresses_velocity_and_a_permutation_reorders_latents():
    activity, _, latents = population()
    wanted = xr.DataArray(latents[:, :2] + 1.0, dims=("trial", "velocity"), attrs={"units": "mm/s"})
    plain = manifold.mapping(manifold.intrinsic_manifold(activity, 3), activity, wanted)
    got = cursor.velocity(activity, plain).transpose("trial", "velocity").values
    assert np.corrcoef(got[:, 0], wanted[:, 0])[0, 1] > 0.97
    np.testing.assert_allclose(got.mean(0), wanted.mean("trial"), atol=1e-10)
    assert plain["M2"].attrs["units"] == "mm/s"
    order = np.array([2, 0, 1])
    shuffled = manifold.permuted(plain, order)
    z = (plain["sigma_z"] * cursor.latents(activity, plain)).transpose("latent", "trial").values
    expected = plain["K"].values @ z[order] + plain["k0"].values[:, None]
    np.testing.assert_allclose(cursor.velocity(activity, shuffled).transpose("velocity", "trial"), expected, atol=1e-9)
    assert abs(expected.T - got).max() > 0.1
    back = manifold.permuted(shuffled, np.arange(3))
    np.testing.assert_allclose(back["M2"], plain["M2"])


def test_activity_inside_the_manifold_has_no_residual():
    activity, *_ = population(private=0.05)
    found = manifold.intrinsic_manifold(activity, 3)
    assert manifold.residual_share(activity, found) < 0.01
    # Activity of private noise alone lies outside but for 3 of 12 dimensions.
    noise = activity.copy(data=np.random.default_rng(3).normal(size=activity.shape) / found["sigma_u"].values)
    assert manifold.residual_share(noise, found) == pytest.approx(9 / 12, abs=0.05)


def test_activity_without_a_manifold_is_refused():
    activity, *_ = population()
    with refused("n_factors = 12"):
        manifold.intrinsic_manifold(activity, 12)
    with refused("activity", "unit 2 never changes"):
        manifold.intrinsic_manifold(xr.where(activity["unit"] == 2, 1.0, activity), 3)
    with refused("activity", "not finite"):
        manifold.intrinsic_manifold(activity.where(activity["trial"] > 0), 3)
    plain = manifold.mapping(
        manifold.intrinsic_manifold(activity, 3), activity, activity[:, :2].rename(unit="velocity")
    )
    for order in ([0, 0, 1], [0, 1], [1, 2, 3]):
        with refused("order", "permutation"):
            manifold.permuted(plain, np.array(order))
