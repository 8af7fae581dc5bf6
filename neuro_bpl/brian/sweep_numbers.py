"""Numbers of rule and optimisers that a sweep changes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.refusals import nearest, refusal

OF_CREDIT = ("lambda_", "discount", "kappa")
OF_OPTIMIZERS = {
    "learning_rate": "cortex",
    "readout_learning_rate": "readout",
    "predictor_learning_rate": "predictor",
}


def check_grid(
    values: Mapping[str, Sequence[float]], rule: LearningRule | None, optimizers: Optimizers
) -> dict[str, list]:
    """Return the grid; refuses names and values that are not possible (`ValueError`)."""
    if rule is None:
        why = "a sweep changes numbers of the rule and of its optimisers"
        raise refusal("rule", None, "a LearningRule", why, "BrianCircuit(circuit, weights, rule)")
    example = '{"learning_rate": [0.01, 0.1]}'
    if not isinstance(values, Mapping) or not values:
        raise refusal("values", values, "names and lists of numbers", "it names the axes", example)
    allowed = _names(rule, optimizers)
    for name, listed in values.items():
        if name not in allowed:
            why = "these are numbers of this rule and of optimisers that are not None"
            close = nearest(str(name), allowed or [*OF_OPTIMIZERS])
            raise refusal("values", name, ", ".join(allowed), why, f'{{"{close}": [...]}}')
        numbers = isinstance(listed, (list, tuple)) and listed and all(map(_is_number, listed))
        if not numbers or len(set(listed)) < len(listed):
            why = "the circuit runs once for each, and they are the coordinates of an axis"
            raise refusal(f"values[{name!r}]", listed, "a list of different numbers", why, f'{{"{name}": [0.0, 0.5]}}')
    return {name: list(listed) for name, listed in values.items()}


def _names(rule: LearningRule, optimizers: Optimizers) -> list[str]:
    """Return what can be swept: numbers that this rule has, and learning rates of parts that are not held."""
    predicting = rule.credit.predicting
    rates = [
        name
        for name, part in OF_OPTIMIZERS.items()
        if getattr(optimizers, part) is not None and (predicting or part != "predictor")
    ]
    return [*(OF_CREDIT if predicting else ()), *rates]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def changed(point: Mapping[str, Any], rule: LearningRule, optimizers: Optimizers) -> tuple[LearningRule, Optimizers]:
    """Return rule and optimisers with the numbers of one point."""
    credit = replace(rule.credit, **{name: value for name, value in point.items() if name in OF_CREDIT})  # type: ignore[type-var]
    rates = {
        part: replace(getattr(optimizers, part), learning_rate=point[name])
        for name, part in OF_OPTIMIZERS.items()
        if name in point
    }
    return replace(rule, credit=credit), replace(optimizers, **rates)
