"""A program before it is compiled: its operations in order, with calls written out and dead ends left out.

How JAX writes down a traced function is promised by nobody and changes between its versions. It is read here alone, by
shapes where they tell enough; what is not understood raises `UnknownProgramError`.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

KNOWN_JAX = ("0.8", "0.12")  # first and last version whose programs were read in tests
LOOPS = ("scan", "while", "cond")
CALLS = (
    "jit",
    "pjit",
    "call",
    "closed_call",
    "eval_jaxpr",
    "checkpoint",
    "remat",
    "remat2",
    "custom_jvp_call",
    "custom_vjp_call",
)


@dataclass(frozen=True)
class Value:
    """Array of a program: its number, shape and format."""

    number: int
    shape: tuple[int, ...]
    dtype: Any

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def n_bytes(self) -> int:
        """Number of bytes, where it is stored."""
        return self.size * self.dtype.itemsize


class UnknownProgramError(Exception):
    """Error of a program with an unknown operation, or in an unknown form."""


@dataclass(frozen=True)
class ProductAxes:
    """Axes of a product that are summed over, and that are shared, of the left and of the right operand."""

    summed: tuple[tuple[int, ...], tuple[int, ...]]
    shared: tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Operation:
    """Operation of a program: the values it reads and makes, and for loops and branches the programs inside.

    A loop hands on from round to round the first `n_carried` values that it makes, which are `carried` among the inputs
    of its body, the last program inside. A scan has its `length` in rounds, a product of matrices its `axes`, a
    convolution the `out_axis` of its kernel.
    """

    name: str
    reads: tuple[Value, ...]
    makes: tuple[Value, ...]
    inside: tuple["Program", ...] = ()
    length: int = 0
    n_carried: int = 0
    carried: tuple[Value, ...] = ()
    axes: ProductAxes | None = None
    out_axis: int = 0


@dataclass(frozen=True)
class Program:
    """Operations in order, from inputs to outputs."""

    inputs: tuple[Value, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Value, ...]


def words(names: str) -> frozenset[str]:
    """Split names separated by spaces into a set."""
    return frozenset(names.split())


def program_of(traced: Any) -> Program:
    """Return the program of a traced function (`jax.stages.Traced.jaxpr`).

    Raises
    ------
    UnknownProgramError
        If it is written down in a way that is not known here.
    """
    try:
        return _program(traced.jaxpr, itertools.count())
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnknownProgramError(f"{type(error).__name__}: {error}") from error


@runtime_checkable
class _Jaxpr(Protocol):
    """Attributes that are read of a program of JAX."""

    constvars: Sequence[Any]
    invars: Sequence[Any]
    outvars: Sequence[Any]
    eqns: Sequence[Any]


@runtime_checkable
class _Literal(Protocol):
    """Constant number in a program of JAX."""

    val: Any


def _program(jaxpr: _Jaxpr, numbers: Iterator[int]) -> Program:
    known: dict[Any, Value] = {}
    inputs = tuple(_make(var, known, numbers) for var in (*jaxpr.constvars, *jaxpr.invars))
    operations = list(_operations(jaxpr, known, numbers))
    outputs = _known(jaxpr.outvars, known, numbers)
    return Program(inputs, tuple(_needed(operations, outputs)), outputs)


def _operations(jaxpr: _Jaxpr, known: dict[Any, Value], numbers: Iterator[int]) -> Iterator[Operation]:
    for eqn in jaxpr.eqns:
        inner = _inner(eqn.params)
        if inner and eqn.primitive.name in CALLS:
            yield from _written_out(eqn, inner[0], known, numbers)
            continue
        reads = _known(eqn.invars, known, numbers)
        makes = tuple(_make(var, known, numbers) for var in eqn.outvars)
        inside = tuple(_program(one, numbers) for one in inner)
        yield _operation(eqn.primitive.name, reads, makes, inside, eqn.params)


def _operation(
    name: str,
    reads: tuple[Value, ...],
    makes: tuple[Value, ...],
    inside: tuple[Program, ...],
    params: dict[str, Any],
) -> Operation:
    """Return one operation, with those of its parameters that are needed for counting."""
    match name:
        case "scan":
            n, carried = _carried(reads, makes, inside[-1])
            return Operation(name, reads, makes, inside, int(params["length"]), n, carried)
        case "while":
            n, carried = _carried(reads, makes, inside[-1])
            return Operation(name, reads, makes, inside, 0, n, carried)
        case "dot_general":
            summed, shared = params["dimension_numbers"]
            return Operation(name, reads, makes, axes=ProductAxes(_pair(summed), _pair(shared)))
        case "conv_general_dilated":
            return Operation(name, reads, makes, out_axis=int(params["dimension_numbers"].rhs_spec[0]))
    return Operation(name, reads, makes, inside)


def _carried(reads: Sequence[Value], makes: Sequence[Value], body: Program) -> tuple[int, tuple[Value, ...]]:
    """Return how many values a loop carries, and the inputs of its body that hold them.

    They come after the constants and before the slices of a round.

    What is stacked over rounds has one axis more outside the body than inside.
    """
    n = sum(len(made.shape) == len(inner.shape) for made, inner in zip(makes, body.outputs, strict=True))
    pairs = zip(reversed(reads), reversed(body.inputs), strict=False)
    end = len(body.inputs) - sum(len(read.shape) > len(inner.shape) for read, inner in pairs)
    return n, body.inputs[end - n : end]


def _pair(axes: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    left, right = axes
    return tuple(left), tuple(right)


def _written_out(eqn: Any, inner: _Jaxpr, known: dict[Any, Value], numbers: Iterator[int]) -> Iterator[Operation]:
    """Yield the operations of a call, with the caller's values for its inputs and outputs."""
    own: dict[Any, Value] = dict(zip(inner.invars, _known(eqn.invars, known, numbers), strict=True))
    for var in inner.constvars:
        _make(var, own, numbers)
    yield from _operations(inner, own, numbers)
    known |= dict(zip(eqn.outvars, _known(inner.outvars, own, numbers), strict=True))


def _inner(params: dict[str, Any]) -> list[_Jaxpr]:
    """Return the programs among the parameters of an operation, without the constants that they are closed over."""
    values = itertools.chain.from_iterable(
        value if isinstance(value, (tuple, list)) else (value,) for value in params.values()
    )
    return [getattr(one, "jaxpr", one) for one in values if isinstance(getattr(one, "jaxpr", one), _Jaxpr)]


def _needed(operations: Sequence[Operation], outputs: Sequence[Value]) -> list[Operation]:
    """Return the operations that an output depends on; the compiler leaves out the others, too."""
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
    """Return the values of variables; a literal is a value of its own."""
    return tuple(_value(var, numbers) if isinstance(var, _Literal) else known[var] for var in variables)
