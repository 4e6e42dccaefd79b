"""General data: iterations from one start, against every k-means that installs from PyPI.

All programs are given the same samples, the same first centres and ten iterations. What centres
each ends with is judged by one and the same sum of squared distances. Where a program keeps
another rule (a start of its own, single precision), the record says so, and how far it ended.
"""

import numpy as np
import pytest

from kmq.competitors import COMPETITORS, Problem

from .conftest import timed
from .problems import nudged
from .test_general import ITERATIONS, ROWS, samples

# Multiplications an iteration above which SciPy's plain loops take too long to wait for.
MOST_SCIPY_WORK = 3 * 10**8
# Programs that promise the centres that kmq finds, and how far their cost may be from its.
EXACT = ("scikit-learn", "scikit-learn-intelex", "scipy")
SAME = {"float64": 1e-9, "float32": 1e-3}


@pytest.mark.grid
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rivals(benchmark, row, dtype):
    benchmark.group = f"{row}, {ITERATIONS} iterations, all programs"
    X = samples(row).astype(dtype)
    problem = Problem(X, nudged(X, row.k), tol=0.0, max_iter=ITERATIONS)
    seconds, costs = {}, {}
    for name, competitor in COMPETITORS.items():
        too_long = name == "scipy" and X.size * row.k > MOST_SCIPY_WORK
        if name == "numpy" or too_long or not competitor.installed:
            continue
        competitor.fit(Problem(X[: 50 * row.k], problem.start, tol=0.0, max_iter=1))
        seconds[name], fit = timed(lambda fit=competitor.fit: fit(problem), rounds=5)
        costs[name] = cost(X, fit.centers)
    benchmark.pedantic(lambda: COMPETITORS["kmq"].fit(problem), rounds=1)
    parity = {name: costs[name] / costs["kmq"] - 1.0 for name in seconds}
    benchmark.extra_info.update(
        dtype=dtype,
        seconds=seconds,
        parity=parity,
        rules={name: COMPETITORS[name].rule for name in seconds},
    )
    for name in EXACT:
        assert abs(parity.get(name, 0.0)) <= SAME[dtype], (name, parity[name])


def cost(X, centers):
    """Squared distances of samples to the nearest of some centres, summed in float64."""
    from kmq.model import KMeans

    judge = KMeans(len(centers), init=centers, n_init=1, max_iter=1).fit(X[: len(centers)])
    judge.cluster_centers_ = np.ascontiguousarray(centers, X.dtype)
    return -judge.score(X)
