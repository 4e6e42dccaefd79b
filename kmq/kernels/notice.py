"""What whoever waits for the compiler is told: that it works, why, and how far it is."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

# Seconds of compiling between two lines.
_EVERY = 5.0


class _Progress:
    """Compiling in this process so far."""

    kernels = 0
    seconds = 0.0
    told: float | None = None


def _tell(line: str) -> None:
    """Log a line where somebody reads the log, else print it, unless the log is set to less."""
    logger = logging.getLogger("kmq")
    if logger.isEnabledFor(logging.INFO) and logger.hasHandlers():
        logger.info(line)
    elif logger.level <= logging.INFO and sys.stderr is not None:
        print(f"kmq: {line}", file=sys.stderr, flush=True)


@contextmanager
def compiling(explain: Callable[[], str]) -> Iterator[None]:
    """Compile a kernel: tell so the first time, and how far it is every few seconds.

    Without a word a process would seem to hang. Set the level of the logger ``kmq`` to a warning
    to be told nothing.

    Parameters
    ----------
    explain : callable
        Says what becomes of the compiled code.
    """
    if _Progress.told is None:
        _Progress.told = 0.0
        _tell(f"compiling for this machine; {explain()}")
    elif _Progress.seconds - _Progress.told >= _EVERY:
        _Progress.told = _Progress.seconds
        _tell(f"compiled {_Progress.kernels} kernels in {_Progress.seconds:.0f} s, more to come")
    begun = perf_counter()
    try:
        yield
    finally:
        _Progress.kernels += 1
        _Progress.seconds += perf_counter() - begun
