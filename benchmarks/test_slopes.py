"""How time grows with n, k and d: exponents of power laws fitted to times of an iteration.

An iteration's time is the difference between a fit of 21 and one of one, over 20, so that
counting colours, checking samples and handing back labels stay out of it. Where the number of
pixels grows and their colours do not, the time of the whole fit is what grows. Of several fits
the least time counts: a difference of medians would double what else the machine does.
"""

from time import perf_counter

import numpy as np
import pytest

from .problems import FLOWER, drawn, pixels

ITERATIONS = 20
ROUNDS = 5


def noise(n, d):
    return np.random.default_rng(7).random((n, d))


def colors(m, n=1 << 19):
    """Pixels of m colours, which are drawn from a smooth cloud."""
    rng = np.random.default_rng(7)
    cloud = rng.normal(128, 40, (4 * m, 3)).clip(0, 255).astype(np.uint8)
    distinct = np.unique(cloud, axis=0)
    chosen = distinct[rng.permutation(len(distinct))[:m]]
    assert len(chosen) == m
    return chosen[np.concatenate([np.arange(m), rng.integers(m, size=n - m)])]


AXES = {
    "k, colours": ([8, 16, 32, 64, 128, 256, 512], lambda k: (pixels(FLOWER), k)),
    "distinct colours": (
        [4_000, 8_000, 16_000, 32_000, 64_000, 128_000],
        lambda m: (colors(m), 64),
    ),
    "pixels": ([1, 2, 4, 8, 16], lambda times: (np.tile(pixels(FLOWER), (times, 1)), 64)),
    "n, d = 8": ([25_000, 50_000, 100_000, 200_000, 400_000], lambda n: (noise(n, 8), 64)),
    "k, d = 8": ([8, 16, 32, 64, 128, 256], lambda k: (noise(100_000, 8), k)),
    "d": ([2, 4, 8, 16, 32, 64, 128], lambda d: (noise(50_000, d), 64)),
}
WHOLE_FITS = {"pixels"}


def seconds(estimator, X, k, start, whole):
    """Time of an iteration, or of a whole fit."""

    def least(iterations):
        times = []
        for _ in range(ROUNDS):
            begun = perf_counter()
            estimator(k, init=start, n_init=1, max_iter=iterations, tol=0).fit(X)
            times.append(perf_counter() - begun)
        return min(times)

    long = least(1 + ITERATIONS)
    return long if whole else max(long - least(1), 1e-9) / ITERATIONS


@pytest.mark.grid
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("axis", AXES)
def test_slope(benchmark, axis):
    from sklearn.cluster import KMeans as Rival

    from kmq.model import KMeans

    values, make = AXES[axis]
    benchmark.group = f"time against {axis}"
    times = {"kmq": [], "scikit-learn": []}
    xs = []
    for value in values:
        X, k = make(value)
        xs.append(len(X) if axis == "pixels" else value)
        # Of repeated pixels, the start that they had before.
        start = drawn(X[: len(pixels(FLOWER))] if axis == "pixels" else X, k)
        KMeans(k, init=start, n_init=1, max_iter=2, tol=0).fit(X)
        for name, estimator in (("kmq", KMeans), ("scikit-learn", Rival)):
            times[name].append(seconds(estimator, X, k, start, axis in WHOLE_FITS))
    benchmark.pedantic(lambda: KMeans(k, init=start, n_init=1, max_iter=2, tol=0).fit(X), rounds=1)
    slopes = {name: float(np.polyfit(np.log(xs), np.log(t), 1)[0]) for name, t in times.items()}
    benchmark.extra_info.update(axis=axis, x=xs, seconds=times, slopes=slopes)
