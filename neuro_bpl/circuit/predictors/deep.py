"""A predictor with hidden layers."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from neuro_bpl.circuit.nonlinearities import NONLINEARITIES
from neuro_bpl.circuit.predictors.protocol import MossyFibres, StateGradient
from neuro_bpl.circuit.synapses import affine, uniform
from neuro_bpl.parameters import check, documented, field


class DeepWeights(NamedTuple):
    """Mossy fibres → hidden layers, the first one first → output."""

    w_hidden: tuple[Float[Array, "post pre"], ...]
    b_hidden: tuple[Float[Array, " post"], ...]
    w_out: Float[Array, "state pre"]
    b_out: Float[Array, " state"]


@documented
@dataclass(frozen=True)
class DeepPredictor:
    """ĝ = W_out a + b_out of the last of several hidden layers, a ← φ(W a + b) from a = s on, docs/theory.md (20).

    `hidden=(100, 50)` has a layer of 100 neurons that read all mossy fibres, and one of 50 behind it; `hidden=()` is
    the linear predictor. Synthetic gradients of networks with hidden layers: Jaderberg et al. 2017, ICML.

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """

    hidden: tuple[int, ...] = field(
        doc="neurons of each hidden layer, from the mossy fibres on; () for none", low=1, example="(100, 50)"
    )
    nonlinearity: str = field("relu", "transfer function φ of the hidden layers", choices=tuple(NONLINEARITIES))
    plasticity: str = field("all", "which weights learn: those of the output only, or all", choices=("output", "all"))
    reads_input: bool = field(False, "whether mossy fibres carry the cortex's input besides its state")

    def __post_init__(self) -> None:
        check(self)

    def init(self, key: Key[Array, ""], n_fibres: int, n_state: int, dtype: jnp.dtype) -> DeepWeights:
        """Return weights of N fibres or neurons uniform in ±√(3/N), so that a drive has their variance; output zero."""
        widths = (n_fibres, *self.hidden)
        layers = [
            _layer(jax.random.fold_in(key, k), post, pre, dtype)
            for k, (pre, post) in enumerate(zip(widths, self.hidden, strict=False))
        ]
        return DeepWeights(
            w_hidden=tuple(w for w, _ in layers),
            b_hidden=tuple(b for _, b in layers),
            w_out=jnp.zeros((n_state, widths[-1]), dtype),
            b_out=jnp.zeros(n_state, dtype),
        )

    @property
    def linear(self) -> bool:
        """Whether only the output learns."""
        return self.plasticity == "output" or not self.hidden

    def features(self, theta: DeepWeights, fibres: MossyFibres) -> Float[Array, "features *batch"]:
        """Return a ← φ(W a + b), layer by layer; the fibres themselves where there is none."""
        for w, b in zip(theta.w_hidden, theta.b_hidden, strict=True):
            fibres = NONLINEARITIES[self.nonlinearity].value(affine(w, b, fibres))
        return fibres

    def predict(self, theta: DeepWeights, fibres: MossyFibres) -> StateGradient:
        """Return ĝ = W_out a + b_out."""
        return affine(theta.w_out, theta.b_out, self.features(theta, fibres))

    def plastic(self, theta: DeepWeights) -> PyTree:
        """Return which weights learn: those of hidden layers only with plasticity="all"."""
        inner = [self.plasticity == "all"] * (2 * len(self.hidden))
        return jax.tree.unflatten(jax.tree.structure(theta), [*inner, True, True])

    def project(self, theta: DeepWeights) -> DeepWeights:
        """Return θ as it is: every synapse exists."""
        return theta


def _layer(key: Key[Array, ""], post: int, pre: int, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Return weights and biases of a hidden layer at birth."""
    k_w, k_b = jax.random.split(key)
    return 3**0.5 * uniform(k_w, (post, pre), pre, dtype), uniform(k_b, (post,), pre, dtype)
