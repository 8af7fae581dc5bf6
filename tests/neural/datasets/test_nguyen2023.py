"""The measured wiring of granule cells, masks made from it, and the model and analysis that use them."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scripting import module
from tiny import refused

import neuro_bpl as nb
from neuro_bpl.neural.datasets import nguyen2023

NAME = "neural/nguyen2023_mf_grc_connectome.npz"
MODEL, ANALYSIS = "models/granule_wiring.py", "analyses/granule_fan_in.py"
N_BOUTONS, N_CELLS = 60, 200
TINY = ("--n-units", 12, "--n-granule", 8, "--n-updates", 2, "--n-evaluations", 1, "--seeds", 2, "--n-cues", 3)


def real():
    place = os.environ.get("NEURO_BPL_DATA")
    if not place or not (Path(place) / NAME).is_file():
        pytest.skip(f"NEURO_BPL_DATA names no folder with {NAME}")
    return nguyen2023.read_connectome(Path(place) / NAME)


def arrays(seed=0):
    """Boutons in a box of 0.1 mm, each cell reads 3 to 5 of the nearest ones; an axon has two boutons."""
    rng = np.random.default_rng(seed)
    boutons, cells = rng.integers(0, 100_000, (N_BOUTONS, 3)), rng.integers(0, 100_000, (N_CELLS, 3))
    edges = []
    for number, place in enumerate(cells):
        near = np.argsort(np.linalg.norm(boutons - place, axis=1))[: rng.integers(3, 6)]
        edges += [(bouton, number) for bouton in near]
    return {
        "edges_bouton_grc": np.array(edges, np.int32),
        "bouton_axon": np.arange(N_BOUTONS) // 2,
        "bouton_xyz_raw": boutons,
        "grc_xyz_raw": cells,
    }


@pytest.fixture(scope="module")
def graph():
    return nguyen2023.connectome(arrays())


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("connectome") / "graph.npz"
    np.savez_compressed(path, **arrays())
    return path


# ---------------------------------------------------------------------------------------------------------- the file


def test_fan_in_of_the_inner_core_is_the_measured_one():
    measured = real()
    inside = nguyen2023.inner_core(measured)
    found = nguyen2023.fan_in(measured)[inside]
    assert int(inside.sum()) == 493
    assert round(float(found.mean()), 2) == 4.12
    assert np.bincount(found).tolist() == [0, 7, 30, 90, 190, 129, 42, 5]
    # Near the edge of the volume inputs are cut off.
    assert float(nguyen2023.fan_in(measured)[~inside].mean()) < 3.5
    size = measured["granule_position"].max("granule") - measured["granule_position"].min("granule")
    assert float(size.sel(axis="z")) == pytest.approx(44.4e-6, rel=0.01)


def test_a_file_is_read_with_labels_and_units(stored, graph):
    read = nguyen2023.read_connectome(stored)
    assert read.identical(graph)
    assert read["granule_position"].attrs["units"] == "m"
    assert read.sizes == {"edge": len(arrays()["edges_bouton_grc"]), "bouton": 60, "granule": 200, "axis": 3}
    np.testing.assert_allclose(read["bouton_position"], arrays()["bouton_xyz_raw"] * 1e-9)
    assert int(nguyen2023.fan_in(read).sum()) == read.sizes["edge"]


def test_edges_that_are_there_twice_count_once(graph):
    twice = arrays()
    twice["edges_bouton_grc"] = np.concatenate([twice["edges_bouton_grc"]] * 2)
    assert nguyen2023.connectome(twice).identical(graph)


@settings(max_examples=40)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_whole(stored, graph, tmp_path_factory, data):
    content = bytearray(stored.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "spoilt.npz"
    path.write_bytes(content)
    try:
        got = nguyen2023.read_connectome(path)
    except ValueError as error:
        assert "Type: " in str(error)  # noqa: PT017
        return
    assert got.identical(graph)


WRONG = {
    "an edge to a cell that is not there": lambda made: made["edges_bouton_grc"].__setitem__((0, 1), N_CELLS),
    "an edge from a bouton before the first": lambda made: made["edges_bouton_grc"].__setitem__((0, 0), -1),
    "edges of three ends": lambda made: made.update(edges_bouton_grc=np.zeros((4, 3), int)),
    "edges between fractions": lambda made: made.update(edges_bouton_grc=np.array([[0.5, 1.0]])),
    "positions on a plane": lambda made: made.update(grc_xyz_raw=np.zeros((N_CELLS, 2))),
    "a position that is none": lambda made: made.update(bouton_xyz_raw=np.full((N_BOUTONS, 3), np.nan)),
    "axons of other boutons": lambda made: made.update(bouton_axon=np.arange(3)),
    "an array missing": lambda made: made.pop("bouton_axon"),
    "objects": lambda made: made.update(bouton_axon=np.array([None] * N_BOUTONS)),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_graph_that_is_none_is_refused(tmp_path, case):
    made = arrays()
    WRONG[case](made)
    np.savez(tmp_path / "wrong.npz", **made)
    with refused("file = ", "Why: "):
        nguyen2023.read_connectome(tmp_path / "wrong.npz")


def test_another_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="Type: "):
        nguyen2023.read_connectome(tmp_path / "none.npz")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with refused("file = "):
        nguyen2023.read_connectome(tmp_path / "other.npz")


# --------------------------------------------------------------------------------------------------------- the masks


def test_cells_that_share_an_axon_share_a_fibre(graph):
    core = np.flatnonzero(nguyen2023.inner_core(graph).values)
    mask = nguyen2023.granule_mask(graph, len(core), 100, seed=3)
    reads = {
        frozenset(graph["axon"].values[graph["edge_bouton"].values[graph["edge_granule"].values == cell]].tolist())
        for cell in core
    }
    # With fibres enough, a fibre is an axon: cells share as many fibres as axons.
    assert sorted(mask.sum(1)) == sorted(map(len, [*reads])) or len(reads) < len(core)
    common = mask @ mask.T
    axons = [
        set(graph["axon"].values[graph["edge_bouton"].values[graph["edge_granule"].values == cell]].tolist())
        for cell in core
    ]
    expected = np.sort([len(one & other) for one in axons for other in axons])
    assert np.sort(common.ravel()).tolist() == expected.tolist()
    assert expected.max() >= 3


def test_where_axons_are_many_fibres_are_shared_evenly_and_fan_in_stays(graph):
    wide, narrow = (nguyen2023.granule_mask(graph, 20, n, seed=1) for n in (200, 14))
    assert wide.sum(1).tolist() == narrow.sum(1).tolist()
    assert (narrow.sum(0) > 0).all()
    assert set(np.unique(narrow)) == {0.0, 1.0}


def test_masks_follow_the_seed(graph):
    one, again, other = (nguyen2023.granule_mask(graph, 15, 20, seed) for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()


def test_a_patch_of_the_measured_graph_keeps_the_measured_fan_in():
    masks = [nguyen2023.granule_mask(real(), 200, 100, seed) for seed in range(3)]
    assert all(3.8 < mask.sum(1).mean() < 4.3 for mask in masks)
    assert all(1 <= mask.sum(1).min() <= mask.sum(1).max() <= 7 for mask in masks)
    # Neighbours share more than chance allows.
    assert all(nguyen2023.sharing(mask) > nguyen2023.sharing(nguyen2023.rewired(mask)) for mask in masks)


@given(st.integers(0, 2**20), st.integers(1, 12), st.integers(1, 9), st.floats(0, 1))
@settings(max_examples=40)
def test_rewiring_keeps_every_degree(seed, n_cells, n_fibres, density):
    mask = (np.random.default_rng(seed).random((n_cells, n_fibres)) < density).astype(float)
    made = nguyen2023.rewired(mask, seed)
    assert (made.sum(0) == mask.sum(0)).all()
    assert (made.sum(1) == mask.sum(1)).all()
    assert set(np.unique(made)) <= {0.0, 1.0}


def test_rewiring_takes_planted_sharing_away():
    planted = np.kron(np.eye(10), np.ones((8, 4)))  # eight cells at a time read the same four fibres
    assert nguyen2023.sharing(planted) > 1.5 * nguyen2023.sharing(nguyen2023.rewired(planted))
    assert (nguyen2023.rewired(planted) != planted).any()
    assert (nguyen2023.rewired(planted, trades=0) == planted).all()


@pytest.mark.parametrize(("n_granule", "n_mossy"), [(0, 5), (10_000, 5), (3, 0), (True, 5)])
def test_masks_that_cannot_be_made_are_refused(graph, n_granule, n_mossy, untyped):
    with refused("n_granule|n_mossy", "Allowed: "):
        nguyen2023.granule_mask(graph, n_granule, n_mossy)


# -------------------------------------------------------------------------------------------- the model and its claim


@pytest.mark.full
def test_the_model_is_wired_as_asked_and_the_analysis_draws_it(stored, script, tmp_path):
    path = tmp_path / "run"
    words = ("--connectome", stored, "--sweep", "wiring=measured,rewired,2,all", "--output", path)
    status, out, err = script(MODEL, *TINY, *words)
    assert (status, "Traceback" in err) == (0, False), err
    assert out.count("wiring ") == 4
    masks = nb.open_run(path)["weights"]["cerebellum.mask"].isel(snapshot=-1, seed=0)
    graph = nguyen2023.read_connectome(stored)
    wanted = nguyen2023.granule_mask(graph, 8, 12, 0)
    assert (masks.sel(wiring="measured").values == wanted).all()
    assert (masks.sel(wiring="rewired").values.sum(0) == wanted.sum(0)).all()
    assert (masks.sel(wiring="rewired").values != wanted).any()
    assert (masks.sel(wiring="2").values.sum(1) == 2).all()
    assert (masks.sel(wiring="all").values == 1).all()
    strength = nb.open_run(path)["weights"]["cerebellum.w_granule"].isel(snapshot=-1, seed=0)
    assert ((strength.values != 0) == (masks.values == 1)).all()
    status, out, err = script(ANALYSIS, "--run", path, "--output", tmp_path / "figure")
    assert (status, err) == (0, "")
    assert out.count("figure: ") == 2
    assert "| rewired |" in out
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_wirings_are_compared_on_the_same_cortex(stored):
    model = module(MODEL)
    made = [
        model.newborn(model.Parameters(connectome=str(stored), wiring=wiring, n_units=12, n_granule=8, seeds=2))
        for wiring in ("measured", "rewired", "3")
    ]
    assert (made[0].cortex.w_rec == made[1].cortex.w_rec).all()
    assert (made[0].cortex.w_rec == made[2].cortex.w_rec).all()
    assert (made[0].cerebellum.b_granule == made[2].cerebellum.b_granule).all()
    assert (made[0].cortex.w_rec[0] != made[0].cortex.w_rec[1]).any()
    assert abs(made[0].cerebellum.b_granule).max() > 0


def test_the_participation_ratio_counts_dimensions():
    ratio = module(ANALYSIS).dimension
    rng = np.random.default_rng(0)
    samples = np.linalg.qr(rng.normal(size=(60, 5)))[0]
    samples = np.linalg.qr(samples - samples.mean(0))[0]

    def rates(scale):
        return xr.DataArray((samples * scale).reshape(6, 10, 5), dims=("trial", "time", "granule"))

    flat = rates(np.ones(5)).assign_coords(trial=np.arange(6), time=np.arange(10))
    assert float(ratio(flat)) == pytest.approx(5)
    assert float(ratio(flat * xr.DataArray([1.0, 1, 0, 0, 0], dims="granule"))) == pytest.approx(2)
    assert float(ratio(flat * xr.DataArray([9.0, 0, 0, 0, 0], dims="granule") + 3)) == pytest.approx(1)


SENSELESS = {
    "an unknown wiring": (("--wiring", "random", "--sweep"), "measured, rewired"),
    "more fibres than there are": (("--wiring", "13", "--sweep"), "1 to 12"),
    "no graph": (("--connectome", "none.npz"), "is not there"),
}


@pytest.mark.parametrize("case", SENSELESS)
def test_what_makes_no_sense_ends_with_status_2(script, tmp_path, case):
    words, said = SENSELESS[case]
    status, _, err = script(MODEL, *TINY, "--output", tmp_path / "run", *words)
    assert status == 2
    assert said in err
    assert "Traceback" not in err


@pytest.mark.full
def test_the_analysis_refuses_a_run_without_the_measured_wiring(stored, script, tmp_path):
    words = ("--connectome", stored, "--sweep", "wiring=1,2", "--output", tmp_path / "run")
    assert script(MODEL, *TINY, *words)[0] == 0
    status, _, err = script(ANALYSIS, "--run", tmp_path / "run", "--output", tmp_path / "figure")
    assert status == 2
    assert "measured" in err
    assert not list(tmp_path.glob("figure*"))
