"""k-means++ on samples of some ten features, laid out in tiles."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.rounds import Finder
from kmq.engine.table import Table
from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import tile_seeding as kernels
from kmq.kernels.draws import Book
from kmq.kernels.rounds import Copies
from kmq.kernels.rows import TILE

# Blocks of a task, of so many tiles at least.
_MOST_BLOCKS, _TILES = 64, 16
# Values from which on a round is worth more than one thread.
_THREADED_VALUES = 50_000


def tile_finder(
    table: Table, mean: NDArray, book: Book, copies: Copies | None, trials: int
) -> Finder:
    """Find where candidates are closer among samples of some ten features: by looking at all.

    Memory: n · (d · itemsize + 10) bytes, the samples once more among them. Parameters as for
    `cell_finder`.
    """
    X = table.X
    n, d = X.shape
    n_tiles = -(-n // TILE)
    tiles = kernels.Tiles(
        np.empty((n_tiles, d, TILE), X.dtype),
        np.empty((n_tiles, TILE)),
        book.sq_closest[: n_tiles * TILE].reshape(n_tiles, TILE),
        np.empty((n_tiles, TILE), np.uint16),
    )
    threaded = n * d >= _THREADED_VALUES

    def fill(worker: int, first: int, last: int) -> None:
        kernels.fill_tiles(X, table.weight, mean, first, last, tiles)

    run_blocks(fill, n_tiles, n_threads() if threaded else 1, grain=64)
    return Finder(
        kernels.work_off,
        (tiles,),
        shift=lambda rows: table.shifted(rows, mean),
        shape=(trials, d),
        book=book,
        copies=copies,
        trials=trials,
        most_blocks=min(_MOST_BLOCKS, -(-n_tiles // _TILES)),
        threaded=threaded,
    )
