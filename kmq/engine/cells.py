"""Samples of few features, sorted into cells of neighbours."""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import cells as kernels

# Bits of a place on the curve, sorted by in two passes: 2^24 places for at most some 10^5 cells.
_BITS = 24
_ROWS = 1 << 14
# Outliers beyond this many standard deviations share the cells at the border of the grid.
_REACH = 4.0


def build_cells(X: NDArray, weight: NDArray[np.float64]) -> kernels.Cells:
    """Sort samples along a Morton curve and cut them into cells.

    Memory: n · (d · itemsize + 12) bytes; 16 n while sorting, before the samples are copied.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples of at most 24 features, C order, read-only.
    weight : (n,) float64
        Weights of the samples, read-only.

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
    half_sorted = np.empty(n, row_type)
    kernels.sort_pass(places, np.arange(n, dtype=row_type), 0, half_sorted)
    kernels.sort_pass(places, half_sorted, 12, order.reshape(-1)[:n])
    return order


def _grid(X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corner of the grid, and its cells per unit, in each feature."""
    n, d = X.shape
    # A sample of the rows is enough to lay out a grid.
    some = X[:: max(1, n >> 14)].astype(np.float64)
    with np.errstate(all="ignore"):
        mean, spread = some.mean(axis=0), _REACH * some.std(axis=0)
        low = np.fmax(some.min(axis=0), mean - spread)
        width = np.fmin(some.max(axis=0), mean + spread) - low
        scale = 2.0 ** (_BITS // d) / width  # no width, no scale
    scale[~np.isfinite(scale)] = 0.0
    return low, scale
