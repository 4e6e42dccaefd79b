"""Products of tiles: what the vectors hold, and how far rounding goes."""

import numpy as np
import pytest

from kmq.kernels.jit import kernel
from kmq.kernels.products import BLOCK, STRETCH, WIDTH, fill_tile, multiply, nearest
from kmq.kernels.rows import LANES


@kernel
def fill(X, rows, shift, scale, tile, sq):
    for at in range(WIDTH, 2 * WIDTH, LANES):
        fill_tile(X, rows, np.int64(at), shift, scale, tile, sq)


@kernel
def product(tile, packed, scores):
    for block in range(packed.shape[0]):
        multiply(tile, packed, np.int64(block), scores)


@kernel
def scan(scores, halves, first, last, found):
    nearest(scores, halves, np.int64(first), np.int64(last), found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [16, 37, 160])
def test_a_tile_holds_the_samples_side_by_side(d, dtype, rng):
    X = rng.standard_normal((50, d)).astype(dtype)
    rows = rng.integers(50, size=2 * WIDTH + LANES)
    shift = rng.standard_normal(d).astype(dtype)
    tile = np.full((d, WIDTH), 7, np.float32)
    sq = np.empty(WIDTH, np.float32)
    fill(X, rows, shift, dtype(0.25), tile, sq)
    whole = d // LANES * LANES
    expected = ((X[rows[WIDTH : 2 * WIDTH]] - shift) * dtype(0.25)).astype(np.float32).T
    np.testing.assert_array_equal(tile[:whole], expected[:whole])
    assert (tile[whole:] == 7).all()
    np.testing.assert_allclose(sq, np.square(expected[:whole].astype(float)).sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize("d", [1, 63, 64, 65, 200])
def test_products_keep_to_their_bound(d, rng):
    tile = rng.standard_normal((d, WIDTH)).astype(np.float32)
    packed = rng.standard_normal((3, d, BLOCK)).astype(np.float32)
    scores = np.empty((3 * BLOCK, WIDTH), np.float32)
    product(tile, packed, scores)
    centers = packed.transpose(0, 2, 1).reshape(-1, d).astype(float)
    exact = centers @ tile.astype(float)
    bound = (min(d, STRETCH) + d / STRETCH + 2) * 2.0**-24 * (abs(centers) @ abs(tile))
    assert (abs(scores - exact) <= bound).all()


def test_the_least_two_and_the_first_of_equals(rng):
    scores = rng.integers(-4, 5, (23, WIDTH)).astype(np.float32)
    halves = rng.integers(0, 4, 23).astype(np.float32)
    for first, last in ((0, 23), (5, 6), (7, 7), (3, 20)):
        found = np.empty((3, WIDTH), np.float32)
        scan(scores, halves, first, last, found)
        values = (halves[:, np.newaxis] - scores)[first:last]
        best = np.full((2, WIDTH), np.inf)
        best[: min(2, last - first)] = np.sort(values, axis=0)[:2]
        np.testing.assert_array_equal(found[:2], best)
        if last > first:
            np.testing.assert_array_equal(found[2], values.argmin(axis=0))


def test_what_is_no_number_is_never_nearest():
    scores = np.zeros((3, WIDTH), np.float32)
    scores[1] = np.nan
    found = np.empty((3, WIDTH), np.float32)
    scan(scores, np.ones(3, np.float32), 0, 3, found)
    assert (found[0] == 1).all()
    assert (found[2] == 0).all()
