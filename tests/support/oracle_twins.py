"""Cells and predictors of the package, each with its twin of the NumPy oracle."""

import oracle
from random_circuits import N_INPUTS, N_UNITS

import neuro_bpl as nb

CELLS = {
    "tanh, tau 2dt": (nb.RateCortex(N_INPUTS, N_UNITS, "tanh", tau=0.02, dt=0.01), oracle.Rate("tanh", 0.5)),
    "relu, tau dt": (nb.RateCortex(N_INPUTS, N_UNITS, "relu"), oracle.Rate("relu", 1.0)),
    "softplus, tau 4dt": (
        nb.RateCortex(N_INPUTS, N_UNITS, "softplus", tau=0.04, dt=0.01),
        oracle.Rate("softplus", 0.25),
    ),
    "sigmoid, tau dt": (nb.RateCortex(N_INPUTS, N_UNITS, "sigmoid"), oracle.Rate("sigmoid", 1.0)),
    "LSTM": (nb.LSTMCortex(N_INPUTS, N_UNITS), oracle.LSTM()),
    "GRU": (nb.GRUCortex(N_INPUTS, N_UNITS), oracle.GRU()),
}
PREDICTORS = {
    "linear": (nb.LinearPredictor(), oracle.Linear()),
    "granular": (nb.GranularPredictor(8, fan_in=3), oracle.Granular("output")),
    "granular all": (nb.GranularPredictor(8, fan_in=3, plasticity="all"), oracle.Granular("all")),
    "deep": (nb.DeepPredictor((4, 6), "tanh"), oracle.Deep("tanh")),
}
