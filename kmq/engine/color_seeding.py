"""Greedy k-means++ on distinct colours, drawing what it would draw on the pixels."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine import seeding
from kmq.engine.color_step import ColorCells
from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import color_seeding as kernels
from kmq.kernels.colors import CELL, GROUP

# From this many pixels on, summing them is worth waking a thread for.
_THREADED_PIXELS = 200_000


def pick_colors(
    cells: ColorCells, weight: NDArray, alike: bool, k: int, rng: np.random.RandomState
) -> NDArray[np.intp]:
    """Pick `k` pixels, or colours that do not know theirs, as a start by greedy k-means++.

    Parameters
    ----------
    cells : ColorCells
        The colours.
    weight : (n,)
        Weights of what is picked from.
    alike : bool
        Whether these are all the same.
    k : int
        Number of centres.
    rng : numpy.random.RandomState
        The source of randomness.

    Returns
    -------
    (k,) intp
        What is picked, in the order of picking.
    """
    first = seeding.first_row(weight, alike, rng)
    return seeding.pick(ColorPotential(cells, k), first, k, seeding.n_trials(k), rng)


class ColorPotential:
    """Squared distances of colours to the closest centre so far, with their weighted sum.

    All sums are exact. Where the colours know their pixels, draws run over these, in their
    order; else over the colours, by their weights.

    Parameters
    ----------
    cells : ColorCells
        The colours.
    rounds : int
        How many centres will be picked, about.
    """

    def __init__(self, cells: ColorCells, rounds: int) -> None:
        self._shared = cells
        n_cells, n_groups = len(cells.cells.radius), len(cells.groups.radius)
        self._closest = kernels.Closest(
            np.full((n_cells, CELL), kernels.UNSEEN, np.int32),
            np.full(n_cells, np.inf),
            np.full(n_groups, np.inf),
            np.zeros(n_groups, np.int64),
            np.zeros((n_cells, CELL), np.int32),
            np.zeros(n_groups, np.bool_),
        )
        # Plain tuples reach a kernel in half the time that named ones take.
        self._work = (tuple(cells.cells), tuple(cells.groups), tuple(self._closest))
        self._runs = None if cells.colors.index is None else _choose_runs(cells, rounds)

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._add(int(self._shared.color_rows(np.array([first]))[0]))

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        shared = self._shared
        rows = shared.color_rows(candidates)
        # A round is over before another thread is awake: 256 rounds on 306,393 colours took
        # 39 ms on one thread and 62 on two.
        gained = np.zeros(len(rows), np.int64)
        kernels.gains(*self._work, shared.colors.colors[rows], gained)
        best = int(np.argmax(gained))
        self._add(int(rows[best]))
        return candidates[best]

    def _add(self, row: int) -> None:
        """Let a colour join the centres."""
        kernels.add_center(*self._work, self._shared.colors.colors[row])
        if self._runs is not None:
            self._runs.follow(self._closest)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        shared = self._shared
        colors = shared.colors
        sq_dist = self._closest.sq_dist.reshape(-1)
        if self._runs is None or colors.index is None:
            totals, rows, n = self._closest.potential, GROUP * CELL, len(colors.colors)
            index, weight = np.empty(0, np.int32), colors.counts
        else:
            totals, rows, n = self._runs.totals, 1 << self._runs.shift, len(colors.index)
            index, weight = colors.index, shared.row_weight
        drawn = np.empty(len(uniform), np.intp)
        kernels.find_rows(index, weight, sq_dist, totals, rows, n, uniform, drawn)
        return drawn


class _SummedRuns:
    """Sums over runs of pixels, made anew for each draw: for few centres."""

    def __init__(self, cells: ColorCells) -> None:
        assert cells.colors.index is not None
        n = len(cells.colors.index)
        self._cells = cells
        self._threads = n_threads() if n >= _THREADED_PIXELS else 1
        self._closest: kernels.Closest | None = None
        self.shift = max(8, n.bit_length() // 2)
        self._totals = np.zeros(-(-n // (1 << self.shift)), np.int64)

    def follow(self, closest: kernels.Closest) -> None:
        """Take in what the last centre changed."""
        self._closest = closest

    @property
    def totals(self) -> NDArray[np.int64]:
        """(r,) sums of weight · squared distance of the runs."""
        if self._closest is not None:
            self._sum(self._closest.sq_dist.reshape(-1))
            self._closest = None
        return self._totals

    def _sum(self, sq_dist: NDArray[np.int32]) -> None:
        """Sum the squared distances of all pixels."""
        cells, totals = self._cells, self._totals

        def task(worker: int, start: int, stop: int) -> None:
            kernels.row_totals(
                cells.colors.index,
                cells.row_weight,
                sq_dist,
                1 << self.shift,
                start,
                stop,
                totals,
            )

        run_blocks(task, len(totals), self._threads, grain=64)


class _LoweredRuns:
    """Sums over runs of pixels, lowered where a colour came nearer: for many centres."""

    def __init__(self, cells: ColorCells) -> None:
        index = cells.colors.index
        assert index is not None
        self._first: _SummedRuns | None = _SummedRuns(cells)
        self._weight = cells.row_weight
        self.shift = self._first.shift
        self.totals = np.empty(0, np.int64)
        m = len(cells.colors.colors)
        self._offsets = np.zeros(m + 1, np.int64)
        np.cumsum(cells.rows_per_color, out=self._offsets[1:])
        self._pixels = np.empty(len(index), np.int32)
        kernels.list_pixels(index, self._offsets, np.empty(m, np.int64), self._pixels)

    def follow(self, closest: kernels.Closest) -> None:
        """Take in what the last centre changed."""
        if self._first is not None:
            self._first.follow(closest)
            self.totals = self._first.totals
            self._first = None
            return
        kernels.lower_totals(
            closest, self._offsets, self._pixels, self._weight, self.shift, self.totals
        )


def _choose_runs(cells: ColorCells, rounds: int) -> _SummedRuns | _LoweredRuns:
    """Return the way to keep the sums that is faster for a number of centres.

    Listing the pixels of each colour and following every change costs about as much as 12 sums
    over all pixels.
    """
    return _LoweredRuns(cells) if rounds > 12 else _SummedRuns(cells)
