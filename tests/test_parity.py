"""Seed for seed the same clusters as scikit-learn: labels, iterations, centres, inertia.

A moderate set that any build must pass; ``python -m benchmarks.parity`` measures the large one.
"""

import numpy as np
import pytest
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.cluster import kmeans_plusplus as sklearn_kmeans_plusplus
from sklearn.datasets import load_sample_image, make_blobs

from kmq import KMeans, kmeans_plusplus


def assert_same_fit(X, k, seed=0, weight=None, rtol=1e-9, **params):
    ours = KMeans(k, random_state=seed, **params).fit(X, sample_weight=weight)
    theirs = SklearnKMeans(k, random_state=seed, **params).fit(X, sample_weight=weight)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    assert ours.labels_.dtype == theirs.labels_.dtype
    assert ours.cluster_centers_.dtype == theirs.cluster_centers_.dtype
    size = float(np.abs(X).max())
    np.testing.assert_allclose(
        ours.cluster_centers_, theirs.cluster_centers_, rtol=rtol, atol=rtol * size
    )
    np.testing.assert_allclose(ours.inertia_, theirs.inertia_, rtol=rtol, atol=1e-20 * size**2)
    return ours


def blobs(n, d, centers, seed):
    return make_blobs(n, d, centers=centers, cluster_std=2.0, random_state=seed)[0]


def first_rows(X, k, random_state):
    return X[random_state.permutation(len(X))[:k]]


# Below and above the sizes at which seeding and threads change their ways.
shapes = pytest.mark.parametrize(
    ("n", "d", "k"),
    [(150, 4, 3), (1000, 1, 5), (3000, 40, 8), (5000, 2, 50), (8193, 5, 12), (20_000, 3, 32)],
)
seeds = pytest.mark.parametrize("seed", range(3))


@shapes
@seeds
def test_blobs(n, d, k, seed):
    assert_same_fit(blobs(n, d, k, seed), k, seed)


@shapes
@seeds
def test_noise(n, d, k, seed):
    assert_same_fit(np.random.default_rng(seed).random((n, d)), k, seed)


@seeds
@pytest.mark.parametrize(("n", "d", "k"), [(150, 4, 3), (2000, 8, 6), (9000, 3, 6)])
def test_single_precision(n, d, k, seed):
    X = blobs(n, d, k, seed).astype(np.float32)
    assert_same_fit(X, k, seed, rtol=1e-4)


@seeds
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float16, bool])
@pytest.mark.parametrize(("levels", "d", "k"), [(6, 3, 12), (2, 10, 7), (40, 1, 9)])
def test_grids_and_duplicates_tie_alike(dtype, levels, d, k, seed):
    X = np.random.default_rng(seed).integers(0, levels, (1500, d)).astype(dtype)
    assert_same_fit(X, min(k, len(np.unique(X, axis=0))), seed)


@seeds
@pytest.mark.parametrize("n_init", [1, 3])
@pytest.mark.parametrize("init", ["k-means++", "random", first_rows])
def test_starts_and_restarts(init, n_init, seed):
    assert_same_fit(blobs(800, 3, 9, seed), 9, seed, init=init, n_init=n_init)


@seeds
@pytest.mark.parametrize("params", [{"max_iter": 2}, {"tol": 0}, {"tol": 0.1}, {"max_iter": 1}])
def test_stopping_rules(params, seed):
    assert_same_fit(blobs(800, 3, 9, seed), 9, seed, **params)


@seeds
def test_array_start_elkan_and_one_cluster(seed):
    X = blobs(800, 3, 9, seed)
    assert_same_fit(X, 9, init=X[:9])
    assert_same_fit(X, 9, seed, algorithm="elkan")
    assert_same_fit(X, 1, seed)


@seeds
@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("kind", ["real", "whole", "mostly zero"])
def test_weights(kind, init, seed):
    rng = np.random.default_rng(seed)
    weight = {
        "real": rng.random(800),
        "whole": rng.integers(1, 9, 800),
        "mostly zero": (rng.random(800) < 0.2).astype(float),
    }[kind]
    assert_same_fit(blobs(800, 3, 7, seed), 7, seed, weight, init=init)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_photos(name, seed):
    assert_same_fit(load_sample_image(name)[::2, ::2].reshape(-1, 3), 16, seed)


@pytest.mark.parametrize(("name", "k"), [("s1", 15), ("letter_recognition", 26), ("dim128", 16)])
def test_tables(shared_dir, name, k):
    path = shared_dir / "data" / "tables" / f"{name}.txt"
    d = int(path.read_text().split(maxsplit=2)[1])
    assert_same_fit(np.loadtxt(path, skiprows=1)[:, :d], k)


def test_empty_clusters_are_relocated_alike():
    X = blobs(500, 2, 3, 0)
    start = np.vstack([X[:2], np.full((4, 2), 1e3)])
    assert_same_fit(X, 6, init=start)


def test_one_random_state_serves_many_fits():
    X = blobs(500, 3, 5, 0)
    ours, theirs = np.random.RandomState(3), np.random.RandomState(3)
    for init in ("k-means++", "random", "k-means++"):
        ours_fit = KMeans(5, init=init, n_init=2, random_state=ours).fit(X)
        theirs_fit = SklearnKMeans(5, init=init, n_init=2, random_state=theirs).fit(X)
        np.testing.assert_array_equal(ours_fit.labels_, theirs_fit.labels_)
    assert ours.randint(1 << 30) == theirs.randint(1 << 30)


@seeds
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("n", [100, 9000])
@pytest.mark.parametrize("trials", [None, 1, 5])
def test_kmeans_plusplus(n, dtype, trials, seed):
    X = (10 * blobs(n, 3, 8, seed)).astype(dtype)
    weight = np.random.default_rng(seed).random(n)
    for w in (None, weight):
        options = {"random_state": seed, "n_local_trials": trials, "sample_weight": w}
        centers, indices = kmeans_plusplus(X, 8, **options)
        expected_centers, expected_indices = sklearn_kmeans_plusplus(X, 8, **options)
        np.testing.assert_array_equal(indices, expected_indices)
        np.testing.assert_array_equal(centers, expected_centers)
        assert centers.dtype == expected_centers.dtype
