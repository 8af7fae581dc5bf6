"""The cerebellum: ĝₜ = g(sₜ; θ), a prediction of the cortex's future gradient.

A predictor is a frozen class with `init`, `predict`, `plastic` and `project`. Its output weights start at zero: an
untrained cerebellum predicts no future gradient. Predictors read mossy fibres and predict a gradient of the shape of
the cortical state. The fibres carry all of that state and, where `reads_input` says so, the cortex's input behind it.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from neuro_bpl.constraints import fan_in_mask
from neuro_bpl.nonlinearities import NONLINEARITIES
from neuro_bpl.parameters import check, field, refusal
from neuro_bpl.synapses import affine, uniform

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
        """Ĝ = g(s; θ), or g(s, x; θ)."""

    def plastic(self, theta: PyTree) -> PyTree:
        """A tree of bools: which weights learn."""

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
        """A tree of bools: which weights learn from TD errors."""

    def organized(self, theta: PyTree, fibres: MossyFibres) -> PyTree:
        """Minus the change that activity makes, summed over the batch; zero for the other weights."""


def taught(predictor: Predictor, theta: PyTree) -> PyTree:
    """A tree of bools: which weights learn from TD errors."""
    return predictor.taught(theta) if isinstance(predictor, SelfOrganizing) else predictor.plastic(theta)


class LinearWeights(NamedTuple):
    """Θ = [W b] of the linear predictor."""

    w: Float[Array, "state fibres"]
    b: Float[Array, " state"]


@dataclass(frozen=True)
class LinearPredictor:
    """ĝ = W s + b, zero at birth, docs/theory.md (11); with the input, ĝ = W [s; x] + b, docs/theory.md (18)."""

    reads_input: bool = field(False, "whether mossy fibres carry the cortex's input besides its state")

    def __post_init__(self) -> None:
        check(self)

    def init(self, key: Key[Array, ""], n_fibres: int, n_state: int, dtype: jnp.dtype) -> LinearWeights:
        """Θ = 0; the key is not used."""
        del key
        return LinearWeights(jnp.zeros((n_state, n_fibres), dtype), jnp.zeros(n_state, dtype))

    @property
    def linear(self) -> bool:
        """Yes."""
        return True

    def features(self, theta: LinearWeights, fibres: MossyFibres) -> Float[Array, "features *batch"]:
        """The mossy fibres themselves."""
        return fibres

    def predict(self, theta: LinearWeights, fibres: MossyFibres) -> StateGradient:
        """Ĝ = W s + b."""
        return affine(theta.w, theta.b, fibres)

    def plastic(self, theta: LinearWeights) -> PyTree:
        """All weights learn."""
        return jax.tree.map(lambda _: True, theta)

    def project(self, theta: LinearWeights) -> LinearWeights:
        """Every synapse exists."""
        return theta


class GranularWeights(NamedTuple):
    """Mossy fibre → granule cell → Purkinje cell and nuclei; `mask` is 1 where a mossy synapse exists."""

    mask: Float[Array, "granule fibres"]
    w_granule: Float[Array, "granule fibres"]
    b_granule: Float[Array, " granule"]
    w_purkinje: Float[Array, "state granule"]
    b_purkinje: Float[Array, " state"]


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
        """Ĝ = W_purkinje granule + b_purkinje, through the synapses that exist."""
        return affine(theta.w_purkinje, theta.b_purkinje, self.features(theta, fibres))

    def plastic(self, theta: GranularWeights) -> PyTree:
        """The wiring never learns; the mossy synapses only with plasticity="all"."""
        inner = self.plasticity == "all"
        return jax.tree.unflatten(jax.tree.structure(theta), [False, inner, inner, True, True])

    def project(self, theta: GranularWeights) -> GranularWeights:
        """W_granule ← M ∘ W_granule."""
        return theta._replace(w_granule=jnp.where(theta.mask > 0, theta.w_granule, 0))


class DeepWeights(NamedTuple):
    """Mossy fibres → hidden layers, the first one first → output."""

    w_hidden: tuple[Float[Array, "post pre"], ...]
    b_hidden: tuple[Float[Array, " post"], ...]
    w_out: Float[Array, "state pre"]
    b_out: Float[Array, " state"]


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
        """Weights of N fibres or neurons uniform in ±√(3/N), so that a drive has their variance; output zero."""
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
        """A ← φ(W a + b), layer by layer; the fibres themselves where there is none."""
        for w, b in zip(theta.w_hidden, theta.b_hidden, strict=True):
            fibres = NONLINEARITIES[self.nonlinearity].value(affine(w, b, fibres))
        return fibres

    def predict(self, theta: DeepWeights, fibres: MossyFibres) -> StateGradient:
        """Ĝ = W_out a + b_out."""
        return affine(theta.w_out, theta.b_out, self.features(theta, fibres))

    def plastic(self, theta: DeepWeights) -> PyTree:
        """The hidden layers learn only with plasticity="all"."""
        inner = [self.plasticity == "all"] * (2 * len(self.hidden))
        return jax.tree.unflatten(jax.tree.structure(theta), [*inner, True, True])

    def project(self, theta: DeepWeights) -> DeepWeights:
        """Every synapse exists."""
        return theta


def _layer(key: Key[Array, ""], post: int, pre: int, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Weights and biases of a hidden layer at birth."""
    k_w, k_b = jax.random.split(key)
    return 3**0.5 * uniform(k_w, (post, pre), pre, dtype), uniform(k_b, (post,), pre, dtype)
