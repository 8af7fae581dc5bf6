"""The released implementation's numbers: 36 trial-wise updates, through both views."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_circuits import relative_error
from scripting import ROOT

import neuro_bpl as nb
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.circuit.predictors.granular import GranularWeights
from neuro_bpl.circuit.predictors.linear import LinearWeights
from neuro_bpl.circuit.readout import ReadoutWeights

FILE = ROOT / "data" / "reference" / "reference_bp_lambda.npz"
with np.load(FILE) as archive:
    NUMBERS = {name: archive[name] for name in archive.files}
CASES = sorted({name.split("/")[0] for name in NUMBERS})
VIEWS = ["forward", "backward"]
FEW = CASES[::12]


def number(case, name):
    return jnp.asarray(NUMBERS[f"{case}/{name}"])


@cache
def gradients_of(circuit):
    """One compiled function for all λ, γ and κ of a circuit."""
    return jax.jit(lambda rule, weights, trials: rule.gradients(circuit, weights, trials))


def rule_of(case, view):
    names = ("lambda", "discount", "synthetic_gradient_weight")
    return nb.bp_lambda(*(float(number(case, name)) for name in names), view=view)


def updates(case, rule):
    """Gradients of one case by the names of the file."""
    get = partial(number, case)
    nonlinearity, _, predictor, *_ = case.split("-")
    n_units, n_inputs = get("w_in").shape
    if predictor == "hidden":
        w_hidden = get("theta/w_hidden")
        cerebellum = nb.GranularPredictor(n_granule=len(w_hidden), fan_in=None)
        theta = GranularWeights(
            jnp.ones_like(w_hidden), w_hidden, get("theta/b_hidden"), get("theta/w"), get("theta/b")
        )
    else:
        cerebellum, theta = nb.LinearPredictor(), LinearWeights(get("theta/w"), get("theta/b"))
    circuit = nb.Circuit(
        nb.RateCortex(n_inputs, n_units, nonlinearity), nb.LinearReadout(len(get("b_out"))), cerebellum
    )
    weights = nb.Weights(
        CorticalWeights(get("w_in"), get("w_rec"), get("b_rec")), ReadoutWeights(get("w_out"), get("b_out")), theta
    )
    cortex, _, theta, *_ = gradients_of(circuit)(rule, weights, nb.Trials(get("inputs"), targets_of(case)))
    w_theta, b_theta = (theta.w_purkinje, theta.b_purkinje) if predictor == "hidden" else theta
    if predictor == "hidden":
        assert not theta.w_granule.any()
        assert not theta.b_granule.any()
    return {
        "grad/w_in": cortex.w_in,
        "grad/w_rec": cortex.w_rec,
        "grad/b_rec": cortex.b,
        "grad/theta/w": w_theta,
        "grad/theta/b": b_theta,
    }


def targets_of(case):
    targets = number(case, "targets")
    return targets if "-every-" in case else targets[:, None]


def test_the_file_holds_every_case():
    assert len(CASES) == 36


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.smoke) if case in FEW else case for case in CASES]
)
def test_equals_the_released_implementation(case, view):
    for name, got in updates(case, rule_of(case, view)).items():
        assert relative_error(got, number(case, name)) <= 1e-10, name


@pytest.mark.parametrize("case", CASES)
def test_reference_gradients_are_alive(case):
    for name in ("w_in", "w_rec", "b_rec", "theta/w", "theta/b"):
        assert jnp.abs(number(case, f"grad/{name}")).max() > 1e-6, name


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("case", CASES)
def test_a_wrong_lambda_is_noticed(case, view):
    right = rule_of(case, view).credit
    wrong = nb.bp_lambda(right.lambda_ * 0.98 + 0.01, right.discount, right.kappa, view=view)
    if right.lambda_ == 0.5:
        wrong = nb.bp_lambda(0.51, right.discount, right.kappa, view=view)
    got = updates(case, wrong)
    assert relative_error(got["grad/theta/w"], number(case, "grad/theta/w")) > 1e-6
    assert relative_error(got["grad/w_rec"], number(case, "grad/w_rec")) <= 1e-10, "λ does not reach the cortex"
