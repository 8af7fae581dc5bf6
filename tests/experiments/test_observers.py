"""Observers: what is recorded of them is what they would have done, and the run that they watch does not notice."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from stopping import ASKED, stopped
from tiny import BP1, CIRCUIT, CORTEX, READOUT, Recall, assert_identical, refused, sweep, train

import neuro_bpl as nb
from neuro_bpl.experiments.observers import GROUPS
from neuro_bpl.experiments.updates import RULE, sample
from neuro_bpl.learning.gradient_measures import bias_and_variance

WHOLE = nb.Circuit(CORTEX, READOUT, nb.LinearPredictor(), feedback=nb.FeedbackPathway())
TASK = Recall(noise=0.2)
LEADER = nb.bp_lambda(0.5, 0.9, 0.8)
OBSERVERS = [nb.rtrl(), nb.eprop(), nb.bp_lambda(1.0), nb.rflo("learned"), nb.uoro()]
RULES = [nb.bptt(), *OBSERVERS, LEADER]
NAMES = [rule.name for rule in RULES]
DRAWS, N_UPDATES, RATE = 3, 4, 0.1
SGD = nb.Optimizers(*(nb.Optimizer("sgd", RATE),) * 3)
IN_FULL = {
    "circuit": WHOLE,
    "task": TASK,
    "n_updates": N_UPDATES,
    "n_evaluations": N_UPDATES,
    "n_snapshots": N_UPDATES,
    "precision": "float64",
}
EXACT = ["BPTT", "RTRL"]


@pytest.fixture(scope="module")
def watched():
    return train(LEADER, compare=OBSERVERS, compare_draws=DRAWS, optimizers=SGD, **IN_FULL)


def snapshots(run, n_seeds=2):
    """Weights of every network before every update: `[seed][update]`."""
    weights = [nb.load(run, snapshot=k).weights for k in range(N_UPDATES)]
    return [[jax.tree.map(lambda leaf, s=s: jnp.asarray(leaf[s]), now) for now in weights] for s in range(n_seeds)]


# ------------------------------------------------------------------------------------------------- what the run notices


def assert_undisturbed(got, wanted):
    """Two programs: equal to rounding."""
    for group in ("training", "evaluation", "weights"):
        xr.testing.assert_allclose(got[group].to_dataset(), wanted[group].to_dataset(), rtol=1e-11, atol=1e-13)


@pytest.mark.full
def test_a_run_does_not_notice_that_it_is_watched(watched):
    alone = train(LEADER, optimizers=SGD, **IN_FULL)
    assert_undisturbed(watched, alone)
    assert "comparison" not in alone
    with pytest.raises(AssertionError):
        assert_undisturbed(watched, alone.isel(seed=[1, 0]))


@pytest.mark.full
def test_a_rule_that_draws_random_numbers_draws_the_same_ones_when_it_is_watched():
    small = {**IN_FULL, "circuit": CIRCUIT, "seeds": 1}
    alone = train(nb.uoro(), **small)
    assert_undisturbed(train(nb.uoro(), compare=[nb.tbptt(1)], compare_draws=2, **small), alone)


# ------------------------------------------------------------------------------------------------- what is recorded


@cache
def gradients_of(number):
    """All draws of the gradient of a rule of `RULES`, compiled."""
    return jax.jit(lambda weights, trials, keys: jax.vmap(lambda k: gradient(number, weights, trials, k))(keys))


def gradient(number, weights, trials, key):
    return RULES[number].gradients(WHOLE, weights, trials, key)


def batch(seed, update):
    """Trials of an update, and the key of what is random in it."""
    _, data, noise = nb.Seeds.count(seed + 1).keys()
    keys = [jax.random.fold_in(stream[seed], update) for stream in (data, noise)]
    return sample(TASK, (), *keys, 3), jax.random.fold_in(keys[1], RULE)


def by_hand(number, path, seed, held=False):
    """Draws of the cortical gradient of a rule at every update; its own weights learn by gradient descent."""
    rule, own, found = RULES[number], path[0], []
    for update, weights in enumerate(path):
        trials, key = batch(seed, update)
        keys = jax.random.split(jax.random.fold_in(key, number), DRAWS if rule.stochastic else 1)
        seen = weights._replace(cerebellum=own.cerebellum, feedback=own.feedback)
        drawn = gradients_of(number)(seen, trials, keys)
        if not held:
            own = jax.tree.map(lambda w, g: w - RATE * g[0], seen, drawn)
        parts = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(drawn.cortex)]
        found.append([*parts, np.concatenate(parts, 1)])
    return found


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def measures(draws, exact):
    """All measures of a rule for one group of weights, from the formulas."""
    mean, error, g = draws.mean(0), draws[0] - exact, np.linalg.norm(exact)
    variance = ((draws - mean) ** 2).sum() / max(len(draws) - 1, 1)
    return {
        "cosine": cosine(draws[0], exact),
        "relative_error": np.linalg.norm(error) / g,
        "gradient_norm": np.linalg.norm(draws[0]),
        "bias_squared": (((mean - exact) ** 2).sum() - variance / len(draws)) / g**2,
        "variance": variance / g**2,
    }


@pytest.fixture(scope="module")
def hand(watched):
    """Draws by hand: `[seed][rule][update][group]`."""
    return [[by_hand(n, path, seed) for n in range(len(RULES))] for seed, path in enumerate(snapshots(watched))]


def test_every_measure_is_that_of_gradients_computed_by_hand(watched, hand):
    recorded = watched["comparison"]
    assert recorded["observed"].values.tolist() == recorded["with_rule"].values.tolist() == NAMES
    assert recorded["weight_group"].values.tolist() == list(GROUPS)
    assert recorded["update"].values.tolist() == [1, 2, 3, 4]
    for index in np.ndindex(2, len(RULES), N_UPDATES, len(GROUPS)):
        seed, rule, update, group = index
        for name, wanted in measures(hand[seed][rule][update][group], hand[seed][0][update][group][0]).items():
            got = recorded[name].values[seed, update, rule, group]
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12, err_msg=f"{name} {NAMES[rule]} {index}")


def test_alignment_is_the_cosine_of_every_rule_with_every_other(watched, hand):
    got = watched["comparison"]["alignment"].transpose("seed", "update", "observed", "with_rule").values
    np.testing.assert_allclose(got, got.swapaxes(-1, -2), rtol=1e-13)
    np.testing.assert_allclose(np.diagonal(got, axis1=-2, axis2=-1), 1, rtol=1e-13)
    np.testing.assert_allclose(got[..., 0], watched["comparison"]["cosine"].sel(weight_group="all"), rtol=1e-13)
    wanted = [[[cosine(a[u][-1][0], b[u][-1][0]) for b in one] for a in one] for one in hand for u in range(N_UPDATES)]
    np.testing.assert_allclose(got.reshape(-1, *got.shape[-2:]), wanted, rtol=1e-9, atol=1e-12)
    assert np.abs(wanted).min() < 0.9


def test_what_is_an_observers_own_learns_along(watched, hand):
    """Negative control of the comparison by hand: held at birth, predictor and feedback weights give other rows."""
    for name in ("BP(1)", "RFLO (learned)"):
        number = NAMES.index(name)
        held = by_hand(number, snapshots(watched)[0], 0, held=True)
        errors = [np.abs(a[-1] - b[-1]).max() / np.abs(a[-1]).max() for a, b in zip(hand[0][number], held, strict=True)]
        assert errors[0] <= 1e-12, name
        assert min(errors[1:]) > 1e-6, name


def test_bptt_and_rtrl_are_exact_and_no_other_rule_is(watched):
    recorded = watched["comparison"]
    for name, exact, tolerance in (("cosine", 1, 1e-12), ("relative_error", 0, 1e-10)):
        np.testing.assert_allclose(recorded[name].sel(observed=EXACT), exact, rtol=0, atol=tolerance)
    others = recorded.to_dataset().drop_sel(observed=EXACT).sel(weight_group="all")
    assert (others["cosine"] < 1 - 1e-4).all()
    assert (others["relative_error"] > 1e-2).all()


def test_a_rule_without_chance_has_no_variance_and_its_error_is_bias(watched):
    certain = watched["comparison"].to_dataset().drop_sel(observed="UORO")
    assert (certain["variance"] == 0).all()
    np.testing.assert_allclose(certain["bias_squared"], certain["relative_error"] ** 2, rtol=1e-12)
    assert (watched["comparison"]["variance"].sel(observed="UORO") > 0.01).all()


@pytest.mark.full
def test_over_many_draws_uoro_has_no_bias_and_a_random_gradient_has():
    n_draws = 2000
    run = train(nb.tbptt(1), n_updates=1, seeds=1, compare=[nb.uoro(), nb.random_gradient()], compare_draws=n_draws)
    last = run["comparison"].to_dataset().isel(seed=0, update=0).sel(weight_group="all")
    by_chance = last["variance"] / n_draws  # What the mean of the draws differs from the exact gradient, squared.
    assert (by_chance.sel(observed=["UORO", "random gradient"]) > 0).all()
    assert abs(last["bias_squared"]).sel(observed="UORO") < 4 * by_chance.sel(observed="UORO")
    assert last["bias_squared"].sel(observed="random gradient") > 0.5
    assert last["bias_squared"].sel(observed="random gradient") > 20 * by_chance.sel(observed="random gradient")


@given(st.sampled_from([1, 5]), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_bias_and_variance_are_those_of_numpy(n_draws, seed, scale):
    rng = np.random.default_rng(seed)
    draws, exact = scale * rng.normal(size=(n_draws, 3)), scale * (rng.normal(size=3) + 3)
    variance = draws.var(0, ddof=1).sum() if n_draws > 1 else 0.0
    bias = np.linalg.norm(draws.mean(0) - exact) ** 2 - variance / n_draws
    got = jax.jit(bias_and_variance)(draws, exact)
    np.testing.assert_allclose(got, np.array([bias, variance]) / (exact @ exact), rtol=1e-9, atol=1e-12)


def test_the_squared_bias_is_right_on_average():
    rng = np.random.default_rng(0)
    exact, truth = np.array([1.0, 2.0, 2.0]), np.array([1.5, 2.0, 2.0])
    found = jax.vmap(bias_and_variance, (0, None))(truth + rng.normal(size=(4000, 4, 3)), jnp.asarray(exact))
    np.testing.assert_allclose([np.mean(values) for values in found], [0.25 / 9, 3 / 9], rtol=0.15)


# ------------------------------------------------------------------------------------------------------ own predictors


@pytest.mark.full
def test_an_observers_predictor_is_the_one_that_a_leader_on_the_same_path_has():
    """With κ = 0 the leader's cortex learns as under TBPTT(1); its predictor is then the observer's."""
    observer, small = nb.bp_lambda(0.7), {**IN_FULL, "circuit": CIRCUIT}
    led, silent = train(nb.tbptt(1), compare=[observer], **small), train(nb.bp_lambda(0.7, kappa=0.0), **small)
    cosines = led["comparison"]["cosine"].sel(observed=observer.name, weight_group="all").values
    found = jax.jit(lambda weights, trials: [r.gradients(CIRCUIT, weights, trials).cortex for r in (observer, EXACTLY)])
    for seed, path in enumerate(snapshots(silent)):
        wanted, stale = (
            [cosine(*map(flat, found(now, batch(seed, update)[0]))) for update, now in enumerate(each)]
            for each in (path, [now._replace(cerebellum=path[0].cerebellum) for now in path])
        )
        np.testing.assert_allclose(cosines[seed], wanted, rtol=1e-10)
        assert np.abs(cosines[seed, 1:] - stale[1:]).min() > 1e-6


EXACTLY = nb.bptt()


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.full
def test_rules_that_differ_in_a_number_alone_are_kept_apart():
    """The leader among them, whose place is that of its name."""
    leader, *others = rules = [nb.bp_lambda(value) for value in (0.4, 0.0, 1.0)]
    run = train(leader, compare=[others[0], leader, others[1]], optimizers=SGD, **{**IN_FULL, "circuit": CIRCUIT})
    recorded = run["comparison"]
    assert recorded["observed"].values.tolist() == ["BPTT", "BP(0)", "BP(0.4)", "BP(1)"]
    sizes = recorded["gradient_norm"].isel(seed=0).sel(weight_group="all")
    for seed, path in enumerate(snapshots(run)):
        gradient = jax.jit(leader.gradients, static_argnums=0)(CIRCUIT, path[-1], batch(seed, N_UPDATES - 1)[0])
        own = recorded["gradient_norm"].isel(seed=seed, update=-1).sel(weight_group="all", observed=leader.name)
        np.testing.assert_allclose(own, np.linalg.norm(flat(gradient.cortex)), rtol=1e-10)
    assert len(np.unique(sizes.isel(update=-1))) == 1 + len(rules)


# ----------------------------------------------------------------------------------------------------- runs and sweeps


@pytest.mark.full
def test_a_stored_run_that_is_watched_and_stopped_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    path = tmp_path / "run"
    experiment = {
        "circuit": WHOLE,
        "record": [],
        "compare": [nb.bp_lambda(0.5), nb.rflo("learned")],
    }
    wanted = train(**{**ASKED, **experiment})
    stopped(monkeypatch, path, 2, **experiment)
    assert_identical(train(**{**ASKED, **experiment}, output=path, resume=True), wanted)
    for change in ({"compare": [nb.bp_lambda(0.5)]}, {"compare_draws": 3}):
        with refused("run of the same experiment", "compare"):
            train(**{**ASKED, **experiment, **change}, output=path, resume=True)


def assert_same_comparison(point, run):
    """A point of a sweep has the rows of the run alone, and NaN for rules that are compared at other points only."""
    names = run["comparison"]["observed"].values
    got = point.sel(observed=names, with_rule=names)
    for name, values in run["comparison"].data_vars.items():
        np.testing.assert_allclose(got[name].transpose(*values.dims), values, rtol=2e-3, atol=2e-5, err_msg=name)
    assert np.isnan(point["cosine"].drop_sel(observed=names)).all()


@pytest.mark.full
def test_in_a_sweep_over_rules_there_is_a_row_for_every_rule_and_observer():
    rules, observers = [nb.bp_lambda(0.5), nb.rtrl()], [nb.rtrl(), nb.eprop()]
    run = sweep({"rule": rules}, compare=observers, seeds=1)
    cosines = run["comparison"]["cosine"]
    assert set(cosines["observed"].values) == {"BPTT", "RTRL", "e-prop", "BP(0.5)"}
    assert dict(cosines.sizes) == {"rule": 2, "seed": 1, "update": 4, "observed": 4, "weight_group": 4}
    point = run["comparison"].to_dataset().sel(rule=rules[0].name)
    assert_same_comparison(point, train(rules[0], compare=observers, seeds=1))


@pytest.mark.full
def test_in_a_sweep_over_a_number_every_leader_has_its_own_name():
    run = sweep({"lambda_": [0.5, 1.0]}, compare=[BP1], seeds=1)
    assert set(run["comparison"]["observed"].values) == {"BPTT", "BP(0.5)", "BP(1)"}
    alone = train(nb.bp_lambda(0.5), compare=[BP1], seeds=1)
    assert_same_comparison(run["comparison"].to_dataset().sel(lambda_=0.5), alone)


# ------------------------------------------------------------------------------------------------------------- refusals

STREAM, STEP_WISE = nb.tasks.Stream(Recall(), n_in_a_row=3), nb.bp_lambda(view="backward", update="step")
BAD = {
    "a rule that is not in a list": ({"compare": nb.rtrl()}, "list of rules"),
    "a name": ({"compare": ["rtrl"]}, "rules"),
    "the maker of a rule": ({"compare": [nb.rtrl]}, "rules"),
    "a rule twice": ({"compare": [nb.rtrl(), nb.rtrl()]}, "every name once"),
    "two rules of one name": ({"compare": [nb.bp_lambda(0.5, 0.9), nb.bp_lambda(0.5, 0.8)]}, "every name once"),
    "another rule of the leader's name": ({"compare": [nb.bp_lambda(1.0, 0.8)]}, "every name once"),
    "an observer that learns step by step": ({"compare": [nb.rtrl(update="step")]}, 'update="trial"'),
    "a leader that learns step by step": ({"rule": STEP_WISE, "compare": [nb.rtrl()]}, 'update="trial"'),
    "a stream": ({"rule": STEP_WISE, "task": STREAM, "compare": [nb.rtrl()]}, 'update="trial"'),
    "a stream, learnt from by trials": ({"task": STREAM, "compare": [nb.rtrl()]}, "stream"),
    "no draws": ({"compare": [nb.uoro()], "compare_draws": 0}, "compare_draws = 0"),
    "True draws": ({"compare": [nb.uoro()], "compare_draws": True}, "compare_draws = True"),
    "one and a half draws": ({"compare": [nb.uoro()], "compare_draws": 1.5}, "compare_draws = 1.5"),
    "too many draws": ({"compare": [nb.uoro()], "compare_draws": 10**6}, "compare_draws = 1000000"),
    "no feedback pathway": ({"compare": [nb.rflo()]}, "FeedbackPathway"),
    "no predictor": (
        {"circuit": nb.Circuit(CORTEX, READOUT), "rule": nb.bptt(), "compare": [nb.bp_lambda()]},
        "LinearPredictor",
    ),
    "a measure without observers": ({"record": ["cosine"]}, r"compare=\[rules\]"),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_compared_is_refused(arguments, words):
    with refused("Allowed: ", "Why: ", words):
        train(**arguments)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_compared_is_refused_in_a_sweep_too(arguments, words):
    with refused("Allowed: ", "Why: ", words):
        sweep({"cortex.learning_rate": [0.1, 0.2]}, **arguments)
