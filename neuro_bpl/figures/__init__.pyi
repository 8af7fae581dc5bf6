from .decorator import styled
from .style import STYLE, line_with_spread, look, map_over_learning, panels, save

__all__ = ["STYLE", "line_with_spread", "look", "map_over_learning", "panels", "save", "styled"]
