"""Writing NWB: recorded sessions, and a network of a run at one snapshot."""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neuro_bpl.neural import arguments
from neuro_bpl.neural.sessions import session as recording
from neuro_bpl.neural.sessions.nwb import file
from neuro_bpl.neural.sessions.nwb.run_file import Written, file_of_run
from neuro_bpl.neural.sessions.nwb.session_file import file_of_session
from neuro_bpl.neural.sessions.nwb.spiking import ClimbingFibres, PoissonSpikes
from neuro_bpl.neural.sessions.session import Columns
from neuro_bpl.refusals import refusal
from neuro_bpl.trials import Trials


def write_nwb(
    source: xr.DataTree,
    path: Path | str,
    *,
    seed: int | None = None,
    snapshot: int | None = None,
    at: Mapping[str, Any] | None = None,
    spikes: PoissonSpikes | None = None,
    climbing_fibres: ClimbingFibres | None = None,
    trials: Trials | None = None,
    columns: Columns | None = None,
    dt: float | None = None,
    gap: float = 1.0,
    start_time: datetime.datetime | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a recorded session, or the activity of one network of a run, to an NWB file.

    Of a run, all that was recorded in its group `activity` is written, as time series of a processing module of that
    name, with trials laid one after another; with the run's parameters and provenance as JSON. Spikes and events of
    climbing fibres are there where they are asked for, as units of which `population` says what they are. A session on
    a trial clock is laid out the same way, by the first and last moment of each trial: of its events, its spikes, its
    bounds and the `time` (s) of binned activity. Its trials get a column `trial_zero`: where their own clock begins.
    The file appears when it is whole.

    Parameters
    ----------
    source : DataTree
        A recorded session (`from_arrays`, `read`), or a run (`open_run`, `train(..., record=["rates"])`).
    path : path
        The file, usually with the suffix `.nwb`.
    seed : int, optional
        Of a run: the network, by its seed; not needed where there is one.
    snapshot : int, optional
        Of a run: number of updates at the snapshot; the last one by default.
    at : mapping, optional
        Of a sweep: values of the parameters that it varies, such as `{"rule": "BP(1)"}`.
    spikes : PoissonSpikes, optional
        Of a run that recorded `rates`: draw spikes of its cortical units.
    climbing_fibres : ClimbingFibres, optional
        Of a run that recorded `td_error`: draw events of climbing fibres.
    trials : Trials, optional
        Of a run: the trials that were played, `task.probe()`, whose inputs, targets and lengths are written, too.
    columns : mapping of columns, optional
        Of a run: columns of its trials, `{"went_right": (values, "1", "choice")}`.
    dt : float, optional
        Of a run: duration of a step, s; by default that of its cortex.
    gap : float
        Of a run, or of a session on a trial clock: time between trials, s.
    start_time : datetime, optional
        When the session began, with its time zone; by default what its attribute `start_time` says, and of a run, when
        it was begun.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileExistsError
        If the file exists and `overwrite` is not set.
    ValueError
        If `source` is neither a session nor a run, has no such seed or snapshot, recorded nothing of its activity, or
        does not say when it began or how long a step lasts.
    ImportError
        If pynwb is not installed.

    Examples
    --------
    >>> import tempfile, neuro_bpl as nb
    >>> task = nb.tasks.TargetReaching(n_steps=4)
    >>> cortex = nb.RateCortex(task.n_inputs, 5, "softplus", tau=0.02, dt=0.02)
    >>> circuit = nb.Circuit(cortex, nb.LinearReadout(2), nb.LinearPredictor())
    >>> run = nb.train(circuit, task, nb.bp_lambda(), n_updates=2, seeds=2, record=["rates"], progress=False)
    >>> from neuro_bpl.neural import read_run_nwb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = read_run_nwb(write_nwb(run, f"{folder}/run.nwb", seed=1))
    >>> bool((again["rates"].values == run["activity"]["rates"].sel(seed=1, snapshot=2).values).all())
    True
    """
    path = arguments.path("path", path)
    arguments.flag("overwrite", overwrite, "a file that is there is replaced, or not")
    file.library()
    file.check_free(path, overwrite)
    kind = source.attrs.get("format") if isinstance(source, xr.DataTree) else None
    of_run: dict[str, Any] = {"seed": seed, "snapshot": snapshot, "at": at, "dt": dt, "columns": columns}
    of_run |= {"trials": trials, "spikes": spikes, "climbing_fibres": climbing_fibres}
    if kind == recording.FORMAT:
        _check_unused(of_run)
        nwb = file_of_session(source, gap, start_time)
    else:
        nwb = file_of_run(source, Written(**of_run, gap=gap, start_time=start_time))
    return file.store(nwb, path, overwrite)


def _check_unused(of_run: Mapping[str, Any]) -> None:
    for name, value in of_run.items():
        if value is not None:
            raise refusal(name, value, "None for a recorded session", "only runs have one", "write_nwb(session, path)")
