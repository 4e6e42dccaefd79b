"""Potentials of k-means++: distances to candidates, pruned by the triangle inequality.

A candidate at least twice as far from a sample's closest centre as the sample itself cannot
come closer to it (Raff, 2021, arXiv:2105.02936). So each sample keeps the name of its closest
centre, and each round begins with the distances of the candidates to the centres.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.draws import STRETCH
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
def mark_candidates(field, points, quarters, start, stop, sq_dist):
    """Write down where candidates would lower squared distances to the closest centres.

    field                     inout: `Field`
    points    (t, d) float64  candidates, less the mean already; t is a multiple of 4
    quarters  (c, t) float64  a quarter of their squared distances to the centres
    start, stop               the samples to look at
    sq_dist   (s, n) float    inout: squared distances, were one of the first s ≤ t candidates
                              one of the centres
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
        if not _lower_tile(
            X, mean, sq_closest, owner, nearer, points, quarters, first, size, tile, near
        ):
            continue
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
    for i in range(start, stop):
        if nearer[i] & np.uint16(bit) == 0:
            continue
        sq = X.dtype.type(_sq_distance(X, i, mean, point, 0))
        if sq < sq_closest[i]:
            sq_closest[i] = sq
            owner[i] = number
            stale[i // STRETCH] = 1


@kernel
def settle_candidates(field, best, number, start, stop, stale, sq_dist):
    """Make a centre of a marked candidate, and take back the marks of all.

    field                   inout: `Field`
    best                    the candidate
    number                  its number as a centre
    start, stop             the samples to look at
    stale    (b,)   uint8   out: 1 for each stretch of samples with a change
    sq_dist  (t, n) float   inout: squared distances, were a candidate one of the centres
    """
    sq_closest, owner, nearer = field.sq_closest, field.owner, field.nearer
    trials = sq_dist.shape[0]
    for first in range(start, stop, TILE):
        # Unsigned, or each index would be looked at for being negative, and nothing vectorised.
        at, size = np.uint64(first), min(TILE, stop - first)
        hits = np.uint16(0)
        for i in range(size):
            hits |= nearer[at + np.uint64(i)]
        if hits == 0:
            continue
        stale[first // STRETCH] = 1
        for i in range(size):
            near = sq_dist[best, at + np.uint64(i)]
            owner[at + np.uint64(i)] = (
                number if near < sq_closest[at + np.uint64(i)] else owner[at + np.uint64(i)]
            )
            sq_closest[at + np.uint64(i)] = near
        for t in range(trials):
            for i in range(size):
                sq_dist[t, at + np.uint64(i)] = sq_closest[at + np.uint64(i)]
