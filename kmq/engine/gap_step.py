"""The step for some ten features: samples are visited when their alarm comes."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.dense import BlockStep
from kmq.engine.steps import TieRule
from kmq.engine.threads import run_blocks
from kmq.kernels import gaps as kernels

# Centres that are compared at once.
_EIGHT = 8
# Iterations after which sums that samples were moved between are made afresh.
_FRESH = 16
# They are made afresh too where less is left of the inertia: what a far sample leaves behind in
# sums and inertia when it moves is a rounding error of its own size.
_LEAST_LEFT = 1e-3


class GapStep(BlockStep):
    """Lloyd's iteration that passes by the samples whose nearest centre cannot have changed.

    Labels are those of `DenseStep`. Sums follow the samples that move, and are made afresh every
    16 iterations. Memory: 8 n bytes for labels and alarms, and at most 32 · k · (d + 2) float64
    for the sums of the blocks. Parameters as for `SampleStep`.
    """

    def __init__(self, X: NDArray, weight: NDArray[np.float64], k: int) -> None:
        super().__init__(X, weight, k)
        d = X.shape[1]
        self._tally = kernels.Tally(
            np.zeros((self._n_blocks, k, d)),
            np.zeros((self._n_blocks, k, 2)),
            np.zeros(self._n_blocks),
        )
        self.reset()

    def reset(self) -> None:
        """See `Step`."""
        n, d = self._X.shape
        self._labels = np.full(n, -1, np.int32)
        self._alarm = np.full(n, -np.inf, np.float32)
        self._placed: NDArray[np.float64] | None = None
        self._points = np.zeros((self._k, d))
        self._clocks = np.zeros(self._k)
        self._peak = 0.0
        self._age = 0

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        fresh = ties is not None or self._age % _FRESH == 0
        changed = self._visit(centers, ties, fresh)
        self._age += 1
        self._add_up(fresh)
        if not fresh and self.assigned_inertia() < _LEAST_LEFT * self._peak:
            self._sum_afresh()
            self._add_up(True)
        return changed

    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""
        self._visit(centers, None, False)

    def assigned_inertia(self) -> float:
        """See `Step`."""
        # The distances to other points of reference are known: move these to the centres.
        assert self._placed is not None
        way = self._placed - self._points
        lever = self.sums - self.counts[:, np.newaxis] * self._points
        moved = -2.0 * (way * lever).sum() + (self.counts * np.square(way).sum(axis=1)).sum()
        return self._scatter + float(moved)

    def _visit(self, centers: NDArray, ties: TieRule | None, fresh: bool) -> bool:
        """Bring the labels up to date with new centres; True if one changed."""
        if self._placed is None:
            self._placed = centers.astype(np.float64)
        kernels.advance_clocks(centers, self._placed, self._clocks)
        if fresh:
            self._points = self._placed.copy()
        with np.errstate(over="ignore"):  # a clock beyond single precision: always visited
            hands = (self._clocks * kernels.UP).astype(np.float32)
        orders = kernels.Orders(_fill_up(centers), self._clocks, hands, self._points)
        changed = np.zeros(self._n_blocks, np.int64)

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                changed[block] = kernels.visit(
                    self._X,
                    self._weight,
                    orders,
                    block,
                    self._rows,
                    self._labels,
                    self._alarm,
                    self._tally,
                )
                if ties is not None:
                    # In the first iteration only, when all clocks stand at 0 and no alarm
                    # can be meant for another's.
                    self._settle_ties(centers, ties, *self._range(block))
                if fresh:
                    self._sum_block(block)

        run_blocks(task, self._n_blocks, self._threads)
        return bool(changed.any())

    def _sum_block(self, block: int) -> None:
        """Add up a block, about the present points of reference."""
        kernels.sum_afresh(
            self._X, self._weight, self._labels, self._points, block, self._rows, self._tally
        )

    def _sum_afresh(self) -> None:
        """Add up all samples, with the present centres as points of reference."""
        assert self._placed is not None
        self._points = self._placed.copy()

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                self._sum_block(block)

        run_blocks(task, self._n_blocks, self._threads)

    def _add_up(self, fresh: bool) -> None:
        """Add up the sums of the blocks."""
        counts = self._tally.counts.sum(axis=0)
        self.sums = self._tally.sums.sum(axis=0)
        # What is left of subtracted weights must not pass for a member.
        empty = counts[:, 1] == 0
        counts[empty] = 0.0
        self.sums[empty] = 0.0
        self.counts = counts[:, 0]
        self._scatter = float(self._tally.scatter.sum())
        self._peak = self._scatter if fresh else max(self._peak, self._scatter)


def _fill_up(centers: NDArray) -> NDArray:
    """Centres, and infinitely far ones up to whole eights."""
    k, d = centers.shape
    filled = np.full((-(-k // _EIGHT) * _EIGHT, d), np.inf, centers.dtype)
    filled[:k] = centers
    return filled
