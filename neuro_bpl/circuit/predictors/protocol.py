"""The cerebellum: ĝₜ = g(sₜ; θ), a prediction of the cortex's future gradient.

A predictor is a frozen class with `init`, `predict`, `plastic` and `project`. Its output weights start at zero: an
untrained cerebellum predicts no future gradient. Predictors read mossy fibres and predict a gradient of the shape of
the cortical state. The fibres carry all of that state and, where `reads_input` says so, the cortex's input behind it.
"""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

MossyFibres = Float[Array, "fibres *batch"]
StateGradient = Float[Array, "state *batch"]


@runtime_checkable
class Predictor(Protocol):
    """What a predictor must offer; see `LinearPredictor`, `GranularPredictor` and `DeepPredictor`."""

    @property
    def reads_input(self) -> bool:
        """Whether the mossy fibres carry the input xₜ behind the state sₜ."""

    def init(self, key: Key[Array, ""], n_fibres: int, n_state: int, dtype: jnp.dtype) -> PyTree:
        """θ at birth, from n_fibres mossy fibres to the n_state numbers of a gradient; output weights are zero."""

    def predict(self, theta: PyTree, fibres: MossyFibres) -> StateGradient:
        """Return ĝ = g(s; θ), or g(s, x; θ)."""

    def plastic(self, theta: PyTree) -> PyTree:
        """Return a tree of bools: which weights learn."""

    def project(self, theta: PyTree) -> PyTree:
        """θ with absent synapses at exactly zero."""


@runtime_checkable
class Featured(Protocol):
    """A predictor with an output layer: ĝ = W φ + b, the last two arrays of θ, of features φ of the mossy fibres."""

    @property
    def linear(self) -> bool:
        """Whether nothing but W and b learns."""

    def features(self, theta: PyTree, fibres: MossyFibres) -> Float[Array, "features *batch"]:
        """φ."""


@runtime_checkable
class SelfOrganizing(Protocol):
    """A predictor some of whose weights learn from activity alone, without TD errors."""

    def taught(self, theta: PyTree) -> PyTree:
        """Return a tree of bools: which weights learn from TD errors."""

    def organized(self, theta: PyTree, fibres: MossyFibres) -> PyTree:
        """Return minus the change that activity makes, summed over the batch; zero for the other weights."""


def taught(predictor: Predictor, theta: PyTree) -> PyTree:
    """Return a tree of bools: which weights learn from TD errors."""
    return predictor.taught(theta) if isinstance(predictor, SelfOrganizing) else predictor.plastic(theta)
