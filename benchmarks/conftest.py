"""Benchmarks run only when asked for, and the long ones only with ``--grid``."""

import os
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import pytest

from .competitors import COMPETITORS, SLOW

HERE = Path(__file__).parent
ROUNDS = 7


def pytest_addoption(parser):
    parser.addoption(
        "--grid",
        action="store_true",
        help="run the whole grid of benchmarks (combine with --benchmark-only to run no tests)",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "grid: a long benchmark, run only with --grid")


def pytest_collection_modifyitems(config, items):
    """Drop what was not asked for without a word, rather than skip it at length."""
    grid = config.getoption("grid")
    only = config.getoption("benchmark_only", False)
    asked = only or config.getoption("benchmark_enable", False)

    def wanted(item):
        if HERE not in item.path.parents or "benchmark" not in getattr(item, "fixturenames", ()):
            return not only
        return grid or (asked and item.get_closest_marker("grid") is None)

    dropped = [item for item in items if not wanted(item)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if wanted(item)]


def setting():
    """Versions and threads of the libraries that have been used so far."""
    from threadpoolctl import threadpool_info

    from kmq import __version__
    from kmq.engine.threads import n_threads

    return {
        "versions": {"kmq": __version__}
        | {library: version(library) for library in ("numpy", "numba", "scikit-learn")},
        "cores": len(os.sched_getaffinity(0)),
        "threads": {"kmq": n_threads()}
        | {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()},
    }


@pytest.fixture
def race(benchmark):
    """Time one competitor on one problem, apart from its first call, and return its fit.

    The first call of a compiled competitor compiles or loads its kernels; its time goes into
    ``extra_info`` as ``first_call_s`` and into no statistic.
    """

    def run(name, problem):
        compete = COMPETITORS[name]
        info = {"competitor": name, "k": len(problem.start), "n": len(problem.X)}
        if name in SLOW:
            rounds = 1
        else:
            rounds = ROUNDS
            begun = perf_counter()
            compete(problem)
            info["first_call_s"] = perf_counter() - begun
        fit = benchmark.pedantic(compete, (problem,), rounds=rounds)
        benchmark.extra_info.update(info, iterations=fit.iterations, **setting())
        return fit

    return run
