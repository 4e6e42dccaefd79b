"""`kmeans_plusplus`, the starts of `KMeans` as a function."""

from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from kmq.checks import FLOATS, checked_weight, read_only

__all__ = ["kmeans_plusplus"]


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "sample_weight": ["array-like", None],
        "x_squared_norms": ["array-like", None],
        "random_state": ["random_state"],
        "n_local_trials": [Interval(Integral, 1, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
def kmeans_plusplus(
    X: Any,
    n_clusters: int,
    *,
    sample_weight: ArrayLike | None = None,
    x_squared_norms: ArrayLike | None = None,
    random_state: Any = None,
    n_local_trials: int | None = None,
) -> tuple[NDArray, NDArray[np.intp]]:
    """Pick samples as initial centres by greedy k-means++.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Samples. Sparse ones are left to scikit-learn.
    n_clusters : int
        Number of centres to pick.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples, not negative; 1 for each by default.
    x_squared_norms : array-like of shape (n_samples,), optional
        Accepted for compatibility: distances are computed without norms.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws: an integer gives the samples that scikit-learn picks for it.
    n_local_trials : int, optional
        Candidates a round, of which the best is kept; by default 2 + ⌊log n_clusters⌋.

    Returns
    -------
    centers : ndarray of shape (n_clusters, n_features)
        The samples picked, of the dtype of X.
    indices : ndarray of shape (n_clusters,)
        Their indices: ``X[indices] == centers``.

    Raises
    ------
    ValueError
        If a parameter, the samples or the weights are out of bounds; the text names it.

    References
    ----------
    .. [1] Arthur, D. and Vassilvitskii, S. (2007). k-means++: the advantages of careful
       seeding. SODA.

    Examples
    --------
    >>> import numpy as np
    >>> from kmq import kmeans_plusplus
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> centers, indices = kmeans_plusplus(X, n_clusters=2, random_state=0)
    >>> centers
    array([[10,  2],
           [ 1,  0]])
    """
    if sp.issparse(X):
        from sklearn import cluster

        # Of other formats not all SciPy versions give out a row, as scikit-learn asks.
        return cluster.kmeans_plusplus(
            X.tocsr(),
            n_clusters,
            sample_weight=sample_weight,
            x_squared_norms=x_squared_norms,
            random_state=random_state,
            n_local_trials=n_local_trials,
        )
    from kmq.engine import seeding
    from kmq.engine.table import Table

    samples = read_only(check_array(X, dtype=FLOATS, order="C"))
    table = Table(samples, checked_weight(sample_weight, samples))
    n = len(samples)
    if n < n_clusters:
        raise ValueError(f"n_samples={n} should be >= n_clusters={n_clusters}.")
    if x_squared_norms is not None and len(norms := np.asarray(x_squared_norms)) != n:
        raise ValueError(
            f"The length of x_squared_norms {len(norms)} should be equal to the length of "
            f"n_samples {n}."
        )
    rng = check_random_state(random_state)
    indices = seeding.kmeans_plusplus(table, n_clusters, rng, n_local_trials)
    return np.asarray(X)[indices], indices
