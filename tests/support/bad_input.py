"""Arguments that make no sense, and what says whether one does: the material of test_bad_input.py."""

import math
import numbers
from collections import namedtuple
from functools import partial
from pathlib import Path

import jax
import numpy as np
from tiny import BP1, CIRCUIT, CORTEX, READOUT, Recall

import neuro_bpl as nb
from neuro_bpl.circuit.nonlinearities import NONLINEARITIES
from neuro_bpl.circuit.readout import LOSSES
from neuro_bpl.learning import credit, optimizers, predictor_traces, traces
from neuro_bpl.learning.td_error import ROUTES
from neuro_bpl.runs.quantities import QUANTITIES

# Junk of every kind: numbers that are too small, too large or not numbers, wrong types, nearly right names.
JUNK = [None, True, False, -1, 0, 1, 3, 10**30, -0.5, 0.5, 1.5, math.nan, math.inf, -math.inf, 1j]
JUNK += ["", "x", "3", "tanh ", "adma", "float16", "lambda", b"adam", [], [1], ["loss"], ["los"], [None], (), (0, 1)]
JUNK += [{}, {"b1": 0.5}, {"b1": "x"}, {"beta": 1}, {1}, len, nb.Optimizer, Path("/")]
JUNK += [np.float32("nan"), np.int64(-3), np.array([1.0, 2.0]), np.zeros(0)]
JUNK += ["random ", "steps", nb.bptt, [nb.bptt], [nb.bptt(), nb.bptt()], [nb.rtrl(update="step")], [nb.rflo()]]
JUNK += [nb.bptt(), CIRCUIT, Recall(), nb.Optimizers(), nb.Optimizer(), CORTEX, READOUT, nb.Immediate()]


def is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(low, high=math.inf):
    return lambda value: is_real(value) and isinstance(value, numbers.Integral) and low <= value <= high


def is_within(low, high=math.inf):
    return lambda value: is_real(value) and low <= value <= high


def is_above(low):
    return lambda value: is_real(value) and value > low


def is_one_of(names):
    return lambda value: isinstance(value, str) and value in names


def is_a(*types):
    return lambda value: isinstance(value, types)


def is_tuple_of(inner):
    return lambda value: isinstance(value, tuple) and all(map(inner, value))


def is_flag(value):
    return isinstance(value, bool)


def or_none(inner):
    return lambda value: value is None or inner(value)


def is_record(value):
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) and name in QUANTITIES for name in value)


def is_options(value):
    return isinstance(value, dict) and all(
        isinstance(key, str) and key in ("b1", "b2", "eps") and is_real(number) for key, number in value.items()
    )


def is_seed_tuple(value):
    return isinstance(value, tuple) and value and all(is_whole(0, 2**31)(seed) for seed in value)


def is_watch(value):
    """Rules that may watch one with a prediction, in a circuit without a feedback pathway."""
    good = isinstance(value, (list, tuple)) and all(isinstance(rule, nb.LearningRule) for rule in value)
    names = [rule.name for rule in value] if good else []
    return good and len(set(names)) == len(names) and not any(r.update == "step" or r.reads_feedback for r in value)


def is_grid(value):
    return False


Call = namedtuple("Call", "make given allowed")

TRAIN = {"n_updates": 1, "batch_size": 3, "seeds": 1, "n_evaluations": 1, "progress": False}


def train(circuit=CIRCUIT, task=None, rule=BP1, **arguments):
    return nb.train(circuit, Recall() if task is None else task, rule, **{**TRAIN, **arguments})


def sweep(circuit=CIRCUIT, task=None, rule=BP1, grid=None, **arguments):
    return nb.sweep(
        circuit,
        Recall() if task is None else task,
        rule,
        {"lambda_": [0.5]} if grid is None else grid,
        **{**TRAIN, **arguments},
    )


SCHEDULE = {
    "n_updates": is_whole(1, 10),
    "batch_size": is_whole(1, 100),
    "n_evaluations": is_whole(1),
    "n_snapshots": is_whole(1),
    "seeds": is_whole(1, 100),
    "precision": is_one_of(("float32", "float64")),
    "record": is_record,
    "compare": is_watch,
    "compare_draws": is_whole(1, 100_000),
    "optimizers": or_none(is_a(nb.Optimizers)),
    "weights": or_none(is_a(nb.Weights)),
    "circuit": is_a(nb.Circuit),
    "rule": is_a(nb.LearningRule),
    "task": lambda value: value is None or isinstance(value, Recall),
    "output": or_none(is_a(str, Path)),
    "resume": is_flag,
    "overwrite": is_flag,
}
SHARED = {"workers": is_whole(1, 1), "scheduler": is_one_of(("",))}  # Others need a stored sweep.
WHEN = {"update": is_one_of(("trial", "step"))}
BY_FEEDBACK = {"feedback": is_one_of(("symmetric", "random", "learned")), **WHEN}
is_optimizer = or_none(is_a(nb.Optimizer, nb.OptaxOptimizer))

CALLS = {
    "train": Call(train, {}, SCHEDULE),
    "sweep": Call(sweep, {}, {**SCHEDULE, "grid": or_none(is_grid), "at_once": or_none(is_whole(1)), **SHARED}),
    "RateCortex": Call(
        nb.RateCortex,
        {"n_inputs": 2, "n_units": 3},
        {
            "n_inputs": is_whole(1),
            "n_units": is_whole(1),
            "nonlinearity": is_one_of(NONLINEARITIES),
            "tau": is_within(0.02),
            "dt": lambda v: is_above(0)(v) and v <= 0.02,
        },
    ),
    "LSTMCortex": Call(nb.LSTMCortex, {"n_inputs": 2, "n_units": 3}, {"n_inputs": is_whole(1), "n_units": is_whole(1)}),
    "GRUCortex": Call(nb.GRUCortex, {"n_inputs": 2, "n_units": 3}, {"n_inputs": is_whole(1), "n_units": is_whole(1)}),
    "LinearReadout": Call(nb.LinearReadout, {"n_outputs": 2}, {"n_outputs": is_whole(1), "loss": is_one_of(LOSSES)}),
    "GranularPredictor": Call(
        nb.GranularPredictor,
        {"n_granule": 4},
        {
            "n_granule": is_whole(1),
            "fan_in": or_none(is_whole(1)),
            "plasticity": is_one_of(("output", "all")),
            "reads_input": is_flag,
        },
    ),
    "LinearPredictor": Call(nb.LinearPredictor, {}, {"reads_input": is_flag}),
    "DeepPredictor": Call(
        nb.DeepPredictor,
        {"hidden": (4, 2)},
        {
            "hidden": is_tuple_of(is_whole(1)),
            "nonlinearity": is_one_of(NONLINEARITIES),
            "plasticity": is_one_of(("output", "all")),
            "reads_input": is_flag,
        },
    ),
    "InitialState": Call(nb.InitialState, {}, {"mean": is_real, "sd": is_within(0), "learned": is_flag}),
    "Regularization": Call(nb.Regularization, {}, {"rates": is_within(0), "weights": is_within(0)}),
    "Circuit": Call(
        nb.Circuit,
        {"cortex": CORTEX, "readout": READOUT},
        {
            "cortex": is_a(nb.RateCortex, nb.LSTMCortex),
            "readout": is_a(nb.LinearReadout),
            "cerebellum": or_none(is_a(nb.LinearPredictor, nb.GranularPredictor)),
            "regularization": is_a(nb.Regularization),
            "initial_state": is_a(nb.InitialState),
            "feedback": or_none(is_a(nb.FeedbackPathway)),
            "olive": or_none(is_a(nb.OlivaryPathway)),
        },
    ),
    "FeedbackPathway": Call(nb.FeedbackPathway, {}, {"scale": is_within(0)}),
    "OlivaryPathway": Call(nb.OlivaryPathway, {}, {"scale": is_within(0)}),
    "ProjectedPredictor": Call(
        nb.ProjectedPredictor,
        {"predictor": nb.LinearPredictor(), "n_dimensions": 2},
        {
            "predictor": is_a(nb.LinearPredictor, nb.GranularPredictor, nb.DeepPredictor),
            "n_dimensions": is_whole(1),
            "basis": is_one_of(("random", "pca", "learned")),
        },
    ),
    "HistorySweep": Call(nb.HistorySweep, {}, {"horizon": or_none(is_whole(1)), "tolerance": is_within(0, 1)}),
    "LowRankTrace": Call(predictor_traces.LowRankTrace, {}, {"rank": is_whole(1)}),
    "Optimizer": Call(
        nb.Optimizer,
        {},
        {
            "name": is_one_of(optimizers.NAMES),
            "learning_rate": is_within(0),
            "options": is_options,
            "clip_norm": or_none(is_above(0)),
        },
    ),
    "Optimizers": Call(nb.Optimizers, {}, dict.fromkeys(("cortex", "readout", "predictor"), is_optimizer)),
    "OptaxOptimizer": Call(nb.OptaxOptimizer, {}, {"transformation": lambda _: False}),
    "Seeds": Call(
        nb.Seeds,
        {"weights": (0, 1), "data": (0, 1), "noise": (0, 1)},
        dict.fromkeys(("weights", "data", "noise"), lambda v: is_seed_tuple(v) and len(v) == 2),
    ),
    "Seeds.count": Call(nb.Seeds.count, {"n": 2}, {"n": is_whole(1, 10**6)}),
    "bp_lambda": Call(
        nb.bp_lambda,
        {},
        {
            "lambda_": is_within(0, 1),
            "discount": is_within(0, 1),
            "kappa": is_within(0),
            "trace": or_none(is_a(nb.Immediate, nb.Leaky)),
            "view": is_one_of(("forward", "backward")),
            "update": is_one_of(("trial",)),
            "predictor_trace": lambda v: v is None,
            "td_error": is_one_of(("exact",)),
        },
    ),
    "bp_lambda as the trial runs": Call(
        partial(nb.bp_lambda, view="backward", update="step"),
        {},
        {"predictor_trace": or_none(is_a(nb.HistorySweep)), "td_error": is_one_of(ROUTES)},
    ),
    "dni": Call(nb.dni, {}, {"window": is_whole(1), "discount": is_within(0, 1), "kappa": is_within(0)}),
    "tbptt": Call(nb.tbptt, {"window": 1}, {"window": or_none(is_whole(1))}),
    "rtrl": Call(nb.rtrl, {}, WHEN),
    "snap": Call(nb.snap, {}, {"order": is_whole(1), **WHEN}),
    "uoro": Call(nb.uoro, {}, WHEN),
    "kf_rtrl": Call(nb.kf_rtrl, {}, WHEN),
    "eprop": Call(nb.eprop, {}, BY_FEEDBACK),
    "rflo": Call(nb.rflo, {}, BY_FEEDBACK),
    "feedback_alignment": Call(nb.feedback_alignment, {}, BY_FEEDBACK),
    "node_perturbation": Call(nb.node_perturbation, {}, {"sd": is_above(0), **WHEN}),
    "output_only": Call(nb.output_only, {}, WHEN),
    "random_gradient": Call(nb.random_gradient, {}, WHEN),
    "Full": Call(traces.Full, {}, {"reach": or_none(is_whole(2))}),
    "Perturbed": Call(traces.Perturbed, {}, {"sd": is_above(0)}),
    "Feedback": Call(credit.Feedback, {}, {"learned": is_flag}),
    "LearningRule": Call(
        nb.LearningRule,
        {"trace": nb.Immediate(), "credit": nb.Exact()},
        {
            "trace": is_a(traces.Immediate, traces.Leaky),
            "credit": is_a(nb.Exact, nb.Predicted, nb.ImmediateError),
            "view": is_one_of(("forward",)),
            "update": is_one_of(("trial",)),
            "predictor_trace": lambda v: v is None,
            "td_error": is_one_of(("exact",)),
        },
    ),
    "TargetReaching": Call(
        nb.tasks.TargetReaching,
        {"n_steps": 4, "n_cues": 2, "n_inputs": 2},
        {
            "n_steps": is_whole(1),
            "n_cues": is_whole(1, 3),
            "n_inputs": is_whole(2),
            "cues": or_none(lambda _: False),
            "trajectory": is_one_of(("end", "whole")),
            "noise": is_within(0),
            "cue_seed": is_whole(0),
        },
    ),
    "Stream": Call(
        nb.tasks.Stream,
        {"task": Recall()},
        {"task": is_a(Recall), "label_probability": is_within(0, 1), "n_in_a_row": is_whole(1)},
    ),
    "SequentialDigits.load": Call(
        nb.tasks.SequentialDigits.load,
        {},
        {
            "dataset": is_one_of(("digits",)),
            "order": is_one_of(("rows", "pixels", "permuted")),
            "noise": is_within(0),
            "n_probe": is_whole(1),
            "pad": is_whole(0, 256),
            "permutation": is_whole(0, 2**32 - 1),
            "n_held_out": is_whole(0, 360),
            "download": lambda v: v is False,
            "data_dir": lambda v: v is None or isinstance(v, (str, Path)),
        },
    ),
    "evaluate": Call(
        nb.evaluate,
        {"circuit": CIRCUIT, "weights": CIRCUIT.init(jax.random.key(0)), "task": nb.tasks.TargetReaching(4, 2, 2)},
        {
            "circuit": lambda v: v == CIRCUIT if isinstance(v, nb.Circuit) else False,
            "weights": lambda _: False,
            "task": lambda v: isinstance(v, Recall),
            "split": is_one_of(("test", "validation")),
        },
    ),
    "load": Call(nb.load, {"run": None}, {"run": lambda _: False}),
    "open_run": Call(nb.open_run, {"path": None}, {"path": lambda _: False}),
    "export_netcdf": Call(nb.export_netcdf, {"run": None, "path": "x.nc"}, {"run": lambda _: False}),
}


def refusal_of(name, argument, value):
    """What a call with one bad argument does: "" where it is refused as it should be, else what happened instead."""
    call = CALLS[name]
    try:
        call.make(**{**call.given, argument: value})
    except (ValueError, FileExistsError, FileNotFoundError, OSError) as error:
        if "Type: " in str(error) and ("Allowed: " in str(error) or not isinstance(error, ValueError)):
            return ""
        return f"{type(error).__name__} without a way out: {str(error)[:80]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:80]!r}"
    return "accepted"
