"""Rows of some features as vectors: laid out side by side, added up, measured.

LLVM turns a loop over features into vectors of a length that it guesses, and leaves shorter rows
to scalars. Here a row is cut into strips of sixteen features, then one of eight and one of four,
and single ones: as rows of five to sixteen features want it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kmq.kernels.vectors import FLOAT, INT, LANES, SIZE, Code, constant, every, vector

# Features from which `gather_tile` serves.
LEAST_FEATURES = 4
_WIDE = ir.DoubleType()


class _Rows(Code):
    """Writes code over the features of rows, whose number the first argument tells."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        super().__init__(context, builder, signature, args)
        self.d = self.length(0, 1)

    def load_wide(self, array: int, *offsets: Any, lanes: int) -> Any:
        """A vector of elements of an argument, as float64."""
        values = self.load(array, *offsets, lanes=lanes)
        if values.type.element == _WIDE:
            return values
        return self.builder.fpext(values, vector(_WIDE, lanes))

    def sixteens(self, body: Callable[[Any, int], None]) -> None:
        """Do ``body(f, width)`` for strips of sixteen, eight and four features."""
        builder = self.builder
        self._each(0, builder.and_(self.d, SIZE(-LANES)), LANES, body)
        for width in (8, 4):
            left = builder.and_(self.d, SIZE(width))
            with builder.if_then(builder.icmp_signed("!=", left, SIZE(0))):
                body(builder.and_(self.d, SIZE(-2 * width)), width)

    def strips(self, body: Callable[[Any, int], None]) -> None:
        """Do ``body(f, width)`` for all features."""
        self.sixteens(body)
        self._each(self.builder.and_(self.d, SIZE(-4)), self.d, 1, body)

    def _each(self, start: Any, stop: Any, width: int, body: Callable[[Any, int], None]) -> None:
        """Do ``body(f, width)`` for f = start, start + width, … below stop."""

        def strip(f: Any, nothing: list[Any]) -> list[Any]:
            body(f, width)
            return nothing

        self.loop(start, stop, width, [], strip)


def _turned(builder: Any, rows: list[Any], width: int) -> list[Any]:
    """Columns of sixteen rows of `width` elements, a power of two."""
    # Rows that lie `width` apart come to share a vector, whose squares are turned together.
    size = width
    while size < LANES:
        places = constant(INT, range(2 * size))
        rows = [
            builder.shuffle_vector(rows[r], rows[r + width], places)
            for first in range(0, len(rows), 2 * width)
            for r in range(first, first + width)
        ]
        size *= 2
    step = width // 2
    while step:
        keep, swap = [], []
        for lane in range(LANES):
            upper = lane & step
            keep.append(lane + LANES - step if upper else lane)
            swap.append(lane + LANES if upper else lane + step)
        low, high = (constant(INT, places) for places in (keep, swap))
        after = list(rows)
        for r in range(width):
            if not r & step:
                a, b = rows[r], rows[r + step]
                after[r] = builder.shuffle_vector(a, b, low)
                after[r + step] = builder.shuffle_vector(a, b, high)
        rows = after
        step //= 2
    return rows


def _gather_tile(typingctx: Any, X: Any, rows: Any, at: Any, shift: Any, tile: Any) -> Any:
    """Lay sixteen samples of at least four features out in a tile, less a shift.

    X      (n, d)  float    samples, C order
    rows   (s,)    uint64   the samples of one tile after another
    at             int64    place of the first of the sixteen
    shift  (d,)    float    of the dtype of X
    tile   (d, 16) float32  out: the samples, one row a feature
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Rows(context, builder, signature, args)
        begins = [code.mul(code.scalar(1, args[2], lane), code.d) for lane in range(LANES)]

        def turn(f: Any, width: int) -> None:
            middle, single = code.load(3, f, lanes=width), vector(FLOAT, width)
            square = []
            for begin in begins:
                x = builder.fsub(code.load(0, begin, f, lanes=width), middle)
                square.append(x if x.type == single else builder.fptrunc(x, single))
            for c, column in enumerate(_turned(builder, square, width)):
                code.store(column, 4, code.mul(code.add(f, c), LANES))

        code.sixteens(turn)
        # What is left once more together with the features before.
        left = builder.and_(code.d, SIZE(3))
        with builder.if_then(builder.icmp_signed("!=", left, SIZE(0))):
            turn(code.add(code.d, -4), 4)
        return context.get_dummy_value()

    return types.void(X, rows, types.int64, shift, tile), codegen


def _set_alarms(
    typingctx: Any, near: Any, owner: Any, keep: Any, hidden: Any, floors: Any, alarms: Any
) -> Any:
    """Set the alarms of sixteen samples, by how much nearer they are to one centre than to others.

    near    (2, 16) float32  squared distances to the nearest and the second nearest centre
    owner   (16,)   uint32   the nearest
    keep            float32  share of the distance to the second that no rounding hides
    hidden  (k,)    float32  what rounding may hide near each centre, whatever the distance
    floors  (k,)    float32  clocks of the centres, rounded down
    alarms  (16,)   float32  out: times on the clocks from which another may be nearer
    Returns whether the nearest is known, rounding or not, of all sixteen.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Rows(context, builder, signature, args)
        single = vector(FLOAT)
        kind = ir.FunctionType(single, [single])
        root = cgutils.get_or_insert_function(builder.module, kind, "llvm.sqrt.v16f32")
        first, second = code.load(0), code.load(0, LANES)
        # One beyond the largest float is not infinitely far.
        largest = every(FLOAT, float(np.finfo(np.float32).max))
        beyond = builder.fcmp_ordered(">", second, largest)
        second = builder.call(root, [builder.select(beyond, largest, second)])
        here, floor = ir.Constant(single, ir.Undefined), ir.Constant(single, ir.Undefined)
        for lane in range(LANES):
            name = builder.zext(code.scalar(1, lane), SIZE)
            here = builder.insert_element(here, code.scalar(3, name), INT(lane))
            floor = builder.insert_element(floor, code.scalar(4, name), INT(lane))
        gap = builder.fmul(second, code.splat(args[2]))
        gap = builder.fsub(builder.fsub(gap, builder.call(root, [first])), here)
        code.store(builder.fmul(builder.fadd(floor, gap), every(FLOAT, 1.0 - 2.0**-22)), 5)
        positive = builder.fcmp_ordered(">", gap, every(FLOAT, 0.0))
        mask = builder.bitcast(positive, ir.IntType(LANES))
        known = builder.icmp_unsigned("==", mask, ir.IntType(LANES)(-1))
        return builder.zext(known, context.get_value_type(types.boolean))

    return types.boolean(near, owner, types.float32, hidden, floors, alarms), codegen


def _add_row(typingctx: Any, X: Any, i: Any, weight: Any, sums: Any, j: Any) -> Any:
    """Add weight · a sample to the sum of a cluster.

    X       (n, d) float    samples, C order
    i              int64    the sample
    weight         float64  its weight
    sums    (…, d) float64  inout: sums of weight · sample
    j              int64    the cluster: the row of them all
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Rows(context, builder, signature, args)
        row, total = code.mul(args[1], code.d), code.mul(args[4], code.d)

        def add(f: Any, width: int) -> None:
            x, before = code.load_wide(0, row, f, lanes=width), code.load(3, total, f, lanes=width)
            product = builder.fmul(code.splat(args[2], width), x)
            code.store(builder.fadd(before, product), 3, total, f)

        code.strips(add)
        return context.get_dummy_value()

    int64 = types.int64
    return types.void(X, int64, types.float64, sums, int64), codegen


def _add_sq_row(
    typingctx: Any, X: Any, i: Any, weight: Any, points: Any, j: Any, totals: Any, t: Any
) -> Any:
    """Add weight · the squared difference of a sample and a point, feature by feature.

    X       (n, d) float    samples, C order
    i              int64    the sample
    weight         float64  its weight
    points  (k, d) float    points
    j              int64    which of them
    totals  (t, d) float64  inout: sums of weight · squared difference
    t              int64    which of them
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Rows(context, builder, signature, args)
        row, point, total = (code.mul(args[at], code.d) for at in (1, 4, 6))

        def add(f: Any, width: int) -> None:
            x, before = code.load_wide(0, row, f, lanes=width), code.load(5, total, f, lanes=width)
            difference = builder.fsub(x, code.load_wide(3, point, f, lanes=width))
            square = builder.fmul(difference, difference)
            product = builder.fmul(code.splat(args[2], width), square)
            code.store(builder.fadd(before, product), 5, total, f)

        code.strips(add)
        return context.get_dummy_value()

    int64 = types.int64
    return types.void(X, int64, types.float64, points, int64, totals, int64), codegen


gather_tile: Any = intrinsic(_gather_tile)
set_alarms: Any = intrinsic(_set_alarms)
add_row: Any = intrinsic(_add_row)
add_sq_row: Any = intrinsic(_add_sq_row)
