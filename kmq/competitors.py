"""Programs that compute k-means, and the problem that all of them are given.

Each imports its library when it is called, so that importing this loads none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["COMPETITORS", "Competitor", "Fit", "Problem"]

_SEED = 44


@dataclass(frozen=True, eq=False)
class Problem:
    """Samples to cluster and the centres every competitor starts from.

    The fit ends when the Frobenius norm of the centres' movement falls below `tol`, or after
    `max_iter` iterations.

    Attributes
    ----------
    X : (n, d) array
        Samples.
    start : (k, d) float64 array
        First centres.
    tol : float
        In units of X.
    max_iter : int
        The most iterations.
    """

    X: NDArray
    start: NDArray[np.float64]
    tol: float = 1e-2
    max_iter: int = 100

    @cached_property
    def relative_tol(self) -> float:
        """The same rule in scikit-learn's terms: a square, relative to the mean variance."""
        variance = float(np.var(self.X, axis=0).mean())
        return self.tol**2 / variance if variance else 0.0


class Fit(NamedTuple):
    """What a competitor found."""

    centers: NDArray
    iterations: int


@dataclass(frozen=True)
class Competitor:
    """A program that solves a `Problem`.

    Attributes
    ----------
    fit : callable
        Takes a `Problem`, returns a `Fit`.
    package : str
        The distribution that has to be installed.
    rule : str
        What it does otherwise than the problem says; nothing where it keeps to it.
    slow : bool
        Whether a fit takes seconds, so that once tells enough.
    """

    fit: Callable[[Problem], Fit]
    package: str
    rule: str = ""
    slow: bool = False

    @property
    def installed(self) -> bool:
        """Whether its package is here."""
        try:
            version(self.package)
        except PackageNotFoundError:
            return False
        return True


def _kmq(problem: Problem) -> Fit:
    from kmq.model import KMeans

    return _fit_estimator(KMeans, problem)


def _scikit_learn(problem: Problem) -> Fit:
    from sklearn.cluster import KMeans

    return _fit_estimator(KMeans, problem)


def _intelex(problem: Problem) -> Fit:
    from sklearnex.cluster import KMeans

    return _fit_estimator(KMeans, problem)


def _fit_estimator(cls: Any, problem: Problem) -> Fit:
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


def _numpy(problem: Problem) -> Fit:
    from kmq.reference import KMeans

    km = KMeans(len(problem.start), problem.tol, problem.max_iter, init=problem.start)
    km.fit(problem.X)
    return Fit(km.cluster_centers_, km.iterations)


def _faiss(problem: Problem) -> Fit:
    import faiss

    n, d = problem.X.shape
    km = faiss.Kmeans(d, len(problem.start), niter=problem.max_iter, max_points_per_centroid=n)
    X = np.ascontiguousarray(problem.X, np.float32)
    km.train(X, init_centroids=problem.start.astype(np.float32))
    return Fit(np.asarray(km.centroids), problem.max_iter)


def _scipy(problem: Problem) -> Fit:
    from scipy.cluster.vq import kmeans2

    X = np.asarray(problem.X, np.float64)
    start = problem.start.astype(np.float64)
    centers, _ = kmeans2(X, start, iter=problem.max_iter, minit="matrix")
    return Fit(centers, problem.max_iter)


def _opencv(problem: Problem) -> Fit:
    import cv2

    from kmq.reference import assign

    X = np.ascontiguousarray(problem.X, np.float32)
    labels = assign(X, problem.start)[:, np.newaxis]
    rule = (cv2.TERM_CRITERIA_COUNT, problem.max_iter, 0.0)
    flags = cv2.KMEANS_USE_INITIAL_LABELS
    _, _, centers = cv2.kmeans(X, len(problem.start), labels, rule, 1, flags)
    return Fit(centers, problem.max_iter)


def _superkmeans(problem: Problem) -> Fit:
    from superkmeans import SuperKMeans

    X = np.ascontiguousarray(problem.X, np.float32)
    km = SuperKMeans(
        len(problem.start),
        X.shape[1],
        hierarchical=False,
        iters=problem.max_iter,
        sampling_fraction=1.0,
        max_points_per_cluster=len(X),
        early_termination=False,
        seed=_SEED,
    )
    return Fit(km.train(X), problem.max_iter)


_COUNTED = "float32, as many iterations as kmq"
_IN_DOUBLE = "float64, as many iterations as kmq"

COMPETITORS: dict[str, Competitor] = {
    "numpy": Competitor(_numpy, "numpy", slow=True),
    "scipy": Competitor(_scipy, "scipy", _IN_DOUBLE, slow=True),
    "scikit-learn": Competitor(_scikit_learn, "scikit-learn"),
    "scikit-learn-intelex": Competitor(_intelex, "scikit-learn-intelex"),
    "faiss": Competitor(_faiss, "faiss-cpu", _COUNTED),
    "opencv": Competitor(_opencv, "opencv-python-headless", f"{_COUNTED}, labels to start from"),
    "superkmeans": Competitor(_superkmeans, "superkmeans", f"{_COUNTED}, a start of its own"),
    "kmq": Competitor(_kmq, "numpy"),
}
