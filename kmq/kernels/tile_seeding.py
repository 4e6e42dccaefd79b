"""k-means++ on samples of some ten features: every candidate against every sample, in tiles.

With so few features a distance takes less time than it takes to find out that it is not needed.
What counts is that samples lie in tiles of 64, a row a feature, and are read as few times as
can be.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.draws import STRETCH
from kmq.kernels.jit import kernel
from kmq.kernels.rows import TILE, sq_columns


class Tiles(NamedTuple):
    """Samples in tiles, with their closest centres; the last tile is filled up with weight 0.

    samples     (c, d, 64) float    samples less their mean
    weight      (c, 64)    float64  their weights
    sq_closest  (c, 64)    float    squared distance to the closest centre so far
    nearer      (c, 64)    uint16   bits of the candidates of this round that are closer
    """

    samples: np.ndarray
    weight: np.ndarray
    sq_closest: np.ndarray
    nearer: np.ndarray


@kernel
def fill_tiles(X, weight, mean, start, stop, tiles):
    """Lay samples out in tiles.

    X       (n, d) float    samples, C order
    weight  (n,)   float    their weights
    mean    (d,)   float    what to subtract from them, in their own precision
    start, stop             the tiles to fill
    tiles                   out: `Tiles`
    """
    n, d = X.shape
    for c in range(start, stop):
        for i in range(TILE):
            row = min(c * TILE + i, n - 1)
            tiles.weight[c, i] = weight[row] if c * TILE + i < n else 0.0
            tiles.sq_closest[c, i] = np.inf
            tiles.nearer[c, i] = 1
            for f in range(d):
                tiles.samples[c, f, i] = X[row, f] - mean[f]


@kernel
def _to_float64(samples, c, tile):
    """Copy a tile to where distances are computed."""
    for f in range(samples.shape[1]):
        for i in range(TILE):
            tile[f, i] = np.float64(samples[c, f, i])


@kernel
def candidate_gains(tiles, points, per_block, start, stop, gains):
    """Count by how much each candidate would lower the potential.

    tiles                   inout: `Tiles`
    points  (t, d) float64  candidates, less the mean already
    per_block               tiles a block
    start, stop             the blocks to look at
    gains   (b, t) float64  out: sums of weight · lowering in each block
    """
    # Reading a field of a tuple counts a reference, which threads would fight over per tile.
    samples, weight = tiles.samples, tiles.weight
    sq_closest, nearer = tiles.sq_closest, tiles.nearer
    n_tiles, d = samples.shape[0], np.int64(samples.shape[1])
    dtype = sq_closest.dtype.type
    tile = np.empty((d, TILE))
    sq = np.empty(TILE)
    lanes = np.empty((points.shape[0], TILE))
    for block in range(start, stop):
        lanes[:] = 0.0
        for c in range(block * per_block, min((block + 1) * per_block, n_tiles)):
            _to_float64(samples, c, tile)
            for i in range(TILE):
                nearer[c, i] = 0
            for t in range(points.shape[0]):
                sq_columns(tile, d, points, t, sq)
                bit = np.uint16(1 << (t & 15))
                for i in range(TILE):
                    before = sq_closest[c, i]
                    near = min(dtype(sq[i]), before)
                    nearer[c, i] |= bit if near < before else np.uint16(0)
                    lanes[t, i] += weight[c, i] * (np.float64(before) - np.float64(near))
        for t in range(points.shape[0]):
            total = 0.0
            for i in range(TILE):
                total += lanes[t, i]
            gains[block, t] = total


@kernel
def mark_candidates(tiles, points, start, stop, rows):
    """Lower squared distances to the closest centres, were one of some candidates a centre.

    tiles                   `Tiles`
    points  (m, d) float64  the candidates, less the mean already
    start, stop             the tiles to look at
    rows    (m, n) float    inout: squared distances to the closest centres so far
    """
    samples = tiles.samples
    d = np.int64(samples.shape[1])
    dtype = rows.dtype.type
    tile = np.empty((d, TILE))
    sq = np.empty(TILE)
    for c in range(start, stop):
        _to_float64(samples, c, tile)
        for t in range(points.shape[0]):
            sq_columns(tile, d, points, t, sq)
            some = rows[t, c * TILE : (c + 1) * TILE]
            for i in range(some.shape[0]):
                some[i] = min(dtype(sq[i]), some[i])


@kernel
def lower_closest(tiles, points, best, start, stop, stale):
    """Let a new centre take the samples that are closest to it.

    tiles                   inout: `Tiles`
    points  (t, d) float64  candidates, less the mean already
    best                    the one that is the new centre
    start, stop             the tiles to look at
    stale   (b,)   uint8    out: 1 for each stretch of samples with a change
    """
    samples, sq_closest, nearer = tiles.samples, tiles.sq_closest, tiles.nearer
    d = np.int64(samples.shape[1])
    dtype = sq_closest.dtype.type
    tile = np.empty((d, TILE))
    sq = np.empty(TILE)
    mask = np.uint16(1 << (best & 15))
    for c in range(start, stop):
        hits = np.uint16(0)
        for i in range(TILE):
            hits |= nearer[c, i]
        if hits & mask == 0:
            continue
        _to_float64(samples, c, tile)
        sq_columns(tile, d, points, best, sq)
        for i in range(TILE):
            sq_closest[c, i] = min(dtype(sq[i]), sq_closest[c, i])
        stale[c * TILE // STRETCH] = 1
