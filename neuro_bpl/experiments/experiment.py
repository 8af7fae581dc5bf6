"""An experiment: all that determines a run, and nothing that the run finds out."""

import itertools
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Int, Key

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.learning.optimizers import Optimizers
from neuro_bpl.learning.rule import LearningRule
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal
from neuro_bpl.tasks.protocol import Task

MOST = 100_000  # networks of a run


def _is_seed(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= int(value) < 2**32


@dataclass(frozen=True)
class Seeds:
    """Seeds of weights, data and noise, one triple for each network trained.

    Examples
    --------
    >>> Seeds.count(2)
    Seeds(weights=(0, 1), data=(0, 1), noise=(0, 1))
    """

    weights: tuple[int, ...]
    data: tuple[int, ...]
    noise: tuple[int, ...]

    def __post_init__(self) -> None:
        streams = (self.weights, self.data, self.noise)
        tuples = all(isinstance(stream, tuple) for stream in streams)
        whole = tuples and all(_is_seed(seed) for stream in streams for seed in stream)
        if not whole or len({len(stream) for stream in streams}) != 1 or not self.weights:
            raise refusal(
                "seeds",
                (self.weights, self.data, self.noise),
                "three equally long, non-empty tuples of whole numbers from 0 to 2**32 - 1",
                "every network needs a seed for its weights, its data and its noise",
                "seeds=5, or Seeds(weights=(0, 1), data=(0, 0), noise=(0, 0))",
            )

    @classmethod
    def count(cls, n: int) -> "Seeds":
        """Return seeds 0 to n − 1 for all three streams."""
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= MOST:
            raise refusal("seeds", n, f"a whole number from 1 to {MOST}", "it is the number of networks", "seeds=5")
        return cls(*(tuple(range(int(n))),) * 3)

    def keys(self) -> tuple[Key[Array, " seed"], Key[Array, " seed"], Key[Array, " seed"]]:
        """Return the keys of the three streams, unrelated even where their seeds are equal."""
        weights, data, noise = (_keys_of(i, np.asarray(s)) for i, s in enumerate((self.weights, self.data, self.noise)))
        return weights, data, noise


@jax.jit
def _keys_of(stream: Int[Array, ""], seeds: Int[Array, " seed"]) -> Key[Array, " seed"]:
    """Return a key for each seed of a stream."""
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), stream))(seeds)


@documented
@dataclass(frozen=True)
class Schedule:
    """Number of updates, trials of each, evaluations and snapshots, and floating-point format."""

    n_updates: int = field(doc="number of updates", low=1)
    batch_size: int = field(50, "trials of an update", low=1)
    n_evaluations: int = field(20, "held-out evaluations after the first one, evenly spread", low=1)
    n_snapshots: int = field(1, "snapshots of weights and activity after the first one, evenly spread", low=1)
    precision: str = field("float32", "floating-point format", choices=("float32", "float64"))

    def __post_init__(self) -> None:
        check(self)

    def chunks(self) -> list[tuple[int, int]]:
        """Return the chunks of updates between evaluations, as (first, number) pairs that cover all updates."""
        edges = np.linspace(0, self.n_updates, min(self.n_evaluations, self.n_updates) + 1).round().astype(int)
        return [(int(a), int(b - a)) for a, b in itertools.pairwise(edges)]

    def longest_chunk(self) -> int:
        """Return the number of updates in the longest chunk."""
        return max(n for _, n in self.chunks())

    def snapshots(self) -> set[int]:
        """Return the updates at which snapshots are taken: 0, the last one, and evaluations between."""
        evaluated = [0] + [first + n for first, n in self.chunks()]
        chosen = np.linspace(0, len(evaluated) - 1, min(self.n_snapshots, len(evaluated) - 1) + 1)
        return {evaluated[int(at)] for at in chosen.round()}


@dataclass(frozen=True)
class Experiment:
    """Everything that determines the numbers of a run.

    `weights` are the initial weights, one network each, or None to draw them; `compare` are the observing rules.
    """

    circuit: Circuit
    task: Task
    rule: LearningRule
    optimizers: Optimizers
    schedule: Schedule
    seeds: Seeds
    record: tuple[str, ...] = ()
    weights: Weights | None = None
    compare: tuple[LearningRule, ...] = ()
    compare_draws: int = 1
