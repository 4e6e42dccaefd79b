"""The step for 8-bit colours, and the moments of a set of colours."""

from functools import cached_property
from math import isfinite, isnan

import numpy as np
from numpy.typing import NDArray

from kmq.engine.colors import ColorSet
from kmq.engine.team import Team
from kmq.engine.threads import n_threads, run_blocks
from kmq.engine.ties import TieRule
from kmq.kernels import color_centers, dense
from kmq.kernels import color_team as teams
from kmq.kernels import colors as kernels

# From this many colours on, a second thread gains.
THREADED_COLORS = 6_000


class ColorCells:
    """Colours in cells, built once for any number of fits.

    Memory: 13 bytes a distinct colour for cells, 8 for their share of moments and balls.

    Parameters
    ----------
    colors : ColorSet
        Distinct colours with their weights, of a total below `samples.MOST_WEIGHT`.
    row_weight : (n,) int64, optional
        Weights of the pixels of `colors.index`, where these are not all 1.

    Attributes
    ----------
    colors : ColorSet
        As given.
    row_weight : (n,) int64
        As given; empty where all pixels weigh 1.
    cells, groups
        What the kernels work on.
    sq_total : int
        Sum of weight · |colour|² of all colours.
    """

    def __init__(self, colors: ColorSet, row_weight: NDArray[np.int64] | None = None) -> None:
        m, d = colors.colors.shape
        n_cells = -(-m // kernels.CELL)
        n_groups = -(-n_cells // kernels.GROUP)
        self.colors = colors
        self.row_weight = np.empty(0, np.int64) if row_weight is None else row_weight
        self.cells = kernels.Cells(
            (0,) * d,
            np.empty((n_cells, d, kernels.CELL), np.uint8),
            np.empty((n_cells, kernels.CELL), np.int64),
            np.empty((n_cells, d + 1), np.int64),
            np.empty((n_cells, d), np.float32),
            np.empty(n_cells),
        )
        self.groups = kernels.Groups(np.empty((n_groups, d), np.float32), np.empty(n_groups))
        threads = n_threads() if m >= THREADED_COLORS else 1
        sq_totals = [0] * threads

        def task(worker: int, start: int, stop: int) -> None:
            sq_totals[worker] += int(
                kernels.build_cells(
                    colors.colors, colors.counts, start, stop, self.cells, self.groups
                )
            )

        run_blocks(task, n_groups, threads)
        self.sq_total = sum(sq_totals)

    @cached_property
    def floats(self) -> NDArray[np.float64]:
        """(m, d) the colours as floats, read-only."""
        floats = self.colors.colors.astype(np.float64)
        floats.flags.writeable = False
        return floats

    @cached_property
    def all_weigh(self) -> bool:
        """Whether no colour has a weight of 0."""
        return bool(self.colors.counts.all())

    @cached_property
    def rows_per_color(self) -> NDArray[np.int64]:
        """(m,) number of samples of each colour, whatever they weigh."""
        if self.colors.index is None:
            return np.ones(len(self.colors.colors), np.int64)
        if len(self.row_weight) == 0:
            return self.colors.counts
        return np.bincount(self.colors.index, minlength=len(self.colors.colors))

    def color_rows(self, samples: NDArray[np.intp]) -> NDArray:
        """Rows of the colours of some samples."""
        index = self.colors.index
        return samples if index is None else index[samples]

    def mean(self) -> NDArray[np.float64]:
        """(d,) mean of the samples, whatever they weigh."""
        n, first, _ = self._unweighted
        return first / n

    def mean_variance(self) -> float:
        """Mean variance of the channels of the samples, whatever they weigh."""
        n, first, second = self._unweighted
        sq = sum(int(value) ** 2 for value in first)
        return (n * second - sq) / (n * n * len(first))

    @cached_property
    def _unweighted(self) -> tuple[int, NDArray[np.int64], int]:
        """Number of samples, sums of their channels and of all their squares."""
        if self.colors.index is not None and len(self.row_weight) == 0:
            return len(self.colors.index), self.cells.moments.sum(axis=0)[:-1], self.sq_total
        values = self.colors.colors.astype(np.int64)
        rows = self.rows_per_color
        return int(rows.sum()), rows @ values, int(rows @ np.square(values).sum(axis=1))


class ColorStep:
    """Lloyd's iteration on distinct 8-bit colours, in integers.

    Sums are exact, so the centres are the same bits for any order of the pixels and any number
    of threads. Memory beside the cells: 7 bytes a distinct colour, and 4 · k bytes for each
    256 of them.

    Parameters
    ----------
    cells : ColorCells
        The colours. Where these know their pixels, the samples of the fit are the pixels.
    k : int
        Number of clusters.
    """

    pinned = 0

    def __init__(self, cells: ColorCells, k: int) -> None:
        self._shared = cells
        self._k = k
        m, d = cells.colors.colors.shape
        n_cells, n_groups = len(cells.cells.radius), len(cells.groups.radius)
        self._n_chunks = -(-n_groups // teams.CHUNK)
        threads = n_threads() if m >= THREADED_COLORS else 1
        n_helpers = min(threads - 1, self._n_chunks // 2)
        self._state = kernels.State(
            np.full((n_cells, kernels.CELL), -1, np.int32),
            np.full(n_cells, -1, np.int32),
            np.full(n_cells, -np.inf),
            np.empty((n_groups, k), np.int32),
            np.zeros(n_groups, np.int32),
            np.zeros(n_groups),
            np.full(n_groups, -np.inf),
            np.full(n_groups, -np.inf),
        )
        room = -(-k // kernels.LANES) * kernels.LANES
        self._orders = teams.Orders(
            np.full((k, d), np.nan), np.empty((d, room), np.float32), np.zeros(k), np.zeros(1)
        )
        # Each member of the team adds up changes in a tally of its own, whose last row counts
        # changed labels; together the tallies are the sums of the clusters.
        self._tallies = np.zeros((n_helpers + 1, k + 1, d + 1), np.int64)
        work = (cells.cells, cells.groups, self._orders, self._state)
        self._team = Team(teams.work_off, work, self._tallies)
        self._n_changed = 0
        self.sums = np.zeros((k, d))
        self.counts = np.zeros(k)

    @property
    def labels(self) -> NDArray[np.int32]:
        """See `Step`: (m,) of the distinct colours."""
        self._team.dismiss()  # its threads are wanted for other work
        return self._labels.copy()

    @property
    def _labels(self) -> NDArray[np.int32]:
        """(m,) nearest centre of each distinct colour, as the kernels write it."""
        return self._state.labels.reshape(-1)[: len(self._shared.colors.colors)]

    def means(self, centers: NDArray) -> tuple[NDArray, float] | None:
        """See `Step`."""
        return None if isnan(self._shift) else (self._means, self._shift)

    def n_filled(self) -> int:
        """See `Step`."""
        if self._shared.all_weigh:
            return int(np.count_nonzero(self.counts))
        return int(np.count_nonzero(np.bincount(self._labels, minlength=self._k)))

    def mean(self) -> NDArray[np.float64]:
        """See `Step`."""
        return self._shared.mean()

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        changed = self._visit(centers)
        if ties is not None:
            self._settle(centers, ties)
        return changed

    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""
        self._visit(centers)

    def _visit(self, centers: NDArray) -> bool:
        """Bring the labels up to date with new centres; True if one changed."""
        orders = self._orders
        largest = color_centers.measure_moves(centers, orders.centers, orders.moved, orders.rows)
        if isfinite(largest):
            orders.reach[0] = 2.0 * largest
            self._team.work(self._n_chunks)
        else:
            orders.centers[:] = np.nan  # the next visits start afresh
            self._compare_all(centers)
        before = self._n_changed
        self._add_up(centers)
        return self._n_changed != before

    def _add_up(self, centers: NDArray) -> None:
        """Add up sums, weights, means and inertia of the present labels."""
        self._means = np.empty_like(self.sums)
        self._inertia, self._n_changed, self._shift = color_centers.add_up(
            self._tallies, centers, self._shared.sq_total, self.sums, self.counts, self._means
        )

    def _compare_all(self, centers: NDArray) -> None:
        """Do by brute force what `_visit` does, for centres too far off for its float32."""
        colors, state = self._shared.colors, self._state
        m, d = colors.colors.shape
        labels = np.empty(m, np.int32)
        dense.assign_narrow(
            self._shared.floats, centers, (0,) * d, 0, m, labels, np.empty(m, np.float64)
        )
        changed = int(np.count_nonzero(labels != self._labels))
        state.labels.reshape(-1)[:m] = labels
        state.labels.reshape(-1)[m:] = labels[-1]
        state.owner[:] = -1
        for alarm in (state.alarm, state.next, state.slack):
            alarm[:] = -np.inf
        self._tallies[:] = 0
        weight = colors.counts[:, np.newaxis]
        np.add.at(self._tallies[0], labels, np.hstack([colors.colors * weight, weight]))
        self._tallies[0, -1, 0] = self._n_changed + changed

    def _settle(self, centers: NDArray, ties: TieRule) -> None:
        """Let true ties fall by `ties`; they lie in cells that have to be visited again."""
        state = self._state
        clock = np.repeat(state.clock, kernels.GROUP)[: len(state.alarm)]
        tied = np.flatnonzero(state.alarm <= clock)
        rows = (tied[:, np.newaxis] * kernels.CELL + np.arange(kernels.CELL)).ravel()
        rows = rows[rows < len(self._labels)]
        if len(rows) == 0:
            return
        before = self._labels[rows]
        labels = ties.settle(self._shared.floats, rows, before)
        self._labels[rows] = labels
        state.owner[tied] = -1
        weight = self._shared.colors.counts[rows, np.newaxis]
        moments = np.hstack([self._shared.colors.colors[rows] * weight, weight])
        np.subtract.at(self._tallies[0], before, moments)
        np.add.at(self._tallies[0], labels, moments)
        self._add_up(centers)

    def assigned_inertia(self) -> float:
        """See `Step`."""
        return self._inertia

    def inertia(self, centers: NDArray) -> float:
        """See `Step`."""
        return self._inertia

    def sq_distances(self, centers: NDArray) -> NDArray[np.float64]:
        """See `Step`."""
        mean = self.mean()
        shifted = self._shared.floats - mean
        shifted -= (centers - mean)[self._labels]
        sq = np.square(shifted, out=shifted).sum(axis=1)
        index = self._shared.colors.index
        return sq if index is None else sq[index]

    def sample(self, i: int) -> tuple[NDArray, float, int]:
        """See `Step`."""
        shared = self._shared
        row = int(shared.color_rows(np.array([i]))[0])
        if shared.colors.index is None:
            weight = float(shared.colors.counts[row])
        else:
            weight = float(shared.row_weight[i]) if len(shared.row_weight) else 1.0
        return shared.colors.colors[row], weight, int(self._labels[row])
