"""Products of float32 rows with weights, a row at a time, to the bit of the BLAS of NumPy."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from kmq.kernels import gemv as kernels

# Up to two times four rows, threads of OpenBLAS share them by fours and add up as one does.
MOST_SHARED_ROWS = 8
# Products that an order must give to the bit; another one gives one of them by chance at times.
_PROOFS = 6
# Different samples of these; no multiple of a block.
_NOISE = 3 * kernels.BLOCK + 13


class RowSums:
    """Sums of weight · value as ``(rows @ weight[:, np.newaxis])[row]`` gives them.

    Parameters
    ----------
    weight : (n,) float32
        Weights.
    n_rows : int
        Rows of the product.

    Attributes
    ----------
    proven : bool
        Whether the order is known in which the BLAS of this process adds up.
    """

    def __init__(self, weight: NDArray[np.float32], n_rows: int) -> None:
        self._weight = weight
        if n_rows <= MOST_SHARED_ROWS:
            rest = len(weight) % kernels.BLOCK
            self._orders, self._fused_rest = _prove_once(n_rows, 2 * kernels.BLOCK + rest)
        else:
            # How such rows are shared out hangs on their length and the threads BLAS has just now.
            self._orders, self._fused_rest = _prove(n_rows, len(weight))
        self.proven = self._orders is not None
        self._plain = bool((weight == 1).all())

    def bound(self) -> float:
        """The largest relative error of a sum of what is not negative."""
        assert self._orders is not None
        n_blocks = len(self._weight) // kernels.BLOCK + 2
        return (max(kernels.STEPS[order] for order in self._orders) + n_blocks) * 2.0**-24

    def sum(self, values: NDArray[np.float32], row: int) -> np.float32:
        """Sum of weight · value, were the values such a row."""
        assert self._orders is not None
        order = self._orders[row]
        if self._plain:
            order = kernels.PLAIN[order]
        return _sum(values, self._weight, order, self._fused_rest)


def _sum(
    values: NDArray[np.float32], weight: NDArray[np.float32], order: int, fused_rest: bool
) -> np.float32:
    """Sum of weight · value in an order."""
    parts = np.empty(-(-(len(values) // 4 * 4) // kernels.BLOCK), np.float32)
    # A million samples take 50 microseconds, not much more than another thread does to wake.
    kernels.add_up_blocks(values, weight, order, parts)
    return kernels.join_blocks(values, weight, parts, fused_rest)


def _prove(n_rows: int, n: int) -> tuple[tuple[int, ...] | None, bool]:
    """Find the order of each row of n samples, and whether the last are fused; None where not."""
    rng = np.random.default_rng(0)
    # Sums that nearly cancel show the rounding of every addition.
    noise = np.resize(rng.standard_normal(_NOISE, np.float32), (n_rows + 1, n + _PROOFS))
    trials = []
    for start in range(_PROOFS):
        rows, weight = noise[:-1, start : start + n], noise[-1, start : start + n]
        weight.flags.writeable = False  # as those of samples: kernels are compiled once
        trials.append((rows, weight, (rows @ weight[:, np.newaxis])[:, 0]))

    def holds(row: int, order: int, fused_rest: bool) -> bool:
        return all(
            _sum(rows[row], weight, order, fused_rest) == totals[row]
            for rows, weight, totals in trials
        )

    for fused_rest in (False, True):
        orders = []
        for row in range(n_rows):
            found = [order for order in kernels.STEPS if holds(row, order, fused_rest)]
            orders += found[:1]
        if len(orders) == n_rows:
            return tuple(orders), fused_rest
    return None, False


_prove_once = cache(_prove)
