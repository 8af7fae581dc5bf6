"""Stages of learning: the networks of every rule at one snapshot, how they perform, and which of them are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neuro_bpl.refusals import refusal


@dataclass(frozen=True)
class Stage:
    """Responses, performance and use of every rule's networks at one snapshot."""

    responses: Mapping[str, xr.DataArray]
    performances: Mapping[str, Float[np.ndarray, " seed"]]
    within: Mapping[str, Bool[np.ndarray, " seed"]]


def stages_of(
    responses: Mapping[str, xr.DataArray],
    performance: Mapping[str, Any] | None,
    matched: tuple[float, float] | None,
) -> dict[Any, Stage]:
    """Return stages by snapshot; a single one, called None, where responses have no such dim.

    Raises
    ------
    ValueError
        If rules have other snapshots, or performance is not one number for each network.
    """
    found = {}
    for place, snapshot in enumerate(snapshots := _snapshots(responses)):
        at = responses if snapshot is None else {rule: one.sel(snapshot=snapshot) for rule, one in responses.items()}
        performances = _performances(performance, at, None if snapshots == [None] else place)
        found[snapshot] = Stage(at, performances, _within(performances, matched))
    return found


def _snapshots(responses: Mapping[str, xr.DataArray]) -> list:
    labels = {tuple(v["snapshot"].values.tolist()) if "snapshot" in v.dims else None for v in responses.values()}
    if len(labels) > 1:
        fix = "responses.sel(snapshot=[...]) of every rule"
        raise refusal("snapshot", list(labels), "the same of every rule", "rules are compared at each", fix)
    only = labels.pop()
    return [None] if only is None else list(only)


def _performances(
    performance: Mapping[str, Any] | None, responses: Mapping[str, xr.DataArray], place: int | None
) -> dict[str, Float[np.ndarray, " seed"]]:
    found = {}
    for rule, values in responses.items():
        n_seeds = values.sizes.get("seed", 0)
        given = np.full(n_seeds, np.nan) if performance is None else np.asarray(performance[rule], float)
        given = given[place] if given.ndim == 2 and place is not None else given
        if given.shape != (n_seeds,):
            got, fix = given.shape, "one number for each network"
            raise refusal(f"performance of {rule}", got, f"({n_seeds},)", "each network has its own", fix)
        found[rule] = given
    return found


def _within(
    performances: Mapping[str, Float[np.ndarray, " seed"]], matched: tuple[float, float] | None
) -> dict[str, Bool[np.ndarray, " seed"]]:
    low, high = matched or (-np.inf, np.inf)
    known = {rule: np.ones(len(values), bool) for rule, values in performances.items()}
    if matched is None:
        return known
    return {rule: (values >= low) & (values <= high) for rule, values in performances.items()}
