"""k-means++ on samples of many features: exact distances where eight bits leave it open."""

from typing import NamedTuple

import numpy as np

from kmq.kernels.draws import STRETCH, Book, book_fall
from kmq.kernels.jit import empty, kernel, popcount
from kmq.kernels.rounds import (
    BOOKS,
    CHOSEN,
    COMPARE,
    MARK,
    RENEW,
    START,
    TASK,
    Copies,
    Orders,
    keep_book,
    share_of,
)
from kmq.kernels.rows import LANES, sq_distances_4, sq_to_point
from kmq.kernels.sketch import FOUR, TILE, compare_tile, limit_of
from kmq.kernels.team import DONE, add_one, await_work, take_work


class Field(NamedTuple):
    """Samples, with their closest centres.

    X           (n, d)     float    samples, C order
    mean        (d,)       float    what to subtract from them, in their own precision
    weight      (n,)       float64  their weights
    sq_dist     (t, n)     float    squared distances to the closest centres, were a candidate of
                                    this round one of them; set where its bit is
    nearer      (c, 64)    uint16   bits of the candidates of this round that are closer, modulo 16
    sketch      (c, d, 64) int8     samples in steps
    moved       (c, 64)    float32  how far rounding to steps moved them, in steps
    limits      (c, 64)    float32  squared distances from there from which nothing is closest
    rounded     (p, d)     float32  candidates in steps; the last is repeated up to whole fours
    step        (1,)       float64  the step
    """

    X: np.ndarray
    mean: np.ndarray
    weight: np.ndarray
    sq_dist: np.ndarray
    nearer: np.ndarray
    sketch: np.ndarray
    moved: np.ndarray
    limits: np.ndarray
    rounded: np.ndarray
    step: np.ndarray


@kernel
def _sq_distances_4(X, i, mean, points, first, sq):
    """Squared distances of row i less a mean to four points, in float64."""
    d = points.shape[1]
    sq[first], sq[first + 1], sq[first + 2], sq[first + 3] = sq_distances_4(
        X, i, mean, points, first
    )
    for f in range(d // LANES * LANES, d):
        x = np.float64(X[i, f] - mean[f])
        for t in range(first, first + FOUR):
            diff = x - points[t, f]
            sq[t] += diff * diff


@kernel
def _start_field(field, points, first, last, sq_closest):
    """Make a point the first centre.

    field                       inout: `Field`
    points      (., d) float64  the centre, less the mean already, and others
    first, last                 the tiles to look at
    sq_closest  (≥n,)  float    out: squared distances to it
    """
    X, mean = field.X, field.mean
    n, d = X.shape
    step = field.step[0]
    for c in range(first, last):
        for lane in range(TILE):
            i = c * TILE + lane
            if i < n:
                sq_closest[i] = X.dtype.type(sq_to_point(X, i, mean, points, 0))
                field.limits[c, lane] = limit_of(sq_closest[i], field.moved[c, lane], step, d)
            else:
                field.limits[c, lane] = 0.0
            field.nearer[c, lane] = 0


@kernel
def _candidate_gains(field, points, first, last, sq_closest, gains):
    """Count by how much each candidate would lower the potential, and remember where.

    field                      inout: `Field`
    points      (p, d) float64 candidates, less the mean already; p is a multiple of 4
    first, last                the tiles to look at
    sq_closest  (≥n,)  float   squared distance to the closest centre so far
    gains       (t,)   float64 out: sums of weight · lowering, of the first t ≤ p candidates
    """
    # Reading a field of a tuple counts a reference, which threads would fight over per tile.
    X, mean, weight, sq_dist = field.X, field.mean, field.weight, field.sq_dist
    nearer, sketch, limits, rounded = field.nearer, field.sketch, field.limits, field.rounded
    n = X.shape[0]
    trials = sq_dist.shape[0]
    dtype = X.dtype.type
    sq = empty((FOUR, TILE), np.float32)
    masks = empty(points.shape[0], np.uint64)
    near = empty(points.shape[0], np.float64)
    gains[:] = 0.0
    for c in range(first, last):
        open_ = compare_tile(sketch, c, rounded, sq, limits, masks)
        size = min(TILE, n - c * TILE)
        if size < TILE:
            open_ &= (np.uint64(1) << np.uint64(size)) - np.uint64(1)
        while open_ != 0:
            lowest = open_ & (~open_ + np.uint64(1))
            lane = np.int64(popcount(lowest - np.uint64(1)))
            open_ ^= lowest
            i = c * TILE + lane
            before = sq_closest[i]
            bits = np.uint16(0)
            for four in range(0, points.shape[0], FOUR):
                which = -1
                several = False
                for t in range(four, four + FOUR):
                    if masks[t] & lowest:
                        several = which >= 0
                        which = t
                if several:
                    _sq_distances_4(X, i, mean, points, four, near)
                elif which >= 0:
                    near[which] = sq_to_point(X, i, mean, points, which)
            for t in range(trials):
                if masks[t] & lowest and dtype(near[t]) < before:
                    bits |= np.uint16(1 << (t & 15))
                    sq_dist[t, i] = dtype(near[t])
                    lowering = np.float64(before) - np.float64(dtype(near[t]))
                    gains[t] += weight[i] * lowering
                elif trials > 16:
                    sq_dist[t, i] = before  # another one may set its bit
            nearer[c, lane] = bits


@kernel
def _mark_candidates(field, orders, first, last, rows):
    """Lower copies of the squared distances, as would candidates that are chosen.

    field                 `Field`, as `_candidate_gains` has left it
    orders                `Orders`
    first, last           the tiles to look at
    rows   (m, n) float   inout: squared distances to the closest centres so far
    """
    nearer, sq_dist = field.nearer, field.sq_dist
    n = rows.shape[1]
    for c in range(first, last):
        bits = nearer[c, : min(TILE, n - c * TILE)]
        hits = np.uint16(0)
        for lane in range(bits.shape[0]):
            hits |= bits[lane]
        for place in range(orders.head[CHOSEN] if hits else 0):
            t = orders.chosen[place]
            bit = np.uint16(1 << (t & 15))
            for lane in range(bits.shape[0]):
                if bits[lane] & bit:
                    rows[place, c * TILE + lane] = sq_dist[t, c * TILE + lane]


@kernel
def _lower_closest(field, orders, first, last, book, worker):
    """Make a centre of a candidate.

    field        inout: `Field`, as `_candidate_gains` has left it
    orders       `Orders`, one candidate chosen
    first, last  the tiles to look at
    book         inout: `Book`
    worker       by which thread losses are booked
    """
    sq_dist, weight, nearer = field.sq_dist, field.weight, field.nearer
    moved, limits = field.moved, field.limits
    sq_closest, stale, grid, fallen = book.sq_closest, book.stale, book.grid, book.fallen[worker]
    step = field.step[0]
    d = field.X.shape[1]
    best, books = orders.chosen[0], orders.head[BOOKS]
    bit = np.uint16(1 << (best & 15))
    for c in range(first, last):
        bits = nearer[c]
        hits = np.uint16(0)
        for lane in range(TILE):
            hits |= bits[lane]
        if hits == 0:
            continue
        for lane in range(TILE if hits & bit else 0):
            if bits[lane] & bit:
                i = c * TILE + lane
                before, near = sq_closest[i], sq_dist[best, i]
                sq_closest[i] = near
                limits[c, lane] = limit_of(near, moved[c, lane], step, d)
                if books:
                    book_fall(weight[i], before, near, i, stale, grid, fallen)
                else:
                    stale[i // STRETCH] = 1
        bits[:] = 0


@kernel
def work_off(field, orders, book, copies, leads, board, tally):
    """Work off the blocks of a task, one of a team.

    field, orders, book, copies  plain tuples, None for copies in float64
    leads        bool            whether for the leader of the team, not for a helper
    board        int64           inout: the team's counters
    tally  (1,)  int64           by which thread losses are booked
    """
    field, orders, book = Field(*field), Orders(*orders), Book(*book)
    copies = None if copies is None else Copies(*copies)
    n_blocks = orders.gains.shape[0]
    number = take_work(board, leads)
    while number >= 0:
        block = number % n_blocks
        task, gains = orders.head[TASK], orders.gains[block]
        first, last = share_of(field.nearer.shape[0], block, n_blocks)
        if task == COMPARE:
            _candidate_gains(field, orders.points, first, last, book.sq_closest, gains)
        elif task == MARK:
            if copies is not None:
                _mark_candidates(field, orders, first, last, copies.rows)
        elif task == START:
            _start_field(field, orders.points, first, last, book.sq_closest)
        elif task >= RENEW:
            keep_book(orders, book, copies, block)
        else:
            _lower_closest(field, orders, first, last, book, tally[0])
        add_one(board, DONE)
        number = take_work(board, leads)
    await_work(board, leads)
