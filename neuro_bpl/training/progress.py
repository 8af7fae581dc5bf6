"""Progress of a run on stderr: points that have come to their end, and updates inside them."""

import sys
import warnings
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tqdm import tqdm

from neuro_bpl.experiments.cohort import Cohort

COMPILING = "compiling (once for this circuit and these sizes)"


@runtime_checkable
class Report(Protocol):
    """Progress of one part in training, as told to the user."""

    def begin(self, done: int) -> None:
        """It goes on from so many updates."""

    def at(self, done: int, loss: float) -> None:
        """So many updates are done; the loss of the last one."""

    def warn(self, message: str) -> None:
        """Something that the user should know."""


class Bars:
    """A bar of updates and, for a sweep, one of points above it.

    Parameters
    ----------
    shown : bool
        Whether there is anything to be seen.
    n_points : int
        Points of the sweep that are to be trained; 0 for a single run, which has no bar of points.
    """

    def __init__(self, shown: bool, n_points: int = 0) -> None:
        self._shown = shown
        self._points = tqdm(
            total=n_points, desc="points", unit="point", disable=not (shown and n_points), file=sys.stderr
        )
        self._updates = tqdm(total=0, desc="updates", unit="update", disable=not shown, file=sys.stderr)
        self._learning = False
        self._done: dict[str, int] = {}
        self._totals: dict[str, int] = {}

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *_: object) -> None:
        self._updates.close()
        self._points.close()

    def expect(self, name: str, part: Cohort) -> "OfPart":
        """Return the report of a part that is to be trained."""
        self._totals[name] = part.first.schedule.n_updates
        return OfPart(self, name, part.name)

    def begin(self, part: str, words: str, done: int) -> None:
        """A part goes on from so many updates, which say nothing of how fast updates are made."""
        if self._shown:
            self._updates.initial += done - self._done.get(part, 0)
            self._updates.set_description(f"{words:>9}", refresh=False)
            if not self._learning:
                self._updates.set_postfix_str(COMPILING, refresh=False)
        self._done[part] = done
        self._show()

    def at(self, part: str, done: int, loss: float) -> None:
        """A part has come to an update; the time left counts from the first one that is reported."""
        self._done[part] = done
        self._updates.set_postfix(loss=f"{loss:.3g}", refresh=False)
        if self._shown and not self._learning:
            self._updates.initial = sum(self._done.values())
            self._updates.unpause()
        self._learning = True
        self._show()

    def end(self, part: str, n_points: int) -> None:
        """A part has come to its end, and so many points with it; 0 where it failed and its points go on alone."""
        if not n_points:
            self._done.pop(part, None)
            self._totals.pop(part, None)
        self._points.update(n_points)
        self._show()

    def _show(self) -> None:
        if self._shown:
            self._updates.total = sum(self._totals.values())
            self._updates.n = sum(self._done.values())
            self._updates.refresh()


@dataclass(frozen=True)
class OfPart:
    """The report of one part."""

    bars: Bars
    part: str
    words: str

    def begin(self, done: int) -> None:
        """It goes on from so many updates."""
        self.bars.begin(self.part, self.words, done)

    def at(self, done: int, loss: float) -> None:
        """So many updates are done; the loss of the last one."""
        self.bars.at(self.part, done, loss)

    def warn(self, message: str) -> None:
        """Something that the user should know."""
        warnings.warn(message, RuntimeWarning, stacklevel=6)
