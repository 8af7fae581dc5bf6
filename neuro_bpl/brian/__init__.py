"""The same circuit in continuous time: Brian2 equations with units, equal to the array engine."""

from neuro_bpl.brian.circuit import BrianCircuit
from neuro_bpl.brian.equations import Equations, Script, equations

__all__ = ["BrianCircuit", "Equations", "Script", "equations"]
