"""The NumPy specification itself: against the tutorial's figures, and against its own laws."""

import json

import numpy as np
import pytest
from PIL import Image

from kmq import KMeans, reference

rngs = pytest.mark.parametrize("seed", range(5))


@pytest.fixture(scope="module")
def tutorial(shared_dir):
    seed = shared_dir / "seed"
    with Image.open(seed / "flower.jpg") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    return pixels, json.loads((seed / "expected.json").read_text())


def draw(seed, n=300, d=3, k=7):
    """Samples and centres on a small integer grid, where equal distances are common."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 6, (n, d)), rng.integers(0, 6, (k, d)).astype(float)


@pytest.mark.parametrize("k", [8, 16, 32])
def test_the_tutorial_is_reproduced(tutorial, k):
    X, expected = tutorial
    km = reference.KMeans(k, random_state=expected["random_state"]).fit(X)
    assert km.iterations == expected["iterations"][str(k)]
    cost = reference.inertia(X, None, km.cluster_centers_, km.labels_)
    np.testing.assert_allclose(cost / len(X), expected["sse_per_pixel"][str(k)], rtol=1e-9)
    if k == 8:
        np.testing.assert_allclose(km.cluster_centers_, expected["centers_8"], rtol=0, atol=1e-6)
    # The compiled estimator, given the same start and the same stopping rule, ends in the same.
    start = np.random.default_rng(expected["random_state"]).choice(X, k, replace=False)
    tol = expected["tol"] ** 2 / X.astype(np.float64).var(axis=0).mean()
    ours = KMeans(k, init=start.astype(np.float64), max_iter=100, tol=tol).fit(X)
    assert ours.iterations == km.iterations
    np.testing.assert_allclose(ours.cluster_centers_, km.cluster_centers_, rtol=0, atol=1e-9)


def test_defaults_are_the_tutorials():
    km = reference.KMeans(3)
    assert (km.n_clusters, km.tol, km.max_iter, km.random_state) == (3, 1e-2, 100, 42)


def test_an_empty_cluster_keeps_its_place_and_later_ones_move():
    X = np.array([[0.0], [2.0], [10.0], [14.0]])
    km = reference.KMeans(3, init=[[0.0], [100.0], [11.0]]).fit(X)
    np.testing.assert_array_equal(km.cluster_centers_, [[1.0], [100.0], [12.0]])
    np.testing.assert_array_equal(km.labels_, [0, 0, 2, 2])
    assert km.iterations == 2


def test_the_stopping_rule_is_the_norm_of_all_movements_together():
    # Two centres move by 3 and 4 in the first iteration, hence by 5 together, and then rest.
    X, init = np.array([[3.0], [104.0]]), [[0.0], [100.0]]
    assert reference.KMeans(2, tol=5.01, init=init).fit(X).iterations == 1
    assert reference.KMeans(2, tol=5.0, init=init).fit(X).iterations == 2
    assert reference.KMeans(2, tol=0.0, max_iter=9, init=init).fit(X).iterations == 9


def test_labels_precede_the_last_movement_and_predict_follows_it():
    X = np.array([[0.0], [4.0], [5.0], [13.0]])
    km = reference.KMeans(2, max_iter=1, init=[[0.0], [5.0]]).fit(X)
    np.testing.assert_array_equal(km.labels_, [0, 1, 1, 1])
    np.testing.assert_allclose(km.cluster_centers_, [[0.0], [22 / 3]])
    np.testing.assert_array_equal(km.predict([[3.7], [3.6]]), [1, 0])


def test_the_seed_decides_the_start():
    X, _ = draw(0)
    fits = [reference.KMeans(5, random_state=s).fit(X).cluster_centers_ for s in (1, 1, 2)]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])


def test_bad_starts_are_refused():
    X, _ = draw(0)
    with pytest.raises(ValueError, match=r"init has shape \(2, 2\), expected \(2, 3\)"):
        reference.KMeans(2, init=np.zeros((2, 2))).fit(X)
    with pytest.raises(ValueError, match="larger sample than population"):
        reference.KMeans(301).fit(X)


@rngs
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_assign_takes_the_lowest_of_the_nearest(seed, dtype):
    X, centers = draw(seed)
    want = [min(range(len(centers)), key=lambda j: sum((x - centers[j]) ** 2)) for x in X]
    labels = reference.assign(X.astype(dtype), centers)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, want)


@rngs
def test_a_weight_is_a_number_of_copies(seed):
    X, centers = draw(seed)
    k = len(centers) + 1  # the last cluster is empty
    labels = reference.assign(X, centers)
    weight = np.random.default_rng(seed).integers(0, 4, len(X))
    sums, counts = reference.update(X, weight, labels, k)
    copies = np.repeat(np.arange(len(X)), weight)
    for j in range(k):
        members = copies[labels[copies] == j]
        np.testing.assert_array_equal(sums[j], X[members].sum(axis=0))
        assert counts[j] == len(members)
    weighted = reference.inertia(X, weight, centers, labels)
    assert weighted == reference.inertia(X[copies], None, centers, labels[copies])


@rngs
def test_the_mean_is_where_inertia_is_least(seed):
    X, centers = draw(seed)
    labels = reference.assign(X, centers)
    sums, counts = reference.update(X, None, labels, len(centers))
    means = sums / np.maximum(counts, 1)[:, None]
    least = reference.inertia(X, None, means, labels)
    shift = np.random.default_rng(seed).normal(size=means.shape)
    # Steiner: moving a centre off its cluster's mean costs its weight times the squared shift.
    moved = reference.inertia(X, None, means + shift, labels)
    np.testing.assert_allclose(moved - least, counts @ (shift**2).sum(axis=1), rtol=1e-9)


@rngs
def test_inertia_never_rises(seed):
    rng = np.random.default_rng(seed)
    X, start = rng.normal(size=(500, 2)), rng.normal(size=(9, 2))
    costs = []
    for iterations in range(1, 15):
        km = reference.KMeans(9, tol=0, max_iter=iterations, init=start).fit(X)
        costs.append(reference.inertia(X, None, km.cluster_centers_, km.labels_))
    assert np.all(np.diff(costs) <= 1e-12 * costs[0])
    assert costs[-1] < costs[0]


def test_blocks_change_nothing_but_rounding(monkeypatch):
    rng = np.random.default_rng(0)
    X, centers, weight = rng.normal(size=(257, 5)), rng.normal(size=(4, 5)), rng.random(257)
    labels = reference.assign(X, centers)
    whole = (*reference.update(X, weight, labels, 4), reference.inertia(X, weight, centers, labels))
    for elements in (1, 20, 64 * 20, 256 * 5):
        monkeypatch.setattr(reference, "_BLOCK_ELEMENTS", elements)
        np.testing.assert_array_equal(reference.assign(X, centers), labels)
        parts = (
            *reference.update(X, weight, labels, 4),
            reference.inertia(X, weight, centers, labels),
        )
        for part, all_at_once in zip(parts, whole, strict=True):
            np.testing.assert_allclose(part, all_at_once, rtol=1e-12)


def test_inputs_are_left_alone():
    X, centers = draw(0)
    X_before, centers_before = X.copy(), centers.copy()
    km = reference.KMeans(len(centers), init=centers).fit(X)
    km.predict(X)
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(centers, centers_before)
