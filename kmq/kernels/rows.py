"""Distances between rows of many features, as vectors.

LLVM must not reorder a sum by itself; sixteen lanes say outright in which order to add.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.jit import kernel

LANES = 16
# Samples a tile: as many as registers hold the sums of.
TILE = 64
# Bytes that come from memory at once.
LINE = 64
_SIZE = ir.IntType(64)
_INDEX = ir.IntType(32)


def _sum_of_squares(count: int) -> Any:
    """Build the intrinsic for distances of one row to `count` points at once."""

    def sq_distances(typingctx: Any, X: Any, i: Any, shift: Any, points: Any, first: Any) -> Any:
        """Squared distances of row i of X, less a shift, to some points, in whole sixteens.

        X       (n, d) float  rows
        i       int64         the row
        shift   (d,)   float  of the dtype of X
        points  (t, d) float  of a dtype at least as wide, in which sums are taken
        first   int64         the first of the points
        Returns the sums over the first d - d % 16 features.
        """
        scalar = points.dtype
        result = types.UniTuple(scalar, count)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows, shifts, others = (
                context.make_array(signature.args[a])(context, builder, args[a]) for a in (0, 2, 3)
            )
            wide_kind = context.get_value_type(scalar)
            kind = context.get_value_type(signature.args[0].dtype)
            wide, vector = ir.VectorType(wide_kind, LANES), ir.VectorType(kind, LANES)
            d = builder.extract_value(rows.shape, 1)
            whole = builder.and_(d, _SIZE(-LANES))
            row = builder.mul(args[1], d)
            begins = [builder.mul(builder.add(args[4], _SIZE(point)), d) for point in range(count)]

            def load(array: Any, offset: Any, of: ir.VectorType) -> Any:
                pointer = builder.gep(array.data, [offset])
                return builder.load(builder.bitcast(pointer, of.as_pointer()), align=1)

            before = builder.block
            head, body, done = (
                builder.append_basic_block(name) for name in ("head", "body", "done")
            )
            builder.branch(head)
            builder.position_at_end(head)
            f = builder.phi(_SIZE)
            f.add_incoming(_SIZE(0), before)
            totals = [builder.phi(wide) for _ in range(count)]
            for total in totals:
                total.add_incoming(ir.Constant(wide, [0.0] * LANES), before)
            builder.cbranch(builder.icmp_signed("<", f, whole), body, done)
            builder.position_at_end(body)
            x = builder.fsub(load(rows, builder.add(row, f), vector), load(shifts, f, vector))
            if wide_kind != kind:
                x = builder.fpext(x, wide)
            for begin, total in zip(begins, totals, strict=True):
                diff = builder.fsub(x, load(others, builder.add(begin, f), wide))
                square = builder.fmul(diff, diff, flags=("contract",))
                total.add_incoming(builder.fadd(total, square, flags=("contract",)), body)
            f.add_incoming(builder.add(f, _SIZE(LANES)), body)
            builder.branch(head)
            builder.position_at_end(done)
            sums = [_across(builder, total) for total in totals]
            return context.make_tuple(builder, signature.return_type, sums)

        return result(X, types.int64, shift, points, types.int64), codegen

    return intrinsic(sq_distances)


def _sq_columns(typingctx: Any, tile: Any, d: Any, points: Any, t: Any, sq: Any) -> Any:
    """Squared distances of 64 samples, a row a feature, to a point.

    tile    (d, 64) float64  samples
    d       int64            number of features
    points  (p, d)  float64  points
    t       int64            which of them
    sq      (64,)   float64  out: squared distances
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        columns, others, out = (
            context.make_array(signature.args[a])(context, builder, args[a]) for a in (0, 2, 4)
        )
        kind = ir.DoubleType()
        vector = ir.VectorType(kind, TILE)
        d = args[1]
        begin = builder.mul(args[3], d)
        before = builder.block
        head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        f = builder.phi(_SIZE)
        f.add_incoming(_SIZE(0), before)
        total = builder.phi(vector)
        total.add_incoming(ir.Constant(vector, [0.0] * TILE), before)
        builder.cbranch(builder.icmp_signed("<", f, d), body, done)
        builder.position_at_end(body)
        pointer = builder.gep(columns.data, [builder.mul(f, _SIZE(TILE))])
        x = builder.load(builder.bitcast(pointer, vector.as_pointer()), align=8)
        c = builder.load(builder.gep(others.data, [builder.add(begin, f)]))
        c = builder.insert_element(ir.Constant(vector, ir.Undefined), c, _INDEX(0))
        zeros = ir.Constant(ir.VectorType(_INDEX, TILE), [0] * TILE)
        diff = builder.fsub(x, builder.shuffle_vector(c, c, zeros))
        square = builder.fmul(diff, diff, flags=("contract",))
        total.add_incoming(builder.fadd(total, square, flags=("contract",)), body)
        f.add_incoming(builder.add(f, _SIZE(1)), body)
        builder.branch(head)
        builder.position_at_end(done)
        target = builder.bitcast(out.data, vector.as_pointer())
        builder.store(total, target, align=8)
        return context.get_dummy_value()

    return types.void(tile, types.int64, points, types.int64, sq), codegen


def _prefetch(typingctx: Any, X: Any, i: Any, f: Any) -> Any:
    """Ask for a feature of a row, and what lies with it, to be brought to the first cache.

    X     (n, d) float  rows
    i, f         int64  the row and the feature
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = context.make_array(signature.args[0])(context, builder, args[0])
        offset = builder.add(builder.mul(args[1], builder.extract_value(rows.shape, 1)), args[2])
        ask_for(builder, builder.gep(rows.data, [offset]), 3)
        return context.get_dummy_value()

    return types.void(X, types.int64, types.int64), codegen


def ask_for(builder: ir.IRBuilder, pointer: Any, nearness: int) -> None:
    """Prefetch what a pointer points to; the nearer, the higher the cache, up to 3."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INDEX, _INDEX, _INDEX])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    address = builder.bitcast(pointer, byte)
    builder.call(function, [address, _INDEX(0), _INDEX(nearness), _INDEX(1)])


def _across(builder: ir.IRBuilder, vector: Any) -> Any:
    """Sum of the lanes of a vector, folding it in halves."""
    width = LANES // 2
    while width:
        places = [(lane + width) % LANES for lane in range(LANES)]
        mask = ir.Constant(ir.VectorType(_INDEX, LANES), places)
        vector = builder.fadd(vector, builder.shuffle_vector(vector, vector, mask))
        width //= 2
    return builder.extract_element(vector, _INDEX(0))


sq_distance: Any = _sum_of_squares(1)
sq_distances_4: Any = _sum_of_squares(4)
sq_columns: Any = intrinsic(_sq_columns)
prefetch: Any = intrinsic(_prefetch)


@kernel
def sq_to_point(X, i, mean, points, t):
    """Squared distance of row i less a mean to point t, in float64.

    X       (n, d) float    rows
    i       int64           the row
    mean    (d,)   float    what to subtract from it, in its own precision
    points  (p, d) float64  points
    t       int64           the point
    """
    d = points.shape[1]
    total = sq_distance(X, i, mean, points, t)[0]
    for f in range(d // LANES * LANES, d):
        diff = np.float64(X[i, f] - mean[f]) - points[t, f]
        total += diff * diff
    return total
