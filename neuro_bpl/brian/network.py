"""Populations and pathways as Brian2 objects, in the order in which a step computes them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import brian2
import numpy as np
from jaxtyping import Float

from neuro_bpl.brian.script import ONE_TO_ONE, PATHWAYS, POPULATIONS, Equations
from neuro_bpl.circuit.circuit import Circuit, Weights

# Within the slot "groups" of a step. Sums over a pathway come before what reads them.
ORDER = {
    "feedforward_post": -2,
    "recurrent_post": -2,
    "autapse_post": -2,
    "cortex": 0,
    "feedforward": 1,
    "recurrent": 1,
    "own_post": 2,
    "mossy_post": 2,
    "purkinje_post": 3,
    "purkinje_before_post": 3,
    "synaptic_post": 3,
    "error_pre": 4,
    "prediction_post": 4,
    "told_back_pre": 5,
    "onward_back_pre": 5,
    "heard_post": 6,
    "expected_post": 6,
    "climbing_fibre_post": 7,
}
RECORDED, LEARNING, AFTER = "synapses", "resets", "end"  # slots of a step behind "groups"


class Clocks(NamedTuple):
    """One named clock for every scale of time."""

    step: brian2.Clock
    trial: brian2.Clock


def clocks(dt: float, n_steps: int) -> Clocks:
    """Return clocks of steps of `dt` seconds and of trials of so many steps."""
    step = dt * brian2.second
    # Clocks meet where their times differ by less than 1e-14 s, which is less than rounding after a minute. A trial may
    # then begin just before its first step, but must never begin after it.
    return Clocks(brian2.Clock(step, name="step"), brian2.Clock(step * n_steps * (1 - 1e-15), name="trial"))


def populations(circuit: Circuit, script: Mapping[str, Equations], clock: Clocks) -> dict[str, brian2.NeuronGroup]:
    """Return every population that has equations."""
    units = circuit.cortex.n_units
    sizes = {"inputs": circuit.cortex.n_inputs, "readout": circuit.readout.n_outputs}
    sizes["granule"] = getattr(circuit.cerebellum, "n_granule", 0)
    groups = {
        name: brian2.NeuronGroup(
            sizes.get(name, units),
            script[name].model,
            method="euler",
            clock=clock.step,
            order=ORDER.get(name, 0),
            name=name,
        )
        for name in POPULATIONS
        if name in script
    }
    if "nuclei" in groups:
        groups["nuclei"].state_updater.when = AFTER
    return groups


def pathways(
    groups: Mapping[str, brian2.NeuronGroup],
    script: Mapping[str, Equations],
    existing: Mapping[str, np.ndarray],
    clock: Clocks,
) -> dict[str, brian2.Synapses]:
    """Return every pathway that has equations, with the synapses that exist: `existing` is true at (post, pre)."""
    made = {}
    for name, (source, target) in PATHWAYS.items():
        if name not in script:
            continue
        synapses = brian2.Synapses(
            groups[source], groups[target], script[name].model, method="euler", clock=clock.step, name=name
        )
        if name in ONE_TO_ONE:
            synapses.connect(j="i")
        else:
            post, pre = np.nonzero(existing[name])
            synapses.connect(i=pre, j=post)
        for variable, updater in synapses.summed_updaters.items():
            updater.order = ORDER.get(variable, ORDER["cortex"] - 1)
        if synapses.state_updater is not None:
            synapses.state_updater.order = ORDER.get(name, ORDER["cortex"] + 1)
            synapses.state_updater.when = AFTER if name == "parallel" else "groups"
        made[name] = synapses
    return made


def moments(group: brian2.Group, name: str, one: Equations, clock: Clocks) -> None:
    """Code at the beginning of trials and steps, and at the end of steps."""
    # Synapses learn before biases do: they read slopes and errors that follow from a neuron's bias.
    last = 0 if name in PATHWAYS else 1
    for what, code, when, order, at in (
        ("reset", one.reset, "start", -2, clock.trial),
        ("remember", one.remember, "start", -1, clock.step),
        ("learn", one.learn, LEARNING, last, clock.step),
    ):
        if code:
            group.run_regularly(code, when=when, order=order, clock=at, name=f"{name}_{what}")


def matrices(weights: Weights) -> dict[str, Float[np.ndarray, "post pre"]]:
    """Return weights of every pathway."""
    found = {
        "feedforward": weights.cortex.w_in,
        "recurrent": weights.cortex.w_rec,
        "output": weights.readout.w,
    }
    if weights.cerebellum is not None:
        found |= {"mossy": weights.cerebellum.w_granule, "parallel": weights.cerebellum.w_purkinje}
    return {name: np.asarray(w, float) for name, w in found.items()}


def biases(weights: Weights) -> dict[str, Float[np.ndarray, " post"]]:
    """Bias of every population."""
    found = {"cortex": weights.cortex.b, "readout": weights.readout.b}
    if weights.cerebellum is not None:
        found |= {"granule": weights.cerebellum.b_granule, "nuclei": weights.cerebellum.b_purkinje}
    return {name: np.asarray(b, float) for name, b in found.items()}


def existing(weights: Weights) -> dict[str, np.ndarray]:
    """Return which synapses exist: all but mossy ones."""
    made = {name: np.ones(w.shape, bool) for name, w in matrices(weights).items()}
    if weights.cerebellum is not None:
        made["mossy"] = np.asarray(weights.cerebellum.mask) > 0
    return made


def put(groups: Mapping[str, brian2.Group], weights: Weights) -> None:
    """Set weights, biases and the rate in which a trial starts."""
    for name, w in matrices(weights).items():
        if name in groups:
            groups[name].w = w[np.nonzero(existing(weights)[name])]
    for name, b in biases(weights).items():
        if name in groups:
            groups[name].bias = b
    if weights.cortex.s_0 is not None:
        groups["cortex"].r_birth = np.asarray(weights.cortex.s_0[0], float)


def get(groups: Mapping[str, brian2.Group], like: Weights) -> Weights:
    """The present weights, in the structure of `like`; those without a population or pathway as they are there."""
    w: dict[str, Any] = {**matrices(like)}
    b: dict[str, Any] = {**biases(like)}
    for name, where in existing(like).items():
        if name in groups:
            w[name] = np.zeros_like(w[name])
            w[name][np.nonzero(where)] = np.asarray(groups[name].w[:])
    for name in b:
        if name in groups:
            b[name] = np.array(groups[name].bias[:])
    cortex = like.cortex._replace(w_in=w["feedforward"], w_rec=w["recurrent"], b=b["cortex"])
    cerebellum = like.cerebellum
    if cerebellum is not None:
        cerebellum = cerebellum._replace(
            mask=np.asarray(cerebellum.mask, float),
            w_granule=w["mossy"],
            b_granule=b["granule"],
            w_purkinje=w["parallel"],
            b_purkinje=b["nuclei"],
        )
    return like._replace(
        cortex=cortex, readout=like.readout._replace(w=w["output"], b=b["readout"]), cerebellum=cerebellum
    )


def set_constants(groups: Mapping[str, brian2.Group], constants: Mapping[tuple[str, str], float]) -> None:
    """Set numbers that the equations know by name, in SI units, as far as they still read them."""
    for (name, variable), value in constants.items():
        if variable in groups[name].variables:
            groups[name].variables[variable].set_value(value)


def begin(groups: Mapping[str, brian2.Group], now: brian2.Quantity) -> None:
    """Trials begin now."""
    for group in groups.values():
        if "began" in group.variables:
            group.began = now
