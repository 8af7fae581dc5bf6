"""What a run says of itself: the dims of its sweep, and what happened to each of its points."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from neuro_bpl.runs.pieces import FORMAT, FORMAT_VERSION, Label

Attributes = Mapping[Any, Any]


def of_run(rules: Sequence[str], grid: Mapping[str, Sequence]) -> dict[str, str]:
    """Return the root attributes of a run of these rules, whose dims are those of a grid ({} for a single run)."""
    sweep = {dim: list(values) for dim, values in grid.items()}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "rule": ", ".join(dict.fromkeys(rules)),
        "sweep": json.dumps(sweep),
    }


def grid(attrs: Attributes) -> dict[str, list]:
    """Return the dims of the sweep and their values; {} for a single run."""
    return json.loads(attrs["sweep"])


def point(label: Label, status: str, description: Mapping[str, Any], error: str = "") -> dict[str, Any]:
    """Return the record of one point: its coordinates, status, error and experiment."""
    return {"at": dict(label), "status": status, "error": error, "run": description}


def of_points(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the root attribute that holds the records of all points."""
    return {"points": json.dumps(records)}


def points(attrs: Attributes) -> list[dict[str, Any]]:
    """Return the records of all points."""
    return json.loads(attrs["points"])
