"""What a user waits for: a fresh process, the very first fit, and data that is tiny."""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

import kmq

MODULES = {"scikit-learn": "sklearn.cluster", "kmq": "kmq"}
FRESH = """
import numpy as np
rng = np.random.default_rng(0)
X = {samples}
from {module} import KMeans
KMeans({k}, random_state=0, max_iter=5).fit(X)
"""
# Samples, clusters.
REGIMES = {
    "1000x3": ("rng.random((1000, 3))", 3),
    "100000x3 uint8": ("rng.integers(0, 255, (100_000, 3)).astype(np.uint8)", 50),
    "100000x2 float64": ("rng.random((100_000, 2))", 50),
    "100000x8 float32": ("rng.random((100_000, 8), np.float32)", 50),
    "60000x128 float32": ("rng.random((60_000, 128), np.float32)", 50),
    "20000x784 float32": ("rng.random((20_000, 784), np.float32)", 50),
}
TINY = {"iris": (load_iris, 3), "digits": (load_digits, 10)}

competitors = pytest.mark.parametrize("name", MODULES)
regimes = pytest.mark.parametrize("regime", REGIMES)


@pytest.fixture(scope="module")
def bare_root(tmp_path_factory):
    """Where a copy of kmq lies of which nothing was compiled when it was installed."""
    root = tmp_path_factory.mktemp("bare")
    package = Path(kmq.__file__).parent
    shutil.copytree(package, root / "kmq", ignore=shutil.ignore_patterns("built"))
    return root


def fresh(name, regime, folder, root=None):
    samples, k = REGIMES[regime]
    env = os.environ | {"KMQ_CACHE_DIR": str(folder)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages have theirs
    if root is not None:
        env["PYTHONPATH"] = str(root)
    code = FRESH.format(module=MODULES[name], samples=samples, k=k)
    # What is told of compiling is no part of the benchmark.
    subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=root, check=True, stderr=subprocess.DEVNULL
    )


@competitors
@regimes
def test_fresh_process(benchmark, tmp_path, name, regime):
    k = REGIMES[regime][1]
    benchmark.group = f"fresh process: start Python, import, fit {regime}, k={k}"
    benchmark.pedantic(fresh, (name, regime, tmp_path), rounds=5, warmup_rounds=1)


@regimes
def test_very_first_fit(benchmark, tmp_path, bare_root, regime):
    benchmark.group = f"the same with nothing compiled yet, fit {regime}"
    folders = count()
    benchmark.pedantic(
        fresh,
        setup=lambda: (("kmq", regime, tmp_path / str(next(folders)), bare_root), {}),
        rounds=3,
    )


@competitors
@pytest.mark.parametrize("data", TINY)
def test_tiny_data(benchmark, name, data):
    load, k = TINY[data]
    X = load().data
    benchmark.group = f"{data}, {X.shape[0]}x{X.shape[1]}, k={k}, ten seeds"
    estimator = import_module(MODULES[name]).KMeans

    def fit():
        return [estimator(k, n_init=1, random_state=seed).fit(X).inertia_ for seed in range(10)]

    inertias = benchmark.pedantic(fit, rounds=30, warmup_rounds=1)
    benchmark.extra_info["competitor"] = name
    benchmark.extra_info["inertia"] = float(np.mean(inertias))
