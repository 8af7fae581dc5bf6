"""Numbers of a circuit and a rule, by the population or pathway and the name that its equations know them by."""

from typing import Any

from neuro_bpl.circuit.circuit import Circuit
from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.predictor_traces import DiagonalTrace
from neuro_bpl.learning.rule import LearningRule

Constants = dict[tuple[str, str], float]


def constants(circuit: Circuit, rule: LearningRule | None, optimizers: Optimizers) -> Constants:
    """In SI units: seconds and hertz.

    Learning rates are those of a step of the array engine. By unit of time, that of the cerebellum is α/dt: it
    multiplies δ/dt, e·dt and dt.
    """
    cortex: Any = circuit.cortex
    found = {("cortex", "tau"): cortex.tau}
    if rule is None:
        return found
    cortical, readout = _rate(optimizers.cortex), _rate(optimizers.readout)
    found |= {("cortex", "eta_bias"): cortical, ("feedforward", "eta"): cortical, ("recurrent", "eta"): cortical}
    found |= {("readout", "eta_bias"): readout, ("output", "eta"): readout}
    if not rule.credit.predicting:
        return found
    credit: Any = rule.credit
    found |= {("cortex", "kappa"): credit.kappa, ("cortex", "gamma"): credit.discount}
    for name, of in (("nuclei", "_bias"), ("parallel", "")):
        found[name, f"alpha{of}"] = _rate(optimizers.predictor) / cortex.dt
        if isinstance(rule.predictor_trace, DiagonalTrace):
            found[name, f"decay{of}"] = credit.decay
        else:
            found[name, f"tau_e{of}"] = trace_time_constant(cortex.dt, credit.decay * cortex.leak)
    return found


def trace_time_constant(dt: float, kept: float) -> float:
    """τₑ in seconds of an Euler step that keeps a fraction 1 − dt/τₑ; infinite where nothing is lost."""
    return dt / (1 - kept) if kept < 1 else float("inf")


def _rate(optimizer: Any) -> float:
    return 0.0 if optimizer is None else float(optimizer.learning_rate)
