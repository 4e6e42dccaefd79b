"""Float samples with their weights, and what is worked out of them but once."""

from collections.abc import Callable
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

    Memory: 8 n bytes for weights in float64 where they are not, and n · (d · itemsize + 12) for
    cells, both from when they are first asked for.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Samples, C order, read-only.
    weight : (n,), optional
        Their weights; 1 for each by default.

    Attributes
    ----------
    alike : bool
        Whether all weights are the same.
    """

    # No cached properties: up to Python 3.11 all tables share the lock of one, and a child that is
    # forked while another thread holds it waits for ever.

    def __init__(self, X: NDArray, weight: NDArray | None = None) -> None:
        self.X = X
        self.alike = weight is None or bool((weight == weight[0]).all())
        if weight is None:
            weight = np.ones(len(X), X.dtype)
        self.weight = np.ascontiguousarray(weight, X.dtype).view()
        self.weight.flags.writeable = False
        self._wide_weight: NDArray[np.float64] | None = None
        self._mean: NDArray | None = None
        self._cells: Cells | None = None
        self._variance: float | None = None
        self._foreseen: Callable[[], tuple[NDArray, float]] | None = None

    @property
    def wide_weight(self) -> NDArray[np.float64]:
        """(n,) weights in float64, read-only."""
        if self._wide_weight is None:
            wide = self.weight.astype(np.float64, copy=False).view()
            wide.flags.writeable = False
            self._wide_weight = wide
        return self._wide_weight

    @property
    def mean(self) -> NDArray:
        """(d,) unweighted mean of the samples, of their dtype."""
        if self._mean is None:
            if self._foreseen is None:
                self._mean = column_mean(self.X)
            else:
                self._mean, self._variance = self._foreseen()
        return self._mean

    def shifted(self, rows: NDArray[np.intp], mean: NDArray) -> NDArray[np.float64]:
        """Some samples less a mean, subtracted in their own precision."""
        return (self.X[rows] - mean).astype(np.float64, copy=False)

    @property
    def cells(self) -> "Cells":
        """The samples in cells, where they have few features."""
        if self._cells is None:
            from kmq.engine.cells import build_cells

            weight = self.wide_weight
            self._cells = build_cells(self.X, weight[:1] if self.alike else weight)
        return self._cells

    def foresee_variance(self) -> None:
        """Let another thread work out the mean variance while this one goes on."""
        if self.X.size < _LONG:
            return
        X, mean = self.X, self._mean
        if X.dtype == np.float32:
            mean = self.mean  # a start will ask for it at once

        def moments() -> tuple[NDArray, float]:
            own = column_mean(X) if mean is None else mean
            return own, mean_variance(X, own)

        # Were the table itself kept here, only the garbage collector could free it.
        self._foreseen = begin(moments)

    def mean_variance(self) -> float:
        """Mean variance of the features, whatever the samples weigh."""
        if self._variance is None:
            if self._foreseen is None:
                self._variance = mean_variance(self.X, self.mean)
            else:
                self._mean, self._variance = self._foreseen()
        return self._variance
