"""An iteration on distinct colours, worked off in chunks by a team of threads."""

from typing import NamedTuple

import numpy as np

from kmq.kernels.colors import advance_clocks, list_centers, visit_cells
from kmq.kernels.jit import kernel
from kmq.kernels.team import DONE, add_one, take_work

# Groups a chunk: some microseconds of work where all cells are visited.
CHUNK = 12


class Orders(NamedTuple):
    """What an iteration is to be done with; written by the leader between iterations.

    centers  (k, d)  float64  centres
    rows     (d, >=k) float32 the same, one row a channel, then `FAR` up to whole sixteens
    moved    (k,)    float64  movement of each centre
    reach    (1,)    float64  twice the largest movement
    """

    centers: np.ndarray
    rows: np.ndarray
    moved: np.ndarray
    reach: np.ndarray


@kernel
def work_off(cells, groups, orders, state, patience, board, tally):
    """Work off chunks until there are none, or for a helper: until none have come for a while.

    cells     Cells
    groups    Groups
    orders    Orders
    state     State              inout
    patience                     looks at the board without work before leaving
    board              int64     inout: the team's counters
    tally     (k+1, d+1) int64   inout: one member's sums of the clusters, and of changed labels
    """
    k = orders.centers.shape[0]
    n_groups = groups.radius.shape[0]
    n_chunks = -(-n_groups // CHUNK)
    number = take_work(board, patience)
    while number >= 0:
        start = (number % n_chunks) * CHUNK
        stop = min(start + CHUNK, n_groups)
        advance_clocks(orders.moved, start, stop, state)
        list_centers(groups, cells.dims, orders.rows, k, orders.reach[0], start, stop, state)
        tally[k, 0] += visit_cells(cells, orders.centers, start, stop, state, tally)
        add_one(board, DONE)
        number = take_work(board, patience)
