"""Points of a sweep chosen by name, and values of a run by rule."""

from collections.abc import Sequence

import xarray as xr

from neuro_bpl.refusals import refusal
from neuro_bpl.runs import attributes


def by_rule(values: xr.DataArray, run: xr.DataTree) -> xr.DataArray:
    """Return values with a `rule` dim: the run's own, its λ as BP(λ), or its only rule.

    Raises
    ------
    ValueError
        If the run has further parameters as dims, which no figure of rules can show.
    """
    if "lambda_" in values.dims and "rule" not in values.dims:
        names = [f"BP({value:g})" for value in values.lambda_.values]
        values = values.rename(lambda_="rule").assign_coords(rule=names)
    elif "rule" not in values.dims:
        values = values.expand_dims(rule=[run.attrs["rule"]])
    others = [dim for dim in attributes.grid(run.attrs) if dim in values.dims and dim != "rule"]
    if others:
        first = {dim: values[dim].values[0].item() for dim in others}
        raise refusal(
            "run",
            f"a sweep over {', '.join(others)}",
            "a run that varies rules or lambda_ only",
            "the figure has one line for each rule",
            f"--select {' '.join(f'{dim}={value}' for dim, value in first.items())}",
        )
    return values


def selected(run: xr.DataTree, selection: Sequence[str]) -> xr.DataTree:
    """Return the points of a sweep at given values, each as "name=value" (`ValueError` where there is none)."""
    for text in selection:
        name, _, value = text.partition("=")
        grid = attributes.grid(run.attrs)
        labels = {str(label): label for label in grid.get(name, [])}
        if value not in labels:
            allowed = ", ".join(f"{dim}={label}" for dim, axis in grid.items() for label in axis)
            raise refusal(
                "select", text, allowed or "nothing: the run is no sweep", "the run has no other points", allowed
            )
        run = _at(run, name, labels[value])
    return run


def _at(run: xr.DataTree, name: str, value: float | str) -> xr.DataTree:
    groups = {
        str(group): dataset.sel({name: value}, drop=True) if name in dataset.dims else dataset
        for group, dataset in ((group, node.to_dataset()) for group, node in run.children.items())
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {**run.attrs, **_said_of(run, name, value)}
    return tree


def _said_of(run: xr.DataTree, name: str, value: float | str) -> dict[str, str]:
    """Return the root attribute with the records of the selected points."""
    if "points" not in run.attrs:
        return {}
    return attributes.of_points([point for point in attributes.points(run.attrs) if point["at"].get(name) == value])
