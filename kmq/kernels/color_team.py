"""An iteration on distinct colours, worked off in chunks by a team of threads."""

from typing import NamedTuple

import numpy as np

from kmq.kernels.colors import advance_clocks, list_centers, visit_cells
from kmq.kernels.jit import kernel
from kmq.kernels.team import DONE, LEAVE, LIMIT, NEXT, add_one, claim, publish, read

# Groups a chunk: some microseconds of work where all cells are visited.
CHUNK = 12
# Looks at the board without work before a helper leaves; together some hundred microseconds.
_PATIENCE = 200_000


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
def _take_chunk(cells, groups, orders, state, board, tally):
    """Work off the next chunk, if there is one.

    cells   Cells
    groups  Groups
    orders  Orders
    state   State            inout
    board            int64   inout: the team's counters
    tally   (k+1, d+1) int64 inout: one member's sums of the clusters, and of changed labels
    Returns whether there was a chunk.
    """
    limit = read(board, LIMIT)
    number = read(board, NEXT)
    if number >= limit:
        return False
    if claim(board, NEXT, number):
        k = orders.centers.shape[0]
        n_groups = groups.radius.shape[0]
        n_chunks = -(-n_groups // CHUNK)
        start = (number % n_chunks) * CHUNK
        stop = min(start + CHUNK, n_groups)
        advance_clocks(orders.moved, start, stop, state)
        list_centers(groups, cells.dims, orders.rows, k, orders.reach[0], start, stop, state)
        tally[k, 0] += visit_cells(cells, orders.centers, start, stop, state, tally)
        add_one(board, DONE)
    return True


@kernel
def lead(cells, groups, orders, state, board, tally):
    """Publish an iteration, help to work it off, and wait until all of it is done.

    Arguments as for `_take_chunk`.
    """
    limit = read(board, LIMIT) + -(-groups.radius.shape[0] // CHUNK)
    publish(board, LIMIT, limit)
    while _take_chunk(cells, groups, orders, state, board, tally):
        pass
    while read(board, DONE) < limit:
        pass


@kernel
def serve(cells, groups, orders, state, board, tally):
    """Help to work off iterations until dismissed, or until none has come for a while.

    Arguments as for `_take_chunk`.
    """
    idle = 0
    while idle < _PATIENCE and read(board, LEAVE) == 0:
        if _take_chunk(cells, groups, orders, state, board, tally):
            idle = 0
        else:
            idle += 1
