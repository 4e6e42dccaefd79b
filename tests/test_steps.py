"""Every step gives the labels of the definition, and whole fits do not show which one ran."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kmq.engine import steps, threads
from kmq.engine.bound_step import BoundStep
from kmq.engine.cell_step import CellStep
from kmq.engine.dense import DenseStep
from kmq.engine.gap_step import GapStep
from kmq.engine.lloyd import lloyd
from kmq.engine.steps import MOST_CELL_FEATURES, choose_step
from kmq.engine.table import Table

FAST = [CellStep, GapStep, BoundStep]
ALL = [DenseStep, *FAST]
KINDS = ["noise", "blobs", "grid", "offset", "large", "small", "outlier"]


def most_features(make, otherwise):
    """Features up to which a step is tried: that of cells is compiled anew for each number."""
    return MOST_CELL_FEATURES if make is CellStep else otherwise


def read_only(array):
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


def samples(kind, n, d, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    if kind == "blobs":
        X = rng.uniform(-10, 10, (9, d))[rng.integers(9, size=n)] + rng.standard_normal((n, d))
    elif kind == "grid":
        X = rng.integers(0, 4, (n, d)).astype(float)
    elif kind == "offset":
        X = X + 1e6
    elif kind == "large":
        X = X * 1e15
    elif kind == "small":
        X = X * 1e-15
    elif kind == "outlier":
        X[n // 2] = 1e17
    return X.astype(dtype)


def start(X, k, seed=0):
    return X[np.random.default_rng(seed).choice(len(X), k, replace=False)].copy()


def nearest(X, centers):
    """Label of each sample by the definition: features in order, in the dtype of X."""
    sq = np.zeros((len(X), len(centers)), X.dtype)
    for f in range(X.shape[1]):
        sq += (X[:, f, np.newaxis] - centers[:, f]) ** 2
    return sq.argmin(axis=1).astype(np.int32)


def check_one_assignment(make, X, weight, centers):
    step = make(read_only(X), read_only(weight), len(centers))
    assert step.assign(centers)
    labels = nearest(X, centers)
    np.testing.assert_array_equal(step.labels, labels)
    sums = np.zeros(centers.shape)
    counts = np.zeros(len(centers))
    np.add.at(sums, labels, weight[:, np.newaxis] * X.astype(float))
    np.add.at(counts, labels, weight)
    np.testing.assert_allclose(step.counts, counts, rtol=1e-12)
    np.testing.assert_allclose(step.sums, sums, rtol=1e-10, atol=1e-9 * np.abs(sums).max())
    sq = ((X.astype(float) - centers[labels]) ** 2).sum(axis=1)
    mean = X.mean(axis=0)
    as_sklearn = (((X - mean) - (centers - mean)[labels]) ** 2).sum(axis=1)
    np.testing.assert_array_equal(step.sq_distances(centers), as_sklearn)
    assert step.assigned_inertia() == pytest.approx(weight @ sq, rel=1e-5)
    assert not step.assign(centers)


@pytest.mark.parametrize("make", ALL)
@given(data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_one_assignment_follows_the_definition(make, data):
    n, d = data.draw(st.integers(1, 90)), data.draw(st.integers(1, most_features(make, 20)))
    k = data.draw(st.integers(1, min(n, 30)))
    # Few values, so that true ties and duplicates abound.
    X = data.draw(hnp.arrays(np.float64, (n, d), elements=st.integers(-3, 3).map(float)))
    weight = data.draw(hnp.arrays(np.float64, n, elements=st.integers(0, 3).map(float)))
    centers = data.draw(hnp.arrays(np.float64, (k, d), elements=st.integers(-6, 6).map(float))) / 2
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    check_one_assignment(make, X.astype(dtype), weight, centers.astype(dtype))


@pytest.mark.parametrize("make", FAST)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("d", [2, 3, 17, 48])
def test_near_ties_fall_as_by_explicit_differences(make, d, dtype, offset, rng):
    """Samples within some rounding errors of the plane halfway between two centres."""
    d = min(d, most_features(make, d))
    centers = rng.standard_normal((6, d)).astype(dtype) + dtype(offset)
    pairs = rng.integers(6, size=(3000, 2))
    middle = (centers[pairs[:, 0]].astype(float) + centers[pairs[:, 1]]) / 2
    steps_off = rng.integers(-3, 4, middle.shape) * np.spacing(np.abs(middle).astype(dtype))
    X = (middle + steps_off).astype(dtype)
    step = make(read_only(X), np.ones(len(X)), 6)
    step.assign(centers)
    np.testing.assert_array_equal(step.labels, nearest(X, centers))


@pytest.mark.parametrize("make", FAST)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "d", "k"), [(65, 1, 5), (4000, 2, 40), (3000, 4, 130), (3000, 19, 25)]
)
def test_whole_fits_are_those_of_brute_force(make, n, d, k, kind, dtype, rng):
    d = min(d, most_features(make, d))
    X = samples(kind, n, d, dtype)
    weight = read_only(rng.integers(1, 4, n).astype(float))
    centers = start(X, k)
    tol = 1e-6 * float(X.var(axis=0, dtype=np.float64).mean())
    plain, fast = (
        lloyd(step(read_only(X), weight, k), centers.copy(), max_iter=60, tol=tol)
        for step in (DenseStep, make)
    )
    np.testing.assert_array_equal(plain.labels, fast.labels)
    assert plain.n_iter == fast.n_iter
    assert plain.inertia == pytest.approx(fast.inertia, rel=1e-12)
    first = plain.inertia_history[0]
    np.testing.assert_allclose(
        plain.inertia_history, fast.inertia_history, rtol=1e-4, atol=1e-14 * first
    )


@pytest.mark.parametrize("make", FAST)
def test_clusters_that_run_empty_are_given_the_same_samples(make, rng):
    X = samples("blobs", 3000, 3)
    centers = np.concatenate([start(X, 8), np.full((1, 3), 1e3), np.full((1, 3), 1e4)])
    weight = np.full(len(X), 0.1)
    plain, fast = (
        lloyd(step(read_only(X), read_only(weight), 10), centers.copy(), max_iter=50, tol=0.0)
        for step in (DenseStep, make)
    )
    np.testing.assert_array_equal(plain.labels, fast.labels)
    assert len(np.unique(fast.labels)) == 10


def test_one_cluster_with_heavy_samples_far_off_has_a_history(rng):
    X, weight = rng.standard_normal((6000, 20)), np.full(6000, 1e-6)
    X[7], X[8], weight[7:9] = 50.0, 50.001, 1e6
    fits = [
        lloyd(make(read_only(X), read_only(weight), 1), X[:1].copy(), max_iter=9, tol=0.0)
        for make in (GapStep, DenseStep)
    ]
    np.testing.assert_allclose(fits[0].inertia_history, fits[1].inertia_history, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d"), [(40_000, 1), (3000, 37), (3, 40_000)])
def test_distances_are_those_of_scikit_learn_however_many_values(n, d, dtype, rng):
    X = rng.standard_normal((n, d)).astype(dtype)
    step, centers = DenseStep(read_only(X), np.ones(n), 3), X[:3].copy()
    step.assign(centers)
    mean = X.mean(axis=0)
    expected = np.square(X - mean - (centers - mean)[step.labels]).sum(axis=1)
    np.testing.assert_array_equal(step.sq_distances(centers), expected)


@pytest.mark.parametrize("make", FAST)
def test_samples_that_move_within_narrow_heaps_are_booked(make, rng):
    """Little is left of the inertia from the first iteration on, and samples move in all."""
    d = 3 if make is CellStep else 20
    heaps = rng.uniform(-100, 100, (6, d))
    X = heaps[rng.integers(6, size=4000)] + 0.1 * rng.standard_normal((4000, d))
    centers = np.concatenate([heaps + 0.01, heaps - 0.01])
    plain, fast = (
        lloyd(step(read_only(X), np.ones(len(X)), 12), centers.copy(), max_iter=15, tol=0.0)
        for step in (DenseStep, make)
    )
    assert plain.n_iter == fast.n_iter == 15
    np.testing.assert_allclose(plain.inertia_history, fast.inertia_history, rtol=1e-9)


@pytest.mark.parametrize("make", FAST)
def test_sums_do_not_drift(make):
    X = samples("offset", 6000, 6) if make is not CellStep else samples("offset", 6000, 2)
    step = make(read_only(X), np.ones(len(X)), 50)
    centers = start(X, 50)
    for _ in range(40):
        step.assign(centers)
        centers = step.sums / step.counts[:, np.newaxis]
    fresh = make(read_only(X), np.ones(len(X)), 50)
    step.assign(centers)
    fresh.assign(centers)
    np.testing.assert_array_equal(step.labels, fresh.labels)
    np.testing.assert_allclose(step.sums, fresh.sums, rtol=1e-14)
    assert step.assigned_inertia() == pytest.approx(fresh.assigned_inertia(), rel=1e-7)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("d", [2, 20])
def test_any_number_of_threads_gives_the_same_bits(make, d, monkeypatch):
    d = min(d, most_features(make, d))
    X = read_only(samples("blobs", 60_000, d))
    fits = []
    for count in (1, 3):
        for module in ("dense", "cell_step", "bound_step", "cells"):
            monkeypatch.setattr(f"kmq.engine.{module}.n_threads", lambda count=count: count)
        step = make(X, np.ones(len(X)), 30)
        fits.append(lloyd(step, start(X, 30), max_iter=12, tol=0.0))
    one, three = fits
    np.testing.assert_array_equal(one.centers, three.centers)
    np.testing.assert_array_equal(one.labels, three.labels)
    np.testing.assert_array_equal(one.inertia_history, three.inertia_history)
    assert one.inertia == three.inertia


@pytest.mark.parametrize(
    ("n", "d", "k", "expected"),
    [
        (1797, 64, 10, GapStep),
        (100, 2, 5, DenseStep),
        (100_000, 2, 100, CellStep),
        (100_000, 4, 32, CellStep),
        (1000, 16, 26, DenseStep),
        (20_000, 16, 26, GapStep),
        (20_000, 5, 26, GapStep),
        (20_000, 128, 100, GapStep),
        (3000, 32, 1000, BoundStep),
        (6000, 784, 10, BoundStep),
        (3000, 300, 10, BoundStep),
        (2000, 256, 10, GapStep),
        (1000, 64, 10, DenseStep),
    ],
)
def test_the_choice(n, d, k, expected):
    X = read_only(samples("noise", n, d))
    assert type(choose_step(Table(X), k)) is expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize(("d", "k"), [(130, 6), (784, 10), (24, 230)])
def test_near_ties_of_many_features_or_panels(d, k, dtype, offset, rng):
    """As above, where products are summed in stretches, and centres compared in panels."""
    centers = rng.standard_normal((k, d)).astype(dtype) + dtype(offset)
    near = centers[rng.integers(k, size=1500)].astype(float)
    pairs = near + rng.standard_normal(near.shape) / d
    distances = ((pairs[:, np.newaxis] - centers.astype(float)) ** 2).sum(axis=2)
    first, second = np.argsort(distances, axis=1)[:, :2].T
    middle = (centers[first].astype(float) + centers[second]) / 2
    X = (middle + rng.integers(-3, 4, middle.shape) * np.spacing(abs(middle).astype(dtype))).astype(
        dtype
    )
    step = BoundStep(read_only(X), np.ones(len(X)), k)
    # From other centres first, so that bounds leave some panels closed.
    step.assign((centers + dtype(1e-3) * rng.standard_normal(centers.shape)).astype(dtype))
    step.assign(centers)
    np.testing.assert_array_equal(step.labels, nearest(X, centers))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tighten", [False, True])
@pytest.mark.parametrize("kind", ["noise", "blobs", "offset", "outlier"])
def test_bounds_hold_however_long_centres_wander(kind, tighten, dtype, rng):
    """Through more iterations than centres are remembered, with steps small and large."""
    X = samples(kind, 2500, 18, dtype)
    step = BoundStep(read_only(X), np.ones(len(X)), 230)
    centers = start(X, 230)
    spread = np.sort(X, axis=0)[[len(X) // 10, -len(X) // 10]]
    for iteration in range(80):
        step._tighten = tighten
        step.assign(centers)
        plain = DenseStep(read_only(X), np.ones(len(X)), 230)
        plain.relabel(centers)
        np.testing.assert_array_equal(step.labels, plain.labels)
        size = 0.3 if iteration % 25 == 24 else 10.0 ** rng.integers(-6, -1)
        way = size * rng.standard_normal(centers.shape) * (spread[1] - spread[0])
        centers = (centers + way * (rng.random((230, 1)) < 0.5)).astype(dtype)


def test_bounds_are_kept_beyond_the_centres_they_were_found_with(rng):
    """Each sample waits untouched for as many iterations as it lies to the right."""
    X = 1e-3 * rng.standard_normal((2000, 18))
    X[:, 0] = rng.random(2000)
    centers = np.zeros((2, 18))
    centers[:, 0] = -1.0, 1.0
    step = BoundStep(read_only(X), np.ones(len(X)), 2)
    for _ in range(100):
        step.assign(centers.copy())
        np.testing.assert_array_equal(step.labels, nearest(X, centers))
        centers[:, 0] += 0.01


def test_bounds_know_nothing_of_centres_beyond_single_precision(rng):
    X = rng.standard_normal((20_000, 64))
    X[7] = 1e100  # not among the samples that the scale is taken from
    X, weight = read_only(X), read_only(np.ones(len(X)))
    bound, dense = BoundStep(X, weight, 16), DenseStep(X, weight, 16)
    centers = start(X, 16)
    centers[3] = X[7]
    for _ in range(6):
        bound.assign(centers)
        dense.assign(centers)
        np.testing.assert_array_equal(bound.labels, dense.labels)
        centers = centers + 0.5 * rng.standard_normal(centers.shape)
        centers[3] = X[7]


@pytest.mark.parametrize("width", [1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("d", [5, 20])
def test_gaps_leave_room_for_what_single_precision_hides(d, width, rng):
    """Samples of one heap in double precision, far from the point amid them all."""
    heap = 1000.0 + width * rng.standard_normal((2500, d))
    X = read_only(np.concatenate([rng.standard_normal((3500, d)), heap]))
    gap, dense = (step(X, read_only(np.ones(len(X))), 40) for step in (GapStep, DenseStep))
    centers = heap[:40].copy()
    for _ in range(12):
        gap.assign(centers)
        dense.assign(centers)
        np.testing.assert_array_equal(gap.labels, dense.labels)
        centers[rng.integers(40, size=6)] += 0.2 * width * rng.standard_normal((6, d))


@pytest.mark.parametrize("make", FAST)
def test_a_cluster_of_samples_without_weight_is_empty(make, rng):
    d = 3 if make is CellStep else 20
    X = 10.0 + rng.standard_normal((2_000, d))
    weight = np.ones(len(X))
    X[:4], weight[:4] = 1.0, (0.1, 0.2, 0.3, 0.0)
    X[3] = -5.0
    step = make(read_only(X), read_only(weight), 3)
    step.assign(np.array([[0.0], [10.0], [11.0]]) + np.zeros(d))
    assert step.counts[0] > 0.5
    step.assign(np.array([[-5.0], [2.0], [11.0]]) + np.zeros(d))
    assert step.labels[3] == 0
    assert step.counts[0] == 0.0
    assert not step.sums[0].any()


@pytest.mark.parametrize(("make", "d", "scale"), [(GapStep, 8, 1e39), (BoundStep, 20, 1e-310)])
def test_extreme_scales_are_nothing_to_warn_of(make, d, scale, rng):
    X = read_only(rng.standard_normal((5_000, d)) * scale)
    step = make(X, read_only(np.ones(len(X))), 8)
    centers = start(X, 8)
    for shift in (0.0, 0.1, 0.2):
        step.assign(centers + shift * scale)
    assert np.array_equal(np.unique(step.labels), np.arange(8))


def test_blas_serves_two_fits_at_once():
    from threadpoolctl import threadpool_info

    def blas():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = blas()
    outer, inner = threads.single_blas_thread(), threads.single_blas_thread()
    outer.__enter__()
    inner.__enter__()
    # The first to begin ends first: what it restores must not be what the other found.
    outer.__exit__(None, None, None)
    assert set(blas()) == {1}
    inner.__exit__(None, None, None)
    assert blas() == before
    assert steps.MOST_CELL_FEATURES < steps.MOST_GAP_FEATURES
