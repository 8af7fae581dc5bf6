"""What a comparison takes: forms of input, what is left out and counted, and what is refused."""

import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import DT, FEW, N_CONDITIONS, N_TIMES, A, B, labelled, networks, rates, recording, turning, two_rules

from neuro_bpl.neural.activity.responses import checked
from neuro_bpl.neural.similarity.averaging import recorded_averages
from neuro_bpl.neural.similarity.comparison import compare
from neuro_bpl.neural.similarity.comparison_table import table
from neuro_bpl.neural.similarity.measures import measure


@pytest.fixture
def random():
    return np.random.default_rng(11)


@pytest.fixture(scope="module")
def planted():
    return two_rules()


# ------------------------------------------------------------------------------------------------- what is left out


def test_missing_trials_and_units_are_left_out_and_counted(planted):
    models, recorded = planted
    recorded = recorded.copy()
    recorded.values[:, :, 0] = 0
    recorded.values[3] = np.nan
    recorded.values[recorded["condition"].values == 2, :, 1] = np.nan
    result = compare(models, recorded, metrics=("cka",), **FEW)
    assert result.attrs["left_out trials"] == 1
    assert result.attrs["left_out silent units"] == 1
    assert result.attrs["left_out units with too few trials"] == 1
    assert result.attrs["n_units"] == 18
    assert "trials: 1, units with too few trials: 1, silent units: 1" in table(result)


def test_units_of_different_sessions_are_compared_together(planted, random):
    models, _ = planted
    sessions = [recording(A, random, n_trials=8, n_units=6) for _ in range(3)]
    joint = np.full((3 * len(sessions[0]), N_TIMES, 18), np.nan)
    for k, one in enumerate(sessions):
        joint[k * len(one) : (k + 1) * len(one), :, 6 * k : 6 * k + 6] = one.values
    conditions = np.concatenate([one["condition"].values for one in sessions])
    result = compare(models, labelled(joint, conditions), metrics=("cka",), **FEW)
    assert result.attrs["n_units"] == 18
    assert result["closest"].item() == "A"


def test_times_at_which_trials_have_ended_are_left_out():
    random = np.random.default_rng(8)
    recorded = recording(A, random, n_trials=12)
    recorded.values[recorded["condition"].values == 0, 9:] = np.nan
    model = networks(A, 2, random).copy()
    model.values[:, 3, 10:] = np.nan
    result = compare({"A": model}, recorded, metrics=("cka",), **FEW)
    assert result["n_times"] == 9
    assert result.attrs["left_out times"] == 3
    assert "silent units: 0, times: 3" in table(result)
    whole = compare({"A": model}, recording(A, random), metrics=("cka",), **FEW)
    assert whole["n_times"] == 10
    assert whole.attrs["left_out times"] == 2


def test_dynamics_are_not_fitted_across_a_gap(planted):
    models, recorded = planted
    gap = recorded.copy()
    gap.values[:, 5] = np.nan
    uneven = recorded.isel(time=[0, 1, 2, 3, 5, 6, 7, 8])
    few = {"n_splits": 1, "n_permutations": 1, "n_bootstrap": 2}
    for one in (gap, uneven):
        with pytest.raises(ValueError, match=r"times compared = 'steps of 0.05 to 0.1 s'[^$]*without dsa"):
            compare({"A": models["A"]}, one, metrics=("cka", "dsa"), **few)
        assert compare({"A": models["A"]}, one, metrics=("cka",), **few)["n_times"] in (8, 11)
    from_five = gap.isel(time=slice(6, None))
    assert compare({"A": models["A"]}, from_five, metrics=("dsa",), **few)["n_times"] == 6


def test_networks_are_matched_by_performance(planted):
    models, recorded = planted
    performance = {"A": [0.9, 0.8, 0.5, 0.82], "B": [0.8, 0.81, 0.79]}
    options = {"performance": performance, "matched": (0.75, 0.85), "recorded_performance": 0.8}
    result = compare(models, recorded, metrics=("cka",), **options, **FEW)
    assert result["used"].sum("seed").values.tolist() == [2, 3]
    assert np.isfinite(result["score"].sel(rule="A")).values.ravel().tolist() == [False, True, False, True]
    text = table(result)
    assert "2 (0.81)" in text
    assert "diverged, are constant or perform outside [0.75, 0.85] are left out: A: 2, B: 0." in text
    assert "Performance recorded: 0.80." in text


def test_a_network_without_activity_is_left_out(planted):
    models, recorded = planted
    broken = models["A"].copy()
    broken.values[1] = np.nan
    result = compare({"A": broken}, recorded, metrics=("cka",), **FEW)
    assert result["used"].sel(rule="A").values.tolist() == [True, False, True, True]
    both = compare({"A": broken, "B": models["B"]}, recorded, metrics=("cka",), **FEW)
    assert both["n_left_out"].values.tolist() == [1, 0]
    assert "Networks that diverged or are constant are left out: A: 1, B: 0." in table(both)


# ------------------------------------------------------------------------------------------------------ forms of input


def test_models_are_interpolated_onto_the_times_of_the_recording(planted, random):
    fine = rates(turning(0.175, 0.075, decay=0.98**0.5), 15, random, n_times=2 * N_TIMES - 1)
    model = labelled(fine[None], np.arange(N_CONDITIONS), dt=DT / 2)
    same = model.isel(time=slice(None, None, 2))
    results = [compare({"A": one}, planted[1], metrics=("cka",), **FEW) for one in (model, same)]
    assert results[0]["score"].item() == pytest.approx(results[1]["score"].item())
    assert results[0]["score"].item() > 0.3


def test_early_and_late_networks_are_compared_over_learning(planted, random):
    _, recorded = planted
    stages = [networks(B, 3, random), networks(A, 3, random)]
    model = xr.concat(stages, "snapshot").assign_coords(snapshot=["early", "late"])
    other = xr.concat([stages[0], networks(B, 3, random)], "snapshot").assign_coords(snapshot=["early", "late"])
    performance = {"A": [[0.5] * 3, [0.9] * 3], "B": [[0.5] * 3, [0.9] * 3]}
    result = compare({"A": model, "B": other}, recorded, metrics=("cka",), performance=performance, **FEW)
    assert result["closest"].sel(snapshot="late").item() == "A"
    assert result["closest"].sel(snapshot="early").item() == ""
    assert result["p_holm"].sel(snapshot="late").item() == pytest.approx(2 * result["p"].sel(snapshot="late").item())
    assert "| late | cka | A | 3 (0.90) |" in table(result)
    with pytest.raises(ValueError, match="snapshot"):
        compare({"A": model, "B": stages[0]}, recorded, metrics=("cka",), **FEW)


def test_early_and_late_networks_are_compared_with_early_and_late_sessions(random):
    """B before and A after, in the models' learning as in the animal's; one correction for all that is tested."""
    stages = [networks(B, 3, random, noise=0.01), networks(A, 3, random, noise=0.01)]
    learner = xr.concat(stages, "snapshot").assign_coords(snapshot=[0, 100])
    stuck = xr.concat([stages[0], networks(B, 3, random, noise=0.01)], "snapshot").assign_coords(snapshot=[0, 100])
    sessions = {"early": recording(B, random, n_trials=24, n_units=18), "late": recording(A, random, n_trials=24)}
    told = {"recorded_performance": {"early": 0.5, "late": 0.9}}
    models = {"learner": learner, "stuck": stuck}
    result = compare(models, sessions, metrics=("procrustes", "cka"), **told, **FEW)
    assert dict(result.sizes) == {"session": 2, "snapshot": 2, "metric": 2, "rule": 2, "seed": 3, "pair": 1}
    mean = result["mean"].sel(rule="learner")
    for metric in ("procrustes", "cka"):
        for session, own, other in (("early", 0, 100), ("late", 100, 0)):
            one = mean.sel(metric=metric, session=session)
            assert one.sel(snapshot=own) > one.sel(snapshot=other) + 0.1
        assert result["closest"].sel(session="late", snapshot=100, metric=metric).item() == "learner"
    assert (result["closest"].sel(snapshot=0) == "").all()
    smallest = result["p"].values.argmin()
    assert result["p_holm"].values.flat[smallest] == pytest.approx(8 * result["p"].values.flat[smallest])
    assert (result.attrs["early: n_units"], result.attrs["late: n_units"]) == (18, 20)
    text = table(result)
    assert "| late | 100 | cka | learner | 3 |" in text
    assert "early: Performance recorded: 0.50." in text
    assert "summed over sessions and snapshots" in text
    alone = compare(models, sessions["late"], metrics=("procrustes", "cka"), **FEW)
    xr.testing.assert_allclose(result["mean"].sel(session="late", drop=True), alone["mean"])


def test_sessions_that_make_no_sense_are_refused(planted):
    models, recorded = planted
    with pytest.raises(ValueError, match="one session or more"):
        compare(models, {}, **FEW)
    with pytest.raises(ValueError, match="the recording is of one session"):
        compare(models, recorded, recorded_performance={"late": 0.8}, **FEW)
    with pytest.raises(ValueError, match="a number for every session"):
        compare(models, {"early": recorded}, recorded_performance={"late": 0.8}, **FEW)


def stored_run(values, lead=(), dt=DT, **coords):
    """What `nb.train` or `nb.sweep` gives back, with rates alone."""
    steps = xr.DataArray(np.arange(1, N_TIMES + 1), dims="time", attrs={"units": "step"})
    dims = (*lead, "seed", "snapshot", "trial", "time", "unit")
    rates_now = xr.DataArray(values, {"time": steps, **coords}, dims)
    groups = {"activity": xr.Dataset({"rates": rates_now}), "parameters": xr.Dataset({"circuit.cortex.dt": dt})}
    return xr.DataTree.from_dict(groups)


def test_a_run_is_compared_at_its_last_snapshot(planted):
    models, recorded = planted
    recorded = recorded.assign_coords(time=DT * np.arange(1, N_TIMES + 1))
    last = models["A"].values
    run = stored_run(np.stack([0 * last, last], 1), condition=("trial", np.arange(N_CONDITIONS)))
    direct = models["A"].assign_coords(time=recorded["time"].values)
    results = [compare({"A": one}, recorded, metrics=("cka",), **FEW) for one in (run, direct)]
    xr.testing.assert_allclose(results[0]["score"], results[1]["score"])
    unlabelled = stored_run(np.stack([0 * last, last], 1))
    with pytest.raises(ValueError, match=r"assign_coords\(condition="):
        compare({"A": unlabelled}, recorded, **FEW)
    with pytest.raises(ValueError, match=r'record=\["rates"\]'):
        compare({"A": xr.DataTree()}, recorded, **FEW)


def test_a_run_is_compared_at_all_its_snapshots(planted):
    models, recorded = planted
    recorded = recorded.assign_coords(time=DT * np.arange(1, N_TIMES + 1))
    values = np.stack([models["B"].values, models["A"].values[:3]], 1)
    run = stored_run(values, condition=("trial", np.arange(N_CONDITIONS)), snapshot=[0, 50])
    every, last = (compare({"A": run}, recorded, metrics=("cka",), snapshots=of, **FEW) for of in ("all", "last"))
    assert every["snapshot"].values.tolist() == [0, 50]
    assert every["mean"].sel(snapshot=50).item() == last["mean"].item() > every["mean"].sel(snapshot=0).item() + 0.1
    with pytest.raises(ValueError, match='snapshots="all"'):
        compare({"A": run}, recorded, snapshots="first", **FEW)


def test_every_point_of_a_sweep_is_compared_under_its_name(planted):
    models, recorded = planted
    recorded = recorded.assign_coords(time=DT * np.arange(1, N_TIMES + 1))
    of_rules = np.stack([models["A"].values[:3], models["B"].values])[:, :, None]
    labels = {"condition": ("trial", np.arange(N_CONDITIONS))}
    by_rule = stored_run(of_rules, ("rule",), rule=["A", "B"], **labels)
    steps = xr.DataArray([DT, DT], {"tau": [0.1, 0.2]}, ("tau",))
    by_tau = stored_run(of_rules, ("tau",), steps, tau=[0.1, 0.2], **labels)
    one = compare(by_rule, recorded, metrics=("cka",), **FEW)
    assert one["rule"].values.tolist() == ["A", "B"]
    assert one["closest"].item() == "A"
    both = compare({"small": by_rule, "large": by_tau}, recorded, metrics=("cka",), **FEW)
    assert both["rule"].values.tolist() == ["small, A", "small, B", "large, tau=0.1", "large, tau=0.2"]
    assert both["mean"].values.ravel().tolist() == 2 * one["mean"].values.ravel().tolist()
    with pytest.raises(ValueError, match="each name once"):
        compare({"small": by_rule, "small, A": models["A"]}, recorded, metrics=("cka",), **FEW)


@given(st.integers(0, 1000), st.permutations(range(N_CONDITIONS)))
@settings(max_examples=5, deadline=None)
def test_the_order_of_trials_means_nothing_to_a_model(seed, order):
    random = np.random.default_rng(seed)
    model, recorded = networks(A, 1, random), recording(A, random, n_trials=4)
    names = np.array(["c", "f", "a", "b", "e", "d"])
    model, recorded = (
        one.assign_coords(condition=("trial", names[one["condition"].values])) for one in (model, recorded)
    )
    options = {"metrics": ("procrustes", "cka"), "n_splits": 1, "n_permutations": 1, "n_bootstrap": 2}
    scores = [compare({"A": one}, recorded, **options)["score"] for one in (model, model.isel(trial=list(order)))]
    xr.testing.assert_allclose(*scores)


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ("ckaa",)}, 'Type: "cka"'),
        ({"metrics": ()}, "measures, each once"),
        ({"metrics": ("cka", "cka")}, "measures, each once"),
        ({"condition": "choice"}, 'condition="condition"'),
        ({"normalise": "z"}, 'normalise="noise"'),
        ({"n_splits": 0}, "n_splits"),
        ({"level": 2.0}, "level"),
        ({"matched": (0, 1)}, "performance="),
        ({"performance": {"A": [1.0] * 4}}, "every rule"),
        ({"performance": {"A": [1.0], "B": [1.0]}}, "one number for each network"),
    ],
)
def test_requests_that_make_no_sense_are_refused(planted, options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        compare(*planted, **{**FEW, **options})


def without_labels(one):
    return one.drop_vars("condition")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, r: ({}, r), "responses by the name of their rule"),
        (lambda m, r: ({"A": m["A"].isel(seed=0)}, r), "expand_dims"),
        (lambda m, r: ({"A": m["A"].rename(unit="neuron")}, r), "responses have these axes"),
        (lambda m, r: ({"A": without_labels(m["A"])}, r), "there is none"),
        (lambda m, r: ({"A": m["A"].isel(trial=slice(3))}, r), "conditions of A"),
        (lambda m, r: ({"A": m["A"].isel(time=slice(5))}, r), "not extrapolated"),
        (lambda m, r: ({"A": m["A"].assign_coords(time=m["A"].time.values[::-1])}, r), "increasing seconds"),
        (lambda m, r: (m, r.where(r.condition < 2, drop=True)), "at least 3 for rsa"),
        (lambda m, r: (m, r.where(r.condition < 1, drop=True)), "told apart"),
        (lambda m, r: (m, r.isel(trial=slice(None, None, 16))), "no unit with 4 trials"),
        (lambda m, r: (m, r * 0 + r.mean("trial")), "without noise"),
    ],
)
def test_responses_that_cannot_be_compared_are_refused(planted, change, message):
    with pytest.raises(ValueError, match=message):
        compare(*change(*planted), **FEW)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cca", {"n_components": 0}, "at least 1"),
        ("cca", {"n_components": 2.5}, "a whole number"),
        ("predictivity", {"n_folds": 1}, "n_folds=2"),
        ("dsa", {"rank": True}, "a whole number"),
        ("dsa", {"ranks": 3}, "rank=…"),
        ("cka", {"n_folds": 3}, 'measure("cka")'),
        ("rsa", {"method": "person"}, 'method="pearson"'),
    ],
)
def test_settings_of_a_measure_that_make_no_sense_are_refused(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        measure(name, **options)


def test_a_table_is_of_a_comparison():
    with pytest.raises(ValueError, match=r"table\(compare"):
        table(xr.Dataset())
    with pytest.raises(ValueError, match="metric = 'dsaa'"):
        measure("dsaa")
    with pytest.raises(ValueError, match="a DataArray"):
        checked("recording", np.zeros((2, 3, 1)))


def test_recorded_units_count_by_their_signal_to_noise(random):
    one = recording(A, random)
    loud = one.copy()
    loud.values[..., 0] *= 100
    settings_ = {"n_splits": 1, "n_parts": 2, "seed": 0}
    plain, scaled = (
        recorded_averages(values, "condition", normalise="noise", **settings_).targets[0].means
        for values in (one, loud)
    )
    assert scaled == pytest.approx(plain)
    raw = recorded_averages(loud, "condition", normalise="none", **settings_).targets[0].means
    assert raw[..., 0].std() > 10 * raw[..., 1].std()
