"""Samples of some ten features, visited only when their nearest centre can have changed.

A visit compares a sample with all centres, sixteen samples at once, and keeps one number: by how
much centres may move before another can be nearest, the gap between its nearest and its second
nearest. The movement of a centre and the largest movement of any other are added up on the
centre's clock; a sample whose alarm lies ahead of its centre's clock is passed by (after Hamerly,
2010, SDM, whose two bounds this makes one). Nothing of this is an approximation: what is within
the rounding of a comparison is compared again as brute force does.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.jit import kernel
from kmq.kernels.simd import LANES, scan_tile, scan_tile_fused

# Samples from which those to visit are gathered: their indices stay in the first cache.
_CHUNK = 1024
# Rounds what single precision keeps of clocks and alarms to the safe side.
UP = 1.0 + 2.0**-22
_DOWN = 1.0 - 2.0**-22


class Orders(NamedTuple):
    """Centres as the visits compare them.

    centers  (m, d) float    of the dtype of the samples, filled up with infinity to whole eights
    clocks   (k,)   float64  movement of each centre and the most of any other, added up
    hands    (k,)   float32  the same, rounded up
    points   (k, d) float64  points of reference: each centre when the sums were last made afresh
    """

    centers: np.ndarray
    clocks: np.ndarray
    hands: np.ndarray
    points: np.ndarray


class Tally(NamedTuple):
    """Sums of the clusters in each block of samples.

    sums     (b, k, d) float64  sums of weight · sample
    counts   (b, k, 2) float64  sums of weight, and numbers of samples that weigh
    scatter  (b,)      float64  sums of weight · squared distance to the point of reference
    """

    sums: np.ndarray
    counts: np.ndarray
    scatter: np.ndarray


@kernel
def advance_clocks(centers, placed, clocks):
    """Add the last movements of the centres to their clocks, and place the centres anew.

    centers  (k, d) float    centres
    placed   (k, d) float64  inout: centres at the last visits
    clocks   (k,)   float64  inout: movement of each centre and the most of any other, added up
    """
    k, d = centers.shape
    moved = np.empty(k)
    most = 0.0
    second = 0.0
    for j in range(k):
        sq = 0.0
        for f in range(d):
            diff = np.float64(centers[j, f]) - placed[j, f]
            sq += diff * diff
            placed[j, f] = np.float64(centers[j, f])
        moved[j] = np.sqrt(sq) * (1.0 + 1e-12)
        if moved[j] > most:
            second = most
            most = moved[j]
        elif moved[j] > second:
            second = moved[j]
    for j in range(k):
        # One movement makes the sample's centre recede, another brings its rival near.
        clocks[j] += moved[j] + (second if moved[j] == most else most)


@kernel
def _scan(tile, centers, d, k, owner, near):
    """Nearest centre of sixteen samples, by fused arithmetic where its rounding cannot decide."""
    eps = np.finfo(tile.dtype).eps
    slack = tile.dtype.type(4 * (d + 4) * eps)
    tiny = tile.dtype.type(8 * d * np.finfo(tile.dtype).tiny)
    scan_tile_fused(
        tile, np.int64(0), np.int64(d), centers, np.int64(centers.shape[0]), owner, near
    )
    clear = True
    for lane in range(LANES):
        # Not so for infinities and what is no number either.
        clear &= near[1, lane] - near[0, lane] > slack * near[1, lane] + tiny
    if not clear:
        scan_tile(tile, np.int64(0), np.int64(d), centers, np.int64(k), owner, near)


@kernel
def _move(X, weight, points, i, before, after, sums, counts):
    """Move sample i from one cluster to another; by how much the scatter of its block grows."""
    d = X.shape[1]
    w = weight[i]
    growth = 0.0
    for f in range(d):
        x = np.float64(X[i, f])
        gone = x - points[before, f]
        come = x - points[after, f]
        growth += come * come - gone * gone
        sums[before, f] -= w * x
        sums[after, f] += w * x
    counts[before, 0] -= w
    counts[after, 0] += w
    if w > 0.0:
        counts[before, 1] -= 1.0
        counts[after, 1] += 1.0
    return w * growth


@kernel
def visit(X, weight, orders, block, rows, labels, alarm, tally):
    """Label the samples of a block whose alarm has come, and book the changes.

    X       (n, d) float    samples, C order
    weight  (n,)   float64  their weights
    orders                  `Orders`
    block, rows             the block, and samples a block
    labels  (n,)   int32    inout: nearest centre, ties to the lowest; -1 before the first visit
    alarm   (n,)   float32  inout: time on the clock of its centre from which to visit a sample
    tally                   inout: `Tally`
    Returns the number of labels that changed.
    """
    # Reading a field of a tuple counts a reference, which threads would fight over per sample.
    centers, clocks, hands, points = orders.centers, orders.clocks, orders.hands, orders.points
    sums, counts, scatter = tally.sums[block], tally.counts[block], tally.scatter
    d = X.shape[1]
    k = clocks.shape[0]
    slack = 4.0 * (d + 4) * np.finfo(X.dtype).eps
    least_gap = 4.0 * np.sqrt(d * np.float64(np.finfo(X.dtype).tiny))
    largest = np.float64(np.finfo(X.dtype).max)
    tile = np.zeros((1, d, LANES), X.dtype)
    near = np.empty((2, LANES), X.dtype)
    owner = np.empty(LANES, np.int32)
    active = np.empty(_CHUNK + LANES, np.int64)
    changed = 0
    stop = min((block + 1) * rows, X.shape[0])
    for first in range(block * rows, stop, _CHUNK):
        count = 0
        for i in range(first, min(first + _CHUNK, stop)):
            active[count] = i
            count += not hands[labels[i]] < alarm[i]
        for begin in range(0, count, LANES):
            size = min(LANES, count - begin)
            for lane in range(size):
                i = active[begin + lane]
                for f in range(d):
                    tile[0, f, lane] = X[i, f]
            _scan(tile, centers, d, k, owner, near)
            for lane in range(size):
                i = active[begin + lane]
                before, after = labels[i], owner[lane]
                rival = np.sqrt(min(np.float64(near[1, lane]), largest))
                gap = rival * (1.0 - slack) - np.sqrt(np.float64(near[0, lane])) - least_gap
                alarm[i] = (clocks[after] + gap) * _DOWN
                if before != after:
                    labels[i] = after
                    changed += 1
                    if before >= 0:
                        scatter[block] += _move(X, weight, points, i, before, after, sums, counts)
    return changed


@kernel
def sum_afresh(X, weight, labels, points, block, rows, tally):
    """Add up the samples of a block.

    X       (n, d) float    samples, C order
    weight  (n,)   float64  their weights
    labels  (n,)   int32    their clusters
    points  (k, d) float64  points of reference
    block, rows             the block, and samples a block
    tally                   out: `Tally`
    """
    sums, counts = tally.sums[block], tally.counts[block]
    d = X.shape[1]
    sums[:] = 0.0
    counts[:] = 0.0
    total = 0.0
    for i in range(block * rows, min((block + 1) * rows, X.shape[0])):
        j = labels[i]
        w = weight[i]
        sq = 0.0
        for f in range(d):
            x = np.float64(X[i, f])
            sums[j, f] += w * x
            sq += (x - points[j, f]) ** 2
        total += w * sq
        counts[j, 0] += w
        counts[j, 1] += 1.0 if w > 0.0 else 0.0
    tally.scatter[block] = total
