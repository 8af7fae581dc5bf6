from . import fetching, matlab, nwb, reading, session

__all__ = ["fetching", "matlab", "nwb", "reading", "session"]
