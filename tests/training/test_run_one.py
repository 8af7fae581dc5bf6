"""Training: same seeds same numbers, what is asked to learn learns, what is not asked stays, and failure is loud."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import counted
from tiny import BP1, CIRCUIT, CORTEX, N_INPUTS, READOUT, Louder, Recall, lot, recall, refused, train

import neuro_bpl as nb
from neuro_bpl.experiments.learner import Learner, learn_batch
from neuro_bpl.learning import optimizers as optimising
from neuro_bpl.learning.single_step import single_steps

GRANULAR = nb.Circuit(CORTEX, READOUT, nb.GranularPredictor(5, fan_in=2))


def loss(run):
    return run["training"]["loss"].values


def at_birth(run):
    return run["evaluation"]["loss"].isel(update=0).values


def weights(run, part, snapshot=-1):
    snapshots = run["weights"].data_vars.items()
    return {name: values.isel(snapshot=snapshot).values for name, values in snapshots if name.startswith(part)}


def newborn(circuit, n_seeds=2):
    """Weights before training, in the format in which training draws them."""
    with jax.enable_x64(False):
        born = jax.device_get(jax.vmap(circuit.init)(nb.Seeds.count(n_seeds).keys()[0]))
    paths = jax.tree_util.tree_leaves_with_path(born)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}


def learner(circuit, weights, optimizers, stream=()):
    return Learner(weights, optimizers.transform(circuit, weights).init(weights), jnp.int32(-1), (), stream)


def random_weights(circuit, seed=0):
    rng = np.random.default_rng(seed)
    drawn = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 2), circuit.init(jax.random.key(0)))
    return circuit.project(drawn)


@pytest.fixture(scope="module")
def plain():
    return train()


# ------------------------------------------------------------------------------------------------------------- seeds


def test_the_same_seeds_give_the_same_numbers_bit_for_bit(plain):
    again = train()
    for group in ("training", "evaluation", "weights"):
        for name, values in plain[group].data_vars.items():
            np.testing.assert_array_equal(values, again[group][name], err_msg=name)


def test_different_seeds_give_different_networks(plain):
    assert (loss(plain)[0] != loss(plain)[1]).all()
    assert at_birth(plain)[0].tolist() != at_birth(plain)[1].tolist()


def test_a_seed_alone_learns_as_it_does_among_others(plain):
    alone = train(seeds=nb.Seeds((1,), (1,), (1,)))
    np.testing.assert_allclose(loss(alone)[0], loss(plain)[1], rtol=1e-5)
    for name, values in weights(plain, "").items():
        np.testing.assert_allclose(weights(alone, "")[name][0], values[1], rtol=1e-4, atol=1e-6, err_msg=name)


def test_weights_data_and_noise_have_seeds_of_their_own():
    task, base = Recall(noise=0.3), {"weights": (0, 1), "data": (2, 3), "noise": (4, 5)}
    wanted = train(task=task, seeds=nb.Seeds(**base))
    changed = {
        stream: train(task=task, seeds=nb.Seeds(**{**base, stream: (8, 9)})) for stream in ("weights", "data", "noise")
    }
    for stream, run in changed.items():
        assert (loss(run) != loss(wanted)).all(), stream
    assert (at_birth(changed["weights"]) != at_birth(wanted)).all()
    for stream in ("data", "noise"):
        np.testing.assert_array_equal(at_birth(changed[stream]), at_birth(wanted), err_msg=stream)
    # Without noise its seed changes nothing at all.
    silent = [loss(train(seeds=nb.Seeds(**{**base, "noise": noise}))) for noise in ((4, 5), (8, 9))]
    np.testing.assert_array_equal(*silent)


def test_equal_seeds_of_different_streams_are_unrelated_keys():
    keys = np.concatenate([jax.random.key_data(stream) for stream in nb.Seeds.count(3).keys()])  # noqa: SIM118
    assert len(np.unique(keys, axis=0)) == 9


# ---------------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize(
    "rule", [nb.bptt(), BP1, nb.bp_lambda(0.5, view="backward", update="step")], ids=lambda rule: rule.name
)
def test_the_loss_falls(rule):
    optimizers = nb.Optimizers(*(nb.Optimizer("adam", 0.02),) * 3)
    run = train(rule, n_updates=150, batch_size=8, optimizers=optimizers)
    before, after = loss(run)[:, :10].mean(), loss(run)[:, -10:].mean()
    assert after < 0.8 * before
    held_out = run["evaluation"]["loss"].mean(("seed", "split"))
    assert held_out[-1] < 0.8 * held_out[0]


def test_with_kappa_zero_the_predictor_learns_and_the_cortex_follows_tbptt_1():
    silent, truncated, closed = train(nb.bp_lambda(1.0, kappa=0.0)), train(nb.tbptt(1)), train()
    for name, values in weights(truncated, "cortex").items():
        np.testing.assert_allclose(weights(silent, "cortex")[name], values, rtol=1e-5, atol=1e-7, err_msg=name)
    assert all(np.abs(values).min() > 0 for values in weights(silent, "cerebellum").values())
    assert all(not values.any() for values in weights(truncated, "cerebellum").values())
    name = "cortex.w_rec"
    assert np.abs(weights(closed, "cortex")[name] - weights(silent, "cortex")[name]).max() > 1e-6


@pytest.mark.full
@pytest.mark.parametrize("part", ["cortex", "readout", "predictor"])
def test_a_part_without_an_optimiser_stays_as_it_was_born_while_the_others_learn(part):
    run, birth = train(circuit=GRANULAR, optimizers=nb.Optimizers(**{part: None})), newborn(GRANULAR)
    held = {"predictor": "cerebellum"}.get(part, part)
    learning = {"cortex.w_rec", "cortex.w_in", "readout.w", "cerebellum.w_purkinje"} & set(birth)
    assert len(learning) == 4
    for name, values in weights(run, "").items():
        if name.startswith(held):
            np.testing.assert_array_equal(values, birth[name], err_msg=name)
        elif name in learning:
            assert (values != birth[name]).any(), name


def test_clipping_scales_down_long_gradients_only_and_only_when_asked_for():
    def step(gradient, **options):
        transform = nb.Optimizer("sgd", 1.0, **options).transform()
        return np.asarray(transform.update(gradient, transform.init(gradient))[0])

    long = jnp.array([3.0, 4.0])
    np.testing.assert_allclose(step(long), [-3, -4])
    np.testing.assert_allclose(step(long, clip_norm=0.5), [-0.3, -0.4], rtol=1e-6)
    np.testing.assert_allclose(step(long, clip_norm=6.0), [-3, -4])


def summing():
    """A transformation that holds the weights and adds up the gradients it sees."""

    def update(gradient, total, params=None):
        return jax.tree.map(jnp.zeros_like, gradient), jax.tree.map(jnp.add, total, gradient)

    return nb.OptaxOptimizer(optax.GradientTransformation(lambda w: jax.tree.map(jnp.zeros_like, w), update))


def test_steps_taken_with_weights_held_add_up_to_the_gradient_of_the_trial():
    here, trials = random_weights(CIRCUIT), recall(jax.random.key(5), 3)
    step_wise = nb.bp_lambda(0.6, 0.9, 0.7, view="backward", update="step")
    optimizers = nb.Optimizers(*(summing() for _ in range(3)))
    after, outcome = learn_batch(CIRCUIT, step_wise, optimizers, learner(CIRCUIT, here, optimizers), trials)
    state = after.optimizer_state
    jax.tree.map(np.testing.assert_array_equal, after.weights, here)
    wanted, whole = nb.bp_lambda(0.6, 0.9, 0.7).learn(CIRCUIT, here, trials)
    totals = [leaf for part in nb.Weights._fields for leaf in jax.tree.leaves(state.inner_states[part].inner_state)]
    for total, gradient in zip(totals, jax.tree.leaves(wanted), strict=True):
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(total, gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(outcome.loss, whole.loss, rtol=1e-12)


def test_step_wise_learning_changes_weights_within_the_trial():
    trials = recall(jax.random.key(5), 3)
    here, optimizers = random_weights(CIRCUIT), nb.Optimizers(*(nb.Optimizer("sgd", 0.1),) * 3)
    newborn = learner(CIRCUIT, here, optimizers)
    rules = nb.bp_lambda(0.6, view="backward"), nb.bp_lambda(0.6, view="backward", update="step")
    by_trial, by_step = (learn_batch(CIRCUIT, rule, optimizers, newborn, trials)[0].weights for rule in rules)
    assert np.abs(by_trial.cortex.w_rec - by_step.cortex.w_rec).max() > 1e-4


# ---------------------------------------------------------------------------------------------------------- anatomy


def anatomy_after(name, plasticity, project=True):
    """Granular weights before and after three updates with gradients everywhere, absent synapses too."""
    circuit = nb.Circuit(CORTEX, READOUT, nb.GranularPredictor(4, fan_in=1, plasticity=plasticity))
    options = {"weight_decay": 0.1} if name in ("adamw", "lion") else {}
    optimizers = nb.Optimizers(*(nb.Optimizer(name, 0.1, options),) * 3)
    before = random_weights(circuit)
    before = circuit.project(before._replace(cerebellum=circuit.init(jax.random.key(0)).cerebellum))
    rng = np.random.default_rng(1)
    gradients = [jax.tree.map(lambda w: jnp.asarray(rng.normal(size=w.shape) + 2), before) for _ in range(3)]

    @jax.jit
    def advance(here, state, gradient):
        if project:
            return optimising.apply(optimizers, circuit, here, state, gradient)
        updates, state = optimizers.transform(circuit, here).update(gradient, state, here)
        return optax.apply_updates(here, updates), state

    after, state = before, optimizers.transform(circuit, before).init(before)
    for gradient in gradients:
        after, state = advance(after, state, gradient)
    return before.cerebellum, after.cerebellum


@pytest.mark.full
@pytest.mark.parametrize("name", optimising.NAMES)
def test_absent_synapses_stay_exactly_zero_under_every_optimiser(name):
    before, after = anatomy_after(name, "all")
    np.testing.assert_array_equal(after.mask, before.mask)
    absent = np.asarray(before.mask) == 0
    assert absent.any()
    assert (np.asarray(after.w_granule)[absent] == 0).all()
    assert (np.asarray(after.w_granule)[~absent] != np.asarray(before.w_granule)[~absent]).all()
    assert (after.b_granule != before.b_granule).all()


@pytest.mark.parametrize("name", ["adamw", "lion", "sgd"])
def test_with_plasticity_output_the_mossy_weights_stay_bit_identical(name):
    before, after = anatomy_after(name, "output")
    for held in ("mask", "w_granule", "b_granule"):
        np.testing.assert_array_equal(getattr(after, held), getattr(before, held), err_msg=held)
    assert (after.w_purkinje != before.w_purkinje).all()


def test_without_the_projection_absent_synapses_would_grow():
    before, after = anatomy_after("adamw", "all", project=False)
    assert (np.asarray(after.w_granule)[np.asarray(before.mask) == 0] != 0).all()


@pytest.mark.full
def test_wiring_holds_in_training():
    circuit = nb.Circuit(CORTEX, READOUT, nb.GranularPredictor(5, fan_in=2, plasticity="all"))
    adamw = nb.Optimizer("adamw", 0.05, {"weight_decay": 0.1})
    run, birth = train(circuit=circuit, optimizers=nb.Optimizers(adamw, adamw, adamw)), newborn(circuit)
    theta = weights(run, "cerebellum")
    np.testing.assert_array_equal(theta["cerebellum.mask"], birth["cerebellum.mask"])
    assert (theta["cerebellum.mask"].sum(-1) == 2).all()
    assert (theta["cerebellum.w_granule"][theta["cerebellum.mask"] == 0] == 0).all()
    assert (theta["cerebellum.w_granule"] != birth["cerebellum.w_granule"]).any()


# ------------------------------------------------------------------------------------------------------- compilation


def test_a_second_run_of_the_same_shapes_compiles_nothing_whatever_its_numbers():
    def with_rates(rate):
        return nb.Optimizers(*(nb.Optimizer("adam", rate, {"b1": 0.9 * rate}),) * 3)

    train(nb.bp_lambda(0.5, 0.9, 1.0), task=Recall(noise=0.1), optimizers=with_rates(0.01))
    other = nb.Seeds((5, 6), (7, 7), (2**31 - 1, 9))
    with counted() as programs:
        train(nb.bp_lambda(0.7, 0.8, 0.5), task=Recall(noise=0.2), optimizers=with_rates(0.02), seeds=other)
    assert programs == []
    with counted() as programs:
        train(nb.bp_lambda(0.7, 0.8, 0.5), task=Recall(noise=0.2), optimizers=with_rates(0.02), batch_size=2)
    assert programs


def test_chunks_of_two_lengths_are_one_program():
    with counted() as programs:
        uneven = train(n_updates=7, n_evaluations=3)
    assert sum("updates" in name for name in programs) <= 1
    assert np.diff(uneven["evaluation"]["update"]).tolist() == [2, 3, 2]
    np.testing.assert_array_equal(loss(uneven), loss(train(n_updates=7, n_evaluations=1)))


# -------------------------------------------------------------------------------------------------------- divergence


def test_divergence_of_every_network_names_update_rule_and_largest_weight():
    optimizers = nb.Optimizers(*(nb.Optimizer("sgd", 1e30),) * 3)
    with pytest.raises(
        FloatingPointError, match=r"BP\(1\) is not finite at update 2 .*magnitude [\d.]+e\+\d\d"
    ) as caught:
        train(optimizers=optimizers)
    assert any(f"largest weight is {part}." in str(caught.value) for part in ("cortex", "readout", "cerebellum"))
    assert "Type: " in str(caught.value)


def test_one_network_that_diverges_is_frozen_and_warned_of_while_the_others_learn(plain):
    with jax.enable_x64(False):
        data_keys, numbers = nb.Seeds.count(2).keys()[1], jnp.arange(4)
        lots = np.asarray(jax.vmap(lambda key: jax.vmap(lambda n: lot(jax.random.fold_in(key, n)))(numbers))(data_keys))
    doomed = int(lots.min(1).argmin())
    fatal = float(lots.min(1).mean())  # Between the smallest lot of one seed and that of the other.
    at = int((lots[doomed] < fatal).argmax()) + 1  # Updates are counted from 1.
    with pytest.warns(RuntimeWarning, match=rf"not finite at update {at} \(network {doomed}\)(?s:.*)frozen") as caught:
        run = train(task=Recall(fatal=fatal))
    assert len(caught) == 1
    wanted = [-1, -1]
    wanted[doomed] = at
    assert run["training"]["diverged_at"].values.tolist() == wanted
    assert all(np.isfinite(values).all() for values in weights(run, "").values())
    assert not np.isfinite(run["training"]["loss"].sel(update=at)[doomed])
    np.testing.assert_array_equal(loss(run)[1 - doomed], loss(plain)[1 - doomed])
    for name, values in weights(run, "").items():
        np.testing.assert_array_equal(values[1 - doomed], weights(plain, "")[name][1 - doomed], err_msg=name)


# --------------------------------------------------------------------------------------------- precision and refusals


@pytest.mark.full
def test_float32_is_the_default_and_float64_is_kept_to_the_end(plain, streamed):
    def formats(run):
        quantities = [run["training"]["loss"], run["evaluation"]["loss"], *run["weights"].data_vars.values()]
        return {values.dtype.name for values in quantities}

    assert formats(plain) == {"float32"}
    assert formats(streamed[1]) == {"float64"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_updates": 0},
        {"batch_size": 0},
        {"n_evaluations": 0},
        {"seeds": 0},
        {"seeds": True},
        {"precision": "float16"},
        {"record": ["gradient_aligment"]},
        {"circuit": nb.Circuit(CORTEX, READOUT)},
        {"circuit": nb.Circuit(CORTEX, READOUT), "rule": nb.bptt(), "record": ["predicted_gradient"]},
        {"circuit": nb.Circuit(nb.RateCortex(N_INPUTS + 1, 3), READOUT, nb.LinearPredictor())},
        {"circuit": nb.Circuit(CORTEX, nb.LinearReadout(5), nb.LinearPredictor())},
        {"circuit": nb.Circuit(CORTEX, READOUT, nb.GranularPredictor(5, fan_in=9))},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_impossible_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match=r"(?s)Allowed: .*Why: .*Type: "):
        train(**wrong)


def test_an_unknown_quantity_is_answered_with_the_nearest_one():
    with pytest.raises(ValueError, match=r'Type: record=\["gradient_alignment"\]'):
        train(record=["gradient_aligment"])


@pytest.mark.parametrize(
    ("make", "typed"),
    [
        (lambda: nb.Optimizer("adan"), 'name="adam"'),
        (lambda: nb.Optimizer(learning_rate=-1.0), "learning_rate=0.001"),
        (lambda: nb.Optimizer(clip_norm=0.0), "clip_norm="),
        (lambda: nb.Optimizer(options={"beta1": 0.9}), '"b1"'),
        (lambda: nb.Seeds((0, 1), (0,), (0, 1)), "seeds=5"),
        (lambda: nb.Seeds((), (), ()), "seeds=5"),
        (lambda: nb.Seeds((-1,), (0,), (0,)), "seeds=5"),
    ],
)
def test_impossible_optimisers_and_seeds_are_refused(make, typed):
    with pytest.raises(ValueError, match=r"(?s)Allowed: .*Why: .*Type: ") as caught:
        make()
    assert typed in str(caught.value).split("Type: ")[1]


def test_descriptions_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CIRCUIT.cortex = None


def test_training_data_that_are_not_finite_are_refused_before_the_loop_is_compiled():
    words = r"targets\[0, 0, 0\] = inf(?s:.*)Allowed(?s:.*)Why(?s:.*)Type"
    with counted() as programs, pytest.raises(ValueError, match=words):
        train(task=Recall(fatal=2.0), batch_size=7)
    assert programs
    assert not any("updates" in name for name in programs)


# -------------------------------------------------------------------------------------------------------- curriculum


HELD = nb.Optimizers(None, None, None)


def by_hand(task, n_updates):
    """Losses and heights of two networks that learn nothing, one update after another."""
    losses, heights = [], []

    @jax.jit
    def play(here, level, *keys):
        outcome = CIRCUIT.outcome(here, task.sample_level(level, *keys, 3))
        return outcome.loss, task.next_level(level, outcome)

    with jax.enable_x64(False):
        for born, *streams in zip(*nb.Seeds.count(2).keys(), strict=True):
            here, level, found, climbed = CIRCUIT.init(born), task.first_level(), [], []
            for number in range(n_updates):
                climbed.append(int(level["height"]))
                cost, level = play(here, level, *(jax.random.fold_in(key, number) for key in streams))
                found.append(float(cost))
            losses.append(found)
            heights.append(climbed)
    return np.array(losses), np.array(heights)


@pytest.mark.full
def test_in_a_curriculum_every_network_climbs_at_its_own_pace():
    task = Louder(enough=12.0)
    run = train(task=task, n_updates=8, optimizers=HELD)
    wanted, heights = by_hand(task, 8)
    np.testing.assert_allclose(loss(run), wanted, rtol=1e-5)
    assert (np.diff(heights) >= 0).all()
    assert heights[:, -1].min() > 0  # Liveness: levels rise,
    assert (heights[0] != heights[1]).any()  # and not in step.
    # Negative control: a task that is passed always, and one that never is.
    for enough, last in ((1e9, 7), (0.0, 0)):
        assert by_hand(Louder(enough=enough), 8)[1][:, -1].tolist() == [last, last]
        assert not np.allclose(loss(run), loss(train(task=Louder(enough=enough), n_updates=8, optimizers=HELD)))


def test_a_step_up_in_a_curriculum_does_not_recompile():
    train(task=Louder(enough=12.0), n_updates=8, optimizers=HELD)
    with counted() as programs:
        train(task=Louder(enough=1e9), n_updates=8, optimizers=HELD)
    assert programs == []


# ----------------------------------------------------------------------------------------------------------- streams

STEP_WISE = nb.bp_lambda(0.8, 0.9, 0.7, view="backward", update="step")
SGD = nb.Optimizers(*(nb.Optimizer("sgd", 0.05),) * 3)


def one_long_trial(task, n_updates, carried=True):
    """Losses and last weights of network 0, all trials joined in time and learnt from step by step."""
    born, *streams = (keys[0] for keys in nb.Seeds.count(1).keys())  # noqa: SIM118
    here = CIRCUIT.init(born)
    optimizer_state, state = SGD.transform(CIRCUIT, here).init(here), STEP_WISE.init(CIRCUIT, here, 3)
    losses = []
    step = jax.jit(partial(STEP_WISE.step, CIRCUIT))
    for number in range(n_updates):
        trials = task.sample(*(jax.random.fold_in(key, number) for key in streams), 3)
        found = 0.0
        if not carried:
            state = STEP_WISE.init(CIRCUIT, here, 3)
        steps = single_steps(trials)
        for t in range(trials.n_steps):
            single_step = jax.tree.map(lambda values, t=t: values[t], steps)
            # Every step has a future: the next trial.
            endless = single_step._replace(left_t=jnp.ones_like(single_step.left_t))
            state, gradient, loss_t, _ = step(here, state, endless)
            here, optimizer_state = optimising.apply(SGD, CIRCUIT, here, optimizer_state, gradient)
            found += float(loss_t)
        losses.append(found)
    return np.array(losses), here


@pytest.fixture(scope="module")
def streamed():
    task = nb.tasks.Stream(Recall(), label_probability=0.6, n_in_a_row=3)
    run = train(STEP_WISE, task=task, n_updates=5, seeds=1, optimizers=SGD, precision="float64", n_evaluations=2)
    return task, run


@pytest.mark.full
def test_training_on_a_stream_is_training_on_one_long_trial(streamed):
    task, run = streamed
    wanted, last = one_long_trial(task, 5)
    np.testing.assert_allclose(loss(run)[0], wanted, rtol=1e-10)
    got = weights(run, "")
    for path, leaf in jax.tree_util.tree_leaves_with_path(last):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        np.testing.assert_allclose(got[name][0], leaf, rtol=1e-9, atol=1e-12, err_msg=name)
        assert (got[name][0] != weights(run, "", 0)[name][0]).any()


def test_a_stream_carries_state_and_traces_from_update_to_update(streamed):
    task, run = streamed
    reset, _ = one_long_trial(task, 5, carried=False)
    assert reset[0] == pytest.approx(loss(run)[0, 0])
    assert (np.abs(reset[1:] - loss(run)[0, 1:]) > 1e-3).any()


@pytest.mark.parametrize("rule", [BP1, nb.bptt(), nb.bp_lambda(0.5, view="backward")], ids=lambda rule: rule.name)
def test_a_stream_refuses_rules_that_wait_for_the_end_of_a_trial(rule):
    with refused("rule.update = 'trial'", 'update="step"'):
        train(rule, task=nb.tasks.Stream(Recall(), n_in_a_row=3))


@pytest.mark.full
def test_a_rule_that_knows_no_steps_is_refused_for_step_wise_learning():
    with refused("with an exact future"):
        nb.LearningRule(nb.Immediate(), nb.Exact(), update="step")
