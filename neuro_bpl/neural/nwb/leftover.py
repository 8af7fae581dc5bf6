"""What of an NWB file has not been read: no part of it is left out without saying so."""

from collections.abc import Iterable, Iterator
from typing import Any

from neuro_bpl.neural.nwb import layout
from neuro_bpl.neural.nwb.series import place

# Metadata that attributes hold, and rows' names, which units and trials are labelled with.
READ = ("NWBFile", "Subject", "ElementIdentifiers")


def left_over(nwb: Any, taken: Iterable[Any], tables: Iterable[Any]) -> list[str]:
    """Place and type of the outermost objects that neither are in `taken`, nor lie in one, nor hold one.

    Of `tables` single columns are taken, and each of the others is one that is left.
    """
    read = {container.object_id for container in taken if container is not None}
    if nwb.scratch and layout.NAME in nwb.scratch:
        read.add(nwb.scratch[layout.NAME].object_id)
    holders = {table.object_id for table in tables if table is not None}
    holders |= {above.object_id for thing in nwb.objects.values() if thing.object_id in read for above in _above(thing)}
    left = {
        thing.object_id: thing
        for thing in nwb.objects.values()
        if thing.object_id not in read | holders
        and type(thing).__name__ not in READ
        and not any(above.object_id in read for above in _above(thing))
    }
    outermost = [thing for thing in left.values() if not any(above.object_id in left for above in _above(thing))]
    return sorted(f"{place(thing)} ({type(thing).__name__})" for thing in outermost)


def _above(thing: Any) -> Iterator[Any]:
    while thing.parent is not None:
        thing = thing.parent
        yield thing
