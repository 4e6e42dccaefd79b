"""Potentials of k-means++ on many samples: what is drawn from them, and which candidate is best.

A `Finder` finds out where candidates are closer than the centres so far. The two potentials add
up what it finds as the precision of the samples asks for.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kmq.engine.gemv import MOST_SHARED_ROWS, RowSums
from kmq.engine.threads import n_threads, run_blocks, single_blas_thread
from kmq.kernels import draws

# Each draw gathers what every one of so many threads has booked.
_MOST_BOOKERS = 16
# Rounds in which so many samples come closer that adding up again is less work than booking.
STALE_ROUNDS = 16
# From this many stretches to add up again on, a second thread gains.
_THREADED_STRETCHES = 400
# Products below this are no normal numbers any more, and rounded by more than in proportion.
_LEAST_POTENTIAL = 1e-25


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


class Finder(Protocol):
    """What finds out where candidates are closer than the centres so far."""

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """(n,) squared distances to the closest centre."""

    def start(self, first: int | np.intp) -> None:
        """Make a sample the first centre."""

    def gains(self, candidates: NDArray[np.intp]) -> NDArray[np.float64]:
        """By how much each sample would lower the potential, were it a centre."""

    def mark(self, some: NDArray[np.intp], rows: NDArray[np.floating]) -> None:
        """Lower copies of `sq_closest`, a row each, as would some of the last candidates."""

    def lower(self, best: int) -> None:
        """Make a centre of one of the last candidates.

        What samples lose by it is booked, or their stretches are stale.
        """


class DoublePotential:
    """The potential of many float64 samples, in sums of any order.

    Memory: 25 bytes for each 128 samples, and 8 more for every thread, besides the finder's.

    Parameters
    ----------
    finder : Finder
        What finds out where candidates are closer.
    weight : (n,) float64
        Weights of the samples.
    book : Book
        Where the finder books what samples lose.
    """

    def __init__(self, finder: Finder, weight: NDArray[np.float64], book: draws.Book) -> None:
        self._finder = finder
        self._weight = weight
        self._book = book
        self._threads = n_threads()
        self._totals = np.zeros(len(book.stale))

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._finder.start(first)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        sq_closest = self._finder.sq_closest

        def add_up(worker: int, first: int, last: int) -> None:
            draws.stretch_totals(self._weight, sq_closest, first, last, self._book, self._totals)

        threads = self._threads if np.count_nonzero(self._book.stale) >= _THREADED_STRETCHES else 1
        run_blocks(add_up, len(self._totals), threads, grain=512)
        drawn = np.empty(len(uniform), np.intp)
        draws.find_draws(self._weight, sq_closest, self._totals, uniform, drawn)
        return drawn

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        best = int(np.argmax(self._finder.gains(candidates)))
        self._finder.lower(best)
        return candidates[best]


class SinglePotential:
    """The potential of many float32 samples, in sums of scikit-learn's kind.

    A sum in float32 is so coarse that another order of summation picks other samples, so
    potentials are added up as scikit-learn's BLAS does, where that order is known. Gains in
    float64 tell which candidates can have the lowest potential: few need such a sum. Where the
    order is not known, all do, and BLAS makes it.

    Memory: as `DoublePotential`, and 4 n for each candidate that needs a sum.

    Parameters
    ----------
    finder : Finder
        What finds out where candidates are closer.
    weight : (n,) float32
        Weights of the samples.
    book : Book
        Where the finder books what samples lose.
    """

    def __init__(self, finder: Finder, weight: NDArray[np.float32], book: draws.Book) -> None:
        self._finder = finder
        self._weight = weight
        self._book = book
        self._threads = n_threads()
        self._sums = np.zeros(len(book.stale))
        self._row_sums: dict[int, RowSums] = {}
        self._rows = np.empty((0, len(weight)), np.float32)

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._finder.start(first)
        self._total = np.float32(self._finder.sq_closest @ self._weight)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        sq_closest = self._finder.sq_closest

        def renew(worker: int, first: int, last: int) -> None:
            draws.renew_stretches(self._weight, sq_closest, first, last, self._book, self._sums)

        if np.count_nonzero(self._book.stale) >= _THREADED_STRETCHES:
            run_blocks(renew, len(self._sums), self._threads, grain=512)
        order = np.argsort(uniform)
        found = np.empty(len(uniform), np.intp)
        targets = uniform[order] * self._total
        draws.single_draws(self._weight, sq_closest, targets, self._book, self._sums, found)
        drawn = np.empty_like(found)
        drawn[order] = found
        return drawn

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        t = len(candidates)
        sums = self._row_sums.get(t)
        if sums is None:
            sums = self._row_sums[t] = RowSums(self._weight, t)
            if sums.proven:  # how far off a sum is at most, from now on
                _, self._off = sums.sum(self._finder.sq_closest, 0)
        gains = self._finder.gains(candidates)
        some = np.arange(t)
        # Whether one lies below another for sure can only be told from normal numbers.
        if sums.proven and _LEAST_POTENTIAL < self._total < np.inf:
            some = np.flatnonzero(gains >= gains.max() - 2 * self._off)
        if len(some) > 1 or not sums.proven:
            best = self._lowest(some, sums)
            self._finder.lower(best)
        else:
            best = int(some[0])
            self._finder.lower(best)
            self._total, self._off = sums.sum(self._finder.sq_closest, best)
        return candidates[best]

    def _lowest(self, some: NDArray[np.intp], sums: RowSums) -> int:
        """Which of some candidates would leave the lowest potential; this is kept."""
        sq_closest = self._finder.sq_closest
        if len(self._rows) < len(some):
            self._rows = np.empty((len(some), len(sq_closest)), np.float32)
        rows = self._rows[: len(some)]
        rows[:] = sq_closest
        self._finder.mark(some, rows)
        if sums.proven:
            found = [sums.sum(row, int(t)) for row, t in zip(rows, some, strict=True)]
            lowest = int(np.argmin([total for total, _ in found]))
            self._total, self._off = found[lowest]
        else:
            totals = self._multiply(rows)
            lowest = int(np.argmin(totals))
            self._total = totals[lowest]
        return int(some[lowest])

    def _multiply(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Products of rows with the weights, by BLAS."""
        weight = self._weight[:, np.newaxis]
        if len(rows) > MOST_SHARED_ROWS:
            return (rows @ weight)[:, 0]
        # A thread of BLAS that has worked spins for more where ours should run.
        with single_blas_thread():
            return (rows @ weight)[:, 0]
