"""Mimicry: give at every step the outputs that a fixed random network, the teacher, gives to the same inputs.

The "Mimic" task of Marschall, Cho & Savin 2020 (JMLR 21(135), arXiv:1907.02649).
"""

from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from neuro_bpl.circuit.cells.protocol import Cell
from neuro_bpl.circuit.cells.rate import RateCortex
from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.circuit.cortex import CorticalWeights
from neuro_bpl.circuit.readout import LinearReadout, ReadoutWeights
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.held_out import held_out_key
from neuro_bpl.trials import Trials

CODE = "github.com/omarschall/vanilla-rtrl"


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("gain", "bias", "noise"),
    meta_fields=(
        "n_inputs",
        "n_units",
        "n_outputs",
        "n_steps",
        "cell",
        "teacher_seed",
        "inputs",
        "hold",
        "n_validation",
        "n_test",
        "n_probe",
    ),
)
@dataclass(frozen=True)
class Mimic:
    """Mimicry task: reproduce the outputs of a teacher, a cortex with a linear readout whose weights are fixed.

    The inputs are independent and identically distributed. The target at every step is the teacher's output to them,

        y*ₜ = W_out hₜ + b_out,    sₜ = f(sₜ₋₁, xₜ; W),    s₀ = 0

    so that a student with the teacher's anatomy can bring the squared error to zero. The weights of the teacher are
    those of the authors' code (github.com/omarschall/vanilla-rtrl): W_in is normal with variance 1/inputs, W_rec is
    `gain` times a random orthogonal matrix, one for each gate, W_out is normal with variance 1/units, and the biases
    are normal with standard deviation `bias`. They follow `teacher_seed` alone, and are the same up to rounding in
    every floating-point format. The inputs of that code are bits.

    In a `Stream` the teacher begins every trial at zero, while the student goes on from where it was.

    Parameters
    ----------
    n_inputs, n_units, n_outputs : int
        Sizes of the teacher.
    n_steps : int
        Steps T of a trial.
    cell : Cortex, optional
        Cell of the teacher, such as `LSTMCortex` or a rate cell with a leak, with `n_inputs` and `n_units` as here;
        None: `RateCortex(n_inputs, n_units)`, tanh units without a leak.
    teacher_seed : int
        Seed of the teacher's weights.
    gain : float
        Scale of the teacher's recurrent weights.
    bias : float
        Standard deviation of the teacher's biases.
    inputs : "gaussian" or "bits"
        Distribution of every input: normal with mean 0 and variance 1, or 0 and 1 with probability ½.
    hold : int
        Steps that every input stays.
    noise : float
        Standard deviation of Gaussian noise on training inputs; the teacher does not see it.
    n_validation, n_test : int
        Number of held-out trials of each split.
    n_probe : int
        Number of trials of the probe batch: the first validation trials.

    Raises
    ------
    ValueError
        If a parameter is not possible, or `cell` does not have the sizes of the teacher.

    Examples
    --------
    >>> task = Mimic(n_inputs=3, n_units=4, n_outputs=2, n_steps=5)
    >>> trials = task.held_out("test")
    >>> trials.inputs.shape, trials.targets.shape
    ((100, 5, 3), (100, 5, 2))
    >>> float(task.teacher.loss(task.teacher_weights(), trials))  # the teacher mimics itself
    0.0
    """

    n_inputs: int = field(32, "input channels", source=CODE, low=1)
    n_units: int = field(32, "units of the teacher", source=CODE, low=1)
    n_outputs: int = field(32, "outputs of the teacher", source=CODE, low=1)
    n_steps: int = field(50, "steps of a trial", symbol="T", low=1)
    cell: Cell | None = field(
        None,
        "cell of the teacher (None: tanh units without a leak)",
        kind=Cell,
        example="LSTMCortex(n_inputs=32, n_units=32)",
    )
    teacher_seed: int = field(0, "seed of the teacher's weights", low=0)
    gain: float = field(1.0, "scale of the teacher's recurrent weights", source=CODE, low=0)
    bias: float = field(0.1, "standard deviation of the teacher's biases", source=CODE, low=0)
    inputs: str = field("gaussian", "distribution of the inputs", choices=("gaussian", "bits"))
    hold: int = field(1, "steps that every input stays", low=1)
    noise: float = field(0.0, "noise on training inputs, unseen by the teacher", low=0)
    n_validation: int = field(100, "trials for validation", low=1)
    n_test: int = field(100, "trials for testing", low=1)
    n_probe: int = field(20, "trials of the probe batch", low=1)

    def __post_init__(self) -> None:
        check(self)
        if self.cell is not None and (self.cell.n_inputs, self.cell.n_units) != (self.n_inputs, self.n_units):
            raise refusal(
                "Mimic.cell",
                self.cell,
                f"a cell with n_inputs = {self.n_inputs} and n_units = {self.n_units}, or None",
                "the cell is the teacher's, and has the teacher's sizes",
                f"n_inputs={self.cell.n_inputs}, n_units={self.cell.n_units}",
            )

    @property
    def teacher(self) -> Circuit:
        """Circuit that is mimicked."""
        cortex = self.cell or RateCortex(n_inputs=self.n_inputs, n_units=self.n_units)
        return Circuit(cortex, LinearReadout(self.n_outputs))

    def teacher_weights(self) -> Weights:
        """Return the teacher's weights, in JAX's default format."""
        sizes = (int(self.n_inputs), int(self.n_units), int(self.n_outputs), self.teacher.cortex.n_gates)
        w_in, w_rec, b, w_out, b_out = map(jnp.asarray, _draw_weights(*sizes, int(self.teacher_seed)))
        cortex = CorticalWeights(w_in, self.gain * w_rec, self.bias * b)
        return Weights(cortex, ReadoutWeights(w_out, self.bias * b_out), None)

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Draw inputs with the teacher's outputs to them, then add noise to the inputs of every step."""
        trials = self._draw(data_key, batch_size)
        noise = self.noise * jax.random.normal(noise_key, trials.inputs.shape, trials.inputs.dtype)
        return Trials(trials.inputs + noise, trials.targets)

    def held_out(self, split: str) -> Trials:
        """Return trials of "validation" or "test", drawn from a fixed key, without noise."""
        key = held_out_key(split)
        return self._draw(key, self.n_validation if split == "validation" else self.n_test)

    def probe(self) -> Trials:
        """Return the first validation trials."""
        return jax.tree.map(lambda leaf: leaf[: self.n_probe], self.held_out("validation"))

    def _draw(self, key: Key[Array, ""], n_trials: int) -> Trials:
        inputs = self._inputs(key, n_trials).astype(jnp.zeros(0).dtype)
        inputs = inputs.repeat(self.hold, axis=1)[:, : self.n_steps]
        unanswered = Trials(inputs, jnp.zeros((n_trials, self.n_steps, self.n_outputs), inputs.dtype))
        _, outputs = self.teacher.run(self.teacher_weights(), unanswered)
        return Trials(inputs, outputs.T)

    def _inputs(self, key: Key[Array, ""], n_trials: int) -> Float[Array, "batch drawn inputs"]:
        """Draw inputs in 32 bit, so that they are the same in every floating-point format."""
        shape = (n_trials, -(-self.n_steps // self.hold), self.n_inputs)
        if self.inputs == "bits":
            return jax.random.randint(key, shape, 0, 2, jnp.int32).astype(jnp.float32)
        return jax.random.normal(key, shape, jnp.float32)


@lru_cache
def _draw_weights(n_inputs: int, n_units: int, n_outputs: int, n_gates: int, seed: int) -> tuple[np.ndarray, ...]:
    """Draw W_in, W_rec, b, W_out and b_out in double precision, with a gain of 1 and biases of variance 1."""
    rng = np.random.default_rng(seed)
    w_in = rng.normal(size=(n_gates * n_units, n_inputs)) / np.sqrt(n_inputs)
    w_rec = np.concatenate([_orthogonal(rng, n_units) for _ in range(n_gates)])
    w_out = rng.normal(size=(n_outputs, n_units)) / np.sqrt(n_units)
    return w_in, w_rec, rng.normal(size=n_gates * n_units), w_out, rng.normal(size=n_outputs)


def _orthogonal(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n n"]:
    """Draw a uniformly distributed orthogonal matrix: Q of a normal matrix, with the diagonal of R positive."""
    q, r = np.linalg.qr(rng.normal(size=(n, n)))
    return q * np.sign(np.diag(r))
