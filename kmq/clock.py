"""A clock that stands still while compiled code is made or loaded: what is timed is the work."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from time import perf_counter

_inside = local()
_waited = 0.0


def now() -> float:
    """Seconds on the clock, of which only differences mean something."""
    return perf_counter() - _waited


@contextmanager
def waiting() -> Iterator[None]:
    """Stop the clock."""
    global _waited
    if getattr(_inside, "one", False):
        yield
        return
    _inside.one = True
    begun = perf_counter()
    try:
        yield
    finally:
        _waited += perf_counter() - begun
        _inside.one = False
