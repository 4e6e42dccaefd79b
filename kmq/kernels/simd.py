"""Loops over sixteen colours or centres at once, written as vectors.

LLVM turns most of our loops into SIMD by itself. These it does not: a minimum must not be
reordered without fast-math, and the running nearest of sixteen colours has to stay in registers
over all rivals. Vectors of sixteen lanes say so outright, for any processor: LLVM splits them
into as many registers as it takes.

Arrays are C-ordered; their shapes are the caller's promise.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 16
_INT = ir.IntType(32)
_SIZE = ir.IntType(64)
_FLOAT = ir.FloatType()
_MASK = ir.IntType(LANES)


def _vector(scalar: ir.Type) -> ir.VectorType:
    """Sixteen lanes of a type."""
    return ir.VectorType(scalar, LANES)


class _Loop:
    """Builds vector code inside one intrinsic."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> None:
        self.builder = builder
        self._arrays = [
            context.make_array(kind)(context, builder, value)
            if isinstance(kind, types.Array)
            else value
            for kind, value in zip(signature.args, args, strict=True)
        ]

    def pointer(self, array: int, *offsets: Any) -> Any:
        """Pointer to an element of an argument, at a sum of offsets in elements."""
        builder = self.builder
        total = ir.Constant(_SIZE, 0)
        for offset in offsets:
            total = builder.add(total, offset)
        return builder.gep(self._arrays[array].data, [total])

    def rows(self, array: int) -> Any:
        """Elements in a row of a two-dimensional argument."""
        return self.builder.extract_value(self._arrays[array].shape, 1)

    def splat(self, value: Any) -> Any:
        """Sixteen copies of a scalar."""
        vector = ir.Constant(_vector(value.type), ir.Undefined)
        vector = self.builder.insert_element(vector, value, ir.Constant(_INT, 0))
        zeros = ir.Constant(_vector(_INT), [0] * LANES)
        return self.builder.shuffle_vector(vector, vector, zeros)

    def load(self, pointer: Any) -> Any:
        """Sixteen elements from a pointer of any alignment."""
        scalar = pointer.type.pointee
        vector = self.builder.bitcast(pointer, _vector(scalar).as_pointer())
        return self.builder.load(vector, align=1)

    def store(self, value: Any, pointer: Any) -> None:
        """Sixteen elements to a pointer of any alignment."""
        target = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, target, align=1)

    def lower(self, a: Any, b: Any) -> Any:
        """The smaller of two vectors, lane by lane."""
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def extreme(self, vector: Any, comparison: str) -> Any:
        """The least (``<``) or largest (``>``) lane, folding the vector in halves."""
        builder = self.builder
        width = LANES // 2
        while width:
            places = [(lane + width) % LANES for lane in range(LANES)]
            other = builder.shuffle_vector(vector, vector, ir.Constant(_vector(_INT), places))
            nearer = builder.fcmp_ordered(comparison, vector, other)
            vector = builder.select(nearer, vector, other)
            width //= 2
        return builder.extract_element(vector, ir.Constant(_INT, 0))

    def each(self, stop: Any, carried: list[Any], step: int, body: Any) -> list[Any]:
        """Loop ``body(i, carried) -> carried`` for i = 0, step, … below stop."""
        builder = self.builder
        before = builder.block
        head = builder.append_basic_block("head")
        inside = builder.append_basic_block("body")
        done = builder.append_basic_block("done")
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(_SIZE)
        index.add_incoming(ir.Constant(_SIZE, 0), before)
        values = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            values.append(phi)
        builder.cbranch(builder.icmp_signed("<", index, stop), inside, done)
        builder.position_at_end(inside)
        after = body(index, values)
        index.add_incoming(builder.add(index, ir.Constant(_SIZE, step)), builder.block)
        for phi, value in zip(values, after, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(done)
        return values


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
        loop = _Loop(context, builder, signature, args)
        kind = context.get_value_type(scalar)
        size = ir.Constant(_SIZE, LANES)
        start = builder.mul(args[1], builder.mul(size, ir.Constant(_SIZE, channels)))
        x = []
        for f in range(channels):
            values = loop.load(loop.pointer(0, start, ir.Constant(_SIZE, f * LANES)))
            x.append(builder.uitofp(values, _vector(kind)))
        row = loop.rows(3)
        infinite = loop.splat(ir.Constant(kind, float("inf")))

        def compare(i: Any, carried: list[Any]) -> list[Any]:
            least, second, name = carried
            place = builder.sext(builder.load(loop.pointer(4, i)), _SIZE)
            sq = None
            for f in range(channels):
                offset = builder.mul(row, ir.Constant(_SIZE, f))
                center = loop.splat(builder.load(loop.pointer(3, offset, place)))
                difference = builder.fsub(x[f], center)
                square = builder.fmul(difference, difference)
                sq = square if sq is None else builder.fadd(sq, square)
            nearer = builder.fcmp_ordered("<", sq, least)
            loser = builder.select(nearer, least, sq)
            return [
                builder.select(nearer, sq, least),
                loop.lower(loser, second),
                builder.select(nearer, loop.splat(builder.load(loop.pointer(6, place))), name),
            ]

        zeros = ir.Constant(_vector(_INT), [0] * LANES)
        least, second, name = loop.each(args[5], [infinite, infinite, zeros], 1, compare)
        loop.store(name, loop.pointer(7))
        gap = loop.extreme(builder.fsub(second, least), "<")
        return context.make_tuple(builder, signature.return_type, (gap, loop.extreme(second, ">")))

    return result(tile, cell, d, near, rivals, n, names, labels), codegen


def _count_differing(typingctx: Any, all_labels: Any, cell: Any, labels: Any) -> Any:
    """In how many places the labels of a cell differ from new ones.

    all_labels  (c, 16) int32  labels of the cells
    cell        int64          the cell
    labels      (16,)   int32  its new labels
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        loop = _Loop(context, builder, signature, args)
        old = loop.load(loop.pointer(0, builder.mul(args[1], ir.Constant(_SIZE, LANES))))
        differing = builder.icmp_signed("!=", old, loop.load(loop.pointer(2)))
        return builder.zext(builder.ctpop(builder.bitcast(differing, _MASK)), _SIZE)

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
        loop = _Loop(context, builder, signature, args)
        row = loop.rows(0)
        start = builder.mul(args[4], ir.Constant(_SIZE, channels))
        x = [
            loop.splat(builder.load(loop.pointer(3, start, ir.Constant(_SIZE, f))))
            for f in range(channels)
        ]

        def measure(i: Any, carried: list[Any]) -> list[Any]:
            sq = None
            for f in range(channels):
                offset = builder.mul(row, ir.Constant(_SIZE, f))
                difference = builder.fsub(x[f], loop.load(loop.pointer(0, offset, i)))
                square = builder.fmul(difference, difference)
                sq = square if sq is None else builder.fadd(sq, square)
            loop.store(sq, loop.pointer(5, i))
            return [loop.lower(sq, carried[0])]

        infinite = loop.splat(ir.Constant(_FLOAT, float("inf")))
        (least,) = loop.each(args[1], [infinite], LANES, measure)
        return loop.extreme(least, "<")

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
        loop = _Loop(context, builder, signature, args)
        limits = loop.splat(args[2])
        infinite = loop.splat(ir.Constant(_FLOAT, float("inf")))

        def sieve(i: Any, carried: list[Any]) -> list[Any]:
            count, beyond = carried
            value = loop.load(loop.pointer(0, i))
            inside = builder.fcmp_ordered("<=", value, limits)
            beyond = loop.lower(builder.select(inside, infinite, value), beyond)
            mask = builder.bitcast(inside, _MASK)
            before = builder.block
            head = builder.append_basic_block("head")
            write = builder.append_basic_block("write")
            done = builder.append_basic_block("done")
            builder.branch(head)
            builder.position_at_end(head)
            left = builder.phi(_MASK)
            left.add_incoming(mask, before)
            found = builder.phi(_SIZE)
            found.add_incoming(count, before)
            builder.cbranch(builder.icmp_unsigned("!=", left, _MASK(0)), write, done)
            builder.position_at_end(write)
            bit = builder.zext(builder.cttz(left, ir.IntType(1)(1)), _SIZE)
            builder.store(builder.trunc(builder.add(i, bit), _INT), loop.pointer(3, found))
            left.add_incoming(builder.and_(left, builder.sub(left, _MASK(1))), write)
            found.add_incoming(builder.add(found, _SIZE(1)), write)
            builder.branch(head)
            builder.position_at_end(done)
            return [found, beyond]

        count, beyond = loop.each(args[1], [_SIZE(0), infinite], LANES, sieve)
        return context.make_tuple(
            builder, signature.return_type, (count, loop.extreme(beyond, "<"))
        )

    return result(values, n, limit, places), codegen


def _tile_scanner(together: int, flags: tuple[str, ...]) -> Any:
    """Build the intrinsic that compares a tile with so many centres at a time.

    Their sums stay in registers while the features go by. With the flag ``contract`` a product
    and its sum round once where the processor can, in half the time.
    """

    def scan_tile(
        typingctx: Any, tiles: Any, tile: Any, d: Any, centers: Any, k: Any, labels: Any, near: Any
    ) -> Any:
        """Nearest centre of sixteen samples of any number of features.

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
            loop = _Loop(context, builder, signature, args)
            kind = context.get_value_type(tiles.dtype)
            features, size = args[2], ir.Constant(_SIZE, LANES)
            origin = builder.mul(args[1], builder.mul(features, size))

            def compare(first: Any, carried: list[Any], width: int) -> list[Any]:
                rows = [builder.mul(builder.add(first, _SIZE(j)), features) for j in range(width)]

                def add(f: Any, sums: list[Any]) -> list[Any]:
                    x = loop.load(loop.pointer(0, origin, builder.mul(f, size)))
                    after = []
                    for row, total in zip(rows, sums, strict=True):
                        center = loop.splat(builder.load(loop.pointer(3, row, f)))
                        difference = builder.fsub(x, center)
                        square = builder.fmul(difference, difference, flags=flags)
                        after.append(builder.fadd(total, square, flags=flags))
                    return after

                zero = loop.splat(ir.Constant(kind, 0.0))
                least, second, name = carried
                for j, sq in enumerate(loop.each(features, [zero] * width, 1, add)):
                    nearer = builder.fcmp_ordered("<", sq, least)
                    second = loop.lower(builder.select(nearer, least, sq), second)
                    least = builder.select(nearer, sq, least)
                    index = loop.splat(builder.trunc(builder.add(first, _SIZE(j)), _INT))
                    name = builder.select(nearer, index, name)
                return [least, second, name]

            infinite = loop.splat(ir.Constant(kind, float("inf")))
            start = [infinite, infinite, ir.Constant(_vector(_INT), [0] * LANES)]
            whole = builder.mul(builder.sdiv(args[4], _SIZE(together)), _SIZE(together))
            carried = loop.each(whole, start, together, lambda i, c: compare(i, c, together))
            rest = builder.sub(args[4], whole)
            carried = loop.each(rest, carried, 1, lambda i, c: compare(builder.add(whole, i), c, 1))
            loop.store(carried[0], loop.pointer(6))
            loop.store(carried[1], loop.pointer(6, size))
            loop.store(carried[2], loop.pointer(5))
            return context.get_dummy_value()

        return types.void(tiles, tile, d, centers, k, labels, near), codegen

    return intrinsic(scan_tile)


scan_cell: Any = intrinsic(_scan_cell)
count_differing: Any = intrinsic(_count_differing)
scan_tile: Any = _tile_scanner(4, ())
scan_tile_fused: Any = _tile_scanner(8, ("contract",))
sq_distances: Any = intrinsic(_sq_distances)
select_within: Any = intrinsic(_select_within)
