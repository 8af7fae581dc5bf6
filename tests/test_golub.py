"""The session of Golub et al. 2018, cursors and mappings, intrinsic manifolds, and repertoires."""

import os
from pathlib import Path

import golub_files
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

from neuro_bpl.neural import cursor, manifold, repertoire, validate
from neuro_bpl.neural.golub import read_golub

NAME = "neural/golub2018_bci_m1.mat"


def real():
    place = os.environ.get("NEURO_BPL_DATA")
    if not place or not (Path(place) / NAME).is_file():
        pytest.skip(f"NEURO_BPL_DATA names no folder with {NAME}")
    return Path(place) / NAME


@pytest.fixture(scope="module")
def measured():
    return read_golub(real())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return golub_files.write(tmp_path_factory.mktemp("golub") / "small.mat")


@pytest.fixture(scope="module", params=["small", "real"])
def session(request, small):
    return read_golub(small if request.param == "small" else real())


# ---------------------------------------------------------------------------------------------------------- the file


def test_progress_before_and_after_is_what_the_paper_s_data_say(measured):
    trials = measured["trials"].to_dataset()
    before = trials["phase"] == "before"
    assert int(before.sum()) == int((~before).sum()) == 8 * 69
    assert measured["activity/spike_counts"].sizes == {"trial": 1104, "time": 1, "unit": 86}
    found = [trials["perturbed_progress"][before], trials["perturbed_progress"][~before]]
    assert [round(float(values.mean()), 2) for values in found] == [1.19, 2.05]
    assert float(trials["intuitive_progress"][before].mean()) == pytest.approx(3.72, abs=0.006)
    assert set(np.unique(trials["angle"])) == set(np.arange(8) * 45.0)


def test_a_session_is_valid_and_its_decoders_are_labelled(session):
    validate(session)
    assert session["decoders"]["M2"].dims == ("mapping", "velocity", "unit")
    assert session["decoders"]["mapping"].values.tolist() == ["intuitive", "perturbed"]
    assert session.attrs["licence"] == "BSD-3-Clause"
    assert session["trials"]["perturbed_progress"].attrs["units"] == "mm"
    broken = session.copy()
    broken["decoders"]["M2"].attrs.pop("units")
    with refused("decoders/M2", "units"):
        validate(broken)


def test_progress_made_of_the_spikes_is_the_stored_one(session):
    trials = session["trials"].to_dataset()
    made = cursor.session_progress(session)
    for name in ("intuitive", "perturbed"):
        stored = trials[f"{name}_progress"]
        assert float(abs(made.sel(mapping=name) - stored).max()) < 1e-7
        assert float(stored.std()) > 0.1
    # The other mapping gives other numbers.
    assert float(abs(made.sel(mapping="perturbed") - trials["intuitive_progress"]).max()) > 0.1
    in_use = xr.where(trials["phase"] == "before", trials["intuitive_progress"], trials["perturbed_progress"])
    assert float(abs(in_use - trials["cursor_progress"])[trials["phase"] == "before"].max()) < 1e-12


def test_the_decoder_s_parts_multiply_to_its_matrices(session):
    decoders = session["decoders"].to_dataset()
    latent_gain = xr.dot(
        decoders["K"],
        decoders["eta"],
        (decoders["sigma_z"] * decoders["beta"] * decoders["sigma_u"]).rename(latent="latent_other"),
        dim=("latent", "latent_other"),
    )
    scale = float(abs(decoders["M2"]).max())
    assert float(abs(latent_gain - decoders["M2"]).max()) < 1e-8 * scale
    velocity = cursor.velocity(session["activity/spike_counts"], decoders)
    inside = xr.dot(cursor.pushing_directions(decoders), session["activity/factors"], dim="factor")
    rest = inside - xr.dot(decoders["K"], decoders["d"], dim="latent")
    assert float(abs(rest - velocity).max()) < 1e-6
    # Without the permutation they are not those of the perturbed mapping.
    plain = decoders.assign(eta=decoders["eta"].sel(mapping="intuitive", drop=True))
    wrong = xr.dot(cursor.pushing_directions(plain), session["activity/factors"], dim="factor")
    assert float(abs(wrong - inside).sel(mapping="perturbed").max()) > 1


def test_factors_are_orthonormalised_latents(session):
    decoders = session["decoders"].to_dataset().sel(mapping="intuitive")
    made = cursor.factors(session["activity/spike_counts"], decoders)
    assert float(abs(made - session["activity/factors"]).max()) < 1e-10
    assert float(abs(made).max()) > 0.1


def test_a_missing_file_says_where_it_comes_from(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)is not there.*mattgolub/bci_learning"):
        read_golub(tmp_path / "none.mat")


@settings(max_examples=25)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_whole(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    whole = golub_files.write(folder / "whole.mat")
    content, wanted = bytearray(whole.read_bytes()), read_golub(whole)
    cut = data.draw(st.booleans())
    at = data.draw(st.integers(0, len(content) - 1))
    if cut:
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    (folder / "spoilt.mat").write_bytes(content)
    try:
        with np.errstate(all="ignore"):
            got = read_golub(folder / "spoilt.mat")
    except ValueError as error:
        assert "Type: " in str(error)  # noqa: PT017
        return
    # What no check can know: a byte of the header's text, or of a matrix that nothing is made of.
    assert got["activity"].to_dataset().identical(wanted["activity"].to_dataset())
    assert got["trials"].to_dataset().equals(wanted["trials"].to_dataset())


def test_a_file_without_checksums_is_refused(tmp_path):
    assert read_golub(golub_files.write(tmp_path / "compressed.mat")) is not None
    with pytest.raises(ValueError, match="compressed"):
        read_golub(golub_files.write(tmp_path / "plain.mat", compressed=False))


def spoilt(change):
    file = golub_files.contents()
    change(file)
    return file


WRONG = {
    "no clouds": lambda file: file["beforeLearning"].pop("clouds"),
    "no decoder": lambda file: file["expParams"].pop("perturbedMapping"),
    "progress of other spikes": lambda file: file["afterLearning"]["clouds"]["spikes"][3].__iadd__(1),
    "another step": lambda file: file["expParams"]["intuitiveMapping"].update(dt=0.05),
    "a matrix of another shape": lambda file: file["expParams"]["intuitiveMapping"].update(M2=np.zeros((2, 3))),
    "factors of another manifold": lambda file: file["beforeLearning"]["clouds"]["factorActivity"][0].__imul__(2),
    "a spike count that is none": lambda file: file["beforeLearning"]["clouds"]["spikes"].__setitem__(
        0, np.full((golub_files.N_UNITS, golub_files.PER_ANGLE), np.nan)
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, case):
    with refused("file = ", "Why: "):
        read_golub(golub_files.write(tmp_path / "wrong.mat", spoilt(WRONG[case])))


def test_another_file_is_refused(tmp_path):
    for name, content in (("text.mat", b"no matrices"), ("empty.mat", b"")):
        (tmp_path / name).write_bytes(content)
        with refused("a whole, compressed MATLAB file"):
            read_golub(tmp_path / name)


# -------------------------------------------------------------------------------------------------------- the cursor


def test_progress_needs_directions_of_length_one():
    velocity = xr.DataArray([3.0, 4.0], dims="velocity")
    with refused("direction", "length 1"):
        cursor.progress(velocity, velocity)


def test_a_decoder_of_other_units_is_refused(session):
    decoders = session["decoders"].to_dataset()
    with refused("units = 2", "decoder"):
        cursor.velocity(session["activity/spike_counts"].isel(unit=[0, 1]), decoders)


# ------------------------------------------------------------------------------------------------------ the manifold


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


# ---------------------------------------------------------------------------------------------------- the repertoire


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


def test_the_monkey_keeps_its_repertoire(measured):
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
