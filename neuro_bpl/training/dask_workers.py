"""Parts of a sweep trained by the worker processes of a Dask cluster.

Every worker writes the part that it trains to its own region of the store (`part_writer.PartWriter`), which all must
see under the same path. A part whose worker dies goes on, from its last commit, on another one. Dask is imported where
a cluster is used, and nowhere else.
"""

import contextlib
import logging
import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import jax
import jax.numpy as jnp

from neuro_bpl.experiments.cohort import Cohort
from neuro_bpl.refusals import refusal
from neuro_bpl.runs import provenance
from neuro_bpl.runs.part_writer import OvertakenError, PartWriter
from neuro_bpl.runs.run_writer import RunWriter
from neuro_bpl.training.progress import Bars
from neuro_bpl.training.trainer import train_part

PATIENCE = 5  # seconds to wait for a scheduler to answer
# What a worker's JAX must have in common with that of this process: where programs are kept, and what changes numbers.
# Not every version of JAX has all of them.
SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
)


class ClusterError(OSError):
    """Error of the cluster, not of a point: the sweep stops and can be resumed."""


def check(workers: int, scheduler: Any, stored: bool) -> None:
    """Refuse impossible numbers of workers or schedulers, and workers without a stored run (`ValueError`)."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        why = "it is the number of processes that train, 1 for this one alone"
        raise refusal("workers", workers, "a whole number >= 1", why, "workers=2")
    if not isinstance(scheduler, str) and not _is_client(scheduler):
        raise refusal(
            "scheduler",
            scheduler,
            'the address of a Dask scheduler, a synchronous distributed.Client, or "" for none',
            "its workers train the points",
            'scheduler="tcp://127.0.0.1:8786"',
        )
    if is_asked_for(workers, scheduler) and not stored:
        why = "workers write what they train to the store"
        name, value = ("workers", workers) if isinstance(scheduler, str) and not scheduler else ("scheduler", scheduler)
        raise refusal(name, value, "a stored sweep", why, 'output="data/runs/x"')


def is_asked_for(workers: int, scheduler: Any) -> bool:
    """Return whether processes other than this one are to train."""
    return workers > 1 or not isinstance(scheduler, str) or bool(scheduler)


def _is_client(scheduler: Any) -> bool:
    if not type(scheduler).__module__.startswith("distributed."):
        return False  # without importing Dask
    import distributed

    return isinstance(scheduler, distributed.Client) and not scheduler.asynchronous


@contextlib.contextmanager
def connected(workers: int, scheduler: Any) -> Iterator[Any]:
    """Yield a client of the given scheduler, or of a new cluster of `workers` processes on this machine.

    A new cluster is reachable from this machine alone.

    Raises
    ------
    ClusterError
        If there is no scheduler at the address.
    """
    import distributed

    if not isinstance(scheduler, str):
        yield scheduler
    elif scheduler:
        with _client_of(scheduler) as client:
            yield client
    else:
        # JAX computes with threads of its own, and checks the memory itself: one task a worker, and no limit of Dask's.
        local = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
        with local, distributed.Client(local, set_as_default=False) as client:
            yield client


def _client_of(address: str) -> Any:
    import distributed

    try:
        return distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(
            f"scheduler = {address!r} does not answer ({type(error).__name__}).\n"
            f"  Allowed: the address of a Dask scheduler that runs.\n  Why: its workers train the points.\n"
            f"  Type: dask scheduler, then --scheduler with the address that it shows, such as tcp://127.0.0.1:8786."
        ) from error


@dataclass(frozen=True)
class Job:
    """All that a worker needs to train a part; the part is pickled, so that its arrays keep their format."""

    name: str
    part: bytes
    path: Path
    token: str
    topic: str
    x64: bool
    settings: Mapping[str, Any]
    versions: Mapping[str, str]


def packed(part: Cohort) -> bytes:
    """Serialise a part as bytes.

    Raises
    ------
    ValueError
        If it holds a class or function of the script itself, which workers cannot import.
    """
    try:
        found = pickle.dumps(part)
    except (pickle.PicklingError, AttributeError, TypeError):  # Code in a raw Optax transformation, for one.
        found = cloudpickle.dumps(part)
    if b"__main__" in found:
        raise refusal(
            "workers",
            part.name,
            "tasks, cells and rules of modules",
            "workers import them, and cannot import a class of the script that is run",
            "the class in a module of its own, imported by the script; or workers=1",
        )
    return found


@dataclass
class Report:
    """Report of a part trained by a worker, sent as events of a Dask topic."""

    name: str
    topic: str
    warned: list[str] = field(default_factory=list)

    def begin(self, done: int) -> None:
        """Report the update at which training starts or continues."""
        self._tell(done, None)

    def at(self, done: int, loss: float) -> None:
        """Report the number of updates done, and the loss of the last one."""
        self._tell(done, loss)

    def warn(self, message: str) -> None:
        """Store a warning, to be shown to the user when the part has ended."""
        self.warned.append(message)

    def _tell(self, done: int, loss: float | None) -> None:
        from distributed import get_worker

        get_worker().log_event(self.topic, {"part": self.name, "done": done, "loss": loss})


def work(job: Job) -> list[str]:
    """Train a part on a worker, from its last commit to its end, and return the warnings for the user."""
    if (here := provenance.versions()) != job.versions:
        raise ClusterError(
            f"a worker has other versions: {here}.\n  Allowed: {dict(job.versions)}, as in the process that asks.\n"
            f"  Why: one run is computed by one set of versions.\n  Type: the same environment for all workers."
        )
    for name, value in job.settings.items():
        if getattr(jax.config, name) != value:
            jax.config.update(name, value)
    report = Report(job.name, job.topic)
    with jax.enable_x64(job.x64):
        part = pickle.loads(job.part)
        while True:
            region = PartWriter.join(job.path, job.token, job.name)
            # One who was believed dead may still have committed: what it did is gone on with.
            with contextlib.suppress(OvertakenError):
                train_part(part, job.name, region, report, raising=False)
                return report.warned


class DaskWorkers:
    """Workers of a Dask cluster that train parts."""

    def __init__(self, client: Any, sink: RunWriter, bars: Bars) -> None:
        import distributed

        self._client = client
        self._sink = sink
        self._bars = bars
        self._topic = f"neuro_bpl-{sink.token}"
        self._settings = {name: getattr(jax.config, name) for name in SETTINGS if hasattr(jax.config, name)}
        self._versions = provenance.versions()
        self._given: dict[str, tuple[str, Cohort, str | None]] = {}
        self._futures: dict[str, Any] = {}
        self._attempts = 0
        self._finished = distributed.as_completed(loop=client.loop)

    def __enter__(self) -> "DaskWorkers":
        self._client.subscribe_topic(self._topic, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel all parts; a worker that is not killed at once stops at its next commit."""
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.cancel(list(self._futures.values()), force=True)
            self._client.unsubscribe_topic(self._topic)

    def give(self, name: str, part: Cohort) -> None:
        """Submit a part for training."""
        self._attempts += 1
        job = Job(
            name,
            packed(part),
            self._sink.path.resolve(),
            self._sink.token,
            self._topic,
            jnp.zeros(0).dtype == "float64",
            self._settings,
            self._versions,
        )
        key = f"neuro_bpl-{self._sink.token}-{name}-{self._attempts}"
        self._given[key] = name, part, self._sink.tip().get(name)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")  # the data of a task, once for each part
            future = self._client.submit(work, job, key=key, pure=False)
        self._futures[key] = future
        self._finished.add(future)

    def done(self) -> Iterator[tuple[str, Cohort, Exception | None]]:
        """Yield each part as it ends, with its error or None, until none is left."""
        for future in self._finished:
            name, part, before = self._given.pop(future.key)
            del self._futures[future.key]
            error = self._error(future)
            if _killed(error) and self._sink.tip().get(name) != before:
                self.give(name, part)  # It got on between the deaths of its workers, which had other reasons.
                continue
            if error is None:
                for message in future.result():
                    warnings.warn(message, RuntimeWarning, stacklevel=6)
            yield name, part, error

    def _error(self, future: Any) -> Exception | None:
        if future.status in ("cancelled", "lost"):
            raise ClusterError(
                "the scheduler has gone, or has cancelled the sweep.\n  What was committed before is safe.\n"
                "  Type: the same command with --resume."
            )
        error = future.exception()
        if isinstance(error, ImportError):
            raise ClusterError(
                f"a worker lacks a module ({error}).\n  Allowed: workers with neuro_bpl and your modules.\n"
                f"  Why: they run the same code.\n  Type: the same environment, and PYTHONPATH, for all workers."
            ) from error
        if isinstance(error, OSError):
            raise error
        return None if error is None else error.with_traceback(future.traceback())

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, said = event
        if said["loss"] is None:
            self._bars.begin(said["part"], "updates", said["done"])
        else:
            self._bars.at(said["part"], said["done"], said["loss"])


def _killed(error: Exception | None) -> bool:
    import distributed

    return isinstance(error, distributed.KilledWorker)
