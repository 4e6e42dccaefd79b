"""The step for few features: centres filtered for cells of neighbouring samples."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.cells import build_cells
from kmq.engine.dense import BlockStep
from kmq.engine.steps import TieRule
from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import cells as kernels

_MOST_BLOCKS = 32


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

    def _assign_cells(self, centers: NDArray) -> bool:
        """Assign all cells; True if a label changed."""
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
                )

        run_blocks(task, self._n_cell_blocks, self._cell_threads)
        self._spread = False
        return bool(changed.any())

    def assign(self, centers: NDArray, ties: TieRule | None = None) -> bool:
        """See `Step`."""
        changed = self._assign_cells(centers)
        sums = self._cell_sums.sum(axis=0)
        if ties is not None:
            kernels.settle_cells(
                self.cells,
                centers,
                ties.mean,
                ties.shifted,
                ties.sq_norms,
                self._cell_labels,
                self._owners,
                sums,
            )
            # What is left of subtracted weights must not pass for a member.
            members = self.labels[self._weight > 0]
            sums[np.bincount(members, minlength=len(sums)) == 0] = 0.0
        self.counts, self._sq_totals, self.sums = sums[:, 0], sums[:, 1], sums[:, 2:]
        return changed

    def relabel(self, centers: NDArray) -> None:
        """See `Step`."""
        self._assign_cells(centers)

    def n_filled(self) -> int:
        """See `Step`."""
        weighing = (self._cell_sums[:, :, 0].sum(axis=0) > 0).all()
        return self._k if weighing else super().n_filled()

    def assigned_inertia(self) -> float:
        """See `Step`."""
        return float(self._sq_totals.sum())
