"""k-means++ on samples in cells: a candidate is compared only where it can come closest."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kmq.engine.cells import cells_of
from kmq.engine.potentials import DoubleDraws, shifted_rows
from kmq.engine.threads import n_threads, run_blocks
from kmq.engine.tile_seeding import TilePotential
from kmq.kernels import cell_seeding as kernels
from kmq.kernels.cells import BUNDLE
from kmq.kernels.draws import Book

_MOST_BLOCKS = 32
# Cells still to compare in a round, of all of them over its number, for a second thread to pay;
# and where distances are written all over the memory.
_THREADED_CELLS = 100
_THREADED_MARKS = 10
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

    Memory: n · (2 · itemsize + 2) bytes beside the cells, and 8 n for weights in float64 where
    they are not.

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
        self._threads = n_threads()
        self._draws = DoubleDraws(wide, self._threads if n >= 400_000 else 1)
        self._rounds = 0

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
        points = shifted_rows(self._X, self._mean, np.array([first]))

        book, by_row = self._draws.book, self._by_row
        books = self._rounds >= _STALE_ROUNDS

        def lower(worker: int, first: int, last: int) -> None:
            by = worker if books else -1
            kernels.lower_cells(self._cells, self._closest, points, first, last, book, by, by_row)

        self._run(lower, self._n_bundles, 8)
        self._rounds += 1

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        return self._draws.draw(uniform, self._by_row)

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        n_blocks = -(-self._n_bundles // self._in_block)
        points = shifted_rows(self._X, self._mean, candidates)
        gains = np.empty((n_blocks, len(candidates)))

        def compare(worker: int, first: int, last: int) -> None:
            kernels.candidate_gains(
                self._cells, self._closest, points, self._in_block, first, last, gains
            )

        self._run(compare, n_blocks, 1)
        best = candidates[np.argmax(gains.sum(axis=0))]
        self.start(best)
        return best

    def mark(self, candidates: NDArray[np.intp], sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""
        points = shifted_rows(self._X, self._mean, candidates)

        def compare(worker: int, first: int, last: int) -> None:
            kernels.mark_candidates(self._cells, self._closest, points, first, last, sq_dist)

        self._run(compare, self._n_bundles, 8, _THREADED_MARKS)

    def settle(self, best: int, book: Book, sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""

        def take(worker: int, first: int, last: int) -> None:
            kernels.settle_candidates(
                self._cells, self._closest, best, first, last, book, worker, sq_dist
            )

        self._run(take, self._n_bundles, 8, _THREADED_MARKS)
        self._rounds += 1

    def _run(
        self,
        task: Callable[[int, int, int], None],
        n_blocks: int,
        grain: int,
        worth: int = _THREADED_CELLS,
    ) -> None:
        """Run a task on as many threads as the round has cells for."""
        much = len(self._closest.nearer) >= worth * self._rounds
        run_blocks(task, n_blocks, self._threads if much else 1, grain)
