"""Capacity: the memory that a run may fill."""

from pathlib import Path

import jax
import psutil

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def free() -> int | None:
    """Return the free bytes of the accelerator, or of the machine within the limits of its container.

    None where it is unknown.
    """
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return max(stats["bytes_limit"] - stats.get("bytes_in_use", 0), 0)
    if jax.default_backend() != "cpu":
        return None
    return min((psutil.virtual_memory().available, *_left_in_cgroups()))


def _left_in_cgroups() -> list[int]:
    """Return the bytes left in every control group that contains this process and has a limit."""
    try:
        paths = [line.split(":", 2)[2].strip("/") for line in OWN_CGROUP.read_text().splitlines()]
    except OSError:
        return []
    folders = {CGROUPS, *(folder for path in paths for folder in _upwards(CGROUPS / path))}
    folders |= {CGROUPS / "memory", *(folder for path in paths for folder in _upwards(CGROUPS / "memory" / path))}
    return [left for folder in folders if (left := _left(folder)) is not None]


def _upwards(folder: Path) -> list[Path]:
    return [one for one in (folder, *folder.parents) if one.is_relative_to(CGROUPS)]


def _left(folder: Path) -> int | None:
    """Return the limit less the use of one group; None where there is no limit."""
    for limit, use in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            most, used = int((folder / limit).read_text()), int((folder / use).read_text())
        except (OSError, ValueError):  # no such group, or "max"
            continue
        return max(most - used + _cache(folder), 0)
    return None


def _cache(folder: Path) -> int:
    """Return the bytes of cached files that the kernel frees when memory is needed."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    except (OSError, ValueError):
        return 0
