"""What a fit works on: float samples, or 8-bit pixels as their distinct colours.

Both offer the same to the estimator: a step for the loop, starts, and the variance that scales
its tolerance. Which of them is chosen shows in no result.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kmq.engine import seeding
from kmq.engine.steps import Step, choose_step
from kmq.engine.table import Table

MOST_CHANNELS = 4
# Products of weights and squared channels stay below 2^63 up to this total weight.
MOST_WEIGHT = 1 << 45
# Below, float samples are quicker, and k-means++ can follow scikit-learn's rounding.
LEAST_PIXELS = 8193


class Samples(Protocol):
    """Samples with their weights."""

    def __len__(self) -> int:
        """Number of samples."""

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the centres: that of `floats`."""

    @property
    def floats(self) -> NDArray:
        """(n, d) the samples as floats, read-only."""

    @property
    def weight(self) -> NDArray:
        """(n,) their weights, of the dtype of `floats`."""

    def mean(self) -> NDArray:
        """(d,) unweighted mean of the samples, of their dtype."""

    def foresee_variance(self) -> None:
        """Begin to work out `mean_variance` beside what comes before it is asked for."""

    def mean_variance(self) -> float:
        """Mean variance of the features, whatever the samples weigh."""

    def step(self, k: int) -> Step:
        """Return the fastest step for `k` clusters."""

    def plus_plus(self, k: int, rng: np.random.RandomState) -> NDArray:
        """(k, d) samples picked by k-means++."""

    def random(self, k: int, rng: np.random.RandomState) -> NDArray:
        """(k, d) different samples picked at random."""

    def spread(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """(n,) labels of the samples from those of a step, which may know only distinct ones."""


class FloatSamples:
    """Samples of float32 or float64. Parameters as for `Table`."""

    def __init__(self, X: NDArray, weight: NDArray | None = None) -> None:
        self._table = Table(X, weight)

    def __len__(self) -> int:
        return len(self.floats)

    @property
    def dtype(self) -> np.dtype:
        """See `Samples`."""
        return self.floats.dtype

    @property
    def floats(self) -> NDArray:
        """See `Samples`."""
        return self._table.X

    @property
    def weight(self) -> NDArray:
        """See `Samples`."""
        return self._table.weight

    def mean(self) -> NDArray:
        """See `Samples`."""
        return self._table.mean

    def foresee_variance(self) -> None:
        """See `Samples`."""
        self._table.foresee_variance()

    def mean_variance(self) -> float:
        """See `Samples`."""
        return self._table.mean_variance()

    def step(self, k: int) -> Step:
        """See `Samples`."""
        return choose_step(self._table, k)

    def plus_plus(self, k: int, rng: np.random.RandomState) -> NDArray:
        """See `Samples`."""
        return self.floats[seeding.kmeans_plusplus(self._table, k, rng, centered=True)]

    def random(self, k: int, rng: np.random.RandomState) -> NDArray:
        """See `Samples`."""
        return self.floats[seeding.random_rows(self.weight, k, rng)]

    def spread(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """See `Samples`."""
        return labels


def choose_samples(X: NDArray, weight: NDArray | None, shared: bool = False) -> Samples:
    """Take samples as distinct colours where they are such, and else as floats.

    Parameters
    ----------
    X : (n, d) uint8, float32 or float64
        Samples, C order, read-only.
    weight : (n,), optional
        Their weights, of the dtype of X, float64 for uint8.
    shared : bool, default=False
        Whether several fits will work on them.

    Returns
    -------
    Samples
    """
    pixels = _as_pixels(X, weight)
    if pixels is not None:
        from kmq.engine.color_samples import ColorSamples

        return ColorSamples(pixels, weight, shared)
    if X.dtype == np.uint8:
        X = X.astype(np.float64)
        X.flags.writeable = False
    return FloatSamples(X, weight)


def _as_pixels(X: NDArray, weight: NDArray | None) -> NDArray[np.uint8] | None:
    """The samples as pixels, None where they are none or too few to gain by it."""
    n, d = X.shape
    if n < LEAST_PIXELS or d > MOST_CHANNELS or X.dtype == np.float32:
        return None
    if weight is not None and not _whole(weight):
        return None
    if X.dtype == np.uint8:
        return X
    for sample in (X[:256], X):
        # Most float samples show in their first rows that they are no pixels.
        if not (sample.min() >= 0 and sample.max() <= 255):
            return None
        pixels = sample.astype(np.uint8)
        if not (pixels == sample).all():
            return None
    return pixels


def _whole(weight: NDArray) -> bool:
    """Whether weights are whole numbers that sums of colours have room for."""
    return float(weight.sum()) < MOST_WEIGHT and bool((weight == np.rint(weight)).all())
