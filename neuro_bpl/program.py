"""A program before it is compiled: its operations in order, with calls written out and dead ends left out."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

LOOPS = ("scan", "while", "cond")
CALLS = ("jit", "pjit", "checkpoint", "remat", "remat2", "closed_call", "custom_jvp_call", "custom_vjp_call")


@dataclass(frozen=True)
class Value:
    """An array of a program: its number, shape, format, and bytes."""

    number: int
    shape: tuple[int, ...]
    dtype: Any

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def n_bytes(self) -> int:
        """Bytes, where it is stored."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class Operation:
    """One operation, the values that it reads and makes, and for loops and branches the programs inside."""

    name: str
    reads: tuple[Value, ...]
    makes: tuple[Value, ...]
    params: dict[str, Any]
    inside: tuple["Program", ...] = ()


@dataclass(frozen=True)
class Program:
    """Operations in order, from inputs to outputs."""

    inputs: tuple[Value, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Value, ...]


def words(names: str) -> frozenset[str]:
    """Names of operations, separated by spaces."""
    return frozenset(names.split())


def program_of(closed: ClosedJaxpr) -> Program:
    """The program of a traced function."""
    return _program(closed.jaxpr, itertools.count())


def _program(jaxpr: Jaxpr, numbers: Iterator[int]) -> Program:
    known: dict[Any, Value] = {}
    inputs = tuple(_make(var, known, numbers) for var in (*jaxpr.constvars, *jaxpr.invars))
    operations = list(_operations(jaxpr, known, numbers))
    outputs = _known(jaxpr.outvars, known, numbers)
    return Program(inputs, tuple(_needed(operations, outputs)), outputs)


def _operations(jaxpr: Jaxpr, known: dict[Any, Value], numbers: Iterator[int]) -> Iterator[Operation]:
    for eqn in jaxpr.eqns:
        inner = _inner(eqn.params)
        if inner and eqn.primitive.name in CALLS:
            yield from _written_out(eqn, inner[0], known, numbers)
            continue
        reads = _known(eqn.invars, known, numbers)
        makes = tuple(_make(var, known, numbers) for var in eqn.outvars)
        inside = tuple(_program(one, numbers) for one in inner)
        yield Operation(eqn.primitive.name, reads, makes, eqn.params, inside)


def _written_out(eqn: Any, inner: Jaxpr, known: dict[Any, Value], numbers: Iterator[int]) -> Iterator[Operation]:
    """The operations of a call, in the names of the caller."""
    own: dict[Any, Value] = dict(zip(inner.invars, _known(eqn.invars, known, numbers), strict=True))
    for var in inner.constvars:
        _make(var, own, numbers)
    yield from _operations(inner, own, numbers)
    known |= dict(zip(eqn.outvars, _known(inner.outvars, own, numbers), strict=True))


def _inner(params: dict[str, Any]) -> list[Jaxpr]:
    """The programs among the parameters of an operation."""
    found = []
    for value in params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(one, ClosedJaxpr):
                found.append(one.jaxpr)
            elif isinstance(one, Jaxpr):
                found.append(one)
    return found


def _needed(operations: Sequence[Operation], outputs: Sequence[Value]) -> list[Operation]:
    """Operations that an output depends on; the compiler leaves out the others, too."""
    wanted, kept = {value.number for value in outputs}, []
    for operation in reversed(operations):
        if any(made.number in wanted for made in operation.makes):
            kept.append(operation)
            wanted |= {value.number for value in operation.reads}
    return kept[::-1]


def _make(var: Any, known: dict[Any, Value], numbers: Iterator[int]) -> Value:
    known[var] = _value(var, numbers)
    return known[var]


def _value(var: Any, numbers: Iterator[int]) -> Value:
    return Value(next(numbers), tuple(var.aval.shape), var.aval.dtype)


def _known(variables: Sequence[Any], known: dict[Any, Value], numbers: Iterator[int]) -> tuple[Value, ...]:
    """The values of variables; a literal is a value of its own."""
    return tuple(_value(var, numbers) if isinstance(var, Literal) else known[var] for var in variables)
