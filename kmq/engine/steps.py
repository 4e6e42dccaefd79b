"""The ways of doing one iteration, and the one function that chooses between them.

A step answers the loop of `kmq.engine.lloyd`: given these centres, which label has each sample,
what are the sums and weights of the clusters, and did any label change?
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import dense

# Above this many features, unrolling the loop over them costs more compile time than it saves.
NARROW = 16
_MOST_BLOCKS = 32
_LEAST_ROWS = 1024


@dataclass(frozen=True)
class TieRule:
    """What scikit-learn's arithmetic compares when centres are equally near.

    A start that is made of samples on a grid (pixels, counts, ranks) is full of true ties, and
    how these fall decides where the fit ends. Following scikit-learn through them is what makes
    the same seed give the same clusters.

    Attributes
    ----------
    mean : (d,)
        Mean of the samples.
    shifted : (k, d)
        Centres less the mean.
    sq_norms : (k,)
        Squared norms of the shifted centres.
    """

    mean: NDArray
    shifted: NDArray
    sq_norms: NDArray

    @classmethod
    def of(cls, centers: NDArray, mean: NDArray) -> "TieRule":
        """Build the rule for one set of centres."""
        shifted = centers - mean
        return cls(mean, shifted, np.einsum("ij,ij->i", shifted, shifted))


class Step(Protocol):
    """What the loop asks of a way of doing an iteration.

    Attributes
    ----------
    labels : (n,) int32
        Nearest centre of each sample at the last `assign`, ties to the lowest.
    sums : (k, d)
        Weighted sums of the samples of each cluster at the last `assign`, float64 or int64.
    counts : (k,)
        Weights of the clusters at the last `assign`, float64 or int64.
    """

    labels: NDArray[np.int32]
    sums: NDArray
    counts: NDArray

    def reset(self) -> None:
        """Forget all labels before a new start, in an array of the new start's own."""

    def mean(self) -> NDArray:
        """(d,) unweighted mean of the samples, of their dtype."""

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """Assign the samples to `centers` and add up the clusters; True if a label changed.

        Where centres are equally near, `ties` chooses, else the lowest index.
        """

    def relabel(self, centers: NDArray) -> None:
        """Assign the samples to `centers` for the last time: labels alone."""

    def assigned_inertia(self) -> float:
        """Inertia of the last `assign`, of its labels and its centres."""

    def inertia(self, centers: NDArray) -> float:
        """Inertia of the present labels and `centers`, from explicit differences in float64."""

    def sq_distances(self) -> NDArray:
        """(n,) squared distances of the samples to their centres at the last `assign`."""

    def sample(self, i: int) -> tuple[NDArray, float, int]:
        """Sample `i` with its weight and label."""


def block_rows(n: int, k: int) -> int:
    """Samples a block, from the shapes alone: few enough blocks that their sums stay small."""
    n_blocks = max(1, min(_MOST_BLOCKS, n // max(_LEAST_ROWS, 8 * k)))
    return -(-n // n_blocks)


class DenseStep:
    """Brute force over float samples: every sample against every centre.

    Memory: n · (4 + itemsize) bytes for labels and distances, at most 32 · k · d float64 for
    the sums of the blocks.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, C order, read-only.
    weight : (n,) float64
        Weights of the samples, read-only.
    k : int
        Number of clusters.
    """

    def __init__(self, X: NDArray, weight: NDArray[np.float64], k: int) -> None:
        n, d = X.shape
        self._X = X
        self._weight = weight
        self._rows = block_rows(n, k)
        self._n_blocks = -(-n // self._rows)
        # A call costs some microseconds: below about 2e5 multiplications a thread gains nothing.
        self._threads = n_threads() if n * d * k >= 400_000 else 1
        self._sq_dist = np.zeros(n, X.dtype)
        self._block_sums = np.zeros((self._n_blocks, k, d))
        self._block_counts = np.zeros((self._n_blocks, k))
        self.sums = self._block_sums[0]
        self.counts = self._block_counts[0]
        self.reset()

    def reset(self) -> None:
        """See `Step`."""
        self.labels = np.full(self._X.shape[0], -1, np.int32)

    def _bounds(self, block: int) -> tuple[int, int]:
        """Half-open range of the samples of a block."""
        return block * self._rows, min((block + 1) * self._rows, self._X.shape[0])

    def _label(self, centers: NDArray, start: int, stop: int) -> int:
        """Label a range of samples; the number of labels that changed."""
        d = self._X.shape[1]
        if d <= NARROW:
            return dense.assign_narrow(
                self._X, centers, (0,) * d, start, stop, self.labels, self._sq_dist
            )
        return dense.assign_wide(self._X, centers, start, stop, self.labels, self._sq_dist)

    def mean(self) -> NDArray:
        """See `Step`."""
        return self._X.mean(axis=0)

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        changed = np.zeros(self._n_blocks, np.int64)

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = self._bounds(block)
                changed[block] = self._label(centers, start, stop)
                if ties is not None:
                    dense.settle_ties(
                        self._X,
                        centers,
                        ties.mean,
                        ties.shifted,
                        ties.sq_norms,
                        start,
                        stop,
                        self.labels,
                    )
                dense.accumulate(
                    self._X,
                    self._weight,
                    self.labels,
                    start,
                    stop,
                    self._block_sums[block],
                    self._block_counts[block],
                )

        run_blocks(task, self._n_blocks, self._threads)
        self.sums = self._block_sums.sum(axis=0)
        self.counts = self._block_counts.sum(axis=0)
        return bool(changed.any())

    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""

        def task(worker: int, first: int, last: int) -> None:
            self._label(centers, self._bounds(first)[0], self._bounds(last - 1)[1])

        run_blocks(task, self._n_blocks, self._threads)

    def assigned_inertia(self) -> float:
        """See `Step`."""
        parts = np.zeros(self._n_blocks)

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = self._bounds(block)
                parts[block] = dense.weighted_total(self._weight, self._sq_dist, start, stop)

        run_blocks(task, self._n_blocks, self._threads)
        return float(parts.sum())

    def inertia(self, centers: NDArray) -> float:
        """See `Step`."""
        parts = np.zeros(self._n_blocks)

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = self._bounds(block)
                parts[block] = dense.inertia(
                    self._X, self._weight, centers, self.labels, start, stop
                )

        run_blocks(task, self._n_blocks, self._threads)
        return float(parts.sum())

    def sq_distances(self) -> NDArray:
        """See `Step`."""
        return self._sq_dist

    def sample(self, i: int) -> tuple[NDArray, float, int]:
        """See `Step`."""
        return self._X[i], float(self._weight[i]), int(self.labels[i])


def choose_step(X: NDArray, weight: NDArray[np.float64], k: int) -> Step:
    """Return the fastest step for these samples; the results do not depend on the choice."""
    return DenseStep(X, weight, k)
