"""Clicks: two trains of clicks, left and right; which side had more?

The "Poisson clicks" task of Brunton, Botvinick & Brody 2013 (Science 340:95), recorded in rats by Hanks et al. 2015
(Nature 520:220).
"""

from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32

from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.held_out import held_out_key
from neuro_bpl.trials import Trials

SIDES = ("left", "right")
BITS = 2**32
HANKS = "Hanks et al. 2015"
TRAINS = "clicks of the sessions of Hanks et al. 2015, rounded"


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("click_noise",),
    meta_fields=("total_rate", "rates", "shortest", "longest", "dt", "n_validation", "n_test", "n_probe"),
)
@dataclass(frozen=True)
class PoissonClicks:
    """Poisson-clicks task: report at the end which of two Poisson trains of clicks had more clicks.

    Input of a step are the clicks in it, left and right: a click on both sides at the onset, then Poisson clicks,

        xₜ ~ Poisson(r dt),    r_left + r_right = total_rate

    with the richer side and its rate drawn for each trial. Trials last from `shortest` to `longest`, uniformly in whole
    steps; there is no go cue, as the end of the clicks is one. The target, at a trial's last step, is 1 (right) where
    right had as many clicks or more, else 0 (left): ties were rewarded on the right in the recorded sessions.

    A click counts as 1 + `click_noise` · ε with ε ~ N(0, 1) of its own, the sensory noise of Brunton et al.; held-out
    trials have it, too, drawn once. (That model's adaptation to clicks is not here.)

    Parameters
    ----------
    total_rate : float
        Clicks of both sides together, Hz.
    rates : tuple of float
        Rate of the richer side, one for each difficulty, Hz.
    shortest, longest : float
        Range of the duration of the stimulus, s.
    dt : float
        Duration of a step, s.
    click_noise : float
        Standard deviation of what one click counts.
    n_validation, n_test : int
        Number of held-out trials of each split.
    n_probe : int
        Number of trials of the probe batch: the first validation trials.

    Raises
    ------
    ValueError
        If a parameter is not possible, a rate is not the greater part of `total_rate`, or durations are out of order.

    Examples
    --------
    >>> task = PoissonClicks(shortest=0.1, longest=0.2, dt=0.1)
    >>> trials = task.held_out("test")
    >>> trials.inputs[:2].astype(int).tolist(), trials.lengths[:2].tolist(), trials.targets[:2].tolist()
    ([[[3, 3], [7, 0]], [[3, 4], [0, 1]]], [2, 2], [[0], [1]])
    """

    total_rate: float = field(40.0, "clicks of both sides together", unit="Hz", source=HANKS, above=0)
    rates: tuple[float, ...] = field(
        (38.0, 33.0, 25.0), "rate of the richer side", unit="Hz", source=TRAINS, above=0, example="(38.0, 25.0)"
    )
    shortest: float = field(0.1, "shortest stimulus", unit="s", source=TRAINS, above=0)
    longest: float = field(1.2, "longest stimulus", unit="s", source=TRAINS, above=0)
    dt: float = field(0.02, "duration of a step", unit="s", symbol="dt", above=0)
    click_noise: float = field(0.0, "standard deviation of what one click counts", symbol="σ", low=0)
    n_validation: int = field(500, "trials for validation", low=1)
    n_test: int = field(1000, "trials for testing", low=1)
    n_probe: int = field(100, "trials of the probe batch", low=1)

    def __post_init__(self) -> None:
        check(self)
        if not self.rates or not all(self.total_rate / 2 <= rate <= self.total_rate for rate in self.rates):
            allowed = f"numbers from {self.total_rate / 2:g} to {self.total_rate:g} (Hz), one at least"
            why = f"the richer side has the greater part of total_rate = {self.total_rate:g}"
            raise refusal("PoissonClicks.rates", self.rates, allowed, why, "rates=(38.0, 33.0, 25.0)")
        if not self.dt <= self.shortest <= self.longest:
            got = (self.dt, self.shortest, self.longest)
            fix = "PoissonClicks(dt=0.02, shortest=0.1, longest=1.2)"
            allowed = "dt <= shortest <= longest (seconds)"
            raise refusal("PoissonClicks.dt, shortest, longest", got, allowed, "a trial has one step at least", fix)

    @property
    def n_inputs(self) -> int:
        """Number of input channels: two, left and right."""
        return len(SIDES)

    @property
    def n_outputs(self) -> int:
        """Number of classes: two, 0 is left, 1 is right."""
        return len(SIDES)

    @property
    def n_steps(self) -> int:
        """Number of steps of the longest trial."""
        return round(self.longest / self.dt)

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Draw clicks from the data key, and the noise of each click from the noise key."""
        return self._heard(self._draw(data_key, batch_size), noise_key)

    def held_out(self, split: str) -> Trials:
        """Return trials of "validation" or "test", drawn from fixed keys, with noise."""
        k_clicks, k_noise = jax.random.split(held_out_key(split))
        clicks = self._draw(k_clicks, self.n_validation if split == "validation" else self.n_test)
        return self._heard(clicks, k_noise)

    def probe(self) -> Trials:
        """Return the first validation trials."""
        return jax.tree.map(lambda leaf: leaf[: self.n_probe], self.held_out("validation"))

    def _heard(self, trials: Trials, noise_key: Key[Array, ""]) -> Trials:
        noise = self.click_noise * jax.random.normal(noise_key, trials.inputs.shape, trials.inputs.dtype)
        return Trials(with_noise(trials.inputs, noise), trials.targets, lengths=trials.lengths)

    def _draw(self, key: Key[Array, ""], n_trials: int) -> Trials:
        """Draw trials without noise; counts are integers, the same in every floating-point format."""
        k_length, k_rate, k_side, k_clicks = jax.random.split(key, 4)
        shortest = round(self.shortest / self.dt)
        lengths = jax.random.randint(k_length, (n_trials,), shortest, self.n_steps + 1, jnp.int32)
        difficulty = jax.random.randint(k_rate, (n_trials,), 0, len(self.rates), jnp.int32)
        side = jax.random.randint(k_side, (n_trials,), 0, len(SIDES), jnp.int32)
        bits = jax.random.bits(k_clicks, (n_trials, self.n_steps, self.n_inputs), jnp.uint32)
        table = jnp.asarray(poisson_table(self.total_rate, self.rates, self.dt))[difficulty, side]
        clicks = sum((bits >= at[:, None]).astype(jnp.int32) for at in jnp.moveaxis(table, -1, 0)).at[:, 0].add(1)
        lasts = jnp.arange(self.n_steps) < lengths[:, None]
        return trials_from(jnp.where(lasts[..., None], clicks, 0), lengths)


@lru_cache
def poisson_table(
    total_rate: float, rates: tuple[float, ...], dt: float
) -> UInt32[np.ndarray, "difficulty richer side count"]:
    """Return 2³² P(N ≤ k), k = 0, 1, …, of the number N of clicks in a step.

    A uniform 32-bit number is at least as large as N of these thresholds.

    Counts that are less likely than 2⁻³² do not occur.
    """
    from scipy import stats  # slow to import

    mean = np.array([[(rate, total_rate - rate), (total_rate - rate, rate)] for rate in rates]) * dt
    most = int(stats.poisson.isf(1 / BITS, mean.max()))
    return np.floor(stats.poisson.cdf(np.arange(most), mean[..., None]) * BITS).clip(max=BITS - 1).astype(np.uint32)


def with_noise(
    clicks: Float[Array, "batch time side"], noise: Float[Array, "batch time side"]
) -> Float[Array, "batch time side"]:
    """Return the sum of n clicks, each with independent noise: n + √n · noise."""
    return clicks + jnp.sqrt(clicks) * noise


def went_right(clicks: Int[Array, "batch time side"]) -> Int[Array, " batch"]:
    """Return 1 where right had as many clicks as left, or more; else 0."""
    left, right = jnp.moveaxis(clicks.sum(1), -1, 0)
    return (right >= left).astype(jnp.int32)


def trials_from(
    clicks: Int[Array, "batch time side"],
    lengths: Int[Array, " batch"],
    counts: Float[Array, "batch target"] | None = None,
) -> Trials:
    """Return the clicks of each step as trials; `counts` weighs their targets."""
    return Trials(clicks.astype(jnp.zeros(0).dtype), went_right(clicks)[:, None], counts, lengths)
