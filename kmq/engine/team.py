"""A team of threads that stays together over the iterations of a fit."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import submit
from kmq.kernels.team import BOARD, LEAVE


class Team:
    """The calling thread and its helpers, which wait for work inside compiled code.

    For work of tens of microseconds at a time, which `run_blocks` would take longer to hand
    over than to do. Helpers leave by themselves when no work comes; the next work calls them
    back, without waiting for them.

    Parameters
    ----------
    lead, serve : callable
        Kernels for the calling thread and for helpers, of the same arguments: those of the work,
        then the team's board and the member's own tally.
    n_helpers : int
        Threads beside the calling one.
    """

    def __init__(self, lead: Callable[..., Any], serve: Callable[..., Any], n_helpers: int) -> None:
        self._lead = lead
        self._serve = serve
        self._board = np.zeros(BOARD, np.int64)
        self._helpers: list[Future | None] = [None] * n_helpers

    def work(self, work: tuple[Any, ...], tallies: NDArray[np.int64]) -> None:
        """Do a piece of work; `tallies[0]` is the leader's, the rest its helpers'."""
        self._board[LEAVE] = 0
        for number, helper in enumerate(self._helpers):
            if helper is None or helper.done():
                self._helpers[number] = submit(
                    len(self._helpers), self._serve, *work, self._board, tallies[number + 1]
                )
        self._lead(*work, self._board, tallies[0])

    def dismiss(self) -> None:
        """Let the helpers go to other work."""
        self._board[LEAVE] = 1
