"""The circuit in words that Brian2 reads: equations with units, one set for every population and every pathway.

`equations(circuit, rule)` returns them by name, to print, to edit, and to hand to `BrianCircuit`. Names are those of
the theory: `r` is the rate h, `eligibility` a trace, `error` the immediate error of the readout in Hz (lₜ/dt),
`td_error` δₜ₋₁/dt; docs/theory.md, section on continuous time.
"""

from neuro_bpl.brian import cerebellar_equations
from neuro_bpl.brian.expressible import check_pair
from neuro_bpl.brian.script import Equations, Script, written
from neuro_bpl.circuit.circuit import Circuit
from neuro_bpl.learning.predictor_traces import DiagonalTrace
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.learning.traces import Leaky

# φ(u) and φ'(u), the slope as a function of a = φ(u), as in `nonlinearities`.
TRANSFER = {
    "identity": ("drive", "1"),
    "tanh": ("tanh(drive)", "1 - activation**2"),
    "relu": ("drive*int(drive > 0)", "1*int(drive > 0)"),
    "softplus": ("log1p(exp(-abs(drive))) + drive*int(drive > 0)", "-expm1(-activation)"),
    "sigmoid": ("1/(1 + exp(-drive))", "activation*(1 - activation)"),
}
ERRORS = {"squared_error": "y - target", "sigmoid_cross_entropy": "1/(1 + exp(-y)) - target"}


def equations(circuit: Circuit, rule: LearningRule | None = None) -> Script:
    """Return equations of a circuit, and of a rule that it learns by.

    Parameters
    ----------
    circuit : Circuit
        With a `RateCortex`, and a `GranularPredictor` where the rule has a prediction.
    rule : LearningRule, optional
        A step-wise rule with local traces; None: the cortex and its readout alone, without learning.

    Returns
    -------
    Script
        `Equations` by the name of their population or pathway.

    Raises
    ------
    ValueError
        If circuit or rule have parts without equations here.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> circuit = nb.Circuit(nb.RateCortex(3, 5, tau=0.1, dt=0.01), nb.LinearReadout(2))
    >>> print(nb.brian.equations(circuit)["readout"])
        y = synaptic + bias : 1
        synaptic : 1  # from the cortex
        bias : 1
    """
    check_pair(circuit, rule)
    script = Script(inputs=written("x = stimulus(t - began, i) : 1\nbegan : second (shared)"))
    script["cortex"] = _cortex(circuit, rule)
    script["readout"] = _readout(circuit, rule)
    if rule is not None and rule.credit.predicting:
        script |= cerebellar_equations.equations(rule)
    script["feedforward"] = _into_cortex("feedforward_post = w*x_pre : 1 (summed)", "x_pre", rule)
    script["recurrent"] = _recurrent(rule)
    script["output"] = _output(rule)
    return script


def _cortex(circuit: Circuit, rule: LearningRule | None) -> Equations:
    activation, slope = TRANSFER[circuit.cortex.nonlinearity]  # type: ignore[attr-defined]
    rates = written(
        f"""
        dr/dt = (activation - r)/tau : 1          # firing rate
        activation = {activation} : 1
        slope = {slope} : 1
        drive = feedforward + recurrent + bias : 1
        feedforward : 1                           # from the inputs
        recurrent : 1                             # from the cortex itself
        bias : 1
        r_birth : 1 (constant)                    # rate in which a trial starts
        tau : second (shared, constant)           # membrane time constant
        """,
        reset="r = r_birth",
    )
    if rule is None:
        return rates
    learning = rates.add(
        """
        r_before : 1                              # rate one step ago
        error : Hz                                # of the readout, back through its weights
        eta_bias : 1 (shared, constant)           # learning rate
        """,
        remember="r_before = r",
        learn=f"bias -= eta_bias*{_gain(rule, 'slope', '')}",
    )
    if rule.credit.predicting:
        learning = _predicted(learning, rule)
    if isinstance(rule.trace, Leaky):
        learning = learning.add(
            """
            deligibility_bias/dt = (slope - eligibility_bias)/tau : 1
            eligibility_bias_before : 1
            """,
            reset="eligibility_bias = 0",
            remember="eligibility_bias_before = eligibility_bias",
        )
    return learning


def _predicted(cortex: Equations, rule: LearningRule) -> Equations:
    """Return what the cortex does with the prediction of the cerebellum."""
    cortex = cortex.add(
        """
        prediction : 1                            # of the nuclei: the synthetic gradient
        kappa : 1 (shared, constant)              # weight of the prediction
        gamma : 1 (shared, constant)              # discount
        told = error*dt + gamma*prediction : 1    # what the olive hears of this step
        told_drive = told*slope*dt/tau : 1
        """
    )
    if rule.td_error == "diagonal":
        cortex = cortex.add("told_back = autapse*told_drive : 1                # within a unit alone")
    else:
        cortex = cortex.add("told_back : 1                             # one step back, through recurrent synapses")
    if rule.td_error == "diagonal" or isinstance(rule.predictor_trace, DiagonalTrace):
        cortex = cortex.add("autapse : 1                               # weight of a unit onto itself")
    if isinstance(rule.trace, Leaky):
        cortex = cortex.add(
            """
            onward = (error*dt + prediction)*slope*dt/tau : 1
            onward_back : 1                       # credit that left one step ago, through recurrent synapses
            """
        )
    return cortex


def _readout(circuit: Circuit, rule: LearningRule | None) -> Equations:
    readout = written(
        """
        y = synaptic + bias : 1
        synaptic : 1                              # from the cortex
        bias : 1
        """
    )
    if rule is None:
        return readout
    return readout.add(
        f"""
        error = importance(t - began)*({ERRORS[circuit.readout.loss]}) : Hz
        target = goal(t - began, i) : 1
        began : second (shared)
        eta_bias : 1 (shared, constant)           # learning rate
        """,
        learn="bias -= eta_bias*error*dt",
    )


def _into_cortex(transmission: str, source: str, rule: LearningRule | None) -> Equations:
    """Return a pathway that drives the cortex, and learns as the cortex does."""
    pathway = written(f"{transmission}\nw : 1")
    if rule is None:
        return pathway
    pathway = pathway.add(
        "eta : 1 (shared, constant)", learn=f"w -= eta*{_gain(rule, f'slope_post*{source}', '_post')}"
    )
    if isinstance(rule.trace, Leaky):
        pathway = pathway.add(
            f"deligibility/dt = (slope_post*{source} - eligibility)/tau_post : 1 (clock-driven)\n"
            "eligibility_before : 1",
            reset="eligibility = 0",
            remember="eligibility_before = eligibility",
        )
    return pathway


def _gain(rule: LearningRule, source: str, of: str) -> str:
    """Return credit times trace of one step, docs/theory.md (4) and (10)."""
    predicting = rule.credit.predicting
    if not isinstance(rule.trace, Leaky):
        credit = f"(error{of}*dt + kappa{of}*prediction{of})" if predicting else f"error{of}*dt"
        return f"{credit}*{source}*dt/tau{of}"
    trace = "eligibility" if of else "eligibility_bias"
    now = f"error{of}*dt*{trace}"
    return f"({now} + kappa{of}*onward_back{of}*{trace}_before)" if predicting else now


def _recurrent(rule: LearningRule | None) -> Equations:
    pathway = _into_cortex("recurrent_post = w*r_pre : 1 (summed)", "r_before_pre", rule)
    if rule is None or not rule.credit.predicting:
        return pathway
    if rule.td_error == "diagonal" or isinstance(rule.predictor_trace, DiagonalTrace):
        pathway = pathway.add("autapse_post = w*int(i == j) : 1 (summed)")
    if rule.td_error == "exact":
        pathway = pathway.add("told_back_pre = w*told_drive_post : 1 (summed)")
    if isinstance(rule.trace, Leaky):
        pathway = pathway.add("onward_back_pre = w*onward_post : 1 (summed)")
    return pathway


def _output(rule: LearningRule | None) -> Equations:
    pathway = written("synaptic_post = w*r_pre : 1 (summed)\nw : 1")
    if rule is not None:
        pathway = pathway.add(
            "error_pre = w*error_post : Hz (summed)\neta : 1 (shared, constant)", learn="w -= eta*error_post*dt*r_pre"
        )
    return pathway
