"""What a run records, by name, with dims, units and cadence.

Quantities of learning are recorded at every update. Quantities of the circuit are computed on the task's fixed probe
batch, with weights held (`probe`): at every evaluation, or (large ones) at every snapshot. Where the task is a
curriculum, measures of gradients are taken on trials of each network's own level instead.
"""

from collections.abc import Iterable

from jaxtyping import Array

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.experiments import probe as probing
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import nearest, refusal
from neuro_bpl.runs.quantities import ALWAYS, QUANTITIES
from neuro_bpl.trials import Trials

LOSS_UNITS = {"squared_error": "squared output", "softmax_cross_entropy": "nat", "sigmoid_cross_entropy": "nat"}


def units(name: str, circuit: Circuit) -> str:
    """Return the unit of a quantity in a circuit; the unit of the loss is "nat" for cross-entropies."""
    return QUANTITIES[name].units.format(loss=LOSS_UNITS[circuit.readout.loss])


def check_names(names: Iterable[str], circuit: Circuit, rule: LearningRule) -> tuple[str, ...]:
    """Return the requested names and those that are always recorded, in the order of the list.

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
    """Return what to type instead of a quantity that a rule does not have."""
    if name == "difficulty":
        return "nothing: it is recorded wherever the task is a curriculum"
    if QUANTITIES[name].group == "comparison":
        return "compare=[rules] alone, which records all of a comparison"
    return 'record=["true_gradient"], or train with bp_lambda()'


def has(rule: LearningRule, name: str) -> bool:
    """Return whether a rule has what a quantity needs."""
    parts = (rule.credit, rule.trace)
    return all(any(getattr(part, needed, False) is not False for part in parts) for needed in QUANTITIES[name].needs)


def applicable(names: Iterable[str], rule: LearningRule) -> tuple[str, ...]:
    """Return the names that apply to a rule: one without a prediction has no quantities of a prediction."""
    _check_list(names)
    return tuple(name for name in names if not _is_of_prediction(name) or has(rule, name))


def _is_of_prediction(name: str) -> bool:
    """Return whether a name may be left out silently because the rule lacks what it needs.

    Unknown names, and those of comparisons, are refused by `check_names`.
    """
    return isinstance(name, str) and name in QUANTITIES and QUANTITIES[name].group != "comparison"


def _check_list(names: Iterable[str]) -> None:
    if not isinstance(names, (list, tuple)):
        raise refusal("record", names, "a list of names", "each name is a quantity to record", 'record=["rates"]')


def probed(names: Iterable[str], *cadences: str) -> tuple[str, ...]:
    """Return the names that are computed on the probe batch at these cadences."""
    return tuple(name for name in names if name in probing.COMPUTED and QUANTITIES[name].cadence in cadences)


def of_level(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that measure gradients: in a curriculum, on trials of each network's current level."""
    return tuple(name for name in names if QUANTITIES[name].group == "gradients")


def on_probe(
    circuit: Circuit, rule: LearningRule, weights: Weights, trials: Trials, batch_size: int, names: tuple[str, ...]
) -> dict[str, Array]:
    """Compute quantities of one network on the probe batch, with weights held fixed."""
    probe = probing.on(circuit, rule, weights, trials, batch_size)
    return {name: probing.COMPUTED[name](probe) for name in names}
