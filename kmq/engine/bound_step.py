"""The step for many features: products first, then bounds."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.dense import BlockStep
from kmq.engine.quiet import quiet
from kmq.engine.threads import n_threads, run_blocks
from kmq.engine.ties import TieRule
from kmq.kernels import bounds as kernels
from kmq.kernels import moments
from kmq.kernels.plan import Bounds, Plan
from kmq.kernels.products import BLOCK

# Operations a kernel call: about a tenth of a second, so that Ctrl-C is heard.
_MOST_WORK = 1 << 31
_LEAST_ROWS = 1024
_MOST_SUM_BLOCKS = 32
# Centres a group, and the most groups: bounds cost a pass over n · groups floats.
_GROUP = 12
_MOST_GROUPS = 10
# Centres that are compared together, where groups do not end sooner.
_PANEL = 96
# Iterations after which the centres that bounds are about are forgotten.
_SLOTS = 32
# Iterations after which sums that samples were moved between are made afresh.
_FRESH = 64
# They are made afresh too where less is left of the inertia: what a far sample leaves behind in
# sums and inertia when it moves is a rounding error of its own size.
_LEAST_LEFT = 1e-3
# Features and moved samples that are worth a thread.
_SLICE = 16
_LEAST_MOMENTS = 1 << 16


class BoundStep(BlockStep):
    """Lloyd's iteration that compares only samples and groups of centres that bounds leave open.

    Labels are those of `DenseStep`, bit for bit, where squared distances neither underflow nor
    overflow the dtype of the samples; there this step sees differences still. Sums follow the
    samples that move, and are made afresh every 64 iterations. Memory: n · (22 + 4 · groups)
    bytes with at most 10 groups, at most 32 · k · d float64 for the sums of the blocks,
    32 · k · d float32 for the centres of earlier iterations, and 4 copies of the centres.
    Parameters as for `SampleStep`.
    """

    def __init__(self, X: NDArray, weight: NDArray[np.float64], k: int) -> None:
        super().__init__(X, weight, k)
        n, d = X.shape
        self._threads = n_threads() if n * d * k >= 400_000 else 1
        most_rows = max(_LEAST_ROWS, _MOST_WORK // (k * d))
        self._some = min(most_rows, max(_LEAST_ROWS, n // 32))
        # Any point amid the samples will do.
        some = X[:: max(1, n >> 10)]
        self._shift = some.mean(axis=0)
        self._scale = X.dtype.type(_power_of_two(some - self._shift))
        self._n_groups = max(1, min(_MOST_GROUPS, k // _GROUP))
        self._moved = np.empty(n, np.int32)
        self._remembered = np.empty((_SLOTS, k, d), np.float32)
        self._labels = np.full(n, -1, np.int32)
        self._bounds = Bounds(
            self._labels,
            np.full(n, -1, np.int32),
            np.empty(n, np.float32),
            np.empty((n, self._n_groups), np.float32),
            np.empty(n, np.float32),
            np.zeros((n, 2), np.uint8),
        )
        self._plan: Plan | None = None
        self._plans = 0
        self._reach = 0.0
        self._tighten = False
        self._center_way = np.zeros((_SLOTS, k), np.float32)
        self._peak = 0.0
        self._age = 0

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        moved = self._assign(centers)
        if ties is not None:
            self._settle_near_ties(ties)
        if self._age % _FRESH == 0 or 4 * len(moved) > len(self._X) or ties is not None:
            # Distances to one point for all clusters do not change as samples move.
            self._sum_afresh(self._shift[np.newaxis].astype(np.float64))
            self._rooted = False
        else:
            self._move_sums(moved)
        self._age += 1
        self.counts = self._counts[:, 0]
        self._inertia = self._inertia_now()
        if self._inertia < _LEAST_LEFT * self._peak:
            self._sum_afresh(self._wide)
            self._rooted = True
            self.counts = self._counts[:, 0]
            self._inertia = self._inertia_now()
        return len(moved) > 0

    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""
        self._assign(centers)

    def assigned_inertia(self) -> float:
        """See `Step`."""
        return self._inertia

    def _inertia_now(self) -> float:
        """Inertia of the present sums."""
        # The distances to other points of reference are known: move these to the centres.
        way = self._wide - self._reference
        lever = self.sums - self.counts[:, np.newaxis] * self._reference
        return float(
            self._growth
            - 2.0 * (way * lever).sum()
            + (self.counts * np.square(way).sum(axis=1)).sum()
        )

    def inertia(self, centers: NDArray) -> float:
        """See `Step`."""
        wide = centers.astype(np.float64)
        parts = np.zeros(self._n_blocks)

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                parts[block] = moments.spread(
                    self._X, self._weight, self._labels, wide, *self._range(block)
                )

        run_blocks(task, self._n_blocks, self._threads)
        return float(parts.sum())

    def _assign(self, centers: NDArray) -> NDArray[np.int32]:
        """Assign the samples to centres; those whose label changed."""
        plan = self._make_plan(centers)
        n = len(self._X)
        n_blocks = -(-n // self._some)
        tally = np.zeros((n_blocks, 3), np.int64)

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = block * self._some, min((block + 1) * self._some, n)
                kernels.assign_bounded(
                    self._X, plan, self._bounds, start, stop, self._moved, tally[block]
                )

        run_blocks(task, n_blocks, self._threads)
        found, left_open, decided = tally.T
        # A distance saves a comparison where it decides, or else is lost: 0.3 of one with 100.
        self._tighten = bool(decided.sum() * (40 + self._k) > 40 * left_open.sum())
        return np.concatenate(
            [self._moved[b * self._some : b * self._some + found[b]] for b in range(n_blocks)]
        )

    def _make_plan(self, centers: NDArray) -> Plan:
        """Centres in the form that the kernels compare."""
        wide = centers.astype(np.float64)
        k, d = wide.shape
        if self._plan is None:
            group_of = _group(wide, self._n_groups)
            names = np.argsort(group_of, kind="stable").astype(np.int32)
            groups = np.searchsorted(group_of[names], np.arange(self._n_groups + 1))
            panels = _panels(groups)
        else:
            names, group_of = self._plan.names, self._plan.group_of
            groups, panels = self._plan.groups, self._plan.panels
        now = self._plans % _SLOTS
        factors = np.empty((k, d), np.float32)
        packed = np.empty((-(-k // BLOCK), d, BLOCK), np.float32)
        halves = np.empty(k, np.float32)
        reach = moments.lay_out(centers, self._shift, self._scale, names, factors, packed, halves)
        group_way = self._ways(factors, reach, names, groups)
        self._remembered[now] = factors
        self._plans += 1
        self._wide = wide
        self._plan = Plan(
            centers,
            wide,
            self._shift,
            self._scale,
            packed,
            halves,
            names,
            groups,
            panels,
            group_of,
            now,
            self._center_way,
            group_way,
            group_way.max(axis=1),
            self._tighten,
        )
        return self._plan

    def _ways(
        self,
        factors: NDArray[np.float32],
        reach: float,
        names: NDArray[np.int32],
        groups: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """How far centres lie from where bounds were found; the farthest of each group."""
        used = min(self._plans, _SLOTS)
        self._reach = max(self._reach, reach)
        # Both sides are rounded twice: less the shift, and to float32.
        floor = np.float32(5 * 2.0**-24 * self._reach + 1e-30)
        way = np.zeros((_SLOTS, len(factors)), np.float32)

        def task(worker: int, first: int, last: int) -> None:
            moments.ways(self._remembered, factors, floor, first, last, way)

        run_blocks(task, used, self._threads if factors.size > 10_000 else 1)
        group_way = np.zeros((_SLOTS, self._n_groups), np.float32)
        filled = groups[:-1] < groups[1:]
        group_way[:, filled] = np.maximum.reduceat(way, groups[:-1][filled], axis=1)
        self._center_way[:, names] = way
        return group_way

    def _move_sums(self, moved: NDArray[np.int32]) -> None:
        """Move samples between the sums of their clusters."""
        d = self._X.shape[1]
        labels, before = self._bounds.labels, self._bounds.before
        if self._rooted:
            self._growth += moments.growth(
                self._X, self._weight, before, labels, moved, self._reference
            )
            self._peak = max(self._peak, self._growth)

        def task(worker: int, first: int, last: int) -> None:
            moments.move_sums(
                self._X,
                self._weight,
                before,
                labels,
                moved,
                first * _SLICE,
                min(last * _SLICE, d),
                self.sums,
                self._counts,
            )

        # Each thread moves a part of every sample's features: no sum is shared, nor reordered.
        threads = self._threads if len(moved) * d > _LEAST_MOMENTS else 1
        n_slices = -(-d // _SLICE)
        run_blocks(task, n_slices, threads, -(-n_slices // threads))
        empty = self._counts[:, 1] == 0
        self._counts[empty] = 0.0
        self.sums[empty] = 0.0

    def _sum_afresh(self, reference: NDArray[np.float64]) -> None:
        """Add up all samples, and their distances to the points of reference."""
        n, d = self._X.shape
        n_blocks = max(1, min(_MOST_SUM_BLOCKS, n // max(1024, 4 * self._k)))
        rows = -(-n // n_blocks)
        sums = np.empty((n_blocks, self._k, d))
        counts = np.empty((n_blocks, self._k, 2))
        totals = np.zeros(n_blocks)

        def task(worker: int, first: int, last: int) -> None:
            for b in range(first, last):
                start, stop = b * rows, min((b + 1) * rows, n)
                totals[b] = moments.sum_clusters(
                    self._X, self._weight, self._labels, reference, start, stop, sums[b], counts[b]
                )

        run_blocks(task, n_blocks, self._threads)
        self.sums, self._counts = sums.sum(axis=0), counts.sum(axis=0)
        self._growth = float(totals.sum())
        self._peak = self._growth
        self._reference = reference

    @quiet
    def _settle_near_ties(self, ties: TieRule) -> None:
        """Let near-ties fall as `ties` says, in the first iteration: all bounds are of now."""
        # Bounds were rounded to the safe side, in single precision.
        unit = np.float32(1.0 / self._scale)
        nearest, least = self._bounds.upper * unit, self._bounds.least * unit
        rows = ties.doubtful_gaps(nearest, least - nearest, least)
        other = self._settle(ties, rows)
        # Their bounds leave out another centre.
        self._bounds.lower[other] = 0.0
        self._bounds.least[other] = 0.0
        self._bounds.upper[other] = np.inf


def _power_of_two(some: NDArray) -> float:
    """Factor that brings samples to the order of one, so that float32 has room for products."""
    most = float(np.abs(some).max())
    if not np.isfinite(most) or most == 0:
        return 1.0
    return 2.0 ** min(-np.frexp(most)[1], np.finfo(some.dtype).maxexp - 2)


def _panels(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups at which a new product begins: about `_PANEL` centres each."""
    starts = [0]
    for g in range(1, len(groups)):
        if groups[g] - groups[starts[-1]] >= _PANEL or g == len(groups) - 1:
            starts.append(g)
    return np.array(starts)


def _group(wide: NDArray[np.float64], n_groups: int) -> NDArray[np.int32]:
    """Group centres that lie together, by a few rounds of k-means."""
    heads = wide[:: max(1, len(wide) // n_groups)][:n_groups].copy()
    group = np.zeros(len(wide), np.int32)
    for _ in range(5):
        sq_norms = np.einsum("ij,ij->i", heads, heads)
        group = np.argmin(sq_norms - 2.0 * wide @ heads.T, axis=1).astype(np.int32)
        for g in range(n_groups):
            if (group == g).any():
                heads[g] = wide[group == g].mean(axis=0)
    return group
