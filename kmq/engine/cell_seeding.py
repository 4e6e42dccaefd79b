"""k-means++ on samples in cells: a candidate is compared only where it can come closest."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kmq.engine.cells import cells_of
from kmq.engine.potentials import STRETCH
from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import cells as kernels
from kmq.kernels import seeding

_MOST_BLOCKS = 32
# Rounds after which too few cells are left to compare for a second thread to pay.
_THREADED_ROUNDS = 100


class CellPotential:
    """The potential of many samples of few features.

    Memory: n · (2 · itemsize) bytes beside the cells.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, C order, read-only.
    weight : (n,) float64
        Weights of the samples.
    """

    def __init__(self, X: NDArray, weight: NDArray[np.float64]) -> None:
        self._X = X
        self._weight = weight
        self._cells = cells_of(X, weight)
        n_cells, size = self._cells.weight.shape
        self._mean = np.zeros(X.shape[1], X.dtype)
        self._in_block = -(-n_cells // _MOST_BLOCKS)
        self._sq_closest = np.full((n_cells, size), np.inf, X.dtype)
        self._sq_farthest = np.full(n_cells, np.inf, X.dtype)
        self._sq_by_row = np.full(len(X), np.inf, X.dtype)
        n_stretches = -(-len(X) // STRETCH)
        self._stale = np.zeros(n_stretches, np.uint8)
        self._totals = np.zeros(n_stretches)
        self._rounds = 0

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        point = self._X[first].astype(np.float64)

        def lower(worker: int, first: int, last: int) -> None:
            kernels.lower_cells(
                self._cells,
                self._mean,
                point,
                self._sq_closest,
                self._sq_farthest,
                first,
                last,
                (self._sq_by_row, self._stale),
            )

        self._run(lower, len(self._sq_farthest), 256)
        self._rounds += 1

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""

        def add_up(worker: int, first: int, last: int) -> None:
            seeding.stretch_totals(
                self._weight, self._sq_by_row, first, last, self._stale, self._totals
            )

        self._run(add_up, len(self._stale), 256)
        reached = np.cumsum(self._totals)
        drawn = np.empty(len(uniform), np.intp)
        seeding.find_draws(self._weight, self._sq_by_row, reached, uniform * reached[-1], drawn)
        return drawn

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        n_cells = len(self._sq_farthest)
        n_blocks = -(-n_cells // self._in_block)
        points = self._X[candidates].astype(np.float64)
        gains = np.empty((n_blocks, len(candidates)))

        def compare(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start = block * self._in_block
                kernels.candidate_gains(
                    self._cells,
                    self._mean,
                    points,
                    self._sq_closest,
                    self._sq_farthest,
                    start,
                    min(start + self._in_block, n_cells),
                    gains[block],
                )

        self._run(compare, n_blocks, 1)
        best = candidates[np.argmax(gains.sum(axis=0))]
        self.start(best)
        return best

    def _run(self, task: Callable[[int, int, int], None], n_blocks: int, grain: int) -> None:
        """Run a task on as many threads as the round has work for."""
        threads = n_threads() if self._rounds < _THREADED_ROUNDS else 1
        run_blocks(task, n_blocks, threads, grain)
