"""The online rules against an oracle that shares no code, draw by draw, and each in its exact limit."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import oracle_online
import pytest
from oracle_twins import CELLS
from random_circuits import N_OUTPUTS, N_TRIALS, N_UNITS, random_trials, random_weights, relative_error, size

import neuro_bpl as nb
from neuro_bpl.learning import random_draws
from neuro_bpl.learning.traces import rank_one

KEY = jax.random.key(11)
SD = 1e-3
RULES = {
    "RTRL": nb.rtrl(),
    "SnAp-1": nb.snap(1),
    "SnAp-2": nb.snap(2),
    "SnAp-3": nb.snap(3),
    "UORO": nb.uoro(),
    "KF-RTRL": nb.kf_rtrl(),
    "e-prop": nb.eprop(),
    "RFLO": nb.rflo(),
    "feedback alignment": nb.feedback_alignment(),
    "node perturbation": nb.node_perturbation(SD),
}
KINDS = {
    "tanh, tau 2dt": ("every step unequal", "squared_error"),
    "sigmoid, tau dt": ("last step", "softmax_cross_entropy"),
    "LSTM": ("every step masked", "sigmoid_cross_entropy"),
    "GRU": ("last step unequal masked", "squared_error"),
}
EXACT = [*KINDS]


@cache
def setting(cell, dense=True):
    """A circuit with feedback (and, for rate cells, an s₀ and a cost of rates), weights, trials."""
    is_rate = isinstance(CELLS[cell][0], nb.RateCortex)
    circuit = nb.Circuit(
        CELLS[cell][0],
        nb.LinearReadout(N_OUTPUTS, KINDS[cell][1]),
        feedback=nb.FeedbackPathway(),
        initial_state=nb.InitialState(sd=1.0, learned=is_rate),
        regularization=nb.Regularization(rates=0.03 if is_rate else 0.0),
    )
    weights = random_weights(circuit, seed=7)
    if not dense:  # a chain: unit j reaches unit i after i - j synapses
        chain = np.tile(np.eye(N_UNITS, k=-1), (len(weights.cortex.w_rec) // N_UNITS, 1))
        weights = weights._replace(cortex=weights.cortex._replace(w_rec=weights.cortex.w_rec * chain))
    return circuit, weights, random_trials(*KINDS[cell], seed=8)


@cache
def learn_in(circuit):
    return jax.jit(lambda rule, weights, trials, key: rule.gradients(circuit, weights, trials, key))


def gradient(rule, circuit, weights, trials, key=KEY):
    """The package's gradient of the cortical weights."""
    return learn_in(circuit)(rule, weights, trials, key).cortex


def signs(circuit, n_steps):
    """What UORO and KF-RTRL draw from the key: before the first step and at each one, state last."""
    like = (jnp.zeros((N_UNITS, N_TRIALS)),) * circuit.cortex.n_components
    noise, first = random_draws.begin(jax.random.key_data(KEY))
    drawn, pairs, normal = [rank_one.signs(first, like)], [None], [None]
    for _ in range(n_steps):
        noise, keys = random_draws.draw(noise)
        drawn.append(rank_one.signs(keys.trace, like))
        pairs.append(rank_one.signs(keys.trace, (like[0][0], like[0][0])))
        parts = jax.random.split(keys.trace, len(like))
        normal.append(tuple(jax.random.normal(k, c.shape) for k, c in zip(parts, like, strict=True)))
    return drawn, pairs, normal


def existing(cell, weights, trial):
    """A trial without what synapses would do that do not exist: UORO's balance counts those that do."""
    from_inputs, from_rates = oracle.existing_rows(cell, weights)
    n_in = weights.w_in.shape[1]
    exists = np.zeros(trial.M[1].shape[1:])
    exists[from_inputs, :n_in] = 1.0
    exists[from_rates, n_in:-1] = 1.0
    exists[:, -1] = 1.0
    return trial._replace(M=[None, *(M * exists for M in trial.M[1:])])


def of_trial(k, in_time):
    """Draws of one trial, the state's components end to end."""
    return [None if s is None else np.concatenate([np.asarray(c)[..., k].reshape(-1) for c in s]) for s in in_time]


def oracle_gradient(name, circuit, weights, trials, cell, **mistake):
    """The oracle's gradient in the package's structure."""
    plain = jax.tree.map(np.asarray, weights)
    own = oracle.Weights(*plain.cortex, *plain.readout, ())
    loss, penalty = circuit.readout.loss, oracle.Penalty(rates=circuit.regularization.rates)
    arrays = [
        None if a is None else np.asarray(a) for a in (trials.inputs, trials.targets, trials.mask, trials.lengths)
    ]
    played = oracle.run_batch(cell, loss, own, *arrays, penalty=penalty)
    inputs, targets, mask, _ = arrays
    mask = np.ones(targets.shape[:2]) if mask is None else mask
    drawn, pairs, normal = signs(circuit, trials.n_steps)
    cortex, s_0, scale = 0.0, 0.0, 1 / len(played)
    for k, trial in enumerate(played):
        nu = of_trial(k, drawn)
        if plain.cortex.s_0 is None:
            nu[0] = np.zeros_like(nu[0])
        errors = oracle_online.output_errors(loss, own, trial, targets[k], mask[k], scale)
        fed_back = oracle_online.with_feedback(trial, plain.feedback, errors, rate_cost=scale * penalty.rates)
        c = np.array([[1, 1] if pair is None else [pair[0][k], pair[1][k]] for pair in pairs])
        makers = {
            "RTRL": lambda trial=trial: oracle_online.rtrl(trial),
            "UORO": lambda trial=trial, nu=nu: oracle_online.rank_one(existing(cell, own, trial), nu, **mistake),
            "KF-RTRL": lambda trial=trial, nu=nu, c=c: oracle_online.kronecker(
                trial, c[:, 0], c[:, 1], nu[0], **mistake
            ),
            "e-prop": lambda trial=trial: oracle_online.eprop(trial),
            "RFLO": lambda fed_back=fed_back: oracle_online.eprop(fed_back),
            "feedback alignment": lambda fed_back=fed_back: oracle.immediate_gradient(
                fed_back, [np.zeros_like(s) for s in fed_back.s]
            ),
            "node perturbation": lambda k=k, trial=trial: oracle_online.node_perturbation(
                cell,
                loss,
                own,
                inputs[k],
                targets[k],
                mask[k],
                trial.T,
                scale,
                of_trial(k, normal),
                SD,
                penalty,
                **mistake,
            ),
        }
        for order in (1, 2, 3):
            makers[f"SnAp-{order}"] = partial(oracle_online.snap, trial, order, own.w_rec, N_UNITS)
        d_cortex, d_s_0 = makers[name]()
        cortex, s_0 = cortex + d_cortex, s_0 + d_s_0
    n_in = inputs.shape[-1]
    from_inputs, from_rates = oracle.existing_rows(cell, own)
    return nb.circuit.cortex.CorticalWeights(
        cortex[from_inputs, :n_in],
        cortex[from_rates, n_in : n_in + N_UNITS],
        cortex[:, -1],
        oracle.components(cell, own, s_0),
    )


@pytest.mark.parametrize("cell", EXACT)
@pytest.mark.parametrize("name", RULES)
def test_gradients_equal_the_oracle_draw_by_draw(name, cell):
    circuit, weights, trials = setting(cell)
    got = gradient(RULES[name], circuit, weights, trials)
    wanted = oracle_gradient(name, circuit, weights, trials, CELLS[cell][1])
    # The excess cost of a twin that is a thousandth away cancels three digits or more.
    assert relative_error(got, wanted) <= (1e-8 if name == "node perturbation" else 1e-10)
    assert size(got) > 1e-3


@pytest.mark.parametrize(
    ("name", "mistake"),
    [("UORO", {"inverted": True}), ("KF-RTRL", {"inverted": True}), ("node perturbation", {"early": True})],
)
def test_a_mistake_in_a_random_rule_is_noticed(name, mistake):
    cell = "tanh, tau 2dt"
    circuit, weights, trials = setting(cell)
    wrong = oracle_gradient(name, circuit, weights, trials, CELLS[cell][1], **mistake)
    assert relative_error(gradient(RULES[name], circuit, weights, trials), wrong) > 1e-2


@pytest.mark.parametrize("cell", EXACT)
@pytest.mark.parametrize("order", [2, 3])
def test_a_sparse_cortex_keeps_what_can_be_reached(cell, order):
    circuit, weights, trials = setting(cell, dense=False)
    name = f"SnAp-{order}"
    got = gradient(RULES[name], circuit, weights, trials)
    assert relative_error(got, oracle_gradient(name, circuit, weights, trials, CELLS[cell][1])) <= 1e-10
    other = oracle_gradient(f"SnAp-{5 - order}", circuit, weights, trials, CELLS[cell][1])
    assert relative_error(got, other) > 1e-4


# Limits


@pytest.mark.parametrize("cell", EXACT)
def test_rtrl_is_bptt_and_snap_1_is_not(cell):
    circuit, weights, trials = setting(cell)
    exact = gradient(nb.bptt(), circuit, weights, trials)
    for rule in (nb.rtrl(), nb.snap(2), nb.snap(5)):
        assert relative_error(gradient(rule, circuit, weights, trials), exact) <= 1e-12, rule.name
    assert relative_error(gradient(nb.snap(1), circuit, weights, trials), exact) > 1e-2


@pytest.mark.parametrize("cell", EXACT)
def test_snap_reaches_rtrl_when_the_longest_path_is_kept(cell):
    circuit, weights, trials = setting(cell, dense=False)
    exact = gradient(nb.bptt(), circuit, weights, trials)
    assert relative_error(gradient(nb.snap(N_UNITS), circuit, weights, trials), exact) <= 1e-12
    assert relative_error(gradient(nb.snap(2), circuit, weights, trials), exact) > 1e-4


@pytest.mark.parametrize("cell", EXACT)
def test_snap_1_is_exact_where_units_connect_to_themselves_alone(cell):
    circuit, weights, trials = setting(cell)
    alone = np.tile(np.eye(N_UNITS), (len(weights.cortex.w_rec) // N_UNITS, 1))
    weights = weights._replace(cortex=weights.cortex._replace(w_rec=weights.cortex.w_rec * alone))
    exact = gradient(nb.bptt(), circuit, weights, trials)
    assert relative_error(gradient(nb.snap(1), circuit, weights, trials), exact) <= 1e-12
    assert relative_error(gradient(nb.eprop(), circuit, weights, trials), exact) > 1e-3


@pytest.mark.parametrize("cell", EXACT)
def test_eprop_and_rflo_with_symmetric_feedback_are_exact_without_recurrence(cell):
    circuit, weights, trials = setting(cell)
    symmetric = weights._replace(feedback=weights.readout.w.T)
    cut = symmetric._replace(cortex=weights.cortex._replace(w_rec=0 * weights.cortex.w_rec))
    for rule in (nb.eprop(), nb.rflo()):
        exact = gradient(nb.bptt(), circuit, cut, trials)
        assert relative_error(gradient(rule, circuit, cut, trials), exact) <= 1e-12, rule.name
        whole = gradient(nb.bptt(), circuit, symmetric, trials)
        assert relative_error(gradient(rule, circuit, symmetric, trials), whole) > 1e-2, rule.name
    asymmetric = cut._replace(feedback=weights.feedback)
    assert relative_error(gradient(nb.rflo(), circuit, asymmetric, trials), exact) > 1e-2


@pytest.mark.parametrize("cell", EXACT)
def test_symmetric_feedback_is_the_immediate_error(cell):
    circuit, weights, trials = setting(cell)
    symmetric = weights._replace(feedback=weights.readout.w.T)
    once = gradient(nb.tbptt(1), circuit, weights, trials)
    assert relative_error(gradient(nb.feedback_alignment(), circuit, symmetric, trials), once) <= 1e-12
    assert relative_error(gradient(nb.feedback_alignment(), circuit, weights, trials), once) > 1e-2
    assert nb.rflo("symmetric") == nb.eprop()
    assert nb.eprop("random") == nb.rflo()


@pytest.mark.parametrize("cell", EXACT)
def test_where_only_the_output_learns_the_cortex_feels_the_cost_of_its_rates_alone(cell):
    circuit, weights, trials = setting(cell)
    got, exact = (rule.gradients(circuit, weights, trials, KEY) for rule in (nb.output_only(), nb.bptt()))
    assert relative_error(got.readout, exact.readout) <= 1e-12
    assert min(size(exact.readout), size(exact.cortex)) > 1e-3
    unheard = weights._replace(feedback=0 * weights.feedback)
    assert relative_error(got.cortex, gradient(nb.feedback_alignment(), circuit, unheard, trials)) <= 1e-12
    assert (size(got.cortex) > 0) == (circuit.regularization.rates > 0)


def many_gradients(rule, n_draws):
    """Gradients of a small circuit from as many keys, and the exact one, as vectors."""
    circuit = nb.Circuit(nb.RateCortex(2, 3, tau=0.04), nb.LinearReadout(2))
    weights = random_weights(circuit, seed=1)
    rng = np.random.default_rng(2)
    trials = nb.Trials(jnp.asarray(rng.normal(size=(1, 4, 2))), jnp.asarray(rng.normal(size=(1, 4, 2))))

    def vector(rule, key):
        cortex = rule.gradients(circuit, weights, trials, key).cortex
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(cortex)])

    keys = jax.random.split(jax.random.key(3), n_draws)
    return np.asarray(jax.jit(jax.vmap(partial(vector, rule)))(keys)), np.asarray(vector(nb.bptt(), keys[0]))


def error_of_means(draws, exact, n):
    """Root mean square error of means over n draws, relative to the exact gradient."""
    means = draws.reshape(-1, n, draws.shape[1]).mean(1)
    return np.sqrt(((means - exact) ** 2).sum(1).mean()) / np.linalg.norm(exact)


@pytest.mark.full
@pytest.mark.parametrize(
    "rule", [nb.uoro(), nb.kf_rtrl(), nb.node_perturbation(1e-5)], ids=["UORO", "KF-RTRL", "node perturbation"]
)
def test_the_error_of_an_unbiased_rule_falls_as_one_over_the_root_of_draws_over_three_decades(rule):
    draws, exact = many_gradients(rule, 40_000)
    counts = np.array([10, 100, 1000, 10_000])
    errors = [error_of_means(draws, exact, n) for n in counts]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert -0.56 < slope < -0.44
    assert errors[0] > 0.05, "one draw is not exact"


@pytest.mark.full
def test_the_error_of_a_random_gradient_does_not_fall():
    draws, exact = many_gradients(nb.random_gradient(), 40_000)
    assert error_of_means(draws, exact, 10_000) > 0.9


# Feedback that learns


@pytest.mark.full
def test_feedback_that_learns_turns_towards_the_readout():
    task = nb.tasks.TargetReaching(n_steps=4, n_cues=3, n_inputs=3, trajectory="whole")
    circuit = nb.Circuit(
        nb.RateCortex(3, 10),
        nb.LinearReadout(2),
        feedback=nb.FeedbackPathway(),
        regularization=nb.Regularization(weights=0.003),
    )
    adam = nb.Optimizer("sgd", 0.05)
    angles = {}
    for rule in (nb.rflo("random"), nb.rflo("learned")):
        run = nb.train(
            circuit, task, rule, n_updates=600, batch_size=6, optimizers=nb.Optimizers(adam, adam), progress=False
        )
        born, grown = (nb.load(run, seed=0, snapshot=at).weights for at in (0, 600))
        angles[rule.name] = [float(cosine(w.feedback, w.readout.w.T)) for w in (born, grown)]
        assert (rule.name == "RFLO") == bool((born.feedback == grown.feedback).all())
    assert angles["RFLO (learned)"][1] > 0.9 > angles["RFLO (learned)"][0]
    assert angles["RFLO"][1] < 0.9


def cosine(a, b):
    return (a * b).sum() / jnp.sqrt((a * a).sum() * (b * b).sum())
