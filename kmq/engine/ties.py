"""What scikit-learn's arithmetic decides where centres are nearly equally near.

Its first assignment compares |c|² - 2xc of samples and centres less the mean, a product of
matrices for 256 samples at a time. Where two centres are nearer to being equally near than such a
product is exact, its rounding decides, and a start from samples is full of that: pixels, counts,
decimals, rows of zeros among unit vectors. Following it through the few samples in question is
what makes the same seed give the same clusters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmq.engine.quiet import quiet
from kmq.engine.threads import n_threads, run_blocks, single_blas_thread

# Samples that scikit-learn multiplies at a time.
_CHUNK = 256
# Samples from which a kernel is worth proving that it adds up in the order of BLAS, whose products
# are quicker, but have to be asked for whole chunks.
_MANY = 8 * _CHUNK
# Values at a time of what is worked out in NumPy, in buffers that stay in the second cache.
_BUFFER = 1 << 14
# Multiplications that are worth a thread.
_WORTH_A_THREAD = 400_000
# Features up to which BLAS may add up a product in one go.
_ONE_GO = 256
# Samples of a chunk that are looked at to prove it: the first and last ones, which lie in the
# corners of what BLAS cuts it into.
_PROOFS = np.r_[0:16, _CHUNK - 16 : _CHUNK]


@dataclass(frozen=True)
class TieRule:
    """How near-ties fall in scikit-learn's first assignment.

    Attributes
    ----------
    mean : (d,)
        Mean of the samples, of their dtype.
    shifted : (k, d)
        Centres less the mean.
    sq_norms : (k,)
        Squared norms of the shifted centres.
    reach : float
        The largest norm of a shifted centre.
    product, rounding : float
        Shares of reach · (reach + distance) and of (2 reach + distance)², for a sample's distance
        to its nearest centre: what the squared distance to another may be larger by where
        scikit-learn may find it smaller.
    explicit : float
        Share of a squared distance by which one added up of explicit differences may be off,
        twice.
    tiny : float
        What underflow may hide of two squared distances.
    """

    mean: NDArray
    shifted: NDArray
    sq_norms: NDArray
    reach: float
    product: float
    rounding: float
    explicit: float
    tiny: float

    @classmethod
    @quiet
    def of(cls, centers: NDArray, mean: NDArray) -> "TieRule":
        """Build the rule for one set of centres."""
        shifted = centers - mean
        sq_norms = np.einsum("ij,ij->i", shifted, shifted)
        exact = sq_norms
        if centers.dtype == np.float32:
            wide = shifted.astype(np.float64)
            exact = np.einsum("ij,ij->i", wide, wide)
        d = centers.shape[1]
        dtype = np.finfo(centers.dtype)
        eps = 1.01 * float(dtype.eps)
        reach = float(np.sqrt(exact.max())) * 1.001
        # A sample lies within reach + distance of the mean. Twice, for two centres, in units of
        # eps / 2: 2xc is d products and sums, in some stretches, of at most |x| |c| together; to
        # take the mean from both, to add up two terms and the stretches, 8; the norms are as far
        # off as they are, and in double precision as far as sums of d squares can be.
        off = float(np.abs(sq_norms - exact).max()) + d * 2.3e-16 * float(exact.max())
        return cls(
            mean,
            shifted,
            sq_norms,
            reach,
            2.0 * (d + d / 64 + 4) * eps,
            8.0 * eps + 2.0 * off / max(reach * reach, 1e-300),
            (d + 3) * eps,
            4.0 * d * float(dtype.tiny),
        )

    @property
    def slack(self) -> float:
        """All of this as a share of (2 reach + distance)²."""
        return self.product / 4.0 + self.rounding + 1.1 * self.explicit

    @quiet
    def limit(self, sq_dist: NDArray) -> NDArray[np.float64]:
        """Squared distances up to which another centre may pass for the nearest.

        Parameters
        ----------
        sq_dist : (n,)
            Squared distances to the nearest centres, by explicit differences.
        """
        sq = sq_dist.astype(np.float64)
        return sq + 1.1 * (self._width(np.sqrt(sq)) + self.explicit * sq)

    def doubtful_gaps(
        self, nearest: NDArray[np.float32], gap: NDArray[np.float32], sums: NDArray[np.float32]
    ) -> NDArray[np.intp]:
        """Samples whose second nearest centre may pass for the nearest, from bounds on distances.

        Parameters
        ----------
        nearest : (n,)
            Upper bounds on the distances to the nearest centres.
        gap : (n,)
            Lower bounds on how much farther the second nearest is.
        sums : (n,)
            Lower bounds on the sum of both distances.
        """
        doubt = np.empty(len(gap), np.bool_)

        @quiet
        def task(worker: int, first: int, last: int) -> None:
            for start in range(first * _BUFFER, min(last * _BUFFER, len(gap)), _BUFFER):
                some = slice(start, start + _BUFFER)
                # By so much squared distances differ.
                lead = np.maximum(gap[some], np.float32(0.0)) * sums[some]
                width = self._width(nearest[some]) * np.float32(1.001)
                np.logical_not(lead > width, out=doubt[some])

        n_blocks = -(-len(gap) // _BUFFER)
        run_blocks(task, n_blocks, n_threads() if n_blocks > 2 else 1)
        return np.flatnonzero(doubt)

    def _width(self, nearest: NDArray) -> NDArray:
        """How much larger a squared distance may be that scikit-learn may find the smaller one."""
        dtype = nearest.dtype.type
        reach = dtype(self.reach)
        width = (nearest + reach) * (dtype(self.product) * reach)
        whole = nearest + dtype(2.0) * reach
        whole *= whole
        width += whole * dtype(self.rounding)
        return width + dtype(self.tiny + 8.0 * float(np.finfo(dtype).tiny))

    def settle(
        self, X: NDArray, rows: NDArray[np.intp], labels: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """Labels that scikit-learn gives some samples.

        Parameters
        ----------
        X : (n, d)
            All samples, C order, read-only.
        rows : (m,)
            Which of them, each once.
        labels : (m,)
            Their labels so far, which those keep whose distances overflow.
        """
        if len(rows) == 0:
            return labels
        k, d = self.shifted.shape
        settled = labels.copy()
        # BLAS may add up a chunk that is not whole in another order.
        whole = rows < len(X) // _CHUNK * _CHUNK
        with single_blas_thread():
            by_kernel = np.count_nonzero(whole) >= _MANY and d <= _ONE_GO
            if by_kernel and _adds_in_order(k, d, X.dtype):
                settled[whole] = self._settle_in_order(X, rows[whole], labels[whole])
                whole = ~whole
                settled[whole] = self._settle_chunks(X, rows[whole], labels[whole])
            else:
                settled = self._settle_chunks(X, rows, labels)
        return settled

    def _settle_in_order(
        self, X: NDArray, rows: NDArray[np.intp], labels: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """`settle` by products that are added up feature by feature."""
        from kmq.kernels import dense

        columns = np.ascontiguousarray(self.shifted.T)
        settled = labels.copy()

        def task(worker: int, first: int, last: int) -> None:
            some = slice(first * _CHUNK, last * _CHUNK)
            dense.settle_ties(X, rows[some], self.mean, columns, self.sq_norms, settled[some])

        threads = n_threads() if len(rows) * columns.size > _WORTH_A_THREAD else 1
        run_blocks(task, -(-len(rows) // _CHUNK), threads)
        return settled

    @quiet
    def _settle_chunks(
        self, X: NDArray, rows: NDArray[np.intp], labels: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """`settle` by products of BLAS, each sample at the place in a chunk where it always is.

        On one thread: SciPy's functions of BLAS do not let another one call them meanwhile.
        """
        settled = labels.copy()
        for some, size in _chunks(rows, len(X)):
            samples = np.zeros((size, X.shape[1]), X.dtype)
            places = rows[some] % _CHUNK
            samples[places] = X[rows[some]] - self.mean
            scores = _scores(samples, self.shifted, self.sq_norms)[places]
            sound = np.isfinite(scores).all(axis=1)
            settled[some[sound]] = scores[sound].argmin(axis=1)
        return settled


def _chunks(rows: NDArray[np.intp], n: int) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Which of some rows of n go to one chunk after the other, and the samples of each."""
    in_last = rows >= n // _CHUNK * _CHUNK
    if in_last.any():
        yield np.flatnonzero(in_last), n % _CHUNK
    others = np.flatnonzero(~in_last)
    if len(others) == 0:
        return
    # Samples of one place go to one chunk after the other.
    others = others[np.argsort(rows[others] % _CHUNK, kind="stable")]
    places = rows[others] % _CHUNK
    turn = np.arange(len(places)) - np.searchsorted(places, places)
    others = others[np.argsort(turn, kind="stable")]
    for some in np.split(others, np.cumsum(np.bincount(turn))[:-1]):
        yield some, _CHUNK


def _scores(samples: NDArray, shifted: NDArray, sq_norms: NDArray) -> NDArray:
    """(n, k) |c|² - 2xc as scikit-learn has them, by the same call of the same BLAS."""
    from scipy.linalg import blas

    gemm: Any = blas.sgemm if samples.dtype == np.float32 else blas.dgemm
    start = np.empty((len(shifted), len(samples)), samples.dtype, order="F")
    start[:] = sq_norms[:, np.newaxis]
    return gemm(-2.0, shifted.T, samples.T, 1.0, start, trans_a=1, overwrite_c=1).T


@cache
def _adds_in_order(k: int, d: int, dtype: np.dtype) -> bool:
    """Whether BLAS adds up products by fused multiply-adds, feature by feature."""
    from kmq.kernels import dense

    rng = np.random.default_rng(0)
    samples = rng.standard_normal((_CHUNK, d)).astype(dtype)
    centers = rng.standard_normal((k, d)).astype(dtype)
    # No norms: they would hide the last bits of products.
    none = np.zeros(k, dtype)
    scores = np.empty((len(_PROOFS), k), dtype)
    some = samples[_PROOFS]
    some.flags.writeable = False
    dense.score(some, np.ascontiguousarray(centers.T), scores)
    return np.array_equal(scores, _scores(samples, centers, none)[_PROOFS])
