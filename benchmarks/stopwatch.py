"""What benchmarks share: a training update, compiled, and how long something takes."""

import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import neuro_bpl as nb
from neuro_bpl.compilation import LOOP, compiled, known
from neuro_bpl.experiments import Learner, learn_batch


class Training:
    """One rule in training on one batch, compiled as `train` does: forward pass, gradients, Adam on all weights."""

    def __init__(self, circuit: nb.Circuit, rule: nb.LearningRule, trials: nb.Trials, n_updates: int = 1) -> None:
        adam = nb.Optimizer("adam", 1e-4)
        optimizers = nb.Optimizers(adam, adam, adam)
        weights = circuit.init(jax.random.key(1))
        self.learner = Learner(weights, optimizers.transform(circuit, weights).init(weights), jnp.full((), -1))
        self.keys = jax.random.split(jax.random.key(2), n_updates)
        self.update = lambda learner, key: learn_batch(circuit, rule, optimizers, learner, trials, key)
        self.many = compiled(lambda learner: jax.lax.scan(self.update, learner, self.keys), known(LOOP))

    def run(self) -> None:
        """All updates of one scan."""
        jax.block_until_ready(self.many(self.learner))

    def memory(self) -> float:
        """Bytes that XLA sets aside for intermediate results of one update, at their peak."""
        compiled = jax.jit(self.update).lower(self.learner, self.keys[0]).compile()
        return float(compiled.memory_analysis().temp_size_in_bytes)


def noise(n_inputs: int, n_outputs: int, n_steps: int, batch_size: int) -> nb.Trials:
    """Noise, with noise to follow at every step."""
    k_inputs, k_targets = jax.random.split(jax.random.key(0))
    return nb.Trials(
        jax.random.normal(k_inputs, (batch_size, n_steps, n_inputs)),
        jax.random.normal(k_targets, (batch_size, n_steps, n_outputs)),
    )


def labelled(n_inputs: int, n_classes: int, n_steps: int, batch_size: int) -> nb.Trials:
    """Noise, with a class to say at the last step."""
    k_inputs, k_labels = jax.random.split(jax.random.key(0))
    return nb.Trials(
        jax.random.normal(k_inputs, (batch_size, n_steps, n_inputs)),
        jax.random.randint(k_labels, (batch_size, 1), 0, n_classes),
    )


def seconds(run: Callable[[], object], shortest: float) -> float:
    """Wall time of one call, from as many as fill the shortest time: from one where that is 0."""
    calls, start = 0, time.perf_counter()
    while True:
        run()
        calls += 1
        passed = time.perf_counter() - start
        if passed >= shortest:
            return passed / calls


def interleaved(runs: Sequence[Callable[[], object]], rounds: int, shortest: float) -> np.ndarray:
    """Times `(round, run)`, measured in turn (A B C A B C …), so that a machine that drifts drifts for all."""
    for run in runs:
        run()
    return np.array([[seconds(run, shortest) for run in runs] for _ in range(rounds)])
