"""A comparison as Markdown tables."""

import math
from itertools import product
from typing import Any

import xarray as xr

from neuro_bpl.refusals import refusal

LEADING = ("session", "snapshot")


def table(result: xr.Dataset) -> str:
    """Markdown: every measure and rule with its interval, ceiling, null and baseline, then every pair of rules.

    Parameters
    ----------
    result : Dataset
        Of `compare`; with sessions or snapshots, each has its rows.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(result, xr.Dataset) or not {"score", "ceiling", "p_holm"} <= set(result.data_vars):
        got, fix = type(result).__name__, "table(compare(models, recording))"
        raise refusal("result", got, "what compare returns", "its numbers are listed", fix)
    dims = tuple(dim for dim in LEADING if dim in result.dims)
    labels = product(*(result[dim].values.tolist() for dim in dims))
    at = {own: result.sel(dict(zip(dims, own, strict=True))) for own in labels}
    return "\n".join([*_scores(at, dims), "", *_differences(at, dims), "", *_notes(result)])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|" + "---|" * len(cells)]


def _number(value: Any, digits: int = 2) -> str:
    return "–" if math.isnan(float(value)) else f"{float(value):.{digits}f}"


def _p(value: Any) -> str:
    return "–" if math.isnan(float(value)) else "< .001" if value < 0.001 else f"{float(value):.3f}"


def _interval(found: xr.Dataset, name: str, low: str, high: str) -> str:
    return f"{_number(found[name])} [{_number(found[low])}, {_number(found[high])}]"


def _performance(found: xr.Dataset) -> str:
    used = found["performance"].where(found["used"])
    return (
        f"{int(found['used'].sum())} ({_number(used.mean())})"
        if used.notnull().any()
        else str(int(found["used"].sum()))
    )


def _scores(at: dict, dims: tuple[str, ...]) -> list[str]:
    has_performance = any(bool(found["performance"].notnull().any()) for found in at.values())
    networks = "networks (performance)" if has_performance else "networks"
    columns = (
        "measure",
        "rule",
        networks,
        "score, 95 % interval",
        "± over units",
        "of ceiling, 95 % interval",
        "ceiling",
        "null, 95th",
    )
    lines = _head(*dims, *columns, "p of null", "baseline")
    for name, found in at.items():
        for metric in found["metric"].values:
            for rule in found["rule"].values:
                one = found.sel(metric=metric, rule=rule)
                null = f"{_number(one['null_mean'])}, {_number(one['null_95'])}"
                cells = [str(metric), str(rule), _performance(one), _interval(one, "mean", "low", "high")]
                of_ceiling = _interval(one, "mean_normalised", "normalised_low", "normalised_high")
                cells += [_number(one["se_units"]), of_ceiling, _number(one["ceiling"]), null]
                cells += [_p(one["p_null"]), _number(one["baseline"])]
                lines.append(_row(*map(str, name), *cells))
    return lines


def _differences(at: dict, dims: tuple[str, ...]) -> list[str]:
    columns = ("measure", "rules", "difference, 95 % interval", "± over networks", "± over units", "p", "p (Holm)")
    lines = _head(*dims, *columns, "differ")
    for name, found in at.items():
        for metric in found["metric"].values:
            for pair in found["pair"].values:
                one = found.sel(metric=metric, pair=pair)
                cells = [str(metric), str(pair), _interval(one, "difference", "difference_low", "difference_high")]
                cells += [_number(one[f"difference_se_{of}"], 3) for of in ("seeds", "units")]
                cells += [_p(one["p"]), _p(one["p_holm"]), "yes" if one["differs"] else "no"]
                lines.append(_row(*map(str, name), *cells))
    return lines


def _notes(result: xr.Dataset) -> list[str]:
    """Return what was compared, what was left out, and what the intervals cover."""
    sessions = [f"{name}: " for name in result["session"].values] if "session" in result.dims else [""]
    notes = [note for session in sessions for note in _recorded(result, session)]
    low, high = result.attrs.get("matched", (None, None))
    which = "diverged or are constant"
    which = which if low is None else f"diverged, are constant or perform outside [{low:g}, {high:g}]"
    counts = result["n_left_out"].sum([dim for dim in result["n_left_out"].dims if dim != "rule"])
    networks = ", ".join(f"{rule}: {number}" for rule, number in zip(counts["rule"].values, counts.values, strict=True))
    over = [f"{dim}s" for dim in LEADING if dim in result["n_left_out"].dims]
    summed = f", summed over {' and '.join(over)}" if over else ""
    notes.append(f"Networks that {which} are left out{summed}: {networks}.")
    return [*notes, str(result.attrs["uncertainty"])]


def _recorded(result: xr.Dataset, session: str) -> list[str]:
    """Return what was recorded in a session, called by how its attributes begin."""
    own = {name.removeprefix(session): value for name, value in result.attrs.items() if name.startswith(session)}
    left = [f"{name.removeprefix('left_out ')}: {number}" for name, number in own.items() if "left_out" in name]
    found = result.sel(session=session.removesuffix(": ")) if session else result
    times = ", ".join(str(number) for number in sorted({int(number) for number in found["n_times"].values.ravel()}))
    about = f"{session}{own['n_conditions']} conditions, {own['n_units']} recorded units"
    notes = [f"{about}, {times} times. Left out of the recording: {', '.join(left)}."]
    if "recorded_performance" in own:
        notes.append(f"{session}Performance recorded: {_number(own['recorded_performance'])}.")
    return notes
