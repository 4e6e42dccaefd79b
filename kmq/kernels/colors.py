"""k-means on distinct colours: cells that are visited only when their owner can have changed.

The colours, in Morton order, are cut into cells of `CELL` neighbours, and these into groups of
`GROUP` cells; each is enclosed in a ball. Centres too far from a group's ball to own any of its
colours are left out of the group's list (Kanungo's filter, with balls), and within a cell again.

What a visit learns is kept as a number: by how much the centres may move before any label in
the cell can change, the least gap between the nearest and the second nearest centre. The
movements of the centres in a group's list are added up on the group's clock; a cell whose alarm
lies ahead of it is passed by. What centres outside the list still have to come is counted down
from all movements. Nothing of this is an approximation: where a
gap cannot be told from rounding, the cell is visited, and a visit compares the squared distances
that brute force would.

Kanungo, T. et al. (2002). An efficient k-means clustering algorithm. IEEE Trans. Pattern Anal.
Mach. Intell. 24(7). Hamerly, G. (2010). Making k-means even faster. SIAM SDM.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.jit import empty, kernel
from kmq.kernels.simd import (
    LANES,
    count_differing,
    scan_cell,
    select_within,
    sq_distances,
)

CELL = LANES
GROUP = 16
# Rounding of a distance between 8-bit colours stays below 1e-12; a gap this much larger is real.
_MARGIN = 1e-9
# The same in float32, of a distance: centres are rounded by 1.6e-5 a channel, and a distance of
# up to 442 by some parts in 10^7 of itself.
_BLUR = 3e-4
# How far a group's list looks ahead, in movements like the last one: 1 to 20 made no difference
# above 5 %. Rivals in a cell that look ahead lost 3 %, groups of 8 cells 5 %.
_LIST_AHEAD = 6.0
# Where no centre is: pads rows of centres to whole vectors.
FAR = 1e15


class Cells(NamedTuple):
    """Distinct colours in cells, shared by all fits on them.

    dims     d zeros           a tuple: its length fixes the number of channels
    tile     (c, d, 16) uint8  colours of each cell, one row a channel, padded with the last
    weight   (c, 16)   int64   their weights, 0 in the padding
    moments  (c, d+1)  int64   sums of weight · colour, and of weight, of each cell
    middle   (c, d)    float32 middle of each cell's box
    radius   (c,)      float64 largest distance from there to a colour of the cell
    """

    dims: tuple[int, ...]
    tile: np.ndarray
    weight: np.ndarray
    moments: np.ndarray
    middle: np.ndarray
    radius: np.ndarray


class Groups(NamedTuple):
    """Groups of cells, shared by all fits on them.

    middle   (g, d) float32  middle of each group's box
    radius   (g,)   float64  largest distance from there to a colour of the group
    """

    middle: np.ndarray
    radius: np.ndarray


class State(NamedTuple):
    """What one fit knows from its last visits.

    labels   (c, 16) int32   nearest centre of each colour; -1 before the first visit
    owner    (c,)    int32   the one label of all colours of a cell; -1 where they differ
    alarm    (c,)    float64 time on the group's clock from which the cell must be visited
    lists    (g, k)  int32   centres that can own a colour of the group, ascending
    size     (g,)    int32   how many these are
    clock    (g,)    float64 movements of the centres in the group's list, added up
    slack    (g,)    float64 how far centres outside the list still have to come
    next     (g,)    float64 the earliest alarm in the group
    """

    labels: np.ndarray
    owner: np.ndarray
    alarm: np.ndarray
    lists: np.ndarray
    size: np.ndarray
    clock: np.ndarray
    slack: np.ndarray
    next: np.ndarray


@kernel
def build_cells(colors, counts, start, stop, cells, groups):
    """Fill some groups and their cells from colours in Morton order.

    colors  (m, d) uint8  distinct colours
    counts  (m,)   int64  their weights
    start, stop           the groups to fill
    cells   Cells         out
    groups  Groups        out
    Returns the sum of weight · |colour|² in these groups.
    """
    m = colors.shape[0]
    d = len(cells.dims)
    n_cells = cells.radius.shape[0]
    box = empty((4, d), np.float64)
    low, high, group_low, group_high = box[0], box[1], box[2], box[3]
    sq_total = np.int64(0)
    for g in range(start, stop):
        first, last = g * GROUP, min((g + 1) * GROUP, n_cells)
        group_low[:] = 255.0
        group_high[:] = 0.0
        for c in range(first, last):
            low[:] = 255.0
            high[:] = 0.0
            cells.moments[c, :] = 0
            for i in range(CELL):
                row = c * CELL + i
                weight = counts[row] if row < m else 0
                row = min(row, m - 1)
                cells.weight[c, i] = weight
                cells.moments[c, d] += weight
                for f in range(d):
                    value = np.int64(colors[row, f])
                    cells.tile[c, f, i] = value
                    cells.moments[c, f] += weight * value
                    sq_total += weight * value * value
                    low[f] = min(low[f], value)
                    high[f] = max(high[f], value)
            for f in range(d):
                cells.middle[c, f] = 0.5 * (low[f] + high[f])
                group_low[f] = min(group_low[f], low[f])
                group_high[f] = max(group_high[f], high[f])
        for f in range(d):
            groups.middle[g, f] = 0.5 * (group_low[f] + group_high[f])
        farthest_of_group = 0.0
        for c in range(first, last):
            farthest = 0.0
            for i in range(CELL):
                sq = 0.0
                sq_of_group = 0.0
                for f in range(d):
                    place = np.float64(cells.tile[c, f, i])
                    diff = place - cells.middle[c, f]
                    sq += diff * diff
                    diff = place - groups.middle[g, f]
                    sq_of_group += diff * diff
                farthest = max(farthest, sq)
                farthest_of_group = max(farthest_of_group, sq_of_group)
            cells.radius[c] = np.sqrt(farthest)
        groups.radius[g] = np.sqrt(farthest_of_group)
    return sq_total


@kernel
def list_centers(groups, dims, rows, k, reach, start, stop, state):
    """Make a group's list anew where centres outside it may have come near.

    groups   Groups
    dims     d zeros           a tuple: its length fixes the number of channels
    rows     (d, >=k) float32  centres, one row a channel, then `FAR` up to whole sixteens
    k                          number of centres
    reach             float64  how far any centre has moved, twice
    start, stop                the groups to look at
    state    State             inout
    """
    sq_dist = empty(rows.shape[1], np.float32)
    listed = empty(rows.shape[1], np.int32)
    for g in range(start, stop):
        state.slack[g] -= reach
        if state.slack[g] > 0.0:
            continue
        nearest = sq_distances(rows, np.int64(k), dims, groups.middle, g, sq_dist)
        # A colour of the group is nearer to the nearest centre than to any farther than this.
        own = np.sqrt(np.float64(nearest)) + 2.0 * (groups.radius[g] + _BLUR)
        limit = own + min(_LIST_AHEAD * reach, 0.5 * groups.radius[g])
        size, excluded = select_within(sq_dist, np.int64(k), np.float32(limit * limit), listed)
        newcomer = np.float32(np.inf)
        old = 0
        old_size = state.size[g]
        for entry in range(size):
            j = listed[entry]
            while old < old_size and state.lists[g, old] < j:
                old += 1
            if old == old_size or state.lists[g, old] != j:
                newcomer = min(newcomer, sq_dist[j])
        for entry in range(size):
            state.lists[g, entry] = listed[entry]
        state.size[g] = size
        state.slack[g] = np.sqrt(np.float64(excluded)) - own
        if newcomer < np.inf:
            # The cells' alarms know nothing of these.
            alarm = state.clock[g] + np.sqrt(np.float64(newcomer)) - own
            for c in range(g * GROUP, min((g + 1) * GROUP, state.alarm.shape[0])):
                state.alarm[c] = min(state.alarm[c], alarm)
            state.next[g] = min(state.next[g], alarm)


@kernel
def advance_clocks(moved, start, stop, state):
    """Add the last movements of the centres to the clocks of the groups.

    moved  (k,) float64  movement of each centre since the last visits
    start, stop          the groups to look at
    state  State         inout
    """
    for g in range(start, stop):
        most = 0.0
        second = 0.0
        for entry in range(state.size[g]):
            step = moved[state.lists[g, entry]]
            if step > most:
                second = most
                most = step
            elif step > second:
                second = step
        # The owner of a colour recedes by one movement, its rival comes near by another.
        state.clock[g] += most + second


@kernel
def _relabel_cell(cells, c, labels, state, deltas):
    """Write new labels of a cell and book what changes.

    cells   Cells
    c                        the cell
    labels  (16,)    int32   new labels
    state   State            inout
    deltas  (k, d+1) int64   inout: changes of the sums and weights of the clusters
    """
    d = len(cells.dims)
    same = True
    for i in range(CELL):
        label = labels[i]
        same &= label == labels[0]
        before = state.labels[c, i]
        if label == before:
            continue
        state.labels[c, i] = label
        weight = cells.weight[c, i]
        for f in range(d):
            moment = weight * np.int64(cells.tile[c, f, i])
            deltas[label, f] += moment
            if before >= 0:
                deltas[before, f] -= moment
        deltas[label, d] += weight
        if before >= 0:
            deltas[before, d] -= weight
    state.owner[c] = labels[0] if same else -1


@kernel
def _own_cell(cells, c, owner, state, deltas):
    """Give a whole cell to one centre and book what changes.

    cells   Cells
    c                        the cell, of one owner before or not yet visited
    owner            int32   the centre
    state   State            inout
    deltas  (k, d+1) int64   inout: changes of the sums and weights of the clusters
    """
    before = state.owner[c]
    for f in range(len(cells.dims) + 1):
        if before >= 0:
            deltas[before, f] -= cells.moments[c, f]
        deltas[owner, f] += cells.moments[c, f]
    for i in range(CELL):
        state.labels[c, i] = owner
    state.owner[c] = owner


@kernel
def visit_cells(cells, centers, start, stop, state, deltas):
    """Label the colours of the cells whose alarm has come, and book the changes.

    cells    Cells
    centers  (k, d)   float64  centres
    start, stop                the groups to look at
    state    State             inout
    deltas   (k, d+1) int64    inout: changes of the sums and weights of the clusters
    Returns the number of labels that changed.
    """
    dims = cells.dims
    d = len(dims)
    k = centers.shape[0]
    n_cells = cells.radius.shape[0]
    room = -(-k // LANES) * LANES
    near = empty((d, room), np.float64)
    near32 = empty((d, room), np.float32)
    sq_dist = empty(room, np.float32)
    rivals = empty(room, np.int32)
    names = empty(room, np.int32)
    labels = empty(CELL, np.int32)
    changed = 0
    for g in range(start, stop):
        clock = state.clock[g]
        if clock < state.next[g]:
            continue
        size = np.int64(state.size[g])
        for entry in range(size):
            j = state.lists[g, entry]
            names[entry] = j
            for f in range(d):
                near[f, entry] = centers[j, f]
                near32[f, entry] = centers[j, f]
        for entry in range(size, -(-size // LANES) * LANES):
            for f in range(d):
                near32[f, entry] = FAR
        earliest = np.inf
        for c in range(g * GROUP, min((g + 1) * GROUP, n_cells)):
            if clock < state.alarm[c]:
                earliest = min(earliest, state.alarm[c])
                continue
            nearest = sq_distances(near32, size, dims, cells.middle, c, sq_dist)
            own = np.sqrt(np.float64(nearest)) + 2.0 * (cells.radius[c] + _BLUR)
            limit = np.float32(own * own)
            n_rivals, excluded = select_within(sq_dist, size, limit, rivals)
            gap = np.sqrt(np.float64(excluded)) - own
            if n_rivals == 1:
                for i in range(CELL):
                    labels[i] = names[rivals[0]]
            else:
                least, second = scan_cell(
                    cells.tile, c, dims, near32, rivals, n_rivals, names, labels
                )
                apart, farthest = np.float64(least), np.float64(second)
                # Both squares can be off by this much; nearer ties are decided in float64.
                blur = _BLUR * (2.0 * np.sqrt(farthest) + _BLUR)
                if apart > 2.0 * blur:
                    apart -= 2.0 * blur
                    farthest += blur
                else:
                    apart, farthest = scan_cell(
                        cells.tile, c, dims, near, rivals, n_rivals, names, labels
                    )
                # d2 - d1 = (d2² - d1²) / (d2 + d1), and no sum in the cell exceeds this one.
                gap = min(gap, apart / (2.0 * np.sqrt(farthest)))
            differing = count_differing(state.labels, c, labels)
            if differing:
                fresh = state.labels[c, 0] < 0
                if n_rivals == 1 and (fresh or state.owner[c] >= 0):
                    _own_cell(cells, c, labels[0], state, deltas)
                else:
                    _relabel_cell(cells, c, labels, state, deltas)
            changed += differing
            state.alarm[c] = clock + gap - _MARGIN
            earliest = min(earliest, state.alarm[c])
        state.next[g] = earliest
    return changed
