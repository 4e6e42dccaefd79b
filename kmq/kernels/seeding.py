"""Distances to k-means++ candidates, and the potentials that they would leave."""

import numpy as np

from kmq.kernels.jit import kernel

_TILE = 64


@kernel
def lower_closest(X, center, start, stop, sq_closest):
    """Lower the squared distance to the closest centre where a new centre is closer.

    X           (n, d) float  samples, C order
    center      (d,)   float  the new centre
    start, stop               the samples to look at
    sq_closest  (n,)   float  inout: squared distance to the closest centre
    """
    d = X.shape[1]
    acc = np.empty(_TILE, np.float64)
    tile = np.empty((d, _TILE), np.float64)
    for first in range(start, stop, _TILE):
        size = min(_TILE, stop - first)
        for i in range(size):
            for f in range(d):
                tile[f, i] = X[first + i, f]
        acc[:] = 0.0
        for f in range(d):
            c = np.float64(center[f])
            for i in range(_TILE):
                diff = tile[f, i] - c
                acc[i] += diff * diff
        for i in range(size):
            sq = sq_closest.dtype.type(acc[i])
            if sq < sq_closest[first + i]:
                sq_closest[first + i] = sq


@kernel
def sq_distances(X, mean, centers, start, stop, sq_dist):
    """Squared distances of samples less their mean to some centres, rounded once.

    X        (n, d) float   samples, C order
    mean     (d,)   float   what to subtract from the samples, in their own precision
    centers  (t, d) float   centres, less the mean already
    start, stop             the samples to look at
    sq_dist  (t, n) float   out: squared distances
    """
    d = X.shape[1]
    acc = np.empty(_TILE, np.float64)
    tile = np.empty((d, _TILE), np.float64)
    for first in range(start, stop, _TILE):
        size = min(_TILE, stop - first)
        for i in range(size):
            for f in range(d):
                tile[f, i] = np.float64(X[first + i, f] - mean[f])
        for j in range(centers.shape[0]):
            acc[:] = 0.0
            for f in range(d):
                c = np.float64(centers[j, f])
                for i in range(_TILE):
                    diff = tile[f, i] - c
                    acc[i] += diff * diff
            for i in range(size):
                sq_dist[j, first + i] = sq_dist.dtype.type(acc[i])


@kernel
def candidate_potentials(X, weight, candidates, sq_closest, start, stop, potentials):
    """Potential that each candidate would leave if it became a centre.

    X           (n, d) float    samples, C order
    weight      (n,)   float64  weights of the samples
    candidates  (t, d) float    candidate centres
    sq_closest  (n,)   float    squared distance to the closest centre so far
    start, stop                 the samples to look at
    potentials  (t,)   float64  out: sums of weight · lowered squared distance
    """
    d = X.shape[1]
    t = candidates.shape[0]
    acc = np.empty(_TILE, np.float64)
    tile = np.empty((d, _TILE), np.float64)
    lanes = np.zeros((t, 8))
    for first in range(start, stop, _TILE):
        size = min(_TILE, stop - first)
        for i in range(size):
            for f in range(d):
                tile[f, i] = X[first + i, f]
        for j in range(t):
            acc[:] = 0.0
            for f in range(d):
                c = np.float64(candidates[j, f])
                for i in range(_TILE):
                    diff = tile[f, i] - c
                    acc[i] += diff * diff
            for i in range(size):
                sq = min(sq_closest.dtype.type(acc[i]), sq_closest[first + i])
                lanes[j, i % 8] += weight[first + i] * np.float64(sq)
    for j in range(t):
        total = 0.0
        for lane in range(8):
            total += lanes[j, lane]
        potentials[j] = total


@kernel
def find_draw(weight, sq_closest, start, stop, target):
    """First sample at which the running sum of weight · squared distance reaches a target.

    weight      (n,) float64  weights of the samples
    sq_closest  (n,) float    squared distance to the closest centre so far
    start, stop               the samples to look at
    target                    what the running sum, from `start`, must reach
    Returns the sample, `stop` where the sum stays below.
    """
    total = 0.0
    for i in range(start, stop):
        total += weight[i] * np.float64(sq_closest[i])
        if total >= target:
            return i
    return stop


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
        whole = first + (last - first) // 8 * 8
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
    n_stretches = reached.shape[0]
    rows = -(-n // n_stretches)
    for t in range(targets.shape[0]):
        b = min(np.searchsorted(reached, targets[t]), n_stretches - 1)
        total = reached[b - 1] if b > 0 else 0.0
        i = b * rows
        last = min(i + rows, n) - 1
        while i < last:
            total += weight[i] * np.float64(sq_closest[i])
            if total >= targets[t]:
                break
            i += 1
        drawn[t] = i
