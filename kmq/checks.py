"""What an estimator checks and warns of before and after the loop: samples, weights, results."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight


def read_only(array: NDArray) -> NDArray:
    """View of an array that kernels see as read-only: one compiled form for every input."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def is_pixels(X: Any) -> bool:
    """Whether samples are an array of 8-bit pixels of 1 to 4 channels."""
    return (
        isinstance(X, np.ndarray) and X.dtype == np.uint8 and X.ndim == 2 and 1 <= X.shape[1] <= 4
    )


def checked_weight(sample_weight: ArrayLike | None, X: Any) -> NDArray | None:
    """Weights of the samples, as floats, None where none are given.

    ValueError where one is negative.
    """
    if sample_weight is None:
        return None
    dtype = X.dtype if X.dtype.kind == "f" else np.float64
    weight = _check_sample_weight(sample_weight, X, dtype=dtype)
    if weight.min() < 0:
        raise ValueError(
            f"sample_weight must not be negative, but sample {int(weight.argmin())} has "
            f"weight {weight.min():g}."
        )
    return read_only(weight)


def same_clustering(labels: NDArray, others: NDArray) -> bool:
    """Whether two labelings part the samples alike, up to the names of the clusters."""
    name = np.zeros(labels.max() + 1, others.dtype)
    name[labels] = others
    return bool((name[labels] == others).all())


def warn_of_missing_clusters(found: int, k: int) -> None:
    """Warn where some clusters ended without samples."""
    if found < k:
        warnings.warn(
            f"Number of distinct clusters ({found}) found smaller than n_clusters ({k}). "
            "Possibly due to duplicate points in X.",
            ConvergenceWarning,
            stacklevel=4,
        )
