"""Products of float32 rows with weights, a row at a time, to the bit of the BLAS of NumPy."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from kmq.kernels import gemv as kernels

# Up to two times four rows, threads of OpenBLAS share them by fours and add up as one does.
MOST_SHARED_ROWS = 8
# Products that a way must give to the bit; another one gives one of three by chance.
_LEAST_PROOFS, _MOST_PROOFS = 8, 100
# An order of additions, and whether the products of the last n % 4 samples are fused.
_Way = tuple[int, bool]
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
    plain : bool
        Whether all weights are 1.

    Attributes
    ----------
    proven : bool
        Whether the order is known in which the BLAS of this process adds up.
    orders : (t,) int64
        The orders of the rows; none where they are not known.
    parts : (t, p) float32
        Sums of blocks of rows.
    climbs : (t, g) float64
        Sums of all that was rounded on the way.
    """

    def __init__(self, weight: NDArray[np.float32], n_rows: int, plain: bool) -> None:
        self._weight = weight
        if n_rows <= MOST_SHARED_ROWS:
            rest = len(weight) % kernels.BLOCK
            self._ways = _prove_once(n_rows, 2 * kernels.BLOCK + rest)
        else:
            # How such rows are shared out hangs on their length and the threads BLAS has just now.
            self._ways = _prove(n_rows, len(weight))
        self.proven = self._ways is not None
        orders = [order for order, _ in self._ways or ()]
        self.orders = np.array([kernels.PLAIN[o] if plain else o for o in orders], np.int64)
        # In four running sums there are twice the additions, to sums that are as large together.
        mixed = kernels.FOUR in orders
        self._others = [2 if mixed and order != kernels.FOUR else 1 for order in orders]
        n_parts, n_groups = _n_parts(len(weight))
        self.parts = np.empty((n_rows, n_parts), np.float32)
        self.climbs = np.empty((n_rows, n_groups))

    def join(self, values: NDArray[np.float32], row: int, place: int) -> tuple[np.float32, float]:
        """Sum of weight · value, were the values such a row, and how far off it is at most.

        If nothing is negative, no row of values that are at most these is farther off. The blocks
        have been added up to a place of `parts` and `climbs`.
        """
        assert self._ways is not None
        total, climb = kernels.join_blocks(
            values, self._weight, self.parts[place], self.climbs[place], self._ways[row][1]
        )
        return np.float32(total), self._others[row] * climb * _ROUNDING


def _n_parts(n: int) -> tuple[int, int]:
    """Numbers of blocks and of groups of blocks that n values are added up in."""
    n_parts = -(-(n // 4 * 4) // kernels.BLOCK)
    return n_parts, -(-n_parts // kernels.STRIPS)


def _sum(
    values: NDArray[np.float32], weight: NDArray[np.float32], order: int, fused_rest: bool
) -> float:
    """Sum of weight · value in an order."""
    n_parts, n_groups = _n_parts(len(weight))
    parts, climbs = np.empty(n_parts, np.float32), np.empty(n_groups)
    kernels.add_up_blocks(values, weight, order, 0, n_groups, parts, climbs)
    return kernels.join_blocks(values, weight, parts, climbs, fused_rest)[0]


def _prove(n_rows: int, n: int) -> tuple[_Way, ...] | None:
    """Find the only way in which each row of n samples can be added up; None where there is none.

    Memory: 4 n bytes for each row and one more.
    """
    rng = np.random.default_rng(0)
    rests = (False, True) if n % 4 else (False,)
    left = [[(order, rest) for order in kernels.PLAIN for rest in rests]] * n_rows
    for proof in range(1, _MOST_PROOFS + 1):
        # Sums that nearly cancel show the rounding of every addition, and of the last products
        # where these are as large.
        noise = np.resize(rng.random(_NOISE, np.float32) - np.float32(0.5), (n_rows + 1, n))
        rows, weight = noise[:-1], noise[-1]
        weight[n // 4 * 4 :] *= np.float32(n / 64)
        weight.flags.writeable = False  # as those of samples: kernels are compiled once
        totals = (rows @ weight[:, np.newaxis])[:, 0]
        left = [
            [way for way in ways if _sum(row, weight, *way) == total]
            for row, ways, total in zip(rows, left, totals, strict=True)
        ]
        if not all(left):
            return None
        if proof >= _LEAST_PROOFS and all(len(ways) == 1 for ways in left):
            return tuple(ways[0] for ways in left)
    return None


_prove_once = cache(_prove)
