"""Descriptions of experiments, from which they can be compared, shown and built again."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from neuro_bpl import circuit
from neuro_bpl.circuit import cells, predictors
from neuro_bpl.experiments.experiment import Experiment
from neuro_bpl.learning import credit, optimizers, predictor_traces, traces
from neuro_bpl.parameters import flatten, to_dict
from neuro_bpl.refusals import refusal
from neuro_bpl.runs.fingerprints import fingerprint

# Folders whose classes a stored run may name.
FACES = (circuit, cells, predictors, credit, traces, predictor_traces, optimizers)


def known() -> dict[str, type]:
    """Return the classes that circuits, rules and optimisers are made of, by name: dataclasses that folders offer."""
    offered = [getattr(face, name) for face in FACES for name in face.__all__]
    classes = {one.__name__: one for one in offered if isinstance(one, type) and dataclasses.is_dataclass(one)}
    # A transformation of Optax is code, which no description holds.
    return {name: one for name, one in classes.items() if one is not optimizers.OptaxOptimizer}


def describe(experiment: Experiment) -> dict[str, Any]:
    """Describe an experiment in plain dictionaries for JSON; data and given weights appear as fingerprints."""
    parts = {spec.name: getattr(experiment, spec.name) for spec in dataclasses.fields(experiment)}
    task, weights = parts.pop("task"), parts.pop("weights")
    return {
        **{name: to_dict(part) for name, part in parts.items()},
        "task": {"name": type(task).__name__, **{name: value for name, (value, _) in flatten(task).items()}},
        "task_data": fingerprint(task),
        "start": "drawn" if weights is None else fingerprint(weights),
    }


def rebuild(description: Any, types: Sequence[type] = ()) -> Any:
    """Build the object that `to_dict` described.

    Parameters
    ----------
    description : dict
        A description, its class under `"type"`.
    types : sequence of type, optional
        Classes of your own that it may name.

    Raises
    ------
    ValueError
        If it names a class that is neither neuro_bpl's nor in `types`, or values that the class refuses.
    """
    if isinstance(description, list):
        return tuple(rebuild(value, types) for value in description)
    if not isinstance(description, Mapping):
        return description
    values = {key: rebuild(value, types) for key, value in description.items() if key != "type"}
    if "type" not in description:
        return values
    classes = known() | {own.__name__: own for own in types}
    name = description["type"]
    if name not in classes:
        raise refusal(
            "type",
            name,
            ", ".join(classes),
            "a run names its classes, and this one is not part of neuro_bpl",
            f"load(run, types=[{name}]) with the class imported",
        )
    return classes[name](**values)
