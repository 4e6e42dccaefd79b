"""What all steps over float samples share. Nothing here loads a kernel before it is needed."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.quiet import quiet
from kmq.engine.steps import means_of
from kmq.engine.ties import TieRule

# Values at a time of what is worked out in NumPy: in buffers that stay in the second cache, as
# larger ones would come fresh from the system again and again: 7 instead of 31 ms for 60,000 x 128.
_BUFFER = 1 << 15
# Kernels are compiled for each number of features up to this, as sums stay in registers then:
# 0.5 instead of 3.0 ms for 1e6 x 2.
_NARROW = 4
# Adding up fewer values takes no longer in NumPy, which needs no kernel to be loaded.
_MANY_VALUES = 1 << 17


def _fit_for_kernel(X: NDArray) -> bool:
    """Whether a kernel adds up columns sooner than NumPy, and in its order."""
    return X.shape[1] > 1 and X.size >= _MANY_VALUES


def _dims(X: NDArray) -> tuple[int, ...]:
    """What tells a kernel the number of features, where it is better compiled for these."""
    return (0,) * X.shape[1] if X.shape[1] <= _NARROW else ()


def column_mean(X: NDArray) -> NDArray:
    """(d,) mean of samples, to the bit that of ``X.mean(axis=0)``."""
    if not _fit_for_kernel(X):
        return X.mean(axis=0)
    from kmq.kernels import dense

    sums = np.zeros(X.shape[1], X.dtype)
    dense.add_columns(X, _dims(X), sums)
    return np.true_divide(sums, np.intp(len(X)), out=sums, casting="unsafe")


def mean_variance(X: NDArray, mean: NDArray) -> float:
    """Mean variance of the features about their mean, as ``X.var(axis=0).mean()``.

    Memory: some blocks of rows, not a copy of X, unless there is one feature alone.
    """
    total = np.zeros(X.shape[1], X.dtype)
    if _fit_for_kernel(X):
        from kmq.kernels import dense

        dense.add_squares(X, _dims(X), mean, total)
    else:
        # NumPy adds up many features row by row, as blocks can go on with, but one pairwise.
        rows = max(1, _BUFFER // X.shape[1]) if X.shape[1] > 1 else len(X)
        for start in range(0, len(X), rows):
            sq = X[start : start + rows] - mean
            sq *= sq
            sq[0] += total
            total = sq.sum(axis=0)
    return (total / len(X)).mean()


class SampleStep:
    """What steps over float samples share: the samples, their labels, mean and distances.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, C order, read-only.
    weight : (n,) float64
        Weights of the samples, read-only.
    k : int
        Number of clusters.
    """

    pinned = 0
    sums: NDArray
    counts: NDArray
    _labels: NDArray[np.int32]

    def __init__(self, X: NDArray, weight: NDArray[np.float64], k: int) -> None:
        self._X = X
        self._weight = weight
        self._k = k

    def means(self, centers: NDArray) -> tuple[NDArray, float] | None:
        """See `Step`."""
        return means_of(self.sums, self.counts, centers)

    @property
    def labels(self) -> NDArray[np.int32]:
        """See `Step`."""
        return self._labels

    def n_filled(self) -> int:
        """See `Step`."""
        return int(np.count_nonzero(np.bincount(self.labels, minlength=self._k)))

    def mean(self) -> NDArray:
        """See `Step`."""
        return column_mean(self._X)

    def _settle(self, ties: TieRule, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Let near-ties of some samples fall as `ties` says; those whose label changed."""
        labels = self._labels[rows]
        settled = ties.settle(self._X, rows, labels)
        self._labels[rows] = settled
        return rows[settled != labels]

    @quiet
    def _own_sq_dist(self, rows: NDArray[np.intp], centers: NDArray) -> NDArray:
        """Squared distances of some samples to the centres of their labels."""
        return np.square(self._X[rows] - centers[self._labels[rows]]).sum(axis=1)

    def sq_distances(self, centers: NDArray) -> NDArray:
        """See `Step`."""
        X, labels, mean = self._X, self.labels, self.mean()
        n, d = X.shape
        shifted = centers - mean
        sq_dist = np.empty(n, X.dtype)
        rows = max(1, min(n, _BUFFER // d))
        buffer, theirs = np.empty((2, rows, d), X.dtype)
        for first in range(0, n, rows):
            some = X[first : first + rows]
            part, own = buffer[: len(some)], theirs[: len(some)]
            np.subtract(some, mean, out=part)
            # All labels are good; to look whether they are, NumPy would buffer what it takes.
            np.take(shifted, labels[first : first + rows], axis=0, out=own, mode="clip")
            part -= own
            np.square(part, out=part).sum(axis=1, out=sq_dist[first : first + rows])
        return sq_dist

    def sample(self, i: int) -> tuple[NDArray, float, int]:
        """See `Step`."""
        return self._X[i], float(self._weight[i]), int(self.labels[i])
