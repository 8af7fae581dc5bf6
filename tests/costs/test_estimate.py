"""Cost before the run: exact counts, memory as the compiler plans it, and refusals before anything is written."""

import dataclasses
import math
import re
import runpy
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from scripting import ROOT
from tiny import CIRCUIT, refused, sweep, train

import neuro_bpl as nb
from neuro_bpl.costs import estimate, fitting, free_memory
from neuro_bpl.costs.multiply_adds import multiply_adds
from neuro_bpl.costs.peak_memory import footprint
from neuro_bpl.costs.traced_program import KNOWN_JAX, program_of
from neuro_bpl.experiments import updates as updating
from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.experiments.experiment import Experiment, Schedule, Seeds
from neuro_bpl.runs.contents import Memory
from neuro_bpl.scripting import dry_run
from neuro_bpl.training import grid
from neuro_bpl.training.arguments import attributes
from neuro_bpl.training.progress import Bars
from neuro_bpl.training.trainer import Trainer, train_part

A, B = jax.ShapeDtypeStruct((3, 4), jnp.float32), jax.ShapeDtypeStruct((4, 5), jnp.float32)
SQUARE = jax.ShapeDtypeStruct((4, 4), jnp.float32)


def program(f, *shapes):
    return program_of(jax.jit(f).trace(*shapes).jaxpr)


def count(f, *shapes, iterations=1.0):
    return multiply_adds(program(f, *shapes), iterations)


def circuit(n_units, n_inputs=1):
    return nb.Circuit(nb.RateCortex(n_inputs, n_units), nb.LinearReadout(1), nb.LinearPredictor())


def part_of(rule, n_units=16, n_steps=8, batch_size=10, seeds=2, points=1):
    task = nb.tasks.TargetReaching(n_steps)
    network = circuit(n_units, task.n_inputs)
    network = dataclasses.replace(network, readout=nb.LinearReadout(task.n_outputs))
    schedule = Schedule(2, batch_size)
    experiment = Experiment(network, task, rule, nb.Optimizers(), schedule, Seeds.count(seeds))
    return Cohort((experiment,) * points, ({},) * points)


def begun(*_):
    raise RuntimeError("begun")


def only(monkeypatch, n_bytes):
    monkeypatch.setattr(free_memory, "free", lambda: n_bytes)


# ------------------------------------------------------------------------------------------------------ multiply–adds


def test_products_are_counted_and_sums_are_not():
    assert count(lambda a, b: a @ b, A, B) == 3 * 4 * 5
    assert count(lambda a, b: jnp.tanh(a @ b) * 2 + 1, A, B) == 3 * 4 * 5 + 2 * 3 * 5
    assert count(lambda a, b: jnp.einsum("bij,bjk->bik", jnp.stack([a] * 7), jnp.stack([b] * 7)), A, B) == 7 * 60
    assert count(lambda a: (a + a - 1).sum(), A) == 0
    assert count(lambda a: jnp.arange(4) * jnp.arange(4), A) == 0  # whole numbers


def scanned(length):
    return lambda w: jax.lax.scan(lambda x, _: (w @ x, x), w, None, length=length)[0]


def test_loops_count_every_round_and_branches_the_larger_one():
    assert count(scanned(6), SQUARE) == 6 * 64
    assert count(lambda w: jax.lax.scan(lambda x, _: (scanned(3)(x), None), w, None, length=5)[0], SQUARE) == 15 * 64
    assert count(lambda w, n: jax.lax.cond(n > 0, lambda: w @ w @ w, lambda: w @ w), SQUARE, 1) == 2 * 64

    def until(w, n):
        return jax.lax.fori_loop(0, n, lambda _, x: w @ x, w)

    assert count(until, SQUARE, 9, iterations=2.5) == 2.5 * 64
    assert count(until, SQUARE, 9, iterations=5) != 2.5 * 64


def test_calls_are_written_out_and_dead_ends_are_left_out():
    inner = jax.jit(lambda w: (w @ w, w @ w @ w))
    assert count(lambda w: inner(w)[0], SQUARE) == 64
    assert count(lambda w: inner(w)[1], SQUARE) == 128
    assert count(jax.grad(lambda w: jax.nn.relu(w @ w).sum()), SQUARE) >= 3 * 64


def exponent(rule, small, large, count):
    return math.log(count(rule, large) / count(rule, small)) / math.log(large / small)


def test_rtrl_grows_with_the_fourth_power_of_units_and_bptt_with_the_second():
    def of(rule, n):
        return nb.cost(circuit(n), rule, batch_size=20, n_steps=10).multiply_adds

    assert exponent(nb.rtrl(), 200, 400, of) == pytest.approx(4, abs=0.05)
    assert exponent(nb.bptt(), 200, 400, of) == pytest.approx(2, abs=0.1)
    assert exponent(nb.kf_rtrl(), 200, 400, of) == pytest.approx(3, abs=0.2)


def test_memory_of_bptt_grows_with_the_trial_and_that_of_rtrl_does_not():
    def of(rule, n_steps):
        return nb.cost(circuit(50), rule, batch_size=20, n_steps=n_steps).memory

    assert exponent(nb.bptt(), 500, 1000, of) == pytest.approx(1, abs=0.05)
    assert exponent(nb.rtrl(), 500, 1000, of) < 0.05


def new_operation(name="new_in_jax"):
    """An operation that neuro_bpl has never heard of, with parameters that it has not, either."""
    primitive = Primitive(name)
    primitive.def_impl(lambda a, **_: a)
    primitive.def_abstract_eval(lambda a, **_: a)
    mlir.register_lowering(primitive, lambda ctx, a, **_: [a])
    ad.deflinear(primitive, lambda ct, **_: [ct])
    batching.defvectorized(primitive)
    return lambda a: primitive.bind(a, rounds=object(), within=("nothing", None))


class Unreadable:
    """A program in a form that no version of JAX has."""

    jaxpr = object()


def test_an_unknown_operation_makes_the_cost_unknown_and_says_so():
    traced = jax.jit(lambda a: new_operation()(a) * 2).trace(A)
    version = re.escape(jax.__version__)
    with pytest.warns(RuntimeWarning, match=rf"cost is unknown: JAX {version} (?s:.*)operation called new_in_jax"):
        assert estimate.count(traced) == (None, None)
    assert estimate.count(jax.jit(lambda a: a * 2).trace(A)) == (12.0, 2 * 48)


def test_an_unknown_form_of_programs_makes_the_cost_unknown_and_says_so(untyped):
    with pytest.warns(RuntimeWarning, match=r"cost is unknown: JAX (?s:.*)AttributeError"):
        assert estimate.count(Unreadable()) == (None, None)


def test_training_goes_on_where_the_cost_is_unknown(monkeypatch, capsys):
    """A loop over a readout that uses the operation: trained, swept and shown in a dry run."""
    new = new_operation()
    predict = nb.RateCortex.activate
    monkeypatch.setattr(nb.RateCortex, "activate", lambda self, *given: jax.tree.map(new, predict(self, *given)))
    only(monkeypatch, 10)
    jax.clear_caches()
    with pytest.warns(RuntimeWarning, match="new_in_jax"):
        run = train(nb.bptt())
    with pytest.warns(RuntimeWarning, match="new_in_jax"):
        assert grid.networks_at_once(part_of(nb.bptt(), points=2)) == 4
    with pytest.warns(RuntimeWarning, match="new_in_jax"):
        report = dry_run.report([grid.Point({"rule": "BPTT"}, part_of(nb.bptt()).first)])
    jax.clear_caches()
    assert report.splitlines()[1].split()[:4] == ["BPTT", "unknown", "unknown", "unknown"]
    monkeypatch.undo()
    np.testing.assert_array_equal(run["training"]["loss"], train(nb.bptt())["training"]["loss"])


def test_the_versions_whose_programs_are_read_include_the_installed_one():
    first, last = (tuple(map(int, known.split("."))) for known in KNOWN_JAX)
    assert first <= tuple(map(int, jax.__version__.split(".")[:2])) <= last


def test_a_derivative_of_tanh_counts_in_every_form():
    n = A.shape[0] * A.shape[1]
    assert n <= count(jax.jacobian(lambda a: jnp.tanh(a).sum()), A) <= 4 * n


# ------------------------------------------------------------------------------------------------------------- memory


def test_an_array_is_kept_until_it_was_last_read():
    kilobyte = jax.ShapeDtypeStruct((16, 16), jnp.float32)
    assert footprint(program(lambda a: a @ a, kilobyte)) == 2 * 1024
    assert footprint(program(lambda a: a @ a @ a @ a @ a, kilobyte)) == 3 * 1024
    assert footprint(program(lambda a: (a @ a, a @ a @ a), kilobyte)) >= 3 * 1024
    assert footprint(program(lambda a: jnp.tanh(a + 1).sum(), kilobyte)) == 1024 + 4  # fused


def test_what_is_carried_is_the_size_of_the_arrays_of_the_rule():
    for rule in (nb.rtrl(), nb.bp_lambda(view="backward")):
        with jax.enable_x64(False):
            weights = CIRCUIT.init(jax.random.key(0))
            state = rule.init(CIRCUIT, weights, 3, jax.random.key(1))
        wanted = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        assert nb.cost(CIRCUIT, rule, batch_size=3, n_steps=4, seeds=2).carried == 2 * wanted
        assert nb.cost(CIRCUIT, rule, batch_size=4, n_steps=4, seeds=2).carried != 2 * wanted
    assert nb.cost(CIRCUIT, nb.bptt(), batch_size=3, n_steps=4).carried == 0


def test_weights_are_counted_with_the_moments_of_adam():
    with jax.enable_x64(False):
        n_weights = sum(leaf.size for leaf in jax.tree.leaves(CIRCUIT.init(jax.random.key(0))))
    sgd = nb.Optimizers(*[nb.Optimizer("sgd", 0.1)] * 3)
    adam = nb.cost(CIRCUIT, nb.bptt(), batch_size=3, n_steps=4).weights
    assert 3 * 4 * n_weights <= adam <= 3 * 4 * n_weights + 4 * len(nb.Weights._fields)
    assert nb.cost(CIRCUIT, nb.bptt(), batch_size=3, n_steps=4, optimizers=sgd).weights == 4 * n_weights


def test_float64_takes_twice_the_room_and_networks_add_up():
    one, double, three = (
        nb.cost(circuit(30), nb.rtrl(), batch_size=5, n_steps=4, **more)
        for more in ({}, {"precision": "float64"}, {"seeds": 3})
    )
    assert double.memory / one.memory == pytest.approx(2, rel=0.01)
    assert three.memory / one.memory == pytest.approx(3, rel=0.05)
    assert three.multiply_adds == pytest.approx(3 * one.multiply_adds, rel=0.01)


def planned(rule, n_units, n_steps, batch_size):
    """Bytes of the plan of XLA for an update."""
    with jax.enable_x64(False):
        schedule, seeds = Schedule(1, batch_size), Seeds.count(2)
        traced, _ = estimate.trace_update(circuit(n_units), rule, nb.Optimizers(), schedule, seeds, n_steps, False)
        plan = traced.lower().compile().memory_analysis()
    return plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes


@pytest.mark.full
@pytest.mark.parametrize(
    ("rule", "sizes"),
    [(nb.rtrl(), (32, 3, 10)), (nb.bp_lambda(view="backward"), (32, 3, 10)), (nb.bptt(), (16, 300, 20))],
    ids=["RTRL", "BP(1) backward", "BPTT"],
)
def test_memory_is_that_of_the_compiler_within_a_factor_of_two(rule, sizes):
    n_units, n_steps, batch_size = sizes
    wanted = planned(rule, *sizes)
    of = partial(nb.cost, circuit(n_units), rule, n_steps=n_steps)
    assert wanted / 2 < of(batch_size=batch_size, seeds=2).memory < 2 * wanted
    assert not wanted / 2 < of(batch_size=5 * batch_size, seeds=2).memory < 2 * wanted


def test_the_traced_program_is_the_one_that_is_run(monkeypatch):
    traced = []
    learn = updating.learn_batch
    monkeypatch.setattr(updating, "learn_batch", lambda *given: traced.append(1) or learn(*given))
    part = part_of(nb.snap(), n_units=3, n_steps=5)
    estimate.of_part(part)
    before = len(traced)
    train_part(part, "0", Memory(attributes([part], {}, "")), Bars(False).expect("0", part), raising=True)
    assert len(traced) == before > 0
    estimate.of_part(part_of(nb.snap(), n_units=3, n_steps=5, batch_size=9))
    assert len(traced) > before


def test_a_cost_reads_as_a_sentence_with_units():
    assert repr(estimate.Cost(2.5e9, 12_300_000, 999, 4_000)) == (
        "Cost(multiply_adds=2.5 G, memory=12.3 MB, carried=999 B, weights=4.0 kB)"
    )
    assert estimate.scaled(999_960) == "1.0 M"
    assert estimate.scaled(99_940) == "99.9 k"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, ["batch_size = 0"]),
        ({"n_steps": 0}, ["n_steps = 0"]),
        ({"n_steps": True}, ["n_steps = True"]),
        ({"seeds": 0}, ["seeds = 0"]),
        ({"precision": "float16"}, ["precision = 'float16'"]),
        ({"rule": nb.rflo()}, ["feedback"]),
    ],
)
def test_a_cost_of_nothing_is_refused(arguments, words):
    given = {"rule": nb.bptt(), "batch_size": 2, "n_steps": 3, **arguments}
    rule = given.pop("rule")
    with refused(*words):
        nb.cost(CIRCUIT, rule, **given)


# ------------------------------------------------------------------------------------------------------------ refusal


def test_a_run_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    only(monkeypatch, 5_000)
    monkeypatch.setattr(Trainer, "begin", begun)
    with refused("cost = Cost", "memory of at most 5.0 kB", "2 networks at once with RTRL"):
        train(nb.rtrl(), output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    only(monkeypatch, 10_000_000)
    with pytest.raises(RuntimeError, match="begun"):  # it goes on to the first update
        train(nb.rtrl(), output=tmp_path / "run")


def test_the_nearest_form_that_fits_is_named(monkeypatch):
    part = part_of(nb.rtrl(), n_units=30)
    needed = estimate.of_part(part).memory
    rungs = [estimate.of_part(fitting._with_rung(part, *rung)).memory for rung in fitting.rungs(part.first.rule)]
    assert needed > rungs[0]
    assert "trace=nb.traces.Kronecker()) (KF-RTRL" in fitting.nearest_form(part, rungs[0])
    other = fitting.nearest_form(part, min(rungs))
    assert "Kronecker" not in other
    assert "dataclasses.replace(rule, trace=nb.traces." in other
    assert fitting.nearest_form(part, 1000) == "the same on a machine with more memory, or a circuit with fewer units"


def test_what_is_typed_is_a_rule_that_fits():
    part = part_of(nb.rtrl(update="step"), n_units=30)
    typed, smaller = next(fitting.forms(part, 10**6))
    made = eval(typed, {"dataclasses": dataclasses, "nb": nb, "rule": part.first.rule})
    assert made == smaller.first.rule
    assert made.name == "KF-RTRL step-wise"


def test_without_a_cheaper_trace_there_are_fewer_networks_then_fewer_trials():
    part = part_of(nb.bptt(), n_steps=100, batch_size=64, seeds=4)
    memory = estimate.of_part(part).memory
    assert fitting.nearest_form(part, int(0.6 * memory)).startswith("seeds=2, and the others in other runs (BPTT")
    alone = part_of(nb.bptt(), n_steps=100, batch_size=64, seeds=1)
    assert fitting.nearest_form(alone, int(0.6 * estimate.of_part(alone).memory)).startswith("batch_size=")


def test_the_ladder_goes_down_only():
    def kinds(rule):
        return [type(rung).__name__ for _, rung in fitting.rungs(rule)]

    assert kinds(nb.rtrl()) == ["Kronecker", "RankOne", "Diagonal"]
    assert kinds(nb.uoro()) == ["Diagonal"]
    assert kinds(nb.bptt()) == []


def test_where_nobody_knows_what_is_free_nothing_is_refused(monkeypatch):
    only(monkeypatch, None)
    fitting.check_memory(part_of(nb.rtrl(), n_units=10_000))
    only(monkeypatch, 10**9)
    with refused("cost = Cost"):
        fitting.check_memory(part_of(nb.rtrl(), n_units=10_000))


def test_a_sweep_splits_what_is_too_large_and_refuses_what_still_is(monkeypatch):
    part = part_of(nb.rtrl(), points=4)
    needed = estimate.of_part(part).memory
    only(monkeypatch, 4 * needed)
    assert grid.networks_at_once(part) == 8
    only(monkeypatch, needed)
    assert grid.networks_at_once(part) == 4
    only(monkeypatch, 1)
    assert grid.networks_at_once(part) == 1
    with pytest.raises(ValueError, match=r"every point of the sweep failed(?s:.*)memory of at most 1 B"):
        sweep({"lambda_": [0.0, 1.0]}, n_updates=1)


def test_free_memory_heeds_the_limit_of_a_container(tmp_path, monkeypatch):
    inner = tmp_path / "job"
    inner.mkdir()
    for name, text in {
        "memory.max": "5000",
        "memory.current": "3000",
        "memory.stat": "anon 1\ninactive_file 500\n",
    }.items():
        (inner / name).write_text(text)
    (tmp_path / "own").write_text("0::/job\n")
    monkeypatch.setattr(free_memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(free_memory, "OWN_CGROUP", tmp_path / "own")
    assert free_memory.free() == 2500
    (inner / "memory.max").write_text("max")
    assert free_memory.free() > 10**6
    monkeypatch.setattr(free_memory, "OWN_CGROUP", tmp_path / "nowhere")
    assert free_memory.free() > 10**6


# ------------------------------------------------------------------------------------------------------------ dry run


def shown(monkeypatch, capsys, model, *words):
    monkeypatch.setattr("neuro_bpl.scripting.command_line.keep_compiled", lambda: None)
    monkeypatch.setattr(sys, "argv", [model, *map(str, words), "--dry-run"])
    runpy.run_path(str(ROOT / model), run_name="__main__")
    return capsys.readouterr().out


def test_a_dry_run_shows_every_point_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("--seeds", 2, "--n-units", 3, "--n-updates", 1000, "--output", tmp_path / "run")
    out = shown(monkeypatch, capsys, "models/target_reaching.py", *words)
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:-1]] == ["lambda_ 0.0", "lambda_ 0.5", "lambda_ 1.0"]
    assert "memory at the peak" in lines[0]
    assert "nothing was trained or written" in lines[-1]
    assert list(tmp_path.iterdir()) == []
    update, run = [cell.strip() for cell in lines[1].split("  ") if cell.strip()][1:3]
    assert (update.split()[0], update[-1], run[-1]) == (run.split()[0], "k", "M")  # 1000 updates


def test_a_dry_run_of_several_tasks_shows_all_of_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("--task", "add,target_reaching", "--rule", "bptt,rtrl", "--n-units", 3, "--n-updates", 10)
    out = shown(monkeypatch, capsys, "models/rule_comparison.py", *words)
    names = [line.split("  ")[0] for line in out.splitlines()[1:-1]]
    assert names == ["add, BPTT", "add, RTRL", "target_reaching, BPTT", "target_reaching, RTRL"]
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_makes_the_same_checks_as_the_run(monkeypatch, capsys):
    words = ("--plastic", "--n-units", 3, "--n-steps", 3, "--rule")
    with pytest.raises(SystemExit):
        shown(monkeypatch, capsys, "models/target_reaching.py", *words, "dni:1,bptt,bp_lambda:0")
    err = capsys.readouterr().err
    assert "dni:1 and bp_lambda:0 are the same experiment, BP(0); with windows of one step" in err
    assert "Type: --rule dni:1,bptt.\n" in err
    words = (*words, "bptt,bp_lambda", "--sweep", "lambda_=0,1")
    with pytest.raises(SystemExit):
        shown(monkeypatch, capsys, "models/target_reaching.py", *words)
    assert "a parameter of the grid does not change it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rules", "names"),
    [("bptt,tbptt:2,bp_lambda", ["BPTT", "TBPTT(2)", "BP(1)"]), ("bp_lambda:0.5", ["BP(0.5)"])],
)
def test_lambda_varies_by_itself_only_where_every_rule_has_it(monkeypatch, capsys, rules, names):
    words = ("--plastic", "--n-units", 3, "--n-steps", 3, "--rule", rules)
    out = shown(monkeypatch, capsys, "models/target_reaching.py", *words)
    assert [line.split("  ")[0] for line in out.splitlines()[1:-1]] == names


def test_a_dry_run_shows_a_point_that_is_not_possible(monkeypatch, capsys):
    words = ("--n-units", 3, "--sweep", "n_steps=0,3")
    out = shown(monkeypatch, capsys, "models/target_reaching.py", *words)
    assert "n_steps 0  ValueError: Parameters.n_steps = 0 is not possible." in " ".join(out.split("   "))
    assert len(out.splitlines()) == 4


def test_a_dry_run_fetches_nothing(tmp_path, monkeypatch, capsys):
    words = ("--dataset", "mnist", "--download", "--data-dir", tmp_path)
    with pytest.raises(SystemExit):
        shown(monkeypatch, capsys, "models/sequential_digits.py", *words)
    assert "Type: the same without --dry-run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_table_holds_the_cost_of_the_point():
    part = part_of(nb.rtrl())
    report = dry_run.report([grid.Point({"rule": "RTRL"}, part.first)])
    found = estimate.of_part(part)
    cells = [
        estimate.scaled(found.multiply_adds),
        estimate.scaled(2 * found.multiply_adds),
        estimate.n_bytes(found.memory),
    ]
    assert [cell.strip() for cell in report.splitlines()[1].split("  ") if cell.strip()][1:4] == cells
