"""Potentials of k-means++ for any number of features, and what all of them share."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import draws
from kmq.kernels import seeding as kernels

_MOST_BLOCKS = 64


class DoubleDraws:
    """Draws by a running sum in float64.

    Parameters
    ----------
    weight : (n,) float64
        Weights of the samples.
    threads : int
        How many to use.
    """

    def __init__(self, weight: NDArray[np.float64], threads: int) -> None:
        self._weight = weight
        self._threads = threads
        self.stale = np.zeros(-(-len(weight) // draws.STRETCH), np.uint8)
        self._totals = np.zeros(len(self.stale))

    def draw(
        self, uniform: NDArray[np.float64], sq_closest: NDArray[np.floating]
    ) -> NDArray[np.intp]:
        """Samples at which the running sum reaches shares of the whole."""

        def add_up(worker: int, first: int, last: int) -> None:
            draws.stretch_totals(self._weight, sq_closest, first, last, self.stale, self._totals)

        run_blocks(add_up, len(self.stale), self._threads, grain=512)
        reached = np.cumsum(self._totals)
        drawn = np.empty(len(uniform), np.intp)
        draws.find_draws(self._weight, sq_closest, reached, uniform * reached[-1], drawn)
        return drawn


class Finder(Protocol):
    """What finds out where candidates are closer than the centres so far."""

    def start(self, first: int | np.intp) -> None:
        """Make a sample the first centre."""

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """(n,) squared distances to the closest centre, after `start`."""

    def mark(self, candidates: NDArray[np.intp], sq_dist: NDArray[np.floating]) -> None:
        """Lower a row of `sq_dist` a candidate, where it would lower `sq_closest`."""

    def settle(self, best: int, stale: NDArray[np.uint8], sq_dist: NDArray[np.floating]) -> None:
        """Make a centre of a marked candidate, and all rows of `sq_dist` its `sq_closest`."""


class SinglePotential:
    """The potential of many float32 samples, in sums of scikit-learn's kind.

    Its running sum in float32 is so coarse that another order of summation draws other samples,
    so potentials are products of the same BLAS with the same matrix: a row of distances a
    candidate. The matrix stays, and each round lowers what a candidate lowers and restores it.
    Memory: n · 4 bytes a candidate besides those of the finder.

    Parameters
    ----------
    finder : Finder
        What finds out where candidates are closer.
    weight : (n,) float32
        Weights of the samples.
    """

    def __init__(self, finder: Finder, weight: NDArray[np.float32]) -> None:
        self._finder = finder
        self._weight = weight
        n_stretches = -(-len(weight) // draws.STRETCH)
        self._stale = np.ones(n_stretches, np.uint8)
        self._units = (np.zeros(n_stretches, np.float32), np.zeros(n_stretches, np.int32))
        self._sq_dist = np.empty((0, len(weight)), np.float32)

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._finder.start(first)
        self._sq_dist = self._finder.sq_closest[np.newaxis].copy()
        self._total = self._sq_dist[0] @ self._weight

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        order = np.argsort(uniform)
        found = np.empty(len(uniform), np.intp)
        draws.single_draws(
            self._weight,
            self._sq_dist[0],
            uniform[order] * self._total,
            (self._stale, *self._units),
            found,
        )
        drawn = np.empty_like(found)
        drawn[order] = found
        return drawn

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        if len(self._sq_dist) != len(candidates):
            self._sq_dist = np.tile(self._sq_dist[0], (len(candidates), 1))
        self._finder.mark(candidates, self._sq_dist)
        totals = self._sq_dist @ self._weight[:, np.newaxis]
        best = int(np.argmin(totals))
        self._total = totals[best]
        self._finder.settle(best, self._stale, self._sq_dist)
        return candidates[best]


class PrunedPotential:
    """The potential of many samples, pruned by the triangle inequality.

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
        wide = weight.astype(np.float64, copy=False)
        self._field = kernels.Field(
            X,
            mean,
            wide,
            np.full(n, np.inf, X.dtype),
            np.zeros(n, np.int32),
            np.ones(n, np.uint16),
        )
        self._threads = n_threads() if n * d >= 400_000 else 1
        self._draws = DoubleDraws(wide, self._threads)
        self._rows = draws.STRETCH * -(-n // (draws.STRETCH * _MOST_BLOCKS))
        self._n_blocks = -(-n // self._rows)
        self._centers = np.empty((16, d))
        self._n_centers = 0

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """See `Finder`."""
        return self._field.sq_closest

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._join(self._points(np.array([first])), 1)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        return self._draws.draw(uniform, self._field.sq_closest)

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

    def mark(self, candidates: NDArray[np.intp], sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""
        points, quarters = self._by_fours(candidates)
        self._marked = points

        def compare(first: int, last: int) -> None:
            start, stop = self._range(first, last)
            kernels.mark_candidates(self._field, points, quarters, start, stop, sq_dist)

        self._run(compare)

    def settle(self, best: int, stale: NDArray[np.uint8], sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""
        number = self._n_centers

        def take(first: int, last: int) -> None:
            start, stop = self._range(first, last)
            kernels.settle_candidates(self._field, best, number, start, stop, stale, sq_dist)

        self._run(take)
        self._remember(self._marked[best])

    def _join(self, point: NDArray[np.float64], bit: int) -> None:
        """Let a new centre take its samples."""
        number = self._n_centers

        def lower(first: int, last: int) -> None:
            start, stop = self._range(first, last)
            kernels.lower_closest(self._field, point, bit, number, start, stop, self._draws.stale)

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
