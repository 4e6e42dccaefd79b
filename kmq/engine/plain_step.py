"""The step for a few samples in a process that has not loaded compiled code yet."""

import sys
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from kmq.engine.quiet import quiet
from kmq.engine.sample_step import SampleStep
from kmq.engine.ties import TieRule

# Seconds of plain iterations after which the next fit of a process might as well load compiled
# code.
_PATIENCE = 0.2
# Sums side by side in kernels, whose order is kept here.
_LANES = 8

_spent = 0.0


def pays() -> bool:
    """Whether compiled code is not there, and has not been missed for long."""
    return "kmq.kernels.jit" not in sys.modules and _spent < _PATIENCE


class PlainStep(SampleStep):
    """Brute force in NumPy, addition for addition as `DenseStep` does it on one block.

    Memory: n · d · (itemsize · (k + 1) + 8) bytes and some n. Parameters as for `SampleStep`.
    """

    @quiet
    def __init__(self, X: NDArray, weight: NDArray[np.float64], k: int) -> None:
        super().__init__(X, weight, k)
        self._labels = np.full(len(X), -1, np.int32)
        self._columns = np.ascontiguousarray(X.T)
        # Weights, then weighted features, of sample after sample.
        self._moments = np.column_stack([weight, weight[:, np.newaxis] * X.astype(np.float64)])
        self._places = np.arange(self._moments.shape[1])

    def _label(self, centers: NDArray) -> NDArray:
        """Label all samples; return the (k, n) squared distances to all centres."""
        # Of one sample, NumPy would put the features last, and add them up pairwise.
        difference = np.empty((len(self._columns), len(centers), len(self._X)), self._X.dtype)
        np.subtract(self._columns[:, np.newaxis], centers.T[:, :, np.newaxis], out=difference)
        difference *= difference
        sq_dist = _in_order(difference)
        self._labels = sq_dist.argmin(axis=0).astype(np.int32)
        return sq_dist

    @quiet
    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        global _spent
        begun = perf_counter()
        before = self._labels
        sq_dist = self._label(centers)
        self._sq_dist = sq_dist.min(axis=0)
        changed = not np.array_equal(before, self._labels)
        if ties is not None:
            rivals = np.count_nonzero(~(sq_dist > ties.limit(self._sq_dist)), axis=0)
            moved = self._settle(ties, np.flatnonzero(rivals > 1))
            self._sq_dist[moved] = self._own_sq_dist(moved, centers)
        width = len(self._places)
        bins = self._labels[:, np.newaxis] * width + self._places
        totals = np.bincount(bins.ravel(), self._moments.ravel(), self._k * width)
        totals = totals.reshape(self._k, width)
        self.counts, self.sums = totals[:, 0], totals[:, 1:]
        _spent += perf_counter() - begun
        return changed

    @quiet
    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""
        self._label(centers)

    @quiet
    def assigned_inertia(self) -> float:
        """See `Step`."""
        parts = self._weight * self._sq_dist
        whole = len(parts) // _LANES * _LANES
        return _total(np.append(_lanes(parts[:whole]), parts[whole:]))

    @quiet
    def inertia(self, centers: NDArray) -> float:
        """See `Step`."""
        difference = self._columns.astype(np.float64)
        difference -= centers.T[:, self.labels]
        difference *= difference
        return _total(_lanes(self._weight * _in_order(difference)))


def _in_order(values: NDArray) -> NDArray:
    """Sum over the first axis, one after the other."""
    # NumPy adds up row by row, but pairwise where a row is one value.
    return values.sum(axis=0) if values[0].size > 1 else values.cumsum(axis=0)[-1]


def _lanes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of every eighth value, one after the other."""
    rows = np.zeros((-(-len(values) // _LANES), _LANES))
    rows.reshape(-1)[: len(values)] = values
    return rows.sum(axis=0)


def _total(values: NDArray[np.float64]) -> float:
    """Sum of values, one after the other."""
    return float(values.cumsum()[-1])
