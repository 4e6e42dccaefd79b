"""Draws of k-means++: where a running sum of weight · squared distance reaches its targets.

The sum is kept by stretches of samples. Shares of the sum are rounded to the stretch's grid, whole
multiples of a power of two, so that what samples lose adds up to the same in any order and on
any number of threads; a stretch that has lost nearly all is added up again, as is one of which
it is known only that something changed.

In float64 that is all. In float32 the running sum is so coarse that its rounding picks the samples,
so it is taken one by one, as by NumPy; but between two powers of two a running sum only grows by
whole units in its last place, whatever it is, and how many a stretch adds can be kept as well.
"""

import math
from typing import NamedTuple

import numpy as np

from kmq.kernels.jit import empty, kernel, zeros

# Samples a stretch.
STRETCH = 128
# Stretches a run, which is skipped as a whole.
_RUN = 64
# A running sum in float32 is at least this many units of its last place, and below twice as many.
_UNITS = np.float32(2.0**23)
# Units of sums below this are no normal numbers any more.
_LEAST = np.float32(1e-25)
# From here on there is no power of two above a running sum: it is taken one by one.
_GREATEST = np.float32(2.0**127)
# Sums from here on have no power of two above them to spare.
_MOST = 2.0**1022
# A stretch that has less than this left of its grid is added up again.
_LEAST_LEFT = 2.0**-10


class Book(NamedTuple):
    """Shares of the samples, and what is known of their stretches, of which there are b.

    weight      (n,)   float    weights of the samples
    sq_closest  (≥n,)  float    squared distances to the closest centre so far, room for whole
                                stretches
    sums        (b,)   float64  sums of weight · squared distance. In float32: what a stretch adds
                                to a running sum while this is below twice the stretch's grid; -1
                                where a tie of rounding makes that depend on the running sum
    stale       (b,)   uint8    1 where a stretch is to be added up again
    grid        (b,)   float    what rounds a share when added and taken off, a power of two, in
                                the precision of the running sum; 0 before a stretch is first
                                added up, and where its sum is 0 or too large
    fallen      (w, b) float64  what rounded shares of a stretch have lost since, by thread
    """

    weight: np.ndarray
    sq_closest: np.ndarray
    sums: np.ndarray
    stale: np.ndarray
    grid: np.ndarray
    fallen: np.ndarray


@kernel
def book_loss(before, now, b, stale, grid, fallen):
    """Book that a sample's share of the sum has fallen.

    before, now     float    weight · squared distance, in the precision of `grid`
    b                        the stretch of the sample
    stale   (b,)    uint8    inout: see `Book`
    grid    (b,)    float    see `Book`
    fallen  (b,)    float64  inout: see `Book`, of one thread
    """
    mark = grid[b]
    tie = np.finfo(grid.dtype).eps * mark * grid.dtype.type(0.5)
    before, now = min(before, mark), min(now, mark)
    kept_before, kept_now = (before + mark) - mark, (now + mark) - mark
    fallen[b] += np.float64(kept_before) - np.float64(kept_now)
    # Only in float32 does it matter where a tie of rounding falls.
    if grid.itemsize == 4 and (abs(before - kept_before) == tie or abs(now - kept_now) == tie):
        stale[b] = 1


@kernel
def book_fall(weight, before, now, row, stale, grid, fallen):
    """Book that a sample's squared distance to the closest centre has fallen.

    weight               float64  weight of the sample
    before, now          float    the squared distances
    row                           the sample
    stale, grid, fallen           as for `book_loss`
    """
    share = grid.dtype.type
    w = share(weight)
    left = w * share(now)
    book_loss(w * share(before), left, row // STRETCH, stale, grid, fallen)


@kernel
def _gather_losses(fallen, start, stop):
    """Move what threads have booked of some stretches to the first."""
    kept = fallen[0, start:stop]
    for worker in range(1, fallen.shape[0]):
        booked = fallen[worker, start:stop]
        for b in range(kept.shape[0]):
            kept[b] += booked[b]
            booked[b] = 0.0


@kernel
def _add_up(weight, sq_closest, b, lanes):
    """Sum of weight · squared distance of a stretch, in eight running sums."""
    lanes[:] = 0.0
    w, sq = (
        weight[b * STRETCH : (b + 1) * STRETCH],
        sq_closest[b * STRETCH : (b + 1) * STRETCH],
    )
    whole = w.shape[0] // 8 * 8
    for at in range(0, whole, 8):
        for lane in range(8):
            lanes[lane] += w[at + lane] * np.float64(sq[at + lane])
    total = 0.0
    for lane in range(8):
        total += lanes[lane]
    for i in range(whole, w.shape[0]):
        total += w[i] * np.float64(sq[i])
    return total


@kernel
def _grid_above(total):
    """The power of two above a sum, 0 where there is none to spare."""
    return math.ldexp(1.0, math.frexp(total)[1]) if 0.0 < total < _MOST else 0.0


@kernel
def renew_double(book, start, stop):
    """Bring the sums of stretches up to date.

    book         inout: `Book` in float64
    start, stop  the stretches to look at
    """
    weight, sq_closest, totals, stale, grid, fallen = book
    lanes = empty(8, np.float64)
    _gather_losses(fallen, start, stop)
    for run in range(start, stop, _RUN):
        last_of_run = min(run + _RUN, stop)
        some, lost = totals[run:last_of_run], fallen[0, run:last_of_run]
        called, mark = stale[run:last_of_run], grid[run:last_of_run]
        n_called = 0
        for b in range(some.shape[0]):
            some[b] -= lost[b]
            lost[b] = 0.0
            # Without a grid nothing can be booked; what is not a number is added up again as well.
            kept = (some[b] >= _LEAST_LEFT * mark[b]) & ((mark[b] > 0.0) | (some[b] == 0.0))
            called[b] |= np.uint8(not kept)
            n_called += called[b]
        for b in range(some.shape[0] if n_called else 0):
            if called[b]:
                called[b] = 0
                total = _add_up(weight, sq_closest, run + b, lanes)
                mark[b] = _grid_above(total)
                some[b] = (total + mark[b]) - mark[b]


@kernel
def draw_double(book, uniform, drawn):
    """First samples at which the running sum of weight · squared distance reaches shares of all.

    book                   `Book` in float64, whose sums are up to date
    uniform  (t,) float64  shares, from 0 to 1
    drawn    (t,) int64    out: the samples, the last one where the sum stays below
    """
    weight, sq_closest, totals = book.weight, book.sq_closest, book.sums
    n, n_stretches = weight.shape[0], totals.shape[0]
    n_runs = -(-n_stretches // _RUN)
    runs = zeros(n_runs, np.float64)
    for run in range(n_runs):
        for b in range(run * _RUN, min((run + 1) * _RUN, n_stretches)):
            runs[run] += totals[b]
    whole = 0.0
    for run in range(n_runs):
        whole += runs[run]
    for t in range(uniform.shape[0]):
        target = uniform[t] * whole
        total = 0.0
        run = 0
        while run < n_runs - 1 and total + runs[run] < target:
            total += runs[run]
            run += 1
        b = run * _RUN
        while b < n_stretches - 1 and total + totals[b] < target:
            total += totals[b]
            b += 1
        i = b * STRETCH
        last = min(i + STRETCH, n) - 1
        while i < last:
            total += weight[i] * np.float64(sq_closest[i])
            if total >= target:
                break
            i += 1
        drawn[t] = i


@kernel
def _units_added(weight, sq_closest, first, last, per_unit):
    """Units by which a stretch raises a running sum; -1 where a tie of rounding depends on it.

    weight      (n,) float32  weights of the samples
    sq_closest  (n,) float32  squared distance to the closest centre so far
    first, last               the stretch
    per_unit        float32   one over the unit, a power of two
    """
    units = np.int32(0)
    ties = np.int32(0)
    for at in range(last - first):
        i = np.uint64(first) + np.uint64(at)
        share = min(weight[i] * sq_closest[i] * per_unit, _UNITS)
        # In float32 there is nothing behind the point from 2^23 on: this rounds, ties to even.
        whole = (share + _UNITS) - _UNITS
        units += np.int32(whole)
        ties += np.int32(abs(share - whole) == np.float32(0.5))
    return np.int32(-1) if ties else units


@kernel
def _sum_stretch(book, b, mark):
    """Add a stretch up in units of the running sum, whose grid is `mark`."""
    weight, sq_closest, sums = book.weight, book.sq_closest, book.sums
    first, last = b * STRETCH, min((b + 1) * STRETCH, weight.shape[0])
    unit = mark / _UNITS
    units = _units_added(weight, sq_closest, first, last, np.float32(1) / unit)
    sums[b] = np.float64(units) * np.float64(unit) if units >= 0 else -1.0
    book.grid[b] = mark
    book.stale[b] = 0
    book.fallen[0, b] = 0.0


@kernel
def _sum_run(book, start, stop, mark):
    """What a run of stretches whose grid is `mark` adds to the running sum.

    Infinity where stretches are to be added up first, or a tie of rounding makes it depend on the
    running sum.
    """
    stale, grid, fallen = book.stale[start:stop], book.grid[start:stop], book.fallen[0, start:stop]
    some = book.sums[start:stop]
    open_ = 0
    for b in range(some.shape[0]):
        open_ += (stale[b] != 0) | (grid[b] != mark) | (some[b] < 0.0)
    if open_:
        return np.inf
    whole = 0.0
    for b in range(some.shape[0]):
        some[b] -= fallen[b]
        fallen[b] = 0.0
        whole += some[b]
    return whole


@kernel
def guess_grids(book, total):
    """Foresee the grids of stale stretches: each has its old share of a new total.

    book   inout: `Book` in float32
    total  float  where the running sum will end
    """
    sums, stale, grid = book.sums, book.stale, book.grid
    whole = 0.0
    for b in range(sums.shape[0]):
        whole += max(sums[b], 0.0)
    # Before anything is known, one stretch is like another.
    blank = whole == 0.0
    share = np.float64(total) / (sums.shape[0] if blank else whole)
    if not 0.0 < share < np.inf:
        return
    reached = 0.0
    mark = math.ldexp(1.0, math.frexp(np.float64(_LEAST))[1])
    for b in range(sums.shape[0]):
        while reached >= 2.0 * mark and mark < _GREATEST:
            mark *= 2.0
        if stale[b] and reached >= mark:
            grid[b] = mark
        reached += share * (1.0 if blank else max(sums[b], 0.0))


@kernel
def renew_single(book, start, stop):
    """Add up again the stale stretches whose grid is known, on the guess that it is right.

    book         inout: `Book` in float32
    start, stop  the stretches to look at
    """
    _gather_losses(book.fallen, start, stop)
    for b in range(start, stop):
        if book.stale[b] and book.grid[b] > 0:
            _sum_stretch(book, b, book.grid[b])


@kernel
def draw_single(book, targets, drawn):
    """First samples at which a running sum of weight · squared distance reaches targets.

    The sum is that which adds one by one in float32, to the bit.

    book                   inout: `Book` in float32
    targets  (t,) float64  what the running sum must reach, ascending
    drawn    (t,) int64    out: the samples, the last one where the sum stays below
    """
    weight, sq_closest, sums, stale, grid, fallen = book
    n = weight.shape[0]
    n_stretches = stale.shape[0]
    total = np.float32(0)
    top = np.float32(0)
    unit = np.float32(0)
    t = 0
    _gather_losses(fallen, 0, n_stretches)
    b = 0
    while b < n_stretches:
        first, last = b * STRETCH, min((b + 1) * STRETCH, n)
        if total >= top and _LEAST < total < _GREATEST:
            exponent = math.frexp(total)[1]
            top = np.float32(math.ldexp(1.0, exponent))
            unit = np.float32(math.ldexp(1.0, exponent - 24))
        if _LEAST < total < top:
            mark = _UNITS * unit
            if b % _RUN == 0:
                stop = min(b + _RUN, n_stretches)
                after = np.float64(total) + _sum_run(book, b, stop, mark)
                if after < top and after < targets[t]:
                    total = np.float32(after)
                    b = stop
                    continue
            lost = fallen[0, b]
            if stale[b] or grid[b] != mark or (lost != 0.0 and sums[b] < 0.0):
                _sum_stretch(book, b, mark)
            else:
                sums[b] -= lost
                fallen[0, b] = 0.0
            after = np.float64(total) + sums[b]
            if sums[b] >= 0.0 and after < top and after < targets[t]:
                total = np.float32(after)
                b += 1
                continue
        for i in range(first, last):
            total += weight[i] * sq_closest[i]
            while np.float64(total) >= targets[t]:
                drawn[t] = i
                t += 1
                if t == targets.shape[0]:
                    return
        b += 1
    drawn[t:] = n - 1
