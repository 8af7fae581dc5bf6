"""The measured wiring of mossy-fibre boutons onto granule cells, and masks for predictors made from it.

Nguyen et al. 2023 (Nature 613:543): an electron-microscopy volume of mouse cerebellar cortex. Fan-in is cut at the
edges of the volume, which is why numbers are taken from its inner core.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from neuro_bpl.neural import arguments
from neuro_bpl.refusals import refusal

NANOMETRE = 1e-9  # positions are in nm: the authors' code divides them by (4, 4, 40) to come to voxels
AXES = ("x", "y", "z")
ARRAYS = {  # name, dims, meaning
    "edges_bouton_grc": ("edge", "end"),
    "bouton_axon": ("bouton",),
    "bouton_xyz_raw": ("bouton", "axis"),
    "grc_xyz_raw": ("granule", "axis"),
}
ABOUT = {
    "source": "github.com/htem/cb2_project_analysis, commit abb85f04c2b7, re-packed as arrays",
    "citation": "Nguyen et al. 2023, Nature 613:543",
    "licence": "MIT",
    "region": "cerebellar cortex, granule layer",
}

Mask = Float[np.ndarray, "granule fibre"]


def read_connectome(path: Path | str) -> xr.Dataset:
    """Return boutons, granule cells, and the edges between them.

    Returns
    -------
    Dataset
        `edge_bouton` and `edge_granule` (edge), positions from 0; `axon` (bouton), which axon a bouton belongs to;
        `bouton_position` (bouton, axis) and `granule_position` (granule, axis) in m.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, lacks an array, or an edge leads nowhere.
    """
    path = arguments.path("path", path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there.\n  Type: the path of nguyen2023_mf_grc_connectome.npz.")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
        return connectome(arrays)
    except Exception as error:  # a damaged archive makes the reader fail in any way
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        allowed = f"an npz file with {', '.join(ARRAYS)}"
        why = f"it cannot be read as such ({said})"
        raise refusal("file", str(path), allowed, why, "fetch the file again") from error


def connectome(arrays: dict[str, np.ndarray]) -> xr.Dataset:
    """Return the arrays of a file with labels and units; edges that are there twice count once.

    Raises
    ------
    ValueError
        If shapes do not agree, positions are not finite, or an edge leads nowhere.

    Examples
    --------
    >>> places = np.zeros((2, 3))
    >>> edges = np.array([[0, 0], [1, 0], [1, 1]])
    >>> arrays = {"edges_bouton_grc": edges, "bouton_axon": np.arange(2)}
    >>> arrays |= {"bouton_xyz_raw": places, "grc_xyz_raw": places}
    >>> fan_in(connectome(arrays)).values
    array([2, 1])
    """
    sizes = {"end": 2, "axis": len(AXES)} | {
        dim: len(arrays[name]) for dim, name in (("bouton", "bouton_axon"), ("granule", "grc_xyz_raw"))
    }
    for name, dims in ARRAYS.items():
        shape = tuple(sizes.get(dim, np.shape(arrays[name])[0]) for dim in dims)
        if np.shape(arrays[name]) != shape or not np.isfinite(arrays[name]).all():
            got, why = np.shape(arrays[name]), "boutons and cells are counted"
            raise refusal(name, got, f"finite numbers of shape {shape}", why, "a whole file")
    edges = np.unique(np.asarray(arrays["edges_bouton_grc"]), axis=0)
    for column, dim in enumerate(("bouton", "granule")):
        _check_positions(dim, edges[:, column], sizes[dim])
    return _labelled(edges, arrays)


def fan_in(graph: xr.Dataset) -> xr.DataArray:
    """Return boutons onto each granule cell."""
    counts = np.bincount(graph["edge_granule"].values, minlength=graph.sizes["granule"])
    return xr.DataArray(counts, dims="granule", attrs={"units": "1", "long_name": "mossy-fibre boutons of a cell"})


def inner_core(graph: xr.Dataset) -> xr.DataArray:
    """Granule cells strictly between the 25th and the 75th percentile of position on each axis: a mask of bools."""
    places = graph["granule_position"].transpose("granule", "axis").values
    low, high = np.percentile(places, [25, 75], axis=0)
    inside = ((places > low) & (places < high)).all(1)
    return xr.DataArray(inside, dims="granule", attrs={"units": "1", "long_name": "in the inner core"})


def granule_mask(graph: xr.Dataset, n_granule: int, n_mossy: int, seed: int = 0) -> Mask:
    """Return a mask of measured wiring: neighbouring cells of the inner core and the axons that they read.

    A cell of the core is drawn, and with it its nearest neighbours in the core. Each of their axons is one of the
    model's mossy fibres; where there are more axons than fibres, several share one, evenly, and two axons of one cell
    do so only if nothing else is left. So cells that share an axon share a fibre.

    Parameters
    ----------
    graph : Dataset
        From `read_connectome`.
    n_granule, n_mossy : int
        Rows and columns of the mask.
    seed : int
        Which cell is drawn, and which axon becomes which fibre.

    Returns
    -------
    (granule, fibre)
        1 where a synapse exists.

    Raises
    ------
    ValueError
        If the core has fewer cells.
    """
    core = np.flatnonzero(inner_core(graph).values)
    if isinstance(n_granule, bool) or not 1 <= n_granule <= len(core):
        why = "masks are made of cells of the inner core"
        raise refusal("n_granule", n_granule, f"1 to {len(core)}", why, f"n_granule={min(200, len(core))}")
    if isinstance(n_mossy, bool) or n_mossy < 1:
        raise refusal("n_mossy", n_mossy, "a whole number >= 1", "cells read fibres", "n_mossy=100")
    rng = np.random.default_rng(seed)
    places = graph["granule_position"].transpose("granule", "axis").values[core]
    distance = np.linalg.norm(places - places[rng.integers(len(core))], axis=1)
    reads = _reads(graph, core[np.argsort(distance, kind="stable")[:n_granule]])
    return _merged(reads, n_mossy, rng)


def rewired(mask: Mask, seed: int = 0, trades: int = 5) -> Mask:
    """Return a random mask in which every cell has as many fibres, and every fibre as many cells, as in the given one.

    Pairs of cells trade the fibres that only one of them has (the curveball algorithm, Strona et al. 2014, Nat Commun
    5:4114), `trades` times as many pairs as there are cells.
    """
    rng = np.random.default_rng(seed)
    rows = [set(np.flatnonzero(row).tolist()) for row in mask]
    for _ in range(trades * len(rows) if len(rows) > 1 else 0):
        one, other = rng.choice(len(rows), 2, replace=False)
        shared = rows[one] & rows[other]
        pool = rng.permutation(sorted(rows[one] ^ rows[other])).tolist()
        n_one = len(rows[one]) - len(shared)
        rows[one], rows[other] = shared | set(pool[:n_one]), shared | set(pool[n_one:])
    made = np.zeros_like(mask)
    for at, row in enumerate(rows):
        made[at, sorted(row)] = 1
    return made


def sharing(mask: Mask) -> float:
    """Return fibres that two cells have in common, root mean square over pairs of cells.

    Degrees fix its mean over pairs, but not how unevenly pairs share.
    """
    common = mask @ mask.T
    return float(np.sqrt((common[np.triu_indices(len(mask), 1)] ** 2).mean()))


def _reads(graph: xr.Dataset, cells: Int[np.ndarray, " granule"]) -> Bool[np.ndarray, "granule axon"]:
    """Return which cell reads which of the axons that any of them reads."""
    chosen = np.isin(graph["edge_granule"].values, cells)
    axons = graph["axon"].values[graph["edge_bouton"].values[chosen]]
    row_of = {int(cell): row for row, cell in enumerate(cells)}
    _, column = np.unique(axons, return_inverse=True)
    reads = np.zeros((len(cells), column.max(initial=-1) + 1), bool)
    reads[[row_of[int(cell)] for cell in graph["edge_granule"].values[chosen]], column] = True
    return reads


def _merged(reads: Bool[np.ndarray, "granule axon"], n_fibres: int, rng: np.random.Generator) -> Mask:
    """Each axon, in random order, on the fibre where it meets fewest axons of its cells, then fewest axons at all."""
    mask, load = np.zeros((len(reads), n_fibres)), np.zeros(n_fibres)
    for axon in rng.permutation(reads.shape[1]):
        meets = mask[reads[:, axon]].sum(0)
        fibre = np.lexsort((rng.random(n_fibres), load, meets))[0]
        mask[reads[:, axon], fibre] = 1
        load[fibre] += 1
    return mask


def _labelled(edges: Int[np.ndarray, "edge end"], arrays: dict[str, np.ndarray]) -> xr.Dataset:
    columns: dict[str, tuple[Any, Any, str, str]] = {
        "edge_bouton": ("edge", edges[:, 0], "1", "position of the bouton of an edge"),
        "edge_granule": ("edge", edges[:, 1], "1", "position of the granule cell of an edge"),
        "axon": ("bouton", arrays["bouton_axon"], "1", "number of the axon of a bouton"),
        "bouton_position": (("bouton", "axis"), arrays["bouton_xyz_raw"] * NANOMETRE, "m", "where a bouton is"),
        "granule_position": (("granule", "axis"), arrays["grc_xyz_raw"] * NANOMETRE, "m", "where a cell is"),
    }
    variables = {
        name: xr.Variable(dims, values, {"units": units, "long_name": meaning})
        for name, (dims, values, units, meaning) in columns.items()
    }
    return xr.Dataset(variables, {"axis": list(AXES)}, ABOUT)


def _check_positions(dim: str, positions: np.ndarray, size: int) -> None:
    whole = np.issubdtype(positions.dtype, np.integer)
    if not whole or (positions.size and not 0 <= positions.min() <= positions.max() < size):
        got = (positions.min(), positions.max()) if positions.size else str(positions.dtype)
        raise refusal(
            f"edge_{dim}", got, f"whole numbers from 0 to {size - 1}", "an edge leads to one of them", "a whole file"
        )
