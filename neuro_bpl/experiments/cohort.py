"""A cohort: the points of a sweep that one compiled program trains."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from neuro_bpl.circuit.circuit import Weights
from neuro_bpl.experiments.description import describe
from neuro_bpl.experiments.experiment import Experiment, Seeds
from neuro_bpl.experiments.observers import Watch
from neuro_bpl.experiments.updates import Hyperparameters
from neuro_bpl.runs.pieces import Label


@dataclass(frozen=True)
class Cohort:
    """Points that one compiled call trains, and the coordinates of each in the sweep ({} for a single run)."""

    points: tuple[Experiment, ...]
    labels: tuple[Label, ...]

    @property
    def first(self) -> Experiment:
        """The experiment whose circuit, task, schedule and seeds all points share."""
        return self.points[0]

    @property
    def n_seeds(self) -> int:
        """Number of networks of a point."""
        return len(self.first.seeds.weights)

    @property
    def name(self) -> str:
        """Name for progress and messages: the rule, or the number of points."""
        rules = dict.fromkeys(point.rule.name for point in self.points)
        return next(iter(rules)) if len(rules) == 1 else f"{len(self.points)} points"

    def hyperparameters(self) -> Hyperparameters:
        """Return the rules and optimisers of all networks."""
        return Hyperparameters.stack([(point.rule, point.optimizers) for point in self.points], self.n_seeds)

    @property
    def watch(self) -> Watch:
        """The rules that observe the leading rule."""
        return Watch.of(self.first.rule, self.first.compare, self.first.compare_draws)

    def keys(self) -> tuple[Key[Array, " network"], Key[Array, " network"], Key[Array, " network"]]:
        """Return the keys of weights, data and noise of all networks: those of the seeds, repeated for every point."""
        seeds, n_points = self.first.seeds, len(self.points)
        return Seeds(seeds.weights * n_points, seeds.data * n_points, seeds.noise * n_points).keys()

    def start(self) -> Weights | None:
        """Return the given weights, repeated for every point, in the run's number format; None where they are drawn."""
        n_points, dtype = len(self.points), jnp.zeros(0).dtype
        return jax.tree.map(
            lambda leaf: jnp.tile(jnp.asarray(leaf, dtype), (n_points,) + (1,) * (leaf.ndim - 1)), self.first.weights
        )

    def descriptions(self) -> list[dict[str, Any]]:
        """Describe every experiment in plain dictionaries."""
        return [describe(point) for point in self.points]
