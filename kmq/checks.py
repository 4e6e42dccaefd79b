"""What an estimator checks and warns of: samples, starts, weights, results."""

import warnings
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, validate_data

from kmq.engine.threads import n_threads, run_blocks

FLOATS = (np.float64, np.float32)
# Values at a time to be added up.
_VALUES = 1 << 20
# Whether a parameter is right hangs on its value, or for the second types on its type alone.
_BY_VALUE = (int, float, bool, str, type(None))
_BY_TYPE = (np.ndarray, np.random.RandomState)
_MOST_RIGHT = 1000

# By class of the estimator, and no longer than this lives.
_right: WeakKeyDictionary[type, set[tuple[Any, ...]]] = WeakKeyDictionary()


def check_parameters(estimator: Any, check: Callable[[], None]) -> None:
    """Call what checks the parameters of an estimator, unless the same ones were right before.

    scikit-learn looks through them at every fit, for a twentieth of a small one.
    """
    known: list[Any] = []
    for name in estimator._parameter_constraints:
        value = getattr(estimator, name, None)
        kind = type(value)
        if kind not in _BY_VALUE and kind not in _BY_TYPE:
            check()
            return
        known += kind, value if kind in _BY_VALUE else None
    right = _right.setdefault(type(estimator), set())
    if tuple(known) in right:
        return
    check()
    if len(right) >= _MOST_RIGHT:
        right.clear()
    right.add(tuple(known))


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


def _is_plain(X: Any, dtype: Any) -> bool:
    """Whether samples are an array of one of some dtypes as kernels want it, finite for sure."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype not in dtype:
        return False
    return X.flags.c_contiguous and _sums_to_finite(X.reshape(-1))


def _sums_to_finite(values: NDArray) -> bool:
    """Whether the sum of values is finite, and so is each of them."""
    finite = True

    def add_up(worker: int, first: int, last: int) -> None:
        nonlocal finite
        some = values[first * _VALUES : last * _VALUES]
        with np.errstate(over="ignore", invalid="ignore"):  # it holds for one thread only
            if not np.isfinite(some.sum()):
                finite = False

    n_blocks = -(-len(values) // _VALUES)
    run_blocks(add_up, n_blocks, n_threads() if n_blocks > 1 else 1)
    return finite


def is_given(init: Any) -> bool:
    """Whether a start is an array of centres, neither a name nor a callable."""
    return not isinstance(init, str) and not callable(init)


def checked_samples(estimator: Any, X: Any, *, reset: bool, dtype: Any) -> Any:
    """Validate samples: a read-only C-ordered array, or a CSR matrix.

    Pixels of 8 bits stay what they are where float64 would be their dtype.
    """
    pixels = is_pixels(X) and np.float64 in dtype
    if (pixels or _is_plain(X, dtype)) and X.size:
        known = reset or X.shape[1] == estimator.n_features_in_
        if known and not hasattr(estimator, "feature_names_in_"):
            # Nothing is wrong with these, and to be told so takes a tenth of a small fit.
            estimator.n_features_in_ = X.shape[1]
            return read_only(X)
    if pixels:
        dtype = np.uint8
    samples = validate_data(
        estimator,
        X,
        reset=reset,
        accept_sparse="csr",
        accept_large_sparse=False,
        dtype=dtype,
        order="C",
    )
    return samples if sp.issparse(samples) else read_only(samples)


def checked_starts(estimator: Any, n: int) -> int:
    """Check the parameters against the number of samples; the number of starts to make."""
    k, init = estimator.n_clusters, estimator.init
    if n < k:
        raise ValueError(f"n_samples={n} should be >= n_clusters={k}.")
    if estimator.n_init == "auto":
        n_starts = 10 if callable(init) or (isinstance(init, str) and init == "random") else 1
    else:
        n_starts = estimator.n_init
    if is_given(init) and n_starts != 1:
        warnings.warn(
            "Explicit initial center position passed: performing only one init in "
            f"{type(estimator).__name__} instead of n_init={n_starts}.",
            RuntimeWarning,
            stacklevel=4,
        )
        n_starts = 1
    if estimator.algorithm == "elkan" and k == 1:
        warnings.warn(
            "algorithm='elkan' doesn't make sense for a single cluster. Using 'lloyd' instead.",
            RuntimeWarning,
            stacklevel=4,
        )
    return n_starts


def checked_centers(init: ArrayLike, k: int, d: int, dtype: np.dtype) -> NDArray:
    """Validate centres to start from: a C-ordered (k, d) array of the loop's own.

    ValueError where they are not finite, or do not fit the number of clusters or features.
    """
    sound = type(init) is np.ndarray and init.dtype == dtype and init.ndim == 2 and init.size
    # Asking scikit-learn as well whether they are takes 5 % of a small fit.
    if sound and np.isfinite(init).all():
        centers = np.array(init, order="C")
    else:
        centers = check_array(init, dtype=dtype, copy=True, order="C")
    if centers.shape[0] != k:
        raise ValueError(
            f"The shape of the initial centers {centers.shape} does not match the number "
            f"of clusters {k}."
        )
    if centers.shape[1] != d:
        raise ValueError(
            f"The shape of the initial centers {centers.shape} does not match the number "
            f"of features of the data {d}."
        )
    return centers


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
