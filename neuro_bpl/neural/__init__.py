"""Recorded sessions as labelled arrays, and simulations held against them."""

from neuro_bpl.neural.session import event_names, from_arrays, spike_times, validate

__all__ = ["event_names", "from_arrays", "spike_times", "validate"]
