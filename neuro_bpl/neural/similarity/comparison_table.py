"""A comparison as Markdown tables."""

import math
from typing import Any

import xarray as xr

from neuro_bpl.parameters import refusal


def table(result: xr.Dataset) -> str:
    """Markdown: every measure and rule with its interval, ceiling, null and baseline, then every pair of rules.

    Parameters
    ----------
    result : Dataset
        Of `compare`; with snapshots, each has its rows.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(result, xr.Dataset) or not {"score", "ceiling", "p_holm"} <= set(result.data_vars):
        got, fix = type(result).__name__, "table(compare(models, recording))"
        raise refusal("result", got, "what compare returns", "its numbers are listed", fix)
    over_learning = "snapshot" in result.dims
    snapshots = result["snapshot"].values.tolist() if over_learning else [None]
    at = {name: result if name is None else result.sel(snapshot=name) for name in snapshots}
    return "\n".join([*_scores(at, over_learning), "", *_differences(at, over_learning), "", *_notes(result)])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _head(over_learning: bool, *cells: str) -> list[str]:
    cells = ("snapshot", *cells) if over_learning else cells
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


def _scores(at: dict, over_learning: bool) -> list[str]:
    has_performance = any(bool(found["performance"].notnull().any()) for found in at.values())
    networks = "networks (performance)" if has_performance else "networks"
    columns = (
        "measure",
        "rule",
        networks,
        "score, 95 % interval",
        "± over units",
        "of ceiling",
        "ceiling",
        "null, 95th",
    )
    lines = _head(over_learning, *columns, "p of null", "baseline")
    for name, found in at.items():
        for metric in found["metric"].values:
            for rule in found["rule"].values:
                one = found.sel(metric=metric, rule=rule)
                null = f"{_number(one['null_mean'])}, {_number(one['null_95'])}"
                cells = [str(metric), str(rule), _performance(one), _interval(one, "mean", "low", "high")]
                cells += [_number(one["se_units"]), _number(one["mean_normalised"]), _number(one["ceiling"]), null]
                cells += [_p(one["p_null"]), _number(one["baseline"])]
                lines.append(_row(*([str(name)] if over_learning else []), *cells))
    return lines


def _differences(at: dict, over_learning: bool) -> list[str]:
    columns = ("measure", "rules", "difference, 95 % interval", "± over networks", "± over units", "p", "p (Holm)")
    lines = _head(over_learning, *columns, "differ")
    for name, found in at.items():
        for metric in found["metric"].values:
            for pair in found["pair"].values:
                one = found.sel(metric=metric, pair=pair)
                cells = [str(metric), str(pair), _interval(one, "difference", "difference_low", "difference_high")]
                cells += [_number(one[f"difference_se_{of}"], 3) for of in ("seeds", "units")]
                cells += [_p(one["p"]), _p(one["p_holm"]), "yes" if one["differs"] else "no"]
                lines.append(_row(*([str(name)] if over_learning else []), *cells))
    return lines


def _notes(result: xr.Dataset) -> list[str]:
    """What was compared, what was left out, and what the intervals cover."""
    left = [
        f"{name.removeprefix('left_out ')}: {number}" for name, number in result.attrs.items() if "left_out" in name
    ]
    about = f"{result.attrs['n_conditions']} conditions, {result.attrs['n_units']} recorded units"
    times = ", ".join(str(number) for number in sorted({int(number) for number in result["n_times"].values.ravel()}))
    notes = [f"{about}, {times} times. Left out of the recording: {', '.join(left)}."]
    if "recorded_performance" in result.attrs:
        notes.append(f"Performance recorded: {_number(result.attrs['recorded_performance'])}.")
    low, high = result.attrs.get("matched", (None, None))
    which = "diverged" if low is None else f"diverged or perform outside [{low:g}, {high:g}]"
    counts = result["n_left_out"].sum([dim for dim in result["n_left_out"].dims if dim != "rule"])
    networks = ", ".join(f"{rule}: {number}" for rule, number in zip(counts["rule"].values, counts.values, strict=True))
    summed = ", summed over snapshots" if "snapshot" in result["n_left_out"].dims else ""
    notes.append(f"Networks that {which} are left out{summed}: {networks}.")
    return [*notes, str(result.attrs["uncertainty"])]
