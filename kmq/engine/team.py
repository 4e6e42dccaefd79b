"""A team of threads that stays together over the iterations of a fit."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import submit
from kmq.kernels.team import BOARD, LEAVE, await_work, open_work

# Looks at the board without work before a helper leaves; together some hundred microseconds.
_PATIENCE = 200_000


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
        for number, helper in enumerate(self._helpers):
            if helper is None or helper.done():
                self._helpers[number] = submit(
                    len(self._helpers), self._work_off, *work, _PATIENCE, board, tallies[number + 1]
                )
        self._work_off(*work, 1, board, tallies[0])
        await_work(board)

    def dismiss(self) -> None:
        """Let the helpers go to other work."""
        self._board[LEAVE] = 1
