"""What holds for every legal pair of trace and credit, and how every other pair is refused."""

from collections import Counter
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_circuits import random_weights, relative_error, size
from tiny import recall, refused

import neuro_bpl as nb
from neuro_bpl.learning import credit, traces
from neuro_bpl.learning.single_step import single_steps

TRACES = {
    "immediate": traces.Immediate(),
    "leaky": traces.Leaky(),
    "diagonal": traces.Diagonal(),
    "full": traces.Full(),
    "full(2)": traces.Full(2),
    "rank one": traces.RankOne(),
    "kronecker": traces.Kronecker(),
    "perturbed": traces.Perturbed(0.1),
}
CREDITS = {
    "immediate error": credit.ImmediateError(),
    "feedback": credit.Feedback(),
    "learned feedback": credit.Feedback(learned=True),
    "no error": credit.NoError(),
    "random error": credit.RandomError(),
    "predicted": credit.Predicted(0.6, 0.9, 0.7),
    "predicted(3)": credit.Predicted(0.0, 0.9, 0.7, window=3),
    "exact": credit.Exact(),
    "exact(2)": credit.Exact(2),
    "reward": credit.Reward(),
}
FORWARD, BACKWARD, STEP_WISE = ("forward", "trial"), ("backward", "trial"), ("backward", "step")
WAYS = list(product(("forward", "backward"), ("trial", "step")))

# The table of all that is legal, by hand.
PRESENT = ["immediate error", "feedback", "learned feedback", "no error", "random error"]
LEGAL = {
    **{(trace, now): {FORWARD, BACKWARD, STEP_WISE} for trace in ("immediate", "leaky", "diagonal") for now in PRESENT},
    **{
        (trace, now): {BACKWARD, STEP_WISE} for trace in ("full", "full(2)", "rank one", "kronecker") for now in PRESENT
    },
    ("immediate", "predicted"): {FORWARD, BACKWARD, STEP_WISE},
    ("leaky", "predicted"): {FORWARD, BACKWARD, STEP_WISE},
    ("immediate", "predicted(3)"): {FORWARD},
    ("immediate", "exact"): {FORWARD},
    ("immediate", "exact(2)"): {FORWARD},
    ("leaky", "exact"): {FORWARD},
    ("perturbed", "reward"): {BACKWARD, STEP_WISE},
}
STOCHASTIC = {"rank one", "kronecker", "perturbed", "random error"}
ILLEGAL = [pair for pair in product(TRACES, CREDITS) if pair not in LEGAL]

CELLS = {"rate": nb.RateCortex(2, 3, tau=0.02, dt=0.01), "LSTM": nb.LSTMCortex(2, 3)}
WITH_LSTM = [("leaky", "predicted"), ("kronecker", "learned feedback"), ("perturbed", "reward")]
# SnAp-2 is RTRL with zeros, and is legal with the same credits: one of them is enough to compute.
COMPUTED = [pair for pair in LEGAL if pair[0] != "full(2)" or pair[1] == "immediate error"]
CASES = [("rate", *pair) for pair in COMPUTED] + [("LSTM", *pair) for pair in WITH_LSTM]
SHAPED = [("rate", *pair) for pair in LEGAL] + [("LSTM", *pair) for pair in WITH_LSTM]
# Where the forward view is compared with the steps, the backward view, which adds up the steps, is for some credits.
BOTH_VIEWS = [("rate", "predicted"), ("rate", "random error")]
KEY, OTHER_KEY = jax.random.key(1), jax.random.key(2)
N_NETWORKS = 2


def build(trace, told, way):
    return nb.LearningRule(TRACES[trace], CREDITS[told], *way)


@cache
def circuit_of(cell):
    """Every part that a rule may read, and an initial state that learns."""
    predictor, birth = nb.LinearPredictor(), nb.InitialState(sd=0.5, learned=True)
    feedback = nb.FeedbackPathway()
    return nb.Circuit(CELLS[cell], nb.LinearReadout(2), predictor, initial_state=birth, feedback=feedback)


@cache
def networks(cell):
    drawn = [random_weights(circuit_of(cell), seed) for seed in range(N_NETWORKS)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)


TRIALS = recall(jax.random.key(5), 3)


# ----------------------------------------------------------------------------------------------------- what is legal


def legal_ways(*pair):
    """The ways in which a pair can be built."""
    found = set()
    for way in WAYS:
        try:
            build(*pair, way)
        except ValueError:
            continue
        found.add(way)
    return found


def test_the_legal_pairs_are_those_of_the_table():
    found = {pair: legal_ways(*pair) for pair in product(TRACES, CREDITS)}
    assert {pair: ways for pair, ways in found.items() if ways} == LEGAL


def test_the_table_holds_every_trace_and_credit_there_is():
    for folder, listed in ((traces, TRACES), (credit, CREDITS)):
        protocols = {"CorticalStep", "Sweeping", "Trace", "Assignment", "Credit", "StepCredit"}
        assert {type(part).__name__ for part in listed.values()} == set(folder.__all__) - protocols


def path_counted_twice(trace, told):
    """The words for it."""
    if (trace == "perturbed") != (told == "reward"):
        return "every path from a weight to every loss"
    return "leak path" if trace == "leaky" else "recurrent connections"


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@pytest.mark.parametrize("pair", ILLEGAL, ids="-".join)
def test_an_illegal_pair_is_refused_by_naming_the_path_that_would_count_twice(pair, way):
    with refused("Allowed: ", "Why: .*" + path_counted_twice(*pair), "twice", "Type: ."):
        build(*pair, way)


@pytest.mark.parametrize(
    ("pair", "way"), [(pair, way) for pair in LEGAL for way in WAYS if way not in LEGAL[pair]], ids=str
)
def test_a_legal_pair_in_an_illegal_way_is_refused_without_talk_of_paths(pair, way):
    with refused("Allowed: .", "Why: .", "Type: .") as caught:
        build(*pair, way)
    assert "twice" not in str(caught.value)


# --------------------------------------------------------------------------------------------------- what is computed


def in_steps(rule, circuit, weights, trials, key):
    """The sum of the shares of all steps, weights held."""

    def advance(carry, single_step):
        state, total = carry
        state, share, *_ = rule.step(circuit, weights, state, single_step)
        return (state, jax.tree.map(jnp.add, total, share)), None

    start = rule.init(circuit, weights, trials.n_trials, key), jax.tree.map(jnp.zeros_like, weights)
    return jax.lax.scan(advance, start, single_steps(trials))[0][1]


def is_stochastic(*pair):
    return not STOCHASTIC.isdisjoint(pair)


TRACED = Counter()


@cache
def gradients_in(cell, *pair):
    """Gradients of all networks, in every legal way of a pair, at once and one by one, as one compiled function."""
    circuit = circuit_of(cell)

    @jax.jit
    def gradients(rules, weights, trials, key):
        TRACED[cell, *pair] += 1
        by_trial = [rule for way, rule in rules.items() if way != STEP_WISE]
        found = [jax.vmap(lambda w, rule=rule: rule.gradients(circuit, w, trials, key))(weights) for rule in by_trial]
        if STEP_WISE in rules:
            return *found, jax.lax.map(lambda w: in_steps(rules[STEP_WISE], circuit, w, trials, key), weights)
        return *found, jax.lax.map(lambda w: rules[FORWARD].gradients(circuit, w, trials, key), weights)

    return gradients


class Contract:
    """One pair in one cell: its rules, and what they compute."""

    def __init__(self, cell, *pair):
        self.cell, self.pair = cell, pair
        skipped = {BACKWARD} if FORWARD in LEGAL[pair] and (cell, pair[1]) not in BOTH_VIEWS else set()
        self.rules = {way: build(*pair, way) for way in WAYS if way in LEGAL[pair] - skipped}
        self.stochastic = is_stochastic(*pair)
        self.circuit, self.weights = circuit_of(cell), networks(cell)
        self.found = self.gradients()

    def gradients(self, rules=None, weights=None, key=KEY):
        return gradients_in(self.cell, *self.pair)(rules or self.rules, weights or self.weights, TRIALS, key)


def check_that_at_once_one_by_one_and_step_by_step_are_the_same(contract):
    """Stochastic rules from the same key."""
    first, *others = contract.found
    assert others
    for other in others:
        assert relative_error(other, first) <= 1e-12


def check_that_what_should_learn_has_a_gradient_and_nothing_else(contract):
    gradient, told = contract.found[0], contract.pair[1]
    for name, leaf in gradient.cortex._asdict().items():
        assert (size(leaf) > 1e-6) == (told != "no error"), name
    assert size(gradient.readout) > 1e-6
    assert (size(gradient.cerebellum) > 1e-6) == told.startswith("predicted")
    assert (size(gradient.feedback) > 1e-6) == (told == "learned feedback")


def backwards(networks):
    return jax.tree.map(lambda leaf: leaf[::-1], networks)


def check_that_the_order_of_networks_is_irrelevant(contract):
    turned = contract.gradients(weights=backwards(contract.weights))
    assert relative_error(backwards(turned), contract.found) <= 1e-12
    assert relative_error(turned[0].readout, contract.found[0].readout) > 1e-3


def check_that_other_numbers_give_other_gradients(contract):
    changed = contract.gradients(jax.tree.map(lambda number: 0.9 * number, contract.rules))
    same = all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (changed, contract.found)), strict=True))
    assert same != bool(jax.tree.leaves(contract.rules))


def check_that_the_key_is_all_there_is_to_chance(contract):
    jax.tree.map(np.testing.assert_array_equal, contract.gradients(), contract.found)
    for other, found in zip(contract.gradients(key=OTHER_KEY), contract.found, strict=True):
        if contract.stochastic and contract.pair[1] != "no error":
            assert relative_error(other.cortex, found.cortex) > 1e-3
        else:
            jax.tree.map(np.testing.assert_array_equal, other, found)


def check_that_chance_needs_a_key(contract):
    one = jax.tree.map(lambda leaf: leaf[0], contract.weights)
    asked = dict.fromkeys(WAYS, lambda rule: rule.gradients(contract.circuit, one, TRIALS))
    asked[STEP_WISE] = lambda rule: rule.init(contract.circuit, one, TRIALS.n_trials)
    for way, rule in contract.rules.items():
        assert rule.stochastic == contract.stochastic
        if contract.stochastic:
            with refused("key = None", "a JAX key"):
                asked[way](rule)


def check_that_it_was_compiled_once(contract):
    """After other weights, other numbers and other keys."""
    assert TRACED[contract.cell, *contract.pair] == 1


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_what_a_legal_pair_computes(case):
    contract = Contract(*case)
    check_that_at_once_one_by_one_and_step_by_step_are_the_same(contract)
    check_that_what_should_learn_has_a_gradient_and_nothing_else(contract)
    check_that_the_order_of_networks_is_irrelevant(contract)
    check_that_other_numbers_give_other_gradients(contract)
    check_that_the_key_is_all_there_is_to_chance(contract)
    check_that_chance_needs_a_key(contract)
    check_that_it_was_compiled_once(contract)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    "rule", [nb.uoro(), nb.kf_rtrl(), nb.random_gradient(), nb.node_perturbation()], ids=lambda rule: rule.name
)
def test_a_number_is_no_key(rule):
    weights = jax.tree.map(lambda leaf: leaf[0], networks("rate"))
    with refused("key = 0", "a JAX key", rule.name):
        rule.gradients(circuit_of("rate"), weights, TRIALS, 0)


# ------------------------------------------------------------------------------------------------ formats and shapes


def formats(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), tree)


def floats(tree):
    """Names of the formats of all numbers that are not whole, and not random."""
    return {leaf.dtype.name for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}


def narrow(tree):
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree)


@pytest.mark.parametrize("case", SHAPED, ids="-".join)
def test_float32_stays_float32_and_what_is_carried_keeps_its_shape(case):
    """While JAX computes in 64 bit, and where formats are never mixed; without a key where nothing is drawn."""
    cell, *pair = case
    circuit, key = circuit_of(cell), KEY if is_stochastic(*pair) else None
    weights, trials = narrow(jax.tree.map(lambda leaf: leaf[0], networks(cell))), narrow(TRIALS)
    single_step = jax.tree.map(lambda values: values[0], single_steps(trials))
    assert jax.config.jax_enable_x64
    with jax.numpy_dtype_promotion("strict"):
        for way in LEGAL[tuple(pair)]:
            rule = build(*pair, way)
            if way != STEP_WISE:
                gradient = jax.eval_shape(lambda w, rule=rule: rule.gradients(circuit, w, trials, key), weights)
                assert formats(gradient) == formats(weights), way
                continue
            born = jax.eval_shape(lambda w, rule=rule: rule.init(circuit, w, trials.n_trials, key), weights)
            grown, share, loss, y_t = jax.eval_shape(
                lambda w, state, rule=rule: rule.step(circuit, w, state, single_step), weights, born
            )
            assert formats(grown) == formats(born)
            assert formats(share) == formats(weights)
            assert floats((born, loss, y_t)) == {"float32"}
