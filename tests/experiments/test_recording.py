"""Results: every number named, with unit and provenance, and equal to what NumPy computes from the stored weights."""

import datetime
import json
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from tiny import refused

import neuro_bpl as nb
from neuro_bpl.experiments import probe as probing
from neuro_bpl.experiments.recording import units
from neuro_bpl.runs import schema
from neuro_bpl.runs.quantities import EVALUATION, QUANTITIES, SNAPSHOT, UPDATE

N_IN, N_UNITS, N_OUT, N_STEPS, N_UPDATES, N_GRANULE = 2, 3, 2, 4, 6, 5
BATCH, B = 3, 4  # a probe batch of another size than the training batches
LAMBDA, DISCOUNT, KAPPA, LEAK = 0.6, 0.9, 0.7, 0.5
CIRCUIT = nb.Circuit(
    nb.RateCortex(N_IN, N_UNITS, "tanh", tau=0.04, dt=0.02),
    nb.LinearReadout(N_OUT),
    nb.GranularPredictor(N_GRANULE, fan_in=2),
)
FAST = nb.Optimizers(*(nb.Optimizer("sgd", 0.2),) * 3)
# Checked one by one; comparisons and curricula have tests of their own.
RECORDED = tuple(
    name
    for name, quantity in QUANTITIES.items()
    if quantity.group != "comparison" and "curriculum" not in quantity.needs
)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Sums:
    """Say the running sum of the inputs."""

    def sample(self, data_key, noise_key, batch_size):
        inputs = jax.random.normal(data_key, (batch_size, N_STEPS, N_IN))
        return nb.Trials(inputs, jnp.cumsum(inputs, axis=1))

    def held_out(self, split):
        return self.sample(jax.random.key(len(split)), None, 3)

    def probe(self):
        return self.sample(jax.random.key(9), None, B)


def train(rule, record, **more):
    arguments = {"n_updates": N_UPDATES, "batch_size": BATCH, "seeds": 2, "n_evaluations": 3, "n_snapshots": 2}
    return nb.train(CIRCUIT, Sums(), rule, record=record, progress=False, precision="float64", **{**arguments, **more})


@pytest.fixture(scope="module")
def run():
    return train(nb.bp_lambda(LAMBDA, DISCOUNT, KAPPA), RECORDED, optimizers=FAST)


@pytest.fixture(scope="module")
def bptt():
    return train(nb.bptt(), ["rates", "true_gradient"])


# ---------------------------------------------------------------------------------------------------------- structure


def test_a_run_has_its_groups_and_only_those_asked_for(run, bptt):
    always = {"parameters", "training", "evaluation", "weights"}
    assert set(run.children) == always | {"gradients", "activity"}
    assert set(bptt.children) == always | {"activity"}
    assert set(bptt["activity"].data_vars) == {"rates", "true_gradient"}
    assert set(bptt["training"].data_vars) == {"loss", "accuracy", "diverged_at"}


@pytest.mark.parametrize("name", [name for name in RECORDED if name != "weights"])
def test_a_recorded_quantity_has_the_dims_sizes_and_words_declared_for_it(run, name):
    quantity, values = QUANTITIES[name], run[QUANTITIES[name].group][name]
    sizes = {"seed": 2, "update": N_UPDATES, "snapshot": 3, "trial": B, "time": N_STEPS, "unit": N_UNITS}
    sizes |= {
        "gate": 1,
        "presynaptic": N_IN + N_UNITS + 1,
        "state": N_UNITS,
        "granule": N_GRANULE,
        "output": N_OUT,
        "part": len(nb.Weights._fields),
    }
    if quantity.cadence == EVALUATION:
        sizes["update"] = 4
    assert values.dims == ("seed", *quantity.dims)
    assert values.sizes == {dim: sizes[dim] for dim in values.dims}
    assert values.attrs["units"] == quantity.units.format(loss="squared output")
    assert (values.attrs["long_name"], values.attrs["cadence"]) == (quantity.long_name, quantity.cadence)
    assert values.dtype == np.float64


def test_cadences_are_those_of_the_schedule(run):
    assert run["training"]["update"].values.tolist() == [1, 2, 3, 4, 5, 6]
    assert run["evaluation"]["update"].values.tolist() == [0, 2, 4, 6]
    assert run["gradients"]["update"].values.tolist() == [0, 2, 4, 6]
    assert run["weights"]["snapshot"].values.tolist() == run["activity"]["snapshot"].values.tolist()
    assert set(run["weights"]["snapshot"].values) < set(run["evaluation"]["update"].values)
    assert run["weights"]["snapshot"].values[[0, -1]].tolist() == [0, 6]
    assert {quantity.cadence for quantity in QUANTITIES.values()} == {UPDATE, EVALUATION, SNAPSHOT}


def test_held_out_loss_and_accuracy_are_by_split(run):
    for name in ("loss", "accuracy"):
        assert run["evaluation"][name].dims == ("seed", "update", "split")
    assert sorted(run["evaluation"]["split"].values.tolist()) == ["test", "validation"]


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"])
def test_units_follow_the_loss(loss):
    circuit = nb.Circuit(nb.RateCortex(2, 3), nb.LinearReadout(2, loss))
    unit = "squared output" if loss == "squared_error" else "nat"
    assert units("loss", circuit) == unit
    assert units("td_error", circuit) == f"{unit} per unit of state"
    assert not any("{" in units(name, circuit) for name in QUANTITIES)


def test_every_variable_and_coordinate_has_a_unit_and_a_name_in_words(run):
    for group in run.children.values():
        for name, values in group.to_dataset().variables.items():
            assert values.attrs["units"], (group.name, name)
            assert "{" not in values.attrs["units"]
            assert values.attrs["long_name"], (group.name, name)


def test_every_dim_has_a_coordinate(run, bptt):
    for group in (*run.children.values(), *bptt.children.values()):
        dataset = group.to_dataset()
        assert set(dataset.dims) <= set(dataset.coords), group.name


def test_weights_are_those_of_the_circuit(run):
    born = jax.eval_shape(CIRCUIT.init, jax.random.key(0))
    for path, leaf in jax.tree_util.tree_leaves_with_path(born):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        assert run["weights"][name].shape == (2, 3, *leaf.shape)
    assert run["weights"]["cortex.w_rec"].dims == ("seed", "snapshot", "cortex.w_rec.post", "cortex.w_rec.pre")


def test_parameters_are_stored_with_unit_symbol_and_source(run):
    parameters = run["parameters"]
    assert parameters["circuit.cortex.tau"].item() == 0.04
    assert parameters["circuit.cortex.tau"].attrs["units"] == "s"
    assert parameters["circuit.cortex.tau"].attrs["symbol"] == "τ"
    assert parameters["rule.credit.discount"].item() == DISCOUNT
    assert parameters["circuit.cerebellum.fan_in"].item() == 2
    assert parameters["schedule.n_updates"].item() == N_UPDATES
    assert parameters["seeds.data"].values.tolist() == [0, 1]


def test_provenance_says_what_was_run(run):
    attrs = run.attrs
    assert (attrs["format"], attrs["format_version"], attrs["rule"]) == ("neuro_bpl run", "3", "BP(0.6)")
    (point,) = nb.statuses(run)
    assert (point["at"], point["status"], point["error"]) == ({}, "complete", "")
    assert point["run"]["circuit"]["cerebellum"] == {
        "type": "GranularPredictor",
        "n_granule": N_GRANULE,
        "fan_in": 2,
        "plasticity": "output",
        "reads_input": False,
    }
    assert point["run"]["rule"]["credit"]["lambda_"] == LAMBDA
    assert point["run"]["optimizers"]["cortex"]["learning_rate"] == 0.2
    assert point["run"]["seeds"]["noise"] == [0, 1]
    assert point["run"]["record"] == list(RECORDED)
    versions = json.loads(attrs["versions"])
    assert {"neuro_bpl", "jax", "numpy", "optax", "xarray", "zarr", "icechunk", "python"} <= set(versions)
    assert versions["jax"] == jax.__version__
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(attrs["created_at"])
    assert abs(age) < datetime.timedelta(hours=1)
    assert isinstance(attrs["commit"], str)


# ----------------------------------------------------------------------------------- recorded numbers, by dull loops


def unit_cosine(a, b):
    return a @ b / np.sqrt(a @ a) / np.sqrt(b @ b) if a.any() and b.any() else np.nan


def dull(w, trials):
    """Everything that is recorded of one network on the probe batch, one trial and one step after another."""
    x, targets = np.asarray(trials.inputs), np.asarray(trials.targets)
    T, found = N_STEPS, {}
    keep = {
        "rates",
        "cortical_state",
        "outputs",
        "granule_rates",
        "predicted_gradient",
        "true_gradient",
        "lambda_target",
        "td_error",
        "cortical_trace",
        "predictor_trace",
    }
    per_trial = {name: [] for name in keep}
    ours, exact = ([np.zeros_like(w[f"cortex.{name}"]) for name in ("w_in", "w_rec", "b")] for _ in range(2))
    updates, towards_exact = [], []
    for trial in range(len(x)):
        h, u, y, error, granule, g = [np.zeros(N_UNITS)], [None], [None], [None], [None], [None]
        for t in range(1, T + 1):
            u.append(w["cortex.w_in"] @ x[trial, t - 1] + w["cortex.w_rec"] @ h[t - 1] + w["cortex.b"])
            h.append((1 - LEAK) * h[t - 1] + LEAK * np.tanh(u[t]))
            y.append(w["readout.w"] @ h[t] + w["readout.b"])
            error.append((y[t] - targets[trial, t - 1]) @ w["readout.w"] / BATCH)
            granule.append(np.maximum(w["cerebellum.w_granule"] @ h[t] + w["cerebellum.b_granule"], 0))
            g.append(w["cerebellum.w_purkinje"] @ granule[t] + w["cerebellum.b_purkinje"])
        g[T] = np.zeros(N_UNITS)

        def pull(v, t, u=u):
            jacobian = (1 - LEAK) * np.eye(N_UNITS) + LEAK * (1 - np.tanh(u[t]) ** 2)[:, None] * w["cortex.w_rec"]
            return v @ jacobian

        G, target, one_step = ([np.zeros(N_UNITS) for _ in range(T + 1)] for _ in range(3))
        for t in range(T - 1, 0, -1):
            ahead = DISCOUNT * ((1 - LAMBDA) * g[t + 1] + LAMBDA * target[t + 1])
            G[t] = pull(error[t + 1] + G[t + 1], t + 1)
            target[t] = pull(error[t + 1] + ahead, t + 1)
            one_step[t] = pull(error[t + 1] + DISCOUNT * g[t + 1], t + 1)
        for t in range(1, T + 1):
            for gradient, future in ((ours, KAPPA * g[t]), (exact, G[t])):
                drive = (error[t] + future) * LEAK * (1 - np.tanh(u[t]) ** 2)
                for share, presynaptic in zip(gradient[:2], (x[trial, t - 1], h[t - 1]), strict=True):
                    share += np.outer(drive, presynaptic)
                gradient[2] += drive
        delta = [one_step[t] - g[t] for t in range(T + 1) if t]
        series = {"rates": h, "cortical_state": h, "outputs": y, "granule_rates": granule, "predicted_gradient": g}
        series |= {"true_gradient": G, "lambda_target": target, "td_error": [None, *delta]}
        for learnt, wanted in ((updates, target), (towards_exact, G)):
            features = [np.append(granule[t], 1) for t in range(1, T)]
            learnt.append(sum(np.outer(wanted[t] - g[t], features[t - 1]) for t in range(1, T)).ravel())
        trace, lengths, eligible = np.zeros((N_UNITS, N_UNITS, N_GRANULE + 1)), [None], [None]
        for t in range(1, T + 1):
            trace = DISCOUNT * LAMBDA * np.einsum("ij,jkl->ikl", pull(np.eye(N_UNITS), t), trace)
            for i in range(N_UNITS):
                trace[i, i] += np.append(granule[t], 1)
            lengths.append(np.sqrt((trace**2).sum((1, 2))))
            presynaptic = np.concatenate([x[trial, t - 1], h[t - 1], [1]])
            eligible.append(np.outer(LEAK * (1 - np.tanh(u[t]) ** 2), presynaptic)[:, None])
        series |= {"predictor_trace": lengths, "cortical_trace": eligible}
        for name, steps in series.items():
            per_trial[name].append(steps[1:])
    found |= {name: np.array(values) for name, values in per_trial.items()}
    cosines = np.array(
        [
            [unit_cosine(found["predicted_gradient"][k, t], found["true_gradient"][k, t]) for t in range(T)]
            for k in range(len(x))
        ]
    )
    # A step at which no trial has both gradients has no cosine.
    none = np.isnan(cosines).all(0)
    found["gradient_alignment"] = np.where(
        none, np.nan, np.nansum(cosines, 0) / np.maximum((~np.isnan(cosines)).sum(0), 1)
    )
    found["td_error_size"] = np.sqrt((found["td_error"] ** 2).sum(-1).mean(0))
    found["weight_alignment"] = unit_cosine(*(np.concatenate([leaf.ravel() for leaf in g]) for g in (ours, exact)))
    mean, wanted = np.mean(updates, 0), np.mean(towards_exact, 0)
    found["update_alignment"] = unit_cosine(mean, wanted)
    found["update_bias"] = ((mean - wanted) ** 2).sum() / (wanted**2).sum()
    found["update_variance"] = ((updates - mean) ** 2).sum(1).mean() / (wanted**2).sum()
    return found


@pytest.fixture(scope="module")
def recomputed(run):
    """By seed and snapshot."""
    trials = Sums().probe()
    snapshots = run["weights"].to_dataset().sizes["snapshot"]
    return [
        [
            dull({name: values.values[seed, at] for name, values in run["weights"].data_vars.items()}, trials)
            for at in range(snapshots)
        ]
        for seed in range(2)
    ]


@pytest.mark.parametrize("name", [name for name in RECORDED if name in probing.COMPUTED])
def test_what_is_recorded_agrees_with_a_dull_recomputation_from_the_weights(run, recomputed, name):
    values = run[QUANTITIES[name].group][name]
    if "update" in values.dims:  # Recorded at evaluations, some of which are snapshots of the weights.
        values = values.sel(update=run["weights"]["snapshot"].values)
    wanted = np.array([[found[name] for found in seed] for seed in recomputed])
    np.testing.assert_allclose(values, wanted, rtol=1e-9, atol=1e-12)
    assert np.abs(np.nan_to_num(values.values)).max() > 1e-3  # Liveness.
    first, last = values[:, 0].values, values[:, -1].values
    assert not np.allclose(np.nan_to_num(first), np.nan_to_num(last))  # What learns changes what is recorded.


def test_the_td_error_is_the_one_step_target_minus_the_prediction(run):
    one_step = train(nb.bp_lambda(0.0, DISCOUNT, KAPPA), ["lambda_target", "predicted_gradient", "td_error"])
    activity = one_step["activity"]
    difference = activity["lambda_target"] - activity["predicted_gradient"]
    np.testing.assert_allclose(activity["td_error"], difference, rtol=1e-10, atol=1e-14)
    assert (
        np.abs(
            run["activity"]["td_error"] - (run["activity"]["lambda_target"] - run["activity"]["predicted_gradient"])
        ).max()
        > 1e-4
    )


def test_the_weight_change_is_the_length_of_the_difference_of_snapshots():
    run = train(nb.bp_lambda(LAMBDA, DISCOUNT, KAPPA), ["weight_change"], n_evaluations=6, n_snapshots=6)
    for part in ("cortex", "readout", "cerebellum"):
        steps = [
            np.diff(values.values, axis=1).reshape(2, 6, -1)
            for name, values in run["weights"].data_vars.items()
            if name.startswith(part)
        ]
        wanted = np.sqrt((np.concatenate(steps, -1) ** 2).sum(-1))
        np.testing.assert_allclose(run["training"]["weight_change"].sel(part=part), wanted, rtol=1e-9)
        assert wanted.min() > 0


def test_the_training_loss_is_that_of_the_batch_before_its_update():
    run = train(nb.bptt(), [], n_evaluations=6, n_snapshots=6)
    data = nb.Seeds.count(2).keys()[1]
    for seed in range(2):
        for number in range(N_UPDATES):
            w = {name: values.values[seed, number] for name, values in run["weights"].data_vars.items()}
            trials = Sums().sample(jax.random.fold_in(data[seed], number), None, BATCH)
            targets, loss = np.asarray(trials.targets), 0.0
            outputs = dull(w, trials)["outputs"]
            loss = 0.5 * ((outputs - targets) ** 2).sum() / BATCH
            np.testing.assert_allclose(run["training"]["loss"].values[seed, number], loss, rtol=1e-10)


def test_the_last_step_of_a_trial_has_no_future(run):
    for name in ("true_gradient", "predicted_gradient", "lambda_target", "td_error"):
        assert run["activity"][name].isel(time=slice(None, -1), snapshot=-1).values.any()
        assert not run["activity"][name].isel(time=-1).values.any()
    assert np.isnan(run["gradients"]["gradient_alignment"].isel(update=0)).all()


# --------------------------------------------------------------------------------------------- what is not a run


@pytest.mark.parametrize("what", [None, {}, 3, xr.Dataset(), xr.DataTree()], ids=lambda what: type(what).__name__)
@pytest.mark.usefixtures("untyped")
def test_what_is_not_a_run_is_refused(what):
    with refused("Allowed", "Why"):
        schema.validate(what)


@pytest.mark.parametrize("group", ["training", "evaluation", "weights", "parameters"])
def test_a_run_that_lost_a_group_is_refused(run, group):
    poorer = run.copy()
    del poorer[group]
    if group == "training":  # A run that has not trained yet is one.
        schema.validate(poorer)
    else:
        with refused(group):
            schema.validate(poorer)


def spoil(run, group, name, change):
    spoilt = run.copy()
    dataset = spoilt[group].to_dataset()
    spoilt[group] = dataset.assign({name: change(dataset[name])})
    return spoilt


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.assign_attrs(units=""),
        lambda values: values.assign_attrs(long_name=""),
        lambda values: values.transpose(),
        lambda values: values.isel(seed=0, drop=True),
    ],
    ids=["no unit", "no name", "dims in another order", "no seed"],
)
@pytest.mark.parametrize(("group", "name"), [("training", "loss"), ("activity", "rates"), ("weights", "cortex.b")])
def test_a_variable_that_is_not_as_the_schema_says_is_refused(run, group, name, change):
    schema.validate(run)
    with refused(f"{group}/{name}"):
        schema.validate(spoil(run, group, name, change))


def test_a_group_without_a_meaning_and_a_dim_without_a_coordinate_are_refused(run):
    with refused("group 'notes'"):
        schema.validate(xr.DataTree.from_dict({**dict(run.to_dict()), "/notes": xr.Dataset()}))
    bare = run.copy()
    bare["training"] = run["training"].to_dataset().drop_vars("update")
    with refused("without coordinate 'update'"):
        schema.validate(bare)


def test_the_leaky_trace_is_recorded_with_what_it_remembers():
    run = train(nb.LearningRule(nb.Leaky(), nb.ImmediateError()), ["cortical_trace", "rates"], n_updates=1)
    w = {name: values.values[0, -1] for name, values in run["weights"].data_vars.items()}
    inputs, rates = np.asarray(Sums().probe().inputs)[0], run["activity"]["rates"].values[0, -1, 0]
    trace, before = np.zeros((N_UNITS, N_IN + N_UNITS + 1)), np.zeros(N_UNITS)
    for t in range(N_STEPS):
        phi = np.tanh(w["cortex.w_in"] @ inputs[t] + w["cortex.w_rec"] @ before + w["cortex.b"])
        trace = (1 - LEAK) * trace + np.outer(LEAK * (1 - phi**2), np.concatenate([inputs[t], before, [1]]))
        got = run["activity"]["cortical_trace"].values[0, -1, 0, t, :, 0]
        np.testing.assert_allclose(got, trace, rtol=1e-9, atol=1e-12)
        before = rates[t]
