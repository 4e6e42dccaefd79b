"""Loops over sixteen colours or centres, or a few features, at once, written as vectors."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.vectors import FLOAT, INT, LANES, SIZE, Code, every, vector

_MASK = ir.IntType(LANES)
# Centres that `scan_tile` compares at a time.
_TOGETHER = 4


def _scan_cell(
    typingctx: Any,
    tile: Any,
    cell: Any,
    d: Any,
    near: Any,
    rivals: Any,
    n: Any,
    names: Any,
    labels: Any,
) -> Any:
    """Nearest of some centres for the sixteen colours of a cell.

    tile    (c, d, 16) uint8  colours of the cells
    cell    int64             the cell
    d       d zeros           a tuple: its length is the number of channels
    near    (>d, s)    float  channels of the centres, in rows; either width
    rivals  (r,)       int32  which of these centres to compare, ascending
    n       int64             how many rivals there are
    names   (s,)       int32  names of the centres
    labels  (16,)      int32  out: names of the nearest, ties to the first rival
    Returns the least difference between second least and least squared distance in the cell,
    and the largest second least one.
    """
    channels = len(d)
    scalar = near.dtype
    result = types.UniTuple(scalar, 2)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        kind = context.get_value_type(scalar)
        start = code.mul(args[1], LANES * channels)
        x = [builder.uitofp(code.load(0, start, f * LANES), vector(kind)) for f in range(channels)]
        row = code.length(3, 1)
        infinite = every(kind, float("inf"))

        def compare(i: Any, carried: list[Any]) -> list[Any]:
            least, second, name = carried
            place = builder.sext(code.scalar(4, i), SIZE)
            center = [code.splat(code.scalar(3, code.mul(row, f), place)) for f in range(channels)]
            sq = code.sq_distance(x, center)
            nearer = builder.fcmp_ordered("<", sq, least)
            loser = builder.select(nearer, least, sq)
            return [
                builder.select(nearer, sq, least),
                code.lower(loser, second),
                builder.select(nearer, code.splat(code.scalar(6, place)), name),
            ]

        start = [infinite, infinite, every(INT, 0)]
        least, second, name = code.loop(0, args[5], 1, start, compare)
        code.store(name, 7)
        gap = code.extreme(builder.fsub(second, least), "<")
        return context.make_tuple(builder, signature.return_type, (gap, code.extreme(second, ">")))

    return result(tile, cell, d, near, rivals, n, names, labels), codegen


def _count_differing(typingctx: Any, all_labels: Any, cell: Any, labels: Any) -> Any:
    """In how many places the labels of a cell differ from new ones.

    all_labels  (c, 16) int32  labels of the cells
    cell        int64          the cell
    labels      (16,)   int32  its new labels
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        old = code.load(0, code.mul(args[1], LANES))
        differing = builder.icmp_signed("!=", old, code.load(2))
        return builder.zext(builder.ctpop(builder.bitcast(differing, _MASK)), SIZE)

    return types.int64(all_labels, cell, labels), codegen


def _sq_distances(
    typingctx: Any, rows: Any, n: Any, d: Any, points: Any, point: Any, sq_dist: Any
) -> Any:
    """Squared distances of centres to one point, and the least of them.

    rows     (>=d, s) float32  channels of the centres, in rows; read in whole sixteens
    n        int64             how many centres there are
    d        d zeros           a tuple: its length is the number of channels
    points   (p, d)   float32  points
    point    int64             the one to measure from
    sq_dist  (>=s,)   float32  out: squared distances
    Returns the least of them.
    """
    channels = len(d)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        row = code.length(0, 1)
        start = code.mul(args[4], channels)
        x = [code.splat(code.scalar(3, start, f)) for f in range(channels)]

        def measure(i: Any, carried: list[Any]) -> list[Any]:
            sq = code.sq_distance(x, [code.load(0, code.mul(row, f), i) for f in range(channels)])
            code.store(sq, 5, i)
            return [code.lower(sq, carried[0])]

        (least,) = code.loop(0, args[1], LANES, [every(FLOAT, float("inf"))], measure)
        return code.extreme(least, "<")

    return types.float32(rows, n, d, points, point, sq_dist), codegen


def _select_within(typingctx: Any, values: Any, n: Any, limit: Any, places: Any) -> Any:
    """Places of the values up to a limit, and the least value beyond it.

    values  (>=n,) float32  values, read in whole sixteens
    n       int64           how many there are
    limit   float32         the limit
    places  (>=n,) int32    out: places of the values up to the limit, ascending
    Returns how many these are, and the least value beyond the limit.
    """
    result = types.Tuple((types.int64, types.float32))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        limits = code.splat(args[2])
        infinite = every(FLOAT, float("inf"))

        def sieve(i: Any, carried: list[Any]) -> list[Any]:
            count, beyond = carried
            value = code.load(0, i)
            inside = builder.fcmp_ordered("<=", value, limits)
            beyond = code.lower(builder.select(inside, infinite, value), beyond)
            mask = builder.bitcast(inside, _MASK)
            before = builder.block
            head = builder.append_basic_block("head")
            write = builder.append_basic_block("write")
            done = builder.append_basic_block("done")
            builder.branch(head)
            builder.position_at_end(head)
            left = builder.phi(_MASK)
            left.add_incoming(mask, before)
            found = builder.phi(SIZE)
            found.add_incoming(count, before)
            builder.cbranch(builder.icmp_unsigned("!=", left, _MASK(0)), write, done)
            builder.position_at_end(write)
            bit = builder.zext(builder.cttz(left, ir.IntType(1)(1)), SIZE)
            builder.store(builder.trunc(builder.add(i, bit), INT), code.pointer(3, found))
            left.add_incoming(builder.and_(left, builder.sub(left, _MASK(1))), write)
            found.add_incoming(builder.add(found, SIZE(1)), write)
            builder.branch(head)
            builder.position_at_end(done)
            return [found, beyond]

        count, beyond = code.loop(0, args[1], LANES, [SIZE(0), infinite], sieve)
        return context.make_tuple(
            builder, signature.return_type, (count, code.extreme(beyond, "<"))
        )

    return result(values, n, limit, places), codegen


def _scan_tile(
    typingctx: Any, tiles: Any, tile: Any, d: Any, centers: Any, k: Any, labels: Any, near: Any
) -> Any:
    """Nearest centre of sixteen samples of any number of features.

    The sums of some centres stay in registers while the features go by.

    tiles    (t, d, 16) float  samples, sixteen a tile, one row a feature
    tile     int64             the tile
    d        int64             number of features
    centers  (k, d)     float  centres, of the same dtype
    k        int64             how many there are
    labels   (16,)      int32  out: the nearest, ties to the lowest
    near     (2, 16)    float  out: squared distances to it, and to the second nearest,
                               summed in the order of the features
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        kind = context.get_value_type(tiles.dtype)
        features = args[2]
        origin = code.mul(args[1], code.mul(features, LANES))
        infinite = every(kind, float("inf"))

        def compare(first: Any, carried: list[Any], width: int) -> list[Any]:
            rows = [code.mul(code.add(first, j), features) for j in range(width)]

            def add(f: Any, sums: list[Any]) -> list[Any]:
                x = code.load(0, origin, code.mul(f, LANES))
                after = []
                for row, total in zip(rows, sums, strict=True):
                    difference = builder.fsub(x, code.splat(code.scalar(3, row, f)))
                    after.append(code.add_product(total, difference, difference, fused=False))
                return after

            least, second, name = carried
            for j, sq in enumerate(code.loop(0, features, 1, [every(kind, 0.0)] * width, add)):
                nearer = builder.fcmp_ordered("<", sq, least)
                second = code.lower(builder.select(nearer, least, sq), second)
                least = builder.select(nearer, sq, least)
                index = code.splat(builder.trunc(code.add(first, j), INT))
                name = builder.select(nearer, index, name)
            return [least, second, name]

        whole = code.mul(builder.sdiv(args[4], SIZE(_TOGETHER)), _TOGETHER)
        carried = [infinite, infinite, every(INT, 0)]
        carried = code.loop(0, whole, _TOGETHER, carried, lambda i, c: compare(i, c, _TOGETHER))
        carried = code.loop(whole, args[4], 1, carried, lambda i, c: compare(i, c, 1))
        code.store(carried[0], 6)
        code.store(carried[1], 6, LANES)
        code.store(carried[2], 5)
        return context.get_dummy_value()

    return types.void(tiles, tile, d, centers, k, labels, near), codegen


def _add_rows(typingctx: Any, X: Any, dims: Any, sums: Any) -> Any:
    """Add up the features of all samples, row by row.

    X     (n, d) float  samples
    dims  d zeros       a tuple: its length is the number of features
    sums  (d,)   float  inout: sums of the features, of the same dtype
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        d = len(dims)

        def add(i: Any, sums: list[Any]) -> list[Any]:
            return [builder.fadd(sums[0], code.load(0, code.mul(i, d), lanes=d))]

        (total,) = code.loop(0, code.length(0, 0), 1, [code.load(2, lanes=d)], add)
        code.store(total, 2)
        return context.get_dummy_value()

    return types.void(X, dims, sums), codegen


def _add_squared_rows(typingctx: Any, X: Any, dims: Any, mean: Any, sums: Any) -> Any:
    """Add up the squares of the features of all samples less a mean, row by row.

    X     (n, d) float  samples
    dims  d zeros       a tuple: its length is the number of features
    mean  (d,)   float  what to subtract, of the same dtype
    sums  (d,)   float  inout: sums of the squares, of the same dtype
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        d = len(dims)
        middle = code.load(2, lanes=d)

        def add(i: Any, sums: list[Any]) -> list[Any]:
            diff = builder.fsub(code.load(0, code.mul(i, d), lanes=d), middle)
            return [builder.fadd(sums[0], builder.fmul(diff, diff))]

        (total,) = code.loop(0, code.length(0, 0), 1, [code.load(3, lanes=d)], add)
        code.store(total, 3)
        return context.get_dummy_value()

    return types.void(X, dims, mean, sums), codegen


add_rows: Any = intrinsic(_add_rows)
add_squared_rows: Any = intrinsic(_add_squared_rows)
scan_cell: Any = intrinsic(_scan_cell)
count_differing: Any = intrinsic(_count_differing)
scan_tile: Any = intrinsic(_scan_tile)
sq_distances: Any = intrinsic(_sq_distances)
select_within: Any = intrinsic(_select_within)
