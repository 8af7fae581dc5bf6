"""Optimisers of cortex, readout and predictor: a name and numbers, or any Optax transformation."""

import dataclasses
import inspect
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import optax
from jaxtyping import PyTree

from neuro_bpl.circuit.circuit import Circuit, Weights
from neuro_bpl.parameters import check, documented, field, is_placeholder
from neuro_bpl.refusals import expect, nearest, refusal

__all__ = ["OptaxOptimizer", "Optimizer", "Optimizers"]

NAMES = ("adam", "adamw", "sgd", "rmsprop", "adagrad", "adamax", "nadam", "radam", "lion", "yogi")


@documented
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("learning_rate", "options", "clip_norm"),
    meta_fields=("name",),
)
@dataclass(frozen=True)
class Optimizer:
    """An Optax optimiser by name. Its numbers are array leaves: changing one never recompiles.

    Parameters
    ----------
    name : str
        One of `neuro_bpl.learning.optimizers.NAMES`.
    learning_rate : float
        η.
    options : mapping of str to float
        Further numbers of the optimiser, such as `{"b1": 0.9, "b2": 0.98}`.
    clip_norm : float, optional
        Scale the gradient of this part down to this global norm; None (default): never clip.

    Raises
    ------
    ValueError
        If the name, a number or an option is not possible.
    """

    name: str = field("adam", "Optax optimiser", choices=NAMES)
    learning_rate: float = field(1e-3, "learning rate", symbol="η", low=0)
    options: Mapping[str, float] = dataclasses.field(default_factory=dict)
    clip_norm: float | None = field(None, "largest global norm of the gradient (None: no clipping)", above=0)

    def __post_init__(self) -> None:
        check(self)
        if not is_placeholder(self.options):
            self._check_options()

    def _check_options(self) -> None:
        expect("options", self.options, Mapping, "names and numbers", "they go to Optax by name", 'options={"b1": 0.9}')
        known = [
            name for name, spec in inspect.signature(getattr(optax, self.name)).parameters.items() if _is_number(spec)
        ]
        for option, value in self.options.items():
            if option not in known:
                raise refusal(
                    f"options[{option!r}]",
                    value,
                    ", ".join(known),
                    f"optax.{self.name} takes no such number",
                    f'options={{"{nearest(str(option), known)}": ...}}',
                )
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
            if not (is_number or is_placeholder(value)):
                raise refusal(
                    f"options[{option!r}]",
                    value,
                    "a finite number",
                    "it enters every update",
                    f'options={{"{option}": 0.9}}',
                )

    def transform(self) -> optax.GradientTransformation:
        """Return the Optax transformation."""
        inner = getattr(optax, self.name)(self.learning_rate, **self.options)
        return inner if self.clip_norm is None else optax.chain(optax.clip_by_global_norm(self.clip_norm), inner)


def _is_number(spec: inspect.Parameter) -> bool:
    """Return whether an argument of an Optax optimiser is a number (a momentum may be None)."""
    is_real = isinstance(spec.default, (int, float)) and not isinstance(spec.default, bool)
    return spec.name != "learning_rate" and (is_real or spec.name == "momentum")


@documented
@jax.tree_util.register_static
@dataclass(frozen=True)
class OptaxOptimizer:
    """A raw Optax transformation; a run with one cannot be rebuilt from its parameters alone."""

    transformation: optax.GradientTransformation = field(
        doc="an Optax transformation", kind=optax.GradientTransformation, example="optax.adam(1e-3)"
    )

    def __post_init__(self) -> None:
        check(self)

    def transform(self) -> optax.GradientTransformation:
        """Return the Optax transformation."""
        return self.transformation


def _part(name: str) -> Any:
    kinds = (Optimizer, OptaxOptimizer)
    return field(Optimizer(), f"optimiser of the {name} weights", kind=kinds, example='Optimizer("adam", 1e-3)')


@partial(jax.tree_util.register_dataclass, data_fields=("cortex", "readout", "predictor"), meta_fields=())
@dataclass(frozen=True)
class Optimizers:
    """One optimiser each for cortex, readout and predictor; None holds that part fixed.

    Feedback weights that learn have an optimiser like the readout's, whose changes they follow, and those of the olive
    one like the cortex's.

    `Optimizers(predictor=None)` applies a predictor without training it; `bp_lambda(kappa=0)` trains one without
    applying it.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> nb.Optimizers(cortex=nb.Optimizer("adam", 3e-4), readout=nb.Optimizer("sgd", 0.1)).cortex.learning_rate
    0.0003
    """

    cortex: Optimizer | OptaxOptimizer | None = _part("cortical")
    readout: Optimizer | OptaxOptimizer | None = _part("readout")
    predictor: Optimizer | OptaxOptimizer | None = _part("cerebellar")

    def __post_init__(self) -> None:
        check(self)

    @property
    def step_size(self) -> Any:
        """α, the learning rate of the predictor; None where there is no such number."""
        return getattr(self.predictor, "learning_rate", None)

    def transform(self, circuit: Circuit, weights: Weights) -> optax.GradientTransformation:
        """Return one transformation for all weights; what does not learn is left alone whatever the optimiser."""
        plastic = circuit.plastic(weights)
        labels = Weights(*(_labels(part, learns) for part, learns in zip(Weights._fields, plastic, strict=True)))
        parts = zip(
            Weights._fields, (self.cortex, self.readout, self.predictor, self.readout, self.cortex), strict=True
        )
        transforms = {part: optax.set_to_zero() if o is None else o.transform() for part, o in parts}
        return optax.partition({**transforms, "fixed": optax.set_to_zero()}, labels)


def _labels(part: str, learns: PyTree) -> Any:
    return jax.tree.map(lambda is_plastic: part if is_plastic else "fixed", learns)


def apply(
    optimizers: Optimizers, circuit: Circuit, weights: Weights, state: PyTree, gradient: Weights
) -> tuple[Weights, PyTree]:
    """Return one update of all weights, projected onto the synapses that exist."""
    updates, state = optimizers.transform(circuit, weights).update(gradient, state, weights)
    return circuit.project(optax.apply_updates(weights, updates)), state
