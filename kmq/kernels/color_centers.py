"""Centres of distinct colours between two visits: how far they moved, and what they cost."""

import numpy as np

from kmq.kernels.colors import FAR
from kmq.kernels.jit import kernel

# How far around the colours single precision still tells distances as the cells need it.
_ROOM = 256.0


@kernel
def measure_moves(centers, placed, moved, rows):
    """Place the centres anew, and measure how far that moves them.

    centers  (k, d)   float64    centres
    placed   (k, d)   float64    inout: centres of the last visits, NaN before the first
    moved    (k,)     float64    out: movement of each centre, 0 in the first place
    rows     (d, >=k) float32    out: centres, one row a channel, then `FAR`
    Returns the largest movement; infinity where a centre is too far from all colours, or NaN.
    """
    k, d = centers.shape
    largest = 0.0
    far = False
    for j in range(k):
        sq = 0.0
        for f in range(d):
            diff = centers[j, f] - placed[j, f]
            far = far or not (-_ROOM <= centers[j, f] <= 255.0 + _ROOM)
            sq += diff * diff
            placed[j, f] = centers[j, f]
            rows[f, j] = centers[j, f]
        moved[j] = np.sqrt(sq) if sq == sq else 0.0
        largest = max(largest, moved[j])
    for f in range(d):
        rows[f, k:] = FAR
    return np.inf if far else largest


@kernel
def moment_inertia(sums, centers, sq_total):
    """Inertia of clusters from their moments, without cancellation.

    Σ w|x - c|² is expanded about whole numbers next to c, in integers that cannot overflow; for
    centres among the colours what is left over is of the size of one colour step.

    sums      (>k, d+1) int64   sums of weight · colour, and of weight, of each cluster
    centers   (k, d)   float64  centres
    sq_total           int64    sum of weight · |colour|² of all colours
    Returns inertia.
    """
    k, d = centers.shape
    whole = sq_total
    rest = 0.0
    for j in range(k):
        weight = sums[j, d]
        for f in range(d):
            near = np.int64(np.rint(min(max(centers[j, f], 0.0), 255.0)))
            offset = centers[j, f] - near
            shifted = sums[j, f] - weight * near
            whole -= near * (sums[j, f] + shifted)
            rest += offset * (weight * offset - 2.0 * shifted)
    return whole + rest
