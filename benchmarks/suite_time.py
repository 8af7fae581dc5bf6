"""Time that the tests take, by file: wall time of a tier, CPU time of all its processes, and seconds of each file."""

import resource
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from neuro_bpl import scripting
from neuro_bpl.parameters import check, field

ROOT = Path(__file__).resolve().parents[1]
TIERS = {"default": "not full and not science", "full": "full", "all": "not science"}


@dataclass(frozen=True)
class Parameters:
    """Which tests to run, and how."""

    tier: str = field("default", "tests to run", choices=tuple(TIERS))
    workers: str = field("auto", "processes that run tests, a number or auto: as many as there are cores")
    n_files: int = field(25, "files to show, those that take longest", low=1)
    output: str = field("", "Markdown file to write the table to, besides printing it")

    def __post_init__(self) -> None:
        check(self)


def run(p: Parameters, report: Path) -> tuple[int, float, float]:
    """Run a tier: the status of pytest, wall time and CPU time in seconds."""
    words = ["-q", "-n", p.workers, "--dist", "loadfile", "-m", TIERS[p.tier], f"--junit-xml={report}"]
    start = time.perf_counter()
    status = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return status, time.perf_counter() - start, used.ru_utime + used.ru_stime


def by_file(report: Path) -> dict[str, tuple[int, float]]:
    """Number of tests of each file, and their seconds, longest first."""
    found: dict[str, list[float]] = defaultdict(list)
    for case in ElementTree.parse(report).iter("testcase"):
        found[case.get("classname", "")].append(float(case.get("time", 0)))
    return dict(sorted(((name, (len(each), sum(each))) for name, each in found.items()), key=lambda one: -one[1][1]))


def benchmark(p: Parameters) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        status, wall, cpu = run(p, report)
        files = by_file(report)
    n_tests, total = (sum(column) for column in zip(*files.values(), strict=True))
    rows = [f"| {name} | {n} | {seconds:.1f} |" for name, (n, seconds) in list(files.items())[: p.n_files]]
    python, all_files = sys.version.split()[0], f"| all {len(files)} files | {n_tests} | {total:.1f} |"
    head = f"{p.tier} tier on Python {python}: status {status}, wall time {wall:.0f} s, CPU time {cpu:.0f} s\n"
    text = "\n".join([head, "| file | tests | time (s) |", "|---|---|---|", *rows, all_files])
    print(text)
    if p.output:
        Path(p.output).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    scripting.main(Parameters, __doc__, benchmark)
