"""k-means++ on distinct colours, in integers, passing by what a candidate is too far to change.

A candidate can lower the squared distance of a colour to its closest centre only if it is nearer
than the farthest such distance in the colour's cell; for most cells and candidates the triangle
inequality on the cell's ball says that it is not.

Raff, E. (2021). Exact acceleration of k-means++ and k-means||. IJCAI.
"""

from typing import NamedTuple

import numpy as np

from kmq.kernels.colors import CELL, GROUP, Cells, Groups
from kmq.kernels.jit import empty, kernel

# Above any squared distance between 8-bit colours of four channels.
UNSEEN = 1 << 20
_MARGIN = 1e-6


class Closest(NamedTuple):
    """How far the colours are from the centres picked so far.

    sq_dist   (c, 16) int32   squared distance to the closest centre
    cell      (c,)    float64 square of the distance from the middle of each cell below which a
                              candidate can be closer to one of its colours
    group     (g,)    float64 the same of each group
    potential (g,)    int64   sum of weight · sq_dist in each group
    drop      (c, 16) int32   what the last centre took off sq_dist, in groups it touched
    touched   (g,)    bool    which groups these are
    """

    sq_dist: np.ndarray
    cell: np.ndarray
    group: np.ndarray
    potential: np.ndarray
    drop: np.ndarray
    touched: np.ndarray


@kernel
def gains(cells, groups, closest, candidates, gained):
    """Add up by how much each candidate would lower the potential.

    cells       Cells, as a plain tuple like the next two
    groups      Groups
    closest     Closest
    candidates  (t, d) uint8  candidate centres
    gained      (t,)   int64  out: what each candidate takes off the potential
    """
    cells, groups, closest = Cells(*cells), Groups(*groups), Closest(*closest)
    d = len(cells.dims)
    n_cells = cells.radius.shape[0]
    center = empty(d, np.int32)
    for t in range(candidates.shape[0]):
        for f in range(d):
            center[f] = candidates[t, f]
        total = np.int64(0)
        for g in range(groups.radius.shape[0]):
            sq = 0.0
            for f in range(d):
                diff = np.float64(groups.middle[g, f]) - center[f]
                sq += diff * diff
            if sq >= closest.group[g]:
                continue
            for c in range(g * GROUP, min((g + 1) * GROUP, n_cells)):
                sq = 0.0
                for f in range(d):
                    diff = np.float64(cells.middle[c, f]) - center[f]
                    sq += diff * diff
                if sq >= closest.cell[c]:
                    continue
                for i in range(CELL):
                    sq_new = np.int32(0)
                    for f in range(d):
                        delta = np.int32(cells.tile[c, f, i]) - center[f]
                        sq_new += delta * delta
                    lowered = max(np.int32(0), closest.sq_dist[c, i] - sq_new)
                    total += cells.weight[c, i] * np.int64(lowered)
        gained[t] = total


@kernel
def add_center(cells, groups, closest, center):
    """Let a centre join, and lower what it is closer to.

    cells    Cells, as a plain tuple like the other two
    groups   Groups
    closest  Closest     inout
    center   (d,) uint8  the new centre
    """
    cells, groups, closest = Cells(*cells), Groups(*groups), Closest(*closest)
    d = len(cells.dims)
    n_cells = cells.radius.shape[0]
    x = empty(d, np.int32)
    for f in range(d):
        x[f] = center[f]
    for g in range(groups.radius.shape[0]):
        sq = 0.0
        for f in range(d):
            diff = np.float64(groups.middle[g, f]) - x[f]
            sq += diff * diff
        closest.touched[g] = sq < closest.group[g]
        if not closest.touched[g]:
            continue
        most_of_group = np.int32(0)
        potential = np.int64(0)
        for c in range(g * GROUP, min((g + 1) * GROUP, n_cells)):
            most = np.int32(0)
            for i in range(CELL):
                sq_new = np.int32(0)
                for f in range(d):
                    delta = np.int32(cells.tile[c, f, i]) - x[f]
                    sq_new += delta * delta
                sq_new = min(sq_new, closest.sq_dist[c, i])
                closest.drop[c, i] = closest.sq_dist[c, i] - sq_new
                closest.sq_dist[c, i] = sq_new
                most = max(most, sq_new)
                potential += cells.weight[c, i] * np.int64(sq_new)
            reach = cells.radius[c] + np.sqrt(np.float64(most)) + _MARGIN
            closest.cell[c] = reach * reach
            most_of_group = max(most_of_group, most)
        reach = groups.radius[g] + np.sqrt(np.float64(most_of_group)) + _MARGIN
        closest.group[g] = reach * reach
        closest.potential[g] = potential


@kernel
def row_totals(index, weight, sq_dist, rows, start, stop, totals):
    """Sum weight · squared distance of the pixels in each run of rows.

    index    (n,) int32  row of each pixel's colour
    weight   (n,) int64  weights of the pixels; empty where all are 1
    sq_dist  (m,) int32  squared distance of each colour to the closest centre
    rows                 pixels in a run
    start, stop          the runs to sum
    totals   (r,) int64  out: the sums
    """
    for run in range(start, stop):
        first = run * rows
        # Counted from 0, or each place would be looked at for being negative.
        some = index[first : min(first + rows, index.shape[0])]
        total = np.int64(0)
        if weight.shape[0]:
            for i in range(some.shape[0]):
                total += weight[first + i] * sq_dist[np.uint32(some[i])]
        else:
            for i in range(some.shape[0]):
                total += sq_dist[np.uint32(some[i])]
        totals[run] = total


@kernel
def list_pixels(index, offsets, cursor, pixels):
    """List the pixels of each colour.

    index    (n,)   int32  row of each pixel's colour
    offsets  (m+1,) int64  where each colour's list begins
    cursor   (m,)   int64  scratch
    pixels   (n,)   int32  out: the lists, one after the other, ascending
    """
    for row in range(cursor.shape[0]):
        cursor[row] = offsets[row]
    for i in range(index.shape[0]):
        row = index[i]
        pixels[cursor[row]] = i
        cursor[row] += 1


@kernel
def lower_totals(closest, offsets, pixels, weight, shift, totals):
    """Take off the runs of pixels what the last centre took off their colours.

    closest  Closest
    offsets  (m+1,) int64  where each colour's list of pixels begins
    pixels   (n,)   int32  the lists
    weight   (n,)   int64  weights of the pixels; empty where all are 1
    shift                  logarithm of the pixels in a run, to base 2
    totals   (r,)   int64  inout: sums of weight · squared distance of the runs
    """
    m = offsets.shape[0] - 1
    weighted = weight.shape[0] > 0
    for g in range(closest.touched.shape[0]):
        if not closest.touched[g]:
            continue
        for row in range(g * GROUP * CELL, min((g + 1) * GROUP * CELL, m)):
            drop = np.int64(closest.drop[row // CELL, row % CELL])
            if drop == 0:
                continue
            for entry in range(offsets[row], offsets[row + 1]):
                pixel = pixels[entry]
                totals[pixel >> shift] -= drop * weight[pixel] if weighted else drop


@kernel
def find_rows(index, weight, sq_dist, totals, rows, n, uniform, drawn):
    """First rows at which the running sum of weight · squared distance reaches shares of all.

    index    (n,) int32    row of each pixel's colour; empty where the rows are the colours
    weight   (n,) int64    weights of the rows; empty where all are 1
    sq_dist  (m,) int32    squared distance of each colour to the closest centre
    totals   (r,) int64    sums of the runs of rows
    rows                   rows in a run
    n                      number of rows
    uniform  (t,) float64  shares, from 0 to 1
    drawn    (t,) int64    out: the rows, the last one of a run where its sum stays below
    """
    reached = empty(totals.shape[0], np.int64)
    total = np.int64(0)
    for run in range(totals.shape[0]):
        total += totals[run]
        reached[run] = total
    whole = np.float64(reached[-1])
    for t in range(uniform.shape[0]):
        target = uniform[t] * whole
        low, high = 0, totals.shape[0] - 1
        while low < high:
            middle = (low + high) // 2
            if np.float64(reached[middle]) < target:
                low = middle + 1
            else:
                high = middle
        rest = target - (np.float64(reached[low - 1]) if low > 0 else 0.0)
        row, stop = low * rows, min((low + 1) * rows, n) - 1
        total = np.int64(0)
        while row < stop:
            color = np.int64(index[row]) if index.shape[0] else row
            total += sq_dist[color] * (weight[row] if weight.shape[0] else 1)
            if total >= rest:
                break
            row += 1
        drawn[t] = row
