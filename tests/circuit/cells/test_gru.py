"""The GRU as others have it, and gates that read inputs only or rates only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from random_circuits import N_INPUTS, N_OUTPUTS, N_UNITS, random_trials, random_weights, relative_error, size

import neuro_bpl as nb
from neuro_bpl.circuit import cortex as cortical
from neuro_bpl.circuit import jacobian

CELL = nb.GRUCortex(N_INPUTS, N_UNITS)
CIRCUIT = nb.Circuit(CELL, nb.LinearReadout(N_OUTPUTS))


def test_weights_have_rows_for_the_gates_that_read():
    weights = CIRCUIT.init(jax.random.key(0)).cortex
    shapes = [leaf.shape for leaf in weights[:3]]
    assert shapes == [(3 * N_UNITS, N_INPUTS), (3 * N_UNITS, N_UNITS), (4 * N_UNITS,)]


def test_states_and_gradients_are_those_of_torch():
    torch = pytest.importorskip("torch")
    weights, trials = random_weights(CIRCUIT, seed=0), random_trials("every step", "squared_error", seed=1)
    cell = torch.nn.GRU(N_INPUTS, N_UNITS, batch_first=True, dtype=torch.float64)
    w_in, w_rec, b, _ = (None if leaf is None else torch.tensor(np.array(leaf)) for leaf in weights.cortex)
    n = N_UNITS
    # PyTorch has two biases for each of r and z, which only their sum tells apart: here the second one is zero.
    b_rec = torch.cat([torch.zeros(2 * n, dtype=torch.float64), b[3 * n :]])
    with torch.no_grad():
        for name, value in {"weight_ih": w_in, "weight_hh": w_rec, "bias_ih": b[: 3 * n], "bias_hh": b_rec}.items():
            getattr(cell, f"{name}_l0").copy_(value)
    h, _ = cell(torch.tensor(np.array(trials.inputs)))
    w_out, b_out = (torch.tensor(np.array(leaf)) for leaf in weights.readout)
    loss = 0.5 * ((h @ w_out.T + b_out - torch.tensor(np.array(trials.targets))) ** 2).sum() / trials.n_trials
    loss.backward()
    got = jax.jit(nb.bptt().gradients, static_argnums=0)(CIRCUIT, weights, trials).cortex
    path, _ = jax.jit(CIRCUIT.run)(weights, trials)
    np.testing.assert_allclose(jnp.moveaxis(path.s_t[0], -1, 0), h.detach().numpy(), rtol=1e-12, atol=1e-14)
    d_b = torch.cat([cell.bias_ih_l0.grad, cell.bias_hh_l0.grad[2 * n :]])
    wanted = [gradient.numpy() for gradient in (cell.weight_ih_l0.grad, cell.weight_hh_l0.grad, d_b)]
    assert relative_error(got[:3], wanted) <= 1e-12
    assert min(map(size, wanted)) > 1e-2


def test_the_path_through_the_cell_itself_is_the_update_gate():
    weights, rng = random_weights(CIRCUIT, seed=2).cortex, np.random.default_rng(3)
    h, x, credit = (jnp.asarray(rng.normal(size=(size, 4))) for size in (N_UNITS, N_INPUTS, N_UNITS))
    a_t = cortical.activation(CELL, weights, (h,), x)
    direct, _ = jacobian.pull_gates(CELL, (h,), a_t, (credit,))
    z = 1 / (
        1 + np.exp(-(weights.w_in @ x + weights.w_rec @ h + weights.b[: 3 * N_UNITS, None])[N_UNITS : 2 * N_UNITS])
    )
    assert relative_error(direct, (z * credit,)) <= 1e-14


@pytest.mark.full
def test_a_stored_run_is_loaded_and_records_no_trace_of_absent_synapses(tmp_path):
    circuit = nb.Circuit(nb.GRUCortex(tiny.N_INPUTS, 3), tiny.READOUT, nb.LinearPredictor())
    rule, path = nb.bp_lambda(trace=nb.Leaky()), tmp_path / "run"
    run = tiny.train(rule, circuit, n_updates=1, record=["cortical_trace"], output=path)
    again, weights = nb.load(path)
    assert again == circuit
    assert weights.cortex.w_in.shape == (2, 3 * 3, tiny.N_INPUTS)
    trace = np.abs(run["activity"]["cortical_trace"]).max(("seed", "snapshot", "trial", "time", "state"))
    exists = np.ones((4, tiny.N_INPUTS + 3 + 1), bool)
    exists[2, tiny.N_INPUTS : -1] = exists[3, : tiny.N_INPUTS] = False
    np.testing.assert_array_equal(trace.values > 0, exists)
