"""Products of samples and centres, a tile of samples at a time, as vectors.

A tile holds samples side by side, one row a feature, so that a vector holds one feature of
sixteen samples. Products stay in registers for a whole block of centres, and the nearest centre
for a whole group of them: nothing is packed, and no score leaves the first cache.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.rows import LINE, ask_for

_LANES = 16
# Vectors of samples and centres a pass: as many sums as registers hold.
_VECTORS, BLOCK = (2, 10) if llvm.get_host_cpu_features().get("avx512f") else (1, 5)
WIDTH = _LANES * _VECTORS
# Features after which sums are set aside, so that rounding errors grow with these and not with d.
STRETCH = 64
_SIZE = ir.IntType(64)
_INDEX = ir.IntType(32)
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, _LANES)
_FUSED = ("contract",)


class _Code:
    """Builds the vector code of one intrinsic."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.builder = builder
        self.context = context
        self._arrays = [
            context.make_array(kind)(context, builder, value)
            if isinstance(kind, types.Array)
            else value
            for kind, value in zip(signature.args, args, strict=True)
        ]

    def size(self, array: int, axis: int) -> Any:
        """Length of an axis of an argument."""
        return self.builder.extract_value(self._arrays[array].shape, axis)

    def pointer(self, array: int, offset: Any) -> Any:
        """Pointer to an element of an argument."""
        return self.builder.gep(self._arrays[array].data, [offset])

    def add(self, a: Any, b: Any) -> Any:
        """Sum of two sizes, the second a number or a value."""
        return self.builder.add(a, _SIZE(b) if isinstance(b, int) else b)

    def mul(self, a: Any, b: Any) -> Any:
        """Product of two sizes, the second a number or a value."""
        return self.builder.mul(a, _SIZE(b) if isinstance(b, int) else b)

    def splat(self, value: Any) -> Any:
        """Sixteen copies of a scalar."""
        kind = ir.VectorType(value.type, _LANES)
        vector = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, _INDEX(0))
        zeros = ir.Constant(ir.VectorType(_INDEX, _LANES), [0] * _LANES)
        return self.builder.shuffle_vector(vector, vector, zeros)

    def load(self, array: int, offset: Any, kind: Any = _VECTOR) -> Any:
        """Sixteen elements of an argument."""
        pointer = self.builder.bitcast(self.pointer(array, offset), kind.as_pointer())
        return self.builder.load(pointer, align=1)

    def store(self, value: Any, array: int, offset: Any) -> None:
        """Sixteen elements to an argument."""
        pointer = self.builder.bitcast(self.pointer(array, offset), value.type.as_pointer())
        self.builder.store(value, pointer, align=1)

    def scalar(self, array: int, offset: Any) -> Any:
        """One element of an argument."""
        return self.builder.load(self.pointer(array, offset))

    def add_product(self, total: Any, a: Any, b: Any) -> Any:
        """``total + a * b``, fused where the processor can."""
        product = self.builder.fmul(a, b, flags=_FUSED)
        return self.builder.fadd(total, product, flags=_FUSED)

    def lower(self, a: Any, b: Any) -> Any:
        """The smaller of two vectors, lane by lane; b where they do not compare."""
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def loop(self, start: Any, stop: Any, step: int, carried: list[Any], body: Any) -> list[Any]:
        """Loop ``body(i, carried) -> carried`` for i = start, start + step, … below stop."""
        builder = self.builder
        before = builder.block
        head, inside, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(_SIZE)
        index.add_incoming(start, before)
        values = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            values.append(phi)
        builder.cbranch(builder.icmp_signed("<", index, stop), inside, done)
        builder.position_at_end(inside)
        after = body(index, values)
        index.add_incoming(builder.add(index, _SIZE(step)), builder.block)
        for phi, value in zip(values, after, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(done)
        return values


def _constant(value: float) -> Any:
    """Sixteen copies of a constant."""
    return ir.Constant(_VECTOR, [value] * _LANES)


def _multiply(typingctx: Any, tile: Any, packed: Any, block: Any, scores: Any) -> Any:
    """Multiply the samples of a tile with the centres of a block.

    tile    (d, WIDTH)    float32  samples
    packed  (b, d, BLOCK) float32  centres, in blocks
    block                 int64    which of these
    scores  (m, WIDTH)    float32  out, from row block · BLOCK: the products
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature, args)
        d = code.size(0, 0)
        base = code.mul(code.mul(args[2], d), BLOCK)
        nothing = [_constant(0.0)] * (BLOCK * _VECTORS)

        def stretch(begin: Any, totals: list[Any]) -> list[Any]:
            end = code.add(begin, STRETCH)
            end = builder.select(builder.icmp_signed("<", end, d), end, d)

            def feature(f: Any, sums: list[Any]) -> list[Any]:
                row = code.mul(f, WIDTH)
                x = [code.load(0, code.add(row, v * _LANES)) for v in range(_VECTORS)]
                at = code.add(base, code.mul(f, BLOCK))
                after = []
                for c in range(BLOCK):
                    center = code.splat(code.scalar(1, code.add(at, c)))
                    for v in range(_VECTORS):
                        after.append(code.add_product(sums[c * _VECTORS + v], x[v], center))
                return after

            sums = code.loop(begin, end, 1, nothing, feature)
            return [builder.fadd(a, b) for a, b in zip(totals, sums, strict=True)]

        totals = code.loop(_SIZE(0), d, STRETCH, nothing, stretch)
        first = code.mul(args[2], BLOCK * WIDTH)
        for number, total in enumerate(totals):
            code.store(total, 3, code.add(first, number * _LANES))
        return context.get_dummy_value()

    return types.void(tile, packed, types.int64, scores), codegen


def _nearest(typingctx: Any, scores: Any, halves: Any, first: Any, last: Any, found: Any) -> Any:
    """Least and second least of |c|²/2 - xc for each sample of a tile, over some centres.

    scores  (k, WIDTH) float32  products of the centres
    halves  (k,)       float32  half the squared norms of the centres
    first, last        int64    the centres to look at
    found   (3, WIDTH) float32  out: least, second least, and the place of the least from `first`
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature, args)
        infinite, zero = _constant(float("inf")), _constant(0.0)
        begin = [infinite, infinite, zero] * _VECTORS

        def center(j: Any, values: list[Any]) -> list[Any]:
            half = code.splat(code.scalar(1, j))
            name = code.splat(builder.sitofp(builder.sub(j, args[2]), _FLOAT))
            row = code.mul(j, WIDTH)
            after = []
            for v in range(_VECTORS):
                best, second, owner = values[3 * v : 3 * v + 3]
                score = builder.fsub(half, code.load(0, code.add(row, v * _LANES)))
                nearer = builder.fcmp_ordered("<", score, best)
                loser = builder.select(nearer, best, score)
                after += [
                    builder.select(nearer, score, best),
                    code.lower(loser, second),
                    builder.select(nearer, name, owner),
                ]
            return after

        values = code.loop(args[2], args[3], 1, begin, center)
        for v in range(_VECTORS):
            for part in range(3):
                offset = _SIZE(part * WIDTH + v * _LANES)
                code.store(values[3 * v + part], 4, offset)
        return context.get_dummy_value()

    int64 = types.int64
    return types.void(scores, halves, int64, int64, found), codegen


def _fill_tile(
    typingctx: Any, X: Any, rows: Any, at: Any, shift: Any, scale: Any, tile: Any, sq: Any
) -> Any:
    """Lay sixteen samples out in a tile, less a shift and scaled.

    X      (n, d)     float    samples, C order
    rows   (s + 16,)  int64    samples of one tile after another, and sixteen to go on with
    at                int64    place of the first of the sixteen
    shift  (d,)       float    of the dtype of X
    scale             float    of the dtype of X
    tile   (d, WIDTH) float32  out, sixteen columns: the samples, in whole sixteens of features
    sq     (WIDTH,)   float32  out, sixteen elements: squared norms of these
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = _Code(context, builder, signature, args)
        kind = ir.VectorType(context.get_value_type(signature.args[0].dtype), _LANES)
        size = 4 if kind == _VECTOR else 8
        d = code.size(0, 1)
        whole = builder.and_(d, _SIZE(-_LANES))
        lane = builder.and_(args[2], _SIZE(WIDTH - 1))
        begins, coming = (
            [builder.mul(code.scalar(1, code.add(args[2], sample)), d) for sample in sixteen]
            for sixteen in (range(_LANES), range(_LANES, 2 * _LANES))
        )
        factor = code.splat(args[4])

        def sixteen(f: Any, values: list[Any]) -> list[Any]:
            middle = code.load(3, f, kind)
            square = []
            for begin, next_begin in zip(begins, coming, strict=True):
                # Sixteen rows at once are more streams than processors foresee.
                for line in range(0, _LANES, LINE // size):
                    place = code.add(builder.add(next_begin, f), line)
                    ask_for(builder, code.pointer(0, place), 2)
                x = builder.fsub(code.load(0, builder.add(begin, f), kind), middle)
                x = builder.fmul(x, factor)
                square.append(x if kind == _VECTOR else builder.fptrunc(x, _VECTOR))
            total = _constant(0.0)
            for feature, column in enumerate(_transposed(builder, square)):
                code.store(column, 5, code.add(code.mul(code.add(f, feature), WIDTH), lane))
                total = code.add_product(total, column, column)
            return [builder.fadd(values[0], total)]

        (total,) = code.loop(_SIZE(0), whole, _LANES, [_constant(0.0)], sixteen)
        code.store(total, 6, lane)
        return context.get_dummy_value()

    return types.void(X, rows, types.int64, shift, X.dtype, tile, sq), codegen


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Columns of a square of sixteen vectors, in four rounds of exchanging halves."""
    width = _LANES // 2
    while width:
        keep, swap = [], []
        for lane in range(_LANES):
            upper = lane & width
            keep.append(lane + _LANES - width if upper else lane)
            swap.append(lane + _LANES if upper else lane + width)
        low, high = (ir.Constant(ir.VectorType(_INDEX, _LANES), places) for places in (keep, swap))
        after = list(rows)
        for r in range(_LANES):
            if not r & width:
                a, b = rows[r], rows[r + width]
                after[r] = builder.shuffle_vector(a, b, low)
                after[r + width] = builder.shuffle_vector(a, b, high)
        rows = after
        width //= 2
    return rows


multiply: Any = intrinsic(_multiply)
nearest: Any = intrinsic(_nearest)
fill_tile: Any = intrinsic(_fill_tile)
