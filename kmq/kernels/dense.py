"""Assignment, sums and inertia of dense float samples, by explicit differences.

Distances are summed feature by feature in the dtype of the samples, never in the expanded form
|x|² - 2xc + |c|², so a pair has the same distance in every kernel and ties are true ties.
Samples are copied to tiles with one row a feature: the inner loops then run over samples, which
LLVM turns into SIMD without being allowed to reorder any sum.
"""

import numpy as np

from kmq.kernels.jit import empty, fma, kernel, zeros
from kmq.kernels.simd import LANES, add_rows, add_squared_rows, scan_tile

# Samples a tile: 256 kept d = 2, k = 100 at 0.10 ns a pair on one thread of a Zen 5 (AVX-512);
# four centres a pass instead of one gained 10 % at d = 2 and nothing from d = 8 on.
_TILE = 256
_PARTS = 8


@kernel
def assign_narrow(X, centers, dims, start, stop, labels, sq_dist):
    """Assign samples to their nearest centres, for a number of features known at compile time.

    X        (n, d) float   samples, C order
    centers  (k, d) float   of the dtype of X
    dims     d zeros        a tuple: its length fixes d, so that the loop over features unrolls
    start, stop             the samples to assign
    labels   (n,)   int32   in: any; out: nearest centre, ties to the lowest
    sq_dist  (n,)   float   out: squared distance to it, of the dtype of X
    Returns the number of labels that changed.
    """
    d = len(dims)
    k = centers.shape[0]
    tile = empty((d, _TILE), X.dtype)
    best = empty(_TILE, X.dtype)
    # The label rides along as a float: lanes of one width keep the loop in SIMD registers.
    owner = empty(_TILE, X.dtype)
    changed = 0
    for first in range(start, stop, _TILE):
        size = min(_TILE, stop - first)
        for i in range(size):
            for f in range(d):
                tile[f, i] = X[first + i, f]
        for j in range(k):
            name = X.dtype.type(j)
            for i in range(_TILE):
                diff = tile[0, i] - centers[j, 0]
                acc = diff * diff
                for f in range(1, d):
                    diff = tile[f, i] - centers[j, f]
                    acc += diff * diff
                nearer = j == 0 or acc < best[i]
                owner[i] = name if nearer else owner[i]
                best[i] = acc if nearer else best[i]
        for i in range(size):
            label = np.int32(owner[i])
            changed += labels[first + i] != label
            labels[first + i] = label
            sq_dist[first + i] = best[i]
    return changed


@kernel
def fill_tiles(X, start, stop, tiles):
    """Lay samples out in tiles of sixteen, one row a feature.

    X      (n, d)     float  samples, C order
    start, stop              the samples to lay out
    tiles  (t, d, 16) float  out: the samples from `start` on; the last tile ends in zeros
    """
    d = X.shape[1]
    for i in range(start, start + tiles.shape[0] * LANES):
        tile, lane = (i - start) // LANES, (i - start) % LANES
        for f in range(d):
            tiles[tile, f, lane] = X[i, f] if i < stop else 0


@kernel
def assign_tiles(tiles, centers, start, stop, labels, sq_dist, second):
    """Assign samples in tiles to their nearest centres, for any number of features.

    tiles    (t, d, 16) float  the samples from `start` on
    centers  (k, d)     float  of the dtype of the samples
    start, stop                the samples to assign
    labels   (n,)       int32  in: any; out: nearest centre, ties to the lowest
    sq_dist  (n,)       float  out: squared distance to it
    second   (n,)       float  out: squared distance to the second nearest
    Returns the number of labels that changed.
    """
    k, d = centers.shape
    nearest = empty((2, LANES), tiles.dtype)
    owner = empty(LANES, np.int32)
    changed = 0
    for first in range(start, stop, LANES):
        # Left to itself, LLVM keeps the sums in memory: 0.09 ns a feature and pair, 0.035 so.
        scan_tile(
            tiles, (first - start) // LANES, np.int64(d), centers, np.int64(k), owner, nearest
        )
        for i in range(min(LANES, stop - first)):
            changed += labels[first + i] != owner[i]
            labels[first + i] = owner[i]
            sq_dist[first + i] = nearest[0, i]
            second[first + i] = nearest[1, i]
    return changed


@kernel
def _multiply(X, i, mean, columns, products):
    """Products of a sample less the mean with centres, by fused multiply-adds in order.

    columns   (d, k) float  centres less the mean, a row a feature
    products  (k,)   float  out
    """
    d, k = columns.shape
    products[:] = 0
    for f in range(d):
        x = X[i, f] - mean[f]
        for j in range(k):
            products[j] = fma(x, columns[f, j], products[j])


@kernel
def settle_ties(X, rows, mean, columns, sq_norms, labels):
    """Give samples the centre of which |c|² - 2xc is least, ties to the lowest index.

    X         (n, d) float   samples, C order
    rows      (m,)   int64   the samples to settle
    mean      (d,)   float   mean of the samples
    columns   (d, k) float   centres less the mean, a row a feature
    sq_norms  (k,)   float   their squared norms
    labels    (m,)   int32   inout: the centres; they stay where products overflow
    """
    k = columns.shape[1]
    two = X.dtype.type(2)
    products = empty(k, X.dtype)
    for r in range(rows.shape[0]):
        _multiply(X, rows[r], mean, columns, products)
        label = 0
        lowest = X.dtype.type(np.inf)
        sound = True
        for j in range(k):
            score = sq_norms[j] - two * products[j]
            sound &= score - score == 0
            if score < lowest:
                lowest = score
                label = j
        if sound:
            labels[r] = label


@kernel
def score(X, columns, scores):
    """-2xc of samples and centres, in the order of `settle_ties`.

    X        (n, d) float  samples, C order
    columns  (d, k) float  centres, a row a feature
    scores   (n, k) float  out
    """
    origin = zeros(X.shape[1], X.dtype)
    two = X.dtype.type(2)
    for i in range(X.shape[0]):
        _multiply(X, i, origin, columns, scores[i])
        for j in range(columns.shape[1]):
            scores[i, j] *= -two


@kernel
def accumulate(X, weight, labels, start, stop, sums, counts):
    """Add up the samples of each cluster.

    X        (n, d) float    samples, C order
    weight   (n,)   float64  weights of the samples
    labels   (n,)   int32    cluster of each sample
    start, stop              the samples to add
    sums     (k, d) float64  out: sums of weight · sample, set to zero first
    counts   (k,)   float64  out: sums of weight, set to zero first
    """
    d = X.shape[1]
    sums[:] = 0.0
    counts[:] = 0.0
    for i in range(start, stop):
        j = labels[i]
        w = weight[i]
        counts[j] += w
        for f in range(d):
            sums[j, f] += w * np.float64(X[i, f])


@kernel
def weighted_total(weight, values, start, stop):
    """Sum weight · value in float64, in an order that depends on the range alone.

    weight   (n,) float64  weights
    values   (n,) float    values
    start, stop            the range to sum
    Returns the sum.
    """
    lanes = zeros(_PARTS, np.float64)
    whole = start + (stop - start) // _PARTS * _PARTS
    for first in range(start, whole, _PARTS):
        for lane in range(_PARTS):
            lanes[lane] += weight[first + lane] * np.float64(values[first + lane])
    total = 0.0
    for lane in range(_PARTS):
        total += lanes[lane]
    for i in range(whole, stop):
        total += weight[i] * np.float64(values[i])
    return total


@kernel
def inertia(X, weight, centers, labels, start, stop):
    """Sum the weighted squared distances of samples to their centres, in float64.

    X        (n, d) float    samples, C order
    weight   (n,)   float64  weights of the samples
    centers  (k, d) float    centres
    labels   (n,)   int32    cluster of each sample
    start, stop              the samples to sum
    Returns inertia, in squared units of X.
    """
    d = X.shape[1]
    lanes = zeros(_PARTS, np.float64)
    for i in range(start, stop):
        j = labels[i]
        sq = 0.0
        for f in range(d):
            diff = np.float64(X[i, f]) - np.float64(centers[j, f])
            sq += diff * diff
        # Independent partial sums hide the latency of an addition.
        lanes[i % _PARTS] += weight[i] * sq
    total = 0.0
    for lane in range(_PARTS):
        total += lanes[lane]
    return total


@kernel
def add_columns(X, dims, sums):
    """Add up each of several features, one sample after the other as NumPy's `sum` does.

    X     (n, d) float  samples, C order
    dims  d zeros       a tuple where features are few: then the sums stay in a register
    sums  (d,)   float  inout: the sums, of the dtype of X
    """
    if len(dims) > 0:
        add_rows(X, dims, sums)
        return
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            sums[f] += X[i, f]


@kernel
def add_squares(X, dims, mean, sums):
    """Add up the squares of each of several features less a mean, as NumPy's `var` does.

    X     (n, d) float  samples, C order
    dims  d zeros       as for `add_columns`
    mean  (d,)   float  what to subtract, of the dtype of X
    sums  (d,)   float  inout: the sums, of the dtype of X
    """
    if len(dims) > 0:
        add_squared_rows(X, dims, mean, sums)
        return
    for i in range(X.shape[0]):
        for f in range(X.shape[1]):
            diff = X[i, f] - mean[f]
            sums[f] += diff * diff
