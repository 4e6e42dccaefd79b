"""k-means++ on samples in cells: candidates are compared only where they can come closest.

Cells and bundles of cells are passed by where a candidate is farther from their box than any of
their samples is from its closest centre.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.cells import BUNDLE, CELL, Cells
from kmq.kernels.draws import STRETCH, Book, book_fall
from kmq.kernels.jit import empty, kernel
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
from kmq.kernels.team import DONE, add_one, await_work, take_work


class Closest(NamedTuple):
    """How far samples in cells are from their closest centres.

    mean          (d,)       float    what to subtract from the samples, in their own precision
    mid, half     (2, c, d)  float64  boxes less the mean, rounded up: of cells, then of bundles
    sq_closest    (c, CELL)  float    squared distance to the closest centre so far
    sq_farthest   (2, c)     float    largest of these in a cell, and in a bundle
    """

    mean: np.ndarray
    mid: np.ndarray
    half: np.ndarray
    sq_closest: np.ndarray
    sq_farthest: np.ndarray


@kernel
def place_boxes(cells, mean, mid, half):
    """Boxes around cells and bundles, less a mean.

    cells                         `Cells`
    mean       (d,)      float    what is subtracted from the samples, in their own precision
    mid, half  (2, c, d) float64  out: middles and half extents, of cells, then of bundles
    """
    n_cells, d = cells.mid.shape
    eps = np.finfo(cells.tiles.dtype).eps
    for c in range(n_cells):
        for f in range(d):
            mid[0, c, f] = cells.mid[c, f] - np.float64(mean[f])
            half[0, c, f] = cells.half[c, f] + 2.0 * eps * (abs(mid[0, c, f]) + cells.half[c, f])
    for b in range(-(-n_cells // BUNDLE)):
        for f in range(d):
            low, high = np.inf, -np.inf
            for c in range(b * BUNDLE, min((b + 1) * BUNDLE, n_cells)):
                low = min(low, mid[0, c, f] - half[0, c, f])
                high = max(high, mid[0, c, f] + half[0, c, f])
            mid[1, b, f] = low + 0.5 * (high - low)
            edge = 4e-16 * (abs(low) + abs(high))
            half[1, b, f] = max(high - mid[1, b, f], mid[1, b, f] - low) + edge


@kernel
def _beyond(mid, half, sq_farthest, level, c, points, t):
    """Whether point t is too far from the box of a cell or bundle to come closer to anything."""
    eps = np.finfo(sq_farthest.dtype).eps
    total = 0.0
    for f in range(points.shape[1]):
        gap = max(abs(points[t, f] - mid[level, c, f]) - half[level, c, f], 0.0)
        total += gap * gap
    return total * (1.0 - 4.0 * eps) >= sq_farthest[level, c]


@kernel
def _sq_to_samples(tiles, c, mean, points, t, sq):
    """Squared distances from point t to the samples of a cell less a mean, in float64."""
    sq[:] = 0.0
    for f in range(points.shape[1]):
        for i in range(CELL):
            diff = np.float64(tiles[c, f, i] - mean[f]) - points[t, f]
            sq[i] += diff * diff


@kernel
def _candidate_gains(cells, closest, points, first, last, gains):
    """Count by how much each candidate would lower the potential of k-means++.

    cells                   `Cells`
    closest                 `Closest`
    points  (t, d) float64  candidates, less the mean already
    first, last             the bundles to look at
    gains   (t,)   float64  out: sums of weight · lowering
    """
    # Reading a field of a tuple counts a reference, which threads would fight over per cell.
    tiles, weight, mean = cells.tiles, cells.weight, closest.mean
    mid, half, sq_farthest = closest.mid, closest.half, closest.sq_farthest
    sq_closest = closest.sq_closest
    n_cells = sq_closest.shape[0]
    sq = empty(CELL, np.float64)
    lanes = empty(CELL, np.float64)
    for t in range(points.shape[0]):
        gains[t] = 0.0
        lanes[:] = 0.0
        touched = False
        for b in range(first, last):
            if _beyond(mid, half, sq_farthest, 1, b, points, t):
                continue
            for c in range(b * BUNDLE, min((b + 1) * BUNDLE, n_cells)):
                if _beyond(mid, half, sq_farthest, 0, c, points, t):
                    continue
                _sq_to_samples(tiles, c, mean, points, t, sq)
                touched = True
                for i in range(CELL):
                    before = np.float64(sq_closest[c, i])
                    near = np.float64(sq_closest.dtype.type(sq[i]))
                    lanes[i] += weight[c, i] * max(before - near, 0.0)
        if touched:
            for i in range(CELL):
                gains[t] += lanes[i]


@kernel
def _mark_candidates(cells, closest, orders, first, last, rows):
    """Lower copies of the squared distances, as would candidates that are chosen.

    cells                   `Cells`
    closest                 `Closest`
    orders                  `Orders`
    first, last             the bundles to look at
    rows     (m, n) float   inout: squared distances to the closest centres so far
    """
    tiles, order, mean = cells.tiles, cells.order, closest.mean
    mid, half, sq_farthest = closest.mid, closest.half, closest.sq_farthest
    sq_closest = closest.sq_closest
    n_cells = sq_closest.shape[0]
    points = orders.points
    sq = empty(CELL, np.float64)
    for place in range(orders.head[CHOSEN]):
        t, row = orders.chosen[place], rows[place]
        for b in range(first, last):
            if _beyond(mid, half, sq_farthest, 1, b, points, t):
                continue
            for c in range(b * BUNDLE, min((b + 1) * BUNDLE, n_cells)):
                if _beyond(mid, half, sq_farthest, 0, c, points, t):
                    continue
                _sq_to_samples(tiles, c, mean, points, t, sq)
                for i in range(CELL):
                    near = sq_closest.dtype.type(sq[i])
                    if near < sq_closest[c, i]:
                        row[order[c, i]] = near


@kernel
def _lower_cells(cells, closest, orders, first, last, book, worker):
    """Lower the squared distance to the closest centre where a new centre is closer.

    cells        `Cells`
    closest      inout: `Closest`
    orders       `Orders`, one candidate chosen
    first, last  the bundles to look at
    book         inout: `Book`
    worker       by which thread losses are booked
    """
    tiles, order, mean = cells.tiles, cells.order, closest.mean
    mid, half, sq_farthest = closest.mid, closest.half, closest.sq_farthest
    sq_closest, weight = closest.sq_closest, cells.weight
    sq_by_row, stale, grid, fallen = book.sq_closest, book.stale, book.grid, book.fallen[worker]
    n_cells = sq_closest.shape[0]
    points, t, books = orders.points, orders.chosen[0], orders.head[BOOKS]
    sq = empty(CELL, np.float64)
    for b in range(first, last):
        if _beyond(mid, half, sq_farthest, 1, b, points, t):
            continue
        farthest_of_bundle = sq_closest.dtype.type(0)
        for c in range(b * BUNDLE, min((b + 1) * BUNDLE, n_cells)):
            if not _beyond(mid, half, sq_farthest, 0, c, points, t):
                _sq_to_samples(tiles, c, mean, points, t, sq)
                farthest = sq_closest.dtype.type(0)
                for i in range(CELL):
                    near, before = sq_closest.dtype.type(sq[i]), sq_closest[c, i]
                    if near < before:
                        sq_closest[c, i] = near
                        row = order[c, i]
                        sq_by_row[row] = near
                        if books:
                            book_fall(weight[c, i], before, near, row, stale, grid, fallen)
                        else:
                            stale[row // STRETCH] = 1
                    farthest = max(farthest, sq_closest[c, i])
                sq_farthest[0, c] = farthest
            farthest_of_bundle = max(farthest_of_bundle, sq_farthest[0, c])
        sq_farthest[1, b] = farthest_of_bundle


@kernel
def work_off(cells, closest, orders, book, copies, leads, board, tally):
    """Work off the blocks of a task, one of a team.

    cells, closest, orders, book, copies  plain tuples, None for copies in float64
    leads           bool          whether for the leader of the team, not for a helper
    board           int64         inout: the team's counters
    tally      (1,) int64         by which thread losses are booked
    """
    cells, closest, orders, book = Cells(*cells), Closest(*closest), Orders(*orders), Book(*book)
    copies = None if copies is None else Copies(*copies)
    n_bundles = -(-closest.sq_closest.shape[0] // BUNDLE)
    n_blocks = orders.gains.shape[0]
    number = take_work(board, leads)
    while number >= 0:
        block = number % n_blocks
        task = orders.head[TASK]
        first, last = share_of(n_bundles, block, n_blocks)
        if task == COMPARE:
            _candidate_gains(cells, closest, orders.points, first, last, orders.gains[block])
        elif task == MARK:
            if copies is not None:
                _mark_candidates(cells, closest, orders, first, last, copies.rows)
        elif task >= RENEW:
            keep_book(orders, book, copies, block)
        else:  # START as well: the first point is closer than none
            _lower_cells(cells, closest, orders, first, last, book, tally[0])
        add_one(board, DONE)
        number = take_work(board, leads)
    await_work(board, leads)
