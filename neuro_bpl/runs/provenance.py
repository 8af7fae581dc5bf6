"""Where a run comes from: versions, commit and time; and how two descriptions of experiments differ."""

import datetime
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

PACKAGES = ("neuro_bpl", "icechunk", "jax", "numpy", "optax", "xarray", "zarr")


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """List what differs, one line each, such as ``rule.credit.lambda_: stored 0.5, asked for 1.0``."""
    old, new = dict(_flat(stored)), dict(_flat(asked))
    return [
        f"{name}: stored {old.get(name, 'nothing')}, asked for {new.get(name, 'nothing')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(description: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(description, Mapping):
        for key, value in description.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, description


def origin() -> dict[str, str]:
    """Return versions, commit and time, for the attributes of a run."""
    return {
        "versions": json.dumps(versions()),
        "commit": _commit(),
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute and store a run."""
    return {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}


def _commit() -> str:
    """Return the commit of the package's source tree; empty where it is installed or git is missing."""
    here = Path(str(files("neuro_bpl"))).resolve().parent
    if not (here / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
