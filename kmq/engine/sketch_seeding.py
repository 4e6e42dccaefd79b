"""k-means++ on samples of many features: a sketch in eight bits prunes what is compared."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.rounds import Finder
from kmq.engine.table import Table
from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import sketch
from kmq.kernels import sketch_seeding as kernels
from kmq.kernels.draws import Book
from kmq.kernels.rounds import Copies

# Blocks of a task, of so many tiles at least.
_MOST_BLOCKS, _TILES = 64, 16
# Values from which on a round is worth more than one thread.
_THREADED_VALUES = 100_000
# Samples that lie closer together are not told apart by a sketch.
_LEAST_WIDTH = 1e-100


def sketch_finder(
    table: Table, mean: NDArray, book: Book, copies: Copies | None, trials: int
) -> Finder:
    """Find where candidates are closer among samples of many features.

    Memory: n · (d + 10) bytes, n · itemsize for each candidate of a round, and 8 n for weights in
    float64 where they are not. Parameters as for `cell_finder`.
    """
    X = table.X
    n, d = X.shape
    n_tiles = -(-n // sketch.TILE)
    some = (X[:: max(1, n >> 10)] - mean).astype(np.float64)
    middle = some.mean(axis=0)
    some -= middle
    most = float(max(some.max(), -some.min()))
    step = most / 127 if np.isfinite(most) and most > _LEAST_WIDTH else 1.0
    by_fours = np.minimum(np.arange(-(-trials // sketch.FOUR) * sketch.FOUR), trials - 1)
    field = kernels.Field(
        X,
        mean,
        table.wide_weight,
        np.empty((trials, n), X.dtype),
        np.empty((n_tiles, sketch.TILE), np.uint16),
        np.empty((n_tiles, d, sketch.TILE), np.int8),
        np.empty((n_tiles, sketch.TILE), np.float32),
        np.empty((n_tiles, sketch.TILE), np.float32),
        np.empty((len(by_fours), d), np.float32),
        np.array([step]),
    )
    threaded = n * d >= _THREADED_VALUES

    def lay_out(worker: int, first: int, last: int) -> None:
        sketch.round_samples(X, mean, middle, step, first, last, field.sketch, field.moved)

    def shift(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        points = table.shifted(rows[by_fours], mean)
        sketch.round_points(points, middle, step, field.rounded)
        return points

    run_blocks(lay_out, n_tiles, n_threads() if threaded else 1, grain=16)
    return Finder(
        kernels.work_off,
        (field,),
        shift=shift,
        shape=(len(by_fours), d),
        book=book,
        copies=copies,
        trials=trials,
        most_blocks=min(_MOST_BLOCKS, -(-n_tiles // _TILES)),
        threaded=threaded,
    )
