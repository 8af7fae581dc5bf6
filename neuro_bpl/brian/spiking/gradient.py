"""The future gradient of filtered spikes, with pseudo-derivatives, and how well a prediction points along it."""

import numpy as np

from neuro_bpl.brian.spiking.protocol import Loop


def pseudo_derivative(p: Loop, v: np.ndarray) -> np.ndarray:
    """Of a spike with respect to the membrane in front of it, in 1/mV, in a step."""
    return p.steepness * 1e-3 * p.dt * np.clip(1 - abs(v - p.v_threshold) / p.v_threshold, 0, 1) / p.v_threshold


def future_gradient(p: Loop, error: np.ndarray, slope: np.ndarray, recurrent: np.ndarray) -> np.ndarray:
    """Gₜ = ∂(later losses)/∂rₜ through the leak of r, and through recurrent synapses where there are any.

    Spikes have their pseudo-derivative; as in e-prop, the reset of the membrane by a spike is left out.

    Parameters
    ----------
    error, slope : (rule, evaluation, trial, time, unit)
        lₜ, and the pseudo-derivative in 1/mV.
    recurrent : (rule, evaluation, post, pre)
        Recurrent weights in mV.
    """
    found = np.zeros_like(error)
    of_membrane = np.zeros_like(error[..., 0, :])  # ∂(losses from step t+1 on)/∂vₜ₊₁
    for t in range(p.n_steps - 2, -1, -1):
        whole = error[..., t + 1, :] + found[..., t + 1, :]
        of_membrane = slope[..., t + 1, :] * whole + (1 - p.dt / p.tau_m) * of_membrane
        through = p.dt / p.tau_m * of_membrane @ recurrent
        found[..., t, :] = (1 - p.dt / p.tau_f) * whole + through
    return found


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of ĝ and a gradient over units and trials, of every step: (rule, evaluation, time); NaN where one is zero."""
    products = [(a * b).sum((-3, -1)) for a, b in ((one, other), (one, one), (other, other))]
    with np.errstate(invalid="ignore", divide="ignore"):
        return products[0] / np.sqrt(products[1] * products[2])
