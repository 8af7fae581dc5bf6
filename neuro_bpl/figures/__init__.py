"""Figures as a journal prints them.

Offered: the style, lines with spread over seeds, maps over learning, and saving. Matplotlib is imported when something
is drawn.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
