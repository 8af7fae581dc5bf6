"""What a run records, by name, with dims, units and cadence."""

from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from neuro_bpl import episode, metrics, td
from neuro_bpl.circuit import Circuit, Weights
from neuro_bpl.parameters import nearest
from neuro_bpl.trials import Trials


class Quantity(NamedTuple):
    """A recordable quantity: where it is stored, its dims beside `seed`, unit, name in words and cadence."""

    group: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    cadence: str


QUANTITIES: dict[str, Quantity] = {
    "loss": Quantity("training", ("update",), "nat or squared output", "loss, mean over trials", "every update"),
    "accuracy": Quantity("training", ("update",), "1", "fraction of targets answered right", "every update"),
    "gradient_alignment": Quantity(
        "gradients",
        ("update", "time"),
        "1",
        "cosine of the predicted with the true future gradient, mean over probe trials",
        "every evaluation",
    ),
    "rates": Quantity(
        "activity", ("trial", "time", "unit"), "1", "cortical firing rate on the probe batch", "at the end"
    ),
    "predicted_gradient": Quantity(
        "activity",
        ("trial", "time", "state"),
        "loss per unit of state",
        "synthetic gradient of the summed loss of the batch, on the probe batch",
        "at the end",
    ),
    "true_gradient": Quantity(
        "activity",
        ("trial", "time", "state"),
        "loss per unit of state",
        "true future gradient of the summed loss of the batch, on the probe batch",
        "at the end",
    ),
}
ALWAYS = ("loss", "accuracy")


def check_names(names: Iterable[str], circuit: Circuit) -> tuple[str, ...]:
    """The names asked for and those always recorded.

    Raises
    ------
    ValueError
        If a name is unknown (it names the nearest one), or needs a cerebellum that the circuit lacks.
    """
    for name in names:
        if name not in QUANTITIES:
            raise ValueError(
                f"record: {name!r} is not recordable.\n  Allowed: {', '.join(QUANTITIES)}.\n"
                f'  Why: only what is listed has dims and units.\n  Type: record=["{nearest(name, list(QUANTITIES))}"].'
            )
        if name in ("gradient_alignment", "predicted_gradient"):
            circuit.predictor()
    return tuple(dict.fromkeys((*ALWAYS, *names)))


def gradient_pair(
    circuit: Circuit, weights: Weights, trials: Trials
) -> tuple[Float[Array, "state time batch"], Float[Array, "state time batch"]]:
    """ĝₜ and Gₜ of the same trials, both scaled by 1/batch as in training."""
    seen = episode.play(circuit, weights, trials, predicting=circuit.cerebellum is not None)
    exact = td.future(circuit, weights, seen, lambda prediction, swept, left: swept)
    return _flat(seen.predictions), _flat(exact)


def alignment(circuit: Circuit, weights: Weights, trials: Trials) -> Float[Array, " time"]:
    """Cosine of ĝₜ with Gₜ, mean over the trials where both are non-zero; NaN at steps without any."""
    predicted, exact = gradient_pair(circuit, weights, trials)
    return jnp.nanmean(metrics.cosine(*jnp.broadcast_arrays(predicted, exact)), axis=-1)


def probe_activity(circuit: Circuit, weights: Weights, trials: Trials) -> dict[str, Float[Array, "trial time feature"]]:
    """Rates, ĝₜ and Gₜ of every probe trial."""
    rates = circuit.run(weights, trials)[0].s_t[0]
    predicted, exact = gradient_pair(circuit, weights, trials)
    return {
        "rates": jnp.moveaxis(rates, -1, 0),
        "predicted_gradient": jnp.broadcast_to(predicted, exact.shape).T,
        "true_gradient": exact.T,
    }


def _flat(s: episode.StateInTime) -> Float[Array, "state time batch"]:
    return jnp.concatenate([jnp.moveaxis(component, 1, 0) for component in s])
