"""Arguments of `neural` that make no sense: the material of test_neural_bad_input.py."""

from collections import namedtuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from bad_input import JUNK as SCALARS
from bad_input import is_a, is_above, is_one_of, is_real, is_whole, is_within, or_none

from neuro_bpl import neural
from neuro_bpl.neural.similarity.measures import MEASURES

DIMS = ("trial", "time", "unit")
RANDOM = np.random.default_rng(0)
N_TRIALS = 24


def never(value):
    return False


def is_flag(value):
    return isinstance(value, bool)


def labelled(values, **coords):
    return xr.DataArray(values, {"time": 0.1 * np.arange(np.shape(values)[-2]), **coords}, DIMS)


SESSION = neural.from_arrays(
    [RANDOM.uniform(0, 50, 200) for _ in range(3)],
    {"go": (np.arange(N_TRIALS) * 2.0, "s", "go cue"), "side": (np.arange(N_TRIALS) % 2, "1", "side")},
)
CLICKS = neural.from_arrays(
    None,
    {"stimulus_on": ([0.0], "s", "onset"), "stimulus_off": ([0.1], "s", "end")},
    events={"time": ([0.0], "s", "time"), "trial": ([0], "1", "trial"), "kind": (["left"], "1", "side")},
)
ALIGNED = neural.align(SESSION, "go", (0.0, 1.0))
COUNTS = neural.bin(ALIGNED, 0.25)
RATES = neural.rate(COUNTS)
MEANS = neural.condition_means(RATES, "side")
POINTS = RANDOM.normal(size=(8, 3))
TRACKS = RANDOM.normal(size=(4, 6, 3))
OPERATOR = RANDOM.normal(size=(3, 3))
CHOICES = xr.Dataset(
    {"evidence": ("trial", np.tile([-2.0, -1.0, 1.0, 2.0], 6)), "went_right": ("trial", np.arange(24) % 4 > 1)}
)
CHOICES["went_right"][[0, 3]] = [True, False]
SIMULATED = labelled(RANDOM.normal(size=(4, 5, 3)), condition=("trial", np.arange(4))).expand_dims(seed=[0, 1])
RECORDING = labelled(RANDOM.normal(size=(32, 5, 4)), condition=("trial", np.arange(32) % 4))
CHEAP = {"metrics": ("cka",), "n_splits": 1, "n_permutations": 1, "n_bootstrap": 2}

BY_SIDE = {"responses": RATES, "condition": "side"}
OF_SIDE = {"responses": never, "condition": is_one_of(("side",))}
PAIR = {"x": POINTS, "y": POINTS}

# Junk of every kind: that of the engine, and arrays, tables and trees of the wrong kind or shape.
JUNK = [*SCALARS, object(), jnp.ones(3), jnp.float32(1.0), np.array(["a", "b"]), np.ones(3, complex), np.ones((0, 3))]
JUNK += [np.full((8, 3), np.nan), np.array([None, "x"], object), [[1.0], [1.0, 2.0]], "side ", "goo", ["a", "b"]]
JUNK += [xr.DataArray(1.0), xr.DataArray(["a"], dims="unit"), xr.DataArray(np.ones(3), dims="other"), xr.Dataset()]
JUNK += [xr.DataTree(), pd.DataFrame({"a": ["x", "y"]}), pd.Series(["x"]), xr.DataArray(np.zeros((0, 0, 0)), dims=DIMS)]
JUNK += [xr.DataArray(np.ones((2, 2), complex), dims=("trial", "unit")), (1, 0), (0, np.nan), (0, "1"), (0.0, 0.5, 1.0)]

Call = namedtuple("Call", "make given allowed")


def is_window(value):
    good = isinstance(value, (tuple, list, np.ndarray)) and len(value) == 2 and all(map(is_real, value))
    return good and value[0] < value[1]


def is_list(value, size):
    return isinstance(value, (list, tuple, np.ndarray)) and len(value) == size


def is_nothing(value):
    return value is None or (isinstance(value, dict) and not value)


def is_empty(value):
    return is_nothing(value) or (isinstance(value, xr.Dataset) and not value)


def numbers_of(value):
    """The numbers of a flat list or array; None where it is none."""
    value = value.values if isinstance(value, xr.DataArray) else value
    values = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(values, (list, tuple)) or not all(map(is_real, values)):
        return None
    return values


def is_rising(value):
    return isinstance(value, (xr.DataArray, list, tuple, np.ndarray, jnp.ndarray)) and bool(
        numbers_of(value) and len(numbers_of(value)) > 1 and (np.diff(numbers_of(value)) > 0).all()
    )


def is_path(value):
    return False  # none of the junk is the path of a recording


def is_flat(size):
    return lambda value: numbers_of(value) is not None and len(numbers_of(value)) == size


is_seed = is_whole(0)
is_count = is_whole(1)

CALLS = {
    "bin": Call(
        neural.bin,
        {"aligned": ALIGNED, "width": 0.25},
        {"aligned": never, "width": lambda v: is_real(v) and v in (0.5, 1)},
    ),
    "rate": Call(neural.rate, {"counts": COUNTS}, {"counts": never}),
    "smooth": Call(neural.smooth, {"rates": RATES, "sd": 0.1}, {"rates": never, "sd": is_within(1e-6, 60)}),
    "align": Call(
        neural.align,
        {"session": SESSION, "event": "go", "window": (0, 1)},
        {"session": never, "event": is_one_of(("go",)), "window": is_window},
    ),
    "event_names": Call(neural.event_names, {"session": SESSION}, {"session": never}),
    "validate": Call(neural.validate, {"session": SESSION}, {"session": never}),
    "spike_times": Call(
        neural.spike_times,
        {"session": SESSION, "unit": 0},
        {"session": never, "unit": is_whole(0, 2), "trial": lambda value: value is None},
    ),
    "from_arrays": Call(
        neural.from_arrays,
        {"spike_times": [[0.1], [0.2]], "trials": {"go": ([0.1, 0.2], "s", "go")}},
        {
            "spike_times": lambda v: v is None or is_list(v, 0) or (is_list(v, 2) and isinstance(v[0], list)),
            "trials": lambda v: is_nothing(v) and v is not None,
            "clock": is_one_of(("session",)),
            "units": is_nothing,
            "unit": lambda v: v is None or is_list(v, 2),
            "events": is_nothing,
            "activity": is_empty,
            "behaviour": is_empty,
            "attrs": or_none(is_a(dict)),
        },
    ),
    "canonical_correlations": Call(neural.canonical_correlations, PAIR, dict.fromkeys("xy", never)),
    "cka": Call(neural.cka, PAIR, {"x": never, "y": never, "debiased": is_flag}),
    "procrustes_similarity": Call(neural.procrustes_similarity, PAIR, dict.fromkeys("xy", never)),
    "procrustes_distance": Call(neural.procrustes_distance, PAIR, dict.fromkeys("xy", never)),
    "dynamical_similarity": Call(
        neural.dynamical_similarity,
        {"x": TRACKS, "y": TRACKS, "n_delays": 2, "rank": 2},
        {"x": never, "y": never, "n_delays": is_whole(1, 4), "rank": is_whole(1, 100)},
    ),
    "operator_distance": Call(neural.operator_distance, {"a": OPERATOR, "b": OPERATOR}, dict.fromkeys("ab", never)),
    "participation_ratio": Call(neural.participation_ratio, {"x": POINTS}, {"x": never}),
    "principal_components": Call(
        neural.principal_components,
        {"responses": RATES, "n_components": 2},
        {"responses": never, "n_components": is_whole(1, 3)},
    ),
    "choice_auc": Call(
        neural.choice_auc, {"responses": RATES, "choice": "side"}, {"responses": never, "choice": is_one_of(("side",))}
    ),
    "rectified": Call(
        neural.rectified,
        {"auc": xr.DataArray([0.3])},
        {"auc": lambda v: isinstance(v, xr.DataArray) and v.dtype.kind == "f" and bool(((v >= 0) & (v <= 1)).all())},
    ),
    "compare": Call(
        neural.compare,
        {"models": {"A": SIMULATED, "B": SIMULATED + 0.1}, "recording": RECORDING, **CHEAP},
        {
            "models": never,
            "recording": never,
            "condition": is_one_of(("condition",)),
            "metrics": never,
            "normalise": is_one_of(("noise", "none")),
            "snapshots": is_one_of(("last", "all")),
            "n_splits": is_whole(1, 1000),
            "n_permutations": is_whole(1, 1000),
            "n_bootstrap": is_whole(2, 1000),
            "level": lambda v: is_above(0)(v) and v <= 1,
            "performance": lambda v: v is None,
            "recorded_performance": or_none(is_real),
            "matched": lambda v: v is None,
            "seed": is_seed,
        },
    ),
    "table": Call(neural.table, {"result": None}, {"result": never}),
    "condition_means": Call(
        neural.condition_means,
        {"responses": RATES, "condition": "side"},
        {"responses": never, "condition": is_one_of(("side",))},
    ),
    "cross_condition_average": Call(neural.cross_condition_average, {"means": MEANS}, {"means": never}),
    "psth": Call(neural.psth, BY_SIDE, OF_SIDE),
    "tuning_curve": Call(
        neural.tuning_curve,
        {"responses": RATES, "variable": "side", "edges": [0, 0.5, 1], "window": (0, 1)},
        {
            "responses": never,
            "variable": is_one_of(("side",)),
            "edges": is_rising,
            "window": is_window,
        },
    ),
    "decode": Call(
        neural.decode,
        {"responses": RATES, "label": "side", "n_splits": 2},
        {
            "responses": never,
            "label": is_one_of(("side",)),
            "across": lambda v: v is None,
            "kind": is_one_of(("class", "number")),
            "n_splits": is_whole(2, 12),
            "n_permutations": is_whole(0, 100),
            "seed": is_whole(0, 2**32 - 1),
        },
    ),
    "measure": Call(neural.measure, {"name": "cka"}, {"name": is_one_of(MEASURES)}),
    "measure with options": Call(
        lambda **options: neural.measure("cca", **options), {}, {"n_components": is_count, "n_folds": is_whole(2)}
    ),
    "measure rsa": Call(lambda method: neural.measure("rsa", method=method), {"method": "pearson"}, {"method": never}),
    "pooled": Call(neural.pooled, {"responses": [RATES]}, {"responses": never}),
    "pseudo_trials": Call(
        neural.pseudo_trials,
        {"responses": RATES, "label": "side"},
        {"responses": never, "label": is_one_of(("side",)), "seed": is_seed, "most": or_none(is_count)},
    ),
    "psychometric": Call(
        neural.psychometric,
        {"trials": CHOICES},
        {"trials": never, "evidence": never, "choice": never, "n_bins": is_count},
    ),
    "rdm": Call(neural.rdm, {"responses": MEANS}, {"responses": never}),
    "rdm_ceiling": Call(neural.rdm_ceiling, {"rdms": POINTS}, {"rdms": never}),
    "rdm_similarity": Call(
        neural.rdm_similarity,
        {"first": POINTS[0], "second": POINTS[1]},
        {"first": is_flat(3), "second": is_flat(3), "method": is_one_of(("pearson", "spearman", "kendall"))},
    ),
    "read": Call(neural.read, {"path": "x"}, {"path": is_path, "format": never}),
    "read_connectome": Call(neural.read_connectome, {"path": "x"}, {"path": is_path}),
    "read_deverett": Call(neural.read_deverett, {"path": "x"}, {"path": is_path}),
    "read_golub": Call(neural.read_golub, {"path": "x"}, {"path": is_path}),
    "read_hanks": Call(neural.read_hanks, {"path": "x"}, {"path": is_path, "region": never}),
    "read_nwb": Call(neural.read_nwb, {"path": "x"}, {"path": is_path, "events": never}),
    "read_run_nwb": Call(neural.read_run_nwb, {"path": "x"}, {"path": is_path}),
    "respond": Call(
        neural.respond,
        {"run": None, "trials": None, "dt": 0.02},
        {"run": never, "trials": never, "dt": never},
    ),
    "share_above": Call(
        neural.share_above,
        {"activity": xr.DataArray(np.ones((2, 3)), {"outcome": ["error", "correct"]}, ("outcome", "dendrite"))},
        {"activity": never, "one": never, "other": never},
    ),
    "trials_of": Call(
        neural.trials_of,
        {"session": CLICKS, "dt": 0.02},
        {"session": never, "dt": lambda v: is_within(1e-5, 60)(v), "click_noise": is_within(0), "seed": is_seed},
    ),
    "write_nwb": Call(
        neural.write_nwb,
        {"source": SESSION, "path": "x.nwb"},
        {"source": never, "path": never, "seed": never, "gap": never, "start_time": never, "overwrite": never},
    ),
    "PoissonSpikes": Call(neural.PoissonSpikes, {"max_rate": 1.0}, {"max_rate": is_above(0), "seed": is_seed}),
    "ClimbingFibres": Call(
        neural.ClimbingFibres,
        {"baseline": 1.0, "gain": 1.0},
        {"baseline": is_within(0), "gain": is_above(0), "seed": is_seed},
    ),
    "fetch": Call(neural.fetch, {"name": "x"}, {"name": never}),
}


def refusal_of(name, argument, value):
    """What a call with one bad argument does: "" where it is refused as it should be, else what happened instead."""
    call = CALLS[name]
    try:
        call.make(**{**call.given, argument: value})
    except (ValueError, OSError) as error:
        if "Type: " in str(error) and ("Allowed: " in str(error) or not isinstance(error, ValueError)):
            return ""
        return f"{type(error).__name__} without a way out: {str(error)[:80]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:80]!r}"
    return "accepted"
