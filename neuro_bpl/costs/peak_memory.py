"""Footprint: bytes that a program holds at its peak.

An array is kept from where it is made to where it is last read. What a compiler fuses into its readers is not stored:
views, and values that only elementwise operations and sums over an axis read. An elementwise operation, and a loop for
what it carries, write in place where an array that they read for the last time has room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuro_bpl.costs.traced_program import LOOPS, Operation, Program, Value, words

RESHAPES = words("reshape squeeze expand_dims bitcast_convert_type")
VIEWS = RESHAPES | words("transpose broadcast_in_dim slice rev copy")
CHEAP = words(
    """
    add add_any sub mul neg max min select_n convert_element_type integer_pow iota eq ne lt le gt ge and or
    not xor abs sign is_finite clamp shift_right_logical shift_left
    """
)
FUSED = CHEAP | words(
    """
    div pow square one_minus_square polynomial sqrt rsqrt cbrt exp exp2 expm1 log log2 log1p logistic tanh tan sin cos
    erf erfc erf_inv rem floor ceil round concatenate pad stack dynamic_slice split
    """
)
REDUCTIONS = words("reduce_sum reduce_max reduce_min reduce_and reduce_or reduce_prod argmax argmin")
PRODUCT, OUTPUT = "dot_general", "output"
ALWAYS = 1 << 62  # a place after all operations


def footprint(program: Program) -> int:
    """Return the bytes at the peak, with the inputs, which the caller holds, and the outputs."""
    return sum(value.n_bytes for value in program.inputs) + _beside(program, ())


@dataclass(frozen=True)
class _Plan:
    """Plan of the arrays of a program: which are stored, what each value is read from, where each is last read."""

    stored: frozenset[int]
    roots: Mapping[int, frozenset[int]]
    last: Mapping[int, int]

    def reads(self, operation: Operation) -> frozenset[int]:
        """Return the stored arrays that an operation reads."""
        return frozenset().union(*(self.roots[value.number] for value in operation.reads))

    def room(self, operation: Operation) -> int:
        """Return the bytes of the stored values that an operation makes."""
        return sum(value.n_bytes for value in operation.makes if value.number in self.stored)


def _beside(program: Program, lent: tuple[Value, ...]) -> int:
    """Return the bytes at the peak beside the inputs; `lent` ones are freed after their last read."""
    plan = _plan(program)
    kept = {value.number: value.n_bytes for value in lent}
    live = peak = 0
    for at, operation in enumerate(program.operations):
        ending = {n for n in plan.reads(operation) if n in kept and plan.last.get(n, -1) <= at}
        room, freed = plan.room(operation), sum(kept.pop(n) for n in ending)
        peak = max(peak, live + _needed(operation, room, freed))
        live += room - freed
        kept |= {value.number: value.n_bytes for value in operation.makes if value.number in plan.stored}
    return peak


def _needed(operation: Operation, room: int, freed: int) -> int:
    """Return the bytes an operation needs beside the live arrays: what it makes, and what it holds inside."""
    if operation.name == "cond":
        return max(room, *(_beside(branch, ()) for branch in operation.inside))
    if operation.name in LOOPS:
        inside = max(
            _beside(body, operation.carried if body is operation.inside[-1] else ()) for body in operation.inside
        )
        return max(room - freed, 0) + _zeros(operation) + inside
    if operation.name == "random_bits":
        return 4 * room  # threefry mixes two halves, out of place
    if operation.name == PRODUCT:
        return room + _rearranged(operation)
    return max(room - freed, 0) if operation.name in FUSED else room


def _rearranged(operation: Operation) -> int:
    """Return the bytes of operands whose axes a matrix product reorders: batch first, contracted together."""
    axes = operation.axes
    if axes is None:
        return 0
    return sum(
        value.n_bytes
        for value, summed, shared in zip(operation.reads, axes.summed, axes.shared, strict=True)
        if not _is_matrix(len(value.shape), summed, shared)
    )


def _is_matrix(n_axes: int, summed: Sequence[int], shared: Sequence[int]) -> bool:
    free = [axis for axis in range(n_axes) if axis not in summed and axis not in shared]
    order = list(range(n_axes))
    return [*shared, *free, *summed] == order or [*shared, *summed, *free] == order


def _zeros(operation: Operation) -> int:
    """Return the bytes of the zeros that the stacked outputs of a scan are copied from before they are filled."""
    stacked = operation.makes[operation.n_carried :] if operation.name == "scan" else ()
    return max((value.n_bytes for value in stacked), default=0)


def _plan(program: Program) -> _Plan:
    readers = _readers(program)
    stored: set[int] = set()
    roots = {value.number: frozenset({value.number}) for value in program.inputs}
    last: dict[int, int] = {}
    for at, operation in enumerate(program.operations):
        for value in operation.reads:
            roots.setdefault(value.number, frozenset())  # a literal
        read = frozenset().union(*(roots[value.number] for value in operation.reads))
        keeps = [value for value in operation.makes if _is_stored(operation, value, readers.get(value.number, ()))]
        roots |= {value.number: frozenset({value.number}) if value in keeps else read for value in operation.makes}
        stored |= {value.number for value in keeps}
        if keeps or operation.name in LOOPS:
            last |= dict.fromkeys(read, at)
    last |= {root: ALWAYS for value in program.outputs for root in roots.get(value.number, ())}
    return _Plan(frozenset(stored), roots, last)


def _readers(program: Program) -> dict[int, tuple[str, ...]]:
    """Return the operations that read each value, directly or through views; `OUTPUT` for the program's outputs."""
    readers: dict[int, tuple[str, ...]] = {}
    for value in program.outputs:
        readers[value.number] = (OUTPUT,)
    for operation in reversed(program.operations):
        is_view = operation.name in VIEWS
        found = readers.get(operation.makes[0].number, ()) if is_view else (operation.name,)
        for value in operation.reads:
            readers[value.number] = readers.get(value.number, ()) + found
    return readers


def _is_stored(operation: Operation, value: Value, readers: tuple[str, ...]) -> bool:
    """Return whether a compiler would store a value in memory."""
    if operation.name in RESHAPES:
        return False
    fused = all(name in FUSED or name in REDUCTIONS for name in readers)
    if operation.name in VIEWS:
        grows = value.size > max(read.size for read in operation.reads)
        return not (fused or (not grows and set(readers) <= FUSED | REDUCTIONS | {PRODUCT}))
    if operation.name in FUSED:
        return not (fused and (operation.name in CHEAP or len(readers) <= 1))
    return True
