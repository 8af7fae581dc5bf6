"""Small sessions of rats that count clicks, written as the public files are."""

import numpy as np
import scipy.io

FIELDS = ("leftbups", "rightbups", "T", "pokedR", "spike_times", "cellID", "correct_dir", "stim_start", "cpoke_end")


def trial(rng, n_units=2, as_vector=False):
    """One trial; MATLAB has columns for vectors, and a cell array of them where there are several units."""
    duration, poke = rng.uniform(0.002, 0.8), rng.uniform(0.5, 1.9)
    left, right = (np.sort(np.r_[0, rng.uniform(0, duration, rng.integers(0, 9))]) for _ in range(2))
    cells = np.empty((1, n_units), object)
    for unit in range(n_units):
        cells[0, unit] = np.sort(rng.uniform(-3, 3, (rng.integers(0, 30), 1)), axis=0)
    return {
        "leftbups": left[None],
        "rightbups": right[None],
        "T": duration,
        "pokedR": np.uint8(rng.integers(2)),
        "spike_times": cells[0, 0] if as_vector else cells,
        "cellID": np.arange(1, n_units + 1, dtype=np.uint16)[:, None] * 100,
        "correct_dir": np.uint8(len(right) > len(left)),
        "stim_start": poke,
        "cpoke_end": poke + duration,
    }


def trials(seed=0, n_trials=6, **options):
    rng = np.random.default_rng(seed)
    return [trial(rng, **options) for _ in range(n_trials)]


def write(path, made, variable="rawdata", compressed=True):
    """A struct array over trials, 1 × n as MATLAB saves it."""
    names = list(made[0])
    table = np.empty((1, len(made)), [(name, object) for name in names])
    for at, one in enumerate(made):
        for name in names:
            table[0, at][name] = one[name]
    scipy.io.savemat(path, {variable: table}, do_compression=compressed)
    return path
