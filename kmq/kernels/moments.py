"""Sums of clusters of many features, made afresh or by moving samples, and ways of centres."""

import numpy as np

from kmq.kernels.jit import kernel, zeros
from kmq.kernels.products import BLOCK
from kmq.kernels.rows import LANES, LINE, prefetch, sq_distance, sq_to_point


@kernel
def _ask_for(X, i, first, last):
    """Ask for some features of a row, which memory hands out too late by itself."""
    for f in range(first, last, LINE // X.itemsize):
        prefetch(X, np.int64(i), np.int64(f))


@kernel
def move_sums(X, weight, before, labels, moved, first, last, sums, counts):
    """Move samples from the sums of their old clusters to those of their new ones.

    X        (n, d) float    samples, C order
    weight   (n,)   float64  their weights
    before   (n,)   int32    their old clusters
    labels   (n,)   int32    their new ones
    moved    (m,)   int32    the samples
    first, last              the features to move; the first of all moves the counts as well
    sums     (k, d) float64  inout: sums of weight · sample
    counts   (k, 2) float64  inout: weights of the clusters, and numbers of samples that weigh
    """
    for m in range(moved.shape[0]):
        i = moved[m]
        _ask_for(X, moved[min(m + 1, moved.shape[0] - 1)], first, last)
        w = weight[i]
        old, new = before[i], labels[i]
        if first == 0:
            counts[old, 0] -= w
            counts[new, 0] += w
            if w > 0.0:
                counts[old, 1] -= 1.0
                counts[new, 1] += 1.0
        # Two loops over views that start at zero: LLVM must see no overlap, and no index below.
        x = X[i, first:last]
        loser, winner = sums[old, first:last], sums[new, first:last]
        for f in range(x.shape[0]):
            loser[f] -= w * np.float64(x[f])
        for f in range(x.shape[0]):
            winner[f] += w * np.float64(x[f])


@kernel
def growth(X, weight, before, labels, moved, wide):
    """By how much moved samples let the sum of weighted squared distances grow.

    X        (n, d) float    samples, C order
    weight   (n,)   float64  their weights
    before   (n,)   int32    their old clusters
    labels   (n,)   int32    their new ones
    moved    (m,)   int32    the samples
    wide     (k, d) float64  points of reference, one a cluster
    Returns the growth.
    """
    zero = zeros(X.shape[1], X.dtype)
    total = 0.0
    for m in range(moved.shape[0]):
        i = moved[m]
        after = sq_to_point(X, i, zero, wide, labels[i])
        total += weight[i] * (after - sq_to_point(X, i, zero, wide, before[i]))
    return total


@kernel
def sum_clusters(X, weight, labels, wide, start, stop, sums, counts):
    """Add up the samples of each cluster.

    X        (n, d) float    samples, C order
    weight   (n,)   float64  their weights
    labels   (n,)   int32    their clusters
    wide     (k, d) float64  points of reference, one a cluster, or (1, d) one for all
    start, stop              the samples to add
    sums     (k, d) float64  out: sums of weight · sample, set to zero first
    counts   (k, 2) float64  out: weights of the clusters, and numbers of samples that weigh
    Returns the sum of weighted squared distances to the points of reference.
    """
    d = X.shape[1]
    zero = zeros(d, X.dtype)
    sums[:] = 0.0
    counts[:] = 0.0
    total = 0.0
    for i in range(start, stop):
        j = labels[i]
        w = weight[i]
        _ask_for(X, min(i + 1, stop - 1), 0, d)
        total += w * sq_to_point(X, i, zero, wide, j if wide.shape[0] > 1 else 0)
        counts[j, 0] += w
        counts[j, 1] += 1.0 if w > 0.0 else 0.0
        row = sums[j]
        x = X[i]
        for f in range(d):
            row[f] += w * np.float64(x[f])
    return total


@kernel
def spread(X, weight, labels, wide, start, stop):
    """Sum the weighted squared distances of samples to the points of their clusters.

    X        (n, d) float    samples, C order
    weight   (n,)   float64  their weights
    labels   (n,)   int32    their clusters
    wide     (k, d) float64  points, one a cluster
    start, stop              the samples to sum
    Returns the sum.
    """
    zero = zeros(X.shape[1], X.dtype)
    total = 0.0
    for i in range(start, stop):
        _ask_for(X, min(i + 1, stop - 1), 0, X.shape[1])
        total += weight[i] * sq_to_point(X, i, zero, wide, labels[i])
    return total


@kernel
def ways(remembered, factors, floor, start, stop, center_way):
    """How far centres are from where they were.

    remembered  (s, k, d) float32  centres of each slot
    factors     (k, d)    float32  the present ones
    floor                 float32  what rounding both may hide
    start, stop                    the slots to look at
    center_way  (s, k)    float32  out: at least the distances
    """
    k, d = factors.shape
    zero = zeros(d, np.float32)
    for slot in range(start, stop):
        for j in range(k):
            total = sq_distance(factors, j, zero, remembered[slot], j)[0]
            for f in range(d // LANES * LANES, d):
                diff = factors[j, f] - remembered[slot, j, f]
                total += diff * diff
            rounding = np.float32(1.0 + (0.5 * d + 24.0) * 2.0**-24)
            way = np.sqrt(total) * rounding + floor
            # Also where both places are beyond single precision, and their difference is NaN.
            center_way[slot, j] = way if way < np.inf else np.inf


@kernel
def lay_out(centers, shift, scale, names, factors, packed, halves):
    """Centres in the form that is multiplied.

    centers  (k, d)        float    centres
    shift    (d,)          float    what to subtract from them
    scale                  float    what to multiply them by then
    names    (k,)          int32    their order
    factors  (k, d)        float32  out: the centres so changed, in this order
    packed   (b, d, BLOCK) float32  out: the same in blocks, the last filled up with zeros
    halves   (k,)          float32  out: half their squared norms
    Returns the largest norm.
    """
    k, d = centers.shape
    largest = 0.0
    for at in range(packed.shape[0] * BLOCK):
        block, place = at // BLOCK, at % BLOCK
        if at >= k:
            for f in range(d):
                packed[block, f, place] = np.float32(0.0)
            continue
        sq = 0.0
        for f in range(d):
            x = np.float32((centers[names[at], f] - shift[f]) * scale)
            factors[at, f] = x
            packed[block, f, place] = x
            sq += np.float64(x) * np.float64(x)
        halves[at] = np.float32(0.5 * sq)
        largest = max(largest, sq)
    return np.sqrt(largest)
