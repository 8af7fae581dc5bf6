"""Cursor movements from a centre to targets around it: inputs, velocities and noise."""

import jax
import numpy as np
import pytest
from tiny import refused

from neuro_bpl.tasks import CenterOut


def test_the_target_is_in_sight_and_velocity_points_to_it():
    task = CenterOut(n_steps=4, n_angles=8, n_inputs=16, onset=2, noise=0.0, speed=3.0, n_held_out=2)
    trials = task.probe()
    assert trials.inputs.shape == (16, 4, 16)
    theta = np.deg2rad(task.angles())
    np.testing.assert_allclose(trials.targets[:, 0], 3 * np.stack([np.cos(theta), np.sin(theta)], 1), atol=1e-12)
    assert trials.mask[0].tolist() == [0, 0, 1, 1]
    # The channel that prefers the angle of the target is the most active one.
    preferred = 360 * np.arange(16) / 16
    assert preferred[trials.inputs[:, 0].argmax(1)].tolist() == task.angles().tolist()
    assert (trials.inputs[:, 0] == trials.inputs[:, 3]).all()


def test_noise_is_drawn_anew_at_every_step_and_held_out_trials_stay():
    task = CenterOut(noise=2.0, n_held_out=50)
    one, again, other = task.held_out("test"), task.held_out("test"), task.held_out("validation")
    assert (one.inputs == again.inputs).all()
    assert (one.inputs != other.inputs).any()
    assert (one.inputs != task.probe().inputs).any()
    noise = one.inputs - CenterOut(noise=0.0, n_held_out=50).held_out("test").inputs
    assert float(noise.std()) == pytest.approx(2.0, rel=0.02)
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.05
    drawn = task.sample(jax.random.key(0), jax.random.key(1), 30)
    assert drawn.inputs.shape == (30, 10, 16)
    same_targets = task.sample(jax.random.key(0), jax.random.key(2), 30)
    assert (same_targets.targets == drawn.targets).all()
    assert (same_targets.inputs != drawn.inputs).any()


def test_a_task_that_teaches_nothing_is_refused():
    with refused("onset = 10", "0 to 9"):
        CenterOut(n_steps=10, onset=10)
    with refused("n_angles"):
        CenterOut(n_angles=1)
    with refused("split"):
        CenterOut().held_out("train")
