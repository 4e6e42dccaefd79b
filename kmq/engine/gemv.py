"""Products of float32 rows with weights, a row at a time, to the bit of the BLAS of NumPy."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from kmq.kernels import gemv as kernels

# Up to two times four rows, threads of OpenBLAS share them by fours and add up as one does.
MOST_SHARED_ROWS = 8
# Products that an order must give to the bit; another one gives one of them by chance at times.
_PROOFS = 6
# How far a number is off when rounded, as a share of it; a little more, as what it is multiplied
# with is rounded too.
_ROUNDING = 1.01 * 2.0**-24
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

    def sum(self, values: NDArray[np.float32], row: int) -> tuple[np.float32, float]:
        """Sum of weight · value, were the values such a row, and how far off it is at most.

        If nothing is negative, no row of values that are at most these is farther off.
        """
        assert self._orders is not None
        order = self._orders[row]
        plain = kernels.PLAIN[order] if self._plain else order
        total, climb = _sum(values, self._weight, plain, self._fused_rest)
        # In four running sums there are twice the additions, to sums that are as large together.
        others = 2 if order != kernels.FOUR and kernels.FOUR in self._orders else 1
        return total, others * climb * _ROUNDING


def _sum(
    values: NDArray[np.float32], weight: NDArray[np.float32], order: int, fused_rest: bool
) -> tuple[np.float32, float]:
    """Sum of weight · value in an order, and the sum of all that was rounded on the way."""
    parts = np.empty(-(-(len(values) // 4 * 4) // kernels.BLOCK), np.float32)
    # A million samples take 50 microseconds, not much more than another thread does to wake.
    below = kernels.add_up_blocks(values, weight, order, parts)
    total, climb = kernels.join_blocks(values, weight, parts, fused_rest)
    return total, below + climb


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
            _sum(rows[row], weight, order, fused_rest)[0] == totals[row]
            for rows, weight, totals in trials
        )

    for fused_rest in (False, True):
        orders = []
        for row in range(n_rows):
            found = [order for order in kernels.PLAIN if holds(row, order, fused_rest)]
            orders += found[:1]
        if len(orders) == n_rows:
            return tuple(orders), fused_rest
    return None, False


_prove_once = cache(_prove)
