"""Samples nearly as near to two centres fall as in scikit-learn's first assignment."""

import numpy as np
import pytest
from scipy.linalg import blas
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from kmq import KMeans
from kmq.engine import ties as module
from kmq.engine.bound_step import BoundStep
from kmq.engine.cell_step import CellStep
from kmq.engine.color_step import ColorCells, ColorStep
from kmq.engine.colors import distinct_colors
from kmq.engine.dense import DenseStep
from kmq.engine.gap_step import GapStep
from kmq.engine.plain_step import PlainStep
from kmq.engine.steps import MOST_CELL_FEATURES
from kmq.engine.ties import TieRule

KINDS = ["tenths", "thirds", "shades", "unit rows and zeros", "copies", "far heaps"]
STEPS = [PlainStep, DenseStep, GapStep, BoundStep, CellStep]


def read_only(array):
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


def samples(kind, n, d, seed=0, dtype=np.float64):
    """Samples of which many are as near to one sample as to another."""
    rng = np.random.default_rng(seed)
    if kind == "tenths":
        X = rng.normal(0, 1, (n, d)).round(1)
    elif kind == "thirds":
        X = rng.integers(0, 9, (n, d)) / 3
    elif kind == "shades":
        X = rng.integers(0, 256, (n, d)) / 255
    elif kind == "unit rows and zeros":
        X = normalize(rng.normal(0, 1, (n, d)))
        X[rng.choice(n, n // 4, replace=False)] = 0
    elif kind == "far heaps":
        X = rng.choice([-1000.0, 1000.0], (n, 1)) + rng.normal(0, 1, (n, d)).round(1)
    else:
        X = rng.normal(0, 1, (-(-n // 5), d)).repeat(5, axis=0)[:n]
        X += rng.choice([0.0, 1e-9], (n, 1))
    return read_only(X.astype(dtype))


def as_scikit_learn(X, centers):
    """Labels by products of BLAS, for 256 samples at a time."""
    mean = X.mean(axis=0)
    centers = centers - mean
    sq_norms = np.einsum("ij,ij->i", centers, centers)
    gemm = blas.sgemm if X.dtype == np.float32 else blas.dgemm
    labels = []
    with threadpool_limits(1):
        for first in range(0, len(X), 256):
            some = X[first : first + 256] - mean
            scores = np.asfortranarray(np.tile(sq_norms[:, np.newaxis], len(some)))
            scores = gemm(-2.0, centers.T, some.T, 1.0, scores, trans_a=1)
            labels.append(scores.argmin(axis=0))
    return np.concatenate(labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "d", "k"),
    [(150, 4, 8), (2100, 1, 9), (9000, 3, 30), (1500, 17, 12), (1000, 200, 10)],
)
@pytest.mark.parametrize("make", STEPS)
def test_the_first_assignment_is_that_of_scikit_learn(make, n, d, k, kind, dtype):
    if make is CellStep:
        d = min(d, MOST_CELL_FEATURES)
    X = samples(kind, n, d, dtype=dtype)
    centers = X[np.random.default_rng(1).choice(n, k, replace=False)]
    step = make(X, read_only(np.ones(n)), k)
    step.assign(centers, TieRule.of(centers, X.mean(axis=0)))
    labels = as_scikit_learn(X, centers)
    np.testing.assert_array_equal(step.labels, labels)
    sums = np.zeros((k, d))
    np.add.at(sums, labels, X)
    np.testing.assert_array_equal(step.counts, np.bincount(labels, minlength=k))
    np.testing.assert_allclose(step.sums, sums, rtol=1e-9, atol=1e-7)
    sq = ((X.astype(float) - centers[labels]) ** 2).sum()
    assert step.assigned_inertia() == pytest.approx(sq, rel=1e-4)
    # What is known of samples that were given to another centre must not outlast their tie.
    plain = DenseStep(X, read_only(np.ones(n)), k)
    for scale in (0.0, 1e-9, 1e-3, 0.1):
        centers = (centers + scale * np.random.default_rng(2).normal(size=(k, d))).astype(dtype)
        step.assign(centers)
        plain.relabel(centers)
        np.testing.assert_array_equal(step.labels, plain.labels)


def test_cells_of_one_centre_have_near_ties_too():
    """Far from the mean, scikit-learn's product takes samples for nearer to another centre."""
    rng = np.random.default_rng(0)
    X = rng.choice([-2000.0, 2000.0], (60_000, 1)) + rng.normal(0, 1, (60_000, 2))
    X = read_only(X.astype(np.float32))
    centers = X[rng.choice(len(X), 8, replace=False)]
    step = CellStep(X, read_only(np.ones(len(X))), 8)
    step.assign(centers, TieRule.of(centers, X.mean(axis=0)))
    labels = as_scikit_learn(X, centers)
    np.testing.assert_array_equal(step.labels, labels)
    step.assign(centers)
    assert np.count_nonzero(step.labels != labels) > 100


@pytest.mark.parametrize("shift", [0.0, 0.37])
@pytest.mark.parametrize("d", [1, 3, 4])
def test_the_first_assignment_of_colours(d, shift, rng):
    colors = distinct_colors(rng.integers(0, 30, (9000, d)).astype(np.uint8), return_index=False)
    X = read_only(colors.colors.astype(np.float64))
    centers = X[rng.choice(len(X), min(9, len(X) - 1), replace=False)] + shift
    step = ColorStep(ColorCells(colors), len(centers))
    step.assign(centers, TieRule.of(centers, X.mean(axis=0)))
    labels = as_scikit_learn(X, centers)
    np.testing.assert_array_equal(step.labels, labels)
    sums = np.zeros(centers.shape)
    np.add.at(sums, labels, X * colors.counts[:, np.newaxis])
    np.testing.assert_array_equal(step.sums, sums)


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [6, 17, 40])
@pytest.mark.parametrize("n", [1, 255, 256, 257, 9001])
def test_all_ways_settle_alike(n, d, dtype, proven, monkeypatch):
    """Whether BLAS adds up in the order of the kernel or another is shown by nothing."""
    if not proven:
        monkeypatch.setattr(module, "_adds_in_order", lambda *shape: False)
    X = samples("tenths", n, d, dtype=dtype)
    centers = samples("tenths", 20, d, seed=1, dtype=dtype)
    rule = TieRule.of(centers, X.mean(axis=0))
    rows = np.arange(n)[:: 1 if n < 9000 else 3]
    settled = rule.settle(X, rows, np.full(len(rows), -1, np.int32))
    np.testing.assert_array_equal(settled, as_scikit_learn(X, centers)[rows])


def test_the_last_sample_is_added_up_as_its_chunk_is():
    """BLAS may take the last sample of an odd number in another order than the others."""
    for seed in range(60):
        X = read_only(np.random.default_rng(seed).integers(0, 2, (2305, 17)) / 3)
        centers = X[np.random.default_rng(seed).choice(2305, 40, replace=False)]
        rule = TieRule.of(centers, X.mean(axis=0))
        settled = rule.settle(X, np.arange(2305), np.full(2305, -1, np.int32))
        np.testing.assert_array_equal(settled, as_scikit_learn(X, centers))


def test_what_fills_up_a_cell_changes_no_label():
    """Where the last sample was given to another centre, and this one turns out nearer."""
    for seed in range(300):
        X, rng = samples("thirds", 66, 2, seed), np.random.default_rng(seed)
        centers = X[rng.choice(66, 3, replace=False)]
        step = CellStep(X, read_only(np.ones(66)), 3)
        step.assign(centers, TieRule.of(centers, X.mean(axis=0)))
        before = step.labels.copy()
        changed = step.assign(centers + 1e-9 * rng.normal(size=centers.shape))
        assert changed == (not np.array_equal(before, step.labels))


@pytest.mark.parametrize("scale", [1e40, 1e60])
@pytest.mark.parametrize("make", STEPS)
def test_large_samples_are_nothing_to_warn_of(make, scale, rng):
    X = read_only(rng.standard_normal((3000, 3)) * scale)
    step = make(X, read_only(np.ones(len(X))), 8)
    step.assign(X[:8].copy(), TieRule.of(X[:8], X.mean(axis=0)))
    np.testing.assert_array_equal(step.labels, as_scikit_learn(X, X[:8]))


def test_samples_whose_products_overflow_keep_their_labels():
    X = read_only(np.array([[1e200, 0.0], [1.0, 1.0], [-1e200, 0.0]]))
    with np.errstate(over="ignore", invalid="ignore"):
        rule = TieRule.of(X[:2].copy(), np.zeros(2))
        settled = rule.settle(X, np.arange(3), np.array([1, 0, 1], np.int32))
    np.testing.assert_array_equal(settled, [1, 0, 1])


# Unit rows of one feature are three different ones.
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "d", "k"), [(150, 4, 8), (600, 1, 7), (20_000, 3, 30), (3000, 17, 26), (1500, 200, 9)]
)
def test_fits_begin_as_those_of_scikit_learn(n, d, k, kind, dtype):
    """One sample more or less would show in the mean of a cluster."""
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    for seed in range(20 if n < 20_000 else 3):
        X = samples(kind, n, d, seed, dtype)
        ours, theirs = (
            cls(k, random_state=seed, max_iter=1).fit(X).cluster_centers_
            for cls in (KMeans, SklearnKMeans)
        )
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=10 * rtol)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("n", "d", "k"), [(600, 4, 8), (2500, 3, 20), (3000, 17, 26)])
def test_whole_fits_are_those_of_scikit_learn(n, d, k, given, kind):
    for seed in range(5):
        X = samples(kind, n, d, seed)
        start = X[np.random.default_rng(seed).choice(n, k, replace=False)]
        init = {"init": start, "n_init": 1} if given else {"random_state": seed}
        ours, theirs = (cls(k, **init).fit(X) for cls in (KMeans, SklearnKMeans))
        np.testing.assert_array_equal(ours.labels_, theirs.labels_)
        assert ours.n_iter_ == theirs.n_iter_


def test_true_ties_of_whole_numbers_that_are_given_go_to_the_lowest_index():
    X = np.random.default_rng(0).integers(0, 5, (500, 2)).astype(float)
    start = np.array([[0.0, 0.0], [4.0, 4.0], [0.0, 4.0], [4.0, 0.0]])
    found = KMeans(4, init=start, n_init=1, max_iter=1, tol=0)
    labels = ((X[:, np.newaxis] - start) ** 2).sum(axis=2).argmin(axis=1)
    means = [X[labels == j].mean(axis=0) for j in range(4)]
    np.testing.assert_allclose(found.fit(X).cluster_centers_, means, rtol=1e-12)
