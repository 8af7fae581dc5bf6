"""The spiking loop: its network on tiny parameters, what it learns from what, its file, and the analysis of it."""

import dataclasses

import brian2
import numpy as np
import pytest
import xarray as xr
from scripting import module

import neuro_bpl as nb
from neuro_bpl.brian.spiking import equations, playing
from neuro_bpl.brian.spiking.gradient import future_gradient
from neuro_bpl.brian.spiking.network import UNITS

pytestmark = pytest.mark.full

MODEL, ANALYSIS = "models/spiking_loop_brian.py", "analyses/spiking_learning.py"
LOOP = module(MODEL)
TINY = LOOP.Parameters(
    rule="cerebellum,no cerebellum,e-prop,frozen cortex",
    n_cues=2,
    n_inputs=3,
    duration=8.0,
    cue_duration=4.0,
    window=1.0,
    tau_m=5.0,
    tau_f=5.0,
    bias=20.0,
    mossy_scale=30.0,
    n_units=5,
    n_granule=6,
    predictor_learning_rate=1.0,
    n_trials=4,
    n_evaluations=1,
    n_probe=1,
    seeds=2,
    target="numpy",
)
QUIET = {"input_scale": 0.0, "bias": 0.0, "bias_spread": 0.0, "noise": 0.0}


def played(seed=0, **changed):
    return LOOP.play(dataclasses.replace(TINY, **changed), seed)


def moved(seen, name, rule):
    return not np.array_equal(seen.born[name][rule], seen.grown[name][rule])


@pytest.fixture(scope="module")
def seen():
    return played()


@pytest.fixture(scope="module")
def run(seen):
    """A run with two seeds, as it is stored."""
    return LOOP.tree(TINY, [seen, played(1)])


def test_weights_move_where_they_should_and_nowhere_else(seen):
    assert seen.rates["cortex"] > 10
    assert seen.rates["granule"] > 1
    for rule, name in enumerate(TINY.rules):
        assert moved(seen, "readout.w", rule)
        assert moved(seen, "cerebellum.w", rule)  # where κ = 0 it learns, too, and is not heard
        assert moved(seen, "cortex.w_rec", rule) == (name != "frozen cortex")
        assert moved(seen, "cortex.w_in", rule) == (name != "frozen cortex")
        assert not np.diagonal(seen.grown["cortex.w_rec"][rule]).any()


def test_networks_are_born_alike_and_agree_until_something_is_learnt(seen):
    drawn = LOOP.newborn(TINY, 0)
    np.testing.assert_allclose(seen.born["cortex.w_in"][0], drawn.feedforward, rtol=1e-12)
    np.testing.assert_allclose(seen.born["cortex.w_rec"][0], drawn.recurrent, rtol=1e-12)
    np.testing.assert_array_equal(seen.born["readout.w"][0], drawn.output)
    assert not seen.born["cerebellum.w"].any()
    assert (drawn.mask.sum(1) == TINY.fan_in).all()
    learning = LOOP.timetable(TINY, 0).learning
    first = int(np.argmax(learning))
    assert not learning[:first].any()
    # In the first trial there is an error in the last step alone, and no prediction yet.
    for rule in range(1, len(TINY.rules)):
        np.testing.assert_array_equal(seen.losses[rule, : first + 1], seen.losses[0, : first + 1])
        for name, born in seen.born.items():
            np.testing.assert_array_equal(born[rule], born[0], name)
    assert len({grown.tobytes() for grown in seen.grown["cortex.w_rec"]}) == len(TINY.rules)
    assert (seen.losses > 0).all()


def test_another_seed_gives_other_numbers_and_the_same_seed_the_same(seen):
    again = played(rule="no cerebellum", n_trials=4)
    np.testing.assert_allclose(again.losses[0], seen.losses[1], rtol=1e-12)
    np.testing.assert_array_equal(again.activity["spikes"][0], seen.activity["spikes"][1])
    assert (played(1, rule="no cerebellum").losses != again.losses).all()


def test_without_learning_weights_stay_as_they_are_and_without_input_nobody_fires():
    rates = dict.fromkeys(
        ("learning_rate", "learning_rate_without", "learning_rate_eprop", "readout_learning_rate"), 0.0
    )
    silent = played(predictor_learning_rate=0.0, **rates)
    assert silent.rates["cortex"] > 10
    for name, born in silent.born.items():
        np.testing.assert_array_equal(silent.grown[name], born, name)
    alone = played(rule="cerebellum", **QUIET)
    assert alone.rates == {"cortex": 0, "granule": 0}
    assert not alone.activity["spikes"].any()
    np.testing.assert_allclose(alone.losses, 0.5)  # silence is half a squared unit away from every target


def test_td_errors_telescope_to_the_gradient_through_the_leak(seen):
    """Σₖ (γλ(1 − dt/τ_f))ᵏ δₜ₊ₖ = Gₜ − ĝₜ: THEORY's identity (4) with the leak for the Jacobian, weights held."""
    kept, found = 1 - TINY.dt / TINY.tau_f, 0
    errors, wanted = seen.activity["td_error"], seen.activity["leak_gradient"] - seen.activity["predicted_gradient"]
    assert abs(seen.activity["predicted_gradient"][:, 1]).max() > 1e-6
    for t in reversed(range(TINY.n_steps)):
        found = errors[..., t, :] + kept * found
        np.testing.assert_allclose(found, wanted[..., t, :], atol=1e-12)
    assert abs(seen.activity["true_gradient"] - seen.activity["leak_gradient"]).max() > 1e-6


def test_future_gradient_is_that_of_a_linear_network():
    """Where the pseudo-derivative is 1 everywhere, spikes are linear and finite differences are exact."""
    p = dataclasses.replace(TINY, n_units=2, fan_in=1)
    rng = np.random.default_rng(0)
    error, w = rng.normal(size=(1, 1, p.n_steps, 2)), rng.normal(size=(1, 1, 2, 2))

    def later(r, start):
        v, total = np.zeros(2), 0.0
        for t in range(start + 1, p.n_steps):
            v = v + p.dt / p.tau_m * (w[0, 0] @ r - v)
            r = (1 - p.dt / p.tau_f) * r + v
            total += error[0, 0, t] @ r
        return total

    got = future_gradient(p, error, np.ones_like(error), w)
    for t in range(p.n_steps):
        wanted = [later(np.eye(2)[i], t) for i in range(2)]
        np.testing.assert_allclose(got[0, 0, t], wanted, atol=1e-12)


def test_complex_spikes_stand_for_the_error_on_average():
    p = dataclasses.replace(TINY, rule="cerebellum", climbing_fibre="poisson", baseline=200.0, ceiling=600.0)
    seen = LOOP.play(p, 0)
    said = seen.activity["climbing_fibre"][..., :-1, :]
    levels = np.array([-p.baseline, 1e3 / p.dt - p.baseline]) / p.sensitivity * p.dt * 1e-3  # without, with a spike
    assert (np.abs(said[..., None] - levels) < 1e-9).any(-1).all()
    assert len(np.unique(said.round(6))) == 2
    assert moved(seen, "cerebellum.w", 0)
    assert moved(seen, "cortex.w_rec", 0)


def dull_loop(p, seed, kappa, eta, kept):
    """The whole run in NumPy, from the equations and not from the code: losses of all trials, and weights at the end.

    Membranes begin half-way to threshold and there is no noise; `kept` is what a cortical trace keeps in a step.
    """
    trials, w = LOOP.timetable(p, seed), LOOP.newborn(p, seed)
    w_in, w_rec, w_out, w_mossy = w.feedforward.copy(), w.recurrent.copy(), w.output.copy(), w.mossy
    w_parallel, n, dt = np.zeros((p.n_units, p.n_granule)), p.n_units, p.dt
    leak, losses = 1 - dt / p.tau_f, []
    for cue, goal, learns in zip(trials.cues, trials.goals, trials.learning, strict=True):
        v, r, trace, x_trace = np.full(n, p.v_threshold / 2), np.zeros(n), np.zeros(n), np.zeros(len(cue))
        v_granule, g, e_parallel = np.zeros(p.n_granule), np.zeros(p.n_granule), np.zeros(p.n_granule)
        e_in, e_rec, loss = np.zeros(w_in.shape), np.zeros(w_rec.shape), 0.0
        for step in range(p.n_steps):
            x = cue * (step * dt < p.cue_duration)
            x[-1] = cue[-1]
            v_granule = v_granule + dt / p.tau_granule * (w_mossy @ r - v_granule)
            v = v + dt / p.tau_m * (w_in @ x + w_rec @ r - v)
            trace, x_trace = trace + dt / p.tau_m * (r - trace), x_trace + dt / p.tau_m * (x - x_trace)
            slope = p.steepness * 1e-3 * dt * np.maximum(0, 1 - abs(v - p.v_threshold) / p.v_threshold) / p.v_threshold
            e_in, e_rec = kept * e_in + np.outer(slope, x_trace), kept * e_rec + np.outer(slope, trace)
            fired, g_fired, g_before = v > p.v_threshold, v_granule > p.v_threshold, g
            v, r = v - p.v_threshold * fired, leak * r + fired
            v_granule, g = np.where(g_fired, 0, v_granule), (1 - dt / p.tau_g) * g + g_fired
            counts = dt / p.window * ((p.n_steps - step) * dt <= p.window)
            wrong = counts * (w_out @ r - goal)
            loss += 0.5 * counts * ((w_out @ r - goal) ** 2).sum()
            error, predicted = w_out.T @ wrong, w_parallel @ g * (step < p.n_steps - 1)
            td_error = leak * (error + p.discount * predicted) - w_parallel @ g_before
            if learns:
                w_in = w_in - eta * (error + kappa * predicted)[:, None] * e_in
                w_rec = w_rec - eta * (error + kappa * predicted)[:, None] * e_rec * (1 - np.eye(n))
                w_parallel = w_parallel + p.predictor_learning_rate * 1e-3 * dt * np.outer(td_error, e_parallel)
                w_out = w_out - p.readout_learning_rate * np.outer(wrong, r)
            e_parallel = p.lambda_ * p.discount * leak * e_parallel + g
        losses.append(loss)
    return losses, {"cortex.w_in": w_in, "cortex.w_rec": w_rec, "readout.w": w_out, "cerebellum.w": w_parallel}


def test_the_network_is_a_dull_loop(monkeypatch):
    monkeypatch.setattr(equations, "BACKGROUND_RESET", "onset = 0.5")
    p = dataclasses.replace(TINY, noise=0.0, window=3.0, lambda_=0.9, discount=0.8, kappa=0.7, duration=12.0)
    seen = LOOP.play(p, 0)
    assert seen.rates["granule"] > 1
    rows = zip(*LOOP.by_rule(p).values(), strict=True)
    for rule, (kappa, eta, tau_e) in enumerate(rows):
        losses, weights = dull_loop(p, 0, kappa, eta / UNITS["mV²"], 1 - p.dt / (tau_e / brian2.ms))
        np.testing.assert_allclose(seen.losses[rule], losses, rtol=1e-9)
        for name, wanted in weights.items():
            np.testing.assert_allclose(seen.grown[name][rule], wanted, rtol=1e-8, atol=1e-11, err_msg=name)
        assert abs(weights["cerebellum.w"]).max() > 1e-4
    # Liveness, and a negative control: another κ is told apart.
    assert abs(seen.grown["cortex.w_rec"][0] - seen.born["cortex.w_rec"][0]).max() > 1e-3
    eta = LOOP.by_rule(p)["eta"][0] / UNITS["mV²"]
    _, weights = dull_loop(p, 0, p.kappa + 0.1, eta, 0.0)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(seen.grown["cortex.w_rec"][0], weights["cortex.w_rec"], rtol=1e-8, atol=1e-11)


BAD = {
    "an unknown network": {"rule": "cerebelum"},
    "a network twice": {"rule": "cerebellum,cerebellum"},
    "a trial that is no whole number of steps": {"duration": 8.5},
    "a cue longer than the trial": {"cue_duration": 9.0},
    "a window longer than the trial": {"window": 9.0},
    "steps longer than a time constant": {"tau_noise": 0.5},
    "too many mossy fibres": {"fan_in": 6},
    "more evaluations than trials": {"n_evaluations": 5},
    "a baseline at the ceiling": {"baseline": 10.0},
    "more complex spikes than steps": {"ceiling": 2000.0},
    "a bias that is no number": {"bias": float("nan")},
    "a negative rate": {"learning_rate": -1.0},
    "an unknown climbing fibre": {"climbing_fibre": "spiking"},
    "an unknown target": {"target": "cpp_standalone"},
}


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD)
def test_bad_parameters_are_refused(changed):
    with pytest.raises(ValueError, match=r"(?s)is not possible.*Allowed: .*Why: .*Type: "):
        dataclasses.replace(TINY, **changed)


def test_every_object_and_clock_has_a_name_of_its_own(monkeypatch):
    made, network = [], playing.network

    def noted(*arguments):
        made.append(network(*arguments))
        return made[-1]

    monkeypatch.setattr(playing, "network", noted)
    played(rule="cerebellum", n_trials=1)
    objects = made[0][0].objects
    assert {one.clock.name for one in objects} == {"step", "trial"}
    assert not [one.name for one in objects if one.name.startswith(("neurongroup", "synapses", "clock"))]
    assert not [one for one in objects if isinstance(one, brian2.NetworkOperation)]
    for one in objects:
        assert not (isinstance(one, brian2.Synapses) and one.event_driven is not None and one.event_driven.values())


def test_the_file_is_a_run_is_not_written_over_and_is_drawn(run, script, tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    nb.export_netcdf(run, path)
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        xr.testing.assert_identical(opened.load(), run)
    assert run["training"]["loss"].dims == ("rule", "seed", "update")
    assert run["gradients"]["leak_alignment"].dims == ("rule", "seed", "update", "time")
    assert run["activity"]["predicted_gradient"].sizes == {
        **{"rule": 4, "seed": 2, "snapshot": 2, "trial": 2},
        **{"time": 8, "state": 5},
    }
    before = path.read_bytes()
    status, _, err = script(MODEL, "--output", path)
    assert (status, path.read_bytes()) == (2, before)
    assert "Type: --overwrite" in err
    status, out, err = script(ANALYSIS, "--run", path, "--output", tmp_path / "drawn")
    assert (status, err) == (0, "")
    assert out.count("figure: ") == 2
    assert "| cerebellum |" in out
    assert "<svg" in (tmp_path / "drawn.svg").read_text(encoding="utf-8")
    for words in (("--run", tmp_path / "none"), ("--run", path, "--seed", 7), ("--run", path, "--network", "x")):
        status, _, err = script(ANALYSIS, "--output", tmp_path / "drawn", *words)
        assert status == 2
        assert "Allowed: " in err


def test_the_ratio_of_losses_is_paired_by_seed():
    loss = xr.DataArray(
        [[2.0, 8.0, 1.0], [1.0, 4.0, 0.5]], coords={"rule": ["cerebellum", "no cerebellum"]}, dims=("rule", "seed")
    )
    np.testing.assert_allclose(module(ANALYSIS).ratio(loss, "cerebellum", "no cerebellum"), [2, 2, 2])
