"""The same trials, one at a time, in the array engine: what a Brian2 circuit is held against."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neuro_bpl.brian.labelling import Plan, Played
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.optimizers import Optimizers, apply
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.learning.single_step import SingleStep, single_steps
from neuro_bpl.trials import Trials


def play(circuit: Circuit, rule: LearningRule, optimizers: Optimizers, weights: Weights, plan: Plan) -> Played:
    """Steps of the rule, each followed by one of the optimisers; records rates, outputs and predicted gradients."""
    optimizer_state = optimizers.transform(circuit, weights).init(weights)

    def advance(carry: Any, single_step: SingleStep) -> tuple[Any, dict[str, jax.Array]]:
        state, w, optimizer_state = carry
        later, gradient, _, y_t = rule.step(circuit, w, state, single_step)
        seen = {"rates": later.s[0][:, 0], "outputs": y_t[:, 0]}
        if rule.credit.predicting:
            predicted = circuit.predict(w.cerebellum, later.s, single_step.x_t)[0]
            seen["predicted_gradient"] = jnp.where(single_step.left_t > 0, predicted, 0)[:, 0]
        return (later, *apply(optimizers, circuit, w, optimizer_state, gradient)), seen

    def trial(learnt: Any, one: Trials) -> tuple[Any, dict[str, jax.Array]]:
        start = rule.init(circuit, learnt[0], 1)
        (_, *learnt), seen = jax.lax.scan(advance, (start, *learnt), single_steps(jax.tree.map(lambda a: a[None], one)))
        return tuple(learnt), seen

    run, learnt = jax.jit(partial(jax.lax.scan, trial)), (weights, optimizer_state)
    snapshots, blocks, first = {0: weights}, [], 0
    for n in plan.blocks:
        one_block = jax.tree.map(lambda a: a[first : first + n], plan.trials)  # noqa: B023
        learnt, seen = run(learnt, one_block)
        first += n
        snapshots[first] = learnt[0]
        blocks.append(seen)
    whole = {name: np.concatenate([np.asarray(block[name]) for block in blocks]) for name in blocks[0]}
    kept = {name: whole[name][-plan.n_recorded :] for name in plan.names if name in whole}
    return Played(whole["outputs"], kept, snapshots)
