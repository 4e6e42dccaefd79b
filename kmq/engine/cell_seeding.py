"""k-means++ on samples in cells: a candidate is compared only where it can come closest."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kmq.engine.cells import cells_of
from kmq.engine.potentials import DoubleDraws, shifted_rows
from kmq.engine.team import Team
from kmq.engine.threads import n_threads, run_blocks
from kmq.engine.tile_seeding import TilePotential
from kmq.kernels import cell_seeding as kernels
from kmq.kernels.cells import BUNDLE
from kmq.kernels.draws import Book

_MOST_BLOCKS = 32
# Cells from which on a round is worth more than one thread.
_TEAM_CELLS = 1000
# Cells divided by the number of the round, from which on a second thread pays to mark.
_THREADED_CELLS = 10
# Says that candidates are to be compared, in the place of one that is to be a centre.
_COMPARE = -1
# Rounds in which so many samples come closer that adding up again is less work than booking.
_STALE_ROUNDS = 16
# Rounds in which so many samples come closer that cells, spread over all rows, do not repay
# themselves for float32.
_TILE_ROUNDS = 32


class TilesThenCells:
    """Finds where candidates are closer: in tiles at first, in cells once few samples come closer.

    Parameters as for `CellPotential`.
    """

    def __init__(self, X: NDArray, weight: NDArray, mean: NDArray) -> None:
        self._samples = (X, weight, mean)
        self._finder: TilePotential | CellPotential = TilePotential(X, weight, mean)
        self._rounds = 0

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """See `Finder`."""
        return self._finder.sq_closest

    def start(self, first: int | np.intp) -> None:
        """See `Finder`."""
        self._finder.start(first)

    def mark(self, candidates: NDArray[np.intp], sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""
        self._finder.mark(candidates, sq_dist)

    def settle(self, best: int, book: Book, sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""
        self._finder.settle(best, book, sq_dist)
        self._rounds += 1
        if self._rounds == _TILE_ROUNDS:
            cells = CellPotential(*self._samples)
            cells.adopt(sq_dist[0])
            self._finder = cells


class CellPotential:
    """The potential of many samples of few features.

    Memory: n · (2 · itemsize + 2) bytes beside the cells, 25 for each 128 samples and 8 more for
    every thread, and 8 n for weights in float64 where they are not.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, C order, read-only.
    weight : (n,)
        Weights of the samples.
    mean : (d,), optional
        What to subtract from the samples, in their own precision.
    """

    def __init__(self, X: NDArray, weight: NDArray, mean: NDArray | None = None) -> None:
        n, d = X.shape
        wide = weight.astype(np.float64, copy=False)
        self._X = X
        self._mean = np.zeros(d, X.dtype) if mean is None else mean
        self._cells = cells_of(X, wide)
        n_cells, size = self._cells.weight.shape
        boxes = np.empty((2, 2, n_cells, d))
        kernels.place_boxes(self._cells, self._mean, boxes[0], boxes[1])
        self._closest = kernels.Closest(
            self._mean,
            boxes[0],
            boxes[1],
            np.full((n_cells, size), np.inf, X.dtype),
            np.full((2, n_cells), np.inf, X.dtype),
            np.zeros((n_cells, size), np.uint16),
        )
        self._n_bundles = -(-n_cells // BUNDLE)
        self._in_block = -(-self._n_bundles // _MOST_BLOCKS)
        self._by_row = np.full(n, np.inf, X.dtype)
        self._draws = DoubleDraws(wide, n_threads() if n >= 400_000 else 1)
        # Not more than can book; whoever asks again may be told another number.
        self._threads = len(self._draws.book.fallen)
        self._rounds = 0
        self._orders: kernels.Orders | None = None
        self._team: Team | None = None

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """See `Finder`."""
        return self._by_row

    def adopt(self, sq_closest: NDArray[np.floating]) -> None:
        """Go on from squared distances to the closest of some centres."""
        kernels.adopt_closest(self._cells, self._closest, sq_closest)
        self._rounds = _TILE_ROUNDS

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._carry_out(self._orders_for(np.array([first])), 0)
        self._rounds += 1

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        return self._draws.draw(uniform, self._by_row)

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        orders = self._orders_for(candidates)
        self._carry_out(orders, _COMPARE)
        best = int(np.argmax(orders.gains.sum(axis=0)))
        self._carry_out(orders, best)
        self._rounds += 1
        return candidates[best]

    def _orders_for(self, candidates: NDArray[np.intp]) -> kernels.Orders:
        """Orders with the candidates of a round."""
        t, d = len(candidates), self._X.shape[1]
        if self._orders is None or len(self._orders.points) != t:
            n_blocks = -(-self._n_bundles // self._in_block)
            self._orders = kernels.Orders(
                np.empty((t, d)),
                np.empty((n_blocks, t)),
                np.empty(1, np.int64),
                np.full(1, self._in_block),
            )
            self._team = None
        self._orders.points[:] = shifted_rows(self._X, self._mean, candidates)
        return self._orders

    def _carry_out(self, orders: kernels.Orders, best: int) -> None:
        """Compare the candidates, or make a centre of one."""
        orders.best[0] = best
        n_blocks = len(orders.gains)
        work = (self._cells, self._closest, orders, self._draws.book, self._by_row)
        members = self._threads if len(self._closest.nearer) >= _TEAM_CELLS else 1
        if self._rounds < _STALE_ROUNDS:

            def task(worker: int, first: int, last: int) -> None:
                kernels.do_blocks(*work, first, last, -1)

            run_blocks(task, n_blocks, members)
            return
        if self._team is None:
            self._team = Team(kernels.work_off, work, np.arange(members)[:, np.newaxis])
        self._team.work(n_blocks)

    def mark(self, candidates: NDArray[np.intp], sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""
        points = shifted_rows(self._X, self._mean, candidates)

        def compare(worker: int, first: int, last: int) -> None:
            kernels.mark_candidates(self._cells, self._closest, points, first, last, sq_dist)

        self._run(compare, self._threads)

    def settle(self, best: int, book: Book, sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""

        def take(worker: int, first: int, last: int) -> None:
            kernels.settle_candidates(
                self._cells, self._closest, best, first, last, book, worker, sq_dist
            )

        self._run(take, min(self._threads, len(book.fallen)))
        self._rounds += 1

    def _run(self, task: Callable[[int, int, int], None], threads: int) -> None:
        """Run a task over the bundles, on one thread where the round has too few cells."""
        much = len(self._closest.nearer) >= _THREADED_CELLS * self._rounds
        run_blocks(task, self._n_bundles, threads if much else 1, grain=8)
