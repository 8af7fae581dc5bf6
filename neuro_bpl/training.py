"""Training: one compiled scan over updates, all seeds at once."""

import sys
import warnings
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Int, Key, PyTree
from tqdm import tqdm

from neuro_bpl import optimizers as optimising
from neuro_bpl import recording, results
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.experiment import Experiment, Schedule, Seeds
from neuro_bpl.learner import Learner
from neuro_bpl.metrics import Outcome, accuracy
from neuro_bpl.moment import Moment, moments, online_outcome
from neuro_bpl.optimizers import Optimizers
from neuro_bpl.parameters import refusal
from neuro_bpl.rules import LearningRule
from neuro_bpl.tasks.protocol import Task
from neuro_bpl.trials import Trials

EVALUATED = ("validation", "test")
TRIALS_AT_ONCE = 1000


def learn_batch(
    circuit: Circuit,
    rule: LearningRule,
    optimizers: Optimizers,
    weights: Weights,
    optimizer_state: PyTree,
    trials: Trials,
) -> tuple[Weights, PyTree, Outcome]:
    """Learn from one batch of trials: one update at its end, or one at every step."""
    if rule.update == "trial":
        gradient, outcome = rule.learn(circuit, weights, trials)
        return *optimising.apply(optimizers, circuit, weights, optimizer_state, gradient), outcome

    def advance(carry: tuple, moment: Moment) -> tuple[tuple, tuple]:
        weights, optimizer_state, state = carry
        state, gradient, loss, y_t = rule.step(circuit, weights, state, moment)
        weights, optimizer_state = optimising.apply(optimizers, circuit, weights, optimizer_state, gradient)
        return (weights, optimizer_state, state), (loss, y_t)

    circuit.check(trials)
    carry = (weights, optimizer_state, rule.init(circuit, weights, trials.n_trials))
    (weights, optimizer_state, _), (losses, outputs) = jax.lax.scan(advance, carry, moments(trials))
    return weights, optimizer_state, online_outcome(circuit, trials, losses, outputs)


@partial(jax.jit, static_argnames=("circuit", "n_updates", "batch_size"))
def run_updates(
    circuit: Circuit,
    task: Task,
    rule: LearningRule,
    optimizers: Optimizers,
    learners: Learner,
    keys: tuple[Key[Array, " seed"], Key[Array, " seed"]],
    first: Int[Array, ""],
    n_updates: int,
    batch_size: int,
) -> tuple[Learner, Outcome]:
    """A chunk of updates of all seeds; a seed whose loss is not finite stops learning."""

    def update(
        learner: Learner, number: Int[Array, ""], data_key: Key[Array, ""], noise_key: Key[Array, ""]
    ) -> tuple[Learner, Outcome]:
        trials = task.sample(jax.random.fold_in(data_key, number), jax.random.fold_in(noise_key, number), batch_size)
        weights, state, outcome = learn_batch(
            circuit, rule, optimizers, learner.weights, learner.optimizer_state, trials
        )
        fails = (learner.diverged_at < 0) & ~jnp.isfinite(outcome.loss)
        diverged_at = jnp.where(fails, number.astype(jnp.int32), learner.diverged_at)
        old, new = (learner.weights, learner.optimizer_state), (weights, state)
        kept = jax.tree.map(lambda o, n: jnp.where(diverged_at < 0, n, o), old, new)
        return Learner(kept[0], kept[1], diverged_at), outcome

    def one_seed(learner: Learner, data_key: Key[Array, ""], noise_key: Key[Array, ""]) -> tuple[Learner, Outcome]:
        numbers = first + jnp.arange(n_updates)
        return jax.lax.scan(lambda learner, n: update(learner, n, data_key, noise_key), learner, numbers)

    return jax.vmap(one_seed)(learners, *keys)


@partial(jax.jit, static_argnames="circuit")
def _outcome(circuit: Circuit, weights: Weights, trials: Trials) -> Outcome:
    def one_seed(weights: Weights) -> Outcome:
        outputs = circuit.run(weights, trials)[1]
        return Outcome(circuit.mean_loss(outputs, trials), accuracy(circuit.readout, outputs, trials))

    return jax.lax.map(one_seed, weights)


def evaluate(circuit: Circuit, weights: Weights, trials: Trials) -> Outcome:
    """Loss and accuracy of each seed's weights (leading axis of every array) on all trials, mean over trials."""
    slices = [slice(at, at + TRIALS_AT_ONCE) for at in range(0, trials.n_trials, TRIALS_AT_ONCE)]
    parts = [jax.tree.map(lambda a, part=part: a[part], trials) for part in slices]
    share = [part.n_trials / trials.n_trials for part in parts]
    outcomes = [_outcome(circuit, weights, part) for part in parts]
    return jax.tree.map(lambda *values: sum(s * v for s, v in zip(share, values, strict=True)), *outcomes)


_alignment = jax.jit(
    lambda circuit, weights, trials: jax.lax.map(lambda w: recording.alignment(circuit, w, trials), weights),
    static_argnums=0,
)
_activity = jax.jit(
    lambda circuit, weights, trials: jax.lax.map(lambda w: recording.probe_activity(circuit, w, trials), weights),
    static_argnums=0,
)


def train(
    circuit: Circuit,
    task: Task,
    rule: LearningRule,
    *,
    n_updates: int,
    batch_size: int = 50,
    seeds: int | Seeds = 1,
    optimizers: Optimizers | None = None,
    record: Sequence[str] = (),
    n_evaluations: int = 20,
    precision: str = "float32",
    progress: bool = True,
) -> xr.DataTree:
    """Train a circuit on a task with a rule, from several seeds at once.

    Parameters
    ----------
    circuit : Circuit
        What learns.
    task : Task
        Where trials come from.
    rule : LearningRule
        How it learns.
    n_updates, batch_size : int
        Number of updates (batches of trials), and trials of a batch.
    seeds : int or Seeds
        Number of networks, or their seeds of weights, data and noise. Same seed, same numbers.
    optimizers : Optimizers, optional
        Optimisers of cortex, readout and predictor; Adam with learning rate 0.001 each by default.
    record : sequence of str
        What to record besides loss and accuracy: names of `neuro_bpl.recording.QUANTITIES`.
    n_evaluations : int
        Held-out evaluations after the one before training.
    precision : "float32" or "float64"
        Floating-point format.
    progress : bool
        Show a progress bar with loss and time left on stderr.

    Returns
    -------
    xarray.DataTree
        Groups `parameters`, `training`, `evaluation`, `weights`, and `gradients` and `activity` where asked for.

    Raises
    ------
    ValueError
        If an argument is not possible.
    FloatingPointError
        If the loss of every seed stops being finite; it names the update, the rule and the largest weight. A single
        seed that diverges is frozen, warned of, and marked in `training.diverged_at`.
    """
    seeds = seeds if isinstance(seeds, Seeds) else _count(seeds)
    schedule = Schedule(n_updates, batch_size, n_evaluations, precision)
    names = recording.check_names(record, circuit)
    if rule.credit.predicting:
        circuit.predictor()
    optimizers = optimizers or Optimizers()
    with jax.enable_x64(precision == "float64"):
        history, learners = _train(circuit, task, rule, optimizers, schedule, seeds, names, progress)
        activity = {}
        if {"rates", "predicted_gradient", "true_gradient"} & set(names):
            activity = jax.device_get(_activity(circuit, learners.weights, task.probe()))
    experiment = Experiment(circuit, task, rule, optimizers, schedule, seeds)
    recorded = {name: value for name, value in activity.items() if name in names}
    return results.build(experiment, history, recorded, jax.device_get(learners))


def _count(seeds: int) -> Seeds:
    if isinstance(seeds, bool) or not isinstance(seeds, (int, np.integer)) or seeds < 1:
        raise refusal("seeds", seeds, "a whole number >= 1, or Seeds(...)", "it is the number of networks", "seeds=5")
    return Seeds.count(int(seeds))


def _train(
    circuit: Circuit,
    task: Task,
    rule: LearningRule,
    optimizers: Optimizers,
    schedule: Schedule,
    seeds: Seeds,
    names: tuple[str, ...],
    progress: bool,
) -> tuple[results.History, Learner]:
    probe, held_out = task.probe(), {split: task.held_out(split) for split in EVALUATED}
    weight_keys, *keys = seeds.keys()
    data_key, noise_key = (jax.random.fold_in(stream[0], 0) for stream in keys)
    first_batch = task.sample(data_key, noise_key, schedule.batch_size)
    for trials in (first_batch, probe, *held_out.values()):
        circuit.check(trials)
    learners = _newborn(circuit, optimizers, weight_keys)
    history = results.History()

    def look(update: int) -> None:
        outcomes = {
            split: jax.device_get(evaluate(circuit, learners.weights, trials)) for split, trials in held_out.items()
        }
        aligned = _alignment(circuit, learners.weights, probe) if "gradient_alignment" in names else None
        history.evaluated(update, outcomes, jax.device_get(aligned))

    look(0)
    with tqdm(
        total=schedule.n_updates, desc=f"{rule.name:>9}", unit="update", disable=not progress, file=sys.stderr
    ) as bar:
        for first, n in schedule.chunks():
            learners, outcome = run_updates(
                circuit, task, rule, optimizers, learners, tuple(keys), first, n, schedule.batch_size
            )
            history.trained(jax.device_get(outcome))
            _report_divergence(rule, learners, first)
            look(first + n)
            bar.update(n)
            bar.set_postfix(loss=f"{float(np.nanmean(outcome.loss[:, -1])):.3g}")
    return history, learners


def _newborn(circuit: Circuit, optimizers: Optimizers, keys: Key[Array, " seed"]) -> Learner:
    weights = jax.vmap(circuit.init)(keys)
    state = jax.vmap(lambda w: optimizers.transform(circuit, w).init(w))(weights)
    return Learner(weights, state, jnp.full(keys.shape, -1, jnp.int32))


def _report_divergence(rule: LearningRule, learners: Learner, first: int) -> None:
    """Warn of seeds that diverged in the chunk that began at update `first`; raise when none is left."""
    diverged_at = np.asarray(learners.diverged_at)
    new = np.flatnonzero(diverged_at >= first)
    if not len(new):
        return
    seed = int(new[0])
    size, name = max(
        (float(np.abs(leaf[seed]).max()), jax.tree_util.keystr(path, simple=True, separator="."))
        for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(learners.weights))
    )
    message = (
        f"the loss of {rule.name} is not finite at update {diverged_at[seed]} (network {seed}); "
        f"its largest weight is {name} with magnitude {size:.3g}. Type: a lower learning rate, such as "
        f"Optimizers(cortex=Optimizer(learning_rate=1e-4)), or Optimizer(clip_norm=1.0)."
    )
    if (diverged_at >= 0).all():
        raise FloatingPointError(message)
    warnings.warn(message + " This network is frozen; the others go on.", RuntimeWarning, stacklevel=4)
