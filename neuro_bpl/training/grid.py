"""A grid of experiments: its points, and the parts that one compiled call can train."""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from neuro_bpl.costs import estimate, free_memory
from neuro_bpl.experiments import recording
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.description import describe
from neuro_bpl.experiments.experiment import Experiment
from neuro_bpl.experiments.observers import check_observers, observed
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import nearest, refusal
from neuro_bpl.runs import quantities
from neuro_bpl.runs.fingerprints import fingerprint
from neuro_bpl.runs.pieces import Label

SHARE_OF_MEMORY = 0.5
RESERVED = {"seed", "point", "split", *(dim for known in quantities.QUANTITIES.values() for dim in known.dims)}
Grid = Mapping[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Point:
    """Point of a grid: its coordinates, and its experiment, or the error that makes it impossible."""

    label: Label
    experiment: Experiment | None
    error: str = ""


def points_of(base: Experiment, grid: Grid) -> list[Point]:
    """Return every point of a grid.

    Raises
    ------
    ValueError
        If a parameter is not known, or a value is of no use as a coordinate. A point that is not possible is kept, with
        its error.
    """
    if not isinstance(grid, Mapping) or not grid or not all(isinstance(name, str) for name in grid):
        raise refusal("grid", grid, "parameters and their values", "it names the axes", '{"lambda_": [0.0, 0.5, 1.0]}')
    paths = {name: resolve(base, name) for name in grid}
    if len(set(paths.values())) < len(paths):
        raise refusal(
            "grid", list(grid), "each parameter once", f"they name {list(paths.values())}", "one of the names"
        )
    for name, values in grid.items():
        if name in RESERVED:
            raise refusal(
                "grid",
                name,
                "names that are no dims of a run",
                f"{', '.join(sorted(RESERVED))} have a meaning already",
                f'{{"{paths[name]}": [...]}}',
            )
        _check_values(name, values)
    return [_point(base, paths, values, grid) for values in itertools.product(*grid.values())]


def check_different(points: Sequence[Point]) -> None:
    """Refuse a grid in which two points are the same experiment (`ValueError`)."""
    seen: dict[str, Label] = {}
    for point in points:
        described = json.dumps(describe(point.experiment)) if point.experiment is not None else str(point.label)
        if described in seen:
            raise refusal(
                "grid",
                [dict(seen[described]), dict(point.label)],
                "points that differ",
                "both are the same experiment: a parameter of the grid does not change it",
                "rules that have the parameter (--rule bp_lambda --sweep lambda_=0,0.5,1), or --sweep alone for none",
            )
        seen[described] = point.label


def parts_of(points: Sequence[Point], at_once: int | None, workers: int = 1) -> list[Cohort]:
    """Group points into parts that one compiled call can train, of at most `at_once` networks each.

    Without that number, groups are as large as fits into the memory, and small enough for each of so many workers to
    have one.
    """
    groups: dict[Any, list[tuple[Label, Experiment]]] = {}
    for point in points:
        if point.experiment is not None:
            groups.setdefault(_structure(point.experiment), []).append((point.label, point.experiment))
    parts = []
    for group in groups.values():
        labels, experiments = zip(*group, strict=True)
        limit = at_once or networks_at_once(Cohort(experiments, labels), workers)
        size = max(limit // len(experiments[0].seeds.weights), 1)
        if at_once is None:
            size = min(size, math.ceil(len(group) / workers))
        for at in range(0, len(group), size):
            labels, experiments = zip(*group[at : at + size], strict=True)
            parts.append(Cohort(experiments, labels))
    return parts


def _structure(experiment: Experiment) -> tuple:
    """Return what the points of one part must share: everything but the numbers of rule and optimisers.

    Points of a comparison (`compare`) share the names of all rules, too, which label the results.
    """
    numbers = jax.tree.structure((experiment.rule, experiment.optimizers))
    task = jax.tree.structure(experiment.task), fingerprint(experiment.task)
    start = fingerprint(experiment.weights)
    names = [rule.name for rule in observed(experiment.rule, experiment.compare)] if experiment.compare else []
    recorded = experiment.record, experiment.compare, experiment.compare_draws, tuple(names)
    return (
        experiment.circuit,
        numbers,
        task,
        start,
        experiment.schedule,
        experiment.seeds,
        recorded,
    )


def networks_at_once(part: Cohort, workers: int = 1) -> int:
    """Return how many networks of a part fit into half of the free memory, divided among the workers."""
    n_networks, free = len(part.points) * part.n_seeds, free_memory.free()
    if free is None:
        return n_networks
    try:
        needed = estimate.of_part(part).memory
    except Exception:  # whatever is wrong with it is said when it is trained
        return n_networks
    if needed is None:
        return n_networks
    return max(int(n_networks * min(SHARE_OF_MEMORY * free / workers / needed, 1.0)), 1)


def label_of(value: Any) -> float | int | str:
    """Return the coordinate of a value on an axis: a rule's name, numbers and texts as they are."""
    return value.name if isinstance(value, LearningRule) else value


def _check_values(name: str, values: Sequence[Any]) -> None:
    labels = [label_of(value) for value in values] if isinstance(values, (list, tuple)) else values
    kinds = {str if isinstance(label, str) else float for label in labels} if isinstance(labels, list) else set()
    usable = len(kinds) == 1 and all(_is_label(label) for label in labels)
    if name == "rule":
        usable = usable and all(isinstance(value, LearningRule) for value in values)
    if not usable or len(set(labels)) < len(labels):
        raise refusal(
            f"grid[{name!r}]",
            labels,
            'a list of different numbers, of texts, or (for "rule") of rules',
            "they are the coordinates of an axis",
            f'{{"{name}": [0.0, 1.0]}}',
        )


def _is_label(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, str) or is_number


def _point(base: Experiment, paths: Mapping[str, str], values: Sequence[Any], grid: Grid) -> Point:
    label = {name: label_of(value) for name, value in zip(grid, values, strict=True)}
    try:
        experiment = base
        # Whole rules first, so that their numbers can be set on top.
        for name, value in sorted(zip(grid, values, strict=True), key=lambda pair: paths[pair[0]].count(".")):
            experiment = replaced(experiment, paths[name].split("."), value)
        names = recording.applicable(experiment.record, experiment.rule)
        checked = recording.check_names(names, experiment.circuit, experiment.rule)
        check_observers(experiment.circuit, experiment.rule, experiment.compare, experiment.compare_draws)
        return Point(label, dataclasses.replace(experiment, record=checked))
    except ValueError as error:
        return Point(label, None, f"{type(error).__name__}: {error}")


def replaced(instance: Any, path: Sequence[str], value: Any) -> Any:
    """Return a dataclass in which the field at the end of a path is replaced."""
    first, *rest = path
    known = [spec.name for spec in dataclasses.fields(instance)]
    if first not in known:
        raise refusal(
            "grid",
            first,
            ", ".join(known),
            f"{type(instance).__name__} has no {first}",
            "a grid of those points that have this parameter",
        )
    inner = replaced(getattr(instance, first), rest, value) if rest else value
    return dataclasses.replace(instance, **{first: inner})


def resolve(experiment: Experiment, name: str) -> str:
    """Return the full path of a parameter, from its name or the end of its path.

    Raises
    ------
    ValueError
        If there is no such parameter, or several.
    """
    known = list(fields(experiment))
    ends = [path for path in known if path == name or path.endswith(f".{name}")]
    exact = [path for path in ends if path == name]
    if len(exact or ends) == 1:
        return (exact or ends)[0]
    if ends:
        raise refusal("grid", name, "one parameter", f"it may be {' or '.join(ends)}", f'{{"{ends[0]}": [...]}}')
    short = [path.rsplit(".", 1)[-1] for path in known]
    close = nearest(name, [*known, *short])
    raise refusal("grid", name, "a parameter of the experiment", "there is none of this name", f'{{"{close}": [...]}}')


def fields(instance: Any, prefix: str = "") -> Iterator[str]:
    """Yield the paths of all fields inside a dataclass that a sweep may set."""
    for spec in dataclasses.fields(instance):
        path, value = f"{prefix}{spec.name}", getattr(instance, spec.name)
        if dataclasses.is_dataclass(value):
            yield path
            yield from fields(value, f"{path}.")
        elif value is None or isinstance(value, (str, int, float, bool, jax.Array)):
            yield path
