"""A predictor with a layer of granule cells."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from neuro_bpl.circuit.predictors.protocol import MossyFibres, StateGradient
from neuro_bpl.circuit.synapses import affine, fan_in_mask, uniform
from neuro_bpl.parameters import check, documented, field
from neuro_bpl.refusals import refusal


class GranularWeights(NamedTuple):
    """Mossy fibre → granule cell → Purkinje cell and nuclei; `mask` is 1 where a mossy synapse exists."""

    mask: Float[Array, "granule fibres"]
    w_granule: Float[Array, "granule fibres"]
    b_granule: Float[Array, " granule"]
    w_purkinje: Float[Array, "state granule"]
    b_purkinje: Float[Array, " state"]


@documented
@dataclass(frozen=True)
class GranularPredictor:
    """ĝ = W_purkinje relu((M ∘ W_granule) s + b_granule) + b_purkinje, docs/theory.md (12).

    Mossy fibres carry the cortical state s, or state and input [s; x], docs/theory.md (18); every granule cell reads
    `fan_in` of them (Marr 1969, J Physiol 202:437; Litwin-Kumar et al. 2017, Neuron 93:1153); the parallel-fibre
    weights W_purkinje start at zero.

    Raises
    ------
    ValueError
        If a parameter is outside its range, or (at `init`) there are fewer mossy fibres than `fan_in`.
    """

    n_granule: int = field(doc="number of granule cells", low=1)
    fan_in: int | None = field(4, "mossy fibres a granule cell reads (None: all)", low=1, symbol="K")
    plasticity: str = field("output", "which weights learn: parallel fibres only, or all", choices=("output", "all"))
    reads_input: bool = field(False, "whether mossy fibres carry the cortex's input besides its state")

    def __post_init__(self) -> None:
        check(self)

    def init(self, key: Key[Array, ""], n_fibres: int, n_state: int, dtype: jnp.dtype) -> GranularWeights:
        """Random wiring; mossy weights uniform in ±√(3/K), so that a granule cell's drive has the fibres' variance."""
        fan_in = n_fibres if self.fan_in is None else self.fan_in
        if fan_in > n_fibres:
            carried = "the cortical state and of the input" if self.reads_input else "the cortical state"
            raise refusal(
                "GranularPredictor.fan_in",
                fan_in,
                f"1 <= fan_in <= {n_fibres}, the number of mossy fibres (one for each number of {carried})",
                "a granule cell cannot read more fibres than there are",
                f"GranularPredictor(n_granule={self.n_granule}, fan_in={min(4, n_fibres)})",
            )
        k_mask, k_w, k_b = jax.random.split(key, 3)
        mask = fan_in_mask(k_mask, self.n_granule, n_fibres, fan_in, dtype)
        return GranularWeights(
            mask=mask,
            w_granule=mask * 3**0.5 * uniform(k_w, (self.n_granule, n_fibres), fan_in, dtype),
            b_granule=uniform(k_b, (self.n_granule,), fan_in, dtype),
            w_purkinje=jnp.zeros((n_state, self.n_granule), dtype),
            b_purkinje=jnp.zeros(n_state, dtype),
        )

    @property
    def linear(self) -> bool:
        """Whether only the parallel fibres learn."""
        return self.plasticity == "output"

    def features(self, theta: GranularWeights, fibres: MossyFibres) -> Float[Array, "features *batch"]:
        """Granule cell activity, through the mossy synapses that exist."""
        return self.granule(self.project(theta), fibres)

    def granule(self, theta: GranularWeights, fibres: MossyFibres) -> Float[Array, "granule *batch"]:
        """Granule cell activity relu(W_granule s + b_granule)."""
        return jax.nn.relu(affine(theta.w_granule, theta.b_granule, fibres))

    def predict(self, theta: GranularWeights, fibres: MossyFibres) -> StateGradient:
        """Return ĝ = W_purkinje granule + b_purkinje, through the synapses that exist."""
        return affine(theta.w_purkinje, theta.b_purkinje, self.features(theta, fibres))

    def plastic(self, theta: GranularWeights) -> PyTree:
        """Return which weights learn: never the wiring, the mossy synapses only with plasticity="all"."""
        inner = self.plasticity == "all"
        return jax.tree.unflatten(jax.tree.structure(theta), [False, inner, inner, True, True])

    def project(self, theta: GranularWeights) -> GranularWeights:
        """W_granule ← M ∘ W_granule."""
        return theta._replace(w_granule=jnp.where(theta.mask > 0, theta.w_granule, 0))
