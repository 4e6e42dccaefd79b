"""Greedy k-means++ on distinct colours, drawing what it would draw on the pixels."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.color_step import ColorCells
from kmq.engine.threads import run_blocks
from kmq.kernels import color_seeding as kernels
from kmq.kernels.colors import CELL, GROUP


class ColorPotential:
    """Squared distances of colours to the closest centre so far, with their weighted sum.

    All sums are exact. Where the colours know their pixels, draws run over these, in their
    order; else over the colours, by their weights.

    Parameters
    ----------
    cells : ColorCells
        The colours.
    threads : int
        The most threads to use.
    """

    def __init__(self, cells: ColorCells, threads: int) -> None:
        self._shared = cells
        self._threads = threads
        n_cells, n_groups = len(cells.cells.radius), len(cells.groups.radius)
        self._n_groups = n_groups
        self._closest = kernels.Closest(
            np.full((n_cells, CELL), kernels.UNSEEN, np.int32),
            np.full(n_cells, np.inf),
            np.full(n_groups, np.inf),
            np.zeros(n_groups, np.int64),
        )
        if cells.colors.index is not None:
            n = len(cells.colors.index)
            self._rows = max(256, 1 << (n.bit_length() // 2))
            self._totals = np.zeros(-(-n // self._rows), np.int64)

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._add(int(self._shared.color_rows(np.array([first]))[0]))

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        shared = self._shared
        rows = shared.color_rows(candidates)
        gained = np.zeros((self._threads, len(rows)), np.int64)

        def task(worker: int, start: int, stop: int) -> None:
            kernels.gains(
                shared.cells,
                shared.groups,
                self._closest,
                shared.colors.colors[rows],
                start,
                stop,
                gained[worker],
            )

        run_blocks(task, self._n_groups, self._threads)
        best = int(np.argmax(gained.sum(axis=0)))
        self._add(int(rows[best]))
        return candidates[best]

    def _add(self, row: int) -> None:
        """Let a colour join the centres."""
        shared = self._shared
        center = shared.colors.colors[row]

        def task(worker: int, start: int, stop: int) -> None:
            kernels.add_center(shared.cells, shared.groups, center, start, stop, self._closest)

        run_blocks(task, self._n_groups, self._threads)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        colors = self._shared.colors
        sq_dist = self._closest.sq_dist.reshape(-1)
        if colors.index is None:
            totals, rows, n = self._closest.potential, GROUP * CELL, len(colors.colors)
        else:
            totals, rows, n = self._totals, self._rows, len(colors.index)
            self._sum_pixels(sq_dist)
        reached = np.cumsum(totals)
        drawn = np.empty(len(uniform), np.intp)
        for t, target in enumerate(uniform * reached[-1]):
            run = min(int(np.searchsorted(reached, target)), len(totals) - 1)
            rest = target - (reached[run - 1] if run else 0)
            start, stop = run * rows, min((run + 1) * rows, n)
            if colors.index is None:
                drawn[t] = kernels.find_color(colors.counts, sq_dist, start, stop, rest)
            else:
                drawn[t] = kernels.find_pixel(
                    colors.index, self._shared.row_weight, sq_dist, start, stop, rest
                )
        return drawn

    def _sum_pixels(self, sq_dist: NDArray[np.int32]) -> None:
        """Bring the sums over runs of pixels up to date."""
        index, weight = self._shared.colors.index, self._shared.row_weight

        def task(worker: int, start: int, stop: int) -> None:
            kernels.row_totals(index, weight, sq_dist, self._rows, start, stop, self._totals)

        threads = self._threads if len(self._totals) > 256 else 1
        run_blocks(task, len(self._totals), threads)
