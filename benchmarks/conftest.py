"""Benchmarks run only when asked for, and the long ones only with ``--grid``."""

from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

from kmq.bench import setting
from kmq.competitors import COMPETITORS

HERE = Path(__file__).parent
ROUNDS = 7
HELD = pytest.StashKey[bool]()
# Where a fit takes longer than this, one round tells enough; seconds.
LONG = 1.0


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep whether a benchmark held, for its record."""
    report = yield
    if report.when == "call":
        item.stash[HELD] = report.passed
    return report


@pytest.fixture(autouse=True)
def _setting_recorded(request):
    """Leave versions, cores, threads and the verdict in the record of every benchmark."""
    if "benchmark" not in request.fixturenames:
        yield
        return
    benchmark = request.getfixturevalue("benchmark")
    yield
    benchmark.extra_info.update(setting(), held=request.node.stash.get(HELD, False))


def timed(call, rounds=ROUNDS):
    """Median time of some calls, fewer where one is long, and what the last returned."""
    times = []
    while len(times) < rounds and sum(times) < LONG:
        begun = perf_counter()
        result = call()
        times.append(perf_counter() - begun)
    return median(times), result


@pytest.fixture
def race(benchmark):
    """Time one competitor on one problem, apart from its first call, and return its fit.

    The first call of a compiled competitor compiles or loads its kernels; its time goes into
    ``extra_info`` as ``first_call_s`` and into no statistic.
    """

    def run(name, problem):
        competitor = COMPETITORS[name]
        info = {"competitor": name, "k": len(problem.start), "n": len(problem.X)}
        if competitor.slow:
            rounds = 1
        else:
            rounds = ROUNDS
            begun = perf_counter()
            competitor.fit(problem)
            info["first_call_s"] = perf_counter() - begun
        fit = benchmark.pedantic(competitor.fit, (problem,), rounds=rounds)
        benchmark.extra_info.update(info, iterations=fit.iterations)
        return fit

    return run


@pytest.fixture
def duel(benchmark):
    """Fit samples with kmq and with scikit-learn, side by side in one process; return both fits.

    Neither's first call counts.
    """

    def run(X, k, **parameters):
        from sklearn.cluster import KMeans as Rival

        from kmq.model import KMeans

        few = parameters | {"init": X[:k].astype("float64"), "n_init": 1, "max_iter": 1}
        for estimator in (KMeans, Rival):
            estimator(k, **few).fit(X)
        begun = perf_counter()
        KMeans(k, **parameters).fit(X)
        first = perf_counter() - begun
        theirs, rival = timed(lambda: Rival(k, **parameters).fit(X))
        ours, km = timed(lambda: KMeans(k, **parameters).fit(X))
        benchmark.pedantic(lambda: KMeans(k, **parameters).fit(X), rounds=ROUNDS)
        benchmark.extra_info.update(
            k=k,
            n=len(X),
            first_call_s=first,
            scikit_learn_s=theirs,
            kmq_s=ours,
            ratio=theirs / ours,
            iterations=km.n_iter_,
            inertia=km.inertia_,
        )
        return km, rival

    return run
