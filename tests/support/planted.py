"""Planted truth: populations whose dynamics are known, seen by networks of a rule and by a noisy recording."""

import numpy as np
import xarray as xr

DIMS = ("trial", "time", "unit")
N_CONDITIONS, N_TIMES, DT = 6, 12, 0.05
FEW = {"n_splits": 2, "n_permutations": 19, "n_bootstrap": 20}


def turning(*angles, decay=0.98):
    """Two-dimensional turns by these angles (rad a step), side by side."""
    blocks = [decay * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles]
    matrix = np.zeros((2 * len(blocks), 2 * len(blocks)))
    for at, block in enumerate(blocks):
        matrix[2 * at : 2 * at + 2, 2 * at : 2 * at + 2] = block
    return matrix


A, B = turning(0.35, 0.15), turning(1.1, 0.7)


def random_rotation(n, random):
    """Axes of `n` units, drawn at random."""
    return np.linalg.qr(random.normal(size=(n, n)))[0]


def latent(operator, n_conditions=N_CONDITIONS, n_times=N_TIMES, starts=None):
    """Trajectories z_t = A z_{t−1} from starts that every rule shares, or others: `(condition, time, state)`."""
    states = [np.random.default_rng(7).normal(size=(n_conditions, len(operator))) if starts is None else starts]
    for _ in range(n_times - 1):
        states.append(states[-1] @ operator.T)
    return np.stack(states, 1)


def rates(operator, n_units, random, **sizes):
    """A population of units that each weigh the state at random (Hz): `(condition, time, unit)`."""
    return seen(latent(operator, **sizes), n_units, random)


def seen(z, n_units, random):
    """Rates of units that each weigh the states `z` at random (Hz)."""
    return 10 * np.exp(0.6 * np.tanh(0.6 * z @ random.normal(size=(z.shape[-1], n_units))))


def labelled(values, conditions, dt=DT, **coords):
    """Responses as the comparison takes them."""
    dims = DIMS if values.ndim == 3 else ("seed", *DIMS)
    times = dt * np.arange(values.shape[-2])
    return xr.DataArray(values, {"time": times, "condition": ("trial", conditions), **coords}, dims)


def networks(operator, n_seeds, random, n_units=15, noise=0.0):
    """Networks of a rule, one trial a condition; each has its own units, and its own deviation from the dynamics."""
    found = []
    for _ in range(n_seeds):
        own = operator + noise * random.normal(size=operator.shape)
        found.append(rates(own, n_units, random))
    return labelled(np.array(found), np.arange(N_CONDITIONS))


def recording(operator, random, n_trials=16, n_units=20, gain=1.0):
    """Spike counts of units drawn from a larger population, through Poisson noise."""
    population = rates(operator, 3 * n_units, random)
    chosen = population[..., random.choice(3 * n_units, n_units, replace=False)]
    return counted(gain * chosen, n_trials, random)


def counted(hz, n_trials, random):
    """Spike counts of trials at rates `(condition, time, unit)`."""
    conditions = np.repeat(np.arange(len(hz)), n_trials)
    return labelled(random.poisson(DT * hz[conditions]).astype(float), conditions)


def unrelated_recording(random, n_trials=32, n_units=20):
    """Spike counts of a third system: other turns, from starts of its own."""
    z = latent(turning(*random.uniform(0.2, 1.2, 2)), starts=random.normal(size=(N_CONDITIONS, 4)))
    return counted(seen(z, n_units, random), n_trials, random)


def two_rules():
    """Networks of rules A and B, whose dynamics these are, and a recording of dynamics A."""
    random = np.random.default_rng(5)
    models = {"A": networks(A, 4, random, noise=0.01), "B": networks(B, 3, random, noise=0.01)}
    return models, recording(A, random, n_trials=32)
