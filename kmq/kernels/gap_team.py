"""What a team does with samples of some ten features: visits, and the sums of their clusters."""

import numpy as np

from kmq.kernels.gaps import TASK, Orders, State, make_scratch, visit
from kmq.kernels.jit import empty, kernel
from kmq.kernels.strips import add_row, add_sq_row
from kmq.kernels.team import DONE, add_one, await_work, take_work

# What there is to do: visit the samples whose alarm has come, add all samples up, or add up how far
# they lie from their centres.
VISIT, SUM, SPREAD = range(3)
# Sums for each feature: no addition waits for the last.
_PARTS = 2


@kernel
def _spread(X, weight, labels, points, first, last, totals):
    """Sum the weighted squared distances of samples to the points of their clusters.

    X            (n, d) float    samples, C order
    weight       (n,)   float64  their weights
    labels       (n,)   int32    their clusters
    points       (k, d) float64  points, one a cluster
    first, last                  the samples to sum
    totals       (p, d) float64  scratch
    Returns the sum.
    """
    totals[:] = 0.0
    for i in range(first, last):
        j, part = np.int64(labels[i]), np.int64(i % _PARTS)
        add_sq_row(X, np.int64(i), weight[i], points, j, totals, part)
    total = 0.0
    for row in range(totals.shape[0]):
        for f in range(totals.shape[1]):
            total += totals[row, f]
    return total


@kernel
def _sum(X, weight, labels, first, last, sums, counts):
    """Add up the samples of each cluster.

    X            (n, d) float    samples, C order
    weight       (n,)   float64  their weights
    labels       (n,)   int32    their clusters
    first, last                  the samples to add
    sums         (k, d) float64  out: sums of weight · sample
    counts       (k, 2) float64  out: sums of weight, and numbers of samples that weigh
    """
    sums[:] = 0.0
    counts[:] = 0.0
    for i in range(first, last):
        j, w = np.int64(labels[i]), weight[i]
        add_row(X, np.int64(i), w, sums, j)
        counts[j, 0] += w
        counts[j, 1] += 1.0 if w > 0.0 else 0.0


@kernel
def work_off(X, weight, orders, rows, state, leads, board, tally):
    """Work off blocks until there are none, or for a helper: until none have come for a while.

    X       (n, d) float    samples, C order
    weight  (n,)   float64  their weights
    orders                  `Orders`, as a plain tuple
    rows                    samples a block
    state                   inout: `State`, as a plain tuple
    leads          bool     whether for the leader of the team, not for a helper
    board          int64    inout: the team's counters
    tally   (1,)   int64    inout: one member's count of changed labels
    """
    orders, state = Orders(*orders), State(*state)
    labels, points = state.labels, orders.points
    n_blocks = state.scatter.shape[0]
    scratch = make_scratch(X)
    totals = empty((_PARTS, X.shape[1]), np.float64)
    number = take_work(board, leads)
    while number >= 0:
        block, task = number % n_blocks, orders.head[TASK]
        first, last = block * rows, min((block + 1) * rows, X.shape[0])
        if task == VISIT:
            tally[0] += visit(X, weight, orders, block, rows, state, scratch)
        elif task == SUM:
            _sum(X, weight, labels, first, last, state.sums[block], state.counts[block])
            state.scatter[block] = _spread(X, weight, labels, points, first, last, totals)
        else:
            placed = orders.placed
            state.spread[block] = _spread(X, weight, labels, placed, first, last, totals)
        add_one(board, DONE)
        number = take_work(board, leads)
    await_work(board, leads)


@kernel
def add_up(orders, state, tallies, sums, counts, means):
    """Add up the sums of the blocks, and find out where they move the centres.

    orders                     `Orders`, as a plain tuple
    state                      `State`, as a plain tuple
    tallies  (t, 1)   int64    each member's count of changed labels
    sums     (k, d)   float64  out: sums of weight · sample
    counts   (k, 2)   float64  out: sums of weight, and numbers of samples that weigh
    means    (k, d)   float    out: means of the clusters that have samples
    Returns the sum of weighted squared distances to the centres, and of the same to the points of
    reference; how many labels have changed in all; and the squared way of all centres to the
    means, NaN where a cluster is empty.
    """
    orders, state = Orders(*orders), State(*state)
    placed, points = orders.placed, orders.points
    k, d = sums.shape
    sums[:] = 0.0
    counts[:] = 0.0
    scatter = 0.0
    for block in range(state.scatter.shape[0]):
        scatter += state.scatter[block]
        for j in range(k):
            for f in range(d):
                sums[j, f] += state.sums[block, j, f]
            counts[j, 0] += state.counts[block, j, 0]
            counts[j, 1] += state.counts[block, j, 1]
    inertia = scatter
    sq_way = 0.0
    for j in range(k):
        if counts[j, 1] == 0.0:
            # What is left of subtracted weights must not pass for a member.
            counts[j, 0] = 0.0
            sums[j] = 0.0
        # The distances to other points of reference are known: move these to the centres.
        for f in range(d):
            way = placed[j, f] - points[j, f]
            lever = sums[j, f] - counts[j, 0] * points[j, f]
            inertia += way * (counts[j, 0] * way - 2.0 * lever)
        if counts[j, 0] == 0.0:
            sq_way = np.nan
            continue
        for f in range(d):
            means[j, f] = sums[j, f] / counts[j, 0]
            way = np.float64(means[j, f] - orders.centers[j, f])
            sq_way += way * way
    changed = np.int64(0)
    for member in range(tallies.shape[0]):
        changed += tallies[member, 0]
    return inertia, scatter, changed, sq_way
