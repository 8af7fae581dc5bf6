"""The circuit in Brian2 gives the numbers of the array engine: weights after learning, and what happens on the way."""

from functools import partial
from itertools import product
from typing import NamedTuple

import brian2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from brian_loops import DT, RECORD, bp, loop_of, make_circuit, needs_compiler, part_of, sgd, some_trials
from random_circuits import N_INPUTS, N_OUTPUTS, N_STEPS, N_UNITS, random_weights, relative_error, size

import neuro_bpl as nb
from neuro_bpl.brian import BrianCircuit
from neuro_bpl.circuit import cortex as cortical
from neuro_bpl.learning import td_error
from neuro_bpl.learning.predictor_traces import DiagonalTrace, LeakTrace
from neuro_bpl.learning.single_step import immediate_error, single_steps
from neuro_bpl.learning.traces import Immediate, Leaky
from neuro_bpl.runs import schema

# ---------------------------------------------------------------------------- the array engine, one trial at a time


class Seen(NamedTuple):
    """What happens at one step, or at all steps of all trials."""

    loss: jax.Array
    rates: jax.Array
    outputs: jax.Array
    granule_rates: jax.Array | tuple = ()
    predicted_gradient: jax.Array | tuple = ()
    td_error: jax.Array | tuple = ()


def told(circuit, rule, weights, s_tm1, s_t, single_step):
    """Granule cells, ĝₜ, and δₜ₋₁, which judges the prediction of the step before."""
    if not rule.credit.predicting:
        return ()
    theta = weights.cerebellum
    granule_t = circuit.cerebellum.granule(theta, circuit.mossy_fibres(s_t, single_step.x_t))
    prediction_t = jnp.where(single_step.left_t > 0, circuit.predict(theta, s_t, single_step.x_t)[0], 0)
    error_t = immediate_error(circuit, weights, s_t, single_step).error_t
    bootstrap_t = rule.credit.now(error_t, (prediction_t,)).bootstrap_t
    a_t = cortical.activation(circuit.cortex, weights.cortex, s_tm1, single_step.x_t)
    pulled = td_error.pull(rule.td_error, circuit.cortex, weights.cortex, None, s_tm1, a_t, bootstrap_t)
    before = circuit.predict(theta, s_tm1, single_step.x_t)[0]
    return granule_t, prediction_t, td_error.TDError(pulled, before, single_step.left_t >= 0).delta


@partial(jax.jit, static_argnums=0)
def learn_trial(circuit, rule, rates, weights, trial):
    def advance(carry, single_step):
        state, w = carry
        after, gradient, loss, y_t = rule.step(circuit, w, state, single_step)
        further = told(circuit, rule, w, state.s, after.s, single_step)
        moved = jax.tree.map(
            lambda leaf, slope, rate, learns: leaf - rate * slope if learns else leaf,
            w,
            gradient,
            rates,
            circuit.plastic(w),
        )
        seen = (after.s[0], y_t, *further)
        return (after, moved), Seen(loss, *(value[..., 0] for value in seen))

    (_, weights), seen = jax.lax.scan(advance, (rule.init(circuit, weights, 1), weights), single_steps(trial))
    return weights, seen


def learn(circuit, rule, trials, optimizers=None):
    """Weights after all trials, and what happened in each."""
    weights, optimizers = random_weights(circuit, 0), optimizers or sgd()
    parts = {"cortex": optimizers.cortex, "readout": optimizers.readout, "cerebellum": optimizers.predictor}
    rates = weights._replace(
        **{part: jax.tree.map(lambda _: sgd.learning_rate, getattr(weights, part)) for part, sgd in parts.items()}  # noqa: B023
    )
    happened = []
    for k in range(trials.n_trials):
        weights, seen = learn_trial(circuit, rule, rates, weights, part_of(trials, slice(k, k + 1)))
        happened.append(seen)
    seen = jax.tree.map(lambda *leaves: jnp.stack(leaves), *happened)
    seen = seen._replace(loss=seen.loss.sum(1))
    if isinstance(seen.td_error, tuple):
        return weights, seen
    judged = jnp.zeros_like(seen.td_error).at[:, :-1].set(seen.td_error[:, 1:])  # one step later in the olive
    return weights, seen._replace(td_error=judged)


def happened_in(run):
    activity = run["activity"].to_dataset()
    found = {name: activity[name].values[0, 0] for name in RECORD if name in activity}
    return Seen(run["training"]["loss"].values[0], **found)


# ------------------------------------------------------------------------------------- closed loop, against the engine

NONLINEARITIES = ("tanh", "relu", "softplus", "sigmoid", "identity")
LOSSES = ("squared_error", "sigmoid_cross_entropy")
CASES = [
    (*case, NONLINEARITIES[k % 5], LOSSES[k // 2 % 2])
    for k, case in enumerate(
        product(
            (Immediate(), Leaky()),
            (LeakTrace(), DiagonalTrace()),
            ("exact", "diagonal"),
            ("last", "every masked unequal"),
        )
    )
]


def named(case):
    return " ".join(part if isinstance(part, str) else type(part).__name__ for part in case)


def check_equal(loop, run, weights, seen, plastic):
    assert relative_error(loop.weights, weights) <= 1e-10
    assert relative_error(tuple(happened_in(run)), tuple(seen)) <= 1e-10
    for name, value in seen._asdict().items():
        assert isinstance(value, tuple) or size(value) > 1e-3, name
    change = jax.tree.map(lambda new, old: float(jnp.abs(new - old).max()), weights, random_weights(loop.circuit, 0))
    moved = jax.tree.map(lambda far, learns: far > 1e-4 if learns else far == 0, change, plastic)
    assert all(jax.tree.leaves(moved)), moved


# Every trace, predictor trace and TD error with one kind of trials in the fast tier, the other in the long one.
FAST = [case for k, case in enumerate(CASES) if k.bit_count() % 2 == 0]
LONG = [pytest.param(case, marks=pytest.mark.science, id=named(case)) for case in CASES if case not in FAST]


ONE = pytest.param(FAST[-1], marks=pytest.mark.smoke, id=named(FAST[-1]))


@pytest.mark.parametrize("case", [ONE, *FAST[:-1], *LONG], ids=named)
def test_ten_learning_trials_are_those_of_the_array_engine(case):
    trace, predictor_trace, td_error, kind, nonlinearity, loss = case
    circuit = make_circuit(nonlinearity, loss, initial_state=nb.InitialState(0.2, 0.3))
    rule = bp(trace=trace, predictor_trace=predictor_trace, td_error=td_error)
    trials = some_trials(kind, loss)
    loop = loop_of(circuit, rule)
    run = loop.run(trials, RECORD)
    weights, seen = learn(circuit, rule, trials)
    check_equal(loop, run, weights, seen, circuit.plastic(weights))


@pytest.mark.parametrize("kind", ["last", "every masked unequal"])
@pytest.mark.parametrize(
    "rule",
    [nb.eprop(update="step"), nb.LearningRule(Immediate(), nb.ImmediateError(), "backward", "step")],
    ids=lambda r: r.name,
)
def test_rules_without_a_cerebellum_are_those_of_the_array_engine(rule, kind):
    circuit, trials = make_circuit(cerebellum=False), some_trials(kind)
    loop = loop_of(circuit, rule)
    run = loop.run(trials, RECORD[:2])
    weights, seen = learn(circuit, rule, trials)
    check_equal(loop, run, weights, seen, circuit.plastic(weights))


def test_an_unused_cerebellum_stays_as_it_was():
    circuit, rule, trials = make_circuit(), nb.eprop(update="step"), some_trials()
    loop = loop_of(circuit, rule)
    loop.run(trials)
    assert relative_error(loop.weights, learn(circuit, rule, trials)[0]) <= 1e-10
    assert relative_error(loop.weights.cerebellum, random_weights(circuit, 0).cerebellum) == 0


def test_parts_without_an_optimiser_are_held():
    circuit, trials = make_circuit(), some_trials()
    loop = loop_of(circuit, bp(), optimizers=nb.Optimizers(None, nb.Optimizer("sgd", 0.03), None))
    loop.run(trials)
    start, held = random_weights(circuit, 0), learn(circuit, bp(), trials, sgd(0, 0.03, 0))[0]
    assert relative_error(loop.weights, held) <= 1e-10
    assert relative_error(loop.weights.cortex, start.cortex) == 0 < relative_error(loop.weights.readout, start.readout)


@pytest.fixture(scope="module")
def learnt():
    """What Brian2 makes of one rule."""
    loop, trials = loop_of(make_circuit(), bp()), some_trials()
    return loop, loop.run(trials, RECORD), trials


WRONG = {
    "λ": {"lambda_": 0.7},
    "γ": {"discount": 0.8},
    "κ": {"kappa": 0.6},
    "TD error": {"td_error": "diagonal"},
    "predictor trace": {"predictor_trace": DiagonalTrace()},
    "cortical trace": {"trace": Immediate()},
}


@pytest.mark.parametrize("wrong", ["", *WRONG])
def test_another_rule_is_seen_to_be_another_one(learnt, wrong):
    loop, run, trials = learnt
    weights, seen = learn(loop.circuit, bp(**WRONG.get(wrong, {})), trials)
    assert (relative_error(loop.weights, weights) > 1e-4) == bool(wrong)
    assert (relative_error(happened_in(run).td_error, seen.td_error) > 1e-4) == bool(wrong)


# ---------------------------------------------------------------------------------- rates alone, against an Euler loop

PHI = {
    "identity": lambda u: u,
    "tanh": np.tanh,
    "relu": lambda u: np.maximum(u, 0),
    "softplus": lambda u: np.logaddexp(0, u),
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
}


def euler(circuit, weights, inputs):
    """dr/dt = (φ(W_rec r + W_in x + b) − r)/τ, step by step."""
    w, out = jax.tree.map(np.asarray, (weights.cortex, weights.readout))
    phi, share = PHI[circuit.cortex.nonlinearity], circuit.cortex.dt / circuit.cortex.tau
    rates, outputs = [], []
    for trial in np.asarray(inputs):
        r = np.zeros(N_UNITS) if w.s_0 is None else w.s_0[0]
        for x in trial:
            r = r + share * (phi(w.w_rec @ r + w.w_in @ x + w.b) - r)
            rates.append(r)
            outputs.append(out.w @ r + out.b)
    by_trial = (len(inputs), -1, N_UNITS), (len(inputs), -1, N_OUTPUTS)
    return np.reshape(rates, by_trial[0]), np.reshape(outputs, by_trial[1])


@pytest.mark.full
@pytest.mark.parametrize("nonlinearity", PHI)
@pytest.mark.parametrize("tau", [0.037, DT])
def test_rates_alone_are_those_of_an_euler_loop(nonlinearity, tau):
    start = nb.InitialState(0.4, 0.2) if nonlinearity in ("tanh", "relu") else nb.InitialState()
    circuit, trials = (
        make_circuit(nonlinearity, cerebellum=False, tau=tau, initial_state=start),
        some_trials(n_trials=3),
    )
    loop = loop_of(circuit)
    run = loop.run(trials, ["rates", "outputs"])
    rates, outputs = euler(circuit, loop.weights, trials.inputs)
    slower, _ = euler(make_circuit(nonlinearity, tau=1.1 * tau), loop.weights, trials.inputs)
    assert relative_error(happened_in(run)[1:3], (rates, outputs)) <= 1e-12
    assert relative_error(slower, rates) > 1e-3
    assert relative_error(loop.weights, random_weights(circuit, 0)) == 0
    losses = [circuit.loss(random_weights(circuit, 0), part_of(trials, slice(k, k + 1))) for k in range(3)]
    assert relative_error(run["training"]["loss"].values[0], np.array(losses)) <= 1e-12


# ----------------------------------------------------------------------------- going on, going back, going side by side


def same(*runs):
    """Whether runs hold the same numbers, bit by bit."""
    first, *others = [[node.to_dataset().drop_attrs() for _, node in sorted(run.children.items())] for run in runs]
    return all(a.identical(b) for other in others for a, b in zip(first, other, strict=True))


@pytest.mark.full
def test_two_runs_are_one_long_run():
    circuit, trials = make_circuit(), some_trials("every masked unequal")
    first, whole = loop_of(circuit, bp()), loop_of(circuit, bp())
    begun, ended = (first.run(part_of(trials, part), RECORD) for part in (slice(4), slice(4, None)))
    run = whole.run(trials, RECORD, n_snapshots=3)
    assert relative_error(first.weights, whole.weights) == 0
    for group, name, dim in [("training", "loss", "update"), *(("activity", name, "trial") for name in RECORD)]:
        parts = xr.concat([begun[group][name].drop_vars(dim), ended[group][name].drop_vars(dim)], dim, join="override")
        assert (parts.values == run[group][name].values).all(), name


@pytest.mark.full
def test_a_stored_network_goes_on_as_before():
    trials = some_trials()
    loop = loop_of(make_circuit(), bp())
    loop.run(part_of(trials, slice(4)))
    loop.network.store()
    once, ended = loop.run(part_of(trials, slice(4, None)), RECORD), loop.weights
    other = loop.run(trials, RECORD)
    loop.network.restore()
    assert relative_error(loop.weights, ended) > 1e-3
    again = loop.run(part_of(trials, slice(4, None)), RECORD)
    assert same(once, again)
    assert not same(once, other)
    assert relative_error(loop.weights, ended) == 0


@pytest.mark.full
def test_circuits_in_one_process_do_not_disturb_each_other():
    trials = some_trials()
    begin, end = part_of(trials, slice(4)), part_of(trials, slice(4, None))
    loop, other, alone = (loop_of(make_circuit(), rule) for rule in (bp(), bp(0.1), bp()))
    loop.run(begin)
    other.run(trials)
    alone.run(begin)
    assert same(loop.run(end, RECORD), alone.run(end, RECORD))
    assert relative_error(other.weights, loop.weights) > 1e-3


NOISE = {"old": "- r)/tau", "new": "- r)/tau + 0.1*xi*tau**-0.5"}


@pytest.mark.full
def test_noise_in_an_equation_is_that_of_the_seed():
    circuit, trials = make_circuit(cerebellum=False), some_trials(n_trials=2)
    script = nb.brian.equations(circuit)
    script["cortex"] = script["cortex"].swap(**NOISE)
    runs = []
    for seed in (1, 1, 2):
        brian2.seed(seed)
        runs.append(loop_of(circuit, equations=script).run(trials, ["rates"]))
    assert same(*runs[:2])
    assert not same(*runs[1:])


GRID = {"lambda_": [0.8, 0.2], "predictor_learning_rate": [0.02, 0.1]}


@pytest.mark.full
def test_a_sweep_is_single_runs_and_leaves_the_circuit_as_it_was():
    circuit, trials, probe = make_circuit(), some_trials(n_trials=4), some_trials(n_trials=2)
    loop = loop_of(circuit, bp())
    loop.run(trials)
    begun = loop.weights
    swept = loop.sweep(GRID, trials, RECORD, probe=probe)
    assert relative_error(loop.weights, begun) == 0
    for lambda_, rate in ((0.8, 0.1), (0.2, 0.02)):
        alone = BrianCircuit(circuit, begun, bp(lambda_), sgd(predictor=rate), n_steps=N_STEPS, target="numpy")
        run = alone.run(trials, RECORD, probe=probe)
        point = swept.sel(lambda_=lambda_, predictor_learning_rate=rate)
        for group, name in [("training", "loss"), ("evaluation", "loss"), *(("activity", name) for name in RECORD)]:
            assert (point[group][name].values == run[group][name].values).all(), name
        at = {"lambda_": lambda_, "predictor_learning_rate": rate}
        assert relative_error(nb.load(swept, at=at, seed=0).weights, alone.weights) == 0
    losses = swept["training"]["loss"].isel(seed=0, update=-1).values
    assert len(np.unique(losses)) == 4
    assert same(
        loop.run(trials, RECORD),
        BrianCircuit(circuit, begun, bp(), sgd(), n_steps=N_STEPS, target="numpy").run(trials, RECORD),
    )


def test_a_sweep_that_fails_leaves_the_circuit_as_it_was(monkeypatch):
    trials, played = some_trials(n_trials=2), []
    loop = loop_of(make_circuit(), bp())

    def stop(*arguments):
        played.append(relative_error(loop.weights, random_weights(loop.circuit, 0)))
        raise KeyboardInterrupt

    monkeypatch.setattr("neuro_bpl.brian.labelling.piece", stop)
    with pytest.raises(KeyboardInterrupt):
        loop.sweep(GRID, trials)
    assert played[0] > 1e-3
    assert relative_error(loop.weights, random_weights(loop.circuit, 0)) == 0


# ---------------------------------------------------------------------------------------------- programs in C++, Cython


@pytest.fixture
def quickly_compiled():
    """Optimising takes the compiler longer than the program runs."""
    names = ("codegen.cpp.extra_compile_args_gcc", "devices.cpp_standalone.extra_make_args_unix")
    before = {name: brian2.prefs[name] for name in names}
    brian2.prefs[names[0]], brian2.prefs[names[1]] = ["-O0"], ["-j2"]
    yield
    for name, value in before.items():
        brian2.prefs[name] = value


def slowly(n_trials):
    """A circuit and trials that last for so long that clocks no longer meet to 1e-14 s."""
    return make_circuit(tau=8.5, dt=1.7), some_trials(n_trials=n_trials), sgd(0.01, 0.01, 0.01)


@pytest.mark.full
@needs_compiler
def test_a_program_in_cpp_is_built_once_for_a_sweep_and_gives_the_same_numbers(quickly_compiled, monkeypatch):
    circuit, trials, optimizers = slowly(20)
    rule, values, record = bp(trace=Immediate()), {"lambda_": [0.8, 0.2]}, ["rates", "td_error"]
    wanted = loop_of(circuit, rule, optimizers=optimizers).sweep(values, trials, record, n_recorded=3)
    builds = []
    with loop_of(circuit, rule, "cpp_standalone", optimizers=optimizers) as loop:
        build = brian2.device.build
        monkeypatch.setattr(brian2.device, "build", lambda **options: builds.append(options) or build(**options))
        swept = loop.sweep(values, trials, record, n_recorded=3)
        with pytest.raises(ValueError, match=r"(?s)a second run.*Type: circuit\.close"):
            loop.run(trials)
        monkeypatch.undo()
    assert len(builds) == 1
    for group, name in [("training", "loss"), *(("activity", name) for name in record)]:
        assert relative_error(swept[group][name].values, wanted[group][name].values) <= 1e-10, name
    for at in ({"lambda_": 0.8}, {"lambda_": 0.2}):
        assert relative_error(nb.load(swept, at=at).weights, nb.load(wanted, at=at).weights) <= 1e-10
    # It begins a trial before its first step, where times differ by more than a program takes for equal.
    at = np.arange(1, 20) * N_STEPS * circuit.cortex.dt
    assert (np.arange(1, 20) * (N_STEPS * circuit.cortex.dt) - at).max() > 1e-14
    assert not np.allclose(*(nb.load(swept, at={"lambda_": x}).weights.cerebellum.w_purkinje for x in (0.8, 0.2)))
    assert relative_error(loop.weights, random_weights(circuit, 0)) == 0
    schema.validate(swept)


@pytest.mark.science
@needs_compiler
@pytest.mark.parametrize("td_error", ["exact", "diagonal"])
def test_a_single_program_in_cpp_gives_the_same_numbers_and_its_weights_outlive_it(td_error):
    circuit, trials = make_circuit("softplus", "sigmoid_cross_entropy"), some_trials("every", LOSSES[1])
    rule = bp(predictor_trace=DiagonalTrace(), td_error=td_error)
    wanted = loop_of(circuit, rule)
    run = wanted.run(trials, RECORD)
    with loop_of(circuit, rule, "cpp_standalone") as loop:
        got = loop.run(trials, RECORD)
    assert relative_error(tuple(happened_in(got)), tuple(happened_in(run))) <= 1e-10
    assert relative_error(loop.weights, wanted.weights) <= 1e-10
    assert relative_error(loop.weights, random_weights(circuit, 0)) > 1e-3


@pytest.mark.science
@needs_compiler
def test_cython_gives_the_same_numbers():
    circuit, trials = make_circuit(), some_trials("every masked unequal")
    loop, wanted = loop_of(circuit, bp(), "cython"), loop_of(circuit, bp())
    got, run = (one.run(trials, RECORD) for one in (loop, wanted))
    assert relative_error(tuple(happened_in(got)), tuple(happened_in(run))) <= 1e-12
    assert relative_error(loop.weights, wanted.weights) <= 1e-12


# ------------------------------------------------------------------------------------------------------ runs as results


@pytest.mark.full
def test_a_run_follows_the_schema_and_comes_back_from_one_file(tmp_path):
    circuit, trials = make_circuit(), some_trials()
    loop = loop_of(circuit, bp())
    run = loop.run(trials, [*RECORD, "gradient_alignment"], n_snapshots=2, n_recorded=3, probe=some_trials(n_trials=2))
    schema.validate(run)
    path = nb.export_netcdf(run, tmp_path / "run.nc")
    assert xr.open_datatree(path).identical(run)
    again, weights = nb.load(xr.open_datatree(path), seed=0)
    assert again == circuit
    assert relative_error(weights, loop.weights) == 0
    assert relative_error(nb.load(run, seed=0, snapshot=0).weights, random_weights(circuit, 0)) == 0
    assert run["weights"]["snapshot"].values.tolist() == [0, 5, 10]
    assert run["activity"]["trial"].values.tolist() == [8, 9, 10]
    assert run["activity"]["snapshot"].values.tolist() == [10]
    assert run["evaluation"]["split"].values.tolist() == ["probe"]
    loss = nb.evaluate(circuit, weights, Probed(), split="test")["loss"]
    assert abs(loss - run["evaluation"]["loss"].sel(seed=0, update=10, split="probe")) < 1e-12
    assert run.attrs["simulator"] == f"Brian2 {brian2.__version__}"
    assert run.attrs["equations"] == str(loop.equations)
    assert [point["status"] for point in nb.statuses(run)] == ["complete"]


class Probed:
    """The probe of the test above, as a task."""

    n_inputs, n_outputs, n_steps = N_INPUTS, N_OUTPUTS, N_STEPS

    def held_out(self, split):
        return some_trials(n_trials=2)

    sample = probe = held_out


def test_a_run_without_a_probe_follows_the_schema_too():
    run = loop_of(make_circuit(), bp()).run(some_trials(n_trials=2))
    assert set(run.children) == {"parameters", "training", "weights"}
    schema.validate(run)
    trained = run.copy()
    del trained.attrs["simulator"]
    with pytest.raises(ValueError, match="no group 'evaluation'"):
        schema.validate(trained)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # it overflows: that is what is tested
def test_a_run_that_diverges_says_so():
    run = loop_of(make_circuit("identity"), bp(), optimizers=sgd(1e30, 1e30, 1e30)).run(some_trials(n_trials=4))
    first = np.argmin(np.isfinite(run["training"]["loss"].values[0])) + 1
    assert run["training"]["diverged_at"].values.tolist() == [first]
    assert [point["status"] for point in nb.statuses(run)] == ["diverged"]
    schema.validate(run)
