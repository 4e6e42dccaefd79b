"""A good start for palettes, without chance: split, then breathe.

Su, T. and Dy, J. (2007). In search of deterministic methods for initializing k-means and Gaussian
mixture clustering. Intelligent Data Analysis 11(4). Fritzke, B. (2020). The k-means algorithm with
breathing. arXiv:2006.15666.
"""

import numpy as np
from numpy.typing import NDArray

from kmq.kernels import palette_start as kernels

# Coarse cells are the largest, of 2^3, 2^2 or 2 values a channel, of which there are this many for
# each centre: over the Kodak photos 2,200 cells for up to 183 centres, and 9,600 for more.
_LEAST_CELLS_A_COLOR = 12
# Iterations of k-means between two changes, and rounds of the search: what more of them gain is
# below a thousandth of the error.
_FEW_COLORS = 64
_SETTLE = 3
_ROUNDS = 40
_FEW_ROUNDS = 4
_WORTH = 1 - 1e-4


def good_start(
    codes: NDArray[np.uint32], colors: NDArray, counts: NDArray[np.int64], k: int
) -> NDArray[np.float64] | None:
    """Find centres to start from.

    Parameters
    ----------
    codes : (m,) uint32
        Morton codes of the colours in sRGB, ascending.
    colors : (m, 3) uint8 or float64
        Colours.
    counts : (m,) int64
        Their weights.
    k : int
        Number of centres.

    Returns
    -------
    (k, 3) float64 or None
        Centres; None where the colours cannot be told apart in float32.
    """
    for bits in range(5, 9):
        cells = codes >> np.uint32(3 * (8 - bits))
        first = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
        if len(first) >= _LEAST_CELLS_A_COLOR * k:
            break
    totals = np.add.reduceat(counts, first)
    sums = np.add.reduceat(colors * counts[:, np.newaxis], first)
    coarse = (sums / totals[:, np.newaxis]).astype(np.float32)
    weight = totals.astype(np.float32)
    centers = np.empty((k, 3), np.float32)
    if kernels.split(coarse, weight, centers) < k:
        return None
    return _Search(coarse, weight).run(centers).astype(np.float64)


class _Search:
    """k-means that puts centres where they are of more use.

    Parameters
    ----------
    colors : (n, 3) float32
        Coarse colours.
    weight : (n,) float32
        Their weights.
    """

    def __init__(self, colors: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        self._colors = colors
        self._channels = np.ascontiguousarray(colors.T)
        self._weight = weight

    def run(self, centers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add centres where the error is largest and take away those of least use, while it helps.

        The number that is changed at once is halved when nothing is gained.
        """
        k = len(centers)
        few = k <= _FEW_COLORS
        change = max(1, k // 2 if k <= 16 else k // 4 if few else k // 12)
        centers = self._settle(centers)
        error, found = self._survey(centers)
        for _ in range(_ROUNDS if few else _FEW_ROUNDS):
            worst = np.argsort(-found.error, kind="stable")[:change]
            more = self._settle(np.concatenate([centers, self._colors[found.worst[worst]]]))
            _, crowd = self._survey(more)
            fewer = self._settle(np.delete(more, _dispensable(more, crowd.utility, change), axis=0))
            lower, after = self._survey(fewer)
            if lower < _WORTH * error:
                error, found, centers = lower, after, fewer
            elif change == 1:
                break
            else:
                change //= 2
        return centers

    def _survey(self, centers: NDArray[np.float32]) -> tuple[float, kernels.Survey]:
        """Error of all colours, and what is known of the clusters."""
        k = len(centers)
        found = kernels.Survey(np.empty((k, 4)), np.empty(k), np.empty(k), np.empty(k, np.int32))
        return kernels.survey(self._channels, self._weight, centers, found), found

    def _settle(self, centers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a few iterations of k-means."""
        for _ in range(_SETTLE):
            _, found = self._survey(centers)
            weight = found.moments[:, 3:]
            means = found.moments[:, :3] / np.where(weight > 0, weight, 1)
            centers = np.where(weight > 0, means, centers).astype(np.float32)
        return centers


def _dispensable(
    centers: NDArray[np.float32], utility: NDArray[np.float64], number: int
) -> list[int]:
    """Centres of least use, of which no two are nearest neighbours while there are others."""
    order = [int(j) for j in np.argsort(utility, kind="stable")]
    sq = np.square(centers[:, np.newaxis] - centers).sum(axis=2)
    np.fill_diagonal(sq, np.inf)
    neighbour = sq.argmin(axis=1)
    gone: list[int] = []
    needed: set[int] = set()
    for j in order:
        if j not in needed:
            gone.append(j)
            needed.add(int(neighbour[j]))
        if len(gone) == number:
            return gone
    return gone + [j for j in order if j not in gone][: number - len(gone)]
