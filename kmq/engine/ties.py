"""What scikit-learn's arithmetic decides where centres are nearly equally near.

Its first assignment compares |c|² - 2xc of samples and centres less the mean, a product of
matrices for 256 samples at a time. Where two centres are nearer to being equally near than such a
product is exact, its rounding decides, and a start from samples is full of that: pixels, counts,
decimals, rows of zeros among unit vectors. Following it through the few samples in question is
what makes the same seed give the same clusters.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kmq.engine.threads import n_threads, run_blocks, single_blas_thread

# Samples that scikit-learn multiplies at a time.
_CHUNK = 256
# Samples from which a kernel is worth proving that it adds up in the order of BLAS, whose products
# are quicker, but have to be asked for whole chunks.
_MANY = 8 * _CHUNK
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
    slack : float
        How far two squared distances of a sample can be apart, by explicit differences, where
        scikit-learn may find the larger one smaller: as a share of the square of 2 `reach` and
        the sample's distance to its nearest centre.
    """

    mean: NDArray
    shifted: NDArray
    sq_norms: NDArray
    reach: float
    slack: float

    @classmethod
    def of(cls, centers: NDArray, mean: NDArray) -> "TieRule":
        """Build the rule for one set of centres."""
        shifted = centers - mean
        sq_norms = np.einsum("ij,ij->i", shifted, shifted)
        d = centers.shape[1]
        # In units of rounding and of (|x| + |c|)²: the sums of the norm and of the product, in
        # how many stretches ever, and to take the mean from both, d + d / 64 + 6; an explicit
        # difference d + 2. Both of two centres, and half of it is the spacing of numbers. A
        # sample lies within `reach` and its distance to a centre from the mean.
        slack = (2 * d + d / 64 + 8) * 1.01 * float(np.finfo(centers.dtype).eps)
        return cls(mean, shifted, sq_norms, float(np.sqrt(sq_norms.max())) * 1.001, slack)

    def limit(self, sq_dist: NDArray) -> NDArray[np.float64]:
        """Squared distance up to which another centre may pass for the nearest, whose it is."""
        sq_dist = sq_dist.astype(np.float64)
        tiny = 4.0 * self.shifted.shape[1] * float(np.finfo(self.shifted.dtype).tiny)
        return sq_dist + self.slack * np.square(2 * self.reach + np.sqrt(sq_dist)) + tiny

    def doubtful(self, sq_dist: NDArray, second: NDArray) -> NDArray[np.intp]:
        """Samples whose second nearest centre may pass for the nearest.

        Parameters
        ----------
        sq_dist, second : (n,)
            Squared distances to the nearest and second nearest centre, by explicit differences.
        """
        return np.flatnonzero(~(second > self.limit(sq_dist)))

    def doubtful_gaps(
        self, nearest: NDArray[np.float64], gap: NDArray[np.float64], least: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """Samples whose second nearest centre may pass for the nearest, from bounds on distances.

        Parameters
        ----------
        nearest : (n,)
            Upper bounds on the distances to the nearest centre.
        gap : (n,)
            Lower bounds on how much farther the second nearest is.
        least : (n,)
            Lower bounds on the sum of both distances.
        """
        width = self.slack * np.square(2 * self.reach + nearest)
        width += 4.0 * self.shifted.shape[1] * float(np.finfo(self.shifted.dtype).tiny)
        return np.flatnonzero(~((gap > 0) & (gap * least > width)))

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
        threads = n_threads() if len(rows) * k * d > _WORTH_A_THREAD else 1
        with single_blas_thread():
            if len(rows) >= _MANY and d <= _ONE_GO and _adds_in_order(k, d, X.dtype):
                self._settle_in_order(X, rows, settled, threads)
            else:
                self._settle_chunks(X, rows, settled, threads)
        return settled

    def _settle_in_order(
        self, X: NDArray, rows: NDArray[np.intp], settled: NDArray[np.int32], threads: int
    ) -> None:
        """Settle samples by products that are added up feature by feature."""
        from kmq.kernels import dense

        columns = np.ascontiguousarray(self.shifted.T)

        def task(worker: int, first: int, last: int) -> None:
            some = slice(first * _CHUNK, last * _CHUNK)
            dense.settle_ties(X, rows[some], self.mean, columns, self.sq_norms, settled[some])

        run_blocks(task, -(-len(rows) // _CHUNK), threads)

    def _settle_chunks(
        self, X: NDArray, rows: NDArray[np.intp], settled: NDArray[np.int32], threads: int
    ) -> None:
        """Settle samples by products of BLAS, each at the place in a chunk where it always is."""
        n = len(X)
        if n <= _CHUNK:
            chunks = [(np.arange(len(rows)), n)]
        else:
            in_last = rows >= n // _CHUNK * _CHUNK
            chunks = [(np.flatnonzero(in_last), n % _CHUNK)] if in_last.any() else []
            others = np.flatnonzero(~in_last)
            # Samples of one place go to one chunk after the other.
            others = others[np.argsort(rows[others] % _CHUNK, kind="stable")]
            places = rows[others] % _CHUNK
            turn = np.arange(len(places)) - np.searchsorted(places, places)
            by_turn = np.argsort(turn, kind="stable")
            ends = np.cumsum(np.bincount(turn)) if len(turn) else np.empty(0, np.intp)
            chunks += [(some, _CHUNK) for some in np.split(others[by_turn], ends[:-1])]

        def task(worker: int, first: int, last: int) -> None:
            for some, size in chunks[first:last]:
                if len(some) == 0:
                    continue
                samples = np.zeros((size, X.shape[1]), X.dtype)
                places = rows[some] % _CHUNK
                samples[places] = X[rows[some]] - self.mean
                scores = _scores(samples, self.shifted, self.sq_norms)[places]
                found = scores.argmin(axis=1)
                sound = np.isfinite(scores).all(axis=1)
                settled[some] = np.where(sound, found, settled[some])

        run_blocks(task, len(chunks), threads)


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
