"""Provenance: what was run, described so that it can be compared, shown and built again."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from neuro_bpl.circuit import circuit, feedback_pathway, olivary_pathway, readout, regularization
from neuro_bpl.circuit import initial_state as initial
from neuro_bpl.circuit.cells import gru, lstm, rate
from neuro_bpl.circuit.predictors import deep, granular, linear, projected
from neuro_bpl.experiments.experiment import Experiment
from neuro_bpl.learning import credit, optimizers, predictor_traces, traces
from neuro_bpl.parameters import flatten, to_dict
from neuro_bpl.refusals import refusal
from neuro_bpl.runs.fingerprints import fingerprint

KNOWN: dict[str, type] = {
    known.__name__: known
    for known in (
        circuit.Circuit,
        rate.RateCortex,
        lstm.LSTMCortex,
        gru.GRUCortex,
        readout.LinearReadout,
        linear.LinearPredictor,
        granular.GranularPredictor,
        deep.DeepPredictor,
        projected.ProjectedPredictor,
        initial.InitialState,
        feedback_pathway.FeedbackPathway,
        olivary_pathway.OlivaryPathway,
        regularization.Regularization,
        optimizers.Optimizers,
        optimizers.Optimizer,
        traces.Immediate,
        traces.Leaky,
        traces.Diagonal,
        traces.Full,
        traces.RankOne,
        traces.Kronecker,
        traces.Perturbed,
        predictor_traces.FullTrace,
        predictor_traces.HistorySweep,
        predictor_traces.LowRankTrace,
        predictor_traces.ProjectedTrace,
        predictor_traces.DiagonalTrace,
        predictor_traces.LeakTrace,
        credit.ImmediateError,
        credit.Exact,
        credit.Predicted,
        credit.Feedback,
        credit.NoError,
        credit.RandomError,
        credit.Reward,
    )
}


def describe(experiment: Experiment) -> dict[str, Any]:
    """An experiment in plain dictionaries, ready for JSON; data and given weights appear as fingerprints."""
    parts = {spec.name: getattr(experiment, spec.name) for spec in dataclasses.fields(experiment)}
    task, weights = parts.pop("task"), parts.pop("weights")
    return {
        **{name: to_dict(part) for name, part in parts.items()},
        "task": {"name": type(task).__name__, **{name: value for name, (value, _) in flatten(task).items()}},
        "task_data": fingerprint(task),
        "start": "drawn" if weights is None else fingerprint(weights),
    }


def rebuild(description: Any, types: Sequence[type] = ()) -> Any:
    """The object that `to_dict` described.

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
    known = {**KNOWN, **{own.__name__: own for own in types}}
    name = description["type"]
    if name not in known:
        raise refusal(
            "type",
            name,
            ", ".join(known),
            "a run names its classes, and this one is not part of neuro_bpl",
            f"load(run, types=[{name}]) with the class imported",
        )
    return known[name](**values)
