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
def add_up(tallies, centers, sq_total, sums, counts, means):
    """Add up what the members of a team have booked, and the inertia of that.

    Inertia comes from the moments of the clusters, without cancellation: Σ w|x - c|² is expanded
    about whole numbers next to c, in integers that cannot overflow; for centres among the colours
    what is left over is of the size of one colour step.

    tallies   (t, k+1, d+1) int64    sums of weight · colour and of weight of each cluster; in the
                                     last row the number of labels that have ever changed
    centers   (k, d)        float64  centres
    sq_total                int64    sum of weight · |colour|² of all colours
    sums      (k, d)        float64  out: sums of weight · colour
    counts    (k,)          float64  out: sums of weight
    means     (k, d)        float64  out: means of the clusters
    Returns inertia, the number of labels that have ever changed, and the squared distance of the
    means from the centres, NaN where a cluster is empty.
    """
    k, d = centers.shape
    whole = sq_total
    rest = 0.0
    shift = 0.0
    for j in range(k):
        weight = np.int64(0)
        for member in range(tallies.shape[0]):
            weight += tallies[member, j, d]
        counts[j] = weight
        for f in range(d):
            total = np.int64(0)
            for member in range(tallies.shape[0]):
                total += tallies[member, j, f]
            sums[j, f] = total
            means[j, f] = np.float64(total) / np.float64(weight)
            way = means[j, f] - centers[j, f]
            shift += way * way
            near = np.int64(np.rint(min(max(centers[j, f], 0.0), 255.0)))
            offset = centers[j, f] - near
            shifted = total - weight * near
            whole -= near * (total + shifted)
            rest += offset * (weight * offset - 2.0 * shifted)
    changed = np.int64(0)
    for member in range(tallies.shape[0]):
        changed += tallies[member, k, 0]
    return whole + rest, changed, shift
