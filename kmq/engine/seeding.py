"""Starts of k-means: the owner of every random draw.

Greedy k-means++ of Arthur and Vassilvitskii (2007), drawing exactly what scikit-learn draws, so
that the same seed picks the same samples.
"""

from typing import TYPE_CHECKING

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kmq.engine.steps import MOST_CELL_FEATURES, block_rows
from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import seeding as kernels

if TYPE_CHECKING:
    from kmq.engine.cell_seeding import CellPotential

# Up to 10,000 elements OpenBLAS multiplies vectors on one thread: the same bits on any machine's
# number of threads. It is also the range where calling NumPy costs less than loading kernels.
_FEW_SAMPLES = 8192


def n_trials(k: int) -> int:
    """Candidates a round of greedy k-means++, as scikit-learn counts them."""
    return 2 + int(np.log(k))


def random_rows(n: int, k: int, weight: NDArray, rng: np.random.RandomState) -> NDArray[np.intp]:
    """`k` different samples, drawn in proportion to their weights."""
    return rng.choice(n, size=k, replace=False, p=weight / weight.sum())


def kmeans_plusplus(
    X: NDArray,
    k: int,
    weight: NDArray,
    rng: np.random.RandomState,
    trials: int | None = None,
    mean: NDArray | None = None,
) -> NDArray[np.intp]:
    """Pick `k` samples as a start by greedy k-means++.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, C order, read-only.
    k : int
        Number of centres.
    weight : (n,) float32 or float64
        Weights of the samples.
    rng : numpy.random.RandomState
        The source of randomness: one ``choice``, then one ``uniform`` a round.
    trials : int, optional
        Candidates a round; by default 2 + ⌊log k⌋.
    mean : (d,), optional
        What scikit-learn would subtract from the samples before it starts; distances stay the
        same but for their rounding, which picks among equals.

    Returns
    -------
    (k,) intp
        The samples picked, in the order of picking.
    """
    trials = n_trials(k) if trials is None else trials
    potential = _choose_potential(X, weight, trials, np.zeros_like(X[0]) if mean is None else mean)
    first = rng.choice(X.shape[0], p=weight / weight.sum())
    return pick(potential, first, k, trials, rng)


def pick(
    potential: "Potential", first: int, k: int, trials: int, rng: np.random.RandomState
) -> NDArray[np.intp]:
    """Pick `k` samples by greedy k-means++, given the first of them.

    Parameters
    ----------
    potential : Potential
        How far the samples are from the centres picked so far.
    first : int
        The first sample.
    k : int
        Number of centres.
    trials : int
        Candidates a round.
    rng : numpy.random.RandomState
        The source of randomness: one ``uniform`` a round.

    Returns
    -------
    (k,) intp
        The samples picked, in the order of picking.
    """
    picked = np.empty(k, np.intp)
    picked[0] = first
    potential.start(first)
    for c in range(1, k):
        candidates = potential.draw(rng.uniform(size=trials))
        picked[c] = potential.add_best(candidates)
    return picked


def uniform_row(n: int, rng: np.random.RandomState) -> int:
    """Draw one of `n` samples as ``rng.choice(n, p=np.full(n, 1 / n))`` does, in no time.

    `choice` looks its draw up in a running sum, whose rounding matters only where the draw
    falls next to a step of it; there the sum is made.
    """
    draw = rng.random_sample()
    place = draw * n
    off = abs(place - round(place))
    if off > n * n * 2.0**-52:
        return int(place)
    reached = np.full(n, 1 / n).cumsum()
    return int(np.searchsorted(reached / reached[-1], draw, side="right"))


class Potential(Protocol):
    """What k-means++ asks of the squared distances to the centres picked so far."""

    def start(self, first: np.intp) -> None:
        """Make a sample the first centre."""

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """Samples at which the running sum of the potential reaches shares of the whole."""

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """Make a centre of the candidate that leaves the lowest potential, and return it."""


class _Replay:
    """The potential of few samples, operation by operation as scikit-learn computes it.

    Where samples repeat or lie on a grid, candidates tie and what is left of the potential is
    rounding noise; only the same arithmetic follows scikit-learn through that.
    """

    def __init__(self, X: NDArray, weight: NDArray, mean: NDArray) -> None:
        self._dtype = X.dtype
        self._weight = weight
        self._shifted = (X - mean).astype(np.float64, copy=False)
        self._sq_norms = np.einsum("ij,ij->i", self._shifted, self._shifted)

    def start(self, first: np.intp) -> None:
        """Make a sample the first centre."""
        self._sq_closest = self._sq_distances(np.array([first]))
        self._total = self._sq_closest @ self._weight

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """Samples at which the running sum of the potential reaches shares of the whole."""
        reached = np.cumsum(self._weight * self._sq_closest)
        drawn = np.searchsorted(reached, uniform * self._total)
        return np.minimum(drawn, len(self._weight) - 1)

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """Make a centre of the candidate that leaves the lowest potential, and return it."""
        sq_closest = self._sq_distances(candidates)
        np.minimum(self._sq_closest, sq_closest, out=sq_closest)
        totals = sq_closest @ self._weight[:, np.newaxis]
        best = np.argmin(totals)
        self._total, self._sq_closest = totals[best], sq_closest[best]
        return candidates[best]

    def _sq_distances(self, rows: NDArray[np.intp]) -> NDArray:
        """Squared distances of some samples to all, in the expanded form."""
        sq_dist = -2 * (self._shifted[rows] @ self._shifted.T)
        sq_dist += self._sq_norms[rows][:, np.newaxis]
        sq_dist += self._sq_norms
        return np.maximum(sq_dist.astype(self._dtype, copy=False), 0)


class _SinglePotential(_Replay):
    """The potential of many float32 samples: exact distances, then sums of scikit-learn's kind.

    Its running sum in float32 is so coarse that another order of summation draws other samples.
    """

    def __init__(self, X: NDArray, weight: NDArray, mean: NDArray) -> None:
        self._X = X
        self._weight = weight
        self._mean = mean

    def _sq_distances(self, rows: NDArray[np.intp]) -> NDArray:
        n, d = self._X.shape
        centers = self._X[rows] - self._mean
        sq_dist = np.empty((len(rows), n), np.float32)
        size = block_rows(n, 1)

        def task(worker: int, first: int, last: int) -> None:
            kernels.sq_distances(
                self._X, self._mean, centers, first * size, min(last * size, n), sq_dist
            )

        threads = n_threads() if n * d * len(rows) >= 400_000 else 1
        run_blocks(task, -(-n // size), threads)
        return sq_dist


class _Potential:
    """The potential of many float64 samples: whole distances are never stored, only the closest."""

    def __init__(self, X: NDArray, weight: NDArray[np.float64], trials: int) -> None:
        n, d = X.shape
        self._X = X
        self._weight = weight
        self._rows = block_rows(n, 1)
        self._n_blocks = -(-n // self._rows)
        self._threads = n_threads() if n * d * trials >= 400_000 else 1
        self._sq_closest = np.full(n, np.inf, X.dtype)
        self._block_totals = np.zeros(self._n_blocks)
        self._trials = trials

    def _bounds(self, block: int) -> tuple[int, int]:
        """Half-open range of the samples of a block."""
        return block * self._rows, min((block + 1) * self._rows, len(self._weight))

    def start(self, center: np.intp) -> None:
        """Make a sample a centre."""
        from kmq.kernels.dense import weighted_total

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = self._bounds(block)
                kernels.lower_closest(self._X, self._X[center], start, stop, self._sq_closest)
                self._block_totals[block] = weighted_total(
                    self._weight, self._sq_closest, start, stop
                )

        run_blocks(task, self._n_blocks, self._threads)

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.intp]:
        """Samples at which the running sum of the potential reaches shares of the whole."""
        reached = np.cumsum(self._block_totals)
        drawn = np.empty(len(uniform), np.intp)
        for t, target in enumerate(uniform * reached[-1]):
            block = min(int(np.searchsorted(reached, target)), self._n_blocks - 1)
            before = reached[block - 1] if block else 0.0
            start, stop = self._bounds(block)
            drawn[t] = kernels.find_draw(
                self._weight, self._sq_closest, start, stop, target - before
            )
        return np.minimum(drawn, len(self._weight) - 1)

    def add_best(self, candidates: NDArray[np.intp]) -> np.intp:
        """Make a centre of the candidate that leaves the lowest potential, and return it."""
        parts = np.zeros((self._n_blocks, len(candidates)))
        centers = self._X[candidates]

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = self._bounds(block)
                kernels.candidate_potentials(
                    self._X,
                    self._weight,
                    centers,
                    self._sq_closest,
                    start,
                    stop,
                    parts[block],
                )

        run_blocks(task, self._n_blocks, self._threads)
        best = candidates[np.argmin(parts.sum(axis=0))]
        self.start(best)
        return best


def _choose_potential(
    X: NDArray, weight: NDArray, trials: int, mean: NDArray
) -> "_Replay | _Potential | CellPotential":
    """Return the way to keep the potential that fits the samples."""
    if len(X) <= _FEW_SAMPLES:
        return _Replay(X, weight, mean)
    if X.dtype == np.float32:
        return _SinglePotential(X, weight, mean)
    if X.shape[1] <= MOST_CELL_FEATURES:
        from kmq.engine.cell_seeding import CellPotential

        return CellPotential(X, weight)
    return _Potential(X, weight.astype(np.float64, copy=False), trials)
