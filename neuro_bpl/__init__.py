"""Learning in rate-based cortical circuits taught by a cerebellum that predicts their future gradient."""

import lazy_loader

# Every name of `__init__.pyi`, from its module when it is first used: JAX, Brian2 and others take seconds to import.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
