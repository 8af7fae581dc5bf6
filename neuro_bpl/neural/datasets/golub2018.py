"""The brain–computer interface session of Golub et al. 2018: a monkey before and after it learnt a perturbed mapping.

One file, `exampleData.mat` of github.com/mattgolub/bci_learning (BSD 3-Clause): 86 units of primary motor cortex in
steps of 45 ms, chosen so that each of eight cursor-to-target angles has as many of them before learning as after.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuro_bpl.neural.measures import cursor
from neuro_bpl.neural.sessions import matlab
from neuro_bpl.neural.sessions.reading import existing_file
from neuro_bpl.neural.sessions.session import Column, from_arrays
from neuro_bpl.refusals import refusal

PHASES = {"before": "beforeLearning", "after": "afterLearning"}
MAPPINGS = ("intuitive", "perturbed")
VELOCITY = ("x", "y")
AGREEMENT = 1e-6  # mm, and units of a factor: how well what is stored agrees with what the decoder makes of the spikes
ABOUT = {
    "region": "M1",
    "source": "github.com/mattgolub/bci_learning, exampleData.mat, commit 3e6f00c95909",
    "citation": "Golub et al. 2018, Nat Neurosci 21:607",
    "licence": "BSD-3-Clause",
}


class Part(NamedTuple):
    """A matrix of a decoder: its name here and in the file, dims, unit, meaning; whether the file has it as a diagonal.

    The names are those of the authors' code.
    """

    name: str
    stored: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    diagonal: bool = False


PARTS = (
    Part("M1", "M1", ("velocity", "velocity_before"), "1", "what a step keeps of the velocity of the step before"),
    Part("M2", "M2", ("velocity", "unit"), "mm/s", "velocity of one spike in a step"),
    Part("m0", "m0", ("velocity",), "mm/s", "velocity without spikes"),
    Part("mu_u", "mu_u", ("unit",), "1", "mean spike count of a step"),
    Part("sigma_u", "Sigma_u", ("unit",), "1", "one over the standard deviation of the spike count", True),
    Part(
        "beta", "beta", ("latent", "unit"), "1", "posterior mean of the latents of factor analysis, by z-scored count"
    ),
    Part("loadings", "L", ("unit", "latent"), "1", "loadings of factor analysis"),
    Part("private_variance", "Ph", ("unit",), "1", "variance of a z-scored count that no factor explains"),
    Part("mu", "mu", ("latent",), "1", "mean of the latents"),
    Part("sigma_z", "Sigma_z", ("latent",), "1", "one over the standard deviation of the latents", True),
    Part("U", "U", ("unit", "factor"), "1", "left singular vectors of the loadings"),
    Part("D", "D", ("factor",), "1", "singular values of the loadings", True),
    Part("V", "V", ("latent", "factor"), "1", "right singular vectors of the loadings"),
    Part("A", "A", ("velocity", "velocity_before"), "1", "state matrix of the Kalman filter"),
    Part("b", "b", ("velocity",), "mm/s", "state offset of the Kalman filter"),
    Part("Q", "Q", ("velocity", "velocity_before"), "mm²/s²", "state noise of the Kalman filter"),
    Part("C", "C", ("latent", "velocity"), "s/mm", "normalised latent by velocity, in the Kalman filter"),
    Part("d", "d", ("latent",), "1", "normalised latent at rest, in the Kalman filter"),
    Part("R", "R", ("latent", "latent_other"), "1", "noise of the latents in the Kalman filter"),
    Part("K", "K", ("velocity", "latent"), "mm/s", "Kalman gain in the steady state"),
    Part("eta", "eta", ("latent", "latent_other"), "1", "permutation of the latents: the perturbation"),
    Part("cursor_radius", "CURSOR_RADIUS", (), "mm", "radius of the cursor"),
    Part("target_radius", "TARGET_RADIUS", (), "mm", "radius of a target"),
    Part("dt", "dt", (), "s", "duration of a step"),
)
CURSOR = {
    "cursor_progress": ("cursorProgress", "progress towards the target in a step, under the mapping in use"),
    "intuitive_progress": ("intuitiveProgress", "progress towards the target in a step, under the intuitive mapping"),
    "perturbed_progress": ("perturbedProgress", "progress towards the target in a step, under the perturbed mapping"),
}


def read_golub(path: Path | str) -> xr.DataTree:
    """Return the session of a file, with the decoders that moved the cursor.

    A trial is one step of 45 ms. Its columns are `phase` ("before" or "after" learning), `angle` from the cursor to
    the target (deg), the unit vector `direction_x`, `direction_y` of it, and the progress towards the target in mm a
    step, under the mapping in use and under both. `activity` has `spike_counts` (trial, time, unit) and `factors`
    (trial, time, factor), the orthonormalised factors of the authors; `decoders` has every matrix of both mappings
    along `mapping`. What the file holds twice, velocities, is not kept: `cursor.velocity` makes them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged or another file: shapes do not agree, or factors and progress are not those that the decoder
        makes of the spikes.
    """
    path = existing_file(path)
    contents = {name: matlab.read_variable(path, name, as_objects=True) for name in ("expParams", *PHASES.values())}
    try:
        session = _session(contents)
        _check_algebra(session)
    except Exception as error:  # a damaged file makes the reader fail in any way
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        why = f"it cannot be read as such ({said})"
        raise refusal("file", str(path), "exampleData.mat of bci_learning", why, "fetch the file again") from error
    return session


def _session(file: Mapping[str, Any]) -> xr.DataTree:
    clouds = {phase: file[name].clouds for phase, name in PHASES.items()}
    decoders = _decoders(file["expParams"])
    counts = _steps(clouds, "spikes", decoders.sizes["unit"])
    factors = _steps(clouds, "factorActivity", decoders.sizes["factor"])
    activity = {
        "spike_counts": _activity(counts, "unit", decoders, "spike count of a step"),
        "factors": _activity(factors, "factor", decoders, "orthonormalised factor"),
    }
    windows = {f"trials_{phase}": np.atleast_1d(cloud.windowIdx).tolist() for phase, cloud in clouds.items()}
    params = file["expParams"]
    about = {**_who(params), **ABOUT, **windows, "acquisition_time_scale": float(getattr(params, "lambda"))}
    session = from_arrays(None, _columns(clouds), clock="trial", activity=activity, attrs=about)
    session["decoders"] = xr.DataTree(decoders)
    return session


def _who(params: Any) -> dict[str, str]:
    """Return session and subject, as far as the file says."""
    said = {"session": getattr(params, "expDate", ""), "subject": getattr(params, "monkName", "")}
    return {name: str(text) for name, text in said.items() if isinstance(text, (str, int)) and text}


def _columns(clouds: dict[str, Any]) -> dict[str, Column]:
    sizes = {phase: [np.shape(part)[1] for part in cloud.spikes] for phase, cloud in clouds.items()}
    angles = [np.repeat(np.asarray(cloud.angles, float), sizes[phase]) for phase, cloud in clouds.items()]
    direction = _steps(clouds, "cursorToTargetDirection", len(VELOCITY))
    phase = np.repeat(list(clouds), [sum(size) for size in sizes.values()])
    progress: dict[str, Column] = {
        name: (_steps(clouds, stored, 1)[:, 0], "mm", meaning) for name, (stored, meaning) in CURSOR.items()
    }
    return {
        "phase": (phase, "1", "before or after learning the perturbed mapping"),
        "angle": (np.concatenate(angles), "deg", "angle from cursor to target, in bins of 45 deg"),
        "direction_x": (direction[:, 0], "1", "horizontal part of the unit vector from cursor to target"),
        "direction_y": (direction[:, 1], "1", "vertical part of the unit vector from cursor to target"),
        **progress,
    }


def _steps(clouds: dict[str, Any], name: str, rows: int) -> np.ndarray:
    """Return all steps of a quantity, (step, row): before learning and after, angle by angle."""
    parts = [np.asarray(part, float).reshape(rows, -1) for cloud in clouds.values() for part in getattr(cloud, name)]
    values = np.concatenate(parts, axis=1).T
    if not np.isfinite(values).all():
        raise refusal(name, "numbers that are not finite", "finite numbers", "they were measured", "a whole file")
    return values


def _activity(values: np.ndarray, dim: str, decoders: xr.Dataset, meaning: str) -> xr.DataArray:
    time = xr.Variable("time", [float(decoders["dt"][0]) / 2], {"units": "s", "long_name": "middle of the step"})
    attrs = {"units": "1", "long_name": meaning}
    return xr.DataArray(values[:, None], {"time": time, dim: decoders[dim]}, ("trial", "time", dim), attrs=attrs)


def _decoders(params: Any) -> xr.Dataset:
    stored = [getattr(params, f"{name}Mapping") for name in MAPPINGS]
    variables = {part.name: _both(part, stored) for part in PARTS}
    table = xr.Dataset(variables, {"mapping": list(MAPPINGS), "velocity": list(VELOCITY)})
    return table.assign_coords({dim: np.arange(table.sizes[dim]) for dim in ("unit", "factor", "latent")})


def _both(part: Part, mappings: list[Any]) -> xr.Variable:
    read: Callable[[Any], np.ndarray] = np.diag if part.diagonal else np.asarray
    values = np.stack([read(np.asarray(getattr(mapping, part.stored), float)) for mapping in mappings])
    return xr.Variable(("mapping", *part.dims), values, {"units": part.units, "long_name": part.long_name})


def _check_algebra(session: xr.DataTree) -> None:
    """Refuse factors and progress that are not those which the decoder makes of the spikes (`ValueError`)."""
    activity, trials, decoders = (session[group].to_dataset() for group in ("activity", "trials", "decoders"))
    made = {f"{name}_progress": cursor.session_progress(session).sel(mapping=name) for name in MAPPINGS}
    errors = {name: float(abs(values - trials[name]).max()) for name, values in made.items()}
    factors = cursor.factors(activity["spike_counts"], decoders.sel(mapping=MAPPINGS[0]))
    errors["factors"] = float(abs(factors - activity["factors"]).max())
    wrong = {name: error for name, error in errors.items() if not error < AGREEMENT}
    if wrong:
        why = "progress and factors follow from spikes and decoder"
        raise refusal("file", wrong, f"differences below {AGREEMENT}", why, "a whole file")
