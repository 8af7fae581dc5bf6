"""The smallest experiment, and what tests of runs ask again and again."""

import dataclasses
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import pytest
import xarray as xr

import neuro_bpl as nb

N_INPUTS, N_STEPS, N_UNITS = 2, 4, 3


@partial(jax.tree_util.register_dataclass, data_fields=("noise", "fatal"), meta_fields=())
@dataclass(frozen=True)
class Recall:
    """Say at every step what was seen at the step before; `fatal` is the share of batches with an infinite target."""

    noise: float = 0.0
    fatal: float = 0.0

    n_inputs, n_outputs, n_steps = N_INPUTS, N_INPUTS, N_STEPS

    def sample(self, data_key, noise_key, batch_size):
        trials = recall(data_key, batch_size)
        noise = self.noise * jax.random.normal(noise_key, trials.inputs.shape, trials.inputs.dtype)
        spoilt = jnp.where(lot(data_key) < self.fatal, jnp.inf, 0.0).astype(trials.targets.dtype)
        return nb.Trials(trials.inputs + noise, trials.targets + spoilt)

    def held_out(self, split):
        return recall(jax.random.key({"validation": 101, "test": 102}[split]), 3)

    def probe(self):
        return recall(jax.random.key(103), 3)


def lot(data_key):
    return jax.random.uniform(jax.random.fold_in(data_key, 7))


def recall(key, batch_size):
    inputs = jax.random.normal(key, (batch_size, N_STEPS, N_INPUTS))
    return nb.Trials(inputs, jnp.pad(inputs[:, :-1], ((0, 0), (1, 0), (0, 0))))


@partial(jax.tree_util.register_dataclass, data_fields=("noise", "fatal", "enough"), meta_fields=())
@dataclass(frozen=True)
class Louder(Recall):
    """Targets grow by one with each level; a loss below `enough` times that of an idle readout is a step up."""

    enough: float = 1.0

    def first_level(self):
        return {"height": jnp.int32(0), "passed": jnp.zeros(3, bool)}

    def sample_level(self, level, data_key, noise_key, batch_size):
        trials = self.sample(data_key, noise_key, batch_size)
        return dataclasses.replace(trials, targets=trials.targets + level["height"])

    def next_level(self, level, outcome):
        passes = outcome.loss < self.enough
        return {
            "height": level["height"] + passes.astype(jnp.int32),
            "passed": jnp.roll(level["passed"], 1).at[0].set(passes),
        }

    def difficulty(self, level):
        return level["height"]

    def padded(self, levels):
        return self


CORTEX, READOUT = nb.RateCortex(N_INPUTS, N_UNITS), nb.LinearReadout(N_INPUTS)
CIRCUIT = nb.Circuit(CORTEX, READOUT, nb.LinearPredictor())
BP1 = nb.bp_lambda(1.0)
SMALL = {"batch_size": 3, "seeds": 2, "n_evaluations": 1, "progress": False}


def train(rule=BP1, circuit=CIRCUIT, task=None, n_updates=4, **arguments):
    return nb.train(circuit, task or Recall(), rule, n_updates=n_updates, **{**SMALL, **arguments})


def sweep(grid, rule=BP1, circuit=CIRCUIT, task=None, n_updates=4, **arguments):
    return nb.sweep(circuit, task or Recall(), rule, grid, n_updates=n_updates, **{**SMALL, **arguments})


def assert_identical(got, wanted, but=("created_at",)):
    """Two runs bit for bit: groups, variables, coordinates, attributes."""
    assert set(got.children) == set(wanted.children)
    for group in wanted.children:
        xr.testing.assert_identical(got[group].to_dataset(), wanted[group].to_dataset())
    assert {k: v for k, v in got.attrs.items() if k not in but} == {
        k: v for k, v in wanted.attrs.items() if k not in but
    }


def same(got, wanted):
    try:
        assert_identical(got, wanted, but=())
    except AssertionError:
        return False
    return True


def contents(folder):
    """Every file of a folder, byte for byte."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(*words, error=ValueError):
    """The error that says what is allowed, why, and what to type."""
    ahead = "".join(f"(?=.*{word})" for word in words)
    return pytest.raises(error, match=rf"(?s)^{ahead}.*Type: ")
