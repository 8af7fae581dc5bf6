"""What a run records, by name, with dims, units and cadence.

Quantities of learning are recorded at every update. Quantities of the circuit are computed on the task's fixed probe
batch, with weights held (`probing`): at every evaluation, or (large ones) at every snapshot. Where the task is a
curriculum, measures of gradients are taken on trials of each network's own level instead.
"""

from collections.abc import Iterable
from typing import NamedTuple

from jaxtyping import Array

from neuro_bpl import probing
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.parameters import nearest, refusal
from neuro_bpl.rules import LearningRule
from neuro_bpl.trials import Trials

UPDATE, EVALUATION, SNAPSHOT = "every update", "every evaluation", "every snapshot"


class Quantity(NamedTuple):
    """A recordable quantity.

    Its group in the run, its dims beside `seed`, unit (`{loss}` stands for the unit of the loss), name in words and
    cadence; and what it needs of the rule's credit or trace.
    """

    group: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    cadence: str
    needs: tuple[str, ...] = ()


def _compared(long_name: str, units: str = "1", dims: tuple[str, ...] = ("observed", "weight_group")) -> Quantity:
    return Quantity("comparison", ("update", *dims), units, long_name, UPDATE, needs=("compare",))


QUANTITIES: dict[str, Quantity] = {
    "loss": Quantity("training", ("update",), "{loss}", "loss, mean over trials", UPDATE),
    "accuracy": Quantity("training", ("update",), "1", "fraction of targets answered right", UPDATE),
    "weight_change": Quantity("training", ("update", "part"), "1", "length of the change of all weights", UPDATE),
    "difficulty": Quantity(
        "training",
        ("update",),
        "1",
        "difficulty of the trials: what the curriculum says of its level, such as their steps",
        UPDATE,
        needs=("curriculum",),
    ),
    "gradient_alignment": Quantity(
        "gradients",
        ("update", "time"),
        "1",
        "cosine of the predicted with the true future gradient, mean over probe trials",
        EVALUATION,
        ("predicting",),
    ),
    "td_error_size": Quantity(
        "gradients",
        ("update", "time"),
        "{loss} per unit of state",
        "length of the TD error, root mean square over probe trials",
        EVALUATION,
        ("predicting", "discount"),
    ),
    "weight_alignment": Quantity(
        "gradients",
        ("update",),
        "1",
        "cosine of the rule's gradient of the cortical weights with BPTT's, on the probe batch",
        EVALUATION,
    ),
    "update_alignment": Quantity(
        "gradients",
        ("update",),
        "1",
        "cosine of the update of the predictor with that towards the true future gradient, on the probe batch",
        EVALUATION,
        ("predicting",),
    ),
    "update_bias": Quantity(
        "gradients",
        ("update",),
        "1",
        "squared bias of the update of the predictor, relative to that towards the true future gradient, squared",
        EVALUATION,
        ("predicting",),
    ),
    "update_variance": Quantity(
        "gradients",
        ("update",),
        "1",
        "variance of the update of the predictor over probe trials and draws, relative as its bias is",
        EVALUATION,
        ("predicting",),
    ),
    "rates": Quantity(
        "activity",
        ("snapshot", "trial", "time", "unit"),
        "1",
        "cortical firing rate",
        SNAPSHOT,
    ),
    "cortical_state": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "1",
        "cortical state, rates first",
        SNAPSHOT,
    ),
    "outputs": Quantity("activity", ("snapshot", "trial", "time", "output"), "1", "readout", SNAPSHOT),
    "granule_rates": Quantity(
        "activity", ("snapshot", "trial", "time", "granule"), "1", "granule cell activity", SNAPSHOT
    ),
    "predicted_gradient": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "synthetic gradient: Purkinje and nuclear output, of the mean loss of a training batch",
        SNAPSHOT,
        ("predicting",),
    ),
    "true_gradient": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "true future gradient of the mean loss of a training batch",
        SNAPSHOT,
    ),
    "lambda_target": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "what the predictor learns from: the λ-target",
        SNAPSHOT,
        ("predicting",),
    ),
    "td_error": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "{loss} per unit of state",
        "TD error, carried by climbing fibres",
        SNAPSHOT,
        ("predicting", "discount"),
    ),
    "cortical_trace": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state", "gate", "presynaptic"),
        "1",
        "cortical eligibility trace of a unit's synapses from inputs, rates and bias",
        SNAPSHOT,
        ("eligibility",),
    ),
    "predictor_trace": Quantity(
        "activity",
        ("snapshot", "trial", "time", "state"),
        "1",
        "predictor's eligibility trace, length over all its weights",
        SNAPSHOT,
        ("predicting", "decay"),
    ),
    "cosine": _compared("cosine of the rule's gradient with BPTT's"),
    "relative_error": _compared("length of the difference from BPTT's gradient, relative to it"),
    "gradient_norm": _compared("length of the rule's gradient", "{loss} per unit of weight"),
    "bias_squared": _compared("squared bias over repeated draws, relative to BPTT's gradient squared"),
    "variance": _compared("variance over repeated draws, relative to BPTT's gradient squared"),
    "alignment": _compared(
        "cosine of one rule's gradient of all cortical weights with another's", dims=("observed", "with_rule")
    ),
    "weights": Quantity("weights", ("snapshot",), "1", "every weight under its own name", SNAPSHOT),
}
ALWAYS = ("loss", "accuracy", "weights")
LOSS_UNITS = {"squared_error": "squared output", "softmax_cross_entropy": "nat", "sigmoid_cross_entropy": "nat"}


def units(name: str, circuit: Circuit) -> str:
    """Unit of a quantity in a circuit: "nat" for cross-entropies."""
    return QUANTITIES[name].units.format(loss=LOSS_UNITS[circuit.readout.loss])


def check_names(names: Iterable[str], circuit: Circuit, rule: LearningRule) -> tuple[str, ...]:
    """The names asked for and those always recorded, in the order of the list.

    Raises
    ------
    ValueError
        If a name is unknown (it names the nearest one), or needs a predictor that circuit or rule lack.
    """
    _check_list(names)
    asked = set(ALWAYS)
    for name in names:
        if not isinstance(name, str) or name not in QUANTITIES:
            raise refusal(
                "record",
                name,
                ", ".join(QUANTITIES),
                "only what is listed has dims and units",
                f'record=["{nearest(str(name), list(QUANTITIES))}"]',
            )
        if not has(rule, name):
            raise refusal(
                "record",
                name,
                ", ".join(known for known in QUANTITIES if has(rule, known)),
                f"{rule.name} has none: it needs {' and '.join(QUANTITIES[name].needs)}",
                _instead(name),
            )
        if name == "granule_rates" and not hasattr(circuit.predictor(), "granule"):
            raise refusal(
                "record",
                name,
                "names of populations that the circuit has",
                f"{type(circuit.predictor()).__name__} has no granule cells",
                "Circuit(cortex, readout, GranularPredictor(n_granule=300))",
            )
        asked.add(name)
    return tuple(name for name in QUANTITIES if name in asked)


def _instead(name: str) -> str:
    """What to type for a quantity that a rule does not have."""
    if name == "difficulty":
        return "nothing: it is recorded wherever the task is a curriculum"
    if QUANTITIES[name].group == "comparison":
        return "compare=[rules] alone, which records all of a comparison"
    return 'record=["true_gradient"], or train with bp_lambda()'


def has(rule: LearningRule, name: str) -> bool:
    """Whether a rule has what a quantity needs."""
    parts = (rule.credit, rule.trace)
    return all(any(getattr(part, needed, False) is not False for part in parts) for needed in QUANTITIES[name].needs)


def applicable(names: Iterable[str], rule: LearningRule) -> tuple[str, ...]:
    """Those of the names that a rule has: without a prediction there is nothing to record of it."""
    _check_list(names)
    return tuple(name for name in names if not _is_of_prediction(name) or has(rule, name))


def _is_of_prediction(name: str) -> bool:
    """Whether a rule may lack it; what is unknown, or recorded by comparing, is for `check_names` to refuse."""
    return isinstance(name, str) and name in QUANTITIES and QUANTITIES[name].group != "comparison"


def _check_list(names: Iterable[str]) -> None:
    if not isinstance(names, (list, tuple)):
        raise refusal("record", names, "a list of names", "each name is a quantity to record", 'record=["rates"]')


def probed(names: Iterable[str], *cadences: str) -> tuple[str, ...]:
    """Those of the names that are computed on the probe batch, at these cadences."""
    return tuple(name for name in names if name in probing.COMPUTED and QUANTITIES[name].cadence in cadences)


def of_level(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that measure gradients: with a curriculum, on trials of the level that is being learnt."""
    return tuple(name for name in names if QUANTITIES[name].group == "gradients")


def on_probe(
    circuit: Circuit, rule: LearningRule, weights: Weights, trials: Trials, batch_size: int, names: tuple[str, ...]
) -> dict[str, Array]:
    """Quantities of one network on the probe batch, weights held."""
    probe = probing.on(circuit, rule, weights, trials, batch_size)
    return {name: probing.COMPUTED[name](probe) for name in names}
