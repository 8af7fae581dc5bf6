"""Trials: inputs, targets, and which of them count.

Trials enter as `(batch, time, ...)`. Targets are given at every step, `(batch, time, ...)`, with an optional mask, or
at each trial's last step, `(batch, 1, ...)`. Trials of different length share a batch through `lengths`; steps after a
trial's own end carry no loss and no gradient.
"""

import dataclasses
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from neuro_bpl.refusals import refusal


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("inputs", "targets", "mask", "lengths"),
    meta_fields=(),
)
@dataclass(frozen=True)
class Trials:
    """A batch of trials.

    Parameters
    ----------
    inputs : (batch, time, inputs)
        Input xₜ of each step.
    targets : (batch, target, outputs), or (batch, target) class numbers
        `target` is `time` (a target at every step) or 1 (a target at each trial's last step).
    mask : (batch, target), optional
        Weight of each target in the loss; None: 1 everywhere.
    lengths : (batch,), optional
        Number of steps of each trial; None: all trials are `time` steps long.
    """

    inputs: Float[Array, "batch time inputs"]
    targets: Shaped[Array, "batch target *outputs"]
    mask: Float[Array, "batch target"] | None = None
    lengths: Int[Array, " batch"] | None = None

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return self.inputs.shape[0]

    @property
    def n_steps(self) -> int:
        """Number of steps of the longest trial."""
        return self.inputs.shape[1]

    @property
    def at_last_step(self) -> bool:
        """Whether targets are given at each trial's last step only."""
        return self.targets.shape[1] == 1

    def last_step(self) -> Int[Array, " batch"]:
        """Return the number of each trial's last step, counted from 1."""
        return jnp.full(self.n_trials, self.n_steps) if self.lengths is None else self.lengths

    def steps_left(self) -> Int[Array, "time batch"]:
        """Return the steps from each step t = 1..T to the trial's end: 0 at the last step, negative after it."""
        return self.last_step() - jnp.arange(1, self.n_steps + 1)[:, None]

    def weights(self) -> Float[Array, "target batch"]:
        """Return the weight of each target in the loss: the mask, and 0 after a trial's end."""
        shape = (self.n_trials, self.targets.shape[1])
        mask = jnp.ones(shape, self.inputs.dtype) if self.mask is None else self.mask
        if not self.at_last_step and self.lengths is not None:
            mask = mask * (self.steps_left().T >= 0)
        return mask.T

    def targets_first(self) -> Shaped[Array, "*outputs target batch"]:
        """Return targets with outputs first (absent for class numbers) and trials last."""
        return jnp.moveaxis(self.targets, 0, -1).swapaxes(0, -2)

    def padded(self, n_steps: int) -> "Trials":
        """Return the trials padded with silent steps to `n_steps` in all; longer trials stay as they are."""
        more = max(n_steps - self.n_steps, 0)

        def stretched(values: Array) -> Array:
            return jnp.pad(values, [(0, 0), (0, more), *[(0, 0)] * (values.ndim - 2)])

        kept = {} if self.at_last_step else {"targets": stretched(self.targets)}
        if self.mask is not None and not self.at_last_step:
            kept["mask"] = stretched(self.mask)
        return dataclasses.replace(self, inputs=stretched(self.inputs), lengths=self.last_step(), **kept)

    def by_step(
        self,
    ) -> tuple[Float[Array, "time inputs batch"], Shaped[Array, "time *outputs batch"], Float[Array, "time batch"]]:
        """Return inputs, targets and target weights of every step, time first and batch last."""
        inputs = jnp.moveaxis(self.inputs, 0, -1)
        targets, weights = jnp.moveaxis(self.targets, 0, -1), self.weights()
        if self.at_last_step:
            targets = jnp.broadcast_to(targets, (self.n_steps, *targets.shape[1:]))
            weights = weights * (self.steps_left() == 0)
        return inputs, targets, weights


def check_trials(trials: Trials, n_inputs: int, n_outputs: int, has_classes: bool) -> None:
    """Refuse trials that do not fit a circuit.

    Shapes are always checked; values (finite, classes in range) where they are known, that is, outside compiled code.

    Raises
    ------
    ValueError
        With the value got, what is allowed, why, and what to type.
    """
    for name in ("inputs", "targets", "mask", "lengths"):
        values = getattr(trials, name)
        if values is not None and not hasattr(values, "dtype"):
            why = "lists have neither shape nor number format"
            raise refusal(name, values, "an array", why, f"Trials({name}=np.asarray({name}), ...)")
    _check_shapes(trials, n_inputs, n_outputs, has_classes)
    if _are_known(trials):
        _check_values(trials, n_outputs, has_classes)


def _are_known(trials: Trials) -> bool:
    """Return whether arrays have concrete values: within compiled code they do not."""
    try:
        jax.tree.map(np.asarray, trials)
    except jax.errors.TracerArrayConversionError:
        return False
    return True


def _check_shapes(trials: Trials, n_inputs: int, n_outputs: int, has_classes: bool) -> None:
    shape = np.shape(trials.inputs)
    if len(shape) != 3 or 0 in shape or shape[2] != n_inputs:
        raise refusal(
            "inputs.shape",
            shape,
            f"(batch, time, {n_inputs}) with at least one trial and one step",
            f"the cortex has n_inputs = {n_inputs}, and a trial without steps teaches nothing",
            f"Trials(inputs.reshape(batch, time, {n_inputs}), targets)",
        )
    batch, time, _ = shape
    rest = () if has_classes else (n_outputs,)
    allowed = [(batch, time, *rest), (batch, 1, *rest)]
    if np.shape(trials.targets) not in allowed:
        raise refusal(
            "targets.shape",
            np.shape(trials.targets),
            f"{allowed[0]} (a target at every step) or {allowed[1]} (at each trial's last step)",
            "targets follow the trials of `inputs` and the readout's loss "
            + ("(class numbers)" if has_classes else f"({n_outputs} outputs)"),
            "Trials(inputs, targets[:, None]) for one target a trial",
        )
    if trials.mask is not None and np.shape(trials.mask) != np.shape(trials.targets)[:2]:
        raise refusal(
            "mask.shape",
            np.shape(trials.mask),
            f"{np.shape(trials.targets)[:2]}",
            "the mask weighs each target",
            "Trials(inputs, targets, mask=None) to count every target",
        )
    if trials.lengths is not None and np.shape(trials.lengths) != (batch,):
        raise refusal(
            "lengths.shape",
            np.shape(trials.lengths),
            f"({batch},)",
            "every trial has one length",
            "Trials(inputs, targets, lengths=None) where all trials are equally long",
        )


def _check_values(trials: Trials, n_outputs: int, has_classes: bool) -> None:
    for name in ("inputs", "targets", "mask"):
        values = getattr(trials, name)
        if values is not None and not np.isfinite(values).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise refusal(
                f"{name}{list(where)}",
                float(np.asarray(values)[where]),
                "finite numbers",
                "one NaN or infinity in the data makes every weight NaN after one update",
                f"{name} = np.nan_to_num({name}), or leave those trials out",
            )
    if has_classes:
        _check_classes(np.asarray(trials.targets), n_outputs)
    if trials.lengths is not None:
        outside = (np.asarray(trials.lengths) < 1) | (np.asarray(trials.lengths) > trials.n_steps)
        if outside.any():
            raise refusal(
                f"lengths[{int(outside.argmax())}]",
                int(np.asarray(trials.lengths)[outside.argmax()]),
                f"1 to {trials.n_steps}",
                "a trial has at least one step and no more than `inputs` holds",
                f"lengths = np.clip(lengths, 1, {trials.n_steps})",
            )


def _check_classes(targets: Shaped[np.ndarray, "batch target"], n_outputs: int) -> None:
    if not np.issubdtype(targets.dtype, np.integer):
        raise refusal(
            "targets.dtype",
            str(targets.dtype),
            "whole numbers",
            "softmax_cross_entropy reads class numbers",
            "targets.astype(int)",
        )
    outside: Bool[np.ndarray, "batch target"] = (targets < 0) | (targets >= n_outputs)
    if outside.any():
        raise refusal(
            "targets",
            int(targets[outside][0]),
            f"class numbers 0 to {n_outputs - 1}",
            f"the readout has n_outputs = {n_outputs}",
            f"LinearReadout(n_outputs={int(targets.max()) + 1}, ...)",
        )
