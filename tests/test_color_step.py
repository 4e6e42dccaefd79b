"""The colour step and k-means++ on colours, against brute force and against the pixels."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kmq import KMeans, reference
from kmq.engine import samples as samples_module
from kmq.engine import seeding
from kmq.engine.color_samples import ColorSamples
from kmq.engine.color_seeding import ColorPotential
from kmq.engine.color_step import ColorCells, ColorStep
from kmq.engine.colors import ColorSet, distinct_colors
from kmq.engine.dense import DenseStep
from kmq.engine.lloyd import lloyd
from kmq.engine.samples import MOST_WEIGHT, FloatSamples, choose_samples


def read_only(array: np.ndarray) -> np.ndarray:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@st.composite
def color_sets(draw: st.DrawFn) -> ColorSet:
    """Few colours, one colour, colours on a line, corners, crowds, with small or huge weights."""
    d = draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n = draw(st.sampled_from([1, 2, 3, 15, 16, 17, 127, 128, 129, 700]))
    kind = draw(st.sampled_from(["uniform", "line", "corners", "crowd", "one"]))
    if kind == "uniform":
        pixels = rng.integers(0, 256, (n, d))
    elif kind == "line":
        pixels = np.repeat(rng.integers(0, 256, (n, 1)), d, axis=1)
    elif kind == "corners":
        pixels = 255 * rng.integers(0, 2, (n, d))
    elif kind == "crowd":
        pixels = np.clip(rng.normal(rng.integers(0, 256, d), 3, (n, d)), 0, 255)
    else:
        pixels = np.full((n, d), rng.integers(0, 256))
    found = distinct_colors(pixels.astype(np.uint8), return_index=False)
    most = draw(st.sampled_from([1, 5, 1 << 40]))
    counts = rng.integers(1, most, len(found.colors), endpoint=True)
    while counts.sum() >= MOST_WEIGHT:
        counts = np.maximum(counts // 2, 1)
    return ColorSet(found.colors, counts, None)


def brute_force(colors: ColorSet, centers: np.ndarray) -> np.ndarray:
    return reference.assign(colors.colors.astype(np.float64), centers)


@settings(deadline=None, max_examples=60)
@given(color_sets(), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_every_iteration_equals_brute_force(colors: ColorSet, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = colors.colors.shape[1]
    step = ColorStep(ColorCells(colors), k)
    centers = rng.uniform(0, 255, (k, d))
    before = None
    # Movements of all sizes, so that cells sleep, lists age, and both must wake in time.
    for size in (0, 200, 30, 5, 1, 0.3, 0.1, 0.03, 0.01, 50, 0.2, 0.001):
        centers = centers + rng.normal(0, size, (k, d)) * (rng.random((k, 1)) < 0.6)
        changed = step.assign(centers)
        labels = brute_force(colors, centers)
        np.testing.assert_array_equal(step.labels, labels)
        assert changed == (before is None or bool((labels != before).any()))
        before = labels
        sums = np.zeros((k, d), np.int64)
        np.add.at(sums, labels, colors.colors * colors.counts[:, np.newaxis])
        np.testing.assert_array_equal(step.sums, sums)
        counts = np.zeros(k, np.int64)
        np.add.at(counts, labels, colors.counts)
        np.testing.assert_array_equal(step.counts, counts)
        inertia = reference.inertia(
            colors.colors.astype(np.float64), colors.counts.astype(np.float64), centers, labels
        )
        np.testing.assert_allclose(step.assigned_inertia(), inertia, rtol=1e-12)


@settings(deadline=None, max_examples=60)
@given(color_sets(), st.integers(1, 20), st.integers(0, 2**32 - 1))
@example(ColorSet(np.array([[3, 4, 5]], np.uint8), np.array([7]), None), 1, 0)
def test_whole_fit_equals_the_float_road(colors: ColorSet, k: int, seed: int) -> None:
    k = min(k, len(colors.colors))
    X = read_only(colors.colors.astype(np.float64))
    start = X[np.random.default_rng(seed).choice(len(X), k, replace=False)]
    ours = lloyd(ColorStep(ColorCells(colors), k), start, max_iter=300, tol=0.0)
    weight = read_only(colors.counts.astype(np.float64))
    floats = lloyd(DenseStep(X, weight, k), start, max_iter=300, tol=0.0)
    if colors.counts.sum() < 1 << 44:  # sums of floats are exact too
        np.testing.assert_array_equal(ours.labels, floats.labels)
        np.testing.assert_array_equal(ours.centers, floats.centers)
        assert ours.n_iter == floats.n_iter
    np.testing.assert_allclose(ours.inertia, floats.inertia, rtol=1e-9, atol=1e-9)


def smooth_pixels(rng: np.random.Generator, n: int) -> np.ndarray:
    """Pixels like a photo's: few hues, many shades."""
    hues = rng.integers(30, 220, (6, 3))
    return np.clip(rng.normal(hues[rng.integers(0, 6, n)], 14), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int64])
def test_pixels_give_what_their_floats_give(
    init: str, dtype: type, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = smooth_pixels(rng, 12_000)
    ours = KMeans(9, init=init, n_init=2, random_state=3).fit(pixels.astype(dtype))
    monkeypatch.setattr(samples_module, "LEAST_PIXELS", len(pixels) + 1)
    floats = KMeans(9, init=init, n_init=2, random_state=3).fit(pixels.astype(dtype))
    np.testing.assert_array_equal(ours.labels_, floats.labels_)
    np.testing.assert_array_equal(ours.cluster_centers_, floats.cluster_centers_)
    assert ours.n_iter_ == floats.n_iter_
    np.testing.assert_allclose(ours.inertia_, floats.inertia_, rtol=1e-9)
    np.testing.assert_allclose(ours.inertia_history_, floats.inertia_history_, rtol=1e-9)
    np.testing.assert_array_equal(ours.labels_, ours.predict(pixels))


def test_pixels_equal_scikit_learn(rng: np.random.Generator) -> None:
    from sklearn.cluster import KMeans as SklearnKMeans

    pixels = smooth_pixels(rng, 12_000)
    for seed in range(3):
        ours = KMeans(12, random_state=seed).fit(pixels)
        theirs = SklearnKMeans(12, random_state=seed).fit(pixels)
        np.testing.assert_array_equal(ours.labels_, theirs.labels_)
        assert ours.n_iter_ == theirs.n_iter_
        np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-9)


def test_weighted_colors_equal_their_pixels(rng: np.random.Generator) -> None:
    pixels = smooth_pixels(rng, 60_000)
    found = distinct_colors(pixels)
    assert len(found.colors) > samples_module.LEAST_PIXELS
    start = pixels[:10].astype(np.float64) + 0.25
    whole = KMeans(10, init=start, tol=0).fit(pixels)
    weighted = KMeans(10, init=start, tol=0).fit(found.colors, sample_weight=found.counts)
    np.testing.assert_array_equal(whole.cluster_centers_, weighted.cluster_centers_)
    np.testing.assert_array_equal(whole.labels_, weighted.labels_[found.index])
    np.testing.assert_allclose(whole.inertia_, weighted.inertia_, rtol=1e-12)


def test_weighted_pixels_equal_the_float_road(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = smooth_pixels(rng, 20_000)
    weight = rng.integers(0, 4, len(pixels))
    ours = KMeans(7, random_state=1).fit(pixels, sample_weight=weight)
    monkeypatch.setattr(samples_module, "LEAST_PIXELS", len(pixels) + 1)
    floats = KMeans(7, random_state=1).fit(pixels, sample_weight=weight)
    np.testing.assert_array_equal(ours.labels_, floats.labels_)
    np.testing.assert_array_equal(ours.cluster_centers_, floats.cluster_centers_)


def test_order_of_pixels_does_not_show(rng: np.random.Generator) -> None:
    pixels = smooth_pixels(rng, 30_000)
    order = rng.permutation(len(pixels))
    start = pixels[:16].astype(np.float64) + 0.125
    ours = KMeans(16, init=start).fit(pixels)
    shuffled = KMeans(16, init=start).fit(pixels[order])
    np.testing.assert_array_equal(ours.cluster_centers_, shuffled.cluster_centers_)
    np.testing.assert_array_equal(ours.labels_[order], shuffled.labels_)
    assert ours.inertia_ == shuffled.inertia_


def test_number_of_threads_does_not_show(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = rng.integers(0, 256, (150_000, 3), np.uint8)
    fits = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        fits.append(KMeans(20, max_iter=15, random_state=0).fit(pixels))
    for fit in fits[1:]:
        np.testing.assert_array_equal(fits[0].labels_, fit.labels_)
        np.testing.assert_array_equal(fits[0].cluster_centers_, fit.cluster_centers_)
        assert fits[0].inertia_ == fit.inertia_


def test_empty_clusters_take_single_pixels(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = smooth_pixels(rng, 10_000)
    start = np.vstack([pixels[:3], np.full((5, 3), 1000)]).astype(np.float64)
    ours = KMeans(8, init=start).fit(pixels)
    monkeypatch.setattr(samples_module, "LEAST_PIXELS", len(pixels) + 1)
    floats = KMeans(8, init=start).fit(pixels)
    np.testing.assert_array_equal(ours.labels_, floats.labels_)
    np.testing.assert_array_equal(ours.cluster_centers_, floats.cluster_centers_)


def test_more_clusters_than_colors_is_as_in_scikit_learn() -> None:
    from sklearn.cluster import KMeans as SklearnKMeans
    from sklearn.exceptions import ConvergenceWarning

    pixels = np.repeat(np.array([[0, 0, 0], [255, 0, 0], [9, 9, 9]], np.uint8), 4_000, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(3\).*n_clusters \(5\)"):
        ours = KMeans(5, random_state=0).fit(pixels)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(3\)"):
        theirs = SklearnKMeans(5, random_state=0).fit(pixels)
    assert len(np.unique(ours.labels_)) == 3
    assert ours.inertia_ == theirs.inertia_ == 0


@settings(deadline=None, max_examples=60)
@given(
    color_sets(),
    st.integers(1, 30),
    st.integers(0, 2**31 - 1),
    st.booleans(),
    st.sampled_from([2, 100]),
)
def test_plus_plus_equals_the_plain_sums(
    colors: ColorSet, k: int, seed: int, as_pixels: bool, rounds: int
) -> None:
    """Greedy k-means++ with whole sums over all samples, in Python's integers."""
    if as_pixels:
        rows = np.random.default_rng(seed).integers(0, len(colors.colors), 3000)
        cells = ColorCells(distinct_colors(colors.colors[rows]))
        X, weight = colors.colors[rows].astype(object), np.ones(len(rows), object)
    else:
        cells = ColorCells(colors)
        X, weight = colors.colors.astype(object), colors.counts.astype(object)
    k = min(k, len(X))
    rng, twin = np.random.RandomState(seed), np.random.RandomState(seed)
    picked = seeding.pick(ColorPotential(cells, rounds), 0, k, 3, rng)

    def sq_distances(row: int) -> np.ndarray:
        return ((X - X[row]) ** 2).sum(axis=1)

    closest = sq_distances(0)
    expected = [0]
    for _ in range(1, k):
        reached = np.cumsum(weight * closest)
        candidates = []
        for target in twin.uniform(size=3) * reached[-1]:
            found = [i for i, value in enumerate(reached) if value >= target]
            candidates.append(found[0] if found else len(X) - 1)
        lowered = [np.minimum(closest, sq_distances(row)) for row in candidates]
        best = int(np.argmin([(weight * sq).sum() for sq in lowered]))
        closest = lowered[best]
        expected.append(candidates[best])
    np.testing.assert_array_equal(picked, expected)


def test_first_row_draws_what_choice_draws() -> None:
    for n in (1, 2, 7, 1000, 99_991):
        for seed in range(200):
            ours, theirs = np.random.RandomState(seed), np.random.RandomState(seed)
            assert seeding.first_row(np.ones(n), True, ours) == theirs.choice(
                n, p=np.full(n, 1 / n)
            )
            assert ours.random_sample() == theirs.random_sample()


def test_choice_of_samples(rng: np.random.Generator) -> None:
    pixels = read_only(rng.integers(0, 256, (9_000, 3), np.uint8))
    assert isinstance(choose_samples(pixels, None), ColorSamples)
    assert isinstance(choose_samples(read_only(pixels.astype(np.float64)), None), ColorSamples)
    fractions = pixels.astype(np.float64)
    fractions[-1, -1] += 0.5
    assert isinstance(choose_samples(read_only(fractions), None), FloatSamples)
    negative = pixels.astype(np.float64)
    negative[-1, -1] = -1
    assert isinstance(choose_samples(read_only(negative), None), FloatSamples)
    assert isinstance(choose_samples(pixels, np.full(9_000, 0.5)), FloatSamples)
    assert isinstance(choose_samples(pixels, np.full(9_000, 2.0**40)), FloatSamples)
    assert isinstance(choose_samples(pixels[:100], None), FloatSamples)
    assert isinstance(choose_samples(read_only(np.zeros((9_000, 5), np.uint8)), None), FloatSamples)


@pytest.mark.parametrize("far", [400.0, 1e4, 1e6, 1e16, -1e5])
def test_centers_far_from_all_colors(far: float, rng: np.random.Generator) -> None:
    colors = distinct_colors(rng.integers(0, 256, (20_000, 3), np.uint8), return_index=False)
    step = ColorStep(ColorCells(colors), 20)
    near = rng.uniform(0, 255, (20, 3))
    away = far + rng.uniform(-0.5, 0.5, (20, 3))
    for centers in (near, away, np.vstack([near[:9], away[9:]]), near, near + 0.01):
        step.assign(centers)
        np.testing.assert_array_equal(step.labels, brute_force(colors, centers))
        np.testing.assert_array_equal(step.counts.sum(), colors.counts.sum())
        assert step.assigned_inertia() == pytest.approx(step.inertia(centers), rel=1e-9)


def test_pinned_centers_stay_where_they_are(rng: np.random.Generator) -> None:
    from kmq.engine.palette_fit import PaletteSamples, fit_palette

    colors = distinct_colors(rng.integers(0, 200, (5_000, 3), np.uint8))
    start = np.array([[64.0] * 3, [-900.0] * 3, [-901.0, -900, -900], [128.0] * 3])
    fit = fit_palette(
        PaletteSamples(colors.colors, colors.colors, colors.counts),
        4,
        init=start,
        n_init=1,
        max_iter=30,
        tol=0.0,
        rng=np.random.RandomState(0),
        pinned=start[3:],
    )
    np.testing.assert_array_equal(fit.centers[3], start[3])
    np.testing.assert_array_equal(fit.labels, brute_force(colors, fit.centers))
