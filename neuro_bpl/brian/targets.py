"""Where Brian2's equations are computed: in NumPy, in Cython, or in a C++ program of its own."""

import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import brian2
from brian2.codegen.runtime.cython_rt import CythonCodeObject
from brian2.devices.device import get_device, reset_device

from neuro_bpl.parameters import nearest, refusal

TARGETS = ("auto", "numpy", "cython", "cpp_standalone")


def resolve(target: str) -> str:
    """The target meant: "auto" is Cython where there is a compiler, else NumPy, with a warning.

    Raises
    ------
    ValueError
        If the name is unknown, or a compiler is asked for and there is none.
    """
    if target not in TARGETS:
        why = "these are ways to compute equations"
        raise refusal("target", target, ", ".join(TARGETS), why, f'target="{nearest(str(target), TARGETS)}"')
    if target == "numpy" or CythonCodeObject.is_available():
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
    if type(get_device()).__name__ == "CPPStandaloneDevice":
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
        self.has_run = False
        self._plan: Any = None
        brian2.set_device("cpp_standalone", build_on_run=False)

    @property
    def built(self) -> bool:
        """Whether it is written and compiled."""
        return self._plan is not None

    def build(
        self,
        network: brian2.Network,
        duration: brian2.Quantity,
        namespace: dict[str, Any],
        monitors: dict[str, brian2.StateMonitor],
        plan: Any,
    ) -> None:
        """Write and compile what the network does in so much time."""
        brian2.device.apply_run_args()
        network.run(duration, namespace=namespace)
        brian2.device.build(directory=str(self.folder), run=False, with_output=False)
        self.monitors, self._plan = monitors, plan

    def check_same(self, plan: Any) -> None:
        """Refuse other trials than those that are compiled in (`ValueError`)."""
        if plan is not self._plan:
            why = "its trials and records are part of the program"
            fix = "sweep(...), or close() and BrianCircuit(..., weights=circuit.weights, target=...)"
            raise refusal("run", "a second run", "one run of a circuit in C++", why, fix)

    def run(self, numbers: dict[Any, Any]) -> None:
        """Run it with these values of variables."""
        brian2.device.run(run_args=numbers, with_output=False)
        self.has_run = True

    def close(self) -> None:
        """Forget it, and compute in this process again."""
        if self.folder.exists():
            brian2.device.reinit()
            reset_device("runtime")
            shutil.rmtree(self.folder)
