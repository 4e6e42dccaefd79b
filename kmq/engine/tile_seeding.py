"""k-means++ on samples of some ten features, laid out in tiles."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.potentials import shifted_rows
from kmq.engine.table import Table
from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import tile_seeding as kernels
from kmq.kernels.draws import Book
from kmq.kernels.rows import TILE

_MOST_BLOCKS = 64


class TileFinder:
    """Finds where candidates are closer among samples of some ten features: by looking at all.

    Memory: n · (itemsize · (d + 1) + 10) bytes, the samples once more among them.

    Parameters
    ----------
    table : Table
        The samples.
    mean : (d,)
        What to subtract from the samples, in their own precision.
    book : Book
        Where stretches are called stale.
    """

    def __init__(self, table: Table, mean: NDArray, book: Book) -> None:
        X = table.X
        n, d = X.shape
        n_tiles = -(-n // TILE)
        self._X, self._mean = X, mean
        self._book = book
        self._tiles = kernels.Tiles(
            np.empty((n_tiles, d, TILE), X.dtype),
            np.empty((n_tiles, TILE)),
            np.empty((n_tiles, TILE), X.dtype),
            np.empty((n_tiles, TILE), np.uint16),
        )
        self._points = np.empty((0, d))
        self._threads = n_threads() if n * d >= 100_000 else 1
        self._in_block = -(-n_tiles // _MOST_BLOCKS)

        def fill(worker: int, first: int, last: int) -> None:
            kernels.fill_tiles(X, table.weight, mean, first, last, self._tiles)

        run_blocks(fill, n_tiles, self._threads, grain=64)

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """See `Finder`."""
        return self._tiles.sq_closest.reshape(-1)[: len(self._X)]

    def start(self, first: int | np.intp) -> None:
        """See `Finder`."""
        self._points = shifted_rows(self._X, self._mean, np.array([first]))
        self.lower(0)

    def gains(self, candidates: NDArray[np.intp]) -> NDArray[np.float64]:
        """See `Finder`."""
        self._points = points = shifted_rows(self._X, self._mean, candidates)
        n_blocks = -(-len(self._tiles.weight) // self._in_block)
        gains = np.empty((n_blocks, len(points)))

        def compare(worker: int, first: int, last: int) -> None:
            kernels.candidate_gains(self._tiles, points, self._in_block, first, last, gains)

        run_blocks(compare, n_blocks, self._threads)
        return gains.sum(axis=0)

    def mark(self, some: NDArray[np.intp], rows: NDArray[np.floating]) -> None:
        """See `Finder`."""
        points = self._points[some]

        def compare(worker: int, first: int, last: int) -> None:
            kernels.mark_candidates(self._tiles, points, first, last, rows)

        run_blocks(compare, len(self._tiles.weight), self._threads, grain=64)

    def lower(self, best: int) -> None:
        """See `Finder`."""

        def lower(worker: int, first: int, last: int) -> None:
            kernels.lower_closest(self._tiles, self._points, best, first, last, self._book.stale)

        run_blocks(lower, len(self._tiles.weight), self._threads, grain=64)
