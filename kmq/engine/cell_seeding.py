"""k-means++ on samples in cells: a candidate is compared only where it can come closest."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.potentials import STALE_ROUNDS, shifted_rows
from kmq.engine.table import Table
from kmq.engine.team import Team
from kmq.engine.threads import run_blocks
from kmq.kernels import cell_seeding as kernels
from kmq.kernels.cells import BUNDLE
from kmq.kernels.draws import Book

_MOST_BLOCKS = 32
# Cells from which on a round is worth more than one thread.
_TEAM_CELLS = 1000
# Says that candidates are to be compared, in the place of one that is to be a centre.
_COMPARE = -1


class CellFinder:
    """Finds where candidates are closer among samples of few features.

    Memory: 2 n · itemsize bytes beside the cells, and 8 n for weights in float64 where they are
    not.

    Parameters
    ----------
    table : Table
        The samples.
    mean : (d,)
        What to subtract from the samples, in their own precision.
    book : Book
        Where losses are booked.
    """

    def __init__(self, table: Table, mean: NDArray, book: Book) -> None:
        n, d = table.X.shape
        self._X, self._mean = table.X, mean
        self._cells = table.cells
        self._book = book
        n_cells, size = self._cells.weight.shape
        boxes = np.empty((2, 2, n_cells, d))
        kernels.place_boxes(self._cells, mean, boxes[0], boxes[1])
        self._closest = kernels.Closest(
            mean,
            boxes[0],
            boxes[1],
            np.full((n_cells, size), np.inf, table.X.dtype),
            np.full((2, n_cells), np.inf, table.X.dtype),
        )
        self._n_bundles = -(-n_cells // BUNDLE)
        self._in_block = -(-self._n_bundles // _MOST_BLOCKS)
        self._by_row = np.full(n, np.inf, table.X.dtype)
        # Not more than can book; whoever asks again may be told another number.
        self._threads = len(book.fallen) if n_cells >= _TEAM_CELLS else 1
        self._rounds = 0
        self._orders: kernels.Orders | None = None
        self._team: Team | None = None

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """See `Finder`."""
        return self._by_row

    def start(self, first: int | np.intp) -> None:
        """See `Finder`."""
        self._orders_for(np.array([first]))
        self.lower(0)

    def gains(self, candidates: NDArray[np.intp]) -> NDArray[np.float64]:
        """See `Finder`."""
        orders = self._orders_for(candidates)
        self._carry_out(orders, _COMPARE)
        return orders.gains.sum(axis=0)

    def mark(self, some: NDArray[np.intp], rows: NDArray[np.floating]) -> None:
        """See `Finder`."""
        assert self._orders is not None
        points = self._orders.points[some]
        # Few come so far, and the helper is waiting for other work.
        kernels.mark_candidates(self._cells, self._closest, points, rows)

    def lower(self, best: int) -> None:
        """See `Finder`."""
        assert self._orders is not None
        self._carry_out(self._orders, best)
        self._rounds += 1

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
        work = (self._cells, self._closest, orders, self._book, self._by_row)
        if self._rounds < STALE_ROUNDS:

            def task(worker: int, first: int, last: int) -> None:
                kernels.do_blocks(*work, first, last, -1)

            run_blocks(task, n_blocks, self._threads)
            return
        if self._team is None:
            self._team = Team(kernels.work_off, work, np.arange(self._threads)[:, np.newaxis])
        self._team.work(n_blocks)
