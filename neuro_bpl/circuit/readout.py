"""The readout: yₜ = W hₜ + b, the loss ℓₜ, and the immediate error lₜ = ∂ℓₜ/∂hₜ."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key, Shaped

from neuro_bpl.circuit.synapses import affine, uniform
from neuro_bpl.parameters import check, documented, field

Outputs = Float[Array, "outputs *batch"]
Targets = Shaped[Array, "*target"]


def squared_error(y: Outputs, target: Targets) -> Float[Array, "*batch"]:
    """ℓ = ½ ‖y − target‖²."""
    return optax.l2_loss(y, target).sum(0)


def softmax_cross_entropy(y: Outputs, target: Targets) -> Float[Array, "*batch"]:
    """ℓ = −log softmax(y)[target], in nats; the target is a class number."""
    return optax.softmax_cross_entropy_with_integer_labels(y, target, axis=0)


def sigmoid_cross_entropy(y: Outputs, target: Targets) -> Float[Array, "*batch"]:
    """ℓ = −Σ_k [target_k log σ(y_k) + (1 − target_k) log(1 − σ(y_k))], in nats; targets are bits."""
    return optax.sigmoid_binary_cross_entropy(y, target).sum(0)


class Loss(NamedTuple):
    """ℓ(y, target); whether an output is right (none for a loss without right answers); whether targets are classes."""

    value: Callable[[Outputs, Targets], Float[Array, "*batch"]]
    is_correct: Callable[[Outputs, Targets], Bool[Array, "*batch"]] | None
    has_classes: bool


LOSSES: dict[str, Loss] = {
    "squared_error": Loss(squared_error, None, False),
    "softmax_cross_entropy": Loss(softmax_cross_entropy, lambda y, target: y.argmax(0) == target, True),
    "sigmoid_cross_entropy": Loss(sigmoid_cross_entropy, lambda y, target: ((y > 0) == (target > 0.5)).all(0), False),
}


class ReadoutWeights(NamedTuple):
    """W and b of the linear readout."""

    w: Float[Array, "outputs units"]
    b: Float[Array, " outputs"]


@documented
@dataclass(frozen=True)
class LinearReadout:
    """yₜ = W hₜ + b with a loss ℓ(yₜ, target), docs/theory.md (3).

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """

    n_outputs: int = field(doc="number of outputs, or of classes", low=1)
    loss: str = field("squared_error", "loss ℓ of one target", choices=tuple(LOSSES))

    def __post_init__(self) -> None:
        check(self)

    def init(self, key: Key[Array, ""], n_units: int, dtype: jnp.dtype) -> ReadoutWeights:
        """Return weights and bias, uniform in ±1/√units."""
        k_w, k_b = jax.random.split(key)
        return ReadoutWeights(
            w=uniform(k_w, (self.n_outputs, n_units), n_units, dtype),
            b=uniform(k_b, (self.n_outputs,), n_units, dtype),
        )

    def outputs(self, weights: ReadoutWeights, h: Float[Array, "units *batch"]) -> Outputs:
        """Return y = W h + b."""
        return affine(weights.w, weights.b, h)

    def loss_value(self, y: Outputs, target: Targets) -> Float[Array, "*batch"]:
        """ℓ of each output, in nats for the cross-entropies and ½‖·‖² for the squared error."""
        return LOSSES[self.loss].value(y, target)

    @property
    def is_correct(self) -> Callable[[Outputs, Targets], Bool[Array, "*batch"]] | None:
        """Whether each output names its target; None for a loss without right answers."""
        return LOSSES[self.loss].is_correct

    @property
    def has_classes(self) -> bool:
        """Whether a target is a class number rather than a vector."""
        return LOSSES[self.loss].has_classes
