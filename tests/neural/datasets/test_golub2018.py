"""The session of Golub et al. 2018, its cursor and its mappings."""

import golub_files
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import refused

from neuro_bpl.neural import validate
from neuro_bpl.neural.datasets.golub2018 import read_golub
from neuro_bpl.neural.measures import cursor


@pytest.fixture(scope="module")
def measured():
    return read_golub(golub_files.real())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return golub_files.write(tmp_path_factory.mktemp("golub") / "small.mat")


@pytest.fixture(scope="module", params=["small", "real"])
def session(request, small):
    return read_golub(small) if request.param == "small" else request.getfixturevalue("measured")


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


def test_who_and_when_are_read_from_the_file(small, tmp_path, measured):
    file = golub_files.contents()
    file["expParams"].update(monkName="L", expDate="20120308")
    other = read_golub(golub_files.write(tmp_path / "other.mat", file))
    assert [other.attrs[name] for name in ("session", "subject")] == ["20120308", "L"]
    assert [measured.attrs[name] for name in ("session", "subject")] == ["20120305", "Jeffy"]
    for name in ("monkName", "expDate"):
        file["expParams"].pop(name)
    unsaid = read_golub(golub_files.write(tmp_path / "unsaid.mat", file))
    assert not {"session", "subject"} & set(unsaid.attrs)


@settings(max_examples=25)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_whole(small, tmp_path_factory, data):
    folder, content = tmp_path_factory.mktemp("damaged"), bytearray(small.read_bytes())
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
    wanted = read_golub(small)
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
    (tmp_path / "text.mat").write_bytes(b"no matrices")
    with refused("a whole, compressed MATLAB file"):
        read_golub(tmp_path / "text.mat")
    file = golub_files.contents()
    file.pop("afterLearning")
    with refused("variable = 'afterLearning'", "beforeLearning"):
        read_golub(golub_files.write(tmp_path / "half.mat", file))


# -------------------------------------------------------------------------------------------------------- the cursor


def test_progress_needs_directions_of_length_one():
    velocity = xr.DataArray([3.0, 4.0], dims="velocity")
    with refused("direction", "length 1"):
        cursor.progress(velocity, velocity)


def test_a_decoder_of_other_units_is_refused(session):
    decoders = session["decoders"].to_dataset()
    with refused("units = 2", "decoder"):
        cursor.velocity(session["activity/spike_counts"].isel(unit=[0, 1]), decoders)
