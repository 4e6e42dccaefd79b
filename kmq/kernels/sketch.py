"""Samples in eight bits a feature, to find out which of them a candidate may come closest to.

A sample is rounded to whole steps from a middle, and how far that moves it is kept. A point
farther from the rounded sample than both that and the sample's distance to its closest centre is
farther from the sample than this centre is: a proof that reads an eighth of the bytes.
"""

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.jit import empty, kernel, zeros
from kmq.kernels.vectors import FLOAT, SIZE, Code, vector

# Samples a tile.
TILE = 64
# Points that are compared at once.
FOUR = 4
# Features after which to see whether all are too far already.
_STRIDE = 32
_LANES = 8
# What rounding a point to single precision may move it, in steps; nearer points are compared.
_BLUR = 0.01
_FARTHEST_POINT = 1e5


def _add_distances(
    typingctx: Any, sketch: Any, c: Any, span: Any, points: Any, first: Any, sq: Any, limits: Any
) -> Any:
    """Add squared distances between a tile and four points, over a span of features.

    sketch  (c, d, 64) int8     tiles
    c       int64               the tile
    span    (int64, int64)      first feature, and the one after the last
    points  (t, d)     float32  points, in steps
    first   int64               the first of the four
    sq      (4, 64)    float32  inout: squared distances, in squared steps
    limits  (c, 64)    float32  limits of the samples
    Returns a mask for each point: where its sum is not at or above the limit.
    """
    result = types.UniTuple(types.uint64, FOUR)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        d = code.length(3, 1)
        tile = code.mul(code.mul(args[1], d), TILE)
        rows = [code.mul(code.add(args[4], j), d) for j in range(FOUR)]

        def add(f: Any, totals: list[Any]) -> list[Any]:
            steps = code.load(0, tile, code.mul(f, TILE), lanes=TILE)
            x = builder.sitofp(steps, vector(FLOAT, TILE))
            after = []
            for row, total in zip(rows, totals, strict=True):
                difference = builder.fsub(x, code.splat(code.scalar(3, row, f), TILE))
                after.append(code.add_product(total, difference, difference))
            return after

        start, stop = (builder.extract_value(args[2], place) for place in range(2))
        totals = [code.load(5, j * TILE, lanes=TILE) for j in range(FOUR)]
        totals = code.loop(start, stop, 1, totals, add)
        limit = code.load(6, code.mul(args[1], TILE), lanes=TILE)
        masks = []
        for j, total in enumerate(totals):
            code.store(total, 5, j * TILE)
            # Not so for what is no number either.
            below = builder.fcmp_unordered("<", total, limit)
            masks.append(builder.bitcast(below, SIZE))
        return context.make_tuple(builder, signature.return_type, masks)

    return result(
        sketch, types.int64, types.UniTuple(types.int64, 2), points, types.int64, sq, limits
    ), codegen


_add_four: Any = intrinsic(_add_distances)


@kernel
def round_samples(X, mean, middle, step, start, stop, sketch, moved):
    """Round samples to whole steps from a middle.

    X       (n, d)     float    samples, C order
    mean    (d,)       float    what to subtract from them, in their own precision
    middle  (d,)       float64  the middle, less that
    step               float64  the step
    start, stop                 the tiles to fill
    sketch  (c, d, 64) int8     out: the samples in steps; the last tile repeats the last sample
    moved   (c, 64)    float32  out: how far that moves them at most, in steps
    """
    n, d = X.shape
    per_step = 1.0 / step
    farthest = 0.0
    for f in range(d):
        farthest = max(farthest, abs(middle[f]))
    # Passes of their own, which become vectors: one over a row, sums in lanes, one over columns.
    whole = empty((TILE, d), np.int8)
    rest = zeros(-(-d // _LANES) * _LANES, np.float64)
    lanes = empty(_LANES, np.float64)
    for c in range(start, stop):
        for i in range(TILE):
            row = np.uint64(min(c * TILE + i, n - 1))
            for f in range(d):
                x = np.float64(X[row, np.uint64(f)] - mean[f])
                place = (x - middle[f]) * per_step
                nearest = np.rint(min(max(place, -127.0), 127.0))
                whole[i, f] = np.int8(nearest)
                rest[f] = (place - nearest) ** 2
            lanes[:] = 0.0
            for f in range(0, d, _LANES):
                for lane in range(_LANES):
                    lanes[lane] += rest[f + lane]
            sq = 0.0
            for lane in range(_LANES):
                sq += lanes[lane]
            # No feature is farther from nought than this, and each lost a few of its last bits.
            size = 2.0 * farthest * per_step + 127.0 + np.sqrt(sq)
            rounding = 4e-16 * np.sqrt(np.float64(d)) * size
            moved[c, i] = np.float32((np.sqrt(sq) + rounding) * (1.0 + 1e-6))
        for f in range(d):
            for i in range(TILE):
                sketch[c, f, i] = whole[i, f]


@kernel
def round_points(points, middle, step, rounded):
    """Candidates in steps from the middle; no numbers where single precision is too coarse.

    points   (t, d) float64  candidates, less the mean already
    middle   (d,)   float64  the middle
    step            float64  the step
    rounded  (t, d) float32  out: the candidates in steps
    """
    for t in range(points.shape[0]):
        sq = 0.0
        for f in range(points.shape[1]):
            place = (points[t, f] - middle[f]) / step
            sq += place * place
            rounded[t, f] = place
        if not np.sqrt(sq) < _FARTHEST_POINT:
            rounded[t, :] = np.nan


@kernel
def limit_of(sq_closest, moved, step, d):
    """Squared distance from a rounded sample, in steps, from which nothing can be closest."""
    reach = (np.sqrt(np.float64(sq_closest)) / step + np.float64(moved)) * (1.0 + 1e-7 * (d + 8))
    return np.float32((reach + _BLUR) ** 2 * (1.0 + 1e-6))


@kernel
def compare_tile(sketch, c, points, sq, limits, masks):
    """Which samples of a tile points may be closest to.

    sketch  (c, d, 64) int8     samples in steps
    c                           the tile
    points  (t, d)     float32  points in steps; t is a multiple of 4
    sq      (4, 64)    float32  scratch
    limits  (c, 64)    float32  squared distances from which a point is not closest
    masks   (t,)       uint64   out: a bit for each sample that must be compared
    Returns all of these bits together.
    """
    d = points.shape[1]
    together = np.uint64(0)
    for first in range(0, points.shape[0], FOUR):
        sq[:] = 0.0
        a, b, e, g = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
        for f in range(0, d, _STRIDE):
            a, b, e, g = _add_four(
                sketch, np.int64(c), (f, min(f + _STRIDE, d)), points, np.int64(first), sq, limits
            )
            if (a | b | e | g) == 0:
                break
        masks[first], masks[first + 1], masks[first + 2], masks[first + 3] = a, b, e, g
        together |= a | b | e | g
    return together
