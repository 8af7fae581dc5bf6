"""Comparison of rules with a recording: planted truth is found, and its absence too."""

import numpy as np
import pytest
import xarray as xr
from planted import FEW, N_CONDITIONS, N_TIMES, A, B, labelled, networks, recording, two_rules, unrelated_recording
from scipy import stats

import neuro_bpl as nb
from neuro_bpl.neural.similarity.comparison import compare
from neuro_bpl.neural.similarity.rule_differences import difference, over_seeds
from neuro_bpl.neural.similarity.scorecard import decided

ALL_BUT_DYNAMICS = ("predictivity", "cca", "procrustes", "cka", "rsa")
CHEAP = ("procrustes", "cka", "rsa")


@pytest.fixture
def random():
    return np.random.default_rng(11)


@pytest.fixture(scope="module")
def planted():
    return two_rules()


@pytest.fixture(scope="module")
def found(planted):
    return compare(*planted, metrics=ALL_BUT_DYNAMICS, **FEW)


def test_a_recording_is_attributed_to_the_rule_whose_dynamics_it_has(found):
    for metric in ("predictivity", "cca", "procrustes", "cka"):
        one = found.sel(metric=metric)
        assert one["closest"].item() == "A", metric
        assert one["p_null"].sel(rule="A") == pytest.approx(1 / 20), metric
        assert one["mean"].sel(rule="A") > one["null_95"].sel(rule="A") > one["null_mean"].sel(rule="A")
        assert one["mean"].sel(rule="A") > one["baseline"] + 0.1
        assert one["p_null"].sel(rule="B") > 0.05
    assert found["baseline"].sel(metric="rsa") == 0


def test_the_result_is_labelled_and_its_numbers_agree(found):
    assert dict(found.sizes) == {"metric": 5, "rule": 2, "seed": 4, "pair": 1}
    assert found["pair"].values.tolist() == ["A − B"]
    assert np.isnan(found["score"].sel(rule="B", seed=3)).all()
    assert not found["used"].sel(rule="B", seed=3)
    assert all({"units", "long_name"} <= set(values.attrs) for values in found.data_vars.values())
    xr.testing.assert_allclose(found["mean"], found["score"].mean("seed"))
    xr.testing.assert_allclose(found["normalised"], found["score"] / found["ceiling"])
    gap = found["mean"].sel(rule="A") - found["mean"].sel(rule="B")
    assert found["difference"].values[:, 0] == pytest.approx(gap.values)
    for metric in found["metric"].values:
        told = found.sel(metric=metric, rule="A")
        assert [*over_seeds(told["score"].values)] == pytest.approx(
            [float(told[key]) for key in ("mean", "low", "high")]
        )
    # The ceiling is uncertain, too, so its interval is wider than that over networks alone.
    low, mean, high = (found[name] for name in ("normalised_low", "mean_normalised", "normalised_high"))
    assert ((low < mean) & (mean < high)).all()
    assert (high - low > (found["high"] - found["low"]) / found["ceiling"]).all()
    xr.testing.assert_allclose(mean, found["normalised"].mean("seed"))
    assert (found["p_holm"] >= found["p"]).all()
    r = found["reliability"].sel(metric="procrustes").item()
    assert found["ceiling"].sel(metric="procrustes").item() == pytest.approx(np.sqrt(2 * r / (1 + r)))


@pytest.mark.full
def test_operators_know_no_order_of_conditions_so_there_is_no_such_null(planted):
    models, recorded = planted
    few = {"n_splits": 1, "n_permutations": 5, "n_bootstrap": 2}
    result = compare({"A": models["A"].isel(seed=[0, 1])}, recorded, metrics=("dsa",), **few)
    assert np.isnan(result["p_null"]).all()
    assert (result["score"] > 0.3).all()
    assert result["ceiling"] == result["reliability"]


@pytest.mark.full
def test_dynamics_give_no_verdict_on_rules(planted):
    models, recorded = planted
    two = {rule: one.isel(seed=[0, 1]) for rule, one in models.items()}
    few = {"n_splits": 1, "n_permutations": 19, "n_bootstrap": 2}
    both, alone = (compare(two, recorded, metrics=names, **few) for names in (("dsa", "cka"), ("cka",)))
    one = both.sel(metric="dsa")
    assert np.isfinite(one["difference"]).all()
    assert np.isnan(one["p"]).all()
    assert not one["differs"].any()
    assert one["closest"].item() == ""
    # Nor does it count as a test.
    assert both["p_holm"].sel(metric="cka").item() == alone["p_holm"].sel(metric="cka").item()


def test_a_recording_of_neither_rule_is_attributed_to_neither(random):
    models = {"A": networks(A, 4, random, noise=0.01), "also A": networks(A, 4, random, noise=0.01)}
    result = compare(models, recording(A, random), metrics=CHEAP, **FEW)
    assert result["closest"].values.tolist() == ["", "", ""]
    assert not result["differs"].any()
    assert (result["mean"] > result["null_95"]).all()


def test_a_recording_of_a_third_system_is_attributed_to_nobody():
    random, named, highest = np.random.default_rng(100), [], []
    for _ in range(12):
        models = {"A": networks(A, 4, random, noise=0.01), "B": networks(B, 4, random, noise=0.01)}
        result = compare(models, unrelated_recording(random), metrics=("procrustes", "cka"), **FEW)
        named.extend(result["closest"].values.tolist())
        highest.extend(result["differs"].values.ravel())
    # One of two rules is nearer to anything at all, and reliably so: that alone would name it.
    assert np.mean(highest) > 0.5
    assert len(named) - named.count("") <= 2


def test_what_exceeds_the_null_must_exceed_the_baseline_too_and_differ(found):
    """Each condition alone takes the name away."""
    one = found.sel(metric=["cka"]).drop_vars(["p_holm", "differs", "closest"])
    assert decided(one, 0.05)["closest"].item() == "A"
    for name, value in {"p_null": 0.06, "baseline": 1.0, "p": 0.2}.items():
        assert decided(one.assign({name: one[name] * 0 + value}), 0.05)["closest"].item() == "", name


def test_rules_that_are_the_same_differ_as_rarely_as_the_level_says():
    random, tests, positives = np.random.default_rng(2), 0, 0
    fast = {"n_splits": 2, "n_permutations": 1, "n_bootstrap": 15}
    for _ in range(40):
        models = {"A": networks(A, 4, random, noise=0.02), "also A": networks(A, 4, random, noise=0.02)}
        p = compare(models, recording(A, random), metrics=("cka",), **fast)["p"].values
        tests, positives = tests + p.size, positives + int((p < 0.05).sum())
    assert stats.binomtest(positives, tests, 0.05, alternative="greater").pvalue > 0.01


def test_an_unrelated_model_is_no_better_than_conditions_in_another_order():
    random, p = np.random.default_rng(4), []
    for _ in range(12):
        walk = random.normal(size=(1, N_CONDITIONS, N_TIMES, 10)).cumsum(2)
        model = labelled(walk, np.arange(N_CONDITIONS))
        result = compare({"walk": model}, recording(A, random), metrics=("cka", "rsa"), **FEW)
        p.extend(result["p_null"].values.ravel())
    assert np.mean(np.array(p) <= 0.1) < 0.3
    assert max(p) > 0.5


def test_the_test_of_two_rules_is_welchs_where_the_recording_adds_nothing(random):
    x, y = random.normal(size=6), 1 + 3 * random.normal(size=9)
    mine = difference(x, y, np.array([0.0, 0.0]), n_units=50)
    theirs = stats.ttest_ind(x, y, equal_var=False)
    low, high = theirs.confidence_interval()
    assert mine["p"] == pytest.approx(theirs.pvalue)
    assert (mine["difference_low"], mine["difference_high"]) == pytest.approx((low, high))
    # What other units would change counts as well.
    assert difference(x, y, random.normal(size=100), n_units=50)["p"] > mine["p"]
    assert np.isnan(difference(x[:1], y, np.zeros(2), n_units=50)["p"])
    # What could not be resampled is unknown, not without variance.
    unknown = difference(x, y, np.array([0.1, np.nan, 0.2]), n_units=50)
    assert np.isnan([unknown[key] for key in ("p", "difference_low", "difference_high", "se_units")]).all()
    assert unknown["difference"] == mine["difference"]


@pytest.mark.science
def test_trained_networks_are_told_apart_by_their_rule():
    """Networks whose cortex learns (BPTT) against those whose readout learns alone, recorded through Poisson noise."""
    circuit = nb.Circuit(nb.RateCortex(10, 30, "tanh", tau=0.02, dt=0.02), nb.LinearReadout(2), nb.LinearPredictor())
    task = nb.tasks.TargetReaching(n_steps=12, n_cues=6, trajectory="whole")
    schedule = {"n_updates": 300, "n_evaluations": 1, "record": ["rates"], "optimizers": nb.Optimizers()}
    runs = {}
    for rule in (nb.bptt(), nb.output_only()):
        run = nb.train(circuit, task, rule, seeds=7, **schedule)
        rates_now = run["activity"]["rates"].isel(snapshot=-1)
        runs[rule.name] = rates_now.assign_coords(condition=("trial", np.arange(rates_now.sizes["trial"])))
    random = np.random.default_rng(0)
    for planted_rule in runs:
        models = {
            rule: responses.isel(seed=slice(0, 6)).assign_coords(time=0.02 * responses["time"].values)
            for rule, responses in runs.items()
        }
        unseen = runs[planted_rule].isel(seed=6).values
        hz = 10 * (1 + unseen[..., random.permutation(30)[:25]])
        conditions = np.repeat(np.arange(len(hz)), 60)
        recorded = labelled(random.poisson(0.02 * hz[conditions]).astype(float), conditions, dt=0.02)
        recorded = recorded.assign_coords(time=0.02 * np.arange(1, 13))
        result = compare(models, recorded, metrics=("procrustes", "cka", "rsa"), **FEW)
        other = next(rule for rule in runs if rule != planted_rule)
        assert planted_rule in result["closest"].values.tolist()
        assert other not in result["closest"].values.tolist()
