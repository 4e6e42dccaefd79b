"""A start on a coarse set of colours: splitting clusters, and surveying them for a search."""

from typing import NamedTuple

import numpy as np

from kmq.kernels.jit import empty, kernel, zeros

_POWER_STEPS = 12


class Survey(NamedTuple):
    """What a step finds out about the clusters.

    moments  (k, 4) float64  sums of weight · colour, and of weight
    error    (k,)   float64  weighted squared distances to the centre
    utility  (k,)   float64  by how much the error of all would rise without the centre
    worst    (k,)   int32    the colour with the largest weighted squared distance
    """

    moments: np.ndarray
    error: np.ndarray
    utility: np.ndarray
    worst: np.ndarray


@kernel
def survey(channels, weight, centers, found):
    """Assign colours to centres and describe the clusters.

    channels  (3, n) float32  colours, one row a channel
    weight    (n,)   float32  their weights
    centers   (k, 3) float32  centres
    found     Survey          out
    Returns the weighted squared distances of all colours.
    """
    n = weight.shape[0]
    k = centers.shape[0]
    nearest = empty(n, np.float32)
    second = empty(n, np.float32)
    nearest[:] = np.inf
    second[:] = np.inf
    owner = zeros(n, np.int32)
    red, green, blue = channels[0], channels[1], channels[2]
    for j in range(k):
        r, g, b = centers[j, 0], centers[j, 1], centers[j, 2]
        name = np.int32(j)
        for i in range(n):
            dr, dg, db = red[i] - r, green[i] - g, blue[i] - b
            sq = dr * dr + dg * dg + db * db
            best = nearest[i]
            nearer = sq < best
            loser = best if nearer else sq
            second[i] = loser if loser < second[i] else second[i]
            nearest[i] = sq if nearer else best
            owner[i] = name if nearer else owner[i]
    moments, error, utility, worst = found
    moments[:] = 0
    error[:] = 0
    utility[:] = 0
    worst[:] = 0
    largest = empty(k, np.float64)
    largest[:] = -1.0
    total = 0.0
    for i in range(n):
        j = owner[i]
        w = np.float64(weight[i])
        moments[j, 0] += w * red[i]
        moments[j, 1] += w * green[i]
        moments[j, 2] += w * blue[i]
        moments[j, 3] += w
        cost = w * nearest[i]
        error[j] += cost
        utility[j] += w * second[i] - cost
        total += cost
        if cost > largest[j]:
            largest[j] = cost
            worst[j] = i
    return total


@kernel
def _describe(colors, weight, rows, about):
    """Mean, covariance and error of some colours.

    colors  (n, 3) float32  colours
    weight  (n,)   float32  their weights
    rows    (r,)   int32    which of them
    about   (10,)  float64  out: mean, the upper triangle of the covariance times the weight,
                            and the error, its trace
    """
    about[:] = 0
    total = 0.0
    for i in rows:
        total += weight[i]
        for f in range(3):
            about[f] += weight[i] * np.float64(colors[i, f])
    # Writing a whole slice would compile the text of an error of shapes: two seconds.
    for f in range(3):
        about[f] /= total
    for i in rows:
        r, g, b = colors[i, 0] - about[0], colors[i, 1] - about[1], colors[i, 2] - about[2]
        w = np.float64(weight[i])
        about[3] += w * r * r
        about[4] += w * r * g
        about[5] += w * r * b
        about[6] += w * g * g
        about[7] += w * g * b
        about[8] += w * b * b
    about[9] = about[3] + about[6] + about[8]


@kernel
def _part(colors, about, rows):
    """Reorder colours so that those on one side of their mean come first.

    The cut is across the principal axis, found by the power method.

    colors  (n, 3) float32  colours
    about   (10,)  float64  what `_describe` says of them
    rows    (r,)   int32    inout: which of them
    Returns how many are on the first side.
    """
    # The longest row of the covariance is a start that is not across the axis.
    u, v, w = about[3], about[4], about[5]
    if about[6] > about[3] and about[6] >= about[8]:
        u, v, w = about[4], about[6], about[7]
    elif about[8] > about[3]:
        u, v, w = about[5], about[7], about[8]
    for _ in range(_POWER_STEPS):
        x = about[3] * u + about[4] * v + about[5] * w
        y = about[4] * u + about[6] * v + about[7] * w
        z = about[5] * u + about[7] * v + about[8] * w
        scale = max(abs(x), max(abs(y), abs(z)))
        u, v, w = x / scale, y / scale, z / scale
    first = np.int64(0)
    for at in range(rows.shape[0]):
        i = rows[at]
        side = (
            u * (colors[i, 0] - about[0])
            + v * (colors[i, 1] - about[1])
            + w * (colors[i, 2] - about[2])
        )
        if side <= 0:
            rows[at] = rows[first]
            rows[first] = i
            first += 1
    return first


@kernel
def split(colors, weight, centers):
    """Make clusters by splitting, each time the one of the largest error.

    colors   (n, 3) float32  different colours
    weight   (n,)   float32  their weights
    centers  (k, 3) float32  out: means of the clusters
    Returns how many there are: fewer than k where the colours cannot be told apart.
    """
    k = centers.shape[0]
    rows = empty(weight.shape[0], np.int32)
    for i in range(rows.shape[0]):
        rows[i] = i
    ends = zeros((k, 2), np.int64)
    about = zeros((k, 10), np.float64)
    ends[0, 1] = rows.shape[0]
    _describe(colors, weight, rows, about[0])
    made = 1
    while made < k:
        j = 0
        for other in range(1, made):
            if about[other, 9] > about[j, 9]:
                j = other
        if about[j, 9] <= 0:
            break
        start, stop = ends[j]
        middle = start + _part(colors, about[j], rows[start:stop])
        if middle in (start, stop):
            about[j, 9] = 0
            continue
        ends[j, 1] = middle
        ends[made, 0], ends[made, 1] = middle, stop
        _describe(colors, weight, rows[start:middle], about[j])
        _describe(colors, weight, rows[middle:stop], about[made])
        made += 1
    for j in range(made):
        for f in range(3):
            centers[j, f] = about[j, f]
    return made
