"""Target reaching: a cue at the first step says where on the unit circle the output is to go.

The "line drawing" task of Pemberton & Ponte Costa 2024 (TMLR, arXiv:2401.07044).
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import one_of, refusal
from neuro_bpl.trials import Trials

SPLITS = ("validation", "test")


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("noise",),
    meta_fields=("n_steps", "n_cues", "n_inputs", "cues", "trajectory", "cue_seed"),
)
@dataclass(frozen=True)
class TargetReaching:
    """Target-reaching task: reach the point on the unit circle that a cue stands for.

    A cue, one bit an input channel, is given at t = 1 and zeros after it. The target of cue k = 0..n_cues−1 is the
    point at angle 90° + k·360°/n_cues, so that of the first one is (0, 1).

    Parameters
    ----------
    n_steps : int
        Steps T of a trial.
    n_cues : int
        Number of cues, and of targets.
    n_inputs : int
        Bits of a cue.
    cues : tuple of str, optional
        The cues as strings of bits; None: drawn with `cue_seed`, all different, none of zeros alone.
    trajectory : "end" or "whole"
        When the output counts: at the last step, or at every step on a straight line from the origin,
        targetₜ = (t/T)·target.
    noise : float
        Standard deviation of Gaussian noise on training inputs at every step, where a bit is 1.
    cue_seed : int
        Seed of the cues that are drawn.

    Raises
    ------
    ValueError
        If a parameter is not possible, or the cues do not fit `n_cues` and `n_inputs`.

    Examples
    --------
    >>> task = TargetReaching(n_steps=4, n_cues=2, n_inputs=3, cues=("110", "011"))
    >>> trials = task.held_out("test")
    >>> trials.inputs[:, 0].astype(int).tolist()
    [[1, 1, 0], [0, 1, 1]]
    >>> trials.targets[:, 0].round(3).astype(int).tolist()
    [[0, 1], [0, -1]]
    """

    n_steps: int = field(10, "steps of a trial", symbol="T", low=1)
    n_cues: int = field(1, "number of cues", low=1)
    n_inputs: int = field(10, "bits of a cue", low=1)
    cues: tuple[str, ...] | None = field(None, "cues as strings of bits (None: drawn with cue_seed)")
    trajectory: str = field("end", "steps that have targets: the last, or all", choices=("end", "whole"))
    noise: float = field(0.0, "noise on training inputs, where a bit is 1", low=0)
    cue_seed: int = field(0, "seed of the cues that are drawn", low=0)

    def __post_init__(self) -> None:
        check(self)
        if int(self.n_cues).bit_length() > self.n_inputs:
            raise refusal(
                "TargetReaching.n_cues",
                self.n_cues,
                f"1 to 2**n_inputs - 1 with n_inputs = {self.n_inputs}",
                "the cues differ from one another, and none is all zeros",
                f"n_inputs={int(self.n_cues).bit_length()}",
            )
        if self.cues is not None:
            _check_cues(self.cues, int(self.n_cues), int(self.n_inputs))

    @property
    def n_outputs(self) -> int:
        """Number of outputs: the two coordinates of a point."""
        return 2

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Draw cues uniformly with replacement, with noise on the inputs of every step."""
        trials = self._trials(jax.random.randint(data_key, (batch_size,), 0, self.n_cues))
        noise = self.noise * jax.random.normal(noise_key, trials.inputs.shape, trials.inputs.dtype)
        return Trials(trials.inputs + noise, trials.targets)

    def held_out(self, split: str) -> Trials:
        """Return every cue once, in order and without noise; "validation" and "test" are the same."""
        one_of("split", split, SPLITS, "training draws from the same cues that are tested")
        return self._trials(jnp.arange(self.n_cues))

    def probe(self) -> Trials:
        """Return every cue once, in order and without noise."""
        return self._trials(jnp.arange(self.n_cues))

    def _trials(self, chosen: Int[Array, " batch"]) -> Trials:
        inputs = jnp.zeros((chosen.shape[0], self.n_steps, self.n_inputs)).at[:, 0].set(self._bits()[chosen])
        return Trials(inputs, self._targets()[chosen])

    def _bits(self) -> Float[Array, "cues inputs"]:
        cues = self.cues or _draw_cues(int(self.n_cues), int(self.n_inputs), int(self.cue_seed))
        return jnp.array([[float(bit) for bit in cue] for cue in cues])

    def _targets(self) -> Float[Array, "cues target 2"]:
        """Return (t/T)·(cos, sin) of 90° + k·360°/n_cues, at t = T alone or at t = 1..T."""
        turn = 2 * np.pi * np.arange(self.n_cues) / self.n_cues
        # A quarter turn taken out of cosine and sine makes the first target (0, 1) without rounding.
        points = np.stack((0.0 - np.sin(turn), np.cos(turn)), axis=1)
        steps = np.arange(1, self.n_steps + 1) if self.trajectory == "whole" else np.array([self.n_steps])
        return jnp.array((steps / self.n_steps)[:, None] * points[:, None])


@lru_cache
def _draw_cues(n_cues: int, n_inputs: int, seed: int) -> tuple[str, ...]:
    """Draw different strings of bits, none all zero; the same in every floating-point format."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, None] = {}
    while len(drawn) < n_cues:
        cue = "".join(map(str, rng.integers(0, 2, n_inputs)))
        if "1" in cue:
            drawn[cue] = None
    return tuple(drawn)


def _check_cues(cues: Any, n_cues: int, n_inputs: int) -> None:
    name = "TargetReaching.cues"
    allowed = f"None, or a tuple of {n_cues} different strings of {n_inputs} bits each"
    example = f"cues={_draw_cues(n_cues, n_inputs, 0)}" if n_cues * n_inputs <= 60 else "cues=None to draw them"
    if not isinstance(cues, tuple) or not all(isinstance(cue, str) for cue in cues):
        raise refusal(name, cues, allowed, "every cue is one string of the characters 0 and 1", example)
    if len(cues) != n_cues:
        fix = f"n_cues={len(cues)}" if cues else "cues=None"
        raise refusal(name, cues, allowed, f"n_cues = {n_cues}, but {len(cues)} cues are given", fix)
    for cue in cues:
        if not cue or set(cue) - {"0", "1"}:
            raise refusal(name, cue, allowed, "a cue is made of the characters 0 and 1", example)
        if len(cue) != n_inputs:
            why = f"n_inputs = {n_inputs}, but a cue of {len(cue)} bits is given"
            raise refusal(name, cue, allowed, why, f"n_inputs={len(cue)}, with every cue that long")
        if "1" not in cue:
            raise refusal(name, cue, allowed, "a cue of zeros is no cue: zeros follow every cue", example)
    if len(set(cues)) < len(cues):
        twice = next(cue for cue in cues if cues.count(cue) > 1)
        raise refusal(name, cues, allowed, f"{twice} would stand for two targets", "every cue once")
