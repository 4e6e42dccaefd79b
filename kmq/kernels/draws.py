"""Draws of k-means++: where a running sum of weight · squared distance reaches its targets.

The sum is kept by stretches of samples, and only those with a change are added up again. In
float64 that is all. In float32 the running sum is so coarse that its rounding picks the samples,
so it is taken one by one, as by NumPy; but between two powers of two a running sum only grows by
whole units in its last place, whatever it is, and how many a stretch adds can be kept as well.
"""

import math

import numpy as np

from kmq.kernels.jit import kernel

# Samples a stretch.
STRETCH = 128
# A running sum in float32 is at least this many units of its last place, and below twice as many.
_UNITS = np.float32(2.0**23)
# Units of sums below this are no normal numbers any more.
_LEAST = np.float32(1e-25)


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
    lanes = np.empty(8)
    for b in range(start, stop):
        if stale[b] == 0:
            continue
        stale[b] = 0
        lanes[:] = 0.0
        first = b * STRETCH
        last = min(first + STRETCH, n)
        whole = first + max(last - first, 0) // 8 * 8
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
    for t in range(targets.shape[0]):
        b = np.searchsorted(reached, targets[t])
        total = reached[b - 1] if b > 0 else 0.0
        i = min(b * STRETCH, n - 1)
        last = min(i + STRETCH, n) - 1
        while i < last:
            total += weight[i] * np.float64(sq_closest[i])
            if total >= targets[t]:
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
def single_draws(weight, sq_closest, targets, state, drawn):
    """First samples at which a running sum of weight · squared distance reaches targets.

    The sum is that which adds one by one in float32, to the bit.

    weight      (n,) float32  weights of the samples
    sq_closest  (n,) float32  squared distance to the closest centre so far
    targets     (t,) float64  what the running sum must reach, ascending
    state       ((b,) uint8, (b,) float32, (b,) int32)  inout: 1 for each stretch of rows that
                              changed, the power of two below which the sum was, and the units
                              that the stretch then added
    drawn       (t,) int64    out: the samples, the last one where the sum stays below
    """
    stale, tops, added = state
    n = weight.shape[0]
    total = np.float32(0)
    top = np.float32(0)
    unit = np.float32(0)
    t = 0
    for b in range(stale.shape[0]):
        first, last = b * STRETCH, min((b + 1) * STRETCH, n)
        if total >= top and _LEAST < total < np.inf:
            exponent = math.frexp(total)[1]
            top = np.float32(math.ldexp(1.0, exponent))
            unit = np.float32(math.ldexp(1.0, exponent - 24))
        if _LEAST < total < top:
            if stale[b] or tops[b] != top:
                added[b] = _units_added(weight, sq_closest, first, last, np.float32(1) / unit)
                tops[b] = top
                stale[b] = 0
            after = np.float64(total) + np.float64(added[b]) * np.float64(unit)
            if added[b] >= 0 and after < top and after < targets[t]:
                total = np.float32(after)
                continue
        for i in range(first, last):
            total += weight[i] * sq_closest[i]
            while np.float64(total) >= targets[t]:
                drawn[t] = i
                t += 1
                if t == targets.shape[0]:
                    return
    drawn[t:] = n - 1
