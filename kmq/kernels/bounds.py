"""Assignment by bounds on distances, and by products of float32 where these do not decide.

Each sample keeps an upper bound on the distance to its own centre and a lower bound on the
distances to all others of each group of centres (Hamerly, 2010, SDM; Ding et al., 2015, ICML).
Bounds stay as they were found: what may have changed since is how far a centre lies from where
it was then, which among many features is much less than the way that it went (Newling and
Fleuret, 2016, ICML). Samples with a group that may hold a nearer centre are compared by products
of float32 samples and centres less a point amid them. What lies within the proven rounding error of
these is decided by the explicit differences of `kmq.kernels.dense`: the labels are the same bits.

`Plan` and `Bounds` are those of `kmq.kernels.plan`; distances and bounds are in units of
`Plan.scale`, a power of two.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.jit import empty, kernel, zeros
from kmq.kernels.products import BLOCK, STRETCH, WIDTH, fill_tile, multiply, nearest
from kmq.kernels.rows import LANES, sq_to_point

# Values of the samples that are compared at a time, which should stay in the second cache.
_CHUNK_VALUES = 1 << 16
_MOST_CHUNK = 1024
_UP = np.float32(1.0 + 2.0**-20)
_DOWN = np.float32(1.0 - 2.0**-20)
_TINY = np.float32(1e-30)


class _Scratch(NamedTuple):
    """What comparing a chunk of samples needs.

    tile    (d, WIDTH)    float32  samples side by side
    sq      (WIDTH,)      float32  their squared norms
    scores  (m, WIDTH)    float32  their products with the centres
    found   (3, WIDTH)    float32  least, second and place of the least in a group
    best, second (g, c)   float32  least and second least squared distance to each group
    owner   (g, c)        float32  place of the least
    norms   (c,)          float32  squared norms
    rows    (c + r,)      int64    samples of one tile after another, and some to go on with
    """

    tile: np.ndarray
    sq: np.ndarray
    scores: np.ndarray
    found: np.ndarray
    best: np.ndarray
    second: np.ndarray
    owner: np.ndarray
    norms: np.ndarray
    rows: np.ndarray


@kernel
def _decide(X, i, zero, plan, best, a, limit):
    """Nearest centre by explicit differences, ties to the lowest index.

    best  (g, s) float32  least squared distance of sample a to each group; those above `limit`
                          are out
    """
    centers, wide, names, groups = plan.centers, plan.wide, plan.names, plan.groups
    k, d = centers.shape
    near = empty(k + 1, np.int64)
    sq_wide = empty(k, np.float64)
    least = np.inf
    count = 0
    for g in range(groups.shape[0] - 1):
        if not best[g, a] > limit:
            for at in range(groups[g], groups[g + 1]):
                sq_wide[count] = sq_to_point(X, i, zero, wide, names[at])
                least = min(least, sq_wide[count])
                near[count] = names[at]
                count += 1
    reach = least * (1.0 + 1.1 * (d + 4) * np.finfo(X.dtype).eps) + np.finfo(X.dtype).tiny * d
    kept = 0
    for c in range(count):
        near[kept] = near[c]
        kept += not sq_wide[c] > reach
    label = near[0]
    near[kept] = label
    nearest_sq = X.dtype.type(np.inf)
    # Two at a time: each sum waits for its last addition.
    for c in range(0, kept if kept > 1 else 0, 2):
        j, other = near[c], near[c + 1]
        sq = X.dtype.type(0)
        other_sq = X.dtype.type(0)
        for f in range(d):
            diff = X[i, f] - centers[j, f]
            other_diff = X[i, f] - centers[other, f]
            sq += diff * diff
            other_sq += other_diff * other_diff
        if sq < nearest_sq or (sq == nearest_sq and j < label):
            nearest_sq = sq
            label = j
        if other_sq < nearest_sq or (other_sq == nearest_sq and other < label):
            nearest_sq = other_sq
            label = other
    return label


@kernel
def _multiply_some(X, plan, active, members, first, last, scratch):
    """Least and second least squared distance of some samples to each group of some panels.

    active       (s,) int64  the samples
    members      (c,) int64  which of these
    first, last              the groups
    """
    tile, sq, rows, scores = scratch.tile, scratch.sq, scratch.rows, scratch.scores
    found, best, second, owner = scratch.found, scratch.best, scratch.second, scratch.owner
    norms, shift, scale = scratch.norms, plan.shift, plan.scale
    packed, halves, groups = plan.packed, plan.halves, plan.groups
    d = X.shape[1]
    count = members.shape[0]
    two = np.float32(2.0)
    if count > 0:
        for c in range(count + WIDTH + LANES):
            rows[c] = active[members[min(c, count - 1)]]
    for c in range(0, count, WIDTH):
        size = min(WIDTH, count - c)
        for at in range(c, c + WIDTH, LANES):
            fill_tile(X, rows, np.int64(at), shift, scale, tile, sq)
        for f in range(d // LANES * LANES, d):
            for lane in range(WIDTH):
                x = np.float32((X[rows[c + lane], f] - shift[f]) * scale)
                tile[f, lane] = x
                sq[lane] += x * x
        for block in range(groups[first] // BLOCK, -(-groups[last] // BLOCK)):
            multiply(tile, packed, np.int64(block), scores)
        for lane in range(size):
            norms[members[c + lane]] = sq[lane]
        for g in range(first, last):
            nearest(scores, halves, groups[g], groups[g + 1], found)
            for lane in range(size):
                a = members[c + lane]
                best[g, a] = sq[lane] + two * found[0, lane]
                second[g, a] = sq[lane] + two * found[1, lane]
                owner[g, a] = found[2, lane]


@kernel
def _nearest_group(best, s, least, group, runner):
    """Least of some samples' groups, which that is, and the least of the others.

    best           (g, c) float32  a value for each group and sample
    s                              number of samples
    least, runner  (c,)   float32  out: least and second least
    group          (c,)   float32  out: where the least is
    """
    for a in range(s):
        least[a] = best[0, a]
        group[a] = np.float32(0.0)
        runner[a] = np.float32(np.inf)
    for g in range(1, best.shape[0]):
        name = np.float32(g)
        for a in range(s):
            value = best[g, a]
            nearer = value < least[a]
            loser = least[a] if nearer else value
            runner[a] = loser if loser < runner[a] else runner[a]
            group[a] = name if nearer else group[a]
            least[a] = value if nearer else least[a]


@kernel
def _lower_bound(sq, error):
    """Distance that a squared distance with this error has at least."""
    return np.sqrt(max(sq - error, np.float32(0.0))) * _DOWN - _TINY


@kernel
def _compare(X, plan, bounds, active, opened, gamma, scratch):
    """Label some samples by products with their open panels, and renew their bounds.

    active  (s,)   int64  the samples
    opened  (s, p) bool   the panels to compare; those that are compared
    """
    d = X.shape[1]
    s, n_panels = opened.shape
    names, groups, panels, group_of = plan.names, plan.groups, plan.panels, plan.group_of
    labels, upper, lower = bounds.labels, bounds.upper, bounds.lower
    least_of, slots, group_way = bounds.least, bounds.slots, plan.group_way
    best, second, owner, norms = scratch.best, scratch.second, scratch.owner, scratch.norms
    n_groups = groups.shape[0] - 1
    scale, wide, now = plan.scale, plan.wide, plan.now
    zero = zeros(d, X.dtype)
    members = empty(s, np.int64)
    n_open = 0
    for a in range(s):
        members[a] = a
        for p in range(n_panels):
            n_open += opened[a, p]
    # Laying samples out again for each panel does not pay where most are open.
    if 2 * n_open > s * n_panels:
        opened[:] = True
        _multiply_some(X, plan, active, members, 0, n_groups, scratch)
    else:
        best[:] = np.inf
        second[:] = np.inf
        for p in range(n_panels):
            count = 0
            for a in range(s):
                members[count] = a
                count += opened[a, p]
            _multiply_some(X, plan, active, members[:count], panels[p], panels[p + 1], scratch)
    reach = np.float32(0.0)
    for half in plan.halves:
        reach = max(reach, half)
    reach = np.sqrt(np.float32(2.0) * reach) * _UP
    # In units of float32's rounding and of (|x| + |c|)²: half the length of the sums of the
    # product; both norms, shift and scale, and the final sums, 10; the sums of a sample's norm.
    product = 0.5 * (min(d, STRETCH) + d / STRETCH + 4.0) + 10.0
    unit = np.float32(product * 2.0**-24)
    unit_norm = np.float32((product + d / LANES + 2 * LANES + 2) * 2.0**-24)
    beyond = gamma * gamma - np.float32(1.0)
    least = empty(s, np.float32)
    group = empty(s, np.float32)
    runner = empty(s, np.float32)
    _nearest_group(best, s, least, group, runner)
    for a in range(s):
        i = active[a]
        size = (np.sqrt(norms[a]) + reach) * _UP
        # All distances of a sample share the error of its norm, so that it weighs little there.
        error = unit * size * size + _TINY
        norms[a] = unit_norm * size * size + _TINY
        limit = least[a] + np.float32(2.0) * error + beyond * (least[a] + error + norms[a])
        own = np.int64(group[a])
        if second[own, a] > limit and runner[a] > limit:
            label = np.int64(names[groups[own] + np.int64(owner[own, a])])
            upper[i] = np.sqrt(max(least[a] + norms[a], np.float32(0.0))) * _UP + _TINY
        else:
            label = _decide(X, i, zero, plan, best, a, limit)
            exact = scale * np.sqrt(sq_to_point(X, i, zero, wide, label))
            upper[i] = np.float32(exact) * _UP + _TINY
        own = np.int64(group_of[label])
        if best[own, a] < np.inf and names[groups[own] + np.int64(owner[own, a])] == label:
            best[own, a] = second[own, a]
        labels[i] = label
    for g in range(n_groups):
        for a in range(s):
            best[g, a] = _lower_bound(best[g, a], norms[a])
    for a in range(s):
        i = active[a]
        slot = slots[i, 1]
        lowest = np.float32(np.inf)
        for p in range(n_panels):
            for g in range(panels[p], panels[p + 1]):
                bound = best[g, a]
                if not opened[a, p]:
                    bound = (lower[i, g] - group_way[slot, g]) * _DOWN - _TINY
                # The products of a sample beyond float32 tell nothing.
                bound = bound if norms[a] < np.inf else np.float32(0.0)
                lower[i, g] = bound
                lowest = min(lowest, bound)
        least_of[i] = lowest
        slots[i, 0] = slots[i, 1] = now


@kernel
def assign_bounded(X, plan, bounds, start, stop, moved, tally):
    """Assign samples to their nearest centres.

    X        (n, d) float  samples, C order
    plan                   `Plan`
    bounds                 inout: `Bounds`
    start, stop            the samples to assign
    moved    (n,)   int32  out, from `start`: the samples whose label changed
    tally    (3,)   int64  out: number of these; of samples that bounds left open; of those among
                           these that the distance to their own centre would have decided
    """
    d = X.shape[1]
    # Reading a field of a tuple counts a reference, which threads would fight over per sample.
    labels, before, upper, lower = bounds.labels, bounds.before, bounds.upper, bounds.lower
    least_of, slots, now, wide = bounds.least, bounds.slots, np.int64(plan.now), plan.wide
    center_way, group_way, way = plan.center_way, plan.group_way, plan.way
    group_of, panels, scale, tighten = plan.group_of, plan.panels, plan.scale, plan.tighten
    n_panels = panels.shape[0] - 1
    n_groups = group_way.shape[1]
    # Twice the rounding error of explicit differences, and a tenth for its square.
    gamma = np.float32(1.0 + 0.55 * (d + 4) * np.finfo(X.dtype).eps) * _UP
    zero = zeros(d, X.dtype)
    chunk = max(4 * WIDTH, min(_MOST_CHUNK, _CHUNK_VALUES // d))
    active = empty(chunk, np.int64)
    opened = empty((chunk, n_panels), np.bool_)
    bars = empty(chunk, np.float32)
    scratch = _Scratch(
        empty((d, WIDTH), np.float32),
        empty(WIDTH, np.float32),
        empty((plan.packed.shape[0] * BLOCK, WIDTH), np.float32),
        empty((3, WIDTH), np.float32),
        empty((n_groups, chunk), np.float32),
        empty((n_groups, chunk), np.float32),
        empty((n_groups, chunk), np.float32),
        empty(chunk, np.float32),
        empty(chunk + WIDTH + LANES, np.int64),
    )
    found = start
    count = 0
    left_open = 0
    decided = 0
    for i in range(start, stop):
        label = labels[i]
        before[i] = label
        if label < 0:
            active[count] = i
            bars[count] = np.float32(-np.inf)
            for p in range(n_panels):
                opened[count, p] = True
            count += 1
        else:
            slot = np.int64(slots[i, 1])
            above = (upper[i] + center_way[np.int64(slots[i, 0]), label]) * _UP + _TINY
            below = (least_of[i] - way[slot]) * _DOWN - _TINY
            # The slot is about to be given to the present centres.
            if slots[i, 0] == now:
                upper[i] = above
            if slot == now:
                least = np.float32(np.inf)
                for g in range(n_groups):
                    bound = (lower[i, g] - group_way[slot, g]) * _DOWN - _TINY
                    lower[i, g] = bound
                    least = min(least, bound)
                least_of[i] = least
                below = least
            if not above * gamma < below:
                if slot != now:
                    below = np.float32(np.inf)
                    for g in range(n_groups):
                        below = min(below, lower[i, g] - group_way[slot, g])
                    below = below * _DOWN - _TINY
                if not above * gamma < below:
                    left_open += 1
                    if tighten:
                        above = np.float32(scale * np.sqrt(sq_to_point(X, i, zero, wide, label)))
                        above = above * _UP + _TINY
                        upper[i] = above
                        slots[i, 0] = now
                if above * gamma < below:
                    decided += tighten
                else:
                    active[count] = i
                    bars[count] = below
                    for p in range(n_panels):
                        is_open = panels[p] <= group_of[label] < panels[p + 1]
                        for g in range(panels[p], panels[p + 1]):
                            bound = lower[i, g]
                            if slot != now:
                                bound = (bound - group_way[slot, g]) * _DOWN - _TINY
                            is_open = is_open or not above * gamma < bound
                        opened[count, p] = is_open
                    count += 1
        if count == chunk or (i == stop - 1 and count > 0):
            _compare(X, plan, bounds, active[:count], opened[:count], gamma, scratch)
            for a in range(count):
                at = active[a]
                if labels[at] != before[at]:
                    moved[found] = at
                    found += 1
                elif upper[at] * gamma < bars[a]:
                    decided += 1
            count = 0
    tally[0] = found - start
    tally[1] = left_open
    tally[2] = decided
