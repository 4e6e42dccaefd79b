"""k-means++ on samples of many features: exact distances where eight bits leave it open."""

from typing import NamedTuple

import numpy as np

from kmq.kernels.draws import STRETCH, book_fall
from kmq.kernels.jit import kernel, popcount
from kmq.kernels.rows import LANES, sq_distances_4, sq_to_point
from kmq.kernels.sketch import FOUR, TILE, compare_tile, limit_of


class Field(NamedTuple):
    """Samples, with their closest centres.

    X           (n, d)     float    samples, C order
    mean        (d,)       float    what to subtract from them, in their own precision
    weight      (n,)       float64  their weights
    sq_closest  (n,)       float    squared distance to the closest centre so far
    nearer      (c, 64)    uint16   bits of the candidates of this round that are closer, modulo 16
    sketch      (c, d, 64) int8     samples in steps
    moved       (c, 64)    float32  how far rounding to steps moved them, in steps
    limits      (c, 64)    float32  squared distances from there from which nothing is closest
    step        (1,)       float64  the step
    """

    X: np.ndarray
    mean: np.ndarray
    weight: np.ndarray
    sq_closest: np.ndarray
    nearer: np.ndarray
    sketch: np.ndarray
    moved: np.ndarray
    limits: np.ndarray
    step: np.ndarray


@kernel
def _sq_distances_4(X, i, mean, points, first, sq):
    """Squared distances of row i less a mean to four points, in float64."""
    d = points.shape[1]
    sq[first], sq[first + 1], sq[first + 2], sq[first + 3] = sq_distances_4(
        X, i, mean, points, first
    )
    for f in range(d // LANES * LANES, d):
        x = np.float64(X[i, f] - mean[f])
        for t in range(first, first + FOUR):
            diff = x - points[t, f]
            sq[t] += diff * diff


@kernel
def start_field(field, points, start, stop):
    """Make a point the first centre.

    field                   inout: `Field`
    points  (1, d) float64  the centre, less the mean already
    start, stop             the tiles to look at
    """
    X, mean, sq_closest = field.X, field.mean, field.sq_closest
    n, d = X.shape
    step = field.step[0]
    for c in range(start, stop):
        for lane in range(TILE):
            i = c * TILE + lane
            if i < n:
                sq_closest[i] = X.dtype.type(sq_to_point(X, i, mean, points, 0))
                field.limits[c, lane] = limit_of(sq_closest[i], field.moved[c, lane], step, d)
            else:
                field.limits[c, lane] = 0.0


@kernel
def candidate_gains(field, points, rounded, per_block, start, stop, sq_dist, gains):
    """Count by how much each candidate would lower the potential, and remember where.

    field                     inout: `Field`
    points    (t, d) float64  candidates, less the mean already; t is a multiple of 4
    rounded   (t, d) float32  the same in steps
    per_block                 tiles a block
    start, stop               the blocks to look at
    sq_dist   (s, n) float    out: squared distances to the closest centres, were one of the first
                              s ≤ t candidates one of them; written where its bit is set
    gains     (b, s) float64  out: sums of weight · lowering in each block
    """
    # Reading a field of a tuple counts a reference, which threads would fight over per tile.
    X, mean, weight, sq_closest = field.X, field.mean, field.weight, field.sq_closest
    nearer, sketch, limits = field.nearer, field.sketch, field.limits
    n = X.shape[0]
    n_tiles = limits.shape[0]
    trials = sq_dist.shape[0]
    dtype = X.dtype.type
    sq = np.empty((FOUR, TILE), np.float32)
    masks = np.empty(points.shape[0], np.uint64)
    near = np.empty(points.shape[0])
    for block in range(start, stop):
        gains[block, :] = 0.0
        for c in range(block * per_block, min((block + 1) * per_block, n_tiles)):
            open_ = compare_tile(sketch, c, rounded, sq, limits, masks)
            size = min(TILE, n - c * TILE)
            if size < TILE:
                open_ &= (np.uint64(1) << np.uint64(size)) - np.uint64(1)
            while open_ != 0:
                lowest = open_ & (~open_ + np.uint64(1))
                lane = np.int64(popcount(lowest - np.uint64(1)))
                open_ ^= lowest
                i = c * TILE + lane
                before = sq_closest[i]
                bits = np.uint16(0)
                for first in range(0, points.shape[0], FOUR):
                    which = -1
                    several = False
                    for t in range(first, first + FOUR):
                        if masks[t] & lowest:
                            several = which >= 0
                            which = t
                    if several:
                        _sq_distances_4(X, i, mean, points, first, near)
                    elif which >= 0:
                        near[which] = sq_to_point(X, i, mean, points, which)
                for t in range(trials):
                    if masks[t] & lowest and dtype(near[t]) < before:
                        bits |= np.uint16(1 << (t & 15))
                        sq_dist[t, i] = dtype(near[t])
                        lowering = np.float64(before) - np.float64(dtype(near[t]))
                        gains[block, t] += weight[i] * lowering
                    elif trials > 16:
                        sq_dist[t, i] = before  # another one may set its bit
                nearer[c, lane] = bits


@kernel
def mark_candidates(field, some, start, stop, sq_dist, rows):
    """Lower squared distances to the closest centres, were one of some candidates a centre.

    field                     `Field`
    some      (m,)   int64    numbers of the candidates
    start, stop               the tiles to look at
    sq_dist   (t, n) float    as `candidate_gains` has left it
    rows      (m, n) float    inout: squared distances to the closest centres so far
    """
    nearer = field.nearer
    n = rows.shape[1]
    for c in range(start, stop):
        bits = nearer[c, : min(TILE, n - c * TILE)]
        hits = np.uint16(0)
        for lane in range(bits.shape[0]):
            hits |= bits[lane]
        for row in range(some.shape[0] if hits else 0):
            t = some[row]
            bit = np.uint16(1 << (t & 15))
            for lane in range(bits.shape[0]):
                if bits[lane] & bit:
                    rows[row, c * TILE + lane] = sq_dist[t, c * TILE + lane]


@kernel
def lower_closest(field, best, start, stop, sq_dist, book, worker):
    """Make a centre of a candidate.

    field                   inout: `Field`
    best                    the candidate
    start, stop             the tiles to look at
    sq_dist  (t, n) float   as `candidate_gains` has left it
    book                    inout: `Book`
    worker                  by which thread losses are booked; -1 to call stretches stale
    """
    sq_closest, weight, nearer = field.sq_closest, field.weight, field.nearer
    moved, limits = field.moved, field.limits
    stale, grid, fallen = book.stale, book.grid, book.fallen[worker]
    step = field.step[0]
    d = field.X.shape[1]
    bit = np.uint16(1 << (best & 15))
    for c in range(start, stop):
        bits = nearer[c]
        hits = np.uint16(0)
        for lane in range(TILE):
            hits |= bits[lane]
        if hits == 0:
            continue
        for lane in range(TILE if hits & bit else 0):
            if bits[lane] & bit:
                i = c * TILE + lane
                before, near = sq_closest[i], sq_dist[best, i]
                sq_closest[i] = near
                limits[c, lane] = limit_of(near, moved[c, lane], step, d)
                if worker < 0:
                    stale[i // STRETCH] = 1
                else:
                    book_fall(weight[i], before, near, i, stale, grid, fallen)
        bits[:] = 0
