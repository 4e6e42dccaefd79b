"""k-means++ on samples of some ten features: every candidate against every sample, in tiles.

With so few features a distance takes less time than it takes to find out that it is not needed.
What counts is that samples lie in tiles of 64, a row a feature, and are read as few times as
can be.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.draws import STRETCH, Book, book_fall
from kmq.kernels.jit import empty, kernel, popcount, zeros
from kmq.kernels.rounds import (
    BOOKS,
    CHOSEN,
    COMPARE,
    MARK,
    RENEW,
    TASK,
    Copies,
    Orders,
    keep_book,
    share_of,
)
from kmq.kernels.rows import TILE, sq_columns
from kmq.kernels.team import DONE, add_one, await_work, take_work


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
            tiles.nearer[c, i] = 1  # the first point, to start with
            for f in range(d):
                tiles.samples[c, f, i] = X[row, f] - mean[f]


@kernel
def _to_float64(samples, c, tile):
    """Copy a tile to where distances are computed."""
    for f in range(samples.shape[1]):
        for i in range(TILE):
            tile[f, i] = np.float64(samples[c, f, i])


@kernel
def _candidate_gains(tiles, points, first, last, gains):
    """Count by how much each candidate would lower the potential.

    tiles                   inout: `Tiles`
    points  (t, d) float64  candidates, less the mean already
    first, last             the tiles to look at
    gains   (t,)   float64  out: sums of weight · lowering
    """
    # Reading a field of a tuple counts a reference, which threads would fight over per tile.
    samples, weight = tiles.samples, tiles.weight
    sq_closest, nearer = tiles.sq_closest, tiles.nearer
    d = np.int64(samples.shape[1])
    dtype = sq_closest.dtype.type
    tile = empty((d, TILE), np.float64)
    sq = empty(TILE, np.float64)
    lanes = zeros((points.shape[0], TILE), np.float64)
    for c in range(first, last):
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
        gains[t] = total


@kernel
def _mark_candidates(tiles, orders, first, last, rows):
    """Lower copies of the squared distances, as would candidates that are chosen.

    tiles                   `Tiles`
    orders                  `Orders`
    first, last             the tiles to look at
    rows    (m, n) float    inout: squared distances to the closest centres so far
    """
    samples, points, chosen = tiles.samples, orders.points, orders.chosen
    d = np.int64(samples.shape[1])
    dtype = rows.dtype.type
    tile = empty((d, TILE), np.float64)
    sq = empty(TILE, np.float64)
    for c in range(first, last):
        _to_float64(samples, c, tile)
        for place in range(orders.head[CHOSEN]):
            sq_columns(tile, d, points, chosen[place], sq)
            some = rows[place, c * TILE : (c + 1) * TILE]
            for i in range(some.shape[0]):
                some[i] = min(dtype(sq[i]), some[i])


@kernel
def _lower_closest(tiles, orders, first, last, book, worker):
    """Let a new centre take the samples that are closest to it.

    tiles        inout: `Tiles`, as `_candidate_gains` has left it
    orders       `Orders`, one candidate chosen
    first, last  the tiles to look at
    book         inout: `Book`
    worker       by which thread losses are booked
    """
    samples, weight = tiles.samples, tiles.weight
    sq_closest, nearer = tiles.sq_closest, tiles.nearer
    stale, grid, fallen = book.stale, book.grid, book.fallen[worker]
    d = np.int64(samples.shape[1])
    points, best, books = orders.points, orders.chosen[0], orders.head[BOOKS]
    dtype = sq_closest.dtype.type
    tile = empty((d, TILE), np.float64)
    sq = empty(TILE, np.float64)
    mask = np.uint16(1 << (best & 15))
    for c in range(first, last):
        hits = np.uint64(0)
        for i in range(TILE):
            hits |= np.uint64(nearer[c, i] & mask != 0) << np.uint64(i)
        if hits == 0:
            continue
        _to_float64(samples, c, tile)
        sq_columns(tile, d, points, best, sq)
        if books:
            while hits != 0:
                lowest = hits & (~hits + np.uint64(1))
                lane = np.int64(popcount(lowest - np.uint64(1)))
                hits ^= lowest
                near, before = dtype(sq[lane]), sq_closest[c, lane]
                if near < before:  # the bit may be another candidate's
                    book_fall(weight[c, lane], before, near, c * TILE + lane, stale, grid, fallen)
                    sq_closest[c, lane] = near
        else:
            stale[c * TILE // STRETCH] = 1
            for i in range(TILE):
                sq_closest[c, i] = min(dtype(sq[i]), sq_closest[c, i])


@kernel
def work_off(tiles, orders, book, copies, leads, board, tally):
    """Work off the blocks of a task, one of a team.

    tiles, orders, book, copies  plain tuples, None for copies in float64
    leads        bool            whether for the leader of the team, not for a helper
    board        int64           inout: the team's counters
    tally  (1,)  int64           by which thread losses are booked
    """
    tiles, orders, book = Tiles(*tiles), Orders(*orders), Book(*book)
    copies = None if copies is None else Copies(*copies)
    n_blocks = orders.gains.shape[0]
    number = take_work(board, leads)
    while number >= 0:
        block = number % n_blocks
        task = orders.head[TASK]
        first, last = share_of(tiles.weight.shape[0], block, n_blocks)
        if task == COMPARE:
            _candidate_gains(tiles, orders.points, first, last, orders.gains[block])
        elif task == MARK:
            if copies is not None:
                _mark_candidates(tiles, orders, first, last, copies.rows)
        elif task >= RENEW:
            keep_book(orders, book, copies, block)
        else:  # START as well: the first point is closer than none
            _lower_closest(tiles, orders, first, last, book, tally[0])
        add_one(board, DONE)
        number = take_work(board, leads)
    await_work(board, leads)
