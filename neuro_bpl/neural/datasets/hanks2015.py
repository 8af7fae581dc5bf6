"""Sessions of Hanks et al. (2015): rats that count clicks, with units of frontal (FOF) or parietal (PPC) cortex.

Files as DePasquale, Brody & Pillow (2024) published them: one a session, with a struct array `rawdata` over trials.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neuro_bpl.neural import arguments, times
from neuro_bpl.neural.sessions import fetching, matlab
from neuro_bpl.neural.sessions.reading import existing_file
from neuro_bpl.neural.sessions.session import Columns, from_arrays
from neuro_bpl.refusals import refusal

VARIABLE = "rawdata"
NUMBERS = ("T", "pokedR", "correct_dir", "stim_start", "cpoke_end")
CLICKS = {"left": "leftbups", "right": "rightbups"}
FIELDS = (*NUMBERS, *CLICKS.values(), "spike_times", "cellID")
# Seconds after the light goes off until which every trial was recorded: in the 13 public sessions whose units fire at
# 10 Hz or more then, the last spike of a recorded trial comes 1.77 s after it, or later.
RECORDED_AFTER = 1.5
REGIONS = {"T034": "FOF", "T036": "FOF", "T063": "FOF", "T035": "PPC", "T011": "PPC", "B053": "PPC"}
SOURCE = "https://github.com/Brody-Lab/DePasquale-eLife-2022 (data/by_session)"
CITATION = "Hanks et al. 2015, Nature 520:220; DePasquale, Brody & Pillow 2024, eLife 13:e84955"
LICENCE = "Apache-2.0"


def read_hanks(path: Path | str, region: str | None = None) -> xr.DataTree:
    """Return a session of a rat that hears clicks on both sides and then goes to the side with more of them.

    Times count from the onset of the stimulus, on a trial clock. `stimulus_off` is therefore its duration, which is
    a few milliseconds in some trials. Both sides begin with a click at zero.

    The files do not say when a unit was recorded. They hold spikes of a trial from some time before the poke until some
    time after the light goes off, both of which differ between trials. `recorded_from` and `recorded_until` are bounds
    that hold in all of them: the poke, and 1.5 s after the light. Spikes outside are there, but silence outside means
    nothing. Where recordings broke off there are trials in a row without a spike, which `silent_run` counts.

    Parameters
    ----------
    path : path
        A file such as `T034_151801.mat`: name of the rat, number of the session.
    region : str, optional
        Where the units lie. None: by the name of the rat, where it is one of `REGIONS`.

    Returns
    -------
    DataTree
        A recorded session (docs/neural_reading.md) with the columns of trials `stimulus_on`, `stimulus_off`,
        `centre_poke_on`, `fixation_off` (s), `went_right`, `correct_right`, `correct`, `n_left`, `n_right`,
        `evidence` (clicks on the right less those on the left), `silent_run`, `recorded_from` and `recorded_until` (s);
        and with clicks as events of the kinds `left` and `right`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or is not such a session, or the rat is not known and no region given.

    References
    ----------
    Hanks, T. D., Kopec, C. D., Brunton, B. W., Duan, C. A., Erlich, J. C. & Brody, C. D. (2015). Distinct relationships
    of parietal and prefrontal cortices to evidence accumulation. Nature 520, 220–223.
    """
    path = existing_file(path)
    if region is not None:
        arguments.text("region", region, "it says where the units lie", 'region="FOF"')
    subject = path.stem.partition("_")[0]
    region = region if region is not None else _region_of(subject)
    raw = matlab.read_variable(path, VARIABLE).reshape(-1)
    _check_fields(path, raw)
    ids = _unit_ids(path, raw)
    spikes = [_trains(path, trial, len(ids)) for trial in raw["spike_times"]]
    return from_arrays(
        spikes,
        _trial_columns(path, raw, spikes),
        clock="trial",
        units={"region": ([region] * len(ids), "1", "where the unit was recorded")},
        unit=ids,
        events=_click_columns(path, raw),
        attrs={
            "session": path.stem,
            "subject": subject,
            "region": region,
            "source": SOURCE,
            "citation": CITATION,
            "licence": LICENCE,
        },
    )


def _region_of(subject: str) -> str:
    if subject not in REGIONS:
        why = "the region is known by the rat, the first word of the file's name"
        raise refusal(
            "rat", subject, ", ".join(REGIONS), why, 'read_hanks(path, region="FOF"), if that is where it was'
        )
    return REGIONS[subject]


def _check_fields(path: Path, raw: np.ndarray) -> None:
    missing = [name for name in FIELDS if name not in (raw.dtype.names or ())]
    if missing or not len(raw):
        got = f"no {', '.join(missing)}" if missing else "no trials"
        raise _refuse(path, VARIABLE, got, f"a struct array over trials with {', '.join(FIELDS)}")


def _numbers(path: Path, name: str, value: Any) -> Float[np.ndarray, " value"]:
    """Return real finite numbers of a field of one trial, in one row."""
    values = np.asarray(value)
    if (
        values.dtype.kind not in "buif"
        or values.ndim > 2
        or values.size != max(values.shape, default=1) * bool(values.size)
    ):
        raise _refuse(path, name, value, "a vector of real numbers")
    numbers = values.reshape(-1).astype(float)
    if not np.isfinite(numbers).all():
        raise _refuse(path, name, value, "finite numbers")
    return numbers


def _scalars(path: Path, name: str, raw: np.ndarray) -> Float[np.ndarray, " trial"]:
    """Return the number that each trial has in a field."""
    found = [_numbers(path, name, value) for value in raw[name]]
    wrong = next((values for values in found if len(values) != 1), None)
    if wrong is not None:
        raise _refuse(path, name, wrong, "one number a trial")
    return np.concatenate(found)


def _sides(path: Path, name: str, raw: np.ndarray) -> Int[np.ndarray, " trial"]:
    """1 for right and 0 for left."""
    values = _scalars(path, name, raw)
    if not np.isin(values, (0, 1)).all():
        raise _refuse(path, name, np.unique(values), "1 (right) or 0 (left)")
    return values.astype(int)


def _unit_ids(path: Path, raw: np.ndarray) -> list[int]:
    """Return names of the units, the same in all trials."""
    found = {tuple(_numbers(path, "cellID", value).astype(int).tolist()) for value in raw["cellID"]}
    if len(found) > 1 or not (ids := found.pop()):
        raise _refuse(path, "cellID", sorted(found), "the same units in all trials, at least one")
    return list(ids)


def _trains(path: Path, value: Any, n_units: int) -> list[Float[np.ndarray, " spike"]]:
    """Return spike times of each unit in one trial: a cell array, or a plain vector where there is one unit."""
    cells = list(value.reshape(-1)) if isinstance(value, np.ndarray) and value.dtype == object else [value]
    if len(cells) != n_units:
        raise _refuse(path, "spike_times", f"{len(cells)} cells", f"{n_units}, one for each cellID")
    return [_numbers(path, "spike_times", cell) for cell in cells]


def _trial_columns(path: Path, raw: np.ndarray, spikes: Sequence[Sequence[Any]]) -> Columns:
    duration, poke = _scalars(path, "T", raw), _scalars(path, "stim_start", raw)
    light_off = _scalars(path, "cpoke_end", raw) - poke
    went, correct = (_sides(path, name, raw) for name in ("pokedR", "correct_dir"))
    left, right = (np.array([len(_numbers(path, name, v)) for v in raw[name]]) for name in CLICKS.values())
    return {
        "stimulus_on": (np.zeros(len(raw)), "s", "onset of the stimulus, zero of the clock"),
        "stimulus_off": (duration, "s", "end of the stimulus"),
        "centre_poke_on": (-poke, "s", "nose enters the centre port: fixation begins"),
        "fixation_off": (light_off, "s", "light goes off: the nose may leave the port"),
        "went_right": (went, "1", "choice: 1 right, 0 left"),
        "correct_right": (correct, "1", "rewarded side: 1 right, 0 left"),
        "correct": ((went == correct).astype(int), "1", "whether the choice was rewarded"),
        "n_left": (left, "1", "clicks on the left"),
        "n_right": (right, "1", "clicks on the right"),
        "evidence": (right - left, "1", "clicks on the right less those on the left"),
        "silent_run": (
            silent_runs(spikes, -poke),
            "1",
            "trials in a row without a spike from the poke on, this one in it",
        ),
        "recorded_from": (-poke, "s", "units recorded from here, at the latest"),
        "recorded_until": (light_off + RECORDED_AFTER, "s", "units recorded until here, at the earliest"),
    }


def _click_columns(path: Path, raw: np.ndarray) -> Columns:
    times = {kind: [_numbers(path, name, value) for value in raw[name]] for kind, name in CLICKS.items()}
    trial = [np.repeat(np.arange(len(raw)), [len(one) for one in found]) for found in times.values()]
    joined = [np.concatenate(found) for found in times.values()]
    kind = np.repeat(list(times), [len(found) for found in joined])
    order = np.lexsort((np.concatenate(joined), np.concatenate(trial)))
    return {
        "time": (np.concatenate(joined)[order], "s", "time of the click on the trial clock"),
        "trial": (np.concatenate(trial)[order].astype(np.int32), "1", "position of the trial"),
        "kind": (kind[order], "1", "side of the click"),
    }


def silent_runs(spikes: Sequence[Sequence[Any]], start: Float[np.ndarray, " trial"]) -> Int[np.ndarray, " trial"]:
    """Length of the run of trials without any unit's spike after `start` (s) to which a trial belongs; 0 with one.

    Examples
    --------
    >>> silent_runs([[[0.1]], [[]], [[-9.0]], [[0.2]]], np.zeros(4))
    array([0, 2, 2, 0])
    """
    silent = np.array(
        [
            not any(times.at_or_after(np.asarray(t, float), at).any() for t in trains)
            for trains, at in zip(spikes, start, strict=True)
        ]
    )
    run = np.cumsum(np.diff(silent, prepend=~silent[:1]))
    return np.where(silent, np.bincount(run)[run], 0)


def _refuse(path: Path, name: str, got: Any, allowed: str) -> ValueError:
    fix = "a file of data/by_session, or fetch it again"
    return refusal(f"{path.name}: {name}", got, allowed, "the session could not be told from it", fix)


def sessions_of(folder: str, download: bool = False) -> list[xr.DataTree]:
    """All sessions of a folder (empty: neural/hanks2015 of the data folder), with those that it lacks where asked for.

    Raises
    ------
    ValueError
        If there are none.
    """
    at = Path(folder) if folder else fetching.paths("hanks2015")[0].parent
    if download:
        fetching.fetch("hanks2015", at.parent)
    files = sorted(at.glob("*.mat"))
    if not files:
        fix = 'the folder of the sessions; NEURO_BPL_DATA=…; or first neural.fetch("hanks2015")'
        raise refusal("folder", str(at), "a folder of sessions (*.mat)", "there are none in it", fix)
    return [read_hanks(path) for path in files]


def by(attribute: str, sessions: list[xr.DataTree]) -> dict[str, list[xr.DataTree]]:
    """Return sessions by an attribute, such as their region, in alphabetical order."""
    names = sorted({session.attrs[attribute] for session in sessions})
    return {name: [one for one in sessions if one.attrs[attribute] == name] for name in names}
