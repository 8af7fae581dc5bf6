"""Responses of trained networks to any trials."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from heard_clicks import SHORT, session
from tiny import refused

import neuro_bpl as nb
from neuro_bpl.neural.activity.clicks_as_trials import trials_of
from neuro_bpl.neural.activity.simulated_responses import respond


@pytest.fixture(scope="module")
def run():
    circuit = nb.Circuit(nb.RateCortex(2, 4, tau=0.1), nb.LinearReadout(2, "softmax_cross_entropy"))
    return nb.train(circuit, SHORT, nb.bptt(), n_updates=3, seeds=2, batch_size=3, precision="float64", progress=False)


@pytest.mark.full
def test_responses_are_the_rates_of_each_network_until_each_trial_ends(run):
    trials = SHORT.probe()
    found = respond(run, trials, 0.02, columns={"evidence": trials.inputs.sum(1) @ np.array([-1.0, 1.0])})
    assert found.dims == ("seed", "trial", "time", "unit")
    assert found.time.values == pytest.approx(0.02 * np.arange(1, 16))
    circuit, weights = nb.load(run)
    for seed in range(2):
        own = jax.tree.map(lambda leaf, seed=seed: leaf[seed], weights)
        trajectory, outputs = circuit.run(own, trials)
        for trial, length in enumerate(trials.lengths.tolist()):
            got = found.values[seed, trial]
            assert got[:length] == pytest.approx(np.asarray(trajectory.s_t[0])[:length, :, trial], abs=1e-12)
            assert np.isnan(got[length:]).all()
        assert found["choice"].values[seed].tolist() == outputs[:, 0].argmax(0).tolist()
    assert np.abs(found.values[0] - found.values[1])[:, 0].max() > 1e-3  # networks differ
    assert found["evidence"].dims == ("trial",)


@pytest.mark.full
def test_responses_over_learning(run):
    trials = SHORT.probe()
    both = respond(run, trials, 0.02, snapshots=[0, 3])
    assert both.dims == ("snapshot", "seed", "trial", "time", "unit")
    xr.testing.assert_equal(both.sel(snapshot=3, drop=True), respond(run, trials, 0.02))
    assert float(np.abs(both.sel(snapshot=0) - both.sel(snapshot=3)).max()) > 0
    assert both["choice"].dims == ("snapshot", "seed", "trial")


def test_columns_of_a_session_are_coordinates_with_their_units(run):
    recorded = session([(0, "left", 0.0), (1, "right", 0.0)], [0.1, 0.2], side=(np.array([0, 1]), "1", "choice"))
    found = respond(run, trials_of(recorded, 0.02), 0.02, columns=recorded["trials"].to_dataset())
    assert found["side"].values.tolist() == [0, 1]
    assert found["stimulus_off"].attrs["units"] == "s"


def test_a_circuit_without_classes_has_no_choice():
    circuit = nb.Circuit(nb.RateCortex(10, 3), nb.LinearReadout(2))
    task = nb.tasks.TargetReaching(n_steps=3)
    trained = nb.train(circuit, task, nb.bptt(), n_updates=1, progress=False)
    assert "choice" not in respond(trained, task.probe(), 0.02).coords


def test_responses_that_make_no_sense_are_refused(run, untyped):
    trials = SHORT.probe()
    for dt in (0.01, 0, np.nan, "0.02"):
        with refused("dt"):
            respond(run, trials, dt)
    with refused("trials"):
        respond(run, SHORT, 0.02)
    with refused("columns", "evidence"):
        respond(run, trials, 0.02, columns={"evidence": [1.0]})
    with refused("columns", "choice"):
        respond(run, trials, 0.02, columns={"choice": np.zeros(7)})
    with refused("snapshot"):
        respond(run, trials, 0.02, snapshots=[2])
    with refused("at"):
        respond(run, trials, 0.02, at={"rule": "BP(1)"})
    with refused("inputs"):
        respond(run, nb.Trials(jnp.zeros((2, 3, 5)), jnp.zeros((2, 1), int)), 0.02)
