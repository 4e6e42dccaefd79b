"""Peak memory of a fit above its samples, in a process of its own."""

import numpy as np
import pytest

from . import isolated
from .problems import BRYGGEN, PHOTOS, drawn, pixels


def photo(path):
    if not path.exists():
        pytest.skip("the photos of ../shared are not on this machine")
    return pixels(path)


def noise(n, d, dtype):
    return np.random.default_rng(7).random((n, d)).astype(dtype)


CASES = {
    "photo of 0.4 Mpixel": (lambda: photo(PHOTOS["kodim05"]), 32),
    "photo of 17 Mpixel": (lambda: photo(BRYGGEN), 256),
    "1,000,000 x 3, float64": (lambda: noise(1_000_000, 3, np.float64), 32),
    "500,000 x 8, float64": (lambda: noise(500_000, 8, np.float64), 64),
    "60,000 x 128, float32": (lambda: noise(60_000, 128, np.float32), 100),
}


@pytest.mark.grid
@pytest.mark.skipif(not isolated.can_measure(), reason="this system does not tell peak memory")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["scikit-learn", "kmq"])
def test_memory(benchmark, tmp_path, name, case):
    make, k = CASES[case]
    benchmark.group = f"memory, {case}, k={k}"
    X = make()
    # Two iterations: memory does not grow with their number.
    parameters = {"n_clusters": k, "max_iter": 2}
    told = benchmark.pedantic(isolated.run, (tmp_path, name, X, drawn(X, k)), parameters, rounds=1)
    record(benchmark, name, case, k, X, told)


@pytest.mark.grid
@pytest.mark.skipif(not isolated.can_measure(), reason="this system does not tell peak memory")
@pytest.mark.parametrize("name", ["kmq", "kmq, palette and indices"])
def test_memory_of_defaults(benchmark, tmp_path, name):
    benchmark.group = "memory, photo of 17 Mpixel, k=256, default parameters"
    X = photo(BRYGGEN)
    parameters = {"n_clusters": 256, "random_state": 0}
    told = benchmark.pedantic(isolated.run, (tmp_path, name, X), parameters, rounds=1)
    record(benchmark, name, "photo of 17 Mpixel, default parameters", 256, X, told)


def record(benchmark, name, case, k, X, told):
    benchmark.extra_info.update(
        competitor=name,
        case=case,
        k=k,
        n=len(X),
        sample_bytes=X.nbytes,
        extra_bytes=told["extra_bytes"],
        inertia=told["inertia"],
    )
    assert told["extra_bytes"] > 0
