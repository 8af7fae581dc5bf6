from . import choice, cursor, decoding, dimensionality, manifold, psychometry, repertoire, tuning

__all__ = ["choice", "cursor", "decoding", "dimensionality", "manifold", "psychometry", "repertoire", "tuning"]
