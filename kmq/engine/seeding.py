"""Starts of k-means: the owner of every random draw.

Greedy k-means++ of Arthur and Vassilvitskii (2007), drawing exactly what scikit-learn draws, so
that the same seed picks the same samples.
"""

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from kmq.engine.steps import MOST_CELL_FEATURES

if TYPE_CHECKING:
    from kmq.engine.potentials import MakeFinder
    from kmq.engine.table import Table

# Up to 10,000 elements OpenBLAS multiplies vectors on one thread: the same bits on any machine's
# number of threads. It is also the range where calling NumPy costs less than loading kernels.
_FEW_SAMPLES = 8192
# Up to so many features, comparing takes less than finding out what not to compare.
_MOST_TILE_FEATURES = 16


def n_trials(k: int) -> int:
    """Candidates a round of greedy k-means++, as scikit-learn counts them."""
    return 2 + int(np.log(k))


def random_rows(weight: NDArray, k: int, rng: np.random.RandomState) -> NDArray[np.intp]:
    """`k` different samples, drawn in proportion to their weights."""
    return rng.choice(len(weight), size=k, replace=False, p=weight / weight.sum())


def kmeans_plusplus(
    table: "Table",
    k: int,
    rng: np.random.RandomState,
    trials: int | None = None,
    centered: bool = False,
) -> NDArray[np.intp]:
    """Pick `k` samples as a start by greedy k-means++.

    Parameters
    ----------
    table : Table
        Samples and weights.
    k : int
        Number of centres.
    rng : numpy.random.RandomState
        The source of randomness: one ``choice``, then one ``uniform`` a round.
    trials : int, optional
        Candidates a round; by default 2 + ⌊log k⌋.
    centered : bool, default=False
        Whether scikit-learn would subtract the mean of the samples first; distances stay the
        same but for their rounding, which picks among equals.

    Returns
    -------
    (k,) intp
        The samples picked, in the order of picking.
    """
    trials = n_trials(k) if trials is None else trials
    potential = _choose_potential(table, centered, trials)
    first = first_row(table.weight, table.alike, rng)
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


def first_row(weight: NDArray, alike: bool, rng: np.random.RandomState) -> int:
    """Draw a sample as ``rng.choice(n, p=weight / weight.sum())`` does.

    `choice` looks its draw up in a running sum. Where all weights are alike, the rounding of this
    matters only if the draw falls next to a step of it; else no sum is made.
    """
    n = len(weight)
    if not alike:
        return int(rng.choice(n, p=weight / weight.sum()))
    draw = rng.random_sample()
    place = draw * n
    off = abs(place - round(place))
    if off > n * n * 2.0**-52:
        return int(place)
    reached = (weight / weight.sum()).cumsum(dtype=np.float64)
    return int(np.searchsorted(reached / reached[-1], draw, side="right"))


class Potential(Protocol):
    """What k-means++ asks of the squared distances to the centres picked so far."""

    def start(self, first: int | np.intp) -> None:
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

    def start(self, first: int | np.intp) -> None:
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


def _choose_potential(table: "Table", centered: bool, trials: int) -> Potential:
    """Return the way to keep the potential that fits the samples."""
    n, d = table.X.shape
    single = table.X.dtype == np.float32
    # In float64 no draw of many samples hangs on the rounding of a mean.
    shifts = centered and (single or n <= _FEW_SAMPLES)
    mean = table.mean if shifts else np.zeros(d, table.X.dtype)
    if n <= _FEW_SAMPLES:
        return _Replay(table.X, table.weight, mean)
    from kmq.engine.potentials import DoublePotential, SinglePotential

    kind = SinglePotential if single else DoublePotential
    return kind(_choose_finder(d), table, mean, trials)


def _choose_finder(d: int) -> "MakeFinder":
    """Return the way to find where candidates are closer that fits a number of features."""
    if d <= MOST_CELL_FEATURES:
        from kmq.engine.cell_seeding import cell_finder

        return cell_finder
    if d <= _MOST_TILE_FEATURES:
        from kmq.engine.tile_seeding import tile_finder

        return tile_finder
    from kmq.engine.sketch_seeding import sketch_finder

    return sketch_finder
