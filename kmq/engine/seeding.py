"""Starts of k-means: the owner of every random draw.

Greedy k-means++ of Arthur and Vassilvitskii (2007), drawing exactly what scikit-learn draws, so
that the same seed picks the same samples.
"""

import numpy as np
from numpy.typing import NDArray

from kmq.engine.steps import block_rows
from kmq.engine.threads import n_threads, run_blocks
from kmq.kernels import seeding as kernels


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

    Returns
    -------
    (k,) intp
        The samples picked, in the order of picking.
    """
    n = X.shape[0]
    trials = n_trials(k) if trials is None else trials
    picked = np.empty(k, np.intp)
    picked[0] = rng.choice(n, p=weight / weight.sum())
    potential = _Potential(X, weight.astype(np.float64, copy=False), trials)
    potential.add(X[picked[0]])
    for c in range(1, k):
        candidates = potential.draw(rng.uniform(size=trials))
        picked[c] = candidates[potential.best(X[candidates])]
        potential.add(X[picked[c]])
    return picked


class _Potential:
    """Squared distances to the closest centre so far, with their weighted sum."""

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

    def add(self, center: NDArray) -> None:
        """Let `center` join the centres."""
        from kmq.kernels.dense import weighted_total

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = self._bounds(block)
                kernels.lower_closest(self._X, center, start, stop, self._sq_closest)
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

    def best(self, candidates: NDArray) -> int:
        """Which of the candidates would leave the lowest potential, ties to the first."""
        parts = np.zeros((self._n_blocks, len(candidates)))

        def task(worker: int, first: int, last: int) -> None:
            for block in range(first, last):
                start, stop = self._bounds(block)
                kernels.candidate_potentials(
                    self._X,
                    self._weight,
                    candidates,
                    self._sq_closest,
                    start,
                    stop,
                    parts[block],
                )

        run_blocks(task, self._n_blocks, self._threads)
        return int(np.argmin(parts.sum(axis=0)))
