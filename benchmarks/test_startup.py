"""What a user waits for: a fresh process, the very first fit, and data that is tiny."""

import os
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

MODULES = {"scikit-learn": "sklearn.cluster", "kmq": "kmq"}
FRESH = """
import numpy as np
from {module} import KMeans
KMeans(3, n_init=1, random_state=0).fit(np.random.default_rng(0).random((1000, 3)))
"""
TINY = {"iris": (load_iris, 3), "digits": (load_digits, 10)}

competitors = pytest.mark.parametrize("name", MODULES)


def fresh(name, folder):
    env = os.environ | {"KMQ_CACHE_DIR": str(folder)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages have theirs
    subprocess.run([sys.executable, "-c", FRESH.format(module=MODULES[name])], env=env, check=True)


@competitors
def test_fresh_process(benchmark, tmp_path, name):
    benchmark.group = "fresh process, warm cache: start Python, import, fit 1000x3, k=3"
    benchmark.pedantic(fresh, (name, tmp_path), rounds=5, warmup_rounds=1)


def test_very_first_fit(benchmark, tmp_path):
    benchmark.group = "fresh process, empty cache: start Python, import, compile, fit 1000x3, k=3"
    folders = iter(range(3))
    benchmark.pedantic(fresh, setup=lambda: (("kmq", tmp_path / str(next(folders))), {}), rounds=3)


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
