"""Whether two fits that parted had a tie to part at."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances

EPS = np.finfo(np.float64).eps


def describe(km, rival, X: NDArray, **parameters) -> str:
    """Say ``equal`` of two fits that are, and ``parted at a tie`` where one excuses them.

    A tie is a sample nearer to one centre than to another by less than rounding makes of
    |c|² - 2xc, in an iteration whose centres kmq passed through. The first one does not count: a
    start of its own kmq follows through all ties as scikit-learn does, and one that is given has
    none here.
    """
    if (
        np.array_equal(km.labels_, rival.labels_)
        and km.n_iter_ == rival.n_iter_
        and np.isclose(km.inertia_, rival.inertia_, rtol=1e-9, atol=0)
    ):
        return "equal"
    trail: list[NDArray] = []
    type(km)(len(km.cluster_centers_), **parameters).fit(
        X, callback=lambda iteration, inertia, centers: trail.append(centers)
    )
    colors = np.unique(X, axis=0).astype(np.float64)
    return "parted at a tie" if any(has_tie(colors, centers) for centers in trail[1:]) else "differ"


def has_tie(colors: NDArray[np.float64], centers: NDArray[np.float64]) -> bool:
    """Whether some colour's two nearest centres are equally near, to within rounding."""
    size = np.sqrt((colors**2).sum(axis=1).max())
    rounding = 2 * (colors.shape[1] + 2) * EPS * (2 * size) ** 2
    for start in range(0, len(colors), 1 << 14):
        sq = euclidean_distances(colors[start : start + (1 << 14)], centers, squared=True)
        nearest = np.partition(sq, 1, axis=1)
        if (nearest[:, 1] - nearest[:, 0]).min() <= rounding:
            return True
    return False
