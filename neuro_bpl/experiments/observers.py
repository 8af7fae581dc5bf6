"""Observers: rules that watch another rule learn, and say at every update what they would have done.

An observer sees the same trials, trajectory and weights of cortex and readout, and changes none of them. What belongs
to it alone, its predictor and its feedback weights, it trains along the way, from its own errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.learning import optimizers as optimising
from neuro_bpl.learning.algorithms import bptt
from neuro_bpl.learning.gradient_measures import bias_and_variance, cosine, length
from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.learning.rule_parts import learns_feedback
from neuro_bpl.refusals import expect, refusal
from neuro_bpl.trials import Trials


@partial(jax.tree_util.register_dataclass, data_fields=("rules",), meta_fields=("place", "draws"))
@dataclass(frozen=True)
class Watch:
    """All rules of a comparison, the leader's place among them, and the number of draws for stochastic rules."""

    rules: tuple[LearningRule, ...] = ()
    place: int = 0
    draws: int = 1

    @classmethod
    def of(cls, leader: LearningRule, observers: Sequence[LearningRule], draws: int) -> "Watch":
        """Return the rules that observe a leader; `NOBODY` where there are none."""
        if not observers:
            return NOBODY
        rules = observed(leader, observers)
        return cls(rules, [rule.name for rule in rules].index(leader.name), draws)

    def led_by(self, leader: LearningRule) -> tuple[LearningRule, ...]:
        """Return all rules, with the leader replaced by that of one network, which has its own numbers."""
        return (*self.rules[: self.place], leader, *self.rules[self.place + 1 :])


NOBODY = Watch()


GROUPS = ("w_in", "w_rec", "b", "all")
MOST_DRAWS = 100_000
AT_ONCE = 16  # most draws of one gradient that are held in memory together


class Observer(NamedTuple):
    """Weights and optimiser state that belong to one observer alone; () instead, for a rule that has none."""

    cerebellum: PyTree
    feedback: PyTree
    olive: PyTree
    optimizer_state: PyTree


class Comparison(NamedTuple):
    """Gradients of the cortical weights by all rules of a comparison at one update, compared with BPTT's.

    By rule and group of weights: the cosine with BPTT's gradient g, ‖ĝ − g‖/‖g‖ and ‖ĝ‖ of one draw; squared bias and
    variance over repeated draws, relative to ‖g‖². `alignment` is the cosine of every rule with every other one.
    """

    cosine: Float[Array, "rule group"]
    relative_error: Float[Array, "rule group"]
    gradient_norm: Float[Array, "rule group"]
    bias_squared: Float[Array, "rule group"]
    variance: Float[Array, "rule group"]
    alignment: Float[Array, "rule rule"]


def check_observers(circuit: Circuit, leader: LearningRule, observers: Sequence[LearningRule], draws: int) -> None:
    """Refuse observers that cannot be compared with this rule in this circuit.

    Raises
    ------
    ValueError
        If one is no rule, comes twice, learns step by step, or lacks a part of the circuit; or the number of draws is
        not a whole number of at least 1.
    """
    expect("compare", observers, (list, tuple), "a list of rules", "each watches the run", "compare=[rtrl(), eprop()]")
    for rule in observers:
        expect("compare", rule, LearningRule, "rules", "each watches the run", "compare=[rtrl(), eprop()]")
    names = [rule.name for rule in observers]
    twins = any(rule.name == leader.name and rule != leader for rule in observers)
    if len(set(names)) < len(names) or twins:
        names += [leader.name] if twins else []
        raise refusal("compare", names, "every name once", "results are found by the rules' names", "compare=[rtrl()]")
    if isinstance(draws, bool) or not isinstance(draws, int) or not 1 <= draws <= MOST_DRAWS:
        why = "bias and variance of rules that draw random numbers are taken over so many gradients"
        raise refusal("compare_draws", draws, f"a whole number from 1 to {MOST_DRAWS}", why, "compare_draws=100")
    if not observers:
        return
    for rule in (leader, *observers):
        rule.check_circuit(circuit)
        if rule.update == "step":
            raise refusal(
                "compare",
                rule.name,
                'rules with update="trial", watching one of them',
                "gradients are compared at the same weights, and here the weights change within the trial",
                'rules with update="trial", such as rtrl(), and a leader of that kind',
            )


def observed(leader: LearningRule, observers: Sequence[LearningRule]) -> tuple[LearningRule, ...]:
    """Return all rules of a comparison: BPTT first, the leader last unless it is BPTT or an observer."""
    # Names hold numbers, such as that of BP(0.5), which rules do not have inside a compiled function.
    rules = {rule.name: rule for rule in (bptt(), *observers)}
    rules.setdefault(leader.name, leader)
    return tuple(rules.values())


def newborn(
    circuit: Circuit, rules: Sequence[LearningRule], optimizers: Optimizers, weights: Weights
) -> tuple[Observer | tuple[()], ...]:
    """Return every observer before its first update, with the circuit's own cerebellum and feedback weights."""
    state = optimizers.transform(circuit, weights).init(weights)
    own = Observer(weights.cerebellum, weights.feedback, weights.olive, state)
    return tuple(own if _has_own(rule) else () for rule in rules)


def _has_own(rule: LearningRule) -> bool:
    return rule.credit.predicting or learns_feedback(rule.credit)


def observe(
    circuit: Circuit,
    rules: Sequence[LearningRule],
    optimizers: Optimizers,
    observers: tuple[Observer | tuple[()], ...],
    weights: Weights,
    trials: Trials,
    key: Key[Array, ""],
    draws: int,
    leader: tuple[int, Weights],
) -> tuple[tuple[Observer | tuple[()], ...], Comparison]:
    """Compare the gradients of all rules on the same trials, and train the observers' own weights.

    `leader` is the place of the leading rule and its gradient.
    """
    place, led = leader
    after: list[Observer | tuple[()]] = []
    drawn: list[list[Float[Array, "_draw _weight"]]] = []
    for number, (rule, own) in enumerate(zip(rules, observers, strict=True)):
        seen = weights if isinstance(own, tuple) and not own else _with_own(weights, own)
        keys = jax.random.split(jax.random.fold_in(key, number), draws if rule.stochastic else 1)
        if number == place and not rule.stochastic:
            gradient = led
            gradients = jax.tree.map(lambda leaf: leaf[None], led)
        else:
            gradients = _draw(circuit, rule, seen, trials, keys)
            gradient = jax.tree.map(lambda leaf: leaf[0], gradients)
        drawn.append(_by_group(gradients.cortex))
        after.append(_learn(circuit, rule, optimizers, seen, own, gradient))
    return tuple(after), compare(drawn)


def _draw(circuit: Circuit, rule: LearningRule, weights: Weights, trials: Trials, keys: Key[Array, " draw"]) -> Weights:
    """Draw one gradient for each key, a few at a time."""
    at_once = max(size for size in range(1, AT_ONCE + 1) if len(keys) % size == 0)
    return jax.lax.map(lambda key: rule.gradients(circuit, weights, trials, key), keys, batch_size=at_once)


def _with_own(weights: Weights, own: Observer) -> Weights:
    return weights._replace(cerebellum=own.cerebellum, feedback=own.feedback, olive=own.olive)


def _learn(
    circuit: Circuit,
    rule: LearningRule,
    optimizers: Optimizers,
    weights: Weights,
    own: Observer | tuple[()],
    gradient: Weights,
) -> Observer | tuple[()]:
    """Update the observer's own weights; its changes of cortex and readout are discarded."""
    if not own:
        return own
    after, state = optimising.apply(optimizers, circuit, weights, own.optimizer_state, gradient)
    learnt = rule.held(weights, after)
    return Observer(learnt.cerebellum, learnt.feedback, learnt.olive, state)


def _by_group(gradients: CorticalWeights) -> list[Float[Array, "draw _weight"]]:
    """Return gradients as vectors, for each group of weights; the last one holds all."""
    rows = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(gradients)]
    return [*rows[:3], jnp.concatenate(rows, axis=1)]


def compare(drawn: Sequence[Sequence[Float[Array, "_draw _weight"]]]) -> Comparison:
    """Compute all measures from the draws of each rule by group; the first rule is the exact one."""
    exact = [group[0] for group in drawn[0]]
    first = [[group[0] for group in groups] for groups in drawn]
    spread = [[bias_and_variance(group, g) for group, g in zip(groups, exact, strict=True)] for groups in drawn]

    def table(rows: list) -> Float[Array, "rule group"]:
        return jnp.stack([jnp.stack(row) for row in rows])

    return Comparison(
        cosine=table([[cosine(a, g) for a, g in zip(row, exact, strict=True)] for row in first]),
        relative_error=table([[length(a - g) / length(g) for a, g in zip(row, exact, strict=True)] for row in first]),
        gradient_norm=table([[length(a) for a in row] for row in first]),
        bias_squared=table([[bias for bias, _ in row] for row in spread]),
        variance=table([[variance for _, variance in row] for row in spread]),
        alignment=table([[cosine(a[-1], b[-1]) for b in first] for a in first]),
    )
