"""What an estimator checks and warns of before and after the loop: samples, weights, results."""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight


def read_only(array: NDArray) -> NDArray:
    """View of an array that kernels see as read-only: one compiled form for every input."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def checked_weight(sample_weight: ArrayLike | None, X: NDArray) -> NDArray:
    """Weights of the samples, of the dtype of X; ValueError where one is negative."""
    weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
    if sample_weight is not None and weight.min() < 0:
        raise ValueError(
            f"sample_weight must not be negative, but sample {int(weight.argmin())} has "
            f"weight {weight.min():g}."
        )
    return weight


def scaled_tolerance(X: NDArray, tol: float) -> float:
    """`tol` times the mean variance of the features, summed as NumPy would, block by block."""
    if tol == 0:
        return 0.0
    mean = X.mean(axis=0)
    total = np.zeros((1, X.shape[1]), X.dtype)
    rows = max(1, (1 << 18) // X.shape[1])
    for start in range(0, len(X), rows):
        sq = X[start : start + rows] - mean
        sq *= sq
        total = np.add.reduce(np.concatenate([total, sq]), axis=0, keepdims=True)
    return float(np.mean(total[0] / len(X)) * tol)


def same_clustering(labels: NDArray, others: NDArray) -> bool:
    """Whether two labelings part the samples alike, up to the names of the clusters."""
    name = np.zeros(labels.max() + 1, others.dtype)
    name[labels] = others
    return bool((name[labels] == others).all())


def warn_of_missing_clusters(labels: NDArray, k: int) -> None:
    """Warn where some clusters ended without samples."""
    found = np.count_nonzero(np.bincount(labels, minlength=k))
    if found < k:
        warnings.warn(
            f"Number of distinct clusters ({found}) found smaller than n_clusters ({k}). "
            "Possibly due to duplicate points in X.",
            ConvergenceWarning,
            stacklevel=4,
        )
