"""Numbers of rule and optimisers that a sweep changes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from neuro_bpl.optimizers import Optimizers
from neuro_bpl.parameters import nearest, refusal
from neuro_bpl.rules import LearningRule

OF_CREDIT = ("lambda_", "discount", "kappa")
OF_OPTIMIZERS = {
    "learning_rate": "cortex",
    "readout_learning_rate": "readout",
    "predictor_learning_rate": "predictor",
}


def check_grid(values: Mapping[str, Sequence[float]], rule: LearningRule | None) -> dict[str, list]:
    """The grid; refuses names and values that are not possible (`ValueError`)."""
    allowed = [*OF_CREDIT, *OF_OPTIMIZERS] if rule is not None and rule.credit.predicting else list(OF_OPTIMIZERS)[:2]
    if rule is None:
        raise refusal(
            "rule", None, "a LearningRule", "a sweep changes its numbers", "BrianCircuit(circuit, weights, rule)"
        )
    for name, listed in values.items():
        if name not in allowed:
            why = "these are numbers of the rule and of its optimisers"
            raise refusal("values", name, ", ".join(allowed), why, f'{{"{nearest(str(name), allowed)}": [...]}}')
        if isinstance(listed, str) or not isinstance(listed, Sequence) or not listed:
            why = "the circuit runs once for each"
            raise refusal(f"values[{name!r}]", listed, "a list of numbers", why, f'{{"{name}": [0.0, 0.5]}}')
    return {name: list(listed) for name, listed in values.items()}


def changed(
    point: Mapping[str, Any], rule: LearningRule | None, optimizers: Optimizers
) -> tuple[LearningRule | None, Optimizers]:
    """Rule and optimisers with the numbers of one point."""
    if rule is None:
        return rule, optimizers
    credit = replace(rule.credit, **{name: value for name, value in point.items() if name in OF_CREDIT})  # type: ignore[type-var]
    rates = {
        part: replace(getattr(optimizers, part), learning_rate=point[name])
        for name, part in OF_OPTIMIZERS.items()
        if name in point
    }
    return replace(rule, credit=credit), replace(optimizers, **rates)
