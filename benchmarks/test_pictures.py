"""Time of one fit against k, on all pixels of a picture, and of the tutorial's sweep over k."""

from time import perf_counter

import numpy as np
import pytest

from kmq import reference
from kmq.competitors import COMPETITORS

from .problems import SEED, TUTORIAL, own_flower, tutorial_flower

ks = pytest.mark.parametrize("k", [8, 16, 32])
competitors = pytest.mark.parametrize("name", ["numpy", "scikit-learn", "kmq"])


class Fits(dict):
    """Fits by competitor and problem; one that is asked for before its race is made here."""

    def __missing__(self, key):
        name, problem = key
        return self.setdefault(key, COMPETITORS[name].fit(problem))


@pytest.fixture(scope="module")
def fits():
    return Fits()


@pytest.fixture
def solve(benchmark, race, fits):
    """Race a competitor on a problem, record the inertia it reaches and return its fit."""

    def run(name, problem):
        fit = fits[name, problem] = race(name, problem)
        benchmark.extra_info["inertia"] = inertia(problem, fit)
        return fit

    return run


def inertia(problem, fit):
    labels = reference.assign(problem.X, fit.centers)
    return reference.inertia(problem.X, None, fit.centers, labels)


def assert_same(fit, other):
    assert fit.iterations == other.iterations
    np.testing.assert_allclose(fit.centers, other.centers, rtol=1e-9)


@ks
@competitors
def test_flower(benchmark, solve, fits, name, k):
    benchmark.group = f"flower.jpg, k={k:2d}"
    problem = own_flower(k)
    assert_same(solve(name, problem), fits["numpy", problem])


@pytest.mark.grid
@pytest.mark.skipif(not TUTORIAL.exists(), reason="the tutorial's picture is not on this machine")
@ks
@competitors
def test_tutorial_flower(benchmark, solve, fits, name, k):
    benchmark.group = f"the tutorial's flower.jpg, k={k:2d}"
    problem = tutorial_flower(k)
    fit, plain = solve(name, problem), fits["numpy", problem]
    # This start is full of exact ties. They go to the lowest index here as in kmq; where those
    # of scikit-learn go, its rounding decides, and it ends some millionths away.
    if name == "kmq":
        assert_same(fit, plain)
    np.testing.assert_allclose(inertia(problem, fit), inertia(problem, plain), rtol=1e-4)


@pytest.mark.grid
@pytest.mark.skipif(not TUTORIAL.exists(), reason="the tutorial's picture is not on this machine")
def test_sweep(benchmark):
    """The tutorial's sweep with five starts for each k, by kmq and by scikit-learn."""
    from sklearn.cluster import KMeans

    from kmq import load_image, record_k_metrics

    img, k_values = load_image(TUTORIAL), list(range(2, 65, 2))
    benchmark.group = "the tutorial's sweep, k = 2, 4 … 64, five starts each"
    costs, times = benchmark.pedantic(
        record_k_metrics, (img, k_values, SEED), rounds=3, warmup_rounds=1
    )
    begun = perf_counter()
    their_costs, their_times = record_k_metrics(img, k_values, SEED, estimator=KMeans)
    benchmark.extra_info.update(
        k=k_values,
        scikit_learn_s=perf_counter() - begun,
        kmq_times=times,
        scikit_learn_times=their_times,
        costs=costs,
    )
    np.testing.assert_allclose(costs, their_costs, rtol=1e-9)
