"""`KMeans`, the estimator: parameters, restarts and fitted attributes.

The other names that scikit-learn and the tutorial keep beside it are found here too:
`kmeans_plusplus`, `clusters_cost`, `record_k_metrics`, `plot_k_metrics`.
"""

from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from kmq.checks import (
    FLOATS,
    check_parameters,
    checked_centers,
    checked_samples,
    checked_starts,
    checked_weight,
    is_given,
    read_only,
    same_clustering,
    warn_of_missing_clusters,
)
from kmq.start import kmeans_plusplus

if TYPE_CHECKING:
    from kmq.engine.lloyd import Fit
    from kmq.engine.samples import Samples
    from kmq.engine.steps import Step

__all__ = [
    "KMeans",
    "clusters_cost",
    "kmeans_plusplus",
    "plot_k_metrics",  # noqa: F822
    "record_k_metrics",  # noqa: F822
]

_FITTED = {
    "backend_",
    "cluster_centers_",
    "inertia_",
    "inertia_history_",
    "labels_",
    "n_iter_",
}


def __getattr__(name: str) -> Any:
    if name in ("record_k_metrics", "plot_k_metrics"):
        from kmq import profile

        return getattr(profile, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """Exact k-means, a drop-in for `sklearn.cluster.KMeans`.

    The same seed gives the same clusters as scikit-learn, and the same bits for any number of
    threads.

    Sparse matrices are the one thing that kmq leaves to scikit-learn: a fit on one is a fit of
    `sklearn.cluster.KMeans`, and ``backend_`` says so.

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
        explicit differences in float64, for pixels from sums in whole numbers.
    n_iter_ : int
        Iterations run.
    inertia_history_ : ndarray of shape (n_iter_,), float64
        Inertia at each iteration, of its labels and the centres that gave them. Absent after a
        fit on a sparse matrix.
    backend_ : {'kmq', 'scikit-learn'}
        Who ran the fit: scikit-learn where the samples were sparse, else kmq.
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
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples. float32 stays float32; everything else is taken as float64.
        y : ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples, not negative; 1 for each by default.
        callback : callable, optional
            Called as ``callback(iteration, inertia, centers)`` in each iteration of each
            start, with a copy of the centres. What it raises ends the fit. Not for sparse
            samples.

        Returns
        -------
        self : KMeans
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, the samples or the weights are out of bounds; the text names it.
        """
        # What ends this fit early, Ctrl-C or a callback, must not leave half of an older one.
        for name in _FITTED & vars(self).keys():
            delattr(self, name)
        checked = checked_samples(self, X, reset=True, dtype=FLOATS)
        if sp.issparse(checked):
            return self._fit_sparse(checked, sample_weight, callback)
        from kmq.engine.lloyd import lloyd

        self._n_init = checked_starts(self, len(checked))
        samples = self._samples(checked, checked_weight(sample_weight, checked))
        init = self.init
        if is_given(init):
            init = checked_centers(init, self.n_clusters, checked.shape[1], samples.dtype)
        tol = None if self.tol else 0.0
        if self.tol:
            samples.foresee_variance()
        rng = check_random_state(self.random_state)

        best: Fit | None = None
        for _ in range(self._n_init):
            centers = self._start(samples, init, rng)
            if tol is None:
                # The scale is of the dtype of the samples, as in scikit-learn.
                tol = float(samples.mean_variance() * self.tol)
            if self.verbose:
                print("Initialization complete")
            fit = lloyd(
                samples.step(self.n_clusters),
                centers,
                max_iter=self.max_iter,
                tol=tol,
                # Whole numbers that are given tie truly, and then the lowest index is right.
                follow=None if is_given(init) and _whole(centers) else samples.mean(),
                on_iteration=_reporter(self.verbose, callback),
            )
            if self.verbose and (fit.strict or fit.shift <= tol):
                print(_convergence_text(fit, tol))
            if best is None or (
                fit.inertia < best.inertia and not same_clustering(fit.labels, best.labels)
            ):
                best = fit
        assert best is not None
        warn_of_missing_clusters(best.n_filled, self.n_clusters)

        self.cluster_centers_ = best.centers
        self.labels_ = samples.spread(best.labels)
        self.inertia_ = best.inertia
        self.n_iter_ = best.n_iter
        self.inertia_history_ = best.inertia_history
        self.backend_ = "kmq"
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
        samples = self._check_new(X)
        if sp.issparse(samples):
            return self._as_sklearn().predict(samples)
        chosen, step = self._assigned(samples, None)
        return chosen.spread(step.labels)

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
        samples = self._check_new(X)
        weight = checked_weight(sample_weight, samples)
        if sp.issparse(samples):
            return float(self._as_sklearn().score(samples, sample_weight=weight))
        _, step = self._assigned(samples, weight)
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _fit_sparse(self, X: Any, sample_weight: ArrayLike | None, callback: Any) -> "KMeans":
        """Let scikit-learn cluster sparse samples, and take over its result."""
        from sklearn.cluster import KMeans as SklearnKMeans

        if callback is not None:
            raise ValueError("callback is not available for sparse samples: scikit-learn fits them")
        weight = checked_weight(sample_weight, X)
        own = {name: getattr(self, name) for name in self._parameter_constraints}
        fitted = SklearnKMeans(**own).fit(X, sample_weight=weight)
        for name in ("cluster_centers_", "labels_", "inertia_", "n_iter_"):
            setattr(self, name, getattr(fitted, name))
        self.backend_ = "scikit-learn"
        return self

    def _as_sklearn(self) -> Any:
        """A fitted scikit-learn `KMeans` with the centres of this one, for sparse samples."""
        from sklearn.cluster import KMeans as SklearnKMeans

        centers = self.cluster_centers_
        blank = sp.csr_array((1, centers.shape[1]), dtype=centers.dtype)
        twin = SklearnKMeans(1).fit(blank)
        twin.cluster_centers_ = centers
        return twin

    def _validate_params(self) -> None:
        """Check the parameters."""
        check_parameters(self, super()._validate_params)

    def _samples(self, X: NDArray, weight: NDArray | None) -> "Samples":
        """Samples as the engine wants them: what fits of the same ones with other k can share."""
        from kmq.engine.samples import choose_samples

        return choose_samples(X, weight)

    def _assigned(self, X: NDArray, weight: NDArray | None) -> tuple["Samples", "Step"]:
        """Samples, and a step that has assigned them to the fitted centres."""
        from kmq.engine.samples import choose_samples

        samples = choose_samples(X, weight)
        step = samples.step(self.cluster_centers_.shape[0])
        step.relabel(self.cluster_centers_)
        return samples, step

    def _check_new(self, X: Any) -> Any:
        """Validate samples that come after a fit, in the dtype of the centres."""
        check_is_fitted(self)
        return checked_samples(self, X, reset=False, dtype=(self.cluster_centers_.dtype,))

    def _start(self, samples: "Samples", init: Any, rng: np.random.RandomState) -> NDArray:
        """Centres to start from, an array of the caller's own."""
        if isinstance(init, str) and init == "k-means++":
            return samples.plus_plus(self.n_clusters, rng)
        if isinstance(init, str):
            return samples.random(self.n_clusters, rng)
        if not callable(init):
            return init
        # scikit-learn clusters samples less their mean, and shows these to the callable.
        X = samples.floats
        mean = X.mean(axis=0)
        centers = init(X - mean, self.n_clusters, random_state=rng)
        return checked_centers(centers, self.n_clusters, X.shape[1], X.dtype) + mean

    def _init_centroids(
        self,
        X: NDArray,
        x_squared_norms: Any,
        init: Any,
        random_state: np.random.RandomState,
        sample_weight: NDArray,
        n_centroids: int | None = None,
    ) -> NDArray:
        """Start as scikit-learn's method of this name, which its subclasses' tests call."""
        from kmq.engine.samples import FloatSamples

        samples = FloatSamples(read_only(X), sample_weight)
        k = self.n_clusters if n_centroids is None else n_centroids
        plus_plus = isinstance(init, str) and init == "k-means++"
        pick = samples.plus_plus if plus_plus else samples.random
        return pick(k, random_state)


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


def _whole(centers: NDArray) -> bool:
    """Whether all centres are whole numbers."""
    return bool((centers == np.rint(centers)).all())


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
