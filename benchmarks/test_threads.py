"""Two threads against one: whole fits of general data with default parameters."""

from statistics import median

import numpy as np
import pytest

from .conftest import timed
from .test_general import dtypes, rows, samples

THREADS = (1, 2)
ROUNDS = 7


@pytest.mark.grid
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@rows
@dtypes
def test_threads(benchmark, monkeypatch, row, dtype):
    from kmq.engine.threads import n_cores
    from kmq.model import KMeans

    if n_cores() < max(THREADS):
        pytest.skip(f"{max(THREADS)} threads need as many cores")
    benchmark.group = f"{row}, one and two threads"
    X = samples(row).astype(dtype)
    estimator = KMeans(row.k, random_state=0)
    estimator.fit(X)
    times, fits = {threads: [] for threads in THREADS}, {}
    # By turns, as machines slow down and recover.
    for _ in range(ROUNDS):
        for threads in THREADS:
            monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
            seconds, fit = timed(lambda: estimator.fit(X), rounds=1)
            times[threads].append(seconds)
            fits[threads] = fit.labels_, fit.cluster_centers_, fit.inertia_
    benchmark.pedantic(estimator.fit, (X,), rounds=1)
    benchmark.extra_info.update(
        seconds={str(threads): median(seconds) for threads, seconds in times.items()},
        dtype=np.dtype(dtype).name,
    )
    for one, two in zip(*fits.values(), strict=True):
        np.testing.assert_array_equal(one, two)
