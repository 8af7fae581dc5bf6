"""Refusals: errors that say what was got, what is allowed, why, and what to type."""

import difflib
from collections.abc import Sequence
from typing import Any

SHOWN = 300  # characters of a value in a message


def refusal(name: str, got: Any, allowed: str, why: str, fix: str) -> ValueError:
    """Return an error that says the value got, what is allowed, why, and what to type."""
    shown = repr(got)
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
    return ValueError(f"{name} = {shown} is not possible.\n  Allowed: {allowed}.\n  Why: {why}.\n  Type: {fix}.")


def nearest(name: str, names: Sequence[str]) -> str:
    """Return the one of `names` that is spelt most like `name`."""
    return max(names, key=lambda known: difflib.SequenceMatcher(None, name.lower(), known.lower()).ratio())


def one_of(name: str, got: Any, known: Sequence[str], why: str) -> str:
    """Return a text that is one of several names, or refuse it with the nearest of them (`ValueError`)."""
    if not isinstance(got, str) or got not in known:
        raise refusal(name, got, ", ".join(known), why, f'{name}="{nearest(str(got), list(known))}"')
    return got


def expect(name: str, value: Any, kind: Any, allowed: str, why: str, fix: str) -> None:
    """Refuse a value that is not an instance of `kind`; a class is not an instance of itself (`ValueError`)."""
    if isinstance(value, type) or not isinstance(value, kind):
        raise refusal(name, value, allowed, why, fix)
