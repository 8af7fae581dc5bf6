"""Small Brian2 circuits that learn, and trials for them."""

import logging

import brian2  # it sets the level of its log when it is imported
import jax
import jax.numpy as jnp
import pytest
from random_circuits import N_INPUTS, N_OUTPUTS, N_STEPS, N_UNITS, random_trials, random_weights

import neuro_bpl as nb
from neuro_bpl.brian import BrianCircuit
from neuro_bpl.learning.predictor_traces import LeakTrace
from neuro_bpl.learning.traces import Leaky

logging.getLogger(brian2.__name__).setLevel(logging.ERROR)  # pytest keeps all the code that it logs: twice the time

TAU, DT = 0.05, 0.01
N_TRIALS = 10
RECORD = ("rates", "outputs", "granule_rates", "predicted_gradient", "td_error")
needs_compiler = pytest.mark.skipif(
    not brian2.CythonCodeObject.is_available(), reason="no C++ compiler on this machine"
)


def sgd(cortex=0.05, readout=0.03, predictor=0.02):
    return nb.Optimizers(*(nb.Optimizer("sgd", rate) for rate in (cortex, readout, predictor)))


def make_circuit(nonlinearity="tanh", loss="squared_error", cerebellum=True, tau=TAU, dt=DT, **parts):
    cortex = nb.RateCortex(N_INPUTS, N_UNITS, nonlinearity, tau=tau, dt=dt)
    predictor = nb.GranularPredictor(12, fan_in=3) if cerebellum else None
    return nb.Circuit(cortex, nb.LinearReadout(N_OUTPUTS, loss), predictor, **parts)


def bp(lambda_=0.8, discount=0.9, kappa=0.7, trace=None, predictor_trace=None, td_error="exact"):
    return nb.bp_lambda(
        lambda_,
        discount,
        kappa,
        trace=Leaky() if trace is None else trace,
        view="backward",
        update="step",
        predictor_trace=LeakTrace() if predictor_trace is None else predictor_trace,
        td_error=td_error,
    )


def some_trials(kind="last", loss="squared_error", n_trials=N_TRIALS):
    few = [random_trials(kind, loss, seed) for seed in range(-(-n_trials // 3))]
    return part_of(jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *few), slice(n_trials))


def part_of(trials, which):
    return jax.tree.map(lambda leaf: leaf[which], trials)


def loop_of(circuit, rule=None, target="numpy", **options):
    options = {"optimizers": sgd(), "n_steps": N_STEPS, **options}
    return BrianCircuit(circuit, random_weights(circuit, 0), rule, target=target, **options)
