"""Potentials of k-means++ for any number of features, and what all of them share."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import n_threads, run_blocks, single_blas_thread
from kmq.kernels import draws, sketch
from kmq.kernels import seeding as kernels

_MOST_BLOCKS = 64
_ROWS_BY_FOURS = 8
# Products that must show that BLAS adds up four rows as among others: one may by chance.
_PROOFS = 8
# Each draw gathers what every one of so many threads has booked.
_MOST_BOOKERS = 16
# From this many stretches to add up again on, a second thread gains.
_THREADED_STRETCHES = 400
# Samples that lie closer together are not told apart by a sketch.
_LEAST_WIDTH = 1e-100


def shifted_rows(X: NDArray, mean: NDArray, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Some samples less a mean, subtracted in their own precision."""
    return (X[rows] - mean).astype(np.float64, copy=False)


def open_book(n: int, dtype: type) -> draws.Book:
    """A book of the stretches of `n` samples, all to be added up."""
    n_stretches = -(-n // draws.STRETCH)
    return draws.Book(
        np.ones(n_stretches, np.uint8),
        np.zeros(n_stretches, dtype),
        np.zeros((min(n_threads(), _MOST_BOOKERS), n_stretches)),
    )


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
        self.book = open_book(len(weight), np.float64)
        self._totals = np.zeros(len(self.book.stale))

    def draw(
        self, uniform: NDArray[np.float64], sq_closest: NDArray[np.floating]
    ) -> NDArray[np.intp]:
        """Samples at which the running sum reaches shares of the whole."""

        def add_up(worker: int, first: int, last: int) -> None:
            draws.stretch_totals(self._weight, sq_closest, first, last, self.book, self._totals)

        threads = self._threads if np.count_nonzero(self.book.stale) >= _THREADED_STRETCHES else 1
        run_blocks(add_up, len(self._totals), threads, grain=512)
        drawn = np.empty(len(uniform), np.intp)
        draws.find_draws(self._weight, sq_closest, self._totals, uniform, drawn)
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

    def settle(self, best: int, book: draws.Book, sq_dist: NDArray[np.floating]) -> None:
        """Make a centre of a marked candidate, and all rows of `sq_dist` its `sq_closest`.

        What samples lose by it is booked, or their stretches are stale.
        """


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
        self._book = open_book(len(weight), np.float32)
        self._sums = np.zeros(len(self._book.stale))
        self._threads = n_threads()
        # Until a product shows otherwise.
        self._shares_rows = self._threads > 1
        self._n_proofs = 0
        self._sq_dist = np.empty((0, len(weight)), np.float32)

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._finder.start(first)
        self._sq_dist = self._finder.sq_closest[np.newaxis].copy()
        self._total = self._sq_dist[0] @ self._weight

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""

        def renew(worker: int, first: int, last: int) -> None:
            draws.renew_stretches(
                self._weight, self._sq_dist[0], first, last, self._book, self._sums
            )

        if np.count_nonzero(self._book.stale) >= _THREADED_STRETCHES:
            run_blocks(renew, len(self._sums), self._threads, grain=512)
        order = np.argsort(uniform)
        found = np.empty(len(uniform), np.intp)
        draws.single_draws(
            self._weight,
            self._sq_dist[0],
            uniform[order] * self._total,
            self._book,
            self._sums,
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
        totals = self._potentials()
        best = int(np.argmin(totals))
        self._total = totals[best]
        self._finder.settle(best, self._book, self._sq_dist)
        return candidates[best]

    def _potentials(self) -> NDArray[np.float32]:
        """(t, 1) products of the rows of the matrix with the weights, as BLAS adds them up."""
        rows, weight = self._sq_dist, self._weight[:, np.newaxis]
        if len(rows) > _ROWS_BY_FOURS:
            return rows @ weight
        # A thread of BLAS that has worked spins for more where ours should run. Up to
        # two times four rows its threads share them by fours, and add up as one thread does.
        with single_blas_thread():
            # A row that is left alone is not multiplied as it is among others.
            shares = self._shares_rows and len(rows) % 4 != 1
            if shares and self._n_proofs >= _PROOFS:
                return self._potentials_by_fours()
            totals = rows @ weight
            if shares:
                self._shares_rows = np.array_equal(totals, self._potentials_by_fours())
                self._n_proofs += 1
            return totals

    def _potentials_by_fours(self) -> NDArray[np.float32]:
        """As `_potentials`, where BLAS adds up four rows as it does among others."""
        totals = np.empty((len(self._sq_dist), 1), np.float32)

        def multiply(worker: int, first: int, last: int) -> None:
            for at in range(4 * first, 4 * last, 4):
                rows = slice(at, at + 4)
                # Unlike a product of matrices, this lets other threads run.
                np.dot(self._sq_dist[rows], self._weight[:, np.newaxis], out=totals[rows])

        run_blocks(multiply, -(-len(totals) // 4), self._threads)
        return totals


class SketchPotential:
    """The potential of many samples of many features, which a sketch in eight bits prunes.

    Memory: n · (d + 10 + itemsize) bytes, n · itemsize for each candidate of a round, and 8 n for
    weights in float64 where they are not.

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
        n_tiles = -(-n // sketch.TILE)
        some = (X[:: max(1, n >> 10)] - mean).astype(np.float64)
        self._middle = some.mean(axis=0)
        most = float(np.abs(some - self._middle).max())
        step = most / 127 if np.isfinite(most) and most > _LEAST_WIDTH else 1.0
        wide = weight.astype(np.float64, copy=False)
        self._field = kernels.Field(
            X,
            mean,
            wide,
            np.empty(n, X.dtype),
            np.zeros((n_tiles, sketch.TILE), np.uint16),
            np.empty((n_tiles, d, sketch.TILE), np.int8),
            np.empty((n_tiles, sketch.TILE), np.float32),
            np.empty((n_tiles, sketch.TILE), np.float32),
            np.array([step]),
        )
        self._threads = n_threads() if n * d >= 400_000 else 1
        self._draws = DoubleDraws(wide, self._threads)
        self._in_block = -(-n_tiles // _MOST_BLOCKS)
        self._sq_dist = np.empty((0, n), X.dtype)

        def lay_out(worker: int, first: int, last: int) -> None:
            field = self._field
            sketch.round_samples(
                X, mean, self._middle, step, first, last, field.sketch, field.moved
            )

        self._run(lay_out)

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """See `Finder`."""
        return self._field.sq_closest

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        points = shifted_rows(self._field.X, self._field.mean, np.array([first]))

        def begin(worker: int, first: int, last: int) -> None:
            kernels.start_field(self._field, points, first, last)

        self._run(begin)
        self._draws.book.stale[:] = 1

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        return self._draws.draw(uniform, self._field.sq_closest)

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        if len(self._sq_dist) != len(candidates):
            # Only what this round has written is read.
            self._sq_dist = np.full(
                (len(candidates), len(self._field.X)), np.inf, self._field.X.dtype
            )
        gains = self._compare(candidates, self._sq_dist)
        best = int(np.argmax(gains))
        self.settle(best, self._draws.book, self._sq_dist)
        return candidates[best]

    def mark(self, candidates: NDArray[np.intp], sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""
        self._compare(candidates, sq_dist)

    def settle(self, best: int, book: draws.Book, sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""

        def take(worker: int, first: int, last: int) -> None:
            kernels.settle_candidates(self._field, best, first, last, book.stale, sq_dist)

        self._run(take)

    def _compare(
        self, candidates: NDArray[np.intp], sq_dist: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Mark where candidates are closer; by how much each would lower the potential."""
        t = len(candidates)
        # The last is repeated up to whole fours.
        by_fours = candidates[np.minimum(np.arange(-(-t // 4) * 4), t - 1)]
        points = shifted_rows(self._field.X, self._field.mean, by_fours)
        rounded = np.empty(points.shape, np.float32)
        sketch.round_points(points, self._middle, self._field.step[0], rounded)
        n_blocks = -(-len(self._field.nearer) // self._in_block)
        gains = np.empty((n_blocks, t))

        def compare(worker: int, first: int, last: int) -> None:
            kernels.mark_candidates(
                self._field, points, rounded, self._in_block, first, last, sq_dist, gains
            )

        run_blocks(compare, n_blocks, self._threads)
        return gains.sum(axis=0)

    def _run(self, task: Callable[[int, int, int], None]) -> None:
        """Run a task over the tiles."""
        run_blocks(task, len(self._field.nearer), self._threads, grain=16)
