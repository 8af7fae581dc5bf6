"""Parameters declared once: default, unit, symbol, source and allowed values of each field.

A frozen dataclass declares its numbers with `field`; the documentation, the attributes of results and
the command line of the models read them from there.
"""

import dataclasses
import inspect
import math
import numbers
import re
import textwrap
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from neuro_bpl.refusals import expect, nearest, refusal


def field(
    default: Any = dataclasses.MISSING,
    doc: str = "",
    *,
    unit: str = "1",
    symbol: str = "",
    source: str = "",
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
    kind: Any = None,
    example: str = "",
) -> Any:
    """Declare one parameter of a frozen dataclass.

    Parameters
    ----------
    default : object, optional
        Default value; a field without one must be given.
    doc : str
        What it is, in one line.
    unit : str
        SI unit ("1" where there is none).
    symbol : str
        Symbol in `docs/theory.md`.
    source : str
        Where the default comes from.
    low, above, high : float, optional
        Allowed range: `low <= value`, `above < value`, `value <= high`; of each number, where the field is a tuple.
    choices : sequence of str, optional
        Allowed names.
    kind : type or tuple of types, optional
        What an instance it must be, for a part that is a dataclass of its own; None is allowed where it is the default.
    example : str
        What to type for such a part, or for a tuple of numbers.
    """
    bounds = {"low": low, "above": above, "high": high, "choices": choices}
    part = {"kind": kind, "example": example}
    metadata = {"doc": doc, "unit": unit, "symbol": symbol, "source": source, **bounds, **part}
    return dataclasses.field(default=default, metadata=metadata)


def documented(cls: type) -> type:
    """Add what `field` declares to the docstring of a dataclass: unit, default, range, symbol and source of each field.

    A parameter that its docstring describes already is completed; the others are listed behind it.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> print(nb.LinearReadout.__doc__.partition("Parameters")[2].partition("loss")[0])
    <BLANKLINE>
    ----------
    n_outputs : int
        Number of outputs, or of classes. Allowed: a whole number, `1 <= n_outputs`.
    <BLANKLINE>
    """
    before, described, after = _sections(inspect.cleandoc(cls.__doc__ or ""))
    for spec in dataclasses.fields(cls):
        if spec.metadata.get("doc"):
            name = spec.name
            words = described.get(
                name, (_type_name(spec), f"{spec.metadata['doc'][0].upper()}{spec.metadata['doc'][1:]}")
            )
            described[name] = _entry(spec, *words)
    listed = "\n".join(
        f"{name} : {kind}\n{textwrap.indent(words, '    ')}" for name, (kind, words) in described.items()
    )
    cls.__doc__ = "\n\n".join(part for part in (before, f"Parameters\n----------\n{listed}", after) if part)
    return cls


def _sections(doc: str) -> tuple[str, dict[str, tuple[str, str]], str]:
    """Split a docstring into the text before its parameters, the parameters (type and words), and the text after."""
    before, title, rest = doc.partition("Parameters\n----------\n")
    if not title:
        cut = re.search(r"^\w+\n-{3,}$", doc, re.M)
        return doc[: cut.start()].rstrip() if cut else doc, {}, doc[cut.start() :] if cut else ""
    cut = re.search(r"^\w+\n-{3,}$", rest, re.M)
    listed, after = (rest[: cut.start()], rest[cut.start() :]) if cut else (rest, "")
    entries = re.split(r"^(?=\S)", listed.strip("\n"), flags=re.M)
    described = {}
    for entry in filter(None, entries):
        head, _, words = entry.partition("\n")
        names, _, kind = head.partition(" : ")
        described[names] = kind, textwrap.dedent(words).strip()
    return before.rstrip(), described, after


def _entry(spec: dataclasses.Field, kind: str, words: str) -> tuple[str, str]:
    """Return the type with default, and the description with the allowed values, of a parameter."""
    metadata = spec.metadata
    if spec.default is not dataclasses.MISSING and "default" not in kind and "optional" not in kind:
        kind += f", default {spec.default!r}"
    notes = [words.rstrip(".") + "."]
    if metadata["choices"] is not None:
        notes.append(f"One of {', '.join(metadata['choices'])}.")
    elif _has_bounds(metadata):
        # As code: a name that ends in an underscore would be a link of the documentation.
        notes.append(re.sub(r", (.*?)( \(in .*\))?$", r", `\1`\2.", f"Allowed: {_range(spec, spec.name)}"))
    elif metadata["unit"] != "1":
        notes.append(f"In {metadata['unit']}.")
    notes += [f"Symbol {metadata['symbol']}."] * bool(metadata["symbol"])
    notes += [f"Source: {metadata['source']}."] * bool(metadata["source"])
    return kind, "\n".join(textwrap.wrap(" ".join(notes), 110)) if "\n" not in words else "\n".join([words, *notes[1:]])


def _type_name(spec: dataclasses.Field) -> str:
    return spec.type.__name__ if isinstance(spec.type, type) and not typing.get_args(spec.type) else str(spec.type)


def check(instance: Any) -> None:
    """Refuse values of a dataclass outside what its fields allow.

    Numbers that JAX is tracing or batching have no value yet and pass; they were checked as Python numbers.

    Raises
    ------
    ValueError
        With the value got, what is allowed, why, and what to type.
    """
    for spec in dataclasses.fields(instance):
        value = getattr(instance, spec.name)
        if is_placeholder(value):
            continue
        if spec.metadata.get("choices") is not None:
            _check_choice(instance, spec, value)
        elif spec.metadata.get("kind") is not None:
            _check_kind(instance, spec, value)
        elif spec.type is bool and not isinstance(value, bool):
            raise refusal(_owner(instance, spec), value, "True or False", spec.metadata["doc"], f"{spec.name}=True")
        elif _has_bounds(spec.metadata) and typing.get_origin(spec.type) is tuple:
            _check_numbers(instance, spec, value)
        elif _has_bounds(spec.metadata) and not (value is None and type(None) in typing.get_args(spec.type)):
            _check_number(instance, spec, value)


def is_placeholder(value: Any) -> bool:
    """Return whether a value stands for a number that JAX traces, batches or has not filled in yet."""
    return type(value) is object or type(value).__module__.partition(".")[0] in ("jax", "jaxlib")


def _check_kind(instance: Any, spec: dataclasses.Field, value: Any) -> None:
    if value is None and (spec.default is None or type(None) in typing.get_args(spec.type)):
        return
    fix = spec.metadata["example"]
    expect(_owner(instance, spec), value, spec.metadata["kind"], fix, spec.metadata["doc"], f"{spec.name}={fix}")


def _has_bounds(metadata: Mapping[str, Any]) -> bool:
    return any(metadata.get(bound) is not None for bound in ("low", "above", "high"))


def _owner(instance: Any, spec: dataclasses.Field) -> str:
    return f"{type(instance).__name__}.{spec.name}"


def _check_choice(instance: Any, spec: dataclasses.Field, value: Any) -> None:
    choices = spec.metadata["choices"]
    if not isinstance(value, str) or value not in choices:
        raise refusal(
            _owner(instance, spec),
            value,
            "one of " + ", ".join(choices),
            spec.metadata["doc"],
            f'{spec.name}="{nearest(str(value), choices)}"',
        )


def _check_number(instance: Any, spec: dataclasses.Field, value: Any) -> None:
    if not _is_inside(spec, value):
        default = spec.default if spec.default not in (dataclasses.MISSING, None) else _example(spec)
        allowed = _range(spec, spec.name)
        raise refusal(_owner(instance, spec), value, allowed, spec.metadata["doc"], f"{spec.name}={default}")


def _check_numbers(instance: Any, spec: dataclasses.Field, value: Any) -> None:
    if not isinstance(value, tuple) or not all(_is_inside(spec, number) for number in value):
        allowed = f"a tuple in which every number is {_range(spec, 'number')}"
        fix = f"{spec.name}={spec.metadata['example']}"
        raise refusal(_owner(instance, spec), value, allowed, spec.metadata["doc"], fix)


def _is_inside(spec: dataclasses.Field, value: Any) -> bool:
    low, above, high = (spec.metadata[bound] for bound in ("low", "above", "high"))
    is_whole = not _is_whole(spec) or isinstance(value, numbers.Integral)
    return bool(
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and is_whole
        and math.isfinite(float(value))
        and (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
    )


def _is_whole(spec: dataclasses.Field) -> bool:
    return spec.type is int or int in typing.get_args(spec.type)


def _example(spec: dataclasses.Field) -> Any:
    bounds = (spec.metadata["low"], spec.metadata["high"])
    return next((bound for bound in bounds if bound is not None), 1)


def _range(spec: dataclasses.Field, name: str) -> str:
    """Return the allowed range in words, such as `0 <= lambda_ <= 1`."""
    metadata = spec.metadata
    low = f"{metadata['low']} <= " if metadata["low"] is not None else ""
    low = f"{metadata['above']} < " if metadata["above"] is not None else low
    high = f" <= {metadata['high']}" if metadata["high"] is not None else ""
    kind = "a whole number, " if _is_whole(spec) else "a finite number, "
    unit = "" if metadata["unit"] == "1" else f" (in {metadata['unit']})"
    return f"{kind}{low}{name}{high}{unit}"


def to_dict(instance: Any) -> Any:
    """Return a dataclass as plain dictionaries and numbers, ready for JSON, with the class name under `"type"`.

    Examples
    --------
    >>> import neuro_bpl as nb
    >>> to_dict(nb.LinearReadout(n_outputs=2))
    {'type': 'LinearReadout', 'n_outputs': 2, 'loss': 'squared_error'}
    """
    if dataclasses.is_dataclass(instance):
        values = {spec.name: to_dict(getattr(instance, spec.name)) for spec in dataclasses.fields(instance)}
        return {"type": type(instance).__name__, **values}
    if isinstance(instance, Mapping):
        return {key: to_dict(value) for key, value in instance.items()}
    if isinstance(instance, jax.Array):
        return instance.tolist()
    if instance is None or isinstance(instance, (str, int, float, bool)):
        return instance
    if isinstance(instance, (list, tuple)):
        return [to_dict(value) for value in instance]
    return f"{type(instance).__name__}, given in code: the run cannot be rebuilt from its file alone"


def flatten(instance: Any, prefix: str = "") -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """Return every number and name inside a dataclass, as `{"cortex.tau": (value, metadata)}`."""
    leaves: dict[str, tuple[Any, Mapping[str, Any]]] = {}
    for spec in dataclasses.fields(instance):
        value, name = getattr(instance, spec.name), f"{prefix}{spec.name}"
        if dataclasses.is_dataclass(value):
            leaves[f"{name}.type"] = (type(value).__name__, {})
            leaves.update(flatten(value, f"{name}."))
        elif isinstance(value, (str, int, float, bool)):
            leaves[name] = (value, spec.metadata)
        elif isinstance(value, tuple) and all(isinstance(part, (str, int, float)) for part in value):
            leaves[name] = (", ".join(map(str, value)), spec.metadata)
    return leaves
