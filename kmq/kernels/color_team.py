"""An iteration on distinct colours, worked off in chunks by a team of threads."""

from typing import NamedTuple

import numpy as np

from kmq.kernels.colors import Cells, Groups, State, advance_clocks, list_centers, visit_cells
from kmq.kernels.jit import kernel
from kmq.kernels.team import DONE, add_one, await_work, take_work

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
def work_off(cells, groups, orders, state, leads, board, tally):
    """Work off chunks until there are none, or for a helper: until none have come for a while.

    cells     Cells, as a plain tuple like all of these
    groups    Groups
    orders    Orders
    state     State              inout
    leads              bool      whether for the leader of the team, not for a helper
    board              int64     inout: the team's counters
    tally     (k+1, d+1) int64   inout: one member's sums of the clusters, and of changed labels
    """
    cells, groups, orders, state = Cells(*cells), Groups(*groups), Orders(*orders), State(*state)
    k = orders.centers.shape[0]
    n_groups = groups.radius.shape[0]
    n_chunks = -(-n_groups // CHUNK)
    number = take_work(board, leads)
    while number >= 0:
        start = (number % n_chunks) * CHUNK
        stop = min(start + CHUNK, n_groups)
        advance_clocks(orders.moved, start, stop, state)
        list_centers(groups, cells.dims, orders.rows, k, orders.reach[0], start, stop, state)
        tally[k, 0] += visit_cells(cells, orders.centers, start, stop, state, tally)
        add_one(board, DONE)
        number = take_work(board, leads)
    await_work(board, leads)
