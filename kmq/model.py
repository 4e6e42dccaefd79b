"""`KMeans`, the estimator: parameters, validation, restarts and fitted attributes.

The tutorial's other names live here too: `clusters_cost`, `record_k_metrics`, `plot_k_metrics`.
"""

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

if TYPE_CHECKING:
    from kmq.engine.lloyd import Fit

__all__ = ["KMeans", "clusters_cost", "plot_k_metrics", "record_k_metrics"]  # noqa: F822

_FLOATS = (np.float64, np.float32)


def __getattr__(name: str) -> Any:
    if name in ("record_k_metrics", "plot_k_metrics"):
        from kmq import profile

        return getattr(profile, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Exact k-means, a drop-in for `sklearn.cluster.KMeans`.

    The same seed gives the same clusters as scikit-learn, and the same bits for any number of
    threads.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters, and of centres.
    init : {'k-means++', 'random'}, callable or array-like of shape (n_clusters, n_features), \
            default='k-means++'
        How to start: greedy k-means++, samples at random, the given centres, or
        ``init(X, n_clusters, random_state)``, which sees the samples less their mean and
        returns centres less that mean.
    n_init : 'auto' or int, default='auto'
        Number of starts, of which the one with the lowest inertia is kept. ``'auto'`` is 1 for
        k-means++ and for given centres, 10 for random starts and callables.
    max_iter : int, default=300
        The most iterations of one start.
    tol : float, default=1e-4
        Stop when the squared movement of all centres in one iteration is at most `tol` times
        the mean variance of the features.
    verbose : int, default=0
        Print each iteration's inertia where positive.
    random_state : int, RandomState instance or None, default=None
        Seed of the starts.
    copy_x : bool, default=True
        Accepted for compatibility: the samples are never altered.
    algorithm : {'lloyd', 'elkan'}, default='lloyd'
        Accepted for compatibility: both run the fastest exact way for the data, and give the
        same result.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Centres.
    labels_ : ndarray of shape (n_samples,), int32
        Index of the nearest centre of each sample, ties to the lowest. Always equal to
        ``predict(X)``.
    inertia_ : float
        Weighted sum of squared distances of the samples to their centres, computed from
        explicit differences in float64.
    n_iter_ : int
        Iterations run.
    inertia_history_ : ndarray of shape (n_iter_,), float64
        Inertia at each iteration, of its labels and the centres that gave them.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen in `fit`, where X has string names.

    References
    ----------
    .. [1] Lloyd, S. (1982). Least squares quantization in PCM. IEEE Transactions on
       Information Theory 28(2).
    .. [2] Arthur, D. and Vassilvitskii, S. (2007). k-means++: the advantages of careful
       seeding. SODA.

    Examples
    --------
    >>> import numpy as np
    >>> from kmq import KMeans
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> kmeans = KMeans(n_clusters=2, random_state=0).fit(X)
    >>> kmeans.labels_
    array([1, 1, 1, 0, 0, 0], dtype=int32)
    >>> kmeans.predict([[0, 0], [12, 3]])
    array([1, 0], dtype=int32)
    """

    __metadata_request__fit: ClassVar[dict[str, str]] = {"callback": UNUSED}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"k-means++", "random"}), callable, "array-like"],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "copy_x": ["boolean"],
        "algorithm": [StrOptions({"lloyd", "elkan"})],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: Any = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: int = 0,
        random_state: Any = None,
        copy_x: bool = True,
        algorithm: str = "lloyd",
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.random_state = random_state
        self.copy_x = copy_x
        self.algorithm = algorithm

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        callback: Callable[[int, float, NDArray], None] | None = None,
    ) -> "KMeans":
        """Cluster the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples. float32 stays float32; everything else is taken as float64.
        y : ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples, not negative; 1 for each by default.
        callback : callable, optional
            Called as ``callback(iteration, inertia, centers)`` in each iteration of each
            start, with a copy of the centres. What it raises ends the fit.

        Returns
        -------
        self : KMeans
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, the samples or the weights are out of bounds; the text names it.
        """
        from kmq.engine.lloyd import lloyd
        from kmq.engine.steps import choose_step

        samples = _read_only(validate_data(self, X, dtype=_FLOATS, order="C"))
        n_starts = self._check_starts(samples.shape)
        weight = _checked_weight(sample_weight, samples)
        init = self._check_init(samples)
        tol = _scaled_tolerance(samples, self.tol)
        rng = check_random_state(self.random_state)
        step = choose_step(
            samples, _read_only(weight.astype(np.float64, copy=False)), self.n_clusters
        )

        best: Fit | None = None
        for _ in range(n_starts):
            centers = self._start(samples, init, weight, rng)
            if self.verbose:
                print("Initialization complete")
            fit = lloyd(
                step,
                centers,
                max_iter=self.max_iter,
                tol=tol,
                on_iteration=_reporter(self.verbose, callback),
            )
            if self.verbose and (fit.strict or fit.shift <= tol):
                print(_convergence_text(fit, tol))
            if best is None or (
                fit.inertia < best.inertia and not _same_clustering(fit.labels, best.labels)
            ):
                best = fit
        assert best is not None
        _warn_of_missing_clusters(best.labels, self.n_clusters)

        self.cluster_centers_ = best.centers
        self.labels_ = best.labels
        self.inertia_ = best.inertia
        self.n_iter_ = best.n_iter
        self.inertia_history_ = best.inertia_history
        return self

    def fit_predict(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.int32]:
        """Cluster the samples and return their labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int32
            Index of the cluster of each sample.
        """
        return self.fit(X, sample_weight=sample_weight).labels_

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Return the index of the nearest centre of each sample, ties to the lowest.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples, taken in the dtype of the centres.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int32
            Index of the nearest centre.
        """
        check_is_fitted(self)
        samples = self._check_new(X)
        return self._assigned(samples, np.ones(len(samples))).labels

    def transform(self, X: ArrayLike) -> NDArray:
        """Return the distances of samples to all centres.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            Euclidean distances.
        """
        from sklearn.metrics.pairwise import euclidean_distances

        check_is_fitted(self)
        return euclidean_distances(self._check_new(X), self.cluster_centers_)

    def fit_transform(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> NDArray:
        """Cluster the samples and return their distances to all centres.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            Euclidean distances.
        """
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return minus the inertia of samples against the fitted centres.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        score : float
            Minus the weighted sum of squared distances to the nearest centres.
        """
        check_is_fitted(self)
        samples = self._check_new(X)
        weight = _checked_weight(sample_weight, samples).astype(np.float64, copy=False)
        step = self._assigned(samples, weight)
        return -step.inertia(self.cluster_centers_)

    @property
    def iterations(self) -> int:
        """Iterations run: the tutorial's name for ``n_iter_``."""
        return self.n_iter_

    @property
    def _n_features_out(self) -> int:
        """Number of features of the transformed samples, for `get_feature_names_out`."""
        return self.cluster_centers_.shape[0]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "cluster_centers_")

    def _assigned(self, X: NDArray, weight: NDArray[np.float64]) -> Any:
        """Return a step that has assigned samples to the fitted centres."""
        from kmq.engine.steps import choose_step

        step = choose_step(_read_only(X), _read_only(weight), self.cluster_centers_.shape[0])
        step.relabel(self.cluster_centers_)
        return step

    def _check_new(self, X: ArrayLike) -> NDArray:
        """Validate samples that come after a fit."""
        return validate_data(self, X, reset=False, dtype=self.cluster_centers_.dtype, order="C")

    def _check_starts(self, shape: tuple[int, int]) -> int:
        """Check the parameters against the samples; the number of starts to make."""
        if shape[0] < self.n_clusters:
            raise ValueError(f"n_samples={shape[0]} should be >= n_clusters={self.n_clusters}.")
        given = not isinstance(self.init, str) and not callable(self.init)
        if self.n_init == "auto":
            many = callable(self.init) or (isinstance(self.init, str) and self.init == "random")
            n_starts = 10 if many else 1
        else:
            n_starts = self.n_init
        if given and n_starts != 1:
            warnings.warn(
                "Explicit initial center position passed: performing only one init in "
                f"{type(self).__name__} instead of n_init={n_starts}.",
                RuntimeWarning,
                stacklevel=3,
            )
            n_starts = 1
        if self.algorithm == "elkan" and self.n_clusters == 1:
            warnings.warn(
                "algorithm='elkan' doesn't make sense for a single cluster. Using 'lloyd' instead.",
                RuntimeWarning,
                stacklevel=3,
            )
        return n_starts

    def _check_init(self, X: NDArray) -> Any:
        """Validate the centres given as `init`; anything else is returned as it is."""
        if isinstance(self.init, str) or callable(self.init):
            return self.init
        centers = check_array(self.init, dtype=X.dtype, copy=True, order="C")
        self._check_center_shape(centers, X.shape[1])
        return centers

    def _check_center_shape(self, centers: NDArray, n_features: int) -> None:
        """Raise where centres do not fit the number of clusters or of features."""
        if centers.shape[0] != self.n_clusters:
            raise ValueError(
                f"The shape of the initial centers {centers.shape} does not match the number "
                f"of clusters {self.n_clusters}."
            )
        if centers.shape[1] != n_features:
            raise ValueError(
                f"The shape of the initial centers {centers.shape} does not match the number "
                f"of features of the data {n_features}."
            )

    def _start(self, X: NDArray, init: Any, weight: NDArray, rng: np.random.RandomState) -> NDArray:
        """Centres to start from, an array of the caller's own."""
        from kmq.engine import seeding

        if isinstance(init, str) and init == "k-means++":
            return X[seeding.kmeans_plusplus(X, self.n_clusters, weight, rng)]
        if isinstance(init, str):
            return X[seeding.random_rows(X.shape[0], self.n_clusters, weight, rng)]
        if not callable(init):
            return init
        # scikit-learn clusters samples less their mean, and shows these to the callable.
        mean = X.mean(axis=0)
        centers = init(X - mean, self.n_clusters, random_state=rng)
        centers = check_array(centers, dtype=X.dtype, order="C")
        self._check_center_shape(centers, X.shape[1])
        return centers + mean


def clusters_cost(X: ArrayLike, centroids: ArrayLike, labels: ArrayLike) -> float:
    """Sum the squared distances of samples to the centroids of their clusters.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Samples.
    centroids : array-like of shape (k, d)
        Centroids, of any dtype: differences are taken in float64.
    labels : array-like of shape (n,)
        Index of the centroid of each sample.

    Returns
    -------
    cost : float
        Sum over all samples, in squared units of X.
    """
    samples, owner = np.asarray(X), np.asarray(labels)
    centers = np.asarray(centroids, np.float64)
    rows = 1 << 16
    parts = []
    for start in range(0, len(samples), rows):
        difference = samples[start : start + rows] - centers[owner[start : start + rows]]
        parts.append(float(np.vdot(difference, difference)))
    return float(np.sum(parts))


def _read_only(array: NDArray) -> NDArray:
    """View of an array that kernels see as read-only: one compiled form for every input."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _checked_weight(sample_weight: ArrayLike | None, X: NDArray) -> NDArray:
    """Weights of the samples, of the dtype of X; ValueError where one is negative."""
    weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
    if sample_weight is not None and weight.min() < 0:
        raise ValueError(
            f"sample_weight must not be negative, but sample {int(weight.argmin())} has "
            f"weight {weight.min():g}."
        )
    return weight


def _scaled_tolerance(X: NDArray, tol: float) -> float:
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


def _reporter(
    verbose: int, callback: Callable[[int, float, NDArray], None] | None
) -> Callable[[int, float, NDArray], None] | None:
    """What the loop should call in each iteration."""
    if not verbose:
        return callback

    def report(iteration: int, inertia: float, centers: NDArray) -> None:
        print(f"Iteration {iteration}, inertia {inertia}.")
        if callback is not None:
            callback(iteration, inertia, centers)

    return report


def _convergence_text(fit: "Fit", tol: float) -> str:
    """Say why a fit ended, in scikit-learn's words."""
    last = fit.n_iter - 1
    if fit.strict:
        return f"Converged at iteration {last}: strict convergence."
    return f"Converged at iteration {last}: center shift {fit.shift} within tolerance {tol}."


def _same_clustering(labels: NDArray, others: NDArray) -> bool:
    """Whether two labelings part the samples alike, up to the names of the clusters."""
    name = np.zeros(labels.max() + 1, others.dtype)
    name[labels] = others
    return bool((name[labels] == others).all())


def _warn_of_missing_clusters(labels: NDArray, k: int) -> None:
    """Warn where some clusters ended without samples."""
    found = np.count_nonzero(np.bincount(labels, minlength=k))
    if found < k:
        warnings.warn(
            f"Number of distinct clusters ({found}) found smaller than n_clusters ({k}). "
            "Possibly due to duplicate points in X.",
            ConvergenceWarning,
            stacklevel=3,
        )
