"""k-means++ on samples in cells: a candidate is compared only where it can come closest."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.rounds import Finder
from kmq.engine.table import Table
from kmq.kernels import cell_seeding as kernels
from kmq.kernels.cells import BUNDLE
from kmq.kernels.draws import Book
from kmq.kernels.rounds import Copies

_MOST_BLOCKS = 32
# Cells from which on a round is worth more than one thread.
_THREADED_CELLS = 1000


def cell_finder(
    table: Table, mean: NDArray, book: Book, copies: Copies | None, trials: int
) -> Finder:
    """Find where candidates are closer among samples of few features.

    Memory: n · itemsize bytes beside the cells, and 8 n for weights in float64 where they are not.

    Parameters
    ----------
    table : Table
        The samples.
    mean : (d,)
        What to subtract from the samples, in their own precision.
    book : Book
        Where losses are booked.
    copies : Copies, optional
        Squared distances to be copied, in float32.
    trials : int
        Candidates a round.
    """
    cells = table.cells
    n_cells, size = cells.weight.shape
    boxes = np.empty((2, 2, n_cells, table.X.shape[1]))
    kernels.place_boxes(cells, mean, boxes[0], boxes[1])
    closest = kernels.Closest(
        mean,
        boxes[0],
        boxes[1],
        np.full((n_cells, size), np.inf, table.X.dtype),
        np.full((2, n_cells), np.inf, table.X.dtype),
    )
    return Finder(
        kernels.work_off,
        (cells, closest),
        shift=lambda rows: table.shifted(rows, mean),
        shape=(trials, table.X.shape[1]),
        book=book,
        copies=copies,
        trials=trials,
        most_blocks=min(_MOST_BLOCKS, -(-n_cells // BUNDLE)),
        threaded=n_cells >= _THREADED_CELLS,
    )
