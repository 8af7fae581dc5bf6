"""Measures of one population: tuning, choice, decoding, dimensionality, and of one animal's behaviour."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
