"""Which colours can be nearest somewhere in a cube or in its cells: Kanungo's filter as vectors.

See `kmq.kernels.nearest`, which uses it.
"""

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kmq.kernels.simd import LANES

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
        size, number, real = ir.IntType(64), ir.IntType(32), ir.FloatType()
        ints, reals = ir.VectorType(number, LANES), ir.VectorType(real, LANES)
        arrays = {
            place: context.make_array(signature.args[place])(context, builder, args[place])
            for place in (0, 6)
        }
        row = builder.extract_value(arrays[0].shape, 1)

        def splat(value: Any) -> Any:
            lane = builder.insert_element(
                ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined), value, number(0)
            )
            return builder.shuffle_vector(lane, lane, ir.Constant(ints, [0] * LANES))

        def sixteen(array: int, offset: Any) -> Any:
            place = builder.gep(arrays[array].data, [offset])
            return builder.bitcast(place, reals.as_pointer())

        def channel(f: int, offset: Any) -> Any:
            place = builder.add(builder.mul(row, size(f)), offset)
            return builder.load(sixteen(0, place), align=4)

        def reduced(how: str, kind: Any, value: Any) -> Any:
            name = f"llvm.vector.reduce.{how}.v{LANES}i32"
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(kind, [ints]), name
            )
            return builder.call(function, [value])

        n_steps = builder.udiv(builder.add(args[1], size(LANES - 1)), size(LANES))
        middle = [splat(value) for value in args[2:5]]
        # Of numbers that are not negative, the order of the bits is the order of the values.
        least = cgutils.alloca_once_value(builder, ir.Constant(ints, [0x7F800000] * LANES))
        owner = cgutils.alloca_once_value(builder, ir.Constant(ints, [0] * LANES))
        lanes = ir.Constant(ints, list(range(LANES)))
        with cgutils.for_range(builder, n_steps) as loop:
            offset = builder.mul(loop.index, size(LANES))
            total = None
            for f in range(3):
                difference = builder.fsub(channel(f, offset), middle[f])
                square = builder.fmul(difference, difference)
                total = square if total is None else builder.fadd(total, square)
            builder.store(total, sixteen(6, offset), align=4)
            bits, so_far = builder.bitcast(total, ints), builder.load(least)
            lower = builder.icmp_unsigned("<", bits, so_far)
            builder.store(builder.select(lower, bits, so_far), least)
            own = builder.add(splat(builder.trunc(offset, number)), lanes)
            builder.store(builder.select(lower, own, builder.load(owner)), owner)
        limit = reduced("umin", number, builder.load(least))
        is_least = builder.icmp_unsigned("==", builder.load(least), splat(limit))
        far_off = ir.Constant(ints, [2**31 - 1] * LANES)
        best = reduced("umin", number, builder.select(is_least, builder.load(owner), far_off))
        best = builder.zext(best, size)
        colors = [
            splat(
                builder.load(
                    builder.gep(arrays[0].data, [builder.add(builder.mul(row, size(f)), best)])
                )
            )
            for f in range(3)
        ]
        reach = splat(builder.fmul(args[5], real(2.0)))
        absolute = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(reals, [reals]), f"llvm.fabs.v{LANES}f32"
        )
        with cgutils.for_range(builder, n_steps) as loop:
            offset = builder.mul(loop.index, size(LANES))
            apart = None
            for f in range(3):
                aside = builder.call(absolute, [builder.fsub(channel(f, offset), colors[f])])
                apart = aside if apart is None else builder.fadd(apart, aside)
            total = builder.load(sixteen(6, offset), align=4)
            total = builder.fsub(total, builder.fmul(reach, apart))
            builder.store(total, sixteen(6, offset), align=4)
        return builder.bitcast(limit, real)

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
) -> Any:
    """In which cells of a chunk colours can be nearest to some point, by Kanungo's filter.

    Cells are compared sixteen at once: those of one red, which differ in green and blue.

    channels          (3, >=n) float32  colours, one row a channel
    n                 int64             how many there are
    red, green, blue  float32           middle of the first cell
    masks             (>=n,)   uint64   out: of each colour, a bit for each cell
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size, number, real = ir.IntType(64), ir.IntType(32), ir.FloatType()
        ints, reals = ir.VectorType(number, LANES), ir.VectorType(real, LANES)
        colors, masks = (
            context.make_array(signature.args[place])(context, builder, args[place])
            for place in (0, 5)
        )
        row = builder.extract_value(colors.shape, 1)
        absolute = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(reals, [reals]), f"llvm.fabs.v{LANES}f32"
        )

        def splat(value: Any) -> Any:
            lane = builder.insert_element(ir.Constant(reals, ir.Undefined), value, number(0))
            return builder.shuffle_vector(lane, lane, ir.Constant(ints, [0] * LANES))

        def spread(value: Any, steps: list[int]) -> Any:
            """Middles of cells, some steps from the first."""
            return builder.fadd(splat(value), ir.Constant(reals, [8.0 * step for step in steps]))

        def color_of(place: Any) -> list[Any]:
            """Channels of a colour, sixteen times."""
            return [
                splat(
                    builder.load(
                        builder.gep(colors.data, [builder.add(builder.mul(row, size(f)), place)])
                    )
                )
                for f in range(3)
            ]

        middles = [
            [
                spread(args[2], [step] * LANES),
                spread(args[3], [lane // 4 for lane in range(LANES)]),
                spread(args[4], [lane % 4 for lane in range(LANES)]),
            ]
            for step in range(CHUNK // LANES)
        ]

        def squares(color: list[Any]) -> Iterator[Any]:
            """Squared distances to the middles."""
            for middle in middles:
                total = None
                for f in range(3):
                    difference = builder.fsub(middle[f], color[f])
                    square = builder.fmul(difference, difference)
                    total = square if total is None else builder.fadd(total, square)
                yield total

        infinite = ir.Constant(reals, [float("inf")] * LANES)
        least = [cgutils.alloca_once_value(builder, infinite) for _ in middles]
        owners = [[cgutils.alloca_once_value(builder, infinite) for _ in "rgb"] for _ in middles]
        with cgutils.for_range(builder, args[1]) as loop:
            color = color_of(loop.index)
            for step, sq in enumerate(squares(color)):
                so_far = builder.load(least[step])
                nearer = builder.fcmp_ordered("<", sq, so_far)
                builder.store(builder.select(nearer, sq, so_far), least[step])
                for channel, owner in zip(color, owners[step], strict=True):
                    builder.store(builder.select(nearer, channel, builder.load(owner)), owner)
        side = ir.Constant(reals, [2 * HALF] * LANES)
        with cgutils.for_range(builder, args[1]) as loop:
            color = color_of(loop.index)
            mask = size(0)
            for step, sq in enumerate(squares(color)):
                apart = None
                for channel, owner in zip(color, owners[step], strict=True):
                    aside = builder.call(absolute, [builder.fsub(channel, builder.load(owner))])
                    apart = aside if apart is None else builder.fadd(apart, aside)
                lowest = builder.fsub(sq, builder.fmul(side, apart))
                inside = builder.fcmp_ordered("<=", lowest, builder.load(least[step]))
                bits = builder.zext(builder.bitcast(inside, ir.IntType(LANES)), size)
                mask = builder.or_(mask, builder.shl(bits, size(step * LANES)))
            builder.store(mask, builder.gep(masks.data, [loop.index]))
        return context.get_dummy_value()

    reals = [types.float32] * 3
    return types.void(channels, types.int64, *reals, masks), codegen


bounds: Any = intrinsic(_bounds)
rivals_of: Any = intrinsic(_rivals)
