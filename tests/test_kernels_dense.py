"""The kernels of brute force against the NumPy specification."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmq import reference
from kmq.engine.sample_step import column_mean, mean_variance
from kmq.kernels import dense

FEATURES = {"narrow": [1, 3], "wide": [1, 2, 17, 40]}
# The sizes of tiles, and one off.
SIZES = [1, 2, 63, 64, 65, 255, 256, 257, 300]
kernels = pytest.mark.parametrize("kernel", FEATURES)
quick = settings(deadline=None, max_examples=60)


@st.composite
def problems(draw, features):
    """Samples, weights and centres; on a grid half the time, where ties are everywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.sampled_from(SIZES)), draw(st.sampled_from(features))
    k = draw(st.integers(1, 12))
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    if draw(st.booleans()):
        X, centers = rng.integers(0, 4, (n, d)), rng.integers(0, 4, (k, d))
    else:
        X, centers = rng.normal(size=(n, d)), rng.normal(size=(k, d))
    X, weight = X.astype(dtype), rng.integers(0, 4, n).astype(float)
    for array in (X, weight):
        array.flags.writeable = False
    start = draw(st.integers(0, n - 1))
    return X, weight, centers.astype(dtype), start, draw(st.integers(start + 1, n))


def assign(kernel, X, centers, start, stop, labels, sq_dist):
    if kernel == "narrow":
        dims = (0,) * X.shape[1]
        return dense.assign_narrow(X, centers, dims, start, stop, labels, sq_dist)
    tiles = np.empty((-(-(stop - start) // 16), X.shape[1], 16), X.dtype)
    dense.fill_tiles(X, start, stop, tiles)
    second = np.empty_like(sq_dist)
    return dense.assign_tiles(tiles, centers, start, stop, labels, sq_dist, second)


@kernels
@quick
@given(data=st.data())
def test_assign(kernel, data):
    X, _, centers, start, stop = data.draw(problems(FEATURES[kernel]))
    labels = np.full(len(X), -1, np.int32)
    sq_dist = np.full(len(X), -1, X.dtype)
    changed = assign(kernel, X, centers, start, stop, labels, sq_dist)
    inside = slice(start, stop)
    assert changed == stop - start
    assert (np.delete(labels, np.arange(start, stop)) == -1).all()
    assert (np.delete(sq_dist, np.arange(start, stop)) == -1).all()

    chosen = ((X[inside] - centers[labels[inside]]).astype(float) ** 2).sum(axis=1)
    rtol = 1e-5 if X.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(sq_dist[inside], chosen, rtol=rtol, atol=1e-30)
    expected = reference.assign(X[inside], centers)
    if (np.rint(X) == X).all() or X.dtype == np.float64:
        np.testing.assert_array_equal(labels[inside], expected)
    nearest = ((X[inside] - centers[expected]).astype(float) ** 2).sum(axis=1)
    np.testing.assert_allclose(chosen, nearest, rtol=rtol, atol=1e-30)
    assert assign(kernel, X, centers, start, stop, labels, sq_dist) == 0


@quick
@given(data=st.data())
def test_both_kernels_agree_to_the_bit(data):
    X, _, centers, start, stop = data.draw(problems(FEATURES["narrow"]))
    found = []
    for kernel in FEATURES:
        labels, sq_dist = np.zeros(len(X), np.int32), np.zeros(len(X), X.dtype)
        changed = assign(kernel, X, centers, start, stop, labels, sq_dist)
        found.append((labels, sq_dist, changed))
    for narrow, wide in zip(*found, strict=True):
        np.testing.assert_array_equal(narrow, wide)


@quick
@given(data=st.data())
def test_tiles_tell_the_second_nearest(data):
    X, _, centers, start, stop = data.draw(problems(FEATURES["wide"]))
    tiles = np.empty((-(-(stop - start) // 16), X.shape[1], 16), X.dtype)
    dense.fill_tiles(X, start, stop, tiles)
    sq_dist, second = np.empty((2, len(X)), X.dtype)
    labels = np.empty(len(X), np.int32)
    dense.assign_tiles(tiles, centers, start, stop, labels, sq_dist, second)
    sq = ((X[start:stop, np.newaxis] - centers).astype(float) ** 2).sum(axis=2)
    expected = np.sort(np.column_stack([sq, np.full(len(sq), np.inf)]), axis=1)[:, 1]
    np.testing.assert_allclose(second[start:stop], expected, rtol=1e-5)


@quick
@given(data=st.data())
def test_sums_counts_and_inertia(data):
    X, weight, centers, start, stop = data.draw(problems(FEATURES["wide"]))
    k = len(centers)
    labels = np.arange(len(X), dtype=np.int32) % k
    inside = slice(start, stop)
    sums, counts = np.full((k, X.shape[1]), np.nan), np.full(k, np.nan)
    dense.accumulate(X, weight, labels, start, stop, sums, counts)
    expected = reference.update(X[inside], weight[inside], labels[inside], k)
    np.testing.assert_allclose(sums, expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(counts, expected[1])

    total = dense.inertia(X, weight, centers, labels, start, stop)
    expected = reference.inertia(X[inside], weight[inside], centers, labels[inside])
    np.testing.assert_allclose(total, expected, rtol=1e-12)
    np.testing.assert_allclose(
        dense.weighted_total(weight, X[:, 0], start, stop),
        np.dot(weight[inside], X[inside, 0].astype(float)),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(90_001, 2), (70_000, 3), (20_001, 16), (9000, 32), (9000, 40)])
def test_means_and_variances_are_those_of_numpy_to_the_bit(shape, dtype, rng):
    X = (rng.standard_normal(shape) + 100.0).astype(dtype)
    X.flags.writeable = False
    mean = column_mean(X)
    np.testing.assert_array_equal(mean, X.mean(axis=0))
    assert mean.dtype == dtype
    assert mean_variance(X, mean) == X.var(axis=0).mean()
    column = X[:, :1].copy()
    np.testing.assert_array_equal(column_mean(column), column.mean(axis=0))
