"""Products of samples and centres, a tile of samples at a time, as vectors.

A tile holds samples side by side, one row a feature, so that a vector holds one feature of
sixteen samples. Products stay in registers for a whole block of centres, and the nearest centre
for a whole group of them: nothing is packed, and no score leaves the first cache.
"""

from typing import Any

import llvmlite.binding as llvm
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.rows import LINE, ask_for
from kmq.kernels.vectors import FLOAT, INT, LANES, SIZE, Code, constant, every, vector

# Vectors of samples and centres a pass: as many sums as registers hold.
_VECTORS, BLOCK = (2, 10) if llvm.get_host_cpu_features().get("avx512f") else (1, 5)
WIDTH = LANES * _VECTORS
# Features after which sums are set aside, so that rounding errors grow with these and not with d.
STRETCH = 64


def _multiply(typingctx: Any, tile: Any, packed: Any, block: Any, scores: Any) -> Any:
    """Multiply the samples of a tile with the centres of a block.

    tile    (d, WIDTH)    float32  samples
    packed  (b, d, BLOCK) float32  centres, in blocks
    block                 int64    which of these
    scores  (m, WIDTH)    float32  out, from row block · BLOCK: the products
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        d = code.length(0, 0)
        base = code.mul(code.mul(args[2], d), BLOCK)
        nothing = [every(FLOAT, 0.0)] * (BLOCK * _VECTORS)

        def stretch(begin: Any, totals: list[Any]) -> list[Any]:
            end = code.add(begin, STRETCH)
            end = builder.select(builder.icmp_signed("<", end, d), end, d)

            def feature(f: Any, sums: list[Any]) -> list[Any]:
                row = code.mul(f, WIDTH)
                x = [code.load(0, row, v * LANES) for v in range(_VECTORS)]
                at = code.mul(f, BLOCK)
                after = []
                for c in range(BLOCK):
                    center = code.splat(code.scalar(1, base, at, c))
                    for v in range(_VECTORS):
                        after.append(code.add_product(sums[c * _VECTORS + v], x[v], center))
                return after

            sums = code.loop(begin, end, 1, nothing, feature)
            return [builder.fadd(a, b) for a, b in zip(totals, sums, strict=True)]

        totals = code.loop(0, d, STRETCH, nothing, stretch)
        first = code.mul(args[2], BLOCK * WIDTH)
        for number, total in enumerate(totals):
            code.store(total, 3, first, number * LANES)
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
        code = Code(context, builder, signature, args)
        infinite, zero = every(FLOAT, float("inf")), every(FLOAT, 0.0)
        begin = [infinite, infinite, zero] * _VECTORS

        def center(j: Any, values: list[Any]) -> list[Any]:
            half = code.splat(code.scalar(1, j))
            name = code.splat(builder.sitofp(builder.sub(j, args[2]), FLOAT))
            row = code.mul(j, WIDTH)
            after = []
            for v in range(_VECTORS):
                best, second, owner = values[3 * v : 3 * v + 3]
                score = builder.fsub(half, code.load(0, row, v * LANES))
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
                code.store(values[3 * v + part], 4, part * WIDTH + v * LANES)
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
        code = Code(context, builder, signature, args)
        kind = context.get_value_type(signature.args[0].dtype)
        size = 4 if kind == FLOAT else 8
        d = code.length(0, 1)
        whole = builder.and_(d, SIZE(-LANES))
        lane = builder.and_(args[2], SIZE(WIDTH - 1))
        begins, coming = (
            [code.mul(code.scalar(1, args[2], sample), d) for sample in sixteen]
            for sixteen in (range(LANES), range(LANES, 2 * LANES))
        )
        factor = code.splat(args[4])

        def sixteen(f: Any, values: list[Any]) -> list[Any]:
            middle = code.load(3, f)
            square = []
            for begin, next_begin in zip(begins, coming, strict=True):
                # Sixteen rows at once are more streams than processors foresee.
                for line in range(0, LANES, LINE // size):
                    ask_for(builder, code.pointer(0, next_begin, f, line), 2)
                x = builder.fsub(code.load(0, begin, f), middle)
                x = builder.fmul(x, factor)
                square.append(x if kind == FLOAT else builder.fptrunc(x, vector(FLOAT)))
            total = every(FLOAT, 0.0)
            for feature, column in enumerate(_transposed(builder, square)):
                code.store(column, 5, code.mul(code.add(f, feature), WIDTH), lane)
                total = code.add_product(total, column, column)
            return [builder.fadd(values[0], total)]

        (total,) = code.loop(0, whole, LANES, [every(FLOAT, 0.0)], sixteen)
        code.store(total, 6, lane)
        return context.get_dummy_value()

    return types.void(X, rows, types.int64, shift, X.dtype, tile, sq), codegen


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Columns of a square of sixteen vectors, in four rounds of exchanging halves."""
    width = LANES // 2
    while width:
        keep, swap = [], []
        for lane in range(LANES):
            upper = lane & width
            keep.append(lane + LANES - width if upper else lane)
            swap.append(lane + LANES if upper else lane + width)
        low, high = (constant(INT, places) for places in (keep, swap))
        after = list(rows)
        for r in range(LANES):
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
