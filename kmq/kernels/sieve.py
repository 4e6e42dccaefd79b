"""Which colours can be nearest somewhere in a cube or in its cells: Kanungo's filter as vectors.

Colours are whole numbers and middles half ones: single precision holds all of it exactly.
See `kmq.kernels.nearest`, which uses it.
"""

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from kmq.kernels.vectors import FLOAT, INT, LANES, SIZE, Code, constant, every, vector

# Cells of a chunk, and half the side of a cell.
CHUNK = 64
HALF = 3.5


def _bounds(
    typingctx: Any,
    channels: Any,
    n: Any,
    red: Any,
    green: Any,
    blue: Any,
    half: Any,
    lowest: Any,
) -> Any:
    """How near colours can be to the points of a cube, by Kanungo's filter.

    Less than the limit, or equal to it: nearest to some point perhaps, and otherwise to none.

    channels          (3, >=n) float32  colours, one row a channel, `FAR` beyond the last; read in
                                        whole sixteens
    n                 int64             how many there are
    red, green, blue  float32           middle of the cube
    half              float32           its half side
    lowest            (>=n,)   float32  out: bounds of the colours
    Returns the limit.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        row = code.length(0, 1)
        middle = [code.splat(value) for value in args[2:5]]
        ints = vector(INT)

        def colors(i: Any) -> list[Any]:
            return [code.load(0, code.mul(row, f), i) for f in range(3)]

        def measure(i: Any, carried: list[Any]) -> list[Any]:
            least, owner = carried
            sq = code.sq_distance(colors(i), middle, fused=True)
            code.store(sq, 6, i)
            # Of numbers that are not negative, the order of the bits is that of the values.
            bits = builder.bitcast(sq, ints)
            nearer = builder.icmp_unsigned("<", bits, least)
            own = builder.add(code.splat(builder.trunc(i, INT)), constant(INT, range(LANES)))
            return [builder.select(nearer, bits, least), builder.select(nearer, own, owner)]

        start = [every(INT, 0x7F800000), every(INT, 0)]
        least, owner = code.loop(0, args[1], LANES, start, measure)
        limit = code.least(least)
        is_least = builder.icmp_unsigned("==", least, code.splat(limit))
        best = code.least(builder.select(is_least, owner, every(INT, 2**31 - 1)))
        best = builder.zext(best, SIZE)
        nearest = [code.splat(code.scalar(0, code.mul(row, f), best)) for f in range(3)]
        reach = code.splat(builder.fmul(args[5], FLOAT(-2.0)))

        def lower(i: Any, _: list[Any]) -> list[Any]:
            apart = _apart(code, colors(i), nearest)
            code.store(code.add_product(code.load(6, i), reach, apart), 6, i)
            return []

        code.loop(0, args[1], LANES, [], lower)
        return builder.bitcast(limit, FLOAT)

    reals = [types.float32] * 4
    return types.float32(channels, types.int64, *reals, lowest), codegen


def _rivals(
    typingctx: Any,
    channels: Any,
    n: Any,
    red: Any,
    green: Any,
    blue: Any,
    masks: Any,
    owners: Any,
) -> Any:
    """In which cells of a chunk colours can be nearest to some point, by Kanungo's filter.

    Cells are compared sixteen at once: those of one red, which differ in green and blue.

    channels          (3, >=n) float32  colours, one row a channel
    n                 int64             how many there are
    red, green, blue  float32           middle of the first cell
    masks             (>=n,)   uint64   out: of each colour, a bit for each cell
    owners            (64,)    int32    out: the colour nearest to the middle of each cell, packed:
                                        red + 256 green + 65536 blue
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = Code(context, builder, signature, args)
        row = code.length(0, 1)
        n_steps = CHUNK // LANES

        def color_of(j: Any) -> list[Any]:
            return [code.splat(code.scalar(0, code.mul(row, f), j)) for f in range(3)]

        def spread(value: Any, steps: list[int]) -> Any:
            """Middles of cells, some steps from the first."""
            offsets = constant(FLOAT, (8.0 * step for step in steps))
            return builder.fadd(code.splat(value), offsets)

        middles = [
            [
                spread(args[2], [step] * LANES),
                spread(args[3], [lane // 4 for lane in range(LANES)]),
                spread(args[4], [lane % 4 for lane in range(LANES)]),
            ]
            for step in range(n_steps)
        ]

        def sq_distances(color: list[Any]) -> Iterator[Any]:
            """To the middles."""
            for middle in middles:
                yield code.sq_distance(middle, color, fused=True)

        def own(j: Any, carried: list[Any]) -> list[Any]:
            color = color_of(j)
            after = []
            for step, sq in enumerate(sq_distances(color)):
                least, *owner = carried[4 * step : 4 * step + 4]
                nearer = builder.fcmp_ordered("<", sq, least)
                after += [
                    builder.select(nearer, *both)
                    for both in zip([sq, *color], [least, *owner], strict=True)
                ]
            return after

        start = [every(FLOAT, float("inf")), *[every(FLOAT, 0.0)] * 3] * n_steps
        owned = code.loop(0, args[1], 1, start, own)
        for step in range(n_steps):
            packed = every(INT, 0)
            for f, channel in enumerate(owned[4 * step + 1 : 4 * step + 4]):
                whole = builder.fptosi(channel, vector(INT))
                packed = builder.or_(packed, builder.shl(whole, every(INT, 8 * f)))
            code.store(packed, 6, LANES * step)
        side = every(FLOAT, -2 * HALF)

        def compare(j: Any, _: list[Any]) -> list[Any]:
            color = color_of(j)
            mask = SIZE(0)
            for step, sq in enumerate(sq_distances(color)):
                least, *owner = owned[4 * step : 4 * step + 4]
                lowest = code.add_product(sq, side, _apart(code, color, owner))
                inside = builder.fcmp_ordered("<=", lowest, least)
                bits = builder.zext(builder.bitcast(inside, ir.IntType(LANES)), SIZE)
                mask = builder.or_(mask, builder.shl(bits, SIZE(step * LANES)))
            builder.store(mask, code.pointer(5, j))
            return []

        code.loop(0, args[1], 1, [], compare)
        return context.get_dummy_value()

    reals = [types.float32] * 3
    return types.void(channels, types.int64, *reals, masks, owners), codegen


def _apart(code: Code, colors: list[Any], others: list[Any]) -> Any:
    """Sum of the absolute differences of the channels."""
    total = None
    for color, other in zip(colors, others, strict=True):
        aside = code.absolute(code.builder.fsub(color, other))
        total = aside if total is None else code.builder.fadd(total, aside)
    return total


bounds: Any = intrinsic(_bounds)
rivals_of: Any = intrinsic(_rivals)
