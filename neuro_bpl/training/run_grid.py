"""Sweeps: a grid of experiments as one labelled run.

Points that differ in λ, γ, κ, a learning rate or another number of rule and optimisers are networks of one compiled
call, as far as memory allows; other points follow one after another, or are trained by the workers of a cluster.
"""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neuro_bpl.circuit.circuit import Circuit, Weights, shapes
from neuro_bpl.experiments import recording
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.experiment import MOST, Experiment, Schedule, Seeds
from neuro_bpl.experiments.observers import check_observers
from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import contents, run_writer, store
from neuro_bpl.runs.contents import Sink
from neuro_bpl.runs.pieces import Label
from neuro_bpl.tasks.protocol import Task
from neuro_bpl.training import dask_workers
from neuro_bpl.training import workers as hired
from neuro_bpl.training.arguments import another_experiment, as_seeds, attributes, check_arguments, check_same
from neuro_bpl.training.grid import Grid, Point, check_different, label_of, parts_of, points_of


def sweep(
    circuit: Circuit,
    task: Task,
    rule: LearningRule,
    grid: Grid,
    *,
    n_updates: int,
    batch_size: int = 50,
    seeds: int | Seeds = 1,
    optimizers: Optimizers | None = None,
    weights: Weights | None = None,
    record: Sequence[str] = (),
    compare: Sequence[LearningRule] = (),
    compare_draws: int = 1,
    n_evaluations: int = 20,
    n_snapshots: int = 1,
    precision: str = "float32",
    output: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    model: str = "",
    progress: bool = True,
    at_once: int | None = None,
    workers: int = 1,
    scheduler: Any = "",
) -> xr.DataTree:
    """Train at every point of a grid of parameters, and return one run whose dims are the parameters.

    Parameters
    ----------
    circuit, task, rule
        The experiment that the grid varies: what learns, where its trials come from, and how it learns.
    grid : mapping of str to sequence
        Values of each parameter, such as `{"lambda_": [0, 0.5, 1]}`. A parameter is named by its path
        (``rule.credit.lambda_``, ``optimizers.cortex.learning_rate``, ``circuit.cortex.n_units``), or by the end of the
        path where that is clear. ``"rule": [bptt(), bp_lambda()]`` compares rules, labelled by their names.
    n_updates, batch_size, seeds, optimizers, weights, record, compare, compare_draws, n_evaluations, n_snapshots,
    precision, model, progress
        The same parameters as those of `train`, for every point. Quantities of a prediction are recorded for the rules
        that learn from one.
    output, resume, overwrite
        Folder of the run, and whether to continue or replace the run there. With `resume`, points that are complete are
        never computed again, those that were stopped continue, and those that failed are run again.
    at_once : int, optional
        Most networks (points × seeds) of one compiled call; by default as many as fit into half of the free memory, and
        no more than leave something to every worker.
    workers : int
        Processes that train: this one alone, with all cores, or so many on this machine, where `output` is given.
    scheduler : str or distributed.Client
        Address of the scheduler of a Dask cluster, or a client, whose workers train instead; `workers` is then only the
        number of shares to split points into. All workers must see `output` under the same path (docs/clusters.md).

    Returns
    -------
    xarray.DataTree
        The groups of a run of `train`, with one more dim for each parameter of the grid. Points that failed are NaN;
        `statuses(run)` says why.

    Raises
    ------
    ValueError
        If a parameter is not known (it names the nearest one), a value is of no use as a label, `output` holds points
        that are not part of this grid, or every point failed.
    OSError
        If the scheduler does not answer, or the run cannot be written.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> task = nb.tasks.TargetReaching(n_steps=4)
    >>> circuit = nb.Circuit(nb.RateCortex(task.n_inputs, 5), nb.LinearReadout(2), nb.LinearPredictor())
    >>> run = nb.sweep(circuit, task, nb.bp_lambda(), {"lambda_": [0.0, 1.0]}, n_updates=2, seeds=3, progress=False)
    >>> run["training"]["loss"].sizes
    Frozen({'lambda_': 2, 'seed': 3, 'update': 2})
    """
    schedule = Schedule(n_updates, batch_size, n_evaluations, n_snapshots, precision)
    check_arguments(circuit, task, rule, optimizers, weights, output, resume, overwrite)
    recording.check_names(recording.applicable(record, rule), circuit, rule)
    check_observers(circuit, rule, compare, compare_draws)
    base = Experiment(
        circuit,
        task,
        rule,
        optimizers or Optimizers(),
        schedule,
        as_seeds(seeds),
        tuple(record),
        weights,
        tuple(compare),
        compare_draws,
    )
    points = points_of(base, grid)
    labels = {name: [label_of(value) for value in values] for name, values in grid.items()}
    return run(
        points,
        labels,
        output=output,
        resume=resume,
        overwrite=overwrite,
        model=model,
        progress=progress,
        at_once=at_once,
        workers=workers,
        scheduler=scheduler,
    )


def run(
    points: Sequence[Point],
    labels: Mapping[str, Sequence[float | int | str]],
    *,
    output: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    model: str = "",
    progress: bool = True,
    at_once: int | None = None,
    workers: int = 1,
    scheduler: Any = "",
) -> xr.DataTree:
    """Train at every point, and return one run whose dims are `labels`.

    Storage, memory and workers are chosen by the parameters of the same names in `sweep`.
    """
    check_different(points)
    if at_once is not None and (isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1):
        raise refusal("at_once", at_once, "a whole number >= 1", "it is a number of networks", "at_once=30")
    dask_workers.check(workers, scheduler, output is not None)
    possible = [point.experiment for point in points if point.experiment]
    if not possible:
        raise _all_failed({str(dict(point.label)): point.error for point in points})
    shapes(possible[0].circuit)  # an anatomy that is not possible is refused before there is a run
    attrs = attributes(parts_of(points, MOST), labels, model)
    if output is None:
        memory = contents.Memory(attrs)
        _run(points, at_once, memory, progress, 1, "")
        return _reported(memory.contents.tree())
    path = store.as_path(output)
    with run_writer.writing(path, attrs, resume, overwrite) as sink:
        _check_stored(path, sink.contents, points)
        _forget_failed(sink)
        _run(points, at_once, sink, progress, workers, scheduler)
    return _reported(store.open_run(path))


def _run(
    points: Sequence[Point], at_once: int | None, sink: Sink, progress: bool, workers: int, scheduler: Any
) -> None:
    """Continue stored parts, train points that are not stored yet, and record the impossible ones as failed."""
    before = dict(sink.contents.parts)
    numbers = (str(n) for n in itertools.count() if str(n) not in before)
    known = [label for stored in before.values() for label in stored.labels]
    fresh = [point for point in points if dict(point.label) not in known]
    begun = {name: stored for name, stored in before.items() if stored.attrs["status"] == contents.RUNNING}
    waiting = [(name, _stored_part(stored, points)) for name, stored in begun.items()]
    able = [point for point in fresh if point.experiment is not None]
    waiting += [(next(numbers), part) for part in parts_of(able, at_once, workers)]
    hired.carry(waiting, sink, numbers, progress, workers, scheduler)
    for point in fresh:
        if point.experiment is None:
            hired.put_down(sink, next(numbers), point.label, {}, point.error)


def _forget_failed(sink: run_writer.RunWriter) -> None:
    for name, part in list(sink.contents.parts.items()):
        if part.attrs["status"] == contents.FAILED:
            sink.drop(name)


def _check_stored(path: Path, stored: contents.Contents, points: Sequence[Point]) -> None:
    """Refuse a store whose points are not those of this grid (`ValueError`)."""
    asked = {_key(point.label): point for point in points}
    for part in (part for part in stored.parts.values() if part.attrs["status"] != contents.FAILED):
        for label, described in zip(part.labels, part.descriptions, strict=True):
            point = asked.get(_key(label))
            if point is None:
                raise another_experiment(path, [f"it holds the point {dict(label)}, which is not in this grid"])
            if point.experiment is None:
                raise another_experiment(path, [f"the point {dict(label)} is not possible now: {point.error}"])
            check_same(path, described, point.experiment)


def _key(label: Label) -> tuple:
    return tuple(sorted(label.items()))


def _stored_part(stored: contents.StoredPart, points: Sequence[Point]) -> Cohort:
    """Return the stored points as a cohort in their stored order, so that the same program continues."""
    by_label = {_key(point.label): point.experiment for point in points if point.experiment}
    labels = stored.labels
    return Cohort(tuple(by_label[_key(label)] for label in labels), tuple(labels))


def _reported(run: xr.DataTree) -> xr.DataTree:
    """Return the run, and warn of points that failed.

    Raises
    ------
    ValueError
        If every point failed.
    FloatingPointError
        If every point that did not fail has diverged.
    """
    points = contents.statuses(run)
    failed = {str(point["at"]): point["error"] for point in points if point["status"] == contents.FAILED}
    if len(failed) == len(points):
        raise _all_failed(failed)
    if failed:
        reasons = "".join(f"\n  {at}: {error}" for at, error in failed.items())
        warnings.warn(f"{len(failed)} points of the sweep failed and are NaN:{reasons}", RuntimeWarning, stacklevel=4)
    if all(point["status"] in (contents.DIVERGED, contents.FAILED) for point in points):
        raise FloatingPointError(
            "every network has diverged; training.diverged_at says when. Type: a lower learning rate, such as "
            "--learning-rate 1e-4 (Optimizers(cortex=Optimizer(learning_rate=1e-4)))."
        )
    return run


def _all_failed(reasons: Mapping[str, str]) -> ValueError:
    shown = "".join(f"\n  {at}: {error}" for at, error in reasons.items())
    return ValueError(f"every point of the sweep failed:{shown}")
