"""A decorator of drawing functions, which does not import Matplotlib before something is drawn."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def styled(draw: Callable[..., "Figure"]) -> Callable[..., "Figure"]:
    """Make a drawing function draw in the house style; titles and legends read it when they are created."""

    @functools.wraps(draw)
    def in_style(*arguments: Any, **options: Any) -> "Figure":
        import matplotlib as mpl

        from neuro_bpl.figures.style import STYLE

        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return in_style
