"""Copy-repeat: say a pattern of bits again, as often as asked, with patterns that grow as the learner does better.

The task of Graves, Wayne & Danihelka 2014 (arXiv:1410.5401, "repeat copy"), with the curriculum of Jaderberg et al.
2017 (arXiv:1608.05343) and the settings of Pemberton & Ponte Costa 2024 (TMLR).
"""

import dataclasses
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key

from neuro_bpl.circuit.outcome import Outcome
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.held_out import held_out_key
from neuro_bpl.trials import Trials

Level = int | Int[Array, ""]
FLAGS = 3  # steps of a trial that show no bit of the pattern: its start, the repeat count, its end
SHORTEST = (8, 12)  # steps; padding is one of these, times a power of 2


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("threshold", "repeat_scale"),
    meta_fields=("n_bits", "n_steps", "n_validation", "n_test", "n_probe", "padding"),
)
@dataclass(frozen=True)
class CopyRepeat:
    """Copy-repeat task: repeat a pattern of N words of bits R times.

    A trial shows a start flag, the N words, and R on a channel of its own; then the words are asked for R times over,
    and an end flag at last: (R + 1) N + 3 steps. Inputs are the bits of a word, the start flag and the repeat count
    divided by `repeat_scale`; outputs the bits and the end flag. Only the answer counts; the mask makes the loss the
    mean over its bits (end flag included), in nats with `sigmoid_cross_entropy`.

    Training begins with N = R = 1. After a batch whose loss is below `threshold`, R grows by one if R < N, else N does,
    up to the longest trial of at most `n_steps`. A level is the number of such steps up; trials of all levels are
    padded to one length, so that a step up does not compile anything, and what they hold does not depend on it.

    Parameters
    ----------
    n_bits : int
        Bits of a word.
    n_steps : int
        Steps of the longest trial that may come.
    threshold : float
        Loss in bits (base 2) a bit of the answer, below which the next level begins.
    repeat_scale : float
        What the repeat count is divided by.
    n_validation, n_test : int
        Number of held-out trials of each split, as many of each level up to the last.
    n_probe : int
        Number of trials of the probe batch: the first validation trials.
    padding : int
        Steps that trials of training are padded to; 0: `n_steps`. See `padded`.

    Raises
    ------
    ValueError
        If a parameter is not possible.

    Examples
    --------
    >>> task = CopyRepeat(n_steps=12)
    >>> task.n_levels, [int(task.difficulty(level)) for level in range(4)]
    (4, [5, 7, 9, 12])
    >>> task.sample_level(1, jax.random.key(0), jax.random.key(0), 3).lengths.tolist()
    [7, 7, 7]
    """

    n_bits: int = field(8, "bits of a word", source="Pemberton & Ponte Costa 2024", low=1)
    n_steps: int = field(75, "steps of the longest trial", symbol="T", low=5)
    threshold: float = field(
        0.15, "loss below which the next level begins", unit="bit", source="Pemberton & Ponte Costa 2024", low=0
    )
    repeat_scale: float = field(
        10.0, "what the repeat count is divided by", source="Pemberton & Ponte Costa 2024", above=0
    )
    n_validation: int = field(100, "trials for validation", low=1)
    n_test: int = field(100, "trials for testing", low=1)
    n_probe: int = field(20, "trials of the probe batch", low=1)
    padding: int = field(0, "steps that trials of training are padded to (0: n_steps)", low=0)

    def __post_init__(self) -> None:
        check(self)
        if 0 < self.padding < 5 or self.padding > self.n_steps:
            raise refusal(
                "CopyRepeat.padding",
                self.padding,
                f"0, or 5 to {self.n_steps}",
                "the shortest trial has 5 steps, the longest n_steps",
                "padding=0",
            )

    @property
    def n_inputs(self) -> int:
        """Number of inputs: the bits of a word, the start flag and the repeat count."""
        return self.n_bits + 2

    @property
    def n_outputs(self) -> int:
        """Number of outputs: the bits of a word and the end flag."""
        return self.n_bits + 1

    @property
    def n_levels(self) -> int:
        """Number of levels whose trials have at most `n_steps` steps."""
        level = 0
        while n_steps_of(level + 1) <= self.n_steps:
            level += 1
        return level + 1

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Draw trials of every level in turn; there is no noise."""
        return self._trials(data_key, jnp.arange(batch_size) % self.n_levels, self.n_steps)

    def held_out(self, split: str) -> Trials:
        """Return trials of "validation" or "test", drawn from a fixed key, of every level in turn."""
        key = held_out_key(split)
        n_trials = self.n_validation if split == "validation" else self.n_test
        return self._trials(key, jnp.arange(n_trials) % self.n_levels, self.n_steps)

    def probe(self) -> Trials:
        """Return the first validation trials."""
        return jax.tree.map(lambda leaf: leaf[: self.n_probe], self.held_out("validation"))

    def first_level(self) -> Int[Array, ""]:
        """Return the level with N = R = 1."""
        return jnp.zeros((), jnp.int32)

    def sample_level(
        self, level: Level, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int
    ) -> Trials:
        """Draw trials of one level; there is no noise."""
        return self._trials(data_key, jnp.full(batch_size, level), self.padding or self.n_steps)

    def next_level(self, level: Int[Array, ""], outcome: Outcome) -> Int[Array, ""]:
        """Return the next level if the loss fell below the threshold, but no more than the last level."""
        solved = outcome.loss < self.threshold * np.log(2)
        return jnp.minimum(level + solved, self.n_levels - 1).astype(level.dtype)

    def difficulty(self, level: Level) -> Level:
        """Return the steps of a trial of a level."""
        return n_steps_of(level)

    def padded(self, levels: Int[np.ndarray, " network"]) -> "CopyRepeat":
        """Return the task with just enough padding for these levels: 8 steps, 12, 16, 24, 32, …, or all."""
        needed = max(int(n_steps_of(level)) for level in np.ravel(levels))
        sizes = (steps << doublings for doublings in count() for steps in SHORTEST)
        padding = next(size for size in sizes if size >= needed)
        return dataclasses.replace(self, padding=min(padding, self.n_steps))

    def _trials(self, key: Key[Array, ""], levels: Int[Array, " batch"], n_steps: int) -> Trials:
        """Return trials of given levels, padded to `n_steps`."""
        dtype = jnp.zeros(0).dtype
        n, r = (number[:, None] for number in words_and_repeats(levels))
        t, bits = jnp.arange(n_steps), self._bits(key, len(levels), n_steps)
        words = jnp.take_along_axis(bits, _place(t, n)[:, :, None], axis=1)
        shown, asked, end = (t >= 1) & (t <= n), (t >= n + 2) & (t < (r + 1) * n + 2), t == (r + 1) * n + 2
        start = jnp.broadcast_to(t == 0, shown.shape)
        repeats = jnp.where(t == n + 1, r.astype(dtype) / self.repeat_scale, 0)
        inputs = jnp.concatenate(
            (words * shown[:, :, None], start[:, :, None], repeats[:, :, None]), axis=-1, dtype=dtype
        )
        targets = jnp.concatenate((words * asked[:, :, None], end[:, :, None]), axis=-1, dtype=dtype)
        mask = (asked | end) / ((r * n + 1) * self.n_outputs).astype(dtype)
        return Trials(inputs, targets, mask, n_steps_of(levels))

    def _bits(self, key: Key[Array, ""], n_trials: int, n_steps: int) -> Bool[Array, "batch words bits"]:
        """Draw words from a key for each place in the pattern, so that they do not depend on its length."""
        longest = max(int(words_and_repeats(level)[0]) for level in range(n_steps) if n_steps_of(level) <= n_steps)
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(longest))
        return jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, (n_trials, self.n_bits)), out_axes=1)(keys)


def words_and_repeats(level: Any) -> tuple[Any, Any]:
    """Return N and R of a level, or an array of levels: (1, 1), (2, 1), (2, 2), (3, 2), …"""
    return 1 + (level + 1) // 2, 1 + level // 2


def n_steps_of(level: Any) -> Any:
    """Return T = (R + 1) N + 3."""
    n, r = words_and_repeats(level)
    return (r + 1) * n + FLAGS


def _place(t: Int[Array, " time"], n: Int[Array, "batch 1"]) -> Int[Array, "batch time"]:
    """Return which word of the pattern each step shows or asks for, where it does either."""
    return jnp.where(t <= n, jnp.clip(t - 1, 0), (t - n - 2) % n)
