"""A linear predictor of the future gradient."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from neuro_bpl.circuit.predictors.protocol import MossyFibres, StateGradient
from neuro_bpl.circuit.synapses import affine
from neuro_bpl.parameters import check, documented, field


class LinearWeights(NamedTuple):
    """θ = [W b] of the linear predictor."""

    w: Float[Array, "state fibres"]
    b: Float[Array, " state"]


@documented
@dataclass(frozen=True)
class LinearPredictor:
    """ĝ = W s + b, zero at birth, docs/theory.md (11); with the input, ĝ = W [s; x] + b, docs/theory.md (18)."""

    reads_input: bool = field(False, "whether mossy fibres carry the cortex's input besides its state")

    def __post_init__(self) -> None:
        check(self)

    def init(self, key: Key[Array, ""], n_fibres: int, n_state: int, dtype: jnp.dtype) -> LinearWeights:
        """Return θ = 0; the key is not used."""
        del key
        return LinearWeights(jnp.zeros((n_state, n_fibres), dtype), jnp.zeros(n_state, dtype))

    @property
    def linear(self) -> bool:
        """Yes."""
        return True

    def features(self, theta: LinearWeights, fibres: MossyFibres) -> Float[Array, "features *batch"]:
        """Return the mossy fibres themselves."""
        return fibres

    def predict(self, theta: LinearWeights, fibres: MossyFibres) -> StateGradient:
        """Return ĝ = W s + b."""
        return affine(theta.w, theta.b, fibres)

    def plastic(self, theta: LinearWeights) -> PyTree:
        """Return which weights learn: all."""
        return jax.tree.map(lambda _: True, theta)

    def project(self, theta: LinearWeights) -> LinearWeights:
        """Return θ as it is: every synapse exists."""
        return theta
