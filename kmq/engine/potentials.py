"""Potentials of k-means++ on many samples: what is drawn from them, and which candidate is best.

A `Finder` finds out where candidates are closer than the centres so far. The two potentials add
up what it finds as the precision of the samples asks for.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kmq.engine.gemv import MOST_SHARED_ROWS, RowSums
from kmq.engine.rounds import Finder, open_book
from kmq.engine.table import Table
from kmq.engine.threads import single_blas_thread
from kmq.kernels import draws
from kmq.kernels.rounds import COPY, MARK, RENEW, SUM, SUM_COPIES, Copies

# Makes a finder of samples, less a mean: it keeps a book, in float32 copies too, and is asked for
# so many candidates a round.
MakeFinder = Callable[[Table, NDArray, draws.Book, Copies | None, int], Finder]

# From this many stretches to add up again on, a second thread gains.
_THREADED_STRETCHES = 400
# Products below this are no normal numbers any more, and rounded by more than in proportion.
_LEAST_POTENTIAL = 1e-25


class DoublePotential:
    """The potential of many float64 samples, in sums of any order.

    Memory: 8 n bytes, and for each 128 samples 17 bytes and 8 a thread, besides the finder's.

    Parameters
    ----------
    make : callable
        Makes the `Finder`.
    table : Table
        The samples.
    mean : (d,) float64
        What to subtract from them.
    trials : int
        Candidates a round.
    """

    def __init__(self, make: MakeFinder, table: Table, mean: NDArray, trials: int) -> None:
        self._book = open_book(table.weight)
        self._finder = make(table, mean, self._book, None, trials)

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._finder.start(first)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        if np.count_nonzero(self._book.stale) >= _THREADED_STRETCHES:
            self._finder.do(RENEW)
        else:
            draws.renew_double(self._book, 0, len(self._book.stale))
        drawn = np.empty(len(uniform), np.intp)
        draws.draw_double(self._book, uniform, drawn)
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

    Memory: 4 n bytes, 4 n for each candidate that needs a sum, and for each 128 samples 13 bytes
    and 8 a thread, besides the finder's.

    Parameters
    ----------
    make : callable
        Makes the `Finder`.
    table : Table
        The samples.
    mean : (d,) float32
        What to subtract from them, in their own precision.
    trials : int
        Candidates a round.
    """

    def __init__(self, make: MakeFinder, table: Table, mean: NDArray, trials: int) -> None:
        self._book = open_book(table.weight)
        plain = table.alike and table.weight[0] == 1
        self._sums = sums = RowSums(table.weight, trials, plain)
        rows = np.empty((trials, len(table.weight)), np.float32)
        self._copies = Copies(rows, sums.orders, sums.parts, sums.climbs)
        self._finder = make(table, mean, self._book, self._copies, trials)
        self._off = 0.0

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._finder.start(first)
        weight = self._book.weight
        self._total = np.float32(self._book.sq_closest[: len(weight)] @ weight)
        if self._sums.proven:  # how far off a sum is at most, from now on
            _, self._off = self._add_up(0)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        if np.count_nonzero(self._book.stale) >= _THREADED_STRETCHES:
            draws.guess_grids(self._book, self._total)
            self._finder.do(RENEW)
        order = np.argsort(uniform)
        found = np.empty(len(uniform), np.intp)
        draws.draw_single(self._book, uniform[order] * self._total, found)
        drawn = np.empty_like(found)
        drawn[order] = found
        return drawn

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        gains = self._finder.gains(candidates)
        some = np.arange(len(candidates))
        # Whether one lies below another for sure can only be told from normal numbers.
        if self._sums.proven and _LEAST_POTENTIAL < self._total < np.inf:
            some = np.flatnonzero(gains >= gains.max() - 2 * self._off)
        if len(some) > 1 or not self._sums.proven:
            best = self._lowest(some)
            self._finder.lower(best)
        else:
            best = int(some[0])
            self._finder.lower(best)
            self._total, self._off = self._add_up(best)
        return candidates[best]

    def _add_up(self, candidate: int) -> tuple[np.float32, float]:
        """The potential, as that of a candidate is added up, and how far off it is at most."""
        self._finder.do(SUM, candidate)
        return self._sums.join(self._book.sq_closest, candidate, 0)

    def _lowest(self, some: NDArray[np.intp]) -> int:
        """Which of some candidates would leave the lowest potential; this is kept."""
        for task in (COPY, MARK):
            self._finder.do(task, *some)
        rows = self._copies.rows[: len(some)]
        if self._sums.proven:
            self._finder.do(SUM_COPIES, *some)
            found = [
                self._sums.join(row, t, place)
                for place, (row, t) in enumerate(zip(rows, some, strict=True))
            ]
            lowest = int(np.argmin([total for total, _ in found]))
            self._total, self._off = found[lowest]
        else:
            totals = self._multiply(rows)
            lowest = int(np.argmin(totals))
            self._total = totals[lowest]
        return int(some[lowest])

    def _multiply(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Products of rows with the weights, by BLAS."""
        weight = self._book.weight[:, np.newaxis]
        if len(rows) > MOST_SHARED_ROWS:
            return (rows @ weight)[:, 0]
        # A thread of BLAS that has worked spins for more where ours should run.
        with single_blas_thread():
            return (rows @ weight)[:, 0]
