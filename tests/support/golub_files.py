"""The file of Golub et al. where it is there, and a small one in its form."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import io

NAME = "neural/golub2018_bci_m1.mat"
N_UNITS, N_FACTORS, PER_ANGLE = 6, 3, 12
ANGLES = np.arange(8) * 45


def mapping(rng, eta, shared):
    beta, sigma_u, mu_u, sigma_z, gain, d = shared
    m2 = gain @ eta @ sigma_z @ beta @ sigma_u
    loadings = rng.normal(size=(N_UNITS, N_FACTORS))
    u, s, vt = np.linalg.svd(loadings, full_matrices=False)
    return {
        "M1": 0.7 * np.eye(2),
        "M2": m2,
        "m0": -gain @ d - m2 @ mu_u,
        "mu_u": mu_u,
        "Sigma_u": sigma_u,
        "beta": beta,
        "L": loadings,
        "Ph": rng.uniform(0.1, 1, N_UNITS),
        "mu": np.zeros(N_FACTORS),
        "Sigma_z": sigma_z,
        "U": u,
        "D": np.diag(s),
        "V": vt.T,
        "A": np.eye(2),
        "b": np.zeros(2),
        "Q": 2000 * np.eye(2),
        "C": rng.normal(size=(N_FACTORS, 2)),
        "d": d,
        "R": np.eye(N_FACTORS),
        "K": gain,
        "eta": eta,
        "CURSOR_RADIUS": 0.0,
        "TARGET_RADIUS": 20.0,
        "dt": 0.045,
    }


def cell(parts):
    made = np.empty(len(parts), object)
    made[:] = parts
    return made


def clouds(rng, mappings):
    kinds = ("spikes", "factorActivity", "cursorToTargetDirection", "intuitiveProgress", "perturbedProgress")
    found = {name: [] for name in kinds}
    for angle in ANGLES:
        theta = np.deg2rad(angle + rng.uniform(-20, 20, PER_ANGLE))
        spikes = rng.poisson(2.0, (N_UNITS, PER_ANGLE))
        direction = np.stack([np.cos(theta), np.sin(theta)])
        one = mappings["intuitiveMapping"]
        latents = one["beta"] @ one["Sigma_u"] @ (spikes - one["mu_u"][:, None])
        found["spikes"].append(spikes.astype(np.uint8))
        found["cursorToTargetDirection"].append(direction)
        found["factorActivity"].append(one["D"] @ one["V"].T @ latents)
        for name in ("intuitive", "perturbed"):
            used = mappings[f"{name}Mapping"]
            velocity = used["M2"] @ spikes + used["m0"][:, None]
            found[f"{name}Progress"].append(0.045 * (velocity * direction).sum(0)[None])
    made = {name: cell(parts) for name, parts in found.items()}
    return {**made, "cursorProgress": made["intuitiveProgress"], "angles": ANGLES, "windowIdx": np.arange(5)}


def contents(seed=0):
    """What such a file holds."""
    rng = np.random.default_rng(seed)
    shared = (
        rng.normal(size=(N_FACTORS, N_UNITS)),
        np.diag(rng.uniform(0.5, 1, N_UNITS)),
        rng.uniform(1, 3, N_UNITS),
        np.diag(rng.uniform(1, 2, N_FACTORS)),
        10 * rng.normal(size=(2, N_FACTORS)),
        rng.normal(size=N_FACTORS),
    )
    first = mapping(np.random.default_rng(seed), np.eye(N_FACTORS), shared)
    both = {"intuitiveMapping": first, "perturbedMapping": {**first, "eta": np.eye(N_FACTORS)[[1, 2, 0]]}}
    changed = both["perturbedMapping"]
    scaled = changed["Sigma_z"] @ changed["beta"] @ changed["Sigma_u"]
    changed["M2"] = changed["K"] @ changed["eta"] @ scaled
    changed["m0"] = -changed["K"] @ changed["d"] - changed["M2"] @ changed["mu_u"]
    return {
        "expParams": {"monkName": "J", "expDate": "20120305", "lambda": 0.5, **both},
        "beforeLearning": {"name": "Data", "clouds": clouds(rng, both)},
        "afterLearning": {"name": "Data", "clouds": clouds(rng, both)},
    }


def write(path, file=None, compressed=True):
    io.savemat(path, contents() if file is None else file, do_compression=compressed, long_field_names=True)
    return path


def real():
    place = os.environ.get("NEURO_BPL_DATA")
    if not place or not (Path(place) / NAME).is_file():
        pytest.skip(f"NEURO_BPL_DATA names no folder with {NAME}")
    return Path(place) / NAME
