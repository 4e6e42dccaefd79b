"""A team of threads that stays together over the iterations of a fit."""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from time import perf_counter, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmq.engine.pool import submit
from kmq.kernels.team import BOARD, DONE, FAILED, LEAVE, LIMIT, open_work

# Seconds between two looks of a leader at what its helpers still do.
_NAP = 5e-5
# A leader that waits so many seconds, and longer than it worked, has helpers without cores.
_LATE = 2e-3
# Teams are smaller for so many seconds then: whether there are cores again is tried out.
_CROWDED_SECONDS = 1.0


class _Crowd:
    """The most helpers that had cores lately, and until when that is remembered."""

    most = 0
    until = 0.0


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


def _help(
    cores: set[int],
    away: list[bool],
    errors: list[BaseException],
    member: int,
    work_off: Callable[..., Any],
    *args: Any,
) -> None:
    """Work off on some cores; then run where the thread could before, and say to be away.

    What goes wrong is kept for the leader.

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
    except BaseException as error:
        errors.append(error)
        *_, board, _ = args
        board[FAILED] = 1
    finally:
        if before:
            with suppress(OSError):
                os.sched_setaffinity(0, before)
        away[member] = True


class Team:
    """The calling thread and its helpers, which wait for work inside compiled code.

    For work of tens of microseconds at a time, which `run_blocks` would take longer to hand
    over than to do. Helpers are sent for at once, so that they are awake when the first work
    comes. They leave by themselves when none does; the next work calls them back, without
    waiting for them.

    Parameters
    ----------
    work_off : callable
        Kernel that works off chunks. Its arguments are those of the work, then whether it leads
        the team, the team's board and the member's own tally.
    work : tuple
        The arguments of the work, the same arrays each time; named tuples arrive as plain ones.
    tallies : (t, ...) int64
        What each member keeps of its own, sums or its number: the caller's is the first.
    """

    def __init__(
        self, work_off: Callable[..., Any], work: tuple[Any, ...], tallies: NDArray[np.int64]
    ) -> None:
        self._board = np.zeros(BOARD, np.int64)
        self._work_off = work_off
        # Plain tuples reach a kernel in half the time that named ones take.
        self._work = tuple(tuple(part) if isinstance(part, tuple) else part for part in work)
        self._tallies = tallies
        self._away = [True] * (len(tallies) - 1)
        self._errors: list[BaseException] = []
        self._call_helpers()

    def work(self, n_chunks: int) -> None:
        """Do a piece of work; raise what a helper failed with that had begun a part of it."""
        board = self._board
        board[LEAVE] = 0
        open_work(board, n_chunks)
        self._call_helpers()
        begun = perf_counter()
        self._work_off(*self._work, True, board, self._tallies[0])
        if board[DONE] < board[LIMIT]:
            self._await_helpers(perf_counter() - begun)
        if self._errors and board[DONE] < board[LIMIT]:
            raise self._errors[0]

    def _await_helpers(self, worked: float) -> None:
        """Wait for the chunks that helpers have claimed, after so many seconds of work.

        A helper that has lost its core would get one back late if this thread did not let go of
        its own. Where more helpers are believed in than there are cores, fewer are better.
        """
        board = self._board
        begun = perf_counter()
        while board[DONE] < board[LIMIT] and not board[FAILED]:
            sleep(_NAP)
        now = perf_counter()
        if now - begun > max(_LATE, worked):
            _Crowd.most, _Crowd.until = self._n_called() // 4, now + _CROWDED_SECONDS
            self.dismiss()

    def _n_called(self) -> int:
        """How many helpers are sent for."""
        known = len(self._away)
        return min(known, _Crowd.most) if perf_counter() < _Crowd.until else known

    def _call_helpers(self) -> None:
        """Send for the helpers that are away."""
        for member in range(self._n_called()):
            if self._away[member]:
                self._away[member] = False
                task = partial(
                    _help, _other_cores(), self._away, self._errors, member, self._work_off
                )
                args = (*self._work, False, self._board, self._tallies[member + 1])
                if submit(len(self._away), task, *args) is None:
                    self._away[member] = True

    def dismiss(self) -> None:
        """Let the helpers go to other work."""
        self._board[LEAVE] = 1

    def __del__(self) -> None:
        if hasattr(self, "_board"):  # an interrupt may have come before
            self.dismiss()
