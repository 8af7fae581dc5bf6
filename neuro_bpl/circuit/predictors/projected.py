"""Projection: a predictor that sees few dimensions of the cortical state, and predicts a gradient in these alone."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from neuro_bpl.circuit.predictors.protocol import MossyFibres, Predictor, StateGradient, taught
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal


class ProjectedWeights(NamedTuple):
    """P, with orthonormal rows, and the weights of the predictor that works in its dimensions."""

    basis: Float[Array, "k state"]
    inner: PyTree


@documented
@dataclass(frozen=True)
class ProjectedPredictor:
    """ĝ = Pᵀ q(P s) in k dimensions of the state, with orthonormal rows of P, docs/theory.md (37).

    Parameters
    ----------
    predictor : LinearPredictor, GranularPredictor or DeepPredictor
        q: it reads P s (and the input, where it reads that) and predicts P G.
    n_dimensions : int
        k.
    basis : "random", "pca" or "learned"
        Directions drawn at birth and kept; the leading principal subspace of the state, which follows the activity by
        Oja's rule (Oja 1989, Int J Neural Syst 1:61); or directions that learn from TD errors like other weights.

    Raises
    ------
    ValueError
        If a parameter is outside its range, or (at `init`) there are more dimensions than state variables.
    """

    predictor: Predictor = field(doc="what predicts in k dimensions", kind=Predictor, example="LinearPredictor()")
    n_dimensions: int = field(doc="dimensions of the state that it sees", symbol="k", low=1)
    basis: str = field("random", "where the dimensions come from", choices=("random", "pca", "learned"))

    def __post_init__(self) -> None:
        check(self)
        if isinstance(self.predictor, ProjectedPredictor):
            raise refusal(
                "ProjectedPredictor.predictor",
                self.predictor,
                "LinearPredictor(), GranularPredictor(...) or DeepPredictor(...)",
                "a projection of a projection is a projection",
                f"ProjectedPredictor({self.predictor.predictor}, n_dimensions={self.n_dimensions})",
            )

    @property
    def reads_input(self) -> bool:
        """Whether the inner predictor reads the input."""
        return self.predictor.reads_input

    def init(self, key: Key[Array, ""], n_fibres: int, n_state: int, dtype: jnp.dtype) -> ProjectedWeights:
        """Return random orthonormal directions; the inner predictor's output is zero."""
        k = self.n_dimensions
        if k > n_state:
            raise refusal(
                "ProjectedPredictor.n_dimensions",
                k,
                f"1 <= n_dimensions <= {n_state}, the state variables of the cortex",
                "a space has no more orthogonal directions than dimensions",
                f"ProjectedPredictor(predictor, n_dimensions={n_state})",
            )
        k_basis, k_inner = jax.random.split(key)
        basis = jnp.linalg.qr(jax.random.normal(k_basis, (n_state, k), dtype))[0].T
        return ProjectedWeights(basis, self.predictor.init(k_inner, k + n_fibres - n_state, k, dtype))

    def project_fibres(self, theta: ProjectedWeights, fibres: MossyFibres) -> Float[Array, "projected *batch"]:
        """[P s; x]."""
        n_state = theta.basis.shape[1]
        return jnp.concatenate([jnp.tensordot(theta.basis, fibres[:n_state], 1), fibres[n_state:]])

    def predict(self, theta: ProjectedWeights, fibres: MossyFibres) -> StateGradient:
        """Return ĝ = Pᵀ q."""
        q = self.predictor.predict(theta.inner, self.project_fibres(theta, fibres))
        return jnp.tensordot(theta.basis.T, q, 1)

    def plastic(self, theta: ProjectedWeights) -> PyTree:
        """P learns unless it is random."""
        return _flags(theta, self.basis != "random", self.predictor.plastic(theta.inner))

    def taught(self, theta: ProjectedWeights) -> PyTree:
        """P learns from TD errors only where the basis is learned."""
        return _flags(theta, self.basis == "learned", taught(self.predictor, theta.inner))

    def organized(self, theta: ProjectedWeights, fibres: MossyFibres) -> ProjectedWeights:
        """−Σ z (s − Pᵀ z)ᵀ with z = P s: Oja's rule for a subspace, of the state as it is, mean included."""
        nothing = jax.tree.map(jnp.zeros_like, theta)
        if self.basis != "pca":
            return nothing
        s = fibres[: theta.basis.shape[1]].reshape(theta.basis.shape[1], -1)
        z = theta.basis @ s
        return nothing._replace(basis=-z @ (s - theta.basis.T @ z).T)

    def project(self, theta: ProjectedWeights) -> ProjectedWeights:
        """P ← (P Pᵀ)^(−1/2) P, the nearest matrix with orthonormal rows; absent synapses of q at zero."""
        inner = self.predictor.project(theta.inner)
        if self.basis == "random":
            return ProjectedWeights(theta.basis, inner)
        sizes, directions = jnp.linalg.eigh(theta.basis @ theta.basis.T)
        return ProjectedWeights((directions / jnp.sqrt(sizes)) @ directions.T @ theta.basis, inner)


def _flags(theta: ProjectedWeights, basis: bool, inner: PyTree) -> PyTree:
    return jax.tree.unflatten(jax.tree.structure(theta), [basis, *jax.tree.leaves(inner)])
