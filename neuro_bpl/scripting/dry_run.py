"""A dry run: what every point of a run would cost, as a table."""

from collections.abc import Sequence

from neuro_bpl.costs import estimate, free_memory
from neuro_bpl.costs.estimate import Cost
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.experiment import Experiment
from neuro_bpl.training.grid import Point

HEAD = ("multiply–adds of an update", "of the run", "memory at the peak", "carried", "weights")


def report(points: Sequence[Point]) -> str:
    """Return a table of the cost of each point, all its networks together, and the free memory."""
    rows = [_row(point) for point in points]
    free = estimate.n_bytes(free_memory.free())
    return f"{_table([('', *HEAD), *rows])}\nfree memory: {free}. This was a dry run: nothing was trained or written.\n"


def _row(point: Point) -> tuple[str, ...]:
    if point.experiment is None:
        return (_name(point), point.error.partition("\n")[0], *[""] * (len(HEAD) - 1))
    found = estimate.of_part(Cohort((point.experiment,), (point.label,)))
    return (_name(point), *_cells(found, point.experiment))


def _name(point: Point) -> str:
    return ", ".join(str(v) if dim in ("rule", "task") else f"{dim} {v}" for dim, v in point.label.items()) or "run"


def _cells(found: Cost, experiment: Experiment) -> tuple[str, ...]:
    """Return one row: counts of an update and of all updates, and bytes."""
    n_updates = experiment.schedule.n_updates
    counts = (found.multiply_adds, found.multiply_adds and found.multiply_adds * n_updates)
    return (*map(estimate.scaled, counts), *map(estimate.n_bytes, (found.memory, found.carried, found.weights)))


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text, columns as wide as they need to be, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    )
