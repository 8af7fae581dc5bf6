"""A cell, task, trace, credit, predictor, its trace and a quantity of one's own: no list knows them beforehand."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import SMALL, Recall, refused

import neuro_bpl as nb
from neuro_bpl import figures
from neuro_bpl.experiments import probe
from neuro_bpl.learning.predictor_traces.protocol import features, n_features, output_gradient
from neuro_bpl.learning.traces import elementwise
from neuro_bpl.runs.quantities import EVALUATION, QUANTITIES, Quantity


@dataclass(frozen=True)
class GatedCell:
    """hₜ = (1 − z) hₜ₋₁ + z tanh(u)."""

    n_inputs: int
    n_units: int

    n_gates = 2
    n_components = 1
    input_gates = recurrent_gates = (0, 1)

    def activate(self, u):
        to_gate, to_rate = jnp.split(u, 2)
        return jnp.concatenate([jax.nn.sigmoid(to_gate), jnp.tanh(to_rate)])

    def slopes(self, gates):
        z, a = gates
        return z * (1 - z), 1 - a * a

    def combine(self, s_tm1, gates):
        (h_tm1,), (z, a) = s_tm1, gates
        return ((1 - z) * h_tm1 + z * a,)


@jax.tree_util.register_static
@dataclass(frozen=True)
class FadingTrace:
    """A synapse keeps nine tenths of its trace, whatever the cell does."""

    label = "fading"
    paths = "own"

    def init(self, cortex, weights, n_trials, dtype, key):
        return elementwise.init(cortex, weights, n_trials, dtype)

    def step(self, cortex, weights, trace, now, credit):
        kept = jax.tree.map(lambda d: 0.9 * jnp.ones_like(d), elementwise.direct(cortex, now))
        trace = elementwise.advance(cortex, trace, now, kept)
        return trace, elementwise.share(weights, credit.error_t, trace)


@partial(jax.tree_util.register_dataclass, data_fields=("by",), meta_fields=())
@dataclass(frozen=True)
class HalvedPrediction:
    """BP(1), whose prediction counts half."""

    by: nb.Predicted = nb.Predicted(1.0, 1.0, 0.5)

    label = "halved prediction"
    predicting, window, scope = True, 1, "future"

    @property
    def decay(self):
        return self.by.decay

    def assign(self, circuit, weights, trial):
        return self.by.assign(circuit, weights, trial)

    def now(self, error_t, prediction_t):
        return self.by.now(error_t, prediction_t)


@dataclass(frozen=True)
class QuadraticPredictor:
    """Linear in the fibres and their squares."""

    reads_input: bool = False

    linear = True

    def init(self, key, n_fibres, n_state, dtype):
        return {"a_w": jnp.zeros((n_state, 2 * n_fibres), dtype), "b": jnp.zeros(n_state, dtype)}

    def features(self, theta, fibres):
        return jnp.concatenate([fibres, fibres**2])

    def predict(self, theta, fibres):
        ones = (1,) * (fibres.ndim - 1)
        return jnp.tensordot(theta["a_w"], self.features(theta, fibres), 1) + theta["b"].reshape(-1, *ones)

    def plastic(self, theta):
        return {"a_w": True, "b": True}

    def project(self, theta):
        return theta


@dataclass(frozen=True)
class LastFeatures:
    """A synapse remembers its input of one step."""

    label = "last features"

    def check(self, circuit):
        circuit.predictor()

    def init(self, circuit, weights, extent, key):
        return jnp.zeros((n_features(circuit, weights.cerebellum), extent.n_trials), weights.cortex.b.dtype)

    def share(self, circuit, weights, trace, error, rates):
        delta = error.delta / error.delta.shape[-1]
        return output_gradient(circuit.predictor(), weights.cerebellum, -delta @ trace.T)

    def advance(self, circuit, weights, trace, now, fibres_t, rates):
        return features(circuit, weights.cerebellum, fibres_t)


CIRCUIT = nb.Circuit(GatedCell(Recall.n_inputs, 4), nb.LinearReadout(Recall.n_outputs), QuadraticPredictor())
FADING = nb.LearningRule(FadingTrace(), nb.ImmediateError(), "backward")
HALVED = nb.LearningRule(nb.Immediate(), HalvedPrediction(), "backward", predictor_trace=LastFeatures())
TYPES = [GatedCell, QuadraticPredictor]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A stored run of both rules, which records a quantity of one's own."""
    output = tmp_path_factory.mktemp("own") / "run"
    with pytest.MonkeyPatch.context() as patch:
        quantity = Quantity("gradients", ("update",), "1", "mean firing rate", EVALUATION)
        patch.setitem(QUANTITIES, "mean_rate", quantity)
        patch.setitem(probe.COMPUTED, "mean_rate", lambda probe: probe.seen.trajectory.s_t[0].mean())
        asked = {"n_updates": 4, "record": ["mean_rate", "weight_alignment"], "output": output, **SMALL}
        nb.sweep(CIRCUIT, Recall(), FADING, {"rule": [FADING, HALVED]}, **asked)
    return output


def test_they_are_trained_stored_and_loaded_by_their_labels(path):
    run = nb.open_run(path)
    assert run["training"]["rule"].values.tolist() == [
        "immediate error fading",
        "halved prediction backward, last features",
    ]
    assert {point["status"] for point in nb.statuses(run)} == {"complete"}
    for rule in (FADING, HALVED):
        circuit, weights = nb.load(run, at={"rule": rule.name}, types=TYPES)
        assert circuit == CIRCUIT
        born = nb.load(run, at={"rule": rule.name}, snapshot=0, types=TYPES).weights
        assert (weights.cortex.w_rec != born.cortex.w_rec).all()
        assert (weights.cerebellum["a_w"] != 0).any() == (rule == HALVED)
    with refused("GatedCell", "types="):
        nb.load(run, at={"rule": FADING.name})


def test_the_quantity_is_recorded_at_every_evaluation(path):
    values = nb.open_run(path)["gradients"]["mean_rate"]
    assert values.sizes == {"rule": 2, "seed": 2, "update": 2}
    circuit, weights = nb.load(path, at={"rule": FADING.name}, seed=1, types=TYPES)
    with jax.enable_x64(False):
        rates = circuit.run(weights, Recall().probe())[0].s_t[0]
    np.testing.assert_allclose(values.isel(rule=0, seed=1, update=-1), rates.mean(), rtol=1e-5)


@pytest.mark.parametrize("rule", [FADING, HALVED], ids=lambda rule: rule.name)
def test_their_cost_is_known(rule):
    small, large = (nb.cost(CIRCUIT, rule, n_steps=4, batch_size=n, seeds=1) for n in (3, 30))
    assert 0 < small.multiply_adds < large.multiply_adds
    assert 0 < small.memory < large.memory


def test_they_are_drawn_with_a_colour_of_their_own(path):
    loss = nb.open_run(path)["training"]["loss"]
    _, (axes,) = figures.panels(3, 2)
    for rule in loss["rule"].values:
        figures.line_with_spread(axes, loss.sel(rule=rule), "update", str(rule))
    assert [line.get_label() for line in axes.lines] == loss["rule"].values.tolist()
    looks = [figures.look(str(rule)) for rule in loss["rule"].values]
    assert looks[0] != looks[1]
    assert looks[0] == figures.look(FADING.name)
