"""E-prop, RFLO and SnAp-1 beside D-RTRL of `braintrace`: the same cell, weights, trials and Adam, in one run.

All times come from one run, measured in turn (A B C A B C …), so that a machine that drifts drifts for all of them.
An update is: forward pass, gradients, Adam on all weights; several in one compiled scan, trials already on the device.

Rules of neuro_bpl come twice: swept backwards after the trial, as they learn by default, and carried forward with a
trace for each synapse ("backward", after the view of the predictor), as braintrace does.  braintrace is driven by
`etrace_grad` with the loss of the last step, and once more with nothing but the trace before that step
(`etrace_evolve`).  Its readout stays outside the compiled model, where it gets its gradient (braintrace 0.2.6 leaves a
readout inside at zero).  Its diagonal leaves recurrent weights out, so that D-RTRL of this cell is e-prop: the last
column says how far the two gradients are apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from stopwatch import labelled, seconds

import neuro_bpl as nb
from neuro_bpl import scripting
from neuro_bpl.parameters import check, field

N_OUTPUTS = 10
LEFT_OUT = 'braintrace is not installed: the comparison is left out.  Type: pip install "neuro_bpl[benchmark]"'
RULES = (
    nb.bptt(),
    nb.eprop(),
    nb.rflo(),
    nb.snap(),
    nb.LearningRule(nb.Leaky(), nb.ImmediateError(), "backward"),
    nb.LearningRule(nb.Leaky(), nb.credit.Feedback(learned=False), "backward"),
    nb.LearningRule(nb.traces.Diagonal(), nb.ImmediateError(), "backward"),
)
REFERENCE, FAVOURED = "braintrace D-RTRL", "braintrace D-RTRL, last step alone"


@dataclass(frozen=True)
class Parameters:
    """How long to measure."""

    rounds: int = field(7, "rounds of measurement; the median is shown", low=1)
    n_updates: int = field(10, "updates in one compiled scan", low=1)
    seconds: float = field(0.5, "shortest time of one measurement", unit="s", above=0)
    output: str = field("", "Markdown file to write the table to, besides printing it")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Case:
    """One size of circuit, trial and batch."""

    n_units: int
    n_inputs: int
    n_steps: int
    batch: int

    @property
    def name(self) -> str:
        """Units, steps and batch."""
        return f"GRU {self.n_units}, T {self.n_steps}, batch {self.batch}"

    def circuit(self) -> nb.Circuit:
        """Cortex and readout, with the feedback weights of RFLO."""
        readout = nb.LinearReadout(N_OUTPUTS, "softmax_cross_entropy")
        return nb.Circuit(nb.GRUCortex(self.n_inputs, self.n_units), readout, feedback=nb.FeedbackPathway())

    def trials(self) -> nb.Trials:
        """Noise, with a class to say at the last step."""
        return labelled(self.n_inputs, N_OUTPUTS, self.n_steps, self.batch)


CASES = (Case(30, 28, 28, 50), Case(100, 10, 23, 100))


def our_updates(case: Case, rule: nb.LearningRule, n_updates: int) -> Callable[[], object]:
    """n updates in one compiled scan."""
    network, batch, adam = case.circuit(), case.trials(), optax.adam(1e-3)

    def update(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
        weights, state = carry
        gradient, outcome = rule.learn(network, weights, batch)
        updates, state = adam.update(gradient, state)
        return (optax.apply_updates(weights, updates), state), outcome.loss

    weights = network.init(jax.random.key(1))
    run = jax.jit(lambda carry: jax.lax.scan(update, carry, None, length=n_updates))
    carry = (weights, adam.init(weights))
    return lambda: jax.block_until_ready(run(carry))


def their_weights(weights: nb.Weights) -> dict[str, dict[str, jax.Array]]:
    """Weights or gradients of a GRUCortex, in the layout of `braintrace.nn.Linear`."""
    (in_r, in_z, in_a), (rec_r, rec_z, rec_c) = jnp.split(weights.cortex.w_in, 3), jnp.split(weights.cortex.w_rec, 3)
    b_r, b_z, b_a, b_c = jnp.split(weights.cortex.b, 4)
    layers = {
        "r": (jnp.concatenate([in_r, rec_r], 1), b_r),
        "z": (jnp.concatenate([in_z, rec_z], 1), b_z),
        "a": (in_a, b_a),
        "c": (rec_c, b_c),
        "readout": (weights.readout.w, weights.readout.b),
    }
    return {name: {"weight": w.T, "bias": b} for name, (w, b) in layers.items()}


def their_cell(case: Case) -> Any:
    """GRUCortex from the parts of braintrace: its own GRUCell resets before the recurrent product, not behind it."""
    import brainstate
    from braintrace.nn import Linear

    class ResetAfterGRU(brainstate.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            n, both = case.n_units, case.n_inputs + case.n_units
            self.r, self.z, self.a, self.c = Linear(both, n), Linear(both, n), Linear(case.n_inputs, n), Linear(n, n)

        def init_state(self, batch_size: int, **_: Any) -> None:
            self.h = brainstate.HiddenState(jnp.zeros((batch_size, case.n_units)))

        def update(self, x_t: jax.Array) -> jax.Array:
            h_tm1 = self.h.value
            both = jnp.concatenate([x_t, h_tm1], -1)
            r, z = jax.nn.sigmoid(self.r(both)), jax.nn.sigmoid(self.z(both))
            self.h.value = (1 - z) * jnp.tanh(self.a(x_t) + r * self.c(h_tm1)) + z * h_tm1
            return self.h.value

    return ResetAfterGRU()


class Theirs:
    """D-RTRL of braintrace, on the cell, weights and trials of a case."""

    def __init__(self, case: Case, last_step_alone: bool) -> None:
        import brainstate
        import braintrace

        batch, cell = case.trials(), their_cell(case)
        self.inputs, self.labels = jnp.moveaxis(batch.inputs, 1, 0), batch.targets[:, 0]
        self.readout = brainstate.nn.Linear(case.n_units, N_OUTPUTS)
        given = their_weights(case.circuit().init(jax.random.key(1)))
        self.weights = {name: getattr(cell, name, self.readout).weight for name in given}
        for name, state in self.weights.items():
            state.value = given[name]
        self.learner = braintrace.compile(cell, braintrace.D_RTRL, self.inputs[0], batch_size=case.batch)
        temporary = self.learner.states().values()
        self.temporary = [state for state in temporary if not isinstance(state, brainstate.ParamState)]
        self.last_step_alone = last_step_alone

    def loss(self, x_t: jax.Array) -> jax.Array:
        """Mean loss of a step."""
        outputs = self.readout(self.learner(x_t))
        return optax.softmax_cross_entropy_with_integer_labels(outputs, self.labels).mean()

    def gradient(self) -> tuple[dict, jax.Array]:
        """Gradient of the last step's loss, and that loss, from a new start of state and traces."""
        for state in self.temporary:
            state.value = jax.tree.map(jnp.zeros_like, state.value)
        inputs = self.inputs
        if self.last_step_alone:
            self.learner.etrace_evolve(inputs[:-1])
            inputs = inputs[-1:]
        is_last = (jnp.arange(len(inputs)) == len(inputs) - 1).astype(inputs.dtype)
        options = {"mask": is_last, "loss_output": "scalar", "return_value": True}
        return self.learner.etrace_grad(inputs, step_fn=self.loss, weights=self.weights, **options)

    def updates(self, n_updates: int) -> Callable[[], jax.Array]:
        """n updates in one compiled scan; gives the losses."""
        import brainstate

        adam = optax.adam(1e-3)
        adapted = brainstate.ShortTermState(adam.init({name: state.value for name, state in self.weights.items()}))

        def update(_: jax.Array) -> jax.Array:
            gradient, loss = self.gradient()
            updates, adapted.value = adam.update(gradient, adapted.value)
            for name, state in self.weights.items():
                state.value = optax.apply_updates(state.value, updates[name])
            return loss

        run = brainstate.transform.jit(lambda: brainstate.transform.for_loop(update, jnp.arange(n_updates)))
        return lambda: jax.block_until_ready(run())


def difference(case: Case, theirs: Theirs) -> float:
    """Relative distance of their gradient from e-prop's on the same weights; both must be finite and not zero."""
    import brainstate

    gradient = nb.eprop().gradients(case.circuit(), case.circuit().init(jax.random.key(1)), case.trials())
    ours, found = their_weights(gradient), brainstate.transform.jit(theirs.gradient)()[0]
    pairs = [(ours[name][kind], found[name][kind]) for name in ours for kind in ours[name]]
    for our, their in pairs:
        if not (np.isfinite(their).all() and np.any(their) and np.any(our)):
            raise FloatingPointError("a gradient of braintrace is zero or not finite: nothing to compare with")
    return max(float(jnp.linalg.norm(their - our) / jnp.linalg.norm(our)) for our, their in pairs)


def measure(case: Case, p: Parameters) -> list[str]:
    """Rows of one case: median time of one update, the ratio to D-RTRL's, and the distance of gradients."""
    theirs = {REFERENCE: Theirs(case, last_step_alone=False), FAVOURED: Theirs(case, last_step_alone=True)}
    differences = {name: difference(case, one) for name, one in theirs.items()}
    runs = {name: one.updates(p.n_updates) for name, one in theirs.items()}
    for name, run in runs.items():
        if not (losses := run())[-1] < losses[0]:
            raise FloatingPointError(f"{name} does not learn: losses {losses}")
    runs |= {rule.name: our_updates(case, rule, p.n_updates) for rule in RULES}
    for run in runs.values():
        run()
    times = [{name: seconds(run, p.seconds) for name, run in runs.items()} for _ in range(p.rounds)]
    return [row(case, name, times, differences, p.n_updates) for name in runs]


def row(case: Case, name: str, times: list[dict[str, float]], differences: dict[str, float], n_updates: int) -> str:
    one = np.median([turn[name] for turn in times]) / n_updates
    ratios = [np.median([turn[name] / turn[other] for turn in times]) for other in (REFERENCE, FAVOURED)]
    difference = f"{differences[name]:.0e}" if name in differences else "–"
    return f"| {case.name} | {name} | {1e3 * one:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {difference} |"


HEADER = (
    "| case | rule | time of an update (ms) | / D-RTRL | / D-RTRL, last step alone | distance of gradients |\n"
    "|---|---|---|---|---|---|"
)


def benchmark(p: Parameters) -> None:
    """Measure, print, write."""
    try:
        import braintrace
    except ImportError:
        print(LEFT_OUT)
        return
    lines = [f"braintrace {braintrace.__version__}, JAX {jax.__version__}\n", HEADER]
    print("\n".join(lines), flush=True)
    for case in CASES:
        rows = measure(case, p)
        print("\n".join(rows), flush=True)
        lines += rows
    if p.output:
        Path(p.output).write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, benchmark)
