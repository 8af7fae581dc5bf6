"""Published recordings, one a file, named by author and year: their own formats as recorded sessions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
