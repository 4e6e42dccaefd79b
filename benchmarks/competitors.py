"""The one table of competitors: name to callable. Each solves a `Problem` and hands back a `Fit`.

A competitor imports its library when it is called, so that collecting the benchmarks loads none.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .problems import Problem


class Fit(NamedTuple):
    """What a competitor found."""

    centers: NDArray[np.float64]
    iterations: int


def kmq(problem: Problem) -> Fit:
    from kmq.model import KMeans

    return _fit_estimator(KMeans, problem)


def scikit_learn(problem: Problem) -> Fit:
    from sklearn.cluster import KMeans

    return _fit_estimator(KMeans, problem)


def numpy(problem: Problem) -> Fit:
    from kmq.reference import KMeans

    km = KMeans(len(problem.start), problem.tol, problem.max_iter, init=problem.start)
    km.fit(problem.X)
    return Fit(km.cluster_centers_, km.iterations)


def _fit_estimator(cls: type, problem: Problem) -> Fit:
    """Fit a class that has scikit-learn's parameters."""
    km = cls(
        n_clusters=len(problem.start),
        init=problem.start,
        n_init=1,
        max_iter=problem.max_iter,
        tol=problem.relative_tol,
    )
    km.fit(problem.X)
    return Fit(km.cluster_centers_, km.n_iter_)


COMPETITORS: dict[str, Callable[[Problem], Fit]] = {
    "numpy": numpy,
    "scikit-learn": scikit_learn,
    "kmq": kmq,
}

# Seconds a fit and nothing to warm up: one round tells enough.
SLOW = {"numpy"}
