"""K-means in plain NumPy: the specification that tests and benchmarks compare with.

Nothing here is compiled, pruned or parallel. Every distance is a sum of explicit squared
differences in float64 and every tie goes to the lowest index, so that what the fast code
computes can be checked against code that can be read in a minute. The functions walk through
the samples block by block; their scratch memory is a few megabytes whatever the input's size.
"""

from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK_ELEMENTS = 1 << 18  # of the (rows, k, d) differences: 2 MiB, which stays in cache


class KMeans:
    """Lloyd's algorithm as the image quantization tutorial defines it.

    Every iteration assigns each sample to its nearest centre and then moves each centre to the
    mean of its samples. The fit ends when the Frobenius norm of the centres' movement falls
    below `tol`, or after `max_iter` iterations. A cluster that has lost all its samples keeps
    its centre where it was, and the other centres move on.

    Parameters
    ----------
    n_clusters : int
        Number of clusters, k.
    tol : float, default=1e-2
        Smallest movement of all centres together, in units of the samples, that is worth
        another iteration. Zero never stops before `max_iter`.
    max_iter : int, default=100
        Largest number of iterations.
    random_state : int, default=42
        Seed of ``numpy.random.default_rng``, which draws k samples without replacement as the
        first centres.
    init : array-like of shape (n_clusters, n_features), optional
        First centres to use instead of drawn ones.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features), float64
        The final centres.
    labels_ : ndarray of shape (n_samples,), int32
        The cluster of each sample in the last assignment, which came before the last movement
        of the centres. `predict` assigns to the final centres.
    iterations : int
        Number of iterations run.

    References
    ----------
    D. Valenzuela, "K-Means Clustering for Image Quantization", 2023. S. Lloyd, "Least squares
    quantization in PCM", IEEE Transactions on Information Theory 28(2), 1982.

    Examples
    --------
    >>> import numpy as np
    >>> from kmq.reference import KMeans
    >>> X = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> KMeans(2, init=[[0.0], [1.0]]).fit(X).cluster_centers_
    array([[ 0.5],
           [10.5]])
    """

    cluster_centers_: NDArray[np.float64]
    labels_: NDArray[np.int32]
    iterations: int

    def __init__(
        self,
        n_clusters: int,
        tol: float = 1e-2,
        max_iter: int = 100,
        random_state: int = 42,
        init: ArrayLike | None = None,
    ):
        self.n_clusters = n_clusters
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.init = init

    def fit(self, X: ArrayLike) -> Self:
        """Find the centres and labels of the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples of any real type.

        Returns
        -------
        KMeans
            The fitted model itself.

        Raises
        ------
        ValueError
            If there are fewer samples than clusters, or `init` has the wrong shape.
        """
        X = np.asarray(X)
        centers = self._first_centers(X)
        for iteration in range(1, self.max_iter + 1):
            self.iterations = iteration
            self.labels_ = assign(X, centers)
            previous, centers = centers, _move(X, centers, self.labels_)
            if np.linalg.norm(centers - previous) < self.tol:
                break
        self.cluster_centers_ = centers
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Assign samples to the nearest of the final centres.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples of any real type.

        Returns
        -------
        ndarray of shape (n_samples,), int32
            The index of each sample's nearest centre.
        """
        return assign(X, self.cluster_centers_)

    def _first_centers(self, X: NDArray) -> NDArray[np.float64]:
        """Return the given first centres, or k samples drawn without replacement."""
        if self.init is None:
            rng = np.random.default_rng(self.random_state)
            return rng.choice(X, size=self.n_clusters, replace=False).astype(np.float64)
        centers = np.asarray(self.init, dtype=np.float64)
        if centers.shape != (self.n_clusters, X.shape[1]):
            raise ValueError(
                f"init has shape {centers.shape}, expected {(self.n_clusters, X.shape[1])}"
            )
        return centers


def assign(X: ArrayLike, centers: ArrayLike) -> NDArray[np.int32]:
    """Find the nearest centre of every sample.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Samples of any real type.
    centers : array-like of shape (n_clusters, n_features)
        Centres.

    Returns
    -------
    ndarray of shape (n_samples,), int32
        Index of the centre at the smallest squared Euclidean distance; of equals, the lowest.
    """
    X, centers = np.asarray(X), np.asarray(centers, dtype=np.float64)
    labels = np.empty(len(X), dtype=np.int32)
    for block in _blocks(len(X), centers.size):
        differences = X[block, np.newaxis, :] - centers
        labels[block] = np.sum(differences**2, axis=2).argmin(axis=1)
    return labels


def update(
    X: ArrayLike, weight: ArrayLike | None, labels: ArrayLike, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the samples of every cluster.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Samples of any real type.
    weight : array-like of shape (n_samples,) or None
        Weight of each sample; None weighs each one 1.
    labels : array-like of shape (n_samples,), int
        Cluster of each sample, from 0 to k - 1.
    k : int
        Number of clusters.

    Returns
    -------
    sums : ndarray of shape (k, n_features), float64
        Weighted sum of each cluster's samples, in units of X. Zero for an empty cluster.
    counts : ndarray of shape (k,), float64
        Total weight of each cluster's samples. Zero for an empty cluster.
    """
    X, labels = np.asarray(X), np.asarray(labels)
    weight = np.ones(len(X)) if weight is None else np.asarray(weight, dtype=np.float64)
    sums, counts = np.zeros((k, X.shape[1])), np.zeros(k)
    for block in _blocks(len(X), X.shape[1]):
        weighted = weight[block, np.newaxis] * X[block]
        counts += np.bincount(labels[block], weight[block], minlength=k)
        for f, feature in enumerate(weighted.T):
            sums[:, f] += np.bincount(labels[block], feature, minlength=k)
    return sums, counts


def inertia(X: ArrayLike, weight: ArrayLike | None, centers: ArrayLike, labels: ArrayLike) -> float:
    """Sum the squared distances of samples to the centres of their clusters.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Samples of any real type.
    weight : array-like of shape (n_samples,) or None
        Weight of each sample; None weighs each one 1.
    centers : array-like of shape (n_clusters, n_features)
        Centres.
    labels : array-like of shape (n_samples,), int
        Cluster of each sample, from 0 to n_clusters - 1.

    Returns
    -------
    float
        The weighted sum of squared Euclidean distances, in squared units of X.
    """
    X, labels = np.asarray(X), np.asarray(labels)
    centers = np.asarray(centers, dtype=np.float64)
    weight = np.ones(len(X)) if weight is None else np.asarray(weight, dtype=np.float64)
    total = 0.0
    for block in _blocks(len(X), X.shape[1]):
        differences = X[block] - centers[labels[block]]
        total += float(weight[block] @ np.sum(differences**2, axis=1))
    return total


def _move(
    X: NDArray, centers: NDArray[np.float64], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the clusters' means, or the old centre where a cluster is empty."""
    sums, counts = update(X, None, labels, len(centers))
    moved = centers.copy()
    occupied = counts > 0
    moved[occupied] = sums[occupied] / counts[occupied, np.newaxis]
    return moved


def _blocks(n: int, elements_per_row: int) -> Iterator[slice]:
    """Yield slices that cover n rows, each of a bounded number of elements."""
    rows = max(1, _BLOCK_ELEMENTS // max(1, elements_per_row))
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))
