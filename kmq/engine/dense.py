"""Brute force, and what all steps that go over samples in blocks share."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.sample_step import SampleStep
from kmq.engine.steps import block_rows
from kmq.engine.threads import n_threads, run_blocks
from kmq.engine.ties import TieRule
from kmq.kernels import dense
from kmq.kernels.simd import LANES

# Above this many features, unrolling the loop over them costs more compile time than it saves.
NARROW = 8
# Up to this many values, samples of more features stay laid out in tiles between iterations;
# more are laid out anew in each, so many rows at a time.
_KEPT_VALUES = 1 << 19
_PASSING_ROWS = 4096


class BlockStep(SampleStep):
    """What steps that go over samples in blocks share. Parameters as for `SampleStep`."""

    def __init__(self, X: NDArray, weight: NDArray[np.float64], k: int) -> None:
        super().__init__(X, weight, k)
        n, d = X.shape
        self._rows = block_rows(n, k)
        self._n_blocks = -(-n // self._rows)
        # A call costs some microseconds: below about 2e5 multiplications a thread gains nothing.
        self._threads = n_threads() if n * d * k >= 400_000 else 1

    def _range(self, block: int) -> tuple[int, int]:
        """Half-open range of the samples of a block."""
        return block * self._rows, min((block + 1) * self._rows, self._X.shape[0])

    def inertia(self, centers: NDArray) -> float:
        """See `Step`."""
        labels = self.labels
        parts = np.zeros(self._n_blocks)

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = self._range(block)
                parts[block] = dense.inertia(self._X, self._weight, centers, labels, start, stop)

        run_blocks(task, self._n_blocks, self._threads)
        return float(parts.sum())


class DenseStep(BlockStep):
    """Brute force over float samples: every sample against every centre.

    Memory: n · (4 + 2 · itemsize) bytes for labels and distances, at most 32 · k · d float64 for
    the sums of the blocks, and a copy of the samples where they are few and wide. Parameters as
    for `SampleStep`.
    """

    def __init__(self, X: NDArray, weight: NDArray[np.float64], k: int) -> None:
        super().__init__(X, weight, k)
        n, d = X.shape
        self._labels = np.full(n, -1, np.int32)
        self._sq_dist, self._second = np.zeros((2, n), X.dtype)
        self._tiles: NDArray | None = None
        if d > NARROW and n * d <= _KEPT_VALUES:
            self._tiles = np.empty((-(-n // LANES), d, LANES), X.dtype)
            dense.fill_tiles(X, 0, n, self._tiles)
        self._block_sums = np.zeros((self._n_blocks, k, d))
        self._block_counts = np.zeros((self._n_blocks, k))
        self.sums = self._block_sums[0]
        self.counts = self._block_counts[0]

    def _label(self, centers: NDArray, start: int, stop: int, rivals: bool = False) -> int:
        """Label a range of samples; the number of labels that changed.

        Where `rivals` are asked for, the distances to the second nearest centres are good too.
        """
        d = self._X.shape[1]
        if d <= NARROW and not rivals:
            return dense.assign_narrow(
                self._X, centers, (0,) * d, start, stop, self._labels, self._sq_dist
            )
        if self._tiles is not None:
            tiles = self._tiles[start // LANES : -(-stop // LANES)]
            return dense.assign_tiles(
                tiles, centers, start, stop, self._labels, self._sq_dist, self._second
            )
        changed = 0
        for first in range(start, stop, _PASSING_ROWS):
            last = min(first + _PASSING_ROWS, stop)
            tiles = np.empty((-(-(last - first) // LANES), d, LANES), self._X.dtype)
            dense.fill_tiles(self._X, first, last, tiles)
            changed += dense.assign_tiles(
                tiles, centers, first, last, self._labels, self._sq_dist, self._second
            )
        return changed

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        changed = np.zeros(self._n_blocks, np.int64)

        def label(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                changed[block] = self._label(centers, *self._range(block), ties is not None)

        def add_up(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                dense.accumulate(
                    self._X,
                    self._weight,
                    self._labels,
                    *self._range(block),
                    self._block_sums[block],
                    self._block_counts[block],
                )

        def both(worker: int, first: int, last: int) -> None:
            label(worker, first, last)
            add_up(worker, first, last)

        if ties is None:
            run_blocks(both, self._n_blocks, self._threads)
        else:
            run_blocks(label, self._n_blocks, self._threads)
            doubtful = ~(self._second > ties.limit(self._sq_dist))
            moved = self._settle(ties, np.flatnonzero(doubtful))
            self._sq_dist[moved] = self._own_sq_dist(moved, centers)
            run_blocks(add_up, self._n_blocks, self._threads)
        self.sums = self._block_sums.sum(axis=0)
        self.counts = self._block_counts.sum(axis=0)
        return bool(changed.any())

    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""

        def task(worker: int, first: int, last: int) -> None:
            self._label(centers, self._range(first)[0], self._range(last - 1)[1])

        run_blocks(task, self._n_blocks, self._threads)

    def assigned_inertia(self) -> float:
        """See `Step`."""
        parts = np.zeros(self._n_blocks)

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = self._range(block)
                parts[block] = dense.weighted_total(self._weight, self._sq_dist, start, stop)

        run_blocks(task, self._n_blocks, self._threads)
        return float(parts.sum())
