"""Samples of few features in cells of neighbours: filtering and assignment.

Samples are sorted along a Morton curve and cut into cells of `CELL`, a row a feature, so that
inner loops run over the samples of a cell. A centre that provably is nearest to nothing in a
cell's box is not looked at (Kanungo et al., 2002, IEEE TPAMI 24(7)), and a cell with a single
centre left is added whole, by its moments.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.jit import empty, kernel, zeros
from kmq.kernels.rows import prefetch

# On 1e6 x 2 and k = 100, cells of 32 and 128 took 1.2 and 1.4 times as long.
CELL = 64
# Cells a bundle: centres are filtered for a bundle first, then for its cells.
BUNDLE = 32
_LANES = 8


class Cells(NamedTuple):
    """Samples by cell; the last cells are filled up with samples of weight 0.

    tiles    (c, d, CELL) float    samples
    weight   (c, CELL)    float64  their weights
    order    (c, CELL)    int      their rows in X
    mid      (c, d)       float64  middle of the box around a cell
    half     (c, d)       float64  half extents of the box, rounded up
    moments  (c, d + 2)   float64  weight, scatter about the mean, and sum of the samples
    """

    tiles: np.ndarray
    weight: np.ndarray
    order: np.ndarray
    mid: np.ndarray
    half: np.ndarray
    moments: np.ndarray


@kernel
def spread_bits(d, spread):
    """Numbers of twelve bits with room for those of other features between their bits.

    d                     number of features
    spread  (4096,) uint32  out: bit b of each number at place b · d
    """
    for number in range(spread.shape[0]):
        spread[number] = 0
        for bit in range(12):
            if number >> bit & 1 and bit * d < 32:
                spread[number] |= np.uint32(1) << np.uint32(bit * d)


@kernel
def curve_places(X, low, scale, bits, spread, start, stop, places):
    """Place samples along a Morton curve.

    X       (n, d)  float    samples, C order
    low     (d,)    float64  corner of the grid
    scale   (d,)    float64  cells of the grid per unit
    bits                     bits a feature
    spread  (4096,) uint32   twelve bits, spread out by `spread_bits`
    start, stop              the samples to place
    places  (n,)    uint32   out: the bits of the features interleaved
    """
    d = X.shape[1]
    top = np.float64((1 << bits) - 1)
    for i in range(start, stop):
        place = np.uint32(0)
        for f in range(d):
            at = np.uint32(min(max((np.float64(X[i, f]) - low[f]) * scale[f], 0.0), top))
            feature = spread[at & np.uint32(4095)]
            if d == 1:
                feature |= at & np.uint32(0xFFFFF000)
            place |= feature << np.uint32(f)
        places[i] = place


@kernel
def count_digits(places, shift, start, stop, counts):
    """Count twelve bits of places.

    places  (n,)    uint32  places
    shift                   lowest of the bits
    start, stop             the places to look at
    counts  (4096,) int64   out: how often the bits occur
    """
    counts[:] = 0
    for place in places[start:stop]:
        counts[np.int64((place >> np.uint32(shift)) & np.uint32(4095))] += 1


@kernel
def sort_digits(places, order, shift, start, stop, begins, sorted_places, sorted_order):
    """Sort samples, stably, by twelve bits of their places.

    places         (n,)    uint32  places of samples, in the present order
    order          (n,)    int     the samples; empty where they are numbered in this order
    shift                          lowest of the bits
    start, stop                    the part of the order to look at
    begins         (4096,) int64   inout: where the first sample of this part with such bits goes
    sorted_places  (n,)    uint32  out: places in the new order; empty where nobody asks
    sorted_order   (n,)    int     out: samples in the new order
    """
    some = places[start:stop]
    for at in range(some.shape[0]):
        b = np.int64((some[at] >> np.uint32(shift)) & np.uint32(4095))
        to = begins[b]
        begins[b] = to + 1
        if sorted_places.shape[0]:
            sorted_places[to] = some[at]
        sorted_order[to] = order[start + at] if order.shape[0] else start + at


@kernel
def fill_cells(X, weight, cells, start, stop):
    """Copy samples to their cells, with the box and the moments of each.

    X       (n, d) float    samples, C order
    weight  (n,)   float64  their weights, or the one of all
    cells                   inout: `Cells`, whose first n rows in X are there
    start, stop             the cells to fill
    """
    n, d = X.shape
    # Reading a field of a tuple counts a reference, which threads would fight over per sample.
    tiles, weights, order, mid, half = cells.tiles, cells.weight, cells.order, cells.mid, cells.half
    moments = cells.moments
    # Sums and extremes in lanes, which become vectors.
    lanes = empty((3, _LANES), np.float64)
    for c in range(start, stop):
        rows, tile, size = order[c], tiles[c], min(CELL, n - c * CELL)
        rows[size:] = rows[size - 1]
        # Neighbours are far apart in memory, which hands them out too late by itself.
        following = order[min(c + 1, stop - 1)]
        for i in range(CELL):
            prefetch(X, np.int64(following[i]), np.int64(0))
        for i in range(CELL):
            row = np.uint64(rows[i])
            weights[c, i] = weight[row] if weight.shape[0] > 1 else weight[0]
            for f in range(d):
                tile[f, i] = X[row, f]
        weights[c, size:] = 0.0
        total = 0.0
        for i in range(CELL):
            total += weights[c, i]
        scatter = 0.0
        for f in range(d):
            lanes[0, :] = np.float64(tiles[c, f, 0])
            lanes[1, :] = lanes[0, 0]
            lanes[2, :] = 0.0
            for i in range(0, CELL, _LANES):
                for lane in range(_LANES):
                    x = np.float64(tiles[c, f, i + lane])
                    lanes[0, lane] = x if x < lanes[0, lane] else lanes[0, lane]
                    lanes[1, lane] = x if x > lanes[1, lane] else lanes[1, lane]
                    lanes[2, lane] += weights[c, i + lane] * x
            low, high, moment = lanes[0, 0], lanes[1, 0], 0.0
            for lane in range(_LANES):
                low = min(low, lanes[0, lane])
                high = max(high, lanes[1, lane])
                moment += lanes[2, lane]
            middle = low + 0.5 * (high - low)
            mid[c, f] = middle
            half[c, f] = max(high - middle, middle - low) * (1.0 + 1e-15)
            moments[c, 2 + f] = moment
            mean = moment / total if total > 0.0 else middle
            lanes[2, :] = 0.0
            for i in range(0, CELL, _LANES):
                for lane in range(_LANES):
                    diff = np.float64(tiles[c, f, i + lane]) - mean
                    lanes[2, lane] += weights[c, i + lane] * diff * diff
            for lane in range(_LANES):
                scatter += lanes[2, lane]
        moments[c, 0] = total
        moments[c, 1] = scatter


@kernel
def _filter(centers, among, m, mid, half, reach, doubt, sq, kept):
    """Keep the centres that may be nearest to something in a box; return their number.

    Centre j loses to centre b everywhere in the box when |j-mid|² - |b-mid|² > 2 half·|j-b|.
    The slack covers the rounding of this and of the distances that are compared without it.
    Centres that may pass for nearest (`assign_cells`) are kept too.
    """
    d = centers.shape[1]
    slack = 8.0 * (d + 4) * np.finfo(centers.dtype).eps
    underflow = 4.0 * d * np.finfo(centers.dtype).tiny
    best = 0
    for a in range(m):
        j = among[a]
        total = 0.0
        for f in range(d):
            diff = np.float64(centers[j, f]) - mid[f]
            total += diff * diff
        sq[a] = total
        if total < sq[best]:
            best = a
    b = among[best]
    nearest = sq[best]
    size = nearest
    for f in range(d):
        size += half[f] * half[f]
    if doubt > 0.0:
        farthest = 2.0 * reach + np.sqrt(nearest) + np.sqrt(size - nearest)
        underflow += doubt * farthest * farthest
    found = 0
    for a in range(m):
        j = among[a]
        lever = 0.0
        for f in range(d):
            lever += half[f] * abs(np.float64(centers[j, f]) - np.float64(centers[b, f]))
        if not sq[a] - nearest - 2.0 * lever > slack * (sq[a] + size) + underflow:
            kept[found] = j
            found += 1
    return found


@kernel
def _bundle_box(cells, start, stop, mid, half):
    """Box around cells."""
    for f in range(mid.shape[0]):
        low = cells.mid[start, f] - cells.half[start, f]
        high = cells.mid[start, f] + cells.half[start, f]
        for c in range(start + 1, stop):
            low = min(low, cells.mid[c, f] - cells.half[c, f])
            high = max(high, cells.mid[c, f] + cells.half[c, f])
        mid[f] = low + 0.5 * (high - low)
        edge = 4e-16 * (abs(low) + abs(high))
        half[f] = max(high - mid[f], mid[f] - low) + edge


@kernel
def _doubt(tile, centers, some, m, best, reach, doubt, doubtful):
    """Find the samples of a cell for which several centres may pass for nearest.

    tile      (d, CELL) float    samples, a row a feature
    some      (m,)      int32    centres to compare
    best      (CELL,)   float    squared distance to the nearest of them
    reach, doubt                 as for `assign_cells`
    doubtful  (CELL,)   bool     out
    """
    d = centers.shape[1]
    tiny = 4.0 * d * np.finfo(centers.dtype).tiny
    rivals = zeros(CELL, np.int32)
    limit = empty(CELL, np.float64)
    for i in range(CELL):
        sq = np.float64(best[i])
        far = 2.0 * reach + np.sqrt(sq)
        limit[i] = sq + doubt * far * far + tiny
    acc = empty(CELL, centers.dtype)
    for a in range(m):
        j = some[a]
        acc[:] = 0
        for f in range(d):
            for i in range(CELL):
                diff = tile[f, i] - centers[j, f]
                acc[i] += diff * diff
        for i in range(CELL):
            rivals[i] += not np.float64(acc[i]) > limit[i]
    for i in range(CELL):
        doubtful[i] = rivals[i] > 1


@kernel
def assign_cells(cells, centers, dims, start, stop, labels, owners, sums, reach, doubt, doubtful):
    """Assign the samples of cells to their nearest centres and add up the clusters.

    cells                          `Cells`
    centers  (k, d)       float    of the dtype of the samples
    dims     d zeros               a tuple: its length fixes d, so that loops over it unroll
    start, stop                    the cells to look at
    labels   (c, CELL)    int32    inout: nearest centre, ties to the lowest, in cells of -1
    owners   (c,)         int32    inout: centre of all samples of a cell, or -1
    sums     (k, d + 2)   float64  out: weight, squared distances and sum of each cluster
    reach                 float64  at most how far a centre lies from the mean of the samples
    doubt                 float64  zero, or a share of the square of 2 reach and the distance to
                                   the nearest centre: what is not farther by that may pass for it
    doubtful (c, CELL)    bool     out, unless `doubt` is zero: samples for which another centre may
    Returns the number of cells in which a label changed.
    """
    d = len(dims)
    k = centers.shape[0]
    dtype = centers.dtype.type
    everyone = empty(k, np.int32)
    for name in range(k):
        everyone[name] = name
    some = empty(k, np.int32)
    few = empty(k, np.int32)
    sq = empty(k, np.float64)
    mid = empty(d, np.float64)
    half = empty(d, np.float64)
    best = empty(CELL, centers.dtype)
    owner = empty(CELL, centers.dtype)
    changed = 0
    sums[:] = 0.0
    for first in range(start, stop, BUNDLE):
        last = min(first + BUNDLE, stop)
        _bundle_box(cells, first, last, mid, half)
        m_some = _filter(centers, everyone, k, mid, half, reach, doubt, sq, some)
        for c in range(first, last):
            m = _filter(centers, some, m_some, cells.mid[c], cells.half[c], reach, doubt, sq, few)
            if m == 1:
                j = few[0]
                if owners[c] != j:
                    if owners[c] >= 0:
                        changed += 1
                    else:
                        differ = 0
                        for i in range(CELL):
                            differ += labels[c, i] != j
                        changed += differ > 0
                    owners[c] = j
                total = cells.moments[c, 0]
                gap = 0.0
                for f in range(d):
                    moment = cells.moments[c, 2 + f]
                    diff = moment - total * np.float64(centers[j, f])
                    gap += diff * diff
                    sums[j, 2 + f] += moment
                sums[j, 0] += total
                if total > 0.0:
                    sums[j, 1] += cells.moments[c, 1] + gap / total
                continue
            for a in range(m):
                j = few[a]
                as_float = dtype(j)
                for i in range(CELL):
                    diff = cells.tiles[c, 0, i] - centers[j, 0]
                    acc = diff * diff
                    for f in range(1, d):
                        diff = cells.tiles[c, f, i] - centers[j, f]
                        acc += diff * diff
                    nearer = a == 0 or acc < best[i]
                    owner[i] = as_float if nearer else owner[i]
                    best[i] = acc if nearer else best[i]
            if doubt > 0.0:
                _doubt(cells.tiles[c], centers, few, m, best, reach, doubt, doubtful[c])
            differ = 0
            for i in range(CELL):
                j = np.int32(owner[i])
                before = owners[c] if owners[c] >= 0 else labels[c, i]
                differ += before != j
                labels[c, i] = j
                w = cells.weight[c, i]
                sums[j, 0] += w
                sums[j, 1] += w * np.float64(best[i])
                for f in range(d):
                    sums[j, 2 + f] += w * np.float64(cells.tiles[c, f, i])
            changed += differ > 0
            owners[c] = -1
    return changed


@kernel
def spread_labels(cells, cell_labels, owners, start, stop, labels):
    """Write labels down in the order of the samples.

    cells                        `Cells`
    cell_labels  (c, CELL) int32 label of each sample in a cell without owner
    owners       (c,)      int32 the one label of a cell, or -1
    start, stop                  the cells to look at
    labels       (n,)      int32 out
    """
    order = cells.order
    n = labels.shape[0]
    for c in range(start, stop):
        for i in range(min(CELL, n - c * CELL)):
            labels[order[c, i]] = owners[c] if owners[c] >= 0 else cell_labels[c, i]
