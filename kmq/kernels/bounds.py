"""Assignment by bounds on distances, and by matrix products where these do not decide.

Each sample keeps an upper bound on the distance to its own centre and a lower bound on the
distances to all others of each group of centres (Hamerly, 2010, SDM; Ding et al., 2015, ICML).
Samples with a group that may hold a nearer centre are compared by a product of float32 matrices
of samples and centres less their mean, a panel of groups at a time. What lies within the proven
rounding error of that product is decided by the explicit differences of `kmq.kernels.dense`: the
labels are the same bits.

Distances and bounds are in units of `Plan.scale`, a power of two.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.jit import kernel
from kmq.kernels.rows import LANES, sq_distance

# Samples a product: with 128 centres the scores stay in 128 KiB of the second cache.
CHUNK = 256
_UP = np.float32(1.0 + 2.0**-20)
_DOWN = np.float32(1.0 - 2.0**-20)
_TINY = np.float32(1e-30)


class Plan(NamedTuple):
    """One set of centres, sorted by group.

    centers   (k, d)   float    of the dtype of the samples, in their own order
    wide      (k, d)   float64  the same
    shift     (d,)     float    mean of the samples, of their dtype
    scale              float64  what distances are multiplied by
    factors   (k, d)   float32  centres less the mean, scaled, by group
    sq_norms  (k,)     float32  their squared norms
    names     (k,)     int32    their indices in `centers`
    groups    (g + 1,) int64    where each group begins
    panels    (p + 1,) int64    the groups at which each panel begins
    group_of  (k,)     int32    group of each centre, in their own order
    drift     (k,)     float32  how far each has moved since the last plan, rounded up
    most      (g,)     float32  the most that one of each group has moved
    """

    centers: np.ndarray
    wide: np.ndarray
    shift: np.ndarray
    scale: float
    factors: np.ndarray
    sq_norms: np.ndarray
    names: np.ndarray
    groups: np.ndarray
    panels: np.ndarray
    group_of: np.ndarray
    drift: np.ndarray
    most: np.ndarray


class Bounds(NamedTuple):
    """What is known of each sample.

    labels  (n,)   int32    nearest centre, -1 before the first assignment
    before  (n,)   int32    the label before
    norm    (n,)   float32  norm of the sample less the mean, scaled
    upper   (n,)   float32  at least the distance to its own centre
    lower   (n, g) float32  at most the distance to any other centre of a group
    """

    labels: np.ndarray
    before: np.ndarray
    norm: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


@kernel
def _sq_wide(X, i, zero, wide, j):
    """Squared distance of sample i to centre j in float64."""
    d = wide.shape[1]
    total = sq_distance(X, i, zero, wide, j)[0]
    for f in range(d // LANES * LANES, d):
        diff = np.float64(X[i, f]) - wide[j, f]
        total += diff * diff
    return total


@kernel
def _decide(X, i, zero, centers, wide, names, groups, best, a, limit):
    """Nearest centre by explicit differences, ties to the lowest index.

    best  (g, s) float32  least squared distance of sample a to each group; those above `limit`
                          are out
    """
    d = X.shape[1]
    slack = 1.0 + 2.0 * (d + 4) * np.finfo(X.dtype).eps
    least = np.inf
    for g in range(groups.shape[0] - 1):
        if not best[g, a] > limit:
            for at in range(groups[g], groups[g + 1]):
                least = min(least, _sq_wide(X, i, zero, wide, names[at]))
    reach = least * slack + np.finfo(X.dtype).tiny * d
    nearest = X.dtype.type(np.inf)
    label = -1
    for g in range(groups.shape[0] - 1):
        if best[g, a] > limit:
            continue
        for at in range(groups[g], groups[g + 1]):
            j = names[at]
            if _sq_wide(X, i, zero, wide, j) > reach:
                continue
            sq = X.dtype.type(0)
            for f in range(d):
                diff = X[i, f] - centers[j, f]
                sq += diff * diff
            if label < 0 or sq < nearest or (sq == nearest and j < label):
                nearest = sq
                label = j
    return label


@kernel
def _scan(scores, sq_norms, best, second, owner):
    """Least and second least of |c|² - 2xc for each sample, over the centres of a group.

    scores    (m, s) float32  products of centres and samples
    sq_norms  (m,)   float32  of the centres
    best, second (s,) float32 out: least and second least
    owner     (s,)   float32  out: place of the least in the group
    """
    m, s = scores.shape
    two = np.float32(2.0)
    for i in range(s):
        best[i] = np.float32(np.inf)
        second[i] = np.float32(np.inf)
        owner[i] = np.float32(0.0)
    for j in range(m):
        norm = sq_norms[j]
        name = np.float32(j)
        for i in range(s):
            value = norm - two * scores[j, i]
            nearer = value < best[i]
            loser = best[i] if nearer else value
            second[i] = loser if loser < second[i] else second[i]
            owner[i] = name if nearer else owner[i]
            best[i] = value if nearer else best[i]


@kernel
def _gather(X, shift, scale, active, norm, rows, sq):
    """Copy samples less the shift, scaled, with their squared norms."""
    d = X.shape[1]
    nothing = np.zeros((1, d))
    origin = np.zeros(d, np.float32)
    for a in range(active.shape[0]):
        i = active[a]
        for f in range(d):
            rows[a, f] = np.float32((X[i, f] - shift[f]) * scale)
        if norm[i] < 0:
            norm[i] = np.sqrt(np.float32(_sq_wide(rows, a, origin, nothing, 0)))
        sq[a] = norm[i] * norm[i]


@kernel
def _compare(X, plan, bounds, active, opened, gamma):
    """Label some samples by products with their open panels, and renew their bounds.

    active  (s,)   int64  the samples
    opened  (s, p) bool   the panels to compare
    """
    d = X.shape[1]
    s, n_panels = opened.shape
    scale, factors, sq_norms, names = plan.scale, plan.factors, plan.sq_norms, plan.names
    centers, wide, groups, panels = plan.centers, plan.wide, plan.groups, plan.panels
    labels, norm, upper, lower = bounds.labels, bounds.norm, bounds.upper, bounds.lower
    n_groups = groups.shape[0] - 1
    begins = groups[panels]
    zero = np.zeros(d, X.dtype)
    rows = np.empty((s, d), np.float32)
    sq = np.empty(s, np.float32)
    _gather(X, plan.shift, scale, active, norm, rows, sq)
    best = np.full((n_groups, s), np.inf, np.float32)
    second = np.full((n_groups, s), np.inf, np.float32)
    owner = np.zeros((n_groups, s), np.float32)
    members = np.empty(s, np.int64)
    for p in range(n_panels):
        count = 0
        for a in range(s):
            members[count] = a
            count += opened[a, p]
        if count == 0 or begins[p] == begins[p + 1]:
            continue
        if count == s:
            scores = np.dot(factors[begins[p] : begins[p + 1]], rows.T)
        else:
            some = np.empty((count, d), np.float32)
            for c in range(count):
                for f in range(d):
                    some[c, f] = rows[members[c], f]
            scores = np.dot(factors[begins[p] : begins[p + 1]], some.T)
        part_best = np.empty(count, np.float32)
        part_second = np.empty(count, np.float32)
        part_owner = np.empty(count, np.float32)
        for g in range(panels[p], panels[p + 1]):
            first, last = groups[g], groups[g + 1]
            _scan(
                scores[first - begins[p] : last - begins[p]],
                sq_norms[first:last],
                part_best,
                part_second,
                part_owner,
            )
            for c in range(count):
                a = members[c]
                best[g, a] = part_best[c] + sq[a]
                second[g, a] = part_second[c] + sq[a]
                owner[g, a] = part_owner[c]
    reach = np.float32(0.0)
    for j in range(sq_norms.shape[0]):
        reach = max(reach, sq_norms[j])
    reach = np.sqrt(reach) * _UP
    # Half of d for the product, the rest for norms, shift, scale and the final sums.
    unit = np.float32((0.5 * d + 24.0) * 2.0**-24)
    for a in range(s):
        i = active[a]
        size = norm[i] * _UP + reach
        error = unit * size * size + _TINY
        least = best[0, a]
        group = 0
        for g in range(1, n_groups):
            if best[g, a] < least:
                least = best[g, a]
                group = g
        limit = (least + error) * gamma * gamma + error
        sure = second[group, a] > limit
        for g in range(n_groups):
            sure = sure and (g == group or best[g, a] > limit)
        if sure:
            label = names[groups[group] + np.int64(owner[group, a])]
            upper[i] = np.sqrt(max(least + error, np.float32(0.0))) * _UP + _TINY
        else:
            label = _decide(X, i, zero, centers, wide, names, groups, best, a, limit)
            exact = scale * np.sqrt(_sq_wide(X, i, zero, wide, label))
            upper[i] = np.float32(exact) * _UP + _TINY
        for g in range(n_groups):
            # An infinite error is of a sample beyond float32, and tells nothing; an infinite best
            # of a panel that was not compared, or of an empty group.
            if not error < np.inf:
                lower[i, g] = np.float32(0.0)
            elif best[g, a] < np.inf:
                nearest = names[groups[g] + np.int64(owner[g, a])]
                rival = second[g, a] if nearest == label else best[g, a]
                lower[i, g] = np.sqrt(max(rival - error, np.float32(0.0))) * _DOWN - _TINY
        labels[i] = label


@kernel
def assign_bounded(X, plan, bounds, start, stop, moved):
    """Assign samples to their nearest centres.

    X        (n, d) float  samples, C order
    plan                   `Plan`
    bounds                 inout: `Bounds`
    start, stop            the samples to assign
    moved    (n,)   int32  out, from `start`: the samples whose label changed
    Returns their number.
    """
    d = X.shape[1]
    # Reading a field of a tuple counts a reference, which threads would fight over per sample.
    labels, before, upper, lower = bounds.labels, bounds.before, bounds.upper, bounds.lower
    wide, group_of, drift, most = plan.wide, plan.group_of, plan.drift, plan.most
    panels, scale = plan.panels, plan.scale
    n_panels = panels.shape[0] - 1
    n_groups = most.shape[0]
    gamma = np.float32(1.0 + 0.6 * (d + 4) * np.finfo(X.dtype).eps) * _UP
    zero = np.zeros(d, X.dtype)
    active = np.empty(CHUNK, np.int64)
    opened = np.empty((CHUNK, n_panels), np.bool_)
    found = start
    count = 0
    for i in range(start, stop):
        label = labels[i]
        before[i] = label
        if label < 0:
            active[count] = i
            for p in range(n_panels):
                opened[count, p] = True
            count += 1
        else:
            above = (upper[i] + drift[label]) * _UP + _TINY
            least = np.float32(np.inf)
            for g in range(n_groups):
                below = (lower[i, g] - most[g]) * _DOWN - _TINY
                lower[i, g] = below
                least = min(least, below)
            if not above * gamma < least:
                above = np.float32(scale * np.sqrt(_sq_wide(X, i, zero, wide, label))) * _UP
                above += _TINY
            upper[i] = above
            if not above * gamma < least:
                active[count] = i
                for p in range(n_panels):
                    is_open = panels[p] <= group_of[label] < panels[p + 1]
                    for g in range(panels[p], panels[p + 1]):
                        is_open = is_open or not above * gamma < lower[i, g]
                    opened[count, p] = is_open
                count += 1
        if count == CHUNK or (i == stop - 1 and count > 0):
            _compare(X, plan, bounds, active[:count], opened[:count], gamma)
            for a in range(count):
                at = active[a]
                if labels[at] != before[at]:
                    moved[found] = at
                    found += 1
            count = 0
    return found - start


@kernel
def move_sums(X, weight, bounds, moved, wide, sums, counts):
    """Move samples from the sums of their old clusters to those of their new ones.

    X        (n, d) float    samples, C order
    weight   (n,)   float64  their weights
    bounds                   `Bounds`
    moved    (m,)   int32    the samples
    wide     (k, d) float64  points of reference, one a cluster
    sums     (k, d) float64  inout: sums of weight · sample
    counts   (k, 2) float64  inout: weights of the clusters, and numbers of their samples
    Returns by how much the sum of weighted squared distances to the points of reference grew.
    """
    d = X.shape[1]
    zero = np.zeros(d, X.dtype)
    growth = 0.0
    for m in range(moved.shape[0]):
        i = moved[m]
        w = weight[i]
        old, new = bounds.before[i], bounds.labels[i]
        growth += w * (_sq_wide(X, i, zero, wide, new) - _sq_wide(X, i, zero, wide, old))
        counts[old, 0] -= w
        counts[new, 0] += w
        counts[old, 1] -= 1.0
        counts[new, 1] += 1.0
        for f in range(d):
            moment = w * np.float64(X[i, f])
            sums[old, f] -= moment
            sums[new, f] += moment
    return growth


@kernel
def sum_clusters(X, weight, labels, wide, start, stop, sums, counts):
    """Add up the samples of each cluster.

    X        (n, d) float    samples, C order
    weight   (n,)   float64  their weights
    labels   (n,)   int32    their clusters
    wide     (k, d) float64  points of reference, one a cluster
    start, stop              the samples to add
    sums     (k, d) float64  out: sums of weight · sample, set to zero first
    counts   (k, 2) float64  out: weights of the clusters, and numbers of their samples
    Returns the sum of weighted squared distances to the points of reference.
    """
    d = X.shape[1]
    zero = np.zeros(d, X.dtype)
    sums[:] = 0.0
    counts[:] = 0.0
    total = 0.0
    for i in range(start, stop):
        j = labels[i]
        w = weight[i]
        total += w * _sq_wide(X, i, zero, wide, j)
        counts[j, 0] += w
        counts[j, 1] += 1.0
        row = sums[j]
        x = X[i]
        for f in range(d):
            row[f] += w * np.float64(x[f])
    return total
