"""Measures of one population: tuning, choice, decoding, dimensionality, and of one animal's behaviour."""
