"""Finders: what finds out, round by round of k-means++, where candidates are closer."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmq.engine.team import Team
from kmq.engine.threads import n_threads
from kmq.kernels import rounds as kernels
from kmq.kernels.draws import STRETCH, Book

# Each draw gathers what every one of so many threads has booked.
_MOST_BOOKERS = 16
# Rounds in which so many samples come closer that adding up again is less work than booking.
_STALE_ROUNDS = 16


def open_book(weight: NDArray) -> Book:
    """A book of samples of some weights, which are infinitely far from any centre."""
    n_stretches = -(-len(weight) // STRETCH)
    return Book(
        weight,
        np.full(n_stretches * STRETCH, np.inf, weight.dtype),
        np.zeros(n_stretches),
        np.ones(n_stretches, np.uint8),
        np.zeros(n_stretches, weight.dtype),
        np.zeros((min(n_threads(), _MOST_BOOKERS), n_stretches)),
    )


class Finder:
    """Finds out where candidates are closer than the centres so far.

    A team works off its rounds, and what is to be done with the book between these.

    Parameters
    ----------
    work_off : callable
        Kernel that works off a team's tasks. Its arguments are these parts, orders, book and
        copies, and those that `Team` adds.
    parts : tuple
        The samples, laid out as the kernel wants them.
    shift : callable
        Gives (p, d) float64 points from the numbers of t candidates.
    shape : (int, int)
        Shape of the points: p ≥ t, d.
    book : Book
        Where losses are booked.
    copies : Copies, optional
        Squared distances to be copied, in float32.
    trials : int
        Candidates a round: t.
    most_blocks : int
        Blocks of a task, where it is worth more than one thread. Set by the shapes alone, so that
        sums are.
    threaded : bool
        Whether it is.
    """

    def __init__(
        self,
        work_off: Callable[..., Any],
        parts: tuple[Any, ...],
        *,
        shift: Callable[[NDArray[np.intp]], NDArray[np.float64]],
        shape: tuple[int, int],
        book: Book,
        copies: kernels.Copies | None,
        trials: int,
        most_blocks: int,
        threaded: bool,
    ) -> None:
        self._shift = shift
        self._orders = kernels.Orders(
            np.zeros(3, np.int64),
            np.zeros(trials, np.int64),
            np.empty(shape),
            np.zeros((most_blocks if threaded else 1, trials)),
        )
        self._rounds = 0
        # Not more than can book; whoever asks again may be told another number.
        threads = len(book.fallen) if threaded else 1
        work = (*parts, self._orders, book, copies)
        self._team = Team(work_off, work, np.arange(threads)[:, np.newaxis])

    def do(self, task: int, *chosen: int) -> None:
        """Let the team work off a task, with some of the candidates."""
        head = self._orders.head
        head[kernels.TASK], head[kernels.CHOSEN] = task, len(chosen)
        head[kernels.BOOKS] = self._rounds > _STALE_ROUNDS
        self._orders.chosen[: len(chosen)] = chosen
        self._team.work(len(self._orders.gains))

    def start(self, first: int | np.intp) -> None:
        """Make a sample the first centre: once, before all else."""
        trials = len(self._orders.chosen)
        self._orders.points[:] = self._shift(np.full(trials, first))
        self.do(kernels.START, 0)

    def gains(self, candidates: NDArray[np.intp]) -> NDArray[np.float64]:
        """By how much each sample would lower the potential, were it a centre."""
        self._orders.points[:] = self._shift(candidates)
        self.do(kernels.COMPARE)
        return self._orders.gains.sum(axis=0)

    def lower(self, best: int) -> None:
        """Make a centre of one of the last candidates."""
        self._rounds += 1
        self.do(kernels.LOWER, best)
