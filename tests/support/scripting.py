"""Scripts of models/, analyses/ and benchmarks/, run as from a shell in the repository root."""

import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def module(path):
    """A script as a module, under its own name."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def status_of(path):
    """Run a script as the program that this process is; the status that it ends with."""
    try:
        runpy.run_path(str(ROOT / path), run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    return 0


def in_shell(path, *words):
    """Run a script in a process of its own: its status and what it wrote."""
    return subprocess.run(
        [sys.executable, path, *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
