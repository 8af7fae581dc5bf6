"""Centre-out: move a cursor from the centre towards one of several targets that is in sight all the time.

The task of brain–computer interfaces (Sadtler et al. 2014, Nature 512:423), with velocity as the output.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.held_out import held_out_key
from neuro_bpl.trials import Trials

PROBE_SEED = 402_653_189  # an arbitrary number that nobody counts up to


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("noise", "speed"),
    meta_fields=("n_steps", "n_angles", "n_inputs", "onset", "n_held_out"),
)
@dataclass(frozen=True)
class CenterOut:
    """Centre-out task: give the velocity that brings the cursor straight to the target.

    Input channels have preferred directions evenly around the circle; that of channel i at angle φᵢ is

        xₜ = cos(θ − φᵢ) + noise·ξₜ,    y*ₜ = speed (cos θ, sin θ)  for t > onset

    with the target at angle θ = k·360°/n_angles and ξ normal, drawn anew at every step. Noise is part of held-out
    trials, too: they are drawn once.

    Parameters
    ----------
    n_steps : int
        Steps T of a trial.
    n_angles : int
        Number of targets.
    n_inputs : int
        Number of input channels.
    onset : int
        Steps at the beginning that have no wanted velocity.
    noise : float
        Standard deviation of the noise on every input, at every step.
    speed : float
        Length of the wanted velocity.
    n_held_out : int
        Held-out trials of every target.

    Raises
    ------
    ValueError
        If a parameter is not possible.

    Examples
    --------
    >>> task = CenterOut(n_steps=3, n_angles=4, onset=1, n_held_out=1)
    >>> trials = task.held_out("test")
    >>> trials.targets[:, -1].round(3).astype(int).tolist(), trials.mask[0].tolist()
    ([[1, 0], [0, 1], [-1, 0], [0, -1]], [0.0, 1.0, 1.0])
    >>> task.angles().tolist()
    [0.0, 90.0, 180.0, 270.0]
    """

    n_steps: int = field(10, "steps of a trial", symbol="T", low=1)
    n_angles: int = field(8, "number of targets", source="Sadtler et al. 2014", low=2)
    n_inputs: int = field(16, "input channels", low=2)
    onset: int = field(5, "steps at the beginning that do not count", low=0)
    noise: float = field(0.5, "noise on every input at every step", low=0)
    speed: float = field(1.0, "length of the wanted velocity", above=0)
    n_held_out: int = field(14, "held-out trials of every target", low=1)

    def __post_init__(self) -> None:
        check(self)
        if self.onset >= self.n_steps:
            why = "a trial without a wanted velocity teaches nothing"
            raise refusal("CenterOut.onset", self.onset, f"0 to {self.n_steps - 1}", why, f"onset={self.n_steps // 2}")

    @property
    def n_outputs(self) -> int:
        """Number of outputs: the two components of a velocity."""
        return 2

    def angles(self) -> Float[np.ndarray, " trial"]:
        """Return the angle (deg) of the target of every held-out or probe trial."""
        return np.tile(360 * np.arange(self.n_angles) / self.n_angles, self.n_held_out)

    def sample(self, data_key: Key[Array, ""], noise_key: Key[Array, ""], batch_size: int) -> Trials:
        """Draw targets uniformly with replacement, with noise on the inputs of every step."""
        return self._trials(jax.random.randint(data_key, (batch_size,), 0, self.n_angles), noise_key)

    def held_out(self, split: str) -> Trials:
        """Return every target `n_held_out` times, in turn, with noise that depends on the split."""
        return self._trials(self._in_turn(), held_out_key(split))

    def probe(self) -> Trials:
        """Return every target `n_held_out` times, in turn, with noise of a third fixed key."""
        return self._trials(self._in_turn(), jax.random.key(PROBE_SEED))

    def _in_turn(self) -> Int[Array, " batch"]:
        return jnp.tile(jnp.arange(self.n_angles), self.n_held_out)

    def _trials(self, chosen: Int[Array, " batch"], noise_key: Key[Array, ""]) -> Trials:
        shape = (chosen.shape[0], self.n_steps)
        theta = 2 * jnp.pi * chosen / self.n_angles
        preferred = 2 * jnp.pi * jnp.arange(self.n_inputs) / self.n_inputs
        tuned = jnp.cos(theta[:, None] - preferred)[:, None]
        drawn = jax.random.normal(noise_key, (*shape, self.n_inputs), jnp.float32).astype(tuned.dtype)
        velocity = self.speed * jnp.stack((jnp.cos(theta), jnp.sin(theta)), axis=1)
        counts = (jnp.arange(self.n_steps) >= self.onset).astype(tuned.dtype)
        return Trials(
            inputs=tuned + self.noise * drawn,
            targets=jnp.broadcast_to(velocity[:, None], (*shape, 2)),
            mask=jnp.broadcast_to(counts, shape),
        )
