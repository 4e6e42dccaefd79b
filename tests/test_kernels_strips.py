"""Rows of any number of features, as vectors."""

import numpy as np
import pytest

from kmq.kernels.jit import kernel
from kmq.kernels.strips import LEAST_FEATURES, add_row, add_sq_row, gather_tile

FEATURES = [*range(1, 20), 28, 31, 32, 35]
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@kernel
def _gather(X, rows, at, shift, tile):
    gather_tile(X, rows, np.int64(at), shift, tile)


@kernel
def _add(X, i, weight, points, j, sums, totals):
    add_row(X, i, weight, sums, j)
    add_sq_row(X, i, weight, points, j, totals, j)


@dtypes
@pytest.mark.parametrize("d", [d for d in FEATURES if d >= LEAST_FEATURES])
def test_tiles_hold_the_samples_asked_for_less_the_shift(d, dtype, rng):
    X = rng.standard_normal((40, d)).astype(dtype)
    rows = rng.integers(40, size=40).astype(np.uint64)
    shift = rng.standard_normal(d).astype(dtype)
    tile = np.full((d, 16), np.nan, np.float32)
    _gather(X, rows, 7, shift, tile)
    np.testing.assert_array_equal(tile, (X[rows[7:23]] - shift).astype(np.float32).T)


@dtypes
@pytest.mark.parametrize("d", FEATURES)
def test_rows_and_their_squares_are_added_feature_by_feature(d, dtype, rng):
    X, points = rng.standard_normal((5, d)).astype(dtype), rng.standard_normal((3, d))
    sums, totals = rng.standard_normal((2, 3, d))
    expected, squares = sums.copy(), totals.copy()
    expected[1] += 0.3 * X[4].astype(float)
    squares[1] += 0.3 * (X[4].astype(float) - points[1]) ** 2
    _add(X, 4, 0.3, points, 1, sums, totals)
    np.testing.assert_array_equal(sums, expected)
    np.testing.assert_array_equal(totals, squares)
