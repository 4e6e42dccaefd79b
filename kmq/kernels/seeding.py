"""Potentials of k-means++: distances to candidates, pruned by the triangle inequality.

A candidate at least twice as far from a sample's closest centre as the sample itself cannot
come closer to it (Raff, 2021, arXiv:2105.02936). So each sample keeps the name of its closest
centre, and each round begins with the distances of the candidates to the centres.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.jit import kernel
from kmq.kernels.rows import LANES, TILE, sq_columns, sq_distance, sq_distances_4

# With more features, four candidates a sample take less than turning the samples over.
_MOST_TILE_FEATURES = 16
# A tile with more hits than this is computed whole.
_FEW_HITS = 8


class Field(NamedTuple):
    """Samples, with the closest centre of each.

    X           (n, d) float    samples, C order
    mean        (d,)   float    what to subtract from them, in their own precision
    weight      (n,)   float64  their weights
    sq_closest  (n,)   float    squared distance to the closest centre so far
    owner       (n,)   int32    number of that centre
    nearer      (n,)   uint16   bits of the candidates of this round that are closer, modulo 16
    """

    X: np.ndarray
    mean: np.ndarray
    weight: np.ndarray
    sq_closest: np.ndarray
    owner: np.ndarray
    nearer: np.ndarray


@kernel
def _sq_distance(X, i, mean, points, t):
    """Squared distance of row i less a mean to point t, in float64."""
    d = points.shape[1]
    total = sq_distance(X, i, mean, points, t)[0]
    for f in range(d // LANES * LANES, d):
        diff = np.float64(X[i, f] - mean[f]) - points[t, f]
        total += diff * diff
    return total


@kernel
def quarter_distances(points, centers, quarters):
    """A quarter of the squared distances of candidates to centres, rounded down.

    points    (t, d) float64  candidates
    centers   (c, d) float64  centres
    quarters  (c, t) float64  out: a quarter of the squared distances
    """
    zero = np.zeros(points.shape[1])
    for j in range(centers.shape[0]):
        for t in range(points.shape[0]):
            quarters[j, t] = 0.25 * (1.0 - 1e-6) * _sq_distance(centers, j, zero, points, t)


@kernel
def _lower_tile(X, mean, sq_closest, owner, nearer, points, quarters, first, size, tile, near):
    """Squared distances of a tile's samples to their closest centres, were a candidate one.

    Returns whether any may be lower than before.
    """
    t_n, d = points.shape
    dtype = X.dtype.type
    # Unsigned, or each index would be looked at for being negative, and no loop be vectorised.
    at = np.uint64(first)
    for t in range(t_n):
        for i in range(size):
            near[t, i] = sq_closest[at + np.uint64(i)]
    for i in range(size):
        nearer[at + np.uint64(i)] = 0
    hits = 0
    for i in range(size):
        closest = sq_closest[at + np.uint64(i)]
        j = owner[at + np.uint64(i)]
        for t0 in range(0, t_n, 4):
            nearest = min(
                min(quarters[j, t0], quarters[j, t0 + 1]),
                min(quarters[j, t0 + 2], quarters[j, t0 + 3]),
            )
            if nearest >= closest:
                continue
            hits += 1
            if d <= _MOST_TILE_FEATURES and hits > _FEW_HITS:
                break
            s0, s1, s2, s3 = sq_distances_4(X, first + i, mean, points, t0)
            for f in range(d // LANES * LANES, d):
                x = np.float64(X[at + np.uint64(i), f] - mean[f])
                s0 += (x - points[t0, f]) ** 2
                s1 += (x - points[t0 + 1, f]) ** 2
                s2 += (x - points[t0 + 2, f]) ** 2
                s3 += (x - points[t0 + 3, f]) ** 2
            near[t0, i] = dtype(s0)
            near[t0 + 1, i] = dtype(s1)
            near[t0 + 2, i] = dtype(s2)
            near[t0 + 3, i] = dtype(s3)
        if d <= _MOST_TILE_FEATURES and hits > _FEW_HITS:
            break
    if hits == 0:
        return False
    if d <= _MOST_TILE_FEATURES and hits > _FEW_HITS:
        for i in range(size):
            for f in range(d):
                tile[f, i] = np.float64(X[at + np.uint64(i), f] - mean[f])
        acc = tile[d]
        for t in range(t_n):
            sq_columns(tile, d, points, t, acc)
            for i in range(size):
                near[t, i] = dtype(acc[i])
    for t in range(t_n):
        bit = np.uint16(1 << (t & 15))
        for i in range(size):
            closest = sq_closest[at + np.uint64(i)]
            nearer[at + np.uint64(i)] |= bit if near[t, i] < closest else np.uint16(0)
            near[t, i] = min(near[t, i], closest)
    return True


@kernel
def candidate_gains(field, points, quarters, rows, start, stop, gains):
    """Count by how much each candidate would lower the potential.

    field                     `Field`
    points    (t, d) float64  candidates, less the mean already; t is a multiple of 4
    quarters  (c, t) float64  a quarter of their squared distances to the centres
    rows                      samples a block
    start, stop               the blocks to look at
    gains     (b, t) float64  out: sums of weight · lowering in each block
    """
    # Reading a field of a tuple counts a reference, which threads would fight over per tile.
    X, mean, sq_closest = field.X, field.mean, field.sq_closest
    weight, owner, nearer = field.weight, field.owner, field.nearer
    n, d = X.shape
    t_n = points.shape[0]
    tile = np.empty((d + 1, TILE))
    near = np.empty((t_n, TILE), X.dtype)
    lanes = np.empty((t_n, TILE))
    for block in range(start, stop):
        lanes[:] = 0.0
        for first in range(block * rows, min((block + 1) * rows, n), TILE):
            size = min(TILE, n - first)
            at = np.uint64(first)
            if not _lower_tile(
                X, mean, sq_closest, owner, nearer, points, quarters, first, size, tile, near
            ):
                continue
            for t in range(t_n):
                for i in range(size):
                    lowering = np.float64(sq_closest[at + np.uint64(i)]) - np.float64(near[t, i])
                    lanes[t, i] += weight[at + np.uint64(i)] * lowering
        for t in range(t_n):
            total = 0.0
            for i in range(TILE):
                total += lanes[t, i]
            gains[block, t] = total


@kernel
def candidate_distances(field, points, quarters, start, stop, sq_dist):
    """Squared distances to the closest centres, were a candidate one of them.

    field                     `Field`
    points    (t, d) float64  candidates, less the mean already; t is a multiple of 4
    quarters  (c, t) float64  a quarter of their squared distances to the centres
    start, stop               the samples to look at
    sq_dist   (s, n) float    out: squared distances, for the first s ≤ t candidates
    """
    # Reading a field of a tuple counts a reference, which threads would fight over per tile.
    X, mean, sq_closest = field.X, field.mean, field.sq_closest
    owner, nearer = field.owner, field.nearer
    t_n, d = points.shape
    tile = np.empty((d + 1, TILE))
    near = np.empty((t_n, TILE), X.dtype)
    for first in range(start, stop, TILE):
        size = min(TILE, stop - first)
        at = np.uint64(first)
        _lower_tile(X, mean, sq_closest, owner, nearer, points, quarters, first, size, tile, near)
        for t in range(sq_dist.shape[0]):
            for i in range(size):
                sq_dist[t, at + np.uint64(i)] = near[t, i]


@kernel
def lower_closest(field, point, bit, number, start, stop, stale):
    """Let a new centre take the samples that are closest to it.

    field                       inout: `Field`
    point       (1, d) float64  the new centre, less the mean already
    bit                         its bit in `Field.nearer`
    number                      its number
    start, stop                 the samples to look at
    stale       (b,)   uint8    out: 1 for each stretch of samples with a change
    """
    X, mean, sq_closest = field.X, field.mean, field.sq_closest
    owner, nearer = field.owner, field.nearer
    rows = -(-X.shape[0] // stale.shape[0])
    for i in range(start, stop):
        if nearer[i] & np.uint16(bit) == 0:
            continue
        sq = X.dtype.type(_sq_distance(X, i, mean, point, 0))
        if sq < sq_closest[i]:
            sq_closest[i] = sq
            owner[i] = number
            stale[i // rows] = 1


@kernel
def take_closest(field, sq_dist, number, start, stop):
    """Let a new centre take the samples that its row of squared distances shows closer.

    field                   inout: `Field`
    sq_dist  (n,)    float  squared distances to the closest centres with it
    number                  its number
    start, stop             the samples to look at
    """
    sq_closest, owner = field.sq_closest, field.owner
    for i in range(start, stop):
        if sq_dist[i] < sq_closest[i]:
            sq_closest[i] = sq_dist[i]
            owner[i] = number


@kernel
def single_draws(weight, sq_closest, targets, drawn):
    """First samples at which a running sum of weight · squared distance reaches targets.

    The sum is taken one by one in the precision of the arguments, as by NumPy.

    weight      (n,) float    weights of the samples
    sq_closest  (n,) float    squared distance to the closest centre so far
    targets     (t,) float64  what the running sum must reach, ascending
    drawn       (t,) int64    out: the samples, the last one where the sum stays below
    """
    n = weight.shape[0]
    total = sq_closest.dtype.type(0)
    t = 0
    for i in range(n):
        total += weight[i] * sq_closest[i]
        while t < targets.shape[0] and np.float64(total) >= targets[t]:
            drawn[t] = i
            t += 1
        if t == targets.shape[0]:
            return
    drawn[t:] = n - 1


@kernel
def stretch_totals(weight, sq_closest, start, stop, stale, totals):
    """Add up weight · squared distance again in the stretches of rows where it changed.

    weight      (n,) float64  weights of the samples
    sq_closest  (n,) float    squared distance to the closest centre so far
    start, stop               the stretches to look at
    stale       (b,) uint8    inout: 1 where a stretch changed, 0 after
    totals      (b,) float64  inout: sums of the stretches
    """
    n = weight.shape[0]
    rows = -(-n // stale.shape[0])
    lanes = np.empty(8)
    for b in range(start, stop):
        if stale[b] == 0:
            continue
        stale[b] = 0
        lanes[:] = 0.0
        first = b * rows
        last = min(first + rows, n)
        whole = first + max(last - first, 0) // 8 * 8
        for at in range(first, whole, 8):
            for lane in range(8):
                lanes[lane] += weight[at + lane] * np.float64(sq_closest[at + lane])
        total = 0.0
        for lane in range(8):
            total += lanes[lane]
        for i in range(whole, last):
            total += weight[i] * np.float64(sq_closest[i])
        totals[b] = total


@kernel
def find_draws(weight, sq_closest, reached, targets, drawn):
    """First samples at which the running sum of weight · squared distance reaches targets.

    weight      (n,) float64  weights of the samples
    sq_closest  (n,) float    squared distance to the closest centre so far
    reached     (b,) float64  running sum at the end of each stretch of rows
    targets     (t,) float64  what the running sum must reach
    drawn       (t,) int64    out: the samples, the last one where the sum stays below
    """
    n = weight.shape[0]
    rows = -(-n // reached.shape[0])
    for t in range(targets.shape[0]):
        b = np.searchsorted(reached, targets[t])
        total = reached[b - 1] if b > 0 else 0.0
        i = min(b * rows, n - 1)
        last = min(i + rows, n) - 1
        while i < last:
            total += weight[i] * np.float64(sq_closest[i])
            if total >= targets[t]:
                break
            i += 1
        drawn[t] = i
