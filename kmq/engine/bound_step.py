"""The step for many features: bounds first, then products of matrices."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.dense import SampleStep
from kmq.engine.steps import TieRule
from kmq.engine.threads import n_threads, run_blocks, single_blas_thread
from kmq.kernels import bounds as kernels
from kmq.kernels import dense

# Operations a kernel call: about a tenth of a second, so that Ctrl-C is heard.
_MOST_WORK = 1 << 31
_MOST_SUM_BLOCKS = 32
# Centres a group, and the most groups: bounds cost a pass over n · groups floats.
_GROUP = 12
_MOST_GROUPS = 10
# Centres a product, where groups do not end sooner: 100 run at 180 GFLOP/s, 12 at 58.
_PANEL = 96
# Iterations after which sums that samples were moved between are made afresh.
_FRESH = 16
# They are made afresh too where less is left of the inertia: what a far sample leaves behind in
# sums and inertia when it moves is a rounding error of its own size.
_LEAST_LEFT = 1e-3


class BoundStep(SampleStep):
    """Lloyd's iteration that compares only samples and groups of centres that bounds leave open.

    Labels are those of `DenseStep`, bit for bit. Sums follow the samples that move, and are made
    afresh every 16 iterations. Memory: n · (24 + 4 · groups) bytes with at most 10 groups, at
    most 32 · k · d float64 for the sums of the blocks, and 4 copies of the centres. Parameters
    as for `SampleStep`.
    """

    def __init__(self, X: NDArray, weight: NDArray[np.float64], k: int) -> None:
        super().__init__(X, weight, k)
        n, d = X.shape
        self._threads = n_threads() if n * d * k >= 400_000 else 1
        most_rows = max(kernels.CHUNK, _MOST_WORK // (k * d))
        self._some = min(most_rows, kernels.CHUNK * max(1, n // (64 * kernels.CHUNK)))
        self._shift = X.mean(axis=0)
        self._scale = _power_of_two(X[:: max(1, n >> 10)] - self._shift)
        self._n_groups = max(1, min(_MOST_GROUPS, k // _GROUP))
        self._moved = np.empty(n, np.int32)
        self._norm = np.full(n, -1, np.float32)
        self.reset()

    def reset(self) -> None:
        """See `Step`."""
        n = len(self._X)
        self._labels = np.full(n, -1, np.int32)
        self._bounds = kernels.Bounds(
            self._labels,
            np.full(n, -1, np.int32),
            self._norm,
            np.empty(n, np.float32),
            np.zeros((n, self._n_groups), np.float32),
        )
        self._plan: kernels.Plan | None = None
        self._reference = np.empty((0, 0))
        self._peak = 0.0
        self._age = 0

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        moved = self._assign(centers)
        if ties is not None:
            self._settle(centers, ties)
        if self._age % _FRESH == 0 or 4 * len(moved) > len(self._X) or ties is not None:
            self._sum_afresh()
        else:
            self._growth += kernels.move_sums(
                self._X,
                self._weight,
                self._bounds,
                moved,
                self._reference,
                self.sums,
                self._counts,
            )
            empty = self._counts[:, 1] == 0
            self._counts[empty] = 0.0
            self.sums[empty] = 0.0
            self._peak = max(self._peak, self._growth)
        self._age += 1
        self.counts = self._counts[:, 0]
        if self.assigned_inertia() < _LEAST_LEFT * self._peak:
            self._sum_afresh()
            self.counts = self._counts[:, 0]
        return len(moved) > 0

    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""
        self._assign(centers)

    def assigned_inertia(self) -> float:
        """See `Step`."""
        # The distances to other points of reference are known: move these to the centres.
        assert self._plan is not None
        way = self._plan.wide - self._reference
        lever = self.sums - self.counts[:, np.newaxis] * self._reference
        return float(
            self._growth
            - 2.0 * (way * lever).sum()
            + (self.counts * np.square(way).sum(axis=1)).sum()
        )

    def _assign(self, centers: NDArray) -> NDArray[np.int32]:
        """Assign the samples to centres; those whose label changed."""
        plan = self._plan = self._make_plan(centers)
        n = len(self._X)
        n_blocks = -(-n // self._some)
        found = np.zeros(n_blocks, np.int64)

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = block * self._some, min((block + 1) * self._some, n)
                found[block] = kernels.assign_bounded(
                    self._X, plan, self._bounds, start, stop, self._moved
                )

        with single_blas_thread():
            run_blocks(task, n_blocks, self._threads)
        return np.concatenate(
            [self._moved[b * self._some : b * self._some + found[b]] for b in range(n_blocks)]
        )

    def _make_plan(self, centers: NDArray) -> kernels.Plan:
        """Centres in the form that the kernels compare."""
        wide = centers.astype(np.float64)
        k = len(wide)
        if self._plan is None:
            group_of = _group(wide, self._n_groups)
            drift = np.zeros(k, np.float32)
        else:
            group_of = self._plan.group_of
            way = wide - self._plan.wide
            exact = self._scale * np.sqrt(np.einsum("ij,ij->i", way, way))
            drift = (exact * (1.0 + 1e-6)).astype(np.float32)
        names = np.argsort(group_of, kind="stable").astype(np.int32)
        groups = np.searchsorted(group_of[names], np.arange(self._n_groups + 1))
        most = np.zeros(self._n_groups, np.float32)
        np.maximum.at(most, group_of, drift)
        shifted = (centers - self._shift).astype(np.float64) * self._scale
        factors = shifted[names].astype(np.float32)
        exact_factors = factors.astype(np.float64)
        sq_norms = np.einsum("ij,ij->i", exact_factors, exact_factors).astype(np.float32)
        return kernels.Plan(
            centers,
            wide,
            self._shift,
            self._scale,
            factors,
            sq_norms,
            names,
            groups,
            _panels(groups),
            group_of,
            drift,
            most,
        )

    def _sum_afresh(self) -> None:
        """Add up all samples, with the present centres as points of reference."""
        assert self._plan is not None
        n, d = self._X.shape
        n_blocks = max(1, min(_MOST_SUM_BLOCKS, n // max(1024, 4 * self._k)))
        rows = -(-n // n_blocks)
        sums = np.empty((n_blocks, self._k, d))
        counts = np.empty((n_blocks, self._k, 2))
        totals = np.zeros(n_blocks)
        wide = self._plan.wide

        def task(worker: int, first: int, last: int) -> None:
            for b in range(first, last):
                start, stop = b * rows, min((b + 1) * rows, n)
                totals[b] = kernels.sum_clusters(
                    self._X, self._weight, self._labels, wide, start, stop, sums[b], counts[b]
                )

        run_blocks(task, n_blocks, self._threads)
        self.sums, self._counts = sums.sum(axis=0), counts.sum(axis=0)
        self._growth = float(totals.sum())
        self._peak = self._growth
        self._reference = wide

    def _settle(self, centers: NDArray, ties: TieRule) -> None:
        """Let true ties fall as `ties` says."""
        nearest = self._labels.copy()

        def task(worker: int, first: int, last: int) -> None:
            start, stop = self._range(first)[0], self._range(last - 1)[1]
            dense.settle_ties(
                self._X,
                centers,
                ties.mean,
                ties.shifted,
                ties.sq_norms,
                start,
                stop,
                self._labels,
            )

        run_blocks(task, self._n_blocks, self._threads)
        # Their bounds leave out another centre.
        self._bounds.lower[self._labels != nearest] = 0.0


def _power_of_two(some: NDArray) -> float:
    """Factor that brings samples to the order of one, so that float32 has room for products."""
    most = float(np.abs(some).max())
    return 2.0 ** -np.frexp(most)[1] if np.isfinite(most) and most > 0 else 1.0


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
