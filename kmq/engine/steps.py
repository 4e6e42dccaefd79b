"""The ways of doing one iteration, and the one function that chooses between them.

A step answers the loop of `kmq.engine.lloyd`: given these centres, which label has each sample,
what are the sums and weights of the clusters, and did any label change?
"""

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kmq.engine.table import Table
    from kmq.engine.ties import TieRule

# Where sorting the samples into cells repays itself within a few iterations.
MOST_CELL_FEATURES = 4
LEAST_CELL_PAIRS = 400_000
# Multiplications an iteration below which looking at alarms takes as long as comparing: 3,000 x 8,
# k = 10, and 1,000 x 16, k = 26: 0.3 to 0.4 ms for ten iterations either way.
LEAST_GAP_WORK = 1_000_000
# Up to so many features and values of centres the gap pays more than products and bounds do. Ten
# iterations, ms, noise in float32, gap against bounds: 60,000 x 20, k = 30: 5.0, 17;
# 60,000 x 64, k = 100: 29, 46; 60,000 x 128, k = 100: 67, 74; 200,000 x 16, k = 1000: 220, 260;
# but 200,000 x 32, k = 1000: 419, 393; 20,000 x 256, k = 50: 31, 29; 6,000 x 784, k = 10: 21, 11.
MOST_GAP_FEATURES = 128
MOST_GAP_VALUES = 24_000
LEAST_BOUND_WORK = 20_000_000
# An iteration of so little work takes NumPy some tenths of a millisecond. Loading compiled code
# takes a process some hundred, and compiling it on a new machine a second.
_MOST_PLAIN_WORK = 50_000
_MOST_BLOCKS = 32
_LEAST_ROWS = 1024


class Step(Protocol):
    """What the loop asks of a way of doing an iteration. One serves one run of the loop.

    Attributes
    ----------
    pinned : int
        How many of the last centres stay where they are.
    """

    pinned: int

    @property
    def sums(self) -> NDArray:
        """(k, d) weighted sums of each cluster at the last `assign`, float64."""

    @property
    def counts(self) -> NDArray:
        """(k,) weights of the clusters at the last `assign`, float64."""

    def means(self, centers: NDArray) -> tuple[NDArray, float] | None:
        """Means of the clusters, pinned ones apart, and their `sq_way` from the present centres.

        None where a cluster is empty. An array of the caller's own, of the dtype of `centers`.
        """

    @property
    def labels(self) -> NDArray[np.int32]:
        """(n,) nearest centre at the last `assign` or `relabel`; where equal, see `assign`.

        Of what the step works on: the samples, or their distinct colours.
        """

    def n_filled(self) -> int:
        """Count the clusters that have samples."""

    def mean(self) -> NDArray:
        """(d,) unweighted mean of the samples, of their dtype."""

    def assign(self, centers: NDArray, ties: "TieRule | None" = None) -> bool:
        """Assign the samples to `centers` and add up the clusters; True if a label changed.

        Where centres are nearly equally near, `ties` chooses; without it the lowest index of
        those equally near.
        """

    def relabel(self, centers: NDArray) -> None:
        """Assign the samples to `centers` for the last time: labels alone."""

    def assigned_inertia(self) -> float:
        """Inertia of the last `assign`, of its labels and its centres."""

    def inertia(self, centers: NDArray) -> float:
        """Inertia of the present labels and of `centers`, those of the last `assign` or `relabel`.

        From explicit differences in float64, or from sums in whole numbers.
        """

    def sq_distances(self, centers: NDArray) -> NDArray:
        """(n,) squared distances of the samples to their centres, in scikit-learn's arithmetic.

        Both are taken less the mean: which of equally far samples comes first hangs on it.
        """

    def sample(self, i: int) -> tuple[NDArray, float, int]:
        """Sample `i` with its weight and label."""


def sq_way(centers: NDArray, moved: NDArray) -> float:
    """Squared movement of all centres, added up in float64."""
    # Not a product of vectors: BLAS would let its number of threads into the sum.
    way = (moved - centers).astype(np.float64, copy=False)
    return float(np.square(way, out=way).sum())


def means_of(
    sums: NDArray, counts: NDArray, centers: NDArray, pinned: int = 0
) -> tuple[NDArray, float] | None:
    """`Step.means` from the sums and weights of the clusters."""
    if np.count_nonzero(counts) < len(counts):
        return None
    moved = (sums / counts[:, np.newaxis]).astype(centers.dtype, copy=False)
    if pinned:
        moved[-pinned:] = centers[-pinned:]
    return moved, sq_way(centers, moved)


def block_rows(n: int, k: int, least: int = _LEAST_ROWS) -> int:
    """Samples a block, from the shapes alone: few enough blocks that their sums stay small."""
    n_blocks = max(1, min(_MOST_BLOCKS, n // max(least, 8 * k)))
    # Whole vectors of samples, of sixteen.
    return -(-n // (16 * n_blocks)) * 16


def choose_step(table: "Table", k: int) -> Step:
    """Return the fastest step for these samples; the results do not depend on the choice."""
    X, weight = table.X, table.wide_weight
    n, d = X.shape
    if n < 2 * _LEAST_ROWS and n * d * k <= _MOST_PLAIN_WORK:
        from kmq.engine.plain_step import PlainStep, pays

        if pays():
            return PlainStep(X, weight, k)
    if d <= MOST_CELL_FEATURES and n * k >= LEAST_CELL_PAIRS:
        from kmq.engine.cell_step import CellStep

        return CellStep(X, weight, k, table.cells)
    # The wider the samples, the sooner.
    bound_work = n * d * k * max(1.0, d / MOST_GAP_FEATURES)
    too_wide = d > MOST_GAP_FEATURES or (d > MOST_CELL_FEATURES and d * k > MOST_GAP_VALUES)
    if too_wide and bound_work >= LEAST_BOUND_WORK:
        from kmq.engine.bound_step import BoundStep

        return BoundStep(X, weight, k)
    if d > MOST_CELL_FEATURES and n * d * k >= LEAST_GAP_WORK:
        from kmq.engine.gap_step import GapStep

        return GapStep(X, weight, k)
    from kmq.engine.dense import DenseStep

    return DenseStep(X, weight, k)
