"""The circuit in words that Brian2 reads: equations with units, one set for every population and every pathway.

`equations(circuit, rule)` returns them by name, to print, to edit, and to hand to `BrianCircuit`. Names are those of
the theory: `r` is the rate h, `eligibility` a trace, `error` the immediate error of the readout in Hz (lₜ/dt),
`td_error` δₜ₋₁/dt; docs/theory.md, section on continuous time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from textwrap import indent

from neuro_bpl.brian.legality import check_pair
from neuro_bpl.circuit import Circuit
from neuro_bpl.parameters import refusal
from neuro_bpl.predictor_traces import DiagonalTrace
from neuro_bpl.rules import LearningRule
from neuro_bpl.traces import Leaky

# φ(u) and φ'(u), the slope as a function of a = φ(u), as in `nonlinearities`.
TRANSFER = {
    "identity": ("drive", "1"),
    "tanh": ("tanh(drive)", "1 - activation**2"),
    "relu": ("drive*int(drive > 0)", "1*int(drive > 0)"),
    "softplus": ("log1p(exp(-abs(drive))) + drive*int(drive > 0)", "-expm1(-activation)"),
    "sigmoid": ("1/(1 + exp(-drive))", "activation*(1 - activation)"),
}
INDENT = "    "
ERRORS = {"squared_error": "y - target", "sigmoid_cross_entropy": "1/(1 + exp(-y)) - target"}


@dataclass(frozen=True)
class Equations:
    """What a population or a pathway does.

    Parameters
    ----------
    model : str
        Brian2 equations, with units.
    reset : str
        Code at the first step of every trial, before anything else.
    remember : str
        Code at the beginning of every step.
    learn : str
        Code at the end of every step: what weights and biases learn.
    """

    model: str
    reset: str = ""
    remember: str = ""
    learn: str = ""

    def swap(self, old: str, new: str) -> "Equations":
        """The same with other words in the place of some, wherever they stand.

        Raises
        ------
        ValueError
            If the words are not there: an edit that changes nothing is a mistake.
        """
        if not any(old in text for text in (self.model, self.reset, self.remember, self.learn)):
            raise refusal("old", old, "words of these equations", "an edit must change something", f"\n{self}")
        return replace(
            self, **{part: getattr(self, part).replace(old, new) for part in ("model", "reset", "remember", "learn")}
        )

    def add(self, model: str = "", *, reset: str = "", remember: str = "", learn: str = "") -> "Equations":
        """The same with further lines."""
        return Equations(
            _lines(self.model, model),
            _lines(self.reset, reset),
            _lines(self.remember, remember),
            _lines(self.learn, learn),
        )

    def __str__(self) -> str:
        moments = {
            "at the first step of a trial": self.reset,
            "at the beginning of a step": self.remember,
            "at the end of a step": self.learn,
        }
        said = [f"{when}\n{indent(code, INDENT)}" for when, code in moments.items() if code]
        return indent("\n".join([_aligned(self.model), *said]), INDENT)


class Script(dict[str, Equations]):
    """Equations by the name of their population or pathway; printed as a whole."""

    def __str__(self) -> str:
        return "\n\n".join(f"{_headline(name)}\n{one}" for name, one in self.items())


POPULATIONS = ("inputs", "cortex", "readout", "granule", "nuclei", "olive")
PATHWAYS: Mapping[str, tuple[str, str]] = {
    "feedforward": ("inputs", "cortex"),
    "recurrent": ("cortex", "cortex"),
    "output": ("cortex", "readout"),
    "mossy": ("cortex", "granule"),
    "parallel": ("granule", "nuclei"),
    "corticonuclear": ("cortex", "nuclei"),
    "nucleocortical": ("nuclei", "cortex"),
    "corticoolivary": ("cortex", "olive"),
    "nucleoolivary": ("nuclei", "olive"),
    "climbing": ("olive", "nuclei"),
}
ONE_TO_ONE = ("corticonuclear", "nucleocortical", "corticoolivary", "nucleoolivary", "climbing")


def equations(circuit: Circuit, rule: LearningRule | None = None) -> Script:
    """Equations of a circuit, and of a rule that it learns by.

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
    script = Script(inputs=Equations("x = stimulus(t - began, i) : 1\nbegan : second (shared)"))
    script["cortex"] = _cortex(circuit, rule)
    script["readout"] = _readout(circuit, rule)
    if rule is not None and rule.credit.predicting:
        script |= _cerebellum(rule)
    script["feedforward"] = _into_cortex("feedforward_post = w*x_pre : 1 (summed)", "x_pre", rule)
    script["recurrent"] = _recurrent(rule)
    script["output"] = _output(rule)
    return script


def _cortex(circuit: Circuit, rule: LearningRule | None) -> Equations:
    activation, slope = TRANSFER[circuit.cortex.nonlinearity]  # type: ignore[attr-defined]
    rates = Equations(
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
        return _tidy(rates)
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
    return _tidy(learning)


def _predicted(cortex: Equations, rule: LearningRule) -> Equations:
    """What the cortex does with the prediction of the cerebellum."""
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
    readout = Equations(
        """
        y = synaptic + bias : 1
        synaptic : 1                              # from the cortex
        bias : 1
        """
    )
    if rule is None:
        return _tidy(readout)
    return _tidy(
        readout.add(
            f"""
            error = importance(t - began)*({ERRORS[circuit.readout.loss]}) : Hz
            target = goal(t - began, i) : 1
            began : second (shared)
            eta_bias : 1 (shared, constant)       # learning rate
            """,
            learn="bias -= eta_bias*error*dt",
        )
    )


def _cerebellum(rule: LearningRule) -> dict[str, Equations]:
    """Mossy fibres, granule cells, parallel fibres, nuclei, and the olive that teaches them."""
    diagonal = isinstance(rule.predictor_trace, DiagonalTrace)
    # Euler steps of the trace: e ← keep·e + dt·source, and keep = γλ (1 − dt/τ) is written as 1 − dt/tau_e.
    lost = "(1 - decay*own_post)*eligibility/dt" if diagonal else "eligibility/tau_e"
    lost_bias = "(1 - decay_bias*own)*eligibility_bias/dt" if diagonal else "eligibility_bias/tau_e_bias"
    memory = "decay{} : 1 (shared, constant)" if diagonal else "tau_e{} : second (shared, constant)"
    nuclei = Equations(
        f"""
        prediction = (purkinje + bias)*has_future(t - began) : 1
        purkinje : 1                              # from the parallel fibres, by way of Purkinje cells
        bias : 1
        prediction_before = purkinje_before + bias : 1
        purkinje_before : 1                       # what present weights make of the step before
        climbing_fibre : Hz                       # from the olive
        deligibility_bias/dt = 1 - {lost_bias} : second
        began : second (shared)
        alpha_bias : Hz (shared, constant)        # learning rate, by unit of time
        {memory.format("_bias")}
        """,
        reset="eligibility_bias = 0*second",
        learn="bias += alpha_bias*climbing_fibre*eligibility_bias*dt",
    )
    if diagonal:
        nuclei = nuclei.add("own : 1                                  # what the unit keeps of its rate by itself")
    made = {
        "granule": _tidy(
            Equations(
                """
                rate = drive*int(drive > 0) : 1
                drive = mossy + bias : 1
                mossy : 1                             # from the mossy fibres
                bias : 1 (constant)
                rate_before : 1                       # one step ago
                """,
                remember="rate_before = rate",
            )
        ),
        "nuclei": _tidy(nuclei),
        "olive": _tidy(
            Equations(
                """
                td_error = is_running(t - began)*(heard - expected)/dt : Hz
                heard : 1                             # of this step, from the cortex
                expected : 1                          # of the step before, from the nuclei
                began : second (shared)
                """
            )
        ),
        "mossy": _tidy(Equations("mossy_post = w*r_pre : 1 (summed)\nw : 1 (constant)")),
        "parallel": _tidy(
            Equations(
                f"""
                purkinje_post = w*rate_pre : 1 (summed)
                purkinje_before_post = w*rate_before_pre : 1 (summed)
                w : 1
                deligibility/dt = rate_pre - {lost} : second (clock-driven)
                alpha : Hz (shared, constant)
                {memory.format("")}
                """,
                reset="eligibility = 0*second",
                learn="w += alpha*climbing_fibre_post*eligibility*dt",
            )
        ),
        "nucleocortical": Equations("prediction_post = prediction_pre : 1 (summed)"),
        "corticoolivary": Equations("heard_post = (1 - dt/tau_pre)*told_pre + told_back_pre : 1 (summed)"),
        "nucleoolivary": Equations("expected_post = prediction_before_pre : 1 (summed)"),
        "climbing": Equations("climbing_fibre_post = td_error_pre : Hz (summed)"),
    }
    if diagonal:
        own = "own_post = 1 - dt/tau_pre + dt/tau_pre*slope_pre*autapse_pre : 1 (summed)"
        made["corticonuclear"] = Equations(own)
    return made


def _into_cortex(transmission: str, source: str, rule: LearningRule | None) -> Equations:
    """A pathway that drives the cortex, and learns as the cortex does."""
    pathway = Equations(f"{transmission}\nw : 1")
    if rule is None:
        return _tidy(pathway)
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
    return _tidy(pathway)


def _gain(rule: LearningRule, source: str, of: str) -> str:
    """Credit times trace of one step, docs/theory.md (4) and (10)."""
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
    return _tidy(pathway)


def _output(rule: LearningRule | None) -> Equations:
    pathway = Equations("synaptic_post = w*r_pre : 1 (summed)\nw : 1")
    if rule is not None:
        pathway = pathway.add(
            "error_pre = w*error_post : Hz (summed)\neta : 1 (shared, constant)", learn="w -= eta*error_post*dt*r_pre"
        )
    return _tidy(pathway)


def _headline(name: str) -> str:
    """A name, and from where to where a pathway leads."""
    return f"{name}: {' → '.join(PATHWAYS[name])}" if name in PATHWAYS else name


def _aligned(model: str) -> str:
    """Equations with their comments below one another."""
    lines = [line.partition("#") for line in model.splitlines()]
    width = max((len(code.rstrip()) for code, mark, _ in lines if mark), default=0)
    return "\n".join(f"{code.rstrip():{width}}  # {said.strip()}" if mark else code for code, mark, said in lines)


def _lines(*texts: str) -> str:
    return "\n".join(line.strip() for text in texts for line in text.splitlines() if line.strip())


def _tidy(one: Equations) -> Equations:
    return one.add()
