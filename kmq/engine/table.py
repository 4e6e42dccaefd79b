"""Float samples with their weights, and what is worked out of them but once."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kmq.engine.sample_step import column_mean, mean_variance
from kmq.engine.threads import begin

if TYPE_CHECKING:
    from kmq.kernels.cells import Cells


# Values whose variance takes longer than another thread does to wake.
_LONG = 500_000


class Table:
    """Samples and weights, which starts and steps share.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, C order, read-only.
    weight : (n,), optional
        Their weights, of the dtype of X or float64; 1 for each by default.
    """

    def __init__(self, X: NDArray, weight: NDArray | None = None) -> None:
        self.X = X
        self.weight = (np.ones(len(X), X.dtype) if weight is None else weight).view()
        self.weight.flags.writeable = False
        self._variance: Callable[[], float] | None = None

    @cached_property
    def wide_weight(self) -> NDArray[np.float64]:
        """(n,) weights in float64, read-only."""
        wide = self.weight.astype(np.float64, copy=False).view()
        wide.flags.writeable = False
        return wide

    @cached_property
    def mean(self) -> NDArray:
        """(d,) unweighted mean of the samples, of their dtype."""
        return column_mean(self.X)

    @cached_property
    def cells(self) -> "Cells":
        """The samples in cells, where they have few features."""
        from kmq.engine.cells import build_cells

        return build_cells(self.X, self.wide_weight)

    def foresee_variance(self) -> None:
        """Let another thread work out the mean variance while this one goes on."""
        if self.X.size < _LONG:
            return
        if self.X.dtype == np.float32:
            self.mean  # noqa: B018  # a start will ask for it at once
        self._variance = begin(lambda: mean_variance(self.X, self.mean))

    def mean_variance(self) -> float:
        """Mean variance of the features, whatever the samples weigh."""
        if self._variance is None:
            return mean_variance(self.X, self.mean)
        variance = self._variance()
        self._variance = lambda: variance
        return variance
