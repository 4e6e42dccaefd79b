"""A team of threads that stays together over the iterations of a fit."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import submit
from kmq.kernels.team import BOARD, LEAVE, await_work, open_work

# Looks at the board without work before a helper leaves; together some hundred microseconds.
_PATIENCE = 200_000


@cache
def _current_core() -> Callable[[], int] | None:
    """The C library's way to tell on which core the calling thread runs, where it has one."""
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            return getattr(ctypes.CDLL(None), "sched_getcpu", None)
    return None


def _other_cores() -> set[int]:
    """The cores that the calling thread may run on and does not; empty where nobody tells."""
    current = _current_core()
    return os.sched_getaffinity(0) - {current()} if current else set()


def _keep_to(cores: set[int], work_off: Callable[..., Any], *args: Any) -> None:
    """Work off on some cores, and let the thread run where it could before when done.

    A scheduler likes to wake a thread where the waking one runs. Two threads that spin on one
    core take turns of some milliseconds, which is longer than a whole fit.
    """
    before = None
    if cores:
        # Cores that have just been taken from the process are refused; any will do then.
        with suppress(OSError):
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, cores)
    try:
        work_off(*args)
    finally:
        if before:
            with suppress(OSError):
                os.sched_setaffinity(0, before)


class Team:
    """The calling thread and its helpers, which wait for work inside compiled code.

    For work of tens of microseconds at a time, which `run_blocks` would take longer to hand
    over than to do. Helpers leave by themselves when no work comes; the next work calls them
    back, without waiting for them.

    Parameters
    ----------
    work_off : callable
        Kernel that works off chunks. Its arguments are those of the work, then how long to be
        patient without any, the team's board and the member's own tally.
    n_helpers : int
        Threads beside the calling one.
    """

    def __init__(self, work_off: Callable[..., Any], n_helpers: int) -> None:
        self._work_off = work_off
        self._board = np.zeros(BOARD, np.int64)
        self._helpers: list[Future | None] = [None] * n_helpers

    def work(self, n_chunks: int, work: tuple[Any, ...], tallies: NDArray[np.int64]) -> None:
        """Do a piece of work; `tallies[0]` is the caller's, the rest its helpers'."""
        board = self._board
        board[LEAVE] = 0
        open_work(board, n_chunks)
        away = [i for i, helper in enumerate(self._helpers) if helper is None or helper.done()]
        if away:
            task, size = partial(_keep_to, _other_cores(), self._work_off), len(self._helpers)
            for i in away:
                self._helpers[i] = submit(size, task, *work, _PATIENCE, board, tallies[i + 1])
        self._work_off(*work, 1, board, tallies[0])
        await_work(board)

    def dismiss(self) -> None:
        """Let the helpers go to other work."""
        self._board[LEAVE] = 1
