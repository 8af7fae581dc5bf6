"""Where Brian2's equations are computed: in NumPy, in Cython, or in a C++ program of its own."""

import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import brian2
from brian2.devices.device import reset_device

from neuro_bpl.refusals import one_of, refusal

TARGETS = ("auto", "numpy", "cython", "cpp_standalone")


def resolve(target: str) -> str:
    """Return the target meant: "auto" is Cython where there is a compiler, else NumPy, with a warning.

    Raises
    ------
    ValueError
        If the name is unknown, or a compiler is asked for and there is none.
    """
    one_of("target", target, TARGETS, "these are ways to compute equations")
    if target == "numpy" or brian2.CythonCodeObject.is_available():
        return "cython" if target == "auto" else target
    if target != "auto":
        raise refusal("target", target, "numpy, auto", "no working C++ compiler was found", 'target="numpy"')
    warnings.warn("no working C++ compiler was found: equations are computed with NumPy, slower", stacklevel=3)
    return "numpy"


@contextmanager
def computing(target: str) -> Iterator[None]:
    """Code made in here is of this target.

    Raises
    ------
    ValueError
        If Cython code is to be made in a thread: its compiler would end the whole process.
    """
    if target != "numpy" and threading.current_thread() is not threading.main_thread():
        why = "compiling in a thread ends the whole process"
        raise refusal(
            "target", target, "numpy, or a process for each circuit", why, "concurrent.futures with processes"
        )
    before = brian2.prefs.codegen.target
    if target != "cpp_standalone":
        brian2.prefs.codegen.target = target
    try:
        yield
    finally:
        brian2.prefs.codegen.target = before


def check_device(target: str) -> None:
    """Refuse a new circuit while a C++ program waits to be run (`ValueError`)."""
    if brian2.get_device() is brian2.all_devices["cpp_standalone"]:
        raise refusal(
            "target",
            target,
            "one circuit at a time while one is cpp_standalone",
            "a program in C++ is being written, and whatever is made now would become part of it",
            "circuit.close() first, or: with BrianCircuit(...) as circuit",
        )


class Program:
    """A program in C++ that is being written, and then run: as often as wanted, with other numbers each time."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="neuro_bpl_brian_"))
        self.monitors: dict[str, brian2.StateMonitor] = {}
        self.built = False
        brian2.set_device("cpp_standalone", build_on_run=False)

    def build(
        self,
        network: brian2.Network,
        duration: brian2.Quantity,
        namespace: dict[str, Any],
        monitors: dict[str, brian2.StateMonitor],
    ) -> None:
        """Write and compile what the network does in so much time."""
        self.monitors, self.built = monitors, True  # also where it fails: half of it is written then
        brian2.device.apply_run_args()
        network.run(duration, namespace=namespace)
        # Left alone, `make` would compile all files at the same time, however few cores there are.
        brian2.prefs["devices.cpp_standalone.extra_make_args_unix"] = [f"-j{os.cpu_count() or 1}"]
        brian2.device.build(directory=str(self.folder), run=False, with_output=False)

    def check_ready(self) -> None:
        """Refuse a second run, for trials are compiled in, and one after `close()` (`ValueError`)."""
        if self.built or self.closed:
            got = "a run after close()" if self.closed else "a second run"
            why = "its trials and records are part of the program"
            fix = "circuit.close(), then BrianCircuit(..., weights=circuit.weights, target=...) to go on; or sweep(...)"
            raise refusal("run", got, "one run, or one sweep, of a circuit in C++", why, fix)

    @property
    def closed(self) -> bool:
        """Whether it has been let go of."""
        return not self.folder.exists()

    def run(self, numbers: dict[Any, Any]) -> None:
        """Run it with these values of variables."""
        brian2.device.run(run_args=numbers, with_output=False)

    def close(self) -> None:
        """Forget it, and compute in this process again."""
        if not self.closed:
            brian2.device.reinit()
            reset_device("runtime")
            shutil.rmtree(self.folder)
