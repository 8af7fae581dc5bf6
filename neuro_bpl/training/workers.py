"""The crew of a sweep: who trains its parts, this process or the workers of a cluster, and what becomes of failures."""

import contextlib
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.description import describe
from neuro_bpl.runs import contents
from neuro_bpl.runs.contents import Sink, said
from neuro_bpl.runs.pieces import Label
from neuro_bpl.runs.run_writer import RunWriter
from neuro_bpl.training import dask_workers
from neuro_bpl.training.progress import Bars
from neuro_bpl.training.trainer import train_part

Named = tuple[str, Cohort]


@runtime_checkable
class Workers(Protocol):
    """Workers that train parts: this process, or those of a cluster."""

    def give(self, name: str, part: Cohort) -> None:
        """Queue a part for training."""

    def done(self) -> Iterator[tuple[str, Cohort, Exception | None]]:
        """Yield each part as it ends, with its error or None, until none is left."""


def carry(
    waiting: Sequence[Named], sink: Sink, numbers: Iterator[str], progress: bool, workers: int, scheduler: Any
) -> None:
    """Train all parts; the points of a part that fails are trained one by one, so that only the faulty ones fail.

    `numbers` are names for further parts.
    """
    n_points = sum(len(part.points) for _, part in waiting)
    with Bars(progress, n_points) as bars, _hired(waiting, sink, bars, workers, scheduler) as crew:
        for name, part in waiting:
            _give(crew, bars, name, part)
        for name, part, error in crew.done():
            split = error is not None and len(part.points) > 1
            bars.end(name, 0 if split else len(part.points))
            if error is not None:
                sink.drop(name)
            if split:
                for point, label in zip(part.points, part.labels, strict=True):
                    _give(crew, bars, next(numbers), Cohort((point,), (label,)))
            elif error is not None:
                put_down(sink, next(numbers), part.labels[0], describe(part.first), _reason(error))


def _give(crew: Workers, bars: Bars, name: str, part: Cohort) -> None:
    bars.expect(name, part)
    crew.give(name, part)


def put_down(sink: Sink, name: str, label: Label, description: Mapping[str, Any], error: str) -> None:
    """Record that a point failed, and why."""
    sink.commit(
        name, {}, {}, {**said([label], [description]), "status": contents.FAILED, "updates": 0, "error": error}, 1
    )


def _reason(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


@contextlib.contextmanager
def _hired(waiting: Sequence[Named], sink: Sink, bars: Bars, workers: int, scheduler: Any) -> Iterator[Workers]:
    """Yield the workers of a cluster where they are requested, else this process.

    This process also trains alone where the run is in memory, where no part can begin, and where fewer than two parts
    wait for local workers.
    """
    workers = min(workers, len(waiting))
    if not waiting or not isinstance(sink, RunWriter) or not dask_workers.is_asked_for(workers, scheduler):
        yield ThisProcess(sink, bars)
        return
    for _, part in waiting:
        dask_workers.packed(part)  # What cannot be sent is refused before anything is written.
    with dask_workers.connected(workers, scheduler) as client:
        if not _begun(waiting, sink, bars):
            yield ThisProcess(sink, bars)
            return
        sink.settle()
        with dask_workers.DaskWorkers(client, sink, bars) as team:
            yield team


def _begun(waiting: Sequence[Named], sink: RunWriter, bars: Bars) -> bool:
    """Begin the first part that can begin, in this process, if there is no store yet; return whether there is one.

    So no run is created, or replaced, unless at least one part can be trained.
    """
    for name, part in waiting:
        if sink.begun:
            break
        try:
            train_part(part, name, sink, bars.expect(name, part), raising=False, until=0)
        except OSError:
            raise
        except Exception:  # It is tried again, and reported then.
            sink.drop(name)
    return sink.begun


class ThisProcess:
    """Worker that trains one part after another in this process."""

    def __init__(self, sink: Sink, bars: Bars) -> None:
        self._sink = sink
        self._bars = bars
        self._waiting: deque[Named] = deque()

    def give(self, name: str, part: Cohort) -> None:
        """Queue a part for training."""
        self._waiting.append((name, part))

    def done(self) -> Iterator[tuple[str, Cohort, Exception | None]]:
        """Train the queued parts in order, and yield each with its error or None."""
        while self._waiting:
            name, part = self._waiting.popleft()
            yield name, part, self._error(name, part)

    def _error(self, name: str, part: Cohort) -> Exception | None:
        try:
            train_part(part, name, self._sink, self._bars.expect(name, part), raising=False)
        except OSError:
            raise
        except Exception as error:
            return error
        return None
