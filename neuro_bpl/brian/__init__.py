"""The same circuit in continuous time: Brian2 equations with units, equal to the array engine."""

import warnings

with warnings.catch_warnings():
    # Brian2 calls pyparsing by names that pyparsing would like to be rid of.
    warnings.simplefilter("ignore", DeprecationWarning)
    import brian2  # noqa: F401

from neuro_bpl.brian import array_engine, expressible, labelling, spiking
from neuro_bpl.brian.brian_circuit import BrianCircuit
from neuro_bpl.brian.circuit_equations import equations
from neuro_bpl.brian.script import Equations, Script

__all__ = ["BrianCircuit", "Equations", "Script", "array_engine", "equations", "expressible", "labelling", "spiking"]
