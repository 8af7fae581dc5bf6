"""How many programs are compiled, or read from the cache of compiled programs, while something is done."""

from contextlib import contextmanager

import jax

EVENT = "/jax/core/compile/backend_compile_duration"
NAMES = []


def _listen(event, duration, **about):
    if event == EVENT:
        NAMES.append(about.get("fun_name", ""))


jax.monitoring.register_event_duration_secs_listener(_listen)


@contextmanager
def counted():
    """A list that holds an entry for every program once the block is left."""
    before, found = len(NAMES), []
    yield found
    found += NAMES[before:]
