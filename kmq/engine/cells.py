"""Samples of few features, sorted into cells of neighbours."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import cells as kernels

# Bits of a place on the curve, sorted by in two passes: 2^24 places for at most some 10^5 cells.
_BITS = 24
_ROWS = 1 << 14
# Parts of the rows that are sorted side by side, and rows from which that pays.
_SORTED_PARTS = 8
_THREADED_ROWS = 200_000
# Outliers beyond this many standard deviations share the cells at the border of the grid.
_REACH = 4.0


def build_cells(X: NDArray, weight: NDArray[np.float64]) -> kernels.Cells:
    """Sort samples along a Morton curve and cut them into cells.

    Memory: n · (d · itemsize + 12) bytes; 16 n while sorting, before the samples are copied.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples of at most 24 features, C order, read-only.
    weight : (n,) or (1,) float64
        Weights of the samples, or the one of all; read-only.

    Returns
    -------
    Cells
    """
    n, d = X.shape
    size = kernels.CELL
    n_cells = -(-n // size)
    order = _curve_order(X, n_cells)
    cells = kernels.Cells(
        np.empty((n_cells, d, size), X.dtype),
        np.empty((n_cells, size)),
        order,
        np.empty((n_cells, d)),
        np.empty((n_cells, d)),
        np.empty((n_cells, d + 2)),
    )

    def fill(worker: int, first: int, last: int) -> None:
        kernels.fill_cells(X, weight, cells, first, last)

    run_blocks(fill, n_cells, n_threads(), grain=256)
    return cells


def _curve_order(X: NDArray, n_cells: int) -> NDArray[np.integer]:
    """(n_cells, CELL) rows of X along a Morton curve; those past the last are not set."""
    n, d = X.shape
    low, scale = _grid(X)
    bits = _BITS // d
    places = np.empty(n, np.uint32)
    spread = np.empty(4096, np.uint32)
    kernels.spread_bits(d, spread)

    def place(worker: int, first: int, last: int) -> None:
        start, stop = first * _ROWS, min(last * _ROWS, n)
        kernels.curve_places(X, low, scale, bits, spread, start, stop, places)

    run_blocks(place, -(-n // _ROWS), n_threads(), grain=4)
    row_type = np.int32 if n <= np.iinfo(np.int32).max else np.int64
    order = np.empty((n_cells, kernels.CELL), row_type)
    half, nothing = np.empty(n, row_type), np.empty(0, row_type)
    half_places = np.empty_like(places)
    _sort_pass(places, nothing, 0, half_places, half)
    _sort_pass(half_places, half, 12, places[:0], order.reshape(-1)[:n])
    return order


def _sort_pass(
    places: NDArray[np.uint32],
    order: NDArray,
    shift: int,
    sorted_places: NDArray[np.uint32],
    sorted_order: NDArray,
) -> None:
    """Sort samples by twelve bits of their places, as `kernels.sort_digits`."""
    n = len(places)
    rows = -(-n // _SORTED_PARTS)
    counts = np.empty((_SORTED_PARTS, 4096), np.int64)

    def count(worker: int, first: int, last: int) -> None:
        for part in range(first, last):
            kernels.count_digits(places, shift, part * rows, (part + 1) * rows, counts[part])

    def sort(worker: int, first: int, last: int) -> None:
        for part in range(first, last):
            start, stop = part * rows, (part + 1) * rows
            kernels.sort_digits(
                places, order, shift, start, stop, begins[part], sorted_places, sorted_order
            )

    threads = n_threads() if n >= _THREADED_ROWS else 1
    run_blocks(count, _SORTED_PARTS, threads)
    # Equal bits stay in the order of the parts.
    ends = counts.T.cumsum().reshape(4096, _SORTED_PARTS)
    begins = np.ascontiguousarray((ends - counts.T).T)
    run_blocks(sort, _SORTED_PARTS, threads)


def _grid(X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corner of the grid, and its cells per unit, in each feature."""
    n, d = X.shape
    # A sample of the rows is enough to lay out a grid.
    some = np.array(X[:: max(1, n >> 14)].T, np.float64, order="C")
    with np.errstate(all="ignore"):
        mean, spread = some.mean(axis=1), _REACH * some.std(axis=1)
        low = np.fmax(some.min(axis=1), mean - spread)
        width = np.fmin(some.max(axis=1), mean + spread) - low
        scale = 2.0 ** (_BITS // d) / width  # no width, no scale
    scale[~np.isfinite(scale)] = 0.0
    return low, scale
