"""k-means++ on samples of many features: a sketch in eight bits prunes what is compared."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kmq.engine.potentials import STALE_ROUNDS, shifted_rows
from kmq.engine.table import Table
from kmq.engine.threads import run_blocks
from kmq.kernels import sketch
from kmq.kernels import sketch_seeding as kernels
from kmq.kernels.draws import Book

_MOST_BLOCKS = 64
# Samples that lie closer together are not told apart by a sketch.
_LEAST_WIDTH = 1e-100


class SketchFinder:
    """Finds where candidates are closer among samples of many features.

    Memory: n · (d + 10 + itemsize) bytes, n · itemsize for each candidate of a round, and 8 n for
    weights in float64 where they are not.

    Parameters
    ----------
    table : Table
        The samples.
    mean : (d,)
        What to subtract from the samples, in their own precision.
    book : Book
        Where losses are booked.
    """

    def __init__(self, table: Table, mean: NDArray, book: Book) -> None:
        X = table.X
        n, d = X.shape
        n_tiles = -(-n // sketch.TILE)
        some = (X[:: max(1, n >> 10)] - mean).astype(np.float64)
        self._middle = some.mean(axis=0)
        most = float(np.abs(some - self._middle).max())
        step = most / 127 if np.isfinite(most) and most > _LEAST_WIDTH else 1.0
        self._field = kernels.Field(
            X,
            mean,
            table.wide_weight,
            np.empty(n, X.dtype),
            np.zeros((n_tiles, sketch.TILE), np.uint16),
            np.empty((n_tiles, d, sketch.TILE), np.int8),
            np.empty((n_tiles, sketch.TILE), np.float32),
            np.empty((n_tiles, sketch.TILE), np.float32),
            np.array([step]),
        )
        self._book = book
        # Not more than can book; whoever asks again may be told another number.
        self._threads = len(book.fallen) if n * d >= 400_000 else 1
        self._rounds = 0
        self._in_block = -(-n_tiles // _MOST_BLOCKS)
        self._sq_dist = np.empty((0, n), X.dtype)

        def lay_out(worker: int, first: int, last: int) -> None:
            field = self._field
            sketch.round_samples(
                X, mean, self._middle, step, first, last, field.sketch, field.moved
            )

        self._run(lay_out)

    @property
    def sq_closest(self) -> NDArray[np.floating]:
        """See `Finder`."""
        return self._field.sq_closest

    def start(self, first: int | np.intp) -> None:
        """See `Finder`."""
        points = shifted_rows(self._field.X, self._field.mean, np.array([first]))

        def begin(worker: int, first: int, last: int) -> None:
            kernels.start_field(self._field, points, first, last)

        self._run(begin)
        self._book.stale[:] = 1

    def gains(self, candidates: NDArray[np.intp]) -> NDArray[np.float64]:
        """See `Finder`."""
        t = len(candidates)
        if len(self._sq_dist) != t:
            # Only what this round has written is read.
            self._sq_dist = np.empty((t, len(self._field.X)), self._field.X.dtype)
        # The last is repeated up to whole fours.
        by_fours = candidates[np.minimum(np.arange(-(-t // 4) * 4), t - 1)]
        points = shifted_rows(self._field.X, self._field.mean, by_fours)
        rounded = np.empty(points.shape, np.float32)
        sketch.round_points(points, self._middle, self._field.step[0], rounded)
        n_blocks = -(-len(self._field.nearer) // self._in_block)
        gains = np.empty((n_blocks, t))

        def compare(worker: int, first: int, last: int) -> None:
            kernels.candidate_gains(
                self._field, points, rounded, self._in_block, first, last, self._sq_dist, gains
            )

        run_blocks(compare, n_blocks, self._threads)
        return gains.sum(axis=0)

    def mark(self, some: NDArray[np.intp], rows: NDArray[np.floating]) -> None:
        """See `Finder`."""

        def copy(worker: int, first: int, last: int) -> None:
            kernels.mark_candidates(self._field, some, first, last, self._sq_dist, rows)

        self._run(copy)

    def lower(self, best: int) -> None:
        """See `Finder`."""
        books = self._rounds >= STALE_ROUNDS

        def take(worker: int, first: int, last: int) -> None:
            kernels.lower_closest(
                self._field,
                best,
                first,
                last,
                self._sq_dist,
                self._book,
                worker if books else -1,
            )

        self._run(take)
        self._rounds += 1

    def _run(self, task: Callable[[int, int, int], None]) -> None:
        """Run a task over the tiles."""
        run_blocks(task, len(self._field.nearer), self._threads, grain=16)
