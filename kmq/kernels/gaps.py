"""Samples of some ten features, visited only when their nearest centre can have changed.

A visit compares a sample with all centres, sixteen samples at once, and keeps one number: by how
much centres may move before another can be nearest, the gap between its nearest and its second
nearest. The movement of a centre and the largest movement of any other are added up on the
centre's clock; a sample whose alarm lies ahead of its centre's clock is passed by (after Hamerly,
2010, SDM, whose two bounds this makes one). Visits compare in single precision, samples and
centres in double precision less a point amid them. Nothing of this is an approximation: what is
within the rounding of a comparison is compared again as brute force does.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.jit import empty, kernel, zeros
from kmq.kernels.scan import scan_fused
from kmq.kernels.simd import scan_tile
from kmq.kernels.strips import LEAST_FEATURES, add_row, gather_tile, set_alarms
from kmq.kernels.vectors import LANES

# Places in the head of orders.
TASK, ROOTED = range(2)
# Samples from which those to visit are gathered: their indices stay in the first cache.
_CHUNK = 1024
# Rounds what single precision keeps of clocks and alarms to the safe side.
_UP = 1.0 + 2.0**-22
_DOWN = 1.0 - 2.0**-22
_LARGEST = float(np.finfo(np.float32).max)
# What the squares of tiny differences, one a feature, may lose of a distance.
_LEAST = 4.0 * float(np.finfo(np.float32).tiny) ** 0.5


class Orders(NamedTuple):
    """What to do, and centres as the visits compare them; written by the leader in between.

    head     (2,)   int64    the task; whether each cluster has a point of reference of its own
    shift    (d,)   float    of the dtype of the samples: what to subtract from these
    near     (m, d) float32  centres less the shift, filled up with infinity to `n_places`
    hidden   (k,)   float32  what rounding may hide of distances near each
    centers  (k, d) float    centres, of the dtype of the samples
    placed   (k, d) float64  the same
    clocks   (k,)   float64  movement of each centre and the most of any other, added up
    hands    (k,)   float32  the same, rounded up
    floors   (k,)   float32  the same, rounded down
    points   (k, d) float64  points of reference of the clusters, all the same if not their own
    """

    head: np.ndarray
    shift: np.ndarray
    near: np.ndarray
    hidden: np.ndarray
    centers: np.ndarray
    placed: np.ndarray
    clocks: np.ndarray
    hands: np.ndarray
    floors: np.ndarray
    points: np.ndarray


class State(NamedTuple):
    """What is known of the samples, and of the clusters in each block of samples.

    labels   (n,)      int32    nearest centre, ties to the lowest; -1 before the first visit
    alarm    (n,)      float32  time on the clock of its centre from which to visit a sample
    near     (n,)      float32  squared distance to its centre at the last visit, about
    sums     (b, k, d) float64  sums of weight · sample
    counts   (b, k, 2) float64  sums of weight, and numbers of samples that weigh
    scatter  (b,)      float64  sums of weight · squared distance to the point of reference
    spread   (b,)      float64  the same to the centre, where that was the task
    """

    labels: np.ndarray
    alarm: np.ndarray
    near: np.ndarray
    sums: np.ndarray
    counts: np.ndarray
    scatter: np.ndarray
    spread: np.ndarray


class Scratch(NamedTuple):
    """What a visit needs.

    tile    (d, 16)    float32  samples, one row a feature
    near    (2, 16)    float32  squared distances to their nearest and second nearest centre
    owner   (16,)      uint32   the nearest
    alarms  (16,)      float32  their alarms
    due     (c,)       uint64   samples to visit
    moved   (c,)       uint64   samples whose label changed
    old     (c,)       int32    their labels before
    origin  (d,)       float    zeros, of the dtype of the samples
    exact   (1, d, 16) float    `tile` of samples as they are
    sure    (2, 16)    float    `near` of these
    """

    tile: np.ndarray
    near: np.ndarray
    owner: np.ndarray
    alarms: np.ndarray
    due: np.ndarray
    moved: np.ndarray
    old: np.ndarray
    origin: np.ndarray
    exact: np.ndarray
    sure: np.ndarray


@kernel
def make_scratch(X):
    """What visits to these samples need, to be used by one thread: `Scratch`."""
    d = X.shape[1]
    return Scratch(
        empty((d, LANES), np.float32),
        empty((2, LANES), np.float32),
        empty(LANES, np.uint32),
        empty(LANES, np.float32),
        empty(_CHUNK + LANES, np.uint64),
        empty(_CHUNK + 1, np.uint64),
        empty(_CHUNK + 1, np.int32),
        zeros(d, X.dtype),
        empty((1, d, LANES), X.dtype),
        empty((2, LANES), X.dtype),
    )


@kernel
def place_centers(centers, orders):
    """Place the centres anew, and add their movements to their clocks.

    centers  (k, d) float  centres
    orders                 inout: `Orders`, as a plain tuple
    """
    orders = Orders(*orders)
    placed, clocks, shift = orders.placed, orders.clocks, orders.shift
    k, d = centers.shape
    # Samples and centres in double precision are rounded, by 2^-24 of how far they lie from the
    # shift. With a sample's distances D to its centre c and E to a rival, and R of c to the shift,
    # these lie within D + R and E + D + R: D and E are off by at most 4 R, 3 D and E of that
    # together, of which the share of the distance to the rival covers all but 4 R.
    rounding = 4.0 * 2.0**-24 if centers.itemsize > 4 else 0.0
    moved = empty(k, np.float64)
    most = 0.0
    second = 0.0
    for j in range(k):
        sq = 0.0
        sq_norm = 0.0
        for f in range(d):
            diff = np.float64(centers[j, f]) - placed[j, f]
            sq += diff * diff
            placed[j, f] = np.float64(centers[j, f])
            orders.centers[j, f] = centers[j, f]
            x = np.float64(centers[j, f] - shift[f])
            orders.near[j, f] = np.float32(x)
            sq_norm += x * x
        moved[j] = np.sqrt(sq) * (1.0 + 1e-12)
        orders.hidden[j] = np.float32((_LEAST * np.sqrt(d) + rounding * np.sqrt(sq_norm)) * _UP)
        if moved[j] > most:
            second = most
            most = moved[j]
        elif moved[j] > second:
            second = moved[j]
    for j in range(k):
        # One movement makes the sample's centre recede, another brings its rival near.
        clocks[j] += moved[j] + (second if moved[j] == most else most)
        orders.hands[j] = np.float32(clocks[j] * _UP)
        orders.floors[j] = np.float32(min(clocks[j], _LARGEST) * _DOWN)


@kernel
def _lay_out(X, rows, at, shift, tile):
    """Lay sixteen samples less a shift out in a tile."""
    for lane in range(LANES):
        for f in range(X.shape[1]):
            tile[f, lane] = X[rows[at + lane], f] - shift[f]


@kernel
def _compare_again(X, rows, at, orders, scratch):
    """Find by explicit differences the nearest centre of sixteen samples, and set their alarms."""
    owner, alarms = scratch.owner, scratch.alarms
    exact, near = scratch.exact, scratch.sure
    k, d = orders.centers.shape
    _lay_out(X, rows, at, scratch.origin, exact[0])
    scan_tile(exact, np.int64(0), np.int64(d), orders.centers, np.int64(k), owner, near)
    keep = 1.0 - 4.0 * (d + 4) * np.finfo(X.dtype).eps
    largest = np.float64(np.finfo(X.dtype).max)
    for lane in range(LANES):
        rival = np.sqrt(min(np.float64(near[1, lane]), largest))
        gap = keep * rival - np.sqrt(np.float64(near[0, lane])) - _LEAST * np.sqrt(d)
        alarms[lane] = np.float32((orders.clocks[owner[lane]] + gap) * _DOWN)


@kernel
def _growth(X, i, points, before, after):
    """By how much the squared distance of sample i to its point of reference grows."""
    total = 0.0
    for f in range(X.shape[1]):
        x = np.float64(X[i, f])
        gone = x - points[before, f]
        come = x - points[after, f]
        total += come * come - gone * gone
    return total


@kernel
def _move(X, w, i, before, after, sums, counts):
    """Move sample i, which weighs w, from one cluster to another."""
    add_row(X, np.int64(i), -w, sums, np.int64(before))
    add_row(X, np.int64(i), w, sums, np.int64(after))
    counts[before, 0] -= w
    counts[after, 0] += w
    if w > 0.0:
        counts[before, 1] -= 1.0
        counts[after, 1] += 1.0


@kernel
def _list_due(labels, alarm, hands, first, last, due):
    """List the samples of a range whose alarm has come, and sixteen to go on with; how many."""
    count = 0
    for i in range(first, last):
        due[count] = np.uint64(i)
        count += not hands[labels[i]] < alarm[i]
    for lane in range(LANES):
        due[count + lane] = due[max(count - 1, 0)]
    return count


@kernel
def visit(X, weight, orders, block, rows, state, scratch):
    """Label the samples of a block whose alarm has come, and book the changes.

    X       (n, d) float    samples, C order
    weight  (n,)   float64  their weights
    orders                  `Orders`
    block, rows             the block, and samples a block
    state                   inout: `State`
    scratch                 `Scratch`
    Returns the number of labels that changed.
    """
    # Reading a field of a tuple counts a reference, which threads would fight over per sample.
    shift, centers, hidden, floors = orders.shift, orders.near, orders.hidden, orders.floors
    hands, points, rooted = orders.hands, orders.points, orders.head[ROOTED]
    labels, alarm, nearest, scatter = state.labels, state.alarm, state.near, state.scatter
    sums, counts = state.sums[block], state.counts[block]
    d = X.shape[1]
    keep = np.float32(1.0 - 4.0 * (d + 8) * 2.0**-23)
    tile, near, owner, alarms = scratch.tile, scratch.near, scratch.owner, scratch.alarms
    due, moved, old = scratch.due, scratch.moved, scratch.old
    changed = 0
    stop = min((block + 1) * rows, X.shape[0])
    for first in range(block * rows, stop, _CHUNK):
        count = _list_due(labels, alarm, hands, first, min(first + _CHUNK, stop), due)
        n_moved = 0
        for begin in range(0, count, LANES):
            if d >= LEAST_FEATURES:
                gather_tile(X, due, np.int64(begin), shift, tile)
            else:
                _lay_out(X, due, begin, shift, tile)
            scan_fused(tile, centers, owner, near)
            if not set_alarms(near, owner, keep, hidden, floors, alarms):
                _compare_again(X, due, begin, orders, scratch)
            for lane in range(min(LANES, count - begin)):
                i, after = due[begin + lane], np.int32(owner[lane])
                before = labels[i]
                labels[i] = after
                alarm[i] = alarms[lane]
                nearest[i] = near[0, lane]
                moved[n_moved] = i
                old[n_moved] = before
                n_moved += before != after
        for m in range(n_moved):
            i, before, w = moved[m], old[m], weight[moved[m]]
            if before >= 0:
                _move(X, w, i, before, labels[i], sums, counts)
                if rooted:
                    scatter[block] += w * _growth(X, i, points, before, labels[i])
        changed += n_moved
    return changed
