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
    """Receiver of the progress of one part in training."""

    def begin(self, done: int) -> None:
        """Report the update at which training starts or continues."""

    def at(self, done: int, loss: float) -> None:
        """Report the number of updates done, and the loss of the last one."""

    def warn(self, message: str) -> None:
        """Warn the user."""


class Bars:
    """Progress bars on stderr: one of updates and, for a sweep, one of points above it.

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
        """Add a part that is going to be trained, and return its report."""
        self._totals[name] = part.first.schedule.n_updates
        return OfPart(self, name, part.name)

    def begin(self, part: str, words: str, done: int) -> None:
        """Start a part at update `done`; updates made earlier do not count for the speed."""
        if self._shown:
            self._updates.initial += done - self._done.get(part, 0)
            self._updates.set_description(f"{words:>9}", refresh=False)
            if not self._learning:
                self._updates.set_postfix_str(COMPILING, refresh=False)
        self._done[part] = done
        self._show()

    def at(self, part: str, done: int, loss: float) -> None:
        """Show the updates done by a part; the time left is estimated from the first call on."""
        self._done[part] = done
        self._updates.set_postfix(loss=f"{loss:.3g}", refresh=False)
        if self._shown and not self._learning:
            self._updates.initial = sum(self._done.values())
            self._updates.unpause()
        self._learning = True
        self._show()

    def end(self, part: str, n_points: int) -> None:
        """End a part and count its points as done; `n_points` is 0 where its points are tried again one by one."""
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
    """Report of one part to progress bars."""

    bars: Bars
    part: str
    words: str

    def begin(self, done: int) -> None:
        """Report the update at which training starts or continues."""
        self.bars.begin(self.part, self.words, done)

    def at(self, done: int, loss: float) -> None:
        """Report the number of updates done, and the loss of the last one."""
        self.bars.at(self.part, done, loss)

    def warn(self, message: str) -> None:
        """Warn the user (`RuntimeWarning`)."""
        warnings.warn(message, RuntimeWarning, stacklevel=6)
