"""One batch learnt step by step, by the package and by NumPy loops: what tests of the predictor's traces share.

`of_package` compiles once for each circuit and kind of rule; `of_oracle` is `oracle.cell_step` and `oracle_predictor`.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import oracle_predictor as op
from random_circuits import N_INPUTS, N_OUTPUTS, N_STEPS, N_UNITS, random_trials, random_weights

import neuro_bpl as nb
from neuro_bpl.experiments.learner import Learner, learn_batch
from neuro_bpl.learning import random_draws
from neuro_bpl.learning.traces import rank_one

KEY = jax.random.key(3)
LAMBDA, DISCOUNT, KAPPA = 0.8, 0.9, 0.7
RATES = (0.05, 0.1, 0.15)
CELLS = {
    "rate": (nb.RateCortex(N_INPUTS, N_UNITS, tau=0.02, dt=0.01), oracle.Rate("tanh", 0.5)),
    "LSTM": (nb.LSTMCortex(N_INPUTS, N_UNITS), oracle.LSTM()),
}
PREDICTORS = {
    "linear": (nb.LinearPredictor(), oracle.Linear()),
    "linear of inputs": (nb.LinearPredictor(reads_input=True), oracle.Linear(reads_input=True)),
    "granular": (nb.GranularPredictor(8, fan_in=3), oracle.Granular("output")),
    "granular all": (nb.GranularPredictor(8, fan_in=3, plasticity="all"), oracle.Granular("all")),
    "deep": (nb.DeepPredictor((4,), "tanh"), oracle.Deep("tanh")),
}


def sgd(cortex, readout, predictor):
    """Plain gradient descent."""
    return nb.Optimizers(*(nb.Optimizer("sgd", rate) for rate in (cortex, readout, predictor)))


def rule(predictor_trace=None, td_error="exact", *, lambda_=LAMBDA, view="backward", update="step"):
    """BP(λ) with a trace of the predictor."""
    return nb.bp_lambda(
        lambda_, DISCOUNT, KAPPA, view=view, update=update, predictor_trace=predictor_trace, td_error=td_error
    )


@cache
def setting(cell, predictor, seed=5, **parts):
    """A circuit with an olive, and random weights."""
    predictor = PREDICTORS[predictor][0] if isinstance(predictor, str) else predictor
    readout = nb.LinearReadout(N_OUTPUTS)
    circuit = nb.Circuit(CELLS[cell][0], readout, predictor, olive=nb.OlivaryPathway(), **parts)
    return circuit, random_weights(circuit, seed)


@cache
def trials(unequal=True, seed=6, n_trials=None):
    """Trials with a target at every step, some shorter than others; or the longest ones alone."""
    drawn = random_trials("every step unequal" if unequal else "every step", "squared_error", seed, N_STEPS)
    return drawn if n_trials is None else jax.tree.map(lambda a: a[1 : 1 + n_trials], drawn)


@cache
def _compiled(circuit):
    def learn(rule, optimizers, weights, trials, key):
        newborn = Learner(weights, optimizers.transform(circuit, weights).init(weights), jnp.full((), -1))
        return learn_batch(circuit, rule, optimizers, newborn, trials, key)[0].weights

    def hold(rule, weights, trials, key):
        return rule.gradients(circuit, weights, trials, key)

    return jax.jit(learn), jax.jit(hold)


def of_package(circuit, rule, weights, batch, rates=RATES, key=KEY):
    """Weights after a batch, each step of which changes them."""
    return _compiled(circuit)[0](rule, sgd(*rates), weights, batch, key)


def held(circuit, rule, weights, batch, key=KEY):
    """Gradients with weights held."""
    return _compiled(circuit)[1](rule, weights, batch, key)


def distance(a, b):
    """Largest difference of two trees of weights, relative to the largest weight."""
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (a, b))
    return float(np.abs(a - b).max() / np.abs(b).max())


# ------------------------------------------------------------------------------------------------- the same in NumPy


class Reads(op.Arrays):
    """A predictor of `oracle` for `op.Learner`; phi = (s, x)."""

    @classmethod
    def of(cls, predictor, theta):
        """With theta's shapes; what does not learn has slopes of zero already."""
        return cls(
            tuple(np.shape(w) for w in theta),
            lambda arrays, phi: oracle.predict(predictor, arrays, *phi),
            lambda arrays, phi: oracle.predictor_slopes(predictor, arrays, *phi),
            (True,) * len(theta),
        )


class Held(op.Learner):
    """The sum of the shares, theta as at first."""

    total = 0.0

    def step(self, steps):
        first = self.theta
        super().step(steps)
        self.total, self.theta = self.total + self.theta - first, first


def olive_jacobian(step, olive):
    """J with B in the place of W_rec: D, and ds/du B on the rates; the last column of M is ds/du."""
    n = olive.shape[1]
    recurrent = step.M[:, :, -1] @ olive
    return step.D + np.pad(recurrent, ((0, 0), (0, len(step.s) - n)))


def of_oracle(cell, learner, weights, batch, rates=RATES, td_error="exact", features=lambda s, x: (s, x)):
    """Weights of cortex, readout and olive after a batch; those of the predictor are the learner's."""
    plain = jax.tree.map(np.asarray, weights)
    own, olive = oracle.Weights(*plain.cortex, *plain.readout, ()), plain.olive
    inputs, targets = np.asarray(batch.inputs), np.asarray(batch.targets)
    n_trials, n_steps, n_in = inputs.shape
    lengths = [n_steps] * n_trials if batch.lengths is None else list(np.asarray(batch.lengths))
    n, states = N_UNITS, [oracle.initial_state(cell, own) for _ in lengths]
    for t in range(1, n_steps + 1):
        steps, paths, slopes = [None] * n_trials, [None] * n_trials, [None] * n_trials
        for k, length in enumerate(lengths):
            if t > length:
                continue
            x, path = inputs[k, t - 1], oracle.cell_step(cell, own, states[k], inputs[k, t - 1])
            slope = (own.w_out @ path.s[:n] + own.b_out - targets[k, t - 1]) / n_trials
            error = np.concatenate([slope @ own.w_out, np.zeros(len(path.s) - n)])
            known = {"exact": path.J, "diagonal": op.within_units(path.J, n)}.get(td_error)
            known = olive_jacobian(path, olive) if known is None else known
            steps[k] = op.Step(path.J, error, features(path.s, x), t == length, known)
            paths[k], slopes[k], states[k] = path, slope, path.s
        cortex, d_w_out, d_b_out = 0.0, 0.0, 0.0
        for step, path, slope, g in zip(steps, paths, slopes, learner.predictions(steps), strict=True):
            if step is not None:
                cortex = cortex + np.tensordot(step.l + KAPPA * g, path.M, 1)
                d_w_out, d_b_out = d_w_out + np.outer(slope, path.s[:n]), d_b_out + slope
        learner.step(steps)
        own = own._replace(
            w_in=own.w_in - rates[0] * cortex[:, :n_in],
            w_rec=own.w_rec - rates[0] * cortex[:, n_in:-1],
            b=own.b - rates[0] * cortex[:, -1],
            w_out=own.w_out - rates[1] * d_w_out,
            b_out=own.b_out - rates[1] * d_b_out,
        )
        olive = olive - rates[0] * cortex[:, n_in:-1] if td_error == "learned" else olive
    cortex = nb.circuit.cortex.CorticalWeights(own.w_in, own.w_rec, own.b)
    return nb.Weights(cortex, nb.circuit.readout.ReadoutWeights(own.w_out, own.b_out), None, None, olive)


def drawn_signs(circuit, rank, n_trials, n_steps):
    """What a low-rank trace draws from KEY: for each trial an array (steps + 1, rank, state), whose entry 0 is idle."""
    like = (jnp.zeros((N_UNITS, rank, n_trials)),) * circuit.cortex.n_components
    noise, in_time = random_draws.begin(jax.random.key_data(KEY))[0], []
    for _ in range(n_steps):
        noise, keys = random_draws.draw(noise)
        in_time.append(np.concatenate(rank_one.signs(keys.predictor, like)))
    nu = np.stack([np.zeros_like(in_time[0]), *in_time])
    return [nu[..., k].swapaxes(1, 2) for k in range(n_trials)]
