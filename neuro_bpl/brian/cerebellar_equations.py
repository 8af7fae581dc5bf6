"""Equations of the cerebellum: granule cells, parallel fibres, nuclei, and the olive that teaches them."""

from neuro_bpl.brian.script import Equations, written
from neuro_bpl.learning.predictor_traces import DiagonalTrace
from neuro_bpl.learning.rule import LearningRule

FIBRES = {  # one for each cortical unit
    "nucleocortical": "prediction_post = prediction_pre : 1 (summed)",
    "corticoolivary": "heard_post = (1 - dt/tau_pre)*told_pre + told_back_pre : 1 (summed)",
    "nucleoolivary": "expected_post = prediction_before_pre : 1 (summed)",
    "climbing": "climbing_fibre_post = td_error_pre : Hz (summed)",
}
CORTICONUCLEAR = "own_post = 1 - dt/tau_pre + dt/tau_pre*slope_pre*autapse_pre : 1 (summed)"


def equations(rule: LearningRule) -> dict[str, Equations]:
    """Return all populations and pathways of the cerebellum, by name."""
    # Euler steps of the trace: e ← keep·e + dt·source, and keep = γλ (1 − dt/τ) is written as 1 − dt/tau_e.
    diagonal = isinstance(rule.predictor_trace, DiagonalTrace)
    made = {
        "granule": granule(),
        "nuclei": nuclei(diagonal),
        "olive": olive(),
        "mossy": written("mossy_post = w*r_pre : 1 (summed)\nw : 1 (constant)"),
        "parallel": parallel(diagonal),
    }
    made |= {name: written(text) for name, text in FIBRES.items()}
    return made | ({"corticonuclear": written(CORTICONUCLEAR)} if diagonal else {})


def granule() -> Equations:
    """Granule cells."""
    return written(
        """
        rate = drive*int(drive > 0) : 1
        drive = mossy + bias : 1
        mossy : 1                                 # from the mossy fibres
        bias : 1 (constant)
        rate_before : 1                           # one step ago
        """,
        remember="rate_before = rate",
    )


def nuclei(diagonal: bool) -> Equations:
    """Nuclei with their Purkinje cells, one for each cortical unit; they learn their biases."""
    lost = "(1 - decay_bias*own)*eligibility_bias/dt" if diagonal else "eligibility_bias/tau_e_bias"
    made = written(
        f"""
        prediction = (purkinje + bias)*has_future(t - began) : 1
        purkinje : 1                              # from the parallel fibres, by way of Purkinje cells
        bias : 1
        prediction_before = purkinje_before + bias : 1
        purkinje_before : 1                       # what present weights make of the step before
        climbing_fibre : Hz                       # from the olive
        deligibility_bias/dt = 1 - {lost} : second
        began : second (shared)
        alpha_bias : Hz (shared, constant)        # learning rate, by unit of time
        {memory(diagonal, "_bias")}
        """,
        reset="eligibility_bias = 0*second",
        learn="bias += alpha_bias*climbing_fibre*eligibility_bias*dt",
    )
    return made.add("own : 1  # what the unit keeps of its rate by itself") if diagonal else made


def olive() -> Equations:
    """Return the olive, one neuron for each cortical unit."""
    return written(
        """
        td_error = is_running(t - began)*(heard - expected)/dt : Hz
        heard : 1                                 # of this step, from the cortex
        expected : 1                              # of the step before, from the nuclei
        began : second (shared)
        """
    )


def parallel(diagonal: bool) -> Equations:
    """Parallel fibres onto Purkinje cells, which learn from climbing fibres."""
    lost = "(1 - decay*own_post)*eligibility/dt" if diagonal else "eligibility/tau_e"
    return written(
        f"""
        purkinje_post = w*rate_pre : 1 (summed)
        purkinje_before_post = w*rate_before_pre : 1 (summed)
        w : 1
        deligibility/dt = rate_pre - {lost} : second (clock-driven)
        alpha : Hz (shared, constant)
        {memory(diagonal, "")}
        """,
        reset="eligibility = 0*second",
        learn="w += alpha*climbing_fibre_post*eligibility*dt",
    )


def memory(diagonal: bool, of: str) -> str:
    """Return the constant that says how long a trace lasts."""
    return f"decay{of} : 1 (shared, constant)" if diagonal else f"tau_e{of} : second (shared, constant)"
