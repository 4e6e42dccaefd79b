"""k-means++ on samples of some ten features, laid out in tiles."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.potentials import DoubleDraws, shifted_rows
from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import tile_seeding as kernels
from kmq.kernels.draws import Book
from kmq.kernels.rows import TILE

_MOST_BLOCKS = 64


class TilePotential:
    """The potential of many samples of some ten features: all candidates against all samples.

    Memory: n · (itemsize · (d + 1) + 10) bytes, the samples once more among them.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, C order, read-only.
    weight : (n,)
        Weights of the samples.
    mean : (d,)
        What to subtract from the samples, in their own precision.
    """

    def __init__(self, X: NDArray, weight: NDArray, mean: NDArray) -> None:
        n, d = X.shape
        n_tiles = -(-n // TILE)
        self._X, self._mean = X, mean
        self._tiles = kernels.Tiles(
            np.empty((n_tiles, d, TILE), X.dtype),
            np.empty((n_tiles, TILE)),
            np.empty((n_tiles, TILE), X.dtype),
            np.empty((n_tiles, TILE), np.uint16),
        )
        self._threads = n_threads() if n * d >= 100_000 else 1
        self._in_block = -(-n_tiles // _MOST_BLOCKS)
        self._draws = DoubleDraws(self._tiles.weight.reshape(-1)[:n], self._threads)

        def fill(worker: int, first: int, last: int) -> None:
            kernels.fill_tiles(X, weight, mean, first, last, self._tiles)

        run_blocks(fill, n_tiles, self._threads, grain=64)

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """See `Finder`."""
        return self._tiles.sq_closest.reshape(-1)[: len(self._X)]

    def start(self, first: int | np.intp) -> None:
        """See `Potential`."""
        self._lower(shifted_rows(self._X, self._mean, np.array([first])), 1)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """See `Potential`."""
        return self._draws.draw(uniform, self.sq_closest)

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """See `Potential`."""
        points = shifted_rows(self._X, self._mean, candidates)
        n_blocks = -(-len(self._tiles.weight) // self._in_block)
        gains = np.empty((n_blocks, len(points)))

        def compare(worker: int, first: int, last: int) -> None:
            kernels.candidate_gains(self._tiles, points, self._in_block, first, last, gains)

        run_blocks(compare, n_blocks, self._threads)
        best = int(np.argmax(gains.sum(axis=0)))
        self._lower(points[best : best + 1], 1 << (best & 15))
        return candidates[best]

    def mark(self, candidates: NDArray[np.intp], sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""
        points = shifted_rows(self._X, self._mean, candidates)

        def compare(worker: int, first: int, last: int) -> None:
            kernels.mark_candidates(self._tiles, points, first, last, sq_dist)

        run_blocks(compare, len(self._tiles.weight), self._threads, grain=64)

    def settle(self, best: int, book: Book, sq_dist: NDArray[np.floating]) -> None:
        """See `Finder`."""
        sq_closest, nearer = self._tiles.sq_closest.reshape(-1), self._tiles.nearer.reshape(-1)

        def take(worker: int, first: int, last: int) -> None:
            kernels.settle_candidates(
                sq_closest, nearer, best, first * TILE, last * TILE, book.stale, sq_dist
            )

        run_blocks(take, len(self._tiles.weight), self._threads, grain=64)

    def _lower(self, point: NDArray[np.float64], bit: int) -> None:
        """Let a new centre take its samples."""

        def lower(worker: int, first: int, last: int) -> None:
            kernels.lower_closest(self._tiles, point, bit, first, last, self._draws.book.stale)

        run_blocks(lower, len(self._tiles.weight), self._threads, grain=64)
