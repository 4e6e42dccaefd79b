"""The step for some ten features: samples are visited when their alarm comes."""

from math import isnan

import numpy as np
from numpy.typing import NDArray

from kmq.engine.dense import BlockStep
from kmq.engine.quiet import quiet
from kmq.engine.steps import block_rows
from kmq.engine.team import Team
from kmq.engine.ties import TieRule
from kmq.kernels import gap_team as teams
from kmq.kernels import gaps as kernels
from kmq.kernels.scan import n_places

# The fewest samples a block: some microseconds of work.
_LEAST_ROWS = 256
# Multiplications an iteration from which a helper is worth the wait for it.
_LEAST_TEAM_WORK = 1_000_000
# Operations a piece of work: some tenths of a second, so that Ctrl-C is heard.
_MOST_WORK = 1 << 32
# Iterations after which sums that samples were moved between are made afresh.
_FRESH = 16
# They are made afresh too where less is left of the inertia: what a far sample leaves behind in
# sums and inertia when it moves is a rounding error of its own size.
_LEAST_LEFT = 1e-3


class GapStep(BlockStep):
    """Lloyd's iteration that passes by the samples whose nearest centre cannot have changed.

    Labels are those of `DenseStep`. Sums follow the samples that move, and are made afresh every
    16 iterations. Memory: 12 n bytes for labels, distances and alarms, and at most
    32 · k · (d + 2) float64 for the sums of the blocks. Parameters as for `SampleStep`.
    """

    def __init__(self, X: NDArray, weight: NDArray[np.float64], k: int) -> None:
        super().__init__(X, weight, k)
        n, d = X.shape
        self._rows = block_rows(n, k, _LEAST_ROWS)
        self._n_blocks = -(-n // self._rows)
        if n * d * k < _LEAST_TEAM_WORK:
            self._threads = 1
        self._state = kernels.State(
            np.full(n, -1, np.int32),
            np.full(n, -np.inf, np.float32),
            np.empty(n, np.float32),
            np.zeros((self._n_blocks, k, d)),
            np.zeros((self._n_blocks, k, 2)),
            np.zeros(self._n_blocks),
            np.zeros(self._n_blocks),
        )
        self._labels = self._state.labels
        self._orders = kernels.Orders(
            np.zeros(2, np.int64),
            np.zeros(d, X.dtype),
            np.full((n_places(k), d), np.inf, np.float32),
            np.zeros(k, np.float32),
            np.zeros((k, d), X.dtype),
            np.zeros((k, d)),
            np.zeros(k),
            np.zeros(k, np.float32),
            np.zeros(k, np.float32),
            np.zeros((k, d)),
        )
        self._changes = np.zeros((self._threads, 1), np.int64)
        work = (X, weight, self._orders, self._rows, self._state)
        self._team = Team(teams.work_off, work, self._changes)
        # Any point amid the samples will do.
        some = np.sort(X[:: max(1, n >> 4)], axis=0)
        self._middle = some[len(some) // 2].astype(np.float64)
        if X.dtype == np.float64:
            self._orders.shift[:] = self._middle
        self.sums = np.zeros((k, d))
        self._counts = np.zeros((k, 2))
        self.counts = self._counts[:, 0]
        self._age = 0
        self._n_changed = 0

    @property
    def labels(self) -> NDArray[np.int32]:
        """See `Step`."""
        self._team.dismiss()  # its threads are wanted for other work
        return self._state.labels

    def n_filled(self) -> int:
        """See `Step`."""
        n_weighing = np.count_nonzero(self._state.counts[:, :, 1].sum(axis=0))
        return self._k if n_weighing == self._k else super().n_filled()

    def means(self, centers: NDArray) -> tuple[NDArray, float] | None:
        """See `Step`."""
        return None if isnan(self._shift) else (self._means, self._shift)

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        self._visit(centers)
        if ties is not None:
            self._settle_near_ties(ties)
        if ties is not None or self._age % _FRESH == 0:
            self._sum_afresh(rooted=False)
        self._age += 1
        before = self._n_changed
        self._add_up()
        if self._inertia < _LEAST_LEFT * self._peak:
            self._sum_afresh(rooted=True)
            self._add_up()
        return self._n_changed != before

    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""
        self._visit(centers)

    def assigned_inertia(self) -> float:
        """See `Step`."""
        return self._inertia

    def inertia(self, centers: NDArray) -> float:
        """See `Step`."""
        self._do(teams.SPREAD)
        return float(self._state.spread.sum())

    def _do(self, task: int) -> None:
        """Let the team do a task."""
        self._orders.head[kernels.TASK] = task
        most = max(1, _MOST_WORK // (self._rows * self._k * self._X.shape[1]))
        for first in range(0, self._n_blocks, most):
            self._team.work(min(most, self._n_blocks - first))

    def _visit(self, centers: NDArray) -> None:
        """Bring the labels up to date with new centres."""
        kernels.place_centers(centers, tuple(self._orders))
        if self._age == 0:
            for clocks in (self._orders.clocks, self._orders.hands, self._orders.floors):
                clocks[:] = 0.0
        self._do(teams.VISIT)

    @quiet
    def _settle_near_ties(self, ties: TieRule) -> None:
        """Let near-ties fall as `ties` says, in the first iteration: all clocks stand at 0."""
        alarm, hidden = self._state.alarm, self._orders.hidden[self._state.labels]
        # Compared in single precision, and of samples and centres that were rounded to it.
        nearest = np.sqrt(self._state.near)
        sums = np.maximum(nearest * np.float32(1.999) - np.float32(2.0) * hidden, np.float32(0.0))
        sums += alarm
        nearest *= np.float32(1.001)
        nearest += hidden
        rows = ties.doubtful_gaps(nearest, alarm, sums)
        # Their alarms tell of another centre.
        alarm[self._settle(ties, rows)] = 0.0

    def _sum_afresh(self, rooted: bool) -> None:
        """Add up all samples, and their squared distances to the centres or the point amid them."""
        self._orders.points[:] = self._orders.placed if rooted else self._middle
        self._orders.head[kernels.ROOTED] = rooted
        self._do(teams.SUM)
        self._peak = float(self._state.scatter.sum())

    def _add_up(self) -> None:
        """Add up sums, weights, means and inertia of the blocks."""
        self._means = np.empty_like(self._orders.centers)
        self._inertia, scatter, self._n_changed, self._shift = teams.add_up(
            tuple(self._orders),
            tuple(self._state),
            self._changes,
            self.sums,
            self._counts,
            self._means,
        )
        self._peak = max(self._peak, scatter)
