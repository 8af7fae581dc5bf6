"""Fitting: a run that is too large for the memory is refused, with the nearest form that fits.

Forms are tried in order: cheaper traces of the same rule, then fewer networks, then fewer trials.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from neuro_bpl.costs import estimate, free_memory
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.experiment import Seeds
from neuro_bpl.learning import predictor_traces, traces
from neuro_bpl.learning.predictor_traces import FullTrace
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import refusal

LADDERS: Mapping[str, Sequence[Any]] = {"trace": traces.BY_COST, "predictor_trace": predictor_traces.BY_COST}


def check_memory(part: Cohort) -> None:
    """Refuse a part that would not fit into the free memory (`ValueError`)."""
    free = free_memory.free()
    if free is None:
        return
    needed = estimate.of_part(part)
    if needed.memory is None or needed.memory <= free:
        return
    rule, n_networks = part.first.rule, len(part.points) * part.n_seeds
    networks = "1 network" if n_networks == 1 else f"{n_networks} networks at once"
    raise refusal(
        "cost",
        needed,
        f"a memory of at most {estimate.n_bytes(free)}, which is what is free",
        f"{networks} with {rule.name} and batches of {part.first.schedule.batch_size} trials would not fit",
        nearest_form(part, free),
    )


def nearest_form(part: Cohort, free: int) -> str:
    """Return what to type for the first form of a part that fits into `free` bytes."""
    for typed, smaller in forms(part, free):
        found = _memory(smaller)
        if found is not None and found <= free:
            return f"{typed} ({smaller.first.rule.name}, {estimate.n_bytes(found)})"
    return "the same on a machine with more memory, or a circuit with fewer units"


def forms(part: Cohort, free: int) -> Iterator[tuple[str, Cohort]]:
    """Yield forms of a part that need less memory, nearest first, with what to type for each."""
    for name, rung in rungs(part.first.rule):
        if (smaller := _with_rung(part, name, rung)) is not None:
            yield f"dataclasses.replace(rule, {name}=nb.{name}s.{rung!r})", smaller
    batch_size, share = part.first.schedule.batch_size, _share(part, free)
    for n in _fewer(part.n_seeds, share):
        yield f"seeds={n}, and the others in other runs", _with_seeds(part, n)
    for n in _fewer(batch_size, share):
        yield f"batch_size={n}", _with_batch_size(part, n)
    alone = _with_seeds(part, 1)
    for n in _fewer(batch_size, _share(alone, free)):
        yield f"seeds=1, batch_size={n}", _with_batch_size(alone, n)


def rungs(rule: LearningRule) -> Iterator[tuple[str, Any]]:
    """Yield the cheaper traces below each trace of a rule, with the name of its field."""
    for name, ladder in LADDERS.items():
        kinds = [type(rung) for rung in ladder]
        used = rule.trace if name == "trace" else rule.parts.eligibility and (rule.predictor_trace or FullTrace())
        kind = type(used)
        if kind in kinds:
            yield from ((name, rung) for rung in ladder[kinds.index(kind) + 1 :])


def _with_rung(part: Cohort, name: str, rung: Any) -> Cohort | None:
    """Return the part with another trace; None where the rule cannot have it."""
    try:
        return _each(part, lambda point: {"rule": dataclasses.replace(point.rule, **{name: rung})})
    except ValueError:
        return None


def _with_seeds(part: Cohort, n: int) -> Cohort:
    seeds = part.first.seeds
    fewer = Seeds(seeds.weights[:n], seeds.data[:n], seeds.noise[:n])
    return _each(part, lambda point: {"seeds": fewer, "weights": None})


def _with_batch_size(part: Cohort, n: int) -> Cohort:
    return _each(part, lambda point: {"schedule": dataclasses.replace(point.schedule, batch_size=n)})


def _each(part: Cohort, changes: Any) -> Cohort:
    points = tuple(dataclasses.replace(point, **changes(point)) for point in part.points)
    return Cohort(points, part.labels)


def _share(part: Cohort, free: int) -> float:
    """Return the free memory as a share of what a part needs; 1 where that is unknown."""
    needed = _memory(part)
    return 1.0 if needed is None else free / needed


def _fewer(number: int, share: float) -> Iterator[int]:
    """Yield numbers below `number` to try: its share, then half as many again and again."""
    n = min(int(number * share), number - 1)
    while n >= 1:
        yield n
        n //= 2


def _memory(part: Cohort) -> int | None:
    """Return the bytes of a form; None where it is not possible."""
    try:
        return estimate.of_part(part).memory
    except ValueError:
        return None
