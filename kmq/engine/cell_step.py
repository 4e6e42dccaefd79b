"""The step for few features: centres filtered for cells of neighbouring samples."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.cells import build_cells
from kmq.engine.dense import BlockStep
from kmq.engine.threads import n_threads, run_blocks
from kmq.engine.ties import TieRule
from kmq.kernels import cells as kernels

_MOST_BLOCKS = 32
# Where all weight of a cluster is subtracted, rounding leaves a smaller share than this.
_NOTHING = 1e-9
_NO_DOUBT = np.zeros((0, kernels.CELL), np.bool_)


class CellStep(BlockStep):
    """Lloyd's iteration that looks, in each cell, at the centres that can be nearest there.

    Labels are those of `DenseStep`, from the same arithmetic; the sums add whole cells by their
    moments. Memory: n · (d · itemsize + 20) bytes for cells and labels, and at most
    32 · k · (d + 2) float64 for the sums of the blocks. Parameters as for `SampleStep`, and the
    cells of the samples, where there are some already.
    """

    def __init__(
        self,
        X: NDArray,
        weight: NDArray[np.float64],
        k: int,
        cells: kernels.Cells | None = None,
    ) -> None:
        self.cells = build_cells(X, weight) if cells is None else cells
        n_bundles = -(-len(self.cells.mid) // kernels.BUNDLE)
        n_blocks = max(1, min(_MOST_BLOCKS, n_bundles // 2, len(X) // (4 * k)))
        self._bundles = -(-n_bundles // n_blocks)
        self._n_cell_blocks = -(-n_bundles // self._bundles)
        self._cell_threads = n_threads() if len(X) >= 50_000 else 1
        self._cell_sums = np.empty((self._n_cell_blocks, k, X.shape[1] + 2))
        super().__init__(X, weight, k)
        n_cells, size = self.cells.weight.shape
        self._cell_labels = np.full((n_cells, size), -1, np.int32)
        self._owners = np.full(n_cells, -1, np.int32)
        self._labels = np.empty(0, np.int32)
        self._spread = False

    @property
    def labels(self) -> NDArray[np.int32]:
        """(n,) labels in the order of the samples, written out when asked for."""
        if not self._spread:
            self._labels = np.empty(len(self._X), np.int32)

            def spread(worker: int, first: int, last: int) -> None:
                kernels.spread_labels(
                    self.cells, self._cell_labels, self._owners, first, last, self._labels
                )

            run_blocks(spread, len(self._owners), self._cell_threads, grain=256)
            self._spread = True
        return self._labels

    def _assign_cells(
        self, centers: NDArray, doubtful: NDArray[np.bool_], reach: float = 0.0, doubt: float = 0.0
    ) -> bool:
        """Assign all cells, and mark doubtful samples; True if a label changed."""
        changed = np.zeros(self._n_cell_blocks, np.int64)
        rows = self._bundles * kernels.BUNDLE
        dims = (0,) * centers.shape[1]

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                changed[block] = kernels.assign_cells(
                    self.cells,
                    centers,
                    dims,
                    block * rows,
                    min((block + 1) * rows, len(self._owners)),
                    self._cell_labels,
                    self._owners,
                    self._cell_sums[block],
                    reach,
                    doubt,
                    doubtful,
                )

        run_blocks(task, self._n_cell_blocks, self._cell_threads)
        self._spread = False
        return bool(changed.any())

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        if ties is None:
            changed = self._assign_cells(centers, _NO_DOUBT)
            sums = self._cell_sums.sum(axis=0)
        else:
            doubtful = np.zeros(self._cell_labels.shape, np.bool_)
            changed = self._assign_cells(centers, doubtful, ties.reach, ties.slack)
            sums = self._cell_sums.sum(axis=0)
            self._settle_cells(centers, ties, doubtful, sums)
        self.counts, self._sq_totals, self.sums = sums[:, 0], sums[:, 1], sums[:, 2:]
        return changed

    def _settle_cells(
        self, centers: NDArray, ties: TieRule, doubtful: NDArray[np.bool_], sums: NDArray
    ) -> None:
        """Let near-ties fall as `ties` says, and book the samples that move in `sums`."""
        places = np.flatnonzero(doubtful.reshape(-1)[: len(self._X)])
        rows = self.cells.order.reshape(-1)[places].astype(np.intp)
        labels = self._cell_labels.reshape(-1)
        before = labels[places]
        after = ties.settle(self._X, rows, before)
        moved = before != after
        if not moved.any():
            return
        labels[places] = after
        if self._owners[-1] < 0:
            # What fills up the last cell repeats its last sample.
            labels[len(self._X) :] = labels[len(self._X) - 1]
        self._spread = False
        whole = sums[:, 0].copy()
        X, weight = self._X[rows[moved]].astype(np.float64), self._weight[rows[moved]]
        for own, add in ((before[moved], np.subtract.at), (after[moved], np.add.at)):
            sq_dist = np.square(X - centers[own]).sum(axis=1)
            moments = np.column_stack([np.ones(len(X)), sq_dist, X])
            add(sums, own, weight[:, np.newaxis] * moments)
        if (sums[:, 0] > _NOTHING * whole).all():
            return
        # What is left of subtracted weights must not pass for a member.
        members = self.labels[self._weight > 0]
        sums[np.bincount(members, minlength=len(sums)) == 0] = 0.0

    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""
        self._assign_cells(centers, _NO_DOUBT)

    def n_filled(self) -> int:
        """See `Step`."""
        weighing = (self._cell_sums[:, :, 0].sum(axis=0) > 0).all()
        return self._k if weighing else super().n_filled()

    def assigned_inertia(self) -> float:
        """See `Step`."""
        return float(self._sq_totals.sum())
