"""The schema of a run: which groups, dims and attributes it has (docs/schema.md)."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from neuro_bpl.refusals import refusal
from neuro_bpl.runs.quantities import QUANTITIES

REQUIRED = ("parameters", "training", "evaluation", "weights")
REQUIRED_OF_BRIAN = ("parameters", "training", "weights")  # it is evaluated where a probe was given
GROUPS = ("parameters", "training", "evaluation", "activity", "gradients", "comparison", "weights")
EVALUATION = {"loss": ("update", "split"), "accuracy": ("update", "split")}


def validate(run: xr.DataTree) -> None:
    """Refuse data that is not a run by the schema.

    Raises
    ------
    ValueError
        It names the group or variable, what it should be, and why.
    """
    if not isinstance(run, xr.DataTree):
        raise _refusal(type(run).__name__, "an xarray.DataTree", "a run has groups")
    for key in ("format", "format_version", "sweep", "points"):
        if key not in run.attrs:
            raise _refusal(f"attrs without {key!r}", f"attrs[{key!r}]", "a run says what it is")
    groups = {str(name): node.to_dataset() for name, node in run.children.items()}
    trained = "training" in groups
    required = REQUIRED_OF_BRIAN if "simulator" in run.attrs else REQUIRED
    missing = [name for name in required if name not in groups]
    if trained and missing:
        raise _refusal(f"no group {missing[0]!r}", ", ".join(required), "a run without it cannot be read")
    check_piece(groups)


def check_piece(groups: Mapping[str, xr.Dataset]) -> None:
    """Refuse groups, dims or attributes that the schema does not have (`ValueError`)."""
    for group, dataset in groups.items():
        if group not in GROUPS:
            raise _refusal(f"group {group!r}", ", ".join(GROUPS), "only these have a meaning")
        for name, values in dataset.data_vars.items():
            _check_dims(group, str(name), values)
            for attribute in ("units", "long_name"):
                if not values.attrs.get(attribute):
                    raise _refusal(f"{group}/{name} without {attribute}", attribute, "a number needs a unit and a name")
            bare = [dim for dim in values.dims if dim not in values.coords and dim != "point"]
            if bare:
                raise _refusal(
                    f"{group}/{name} without coordinate {bare[0]!r}", "every dim", "values are found by label"
                )


def _check_dims(group: str, name: str, values: xr.DataArray) -> None:
    wanted = _dims(group, name)
    if wanted is None:
        return
    at = values.dims.index("seed") if "seed" in values.dims else -1
    if at < 0 or values.dims[at + 1 :][: len(wanted)] != wanted:
        raise _refusal(f"{group}/{name} with dims {values.dims}", ("…", "seed", *wanted), "names tell axes apart")


def _dims(group: str, name: str) -> tuple[str, ...] | None:
    """Return the dims that follow `seed` in a variable; None where any are allowed."""
    if group == "evaluation":
        return EVALUATION.get(name)
    if group == "weights":
        return ("snapshot",)
    if name in QUANTITIES and QUANTITIES[name].group == group:
        return QUANTITIES[name].dims
    return None


def _refusal(got: Any, allowed: Any, why: str) -> ValueError:
    return refusal("run", got, str(allowed), why, "a run as neuro_bpl.train or neuro_bpl.open_run gives it")
