"""Addition: at every step a weighted sum of two bits, one seen a while ago and one seen a longer while ago.

The "Add" task of Marschall, Cho & Savin 2020 (JMLR 21(135), arXiv:1907.02649), after Pitis 2016 (r2rt.com).
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Shaped

from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import nearest, refusal
from neuro_bpl.tasks.held_out import held_out_key
from neuro_bpl.trials import Trials

BASELINES = ("squared_error", "sigmoid_cross_entropy")


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("noise",),
    meta_fields=("delays", "n_steps", "hold", "count_early", "n_validation", "n_test", "n_probe"),
)
@dataclass(frozen=True)
class Add:
    """Addition task: add up two past bits of the input, the second with a minus.

    The input is a stream of bits x, each 0 or 1 with probability ½, on two channels (x, 1 − x). The target at every
    step is (y*, 1 − y*) with

        y*ₜ = ½ + ½ xₜ₋ₜ₁ − ¼ xₜ₋ₜ₂

    for the delays (t₁, t₂); bits before the trial count as 0. Targets lie in [0, 1]: they suit a readout with
    `squared_error`, and one with `sigmoid_cross_entropy`, of which half is the cross-entropy of y* alone. Accuracy says
    little here, for a target of ½ names neither answer. In a `Stream`, too, every trial begins without bits before it.

    Parameters
    ----------
    delays : tuple of two int
        Delays t₁ and t₂, counted in bits.
    n_steps : int
        Steps T of a trial.
    hold : int
        Steps that every bit stays, and its target with it.
    count_early : bool
        Whether steps count in the loss that are so early that a bit is missing; if not, the mask is 0 there.
    noise : float
        Standard deviation of Gaussian noise on training inputs.
    n_validation, n_test : int
        Number of held-out trials of each split.
    n_probe : int
        Number of trials of the probe batch: the first validation trials.

    Raises
    ------
    ValueError
        If a parameter is not possible, or trials are too short for the delays.

    Examples
    --------
    >>> task = Add(delays=(1, 2), n_steps=6)
    >>> trials = task.held_out("test")
    >>> trials.inputs[2, :, 0].astype(int).tolist()
    [1, 0, 0, 1, 1, 1]
    >>> trials.targets[2, :, 0].tolist()
    [0.5, 1.0, 0.25, 0.5, 1.0, 0.75]
    >>> trials.mask[2].astype(int).tolist()
    [0, 0, 1, 1, 1, 1]
    >>> [task.baseline_loss("squared_error", known) for known in (0, 1, 2)]
    [0.3125, 0.0625, 0.0]
    """

    delays: tuple[int, int] = field(
        (5, 9), "delays of the two bits", symbol="t₁, t₂", source="github.com/omarschall/vanilla-rtrl, main.ipynb"
    )
    n_steps: int = field(50, "steps of a trial", symbol="T", low=1)
    hold: int = field(1, "steps that every bit stays", low=1)
    count_early: bool = field(False, "whether steps count at which a bit is missing")
    noise: float = field(0.0, "noise on training inputs", low=0)
    n_validation: int = field(100, "trials for validation", low=1)
    n_test: int = field(100, "trials for testing", low=1)
    n_probe: int = field(20, "trials of the probe batch", low=1)

    def __post_init__(self) -> None:
        check(self)
        _check_delays(self.delays)
        first_full = int(self.hold) * int(max(self.delays)) + 1
        if self.n_steps < first_full:
            raise refusal(
                "Add.n_steps",
                self.n_steps,
                f"at least {first_full} with delays = {self.delays} and hold = {self.hold}",
                "in a shorter trial no step has both of its bits",
                f"n_steps={first_full}",
            )

    @property
    def n_inputs(self) -> int:
        """Number of inputs: the bit and its complement."""
        return 2

    @property
    def n_outputs(self) -> int:
        """Number of outputs: y* and its complement."""
        return 2

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Draw bits, with noise on the inputs of every step."""
        trials = self._draw(data_key, batch_size)
        noise = self.noise * jax.random.normal(noise_key, trials.inputs.shape, trials.inputs.dtype)
        return Trials(trials.inputs + noise, trials.targets, trials.mask)

    def held_out(self, split: str) -> Trials:
        """Return trials of "validation" or "test", drawn from a fixed key, without noise."""
        key = held_out_key(split)
        return self._draw(key, self.n_validation if split == "validation" else self.n_test)

    def probe(self) -> Trials:
        """Return the first validation trials."""
        return jax.tree.map(lambda leaf: leaf[: self.n_probe], self.held_out("validation"))

    def baseline_loss(self, loss: str, known: int) -> float:
        """Return the smallest expected loss of a trial, for outputs that know the step and `known` bits.

        The best output is the mean of the target over the bits that are not known. Losses are exact, and summed over
        the steps that count, as in training; bits before the trial are known to be 0. With both bits known it is the
        floor of the task: 0 for the squared error, the entropy of the targets for the cross-entropy.

        Parameters
        ----------
        loss : "squared_error" or "sigmoid_cross_entropy"
            Loss of the readout.
        known : 0, 1 or 2
            What the outputs know: nothing, the bit at the first delay, or both bits.

        Raises
        ------
        ValueError
            If the loss has no baseline here, or `known` is another number.
        """
        if not isinstance(loss, str) or loss not in BASELINES:
            why = "the targets are two numbers between 0 and 1"
            raise refusal("loss", loss, ", ".join(BASELINES), why, f'"{nearest(str(loss), BASELINES)}"')
        if isinstance(known, bool) or not isinstance(known, Integral) or not 0 <= known <= 2:
            raise refusal("known", known, "0, 1 or 2", "the target is made of two bits", "known=0 for neither of them")
        place, (first, second) = self._place()[self._counts()], self.delays
        regimes = Counter(zip((place >= first).tolist(), (place >= second).tolist(), strict=True))
        return float(sum(n * _expected(loss, int(known), *seen) for seen, n in regimes.items()))

    def _draw(self, key: Key[Array, ""], n_trials: int) -> Trials:
        # 32-bit whole numbers are the same whatever the floating-point format.
        n_bits = -(-self.n_steps // self.hold)
        return self._trials(jax.random.randint(key, (n_trials, n_bits), 0, 2, jnp.int32))

    def _trials(self, bits: Int[Array, "batch bits"]) -> Trials:
        x = bits.astype(jnp.zeros(0).dtype)
        first, second = (jnp.pad(x, ((0, 0), (delay, 0)))[:, : x.shape[1]] for delay in self.delays)
        inputs, targets = self._as_steps(x), self._as_steps(_target(first, second))
        if self.count_early:
            return Trials(inputs, targets)
        return Trials(inputs, targets, jnp.broadcast_to(self._counts().astype(x.dtype), inputs.shape[:2]))

    def _as_steps(self, x: Float[Array, "batch bits"]) -> Float[Array, "batch time 2"]:
        return jnp.stack((x, 1 - x), axis=-1).repeat(self.hold, axis=1)[:, : self.n_steps]

    def _place(self) -> Int[np.ndarray, " time"]:
        """Return which bit each step shows, counted from 0."""
        return np.arange(self.n_steps) // self.hold

    def _counts(self) -> Shaped[np.ndarray, " time"]:
        """Return whether each step counts in the loss."""
        return (self._place() >= max(self.delays)) | self.count_early


def _target(first: Any, second: Any) -> Any:
    """Return y* = ½ + ½ first − ¼ second, of JAX or NumPy arrays."""
    return 0.5 + 0.5 * first - 0.25 * second


def _expected(loss: str, known: int, first_seen: bool, second_seen: bool) -> float:
    """Return the expected loss of one step for the best output, over the bits seen; a bit not seen is 0."""
    targets = _target(np.arange(1 + first_seen)[:, None], np.arange(1 + second_seen))
    best = targets.mean(axis=tuple(range(known, 2)), keepdims=True)
    if loss == "squared_error":  # ½ (2 (y − best)²): both outputs are wrong by the same
        return float(((targets - best) ** 2).mean())
    from scipy.special import entr  # slow to import

    return float(2 * (entr(best) + entr(1 - best)).mean())


def _check_delays(delays: Any) -> None:
    whole = isinstance(delays, tuple) and all(isinstance(d, Integral) and not isinstance(d, bool) for d in delays)
    if not whole or len(delays) != 2 or min(delays) < 0 or delays[0] == delays[1]:
        raise refusal(
            "Add.delays",
            delays,
            "a tuple of two different whole numbers, 0 or more",
            "the target is made of two bits of the stream, each some bits ago",
            "delays=(5, 9)",
        )
