"""Potentials of k-means++ for any number of features, pruned by the triangle inequality."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import seeding as kernels

_MOST_BLOCKS = 64
# Rows a stretch whose share of the potential is added up again when one of them came closer.
STRETCH = 128


class PrunedPotential:
    """The potential of many samples: only the closest distances are stored.

    Memory: n · (6 + itemsize) bytes, and k · d float64 for the centres.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, C order, read-only.
    weight : (n,)
        Weights of the samples.
    mean : (d,)
        What to subtract from the samples, in their own precision.
    """

    def __init__(self, X: NDArray, weight: NDArray, mean: NDArray) -> None:
        n, d = X.shape
        self._field = kernels.Field(
            X,
            mean,
            weight.astype(np.float64, copy=False),
            np.full(n, np.inf, X.dtype),
            np.zeros(n, np.int32),
            np.ones(n, np.uint16),
        )
        stretches = -(-n // STRETCH)
        self._rows = STRETCH * -(-stretches // _MOST_BLOCKS)
        self._n_blocks = -(-n // self._rows)
        self._threads = n_threads() if n * d >= 400_000 else 1
        self._centers = np.empty((16, d))
        self._n_centers = 0
        self._stale = np.zeros(stretches, np.uint8)
        self._totals = np.zeros(stretches)

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._join(self._points(np.array([first])), 1)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        field = self._field
        kernels.stretch_totals(
            field.weight, field.sq_closest, 0, len(self._stale), self._stale, self._totals
        )
        reached = np.cumsum(self._totals)
        drawn = np.empty(len(uniform), np.intp)
        kernels.find_draws(field.weight, field.sq_closest, reached, uniform * reached[-1], drawn)
        return drawn

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        points, quarters = self._by_fours(candidates)
        gains = np.empty((self._n_blocks, len(points)))

        def compare(first: int, last: int) -> None:
            kernels.candidate_gains(self._field, points, quarters, self._rows, first, last, gains)

        self._run(compare)
        best = int(np.argmax(gains.sum(axis=0)))
        self._join(points[best : best + 1], 1 << (best & 15))
        return candidates[best]

    def _join(self, point: NDArray[np.float64], bit: int) -> None:
        """Let a new centre take its samples."""
        number = self._n_centers

        def lower(first: int, last: int) -> None:
            start, stop = self._range(first, last)
            kernels.lower_closest(self._field, point, bit, number, start, stop, self._stale)

        self._run(lower)
        self._remember(point)

    def _points(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Some samples less the mean, subtracted in their own precision."""
        return (self._field.X[rows] - self._field.mean).astype(np.float64, copy=False)

    def _by_fours(
        self, candidates: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Candidates, and their distances to the centres, the last repeated to a multiple of 4."""
        t = len(candidates)
        points = self._points(candidates[np.minimum(np.arange(-(-t // 4) * 4), t - 1)])
        quarters = np.empty((self._n_centers, len(points)))
        kernels.quarter_distances(points, self._centers[: self._n_centers], quarters)
        return points, quarters

    def _remember(self, point: NDArray[np.float64]) -> None:
        """Append a centre."""
        if self._n_centers == len(self._centers):
            self._centers = np.concatenate([self._centers, np.empty_like(self._centers)])
        self._centers[self._n_centers] = point
        self._n_centers += 1

    def _range(self, first: int, last: int) -> tuple[int, int]:
        """Half-open range of the samples of some blocks."""
        return first * self._rows, min(last * self._rows, len(self._field.owner))

    def _run(self, task: Callable[[int, int], None]) -> None:
        """Run a task over the blocks."""
        run_blocks(lambda worker, first, last: task(first, last), self._n_blocks, self._threads)


class SinglePotential(PrunedPotential):
    """The potential of many float32 samples, in sums of scikit-learn's kind.

    Its running sum in float32 is so coarse that another order of summation draws other samples.
    Memory: n · 4 bytes a candidate besides.
    """

    def __init__(self, X: NDArray, weight: NDArray, mean: NDArray) -> None:
        super().__init__(X, weight, mean)
        self._single_weight = weight

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        super().start(first)
        self._total = self._field.sq_closest @ self._single_weight

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        order = np.argsort(uniform)
        drawn = np.empty(len(uniform), np.intp)
        kernels.single_draws(
            self._single_weight, self._field.sq_closest, uniform[order] * self._total, drawn
        )
        drawn[order] = drawn.copy()
        return drawn

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        points, quarters = self._by_fours(candidates)
        sq_dist = np.empty((len(candidates), len(self._field.owner)), np.float32)

        def compare(first: int, last: int) -> None:
            start, stop = self._range(first, last)
            kernels.candidate_distances(self._field, points, quarters, start, stop, sq_dist)

        self._run(compare)
        totals = sq_dist @ self._single_weight[:, np.newaxis]
        best = int(np.argmin(totals))
        self._total = totals[best]
        number = self._n_centers

        def take(first: int, last: int) -> None:
            start, stop = self._range(first, last)
            kernels.take_closest(self._field, sq_dist[best], number, start, stop)

        self._run(take)
        self._remember(points[best])
        return candidates[best]
