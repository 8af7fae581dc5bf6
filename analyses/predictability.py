"""How much of the future gradient could a linear predictor know, and for how long does that stay true?

Reads a run of models/copy_repeat.py, models/target_reaching.py or models/sequential_digits.py that has snapshots.  At
every snapshot, on trials drawn anew, of the length that the network is learning, and for all steps but the last: the
cosine of the learnt ĝ with the true G; that of the mean of G over other trials with the same weights; that of the best
linear prediction of G from the cortical state (least squares on those); and that of the best linear prediction of an
earlier snapshot.  Draws them over learning and over the age of the prediction (PNG and SVG), and prints means with 95 %
intervals over seeds.  Nothing is compared between different lengths.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key
from scipy import linalg

import neuro_bpl as nb
from neuro_bpl import figures, scripting
from neuro_bpl.experiments import description
from neuro_bpl.experiments import probe as probing
from neuro_bpl.learning import gradient_measures
from neuro_bpl.parameters import field
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import contents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMMAND = "python models/copy_repeat.py --rule bp_lambda:1 --n-updates 1500 --n-evaluations 300 --n-snapshots 300"
TASKS = ("CopyRepeat", "TargetReaching", "SequentialImages")
AGES = (1, 2, 4, 8, 16)  # snapshots
States = Float[np.ndarray, "state time trial"]


@dataclass(frozen=True)
class Parameters:
    """What to read and where to draw."""

    run: str = field("data/runs/copy_repeat", "run to read")
    rule: str = field("BP(1)", "rule, as the run names it")
    select: tuple[str, ...] = field((), "values of other parameters of a sweep, such as kappa=1")
    n_trials: int = field(400, "trials to fit the best linear prediction to, and as many to test it on", low=2)
    output: str = field("data/figures/predictability", "figure, without suffix; an older one there is replaced")


class Seen(NamedTuple):
    """One network at one snapshot: length of its trials, sₜ and 1, Gₜ and ĝₜ at all steps but the last."""

    length: int
    states: States
    exact: States
    predicted: States


@partial(jax.jit, static_argnames=("circuit", "batch_size"))
def play(
    circuit: nb.Circuit, rule: Any, weights: nb.Weights, trials: nb.Trials, batch_size: int
) -> tuple[Array, Array, Array]:
    """sₜ, Gₜ and ĝₜ with the weights held."""
    probe = probing.on(circuit, rule, weights, trials, batch_size)
    return probing.flat(probe.seen.trajectory.s_t), probing.flat(probe.exact), probing.predicted(probe)


def best_linear(states: States, exact: States) -> Float[np.ndarray, "states exact"]:
    """The matrix whose products with sₜ and 1 are nearest to Gₜ (least squares)."""
    flat = states.reshape(len(states), -1), exact.reshape(len(exact), -1)
    return linalg.lstsq(flat[0].T, flat[1].T, lapack_driver="gelsy")[0]


def cosine(a: States, b: States) -> float:
    """Mean over steps and trials, those where one of the two is zero left out; NaN where all are."""
    return float(jnp.nanmean(gradient_measures.cosine(jnp.asarray(a), jnp.asarray(b))))


def snapshots(run: xr.DataTree, p: Parameters) -> Iterator[tuple[int, int, Seen, Seen]]:
    """Seed, number of updates, and what is seen on trials to fit to and on others to test with."""
    point = point_of(run, p)
    task, batch_size = task_of(point["run"]["task"]), point["run"]["schedule"]["batch_size"]
    rule = description.rebuild(point["run"]["rule"], [nb.LearningRule])
    training = run["training"].to_dataset().sel(point["at"])
    for seed in training.seed.values:
        for updates in run["weights"].snapshot.values[1:]:
            circuit, weights = nb.load(run, at=point["at"], seed=int(seed), snapshot=int(updates))
            now, seen = training.sel(seed=seed, update=updates), []
            for key in jax.random.split(jax.random.key(int(updates))):
                trials = drawn(task, int(now["difficulty"]) if "difficulty" in now else None, key, p.n_trials)
                length = int(trials.last_step()[0])
                found = play(circuit, rule, weights, trials, batch_size)
                states, exact, predicted = (np.asarray(array, float)[:, : length - 1] for array in found)
                states = np.concatenate((states, np.ones_like(states[:1])))
                seen.append(Seen(length, states, exact, predicted))
            yield int(seed), int(updates), seen[0], seen[1]


def task_of(described: Mapping[str, Any]) -> Any:
    """The task of a run; images are read again."""
    numbers = {name: value for name, value in described.items() if name not in ("name", "scale")}
    made: Any = getattr(nb.tasks, described["name"])
    return made.load(**numbers) if described["name"] == "SequentialImages" else made(**numbers)


def drawn(task: Any, length: int | None, key: Key[Array, ""], n_trials: int) -> nb.Trials:
    """Trials as those of training, of a length where there is a curriculum; one key for data and noise."""
    if length is None:
        return task.sample(key, key, n_trials)
    level = next(level for level in range(task.n_levels) if task.difficulty(level) == length)
    return task.padded(np.array([level])).sample_level(level, key, key, n_trials)


def point_of(run: xr.DataTree, p: Parameters) -> Any:
    """The point that was asked for.

    Raises
    ------
    ValueError
        If there is no such point at its end whose rule predicts, or there are no snapshots on the way.
    """
    ended = [
        point
        for point in contents.statuses(run)
        if point["status"] == contents.COMPLETE and point["run"]["rule"]["credit"]["type"] == "Predicted"
    ]
    wanted = {"rule": p.rule, **dict(text.partition("=")[::2] for text in p.select)}
    named = [{"rule": run.attrs["rule"], **point["at"]} for point in ended]
    chosen = [
        point
        for point, at in zip(ended, named, strict=True)
        if all(str(at.get(name)) == value for name, value in wanted.items())
    ]
    if len(chosen) != 1:
        allowed = "; ".join(" ".join(f"{name}={value}" for name, value in at.items()) for at in named)
        why = "one point is looked at, which predicts a gradient and has come to its end"
        fix = f"--rule and --select as in {allowed.split('; ')[0]}" if named else COMMAND
        raise refusal("rule and select", wanted, allowed or "nothing: no such point is there yet", why, fix)
    task, n_snapshots = chosen[0]["run"]["task"]["name"], run["weights"].sizes["snapshot"]
    if task not in TASKS or n_snapshots < 3:
        got, allowed = f"{task}, {n_snapshots} snapshots", f"{' or '.join(TASKS)}, with snapshots on the way"
        raise refusal("run", got, allowed, "fresh trials are drawn at each of them", COMMAND)
    return chosen[0]


def measure(run: xr.DataTree, p: Parameters) -> xr.Dataset:
    """Cosines with G by seed and snapshot.

    `learnt` is that of ĝ, `common` that of the mean of G over trials, `best` that of the best linear prediction by age.
    """
    seeds, updates = run["weights"].seed.values, run["weights"].snapshot.values[1:]
    dims = {"seed": seeds, "update": updates}
    learnt, common = (xr.DataArray(np.nan, dims, ("seed", "update")) for _ in range(2))
    best = xr.DataArray(np.nan, {**dims, "age": [0, *AGES]}, ("seed", "update", "age"))
    fits: dict[tuple[int, int], tuple[int, np.ndarray]] = {}
    for seed, update, to_fit, to_test in snapshots(run, p):
        place = int(np.searchsorted(updates, update))
        fits[seed, place] = to_fit.length, best_linear(to_fit.states, to_fit.exact)
        fits.pop((seed, place - AGES[-1] - 1), None)
        learnt.loc[seed, update] = cosine(to_test.predicted, to_test.exact)
        in_common = np.broadcast_to(to_fit.exact.mean(-1, keepdims=True), to_test.exact.shape)
        common.loc[seed, update] = cosine(in_common, to_test.exact)
        for age in best.age.values:
            length, matrix = fits.get((seed, place - age), (0, np.empty(0)))
            if length == to_test.length:
                best.loc[seed, update, age] = cosine(np.tensordot(matrix.T, to_test.states, 1), to_test.exact)
    return xr.Dataset({"learnt": learnt, "common": common, "best": best})


def report(found: xr.Dataset) -> None:
    """Print means over learning with their 95 % intervals over seeds."""
    spacing = int(found["update"][0])
    print(f"| prediction | cosine with G, mean over snapshots ({found.sizes['seed']} seeds) |\n|---|---|")
    print(f"| learnt ĝ | {scripting.summary95(found['learnt'].mean('update').values, '.2f')} |")
    print(f"| mean over trials, now | {scripting.summary95(found['common'].mean('update').values, '.2f')} |")
    for age in found.age.values:
        told = "best linear, now" if age == 0 else f"best linear, {age * spacing} updates old"
        print(f"| {told} | {scripting.summary95(found['best'].sel(age=age).mean('update').values, '.2f')} |")


def draw_over_learning(axes: "Axes", found: xr.Dataset, rule: str) -> None:
    """What is learnt, and what could be known, by update."""
    figures.line_with_spread(axes, found["learnt"], "update", rule)
    axes.lines[-1].set_label(f"ĝ of {rule}")
    figures.line_with_spread(axes, found["best"].sel(age=0), "update", "BPTT")
    axes.lines[-1].set_label("best linear prediction")
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set(xlabel="update", ylabel="cosine with G", title="Over learning: mean ± SD over seeds", ylim=(-1, 1))
    axes.margins(x=0)
    axes.legend(loc="lower right")


def draw_by_age(axes: "Axes", found: xr.Dataset) -> None:
    """How a prediction that was the best one ages: one dot a seed, and the mean with its 95 % interval."""
    by_age = found["best"].mean("update")
    ages = found.age.values * int(found["update"][0])
    for seed in by_age.seed.values:
        axes.plot(range(len(ages)), by_age.sel(seed=seed), "o", color="0.6", markersize=2.5, markeredgewidth=0)
    mean, low, high = np.array([scripting.finite95(by_age.sel(age=age).values) for age in found.age.values]).T
    axes.errorbar(range(len(ages)), mean, (mean - low, high - mean), fmt="k-s", markersize=5, capsize=3)
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set_xticks(range(len(ages)), [str(age) for age in ages])
    axes.set(xlabel="age of the best linear prediction (updates)", ylabel="cosine with G", ylim=(-1, 1))
    axes.set_title("How long it stays right")


@figures.styled
def draw(found: xr.Dataset, rule: str) -> "Figure":
    """Over learning, and by age."""
    figure, panels = figures.panels(6.6, 2.6, 2)
    draw_over_learning(panels[0], found, rule)
    draw_by_age(panels[1], found)
    return figure


def analyse(p: Parameters) -> None:
    """Load, compute, draw."""
    found = measure(nb.open_run(p.run), p)
    report(found)
    scripting.save(draw(found, p.rule), p.output)


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, analyse)
