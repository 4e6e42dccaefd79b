"""The nearest colour of a palette, through a grid of cells learned on the way.

The cube of colours is cut into 32 x 32 x 32 cells. The first colour that falls into a cell has
the palette sieved once, by Kanungo's filter: with m the middle of the cell and h its half side, a
colour z is nearer than the colour z* nearest to m nowhere in the cell if
|z - m|² - |z* - m|² > 2 h |z - z*|₁. The few that are left are kept in tiles of sixteen, so that
finding the nearest is a handful of vector instructions with no branch to mispredict.

Kanungo, T. et al. (2002). An efficient k-means clustering algorithm. IEEE Trans. Pattern Anal.
Mach. Intell. 24(7).
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kmq.kernels.jit import kernel
from kmq.kernels.simd import LANES, select_within

TILE = LANES
_LANE_BITS = 4
CELLS = 1 << 15
# Where no colour is.
FAR = 1e6


class Grid(NamedTuple):
    """What has been learned of the cells so far.

    palette  (k, 4)     float32  the colours, whole numbers, and a zero
    channels (3, >=k)   float32  the same, one row a channel, then `FAR` up to whole sixteens
    cells    (32768, 2) int32    first tile of each cell and their number; 0 where not yet known
    tiles    (t, 3, 16) uint8    red, green and blue of candidates, ascending; the last one repeats
    rows     (t, 16)    int32    their rows in the palette
    used     (1,)       int64    tiles in use; where there is no more room, all are forgotten
    sq_dist  (>=k,)     float32  scratch: squared distances to the middle of a cell
    places   (>=k,)     int32    scratch: what is near enough
    """

    palette: np.ndarray
    channels: np.ndarray
    cells: np.ndarray
    tiles: np.ndarray
    rows: np.ndarray
    used: np.ndarray
    sq_dist: np.ndarray
    places: np.ndarray


def find_row(
    context: Any, builder: Any, signature: Any, args: Any, color: list[Any], sides: list[Any]
) -> Any:
    """Write the search for the nearest colour into another intrinsic.

    Sixteen squared distances times 16 plus their lanes stay below 2²⁴, so that float32 holds them
    exactly: the least of these keys is the nearest colour, ties to the first.

    Parameters
    ----------
    context, builder, signature, args
        Of the intrinsic, whose first arguments are ``cells``, ``tiles`` and ``rows`` of a grid.
    color : list
        Red, green and blue: float32, whole numbers.
    sides : list
        The same as int32.

    Returns
    -------
    int32 value
        The row of the palette; -1 in a cell not yet known.
    """
    size, number, real = ir.IntType(64), ir.IntType(32), ir.FloatType()
    bytes16, ints, reals = (ir.VectorType(kind, TILE) for kind in (ir.IntType(8), number, real))
    cell_data, tile_data, row_data = (
        context.make_array(kind)(context, builder, value).data
        for kind, value in zip(signature.args[:3], args[:3], strict=True)
    )
    cell = number(0)
    for side in sides:
        cell = builder.or_(builder.shl(cell, number(5)), builder.lshr(side, number(3)))
    lanes = []
    for value in color:
        lane = builder.insert_element(ir.Constant(reals, ir.Undefined), value, number(0))
        lanes.append(builder.shuffle_vector(lane, lane, ir.Constant(ints, [0] * TILE)))
    entry = builder.shl(builder.zext(cell, size), size(1))
    first, n_tiles = (
        builder.zext(builder.load(builder.gep(cell_data, [place])), size)
        for place in (entry, builder.add(entry, size(1)))
    )
    least = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(number, [ints]), f"llvm.vector.reduce.umin.v{TILE}i32"
    )
    result = cgutils.alloca_once_value(builder, number(-1))
    best = cgutils.alloca_once_value(builder, number(2**31 - 1))
    with cgutils.for_range(builder, n_tiles) as loop:
        tile = builder.add(first, loop.index)
        total = ir.Constant(reals, [float(lane) / TILE for lane in range(TILE)])
        for f in range(3):
            offset = builder.add(builder.mul(tile, size(3 * TILE)), size(f * TILE))
            place = builder.bitcast(builder.gep(tile_data, [offset]), bytes16.as_pointer())
            colors = builder.uitofp(builder.load(place, align=1), reals)
            difference = builder.fsub(colors, lanes[f])
            total = builder.fadd(total, builder.fmul(difference, difference))
        keys = builder.fmul(total, ir.Constant(reals, [float(TILE)] * TILE))
        key = builder.call(least, [builder.fptosi(keys, ints)])
        distances = (builder.lshr(value, number(_LANE_BITS)) for value in (key, builder.load(best)))
        with builder.if_then(builder.icmp_unsigned("<", *distances)):
            builder.store(key, best)
            lane = builder.zext(builder.and_(key, number(TILE - 1)), size)
            place = builder.add(builder.mul(tile, size(TILE)), lane)
            builder.store(builder.load(builder.gep(row_data, [place])), result)
    return builder.load(result)


def _find(
    typingctx: Any, cells: Any, tiles: Any, rows: Any, red: Any, green: Any, blue: Any
) -> Any:
    """Row of the palette nearest to a colour, ties to the lowest; -1 in a cell not yet known.

    An intrinsic, because a compiled function that is handed the arrays counts references to them,
    at six times the cost of the search.

    cells             (32768, 2) int32    first tile of each cell and their number
    tiles             (t, 3, 16) uint8    colours
    rows              (t, 16)    int32    their rows in the palette
    red, green, blue  float32             a colour of whole numbers, 0 to 255
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sides = [builder.fptosi(value, ir.IntType(32)) for value in args[3:]]
        return find_row(context, builder, signature, args, args[3:], sides)

    return types.int32(cells, tiles, rows, red, green, blue), codegen


def _least_of(typingctx: Any, values: Any) -> Any:
    """The least of some values.

    values  (n,) float32  whole sixteens, none negative or NaN
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        size, number = ir.IntType(64), ir.IntType(32)
        ints = ir.VectorType(number, LANES)
        # Of numbers that are not negative, the order of the bits is the order of the values.
        least = cgutils.alloca_once_value(builder, ir.Constant(ints, [0x7F800000] * LANES))
        length = builder.extract_value(array.shape, 0)
        with cgutils.for_range(builder, builder.udiv(length, size(LANES))) as loop:
            place = builder.gep(array.data, [builder.mul(loop.index, size(LANES))])
            some = builder.load(builder.bitcast(place, ints.as_pointer()), align=1)
            so_far = builder.load(least)
            lower = builder.icmp_unsigned("<", some, so_far)
            builder.store(builder.select(lower, some, so_far), least)
        reduce = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(number, [ints]), f"llvm.vector.reduce.umin.v{LANES}i32"
        )
        return builder.bitcast(builder.call(reduce, [builder.load(least)]), ir.FloatType())

    return types.float32(values), codegen


least_of: Any = intrinsic(_least_of)
find: Any = intrinsic(_find)


@kernel
def learn(grid, red, green, blue):
    """Find the colours that can be nearest to some point of a colour's cell.

    grid              Grid     inout
    red, green, blue  float32  the colour: whole numbers, 0 to 255
    """
    palette, channels, cells, tiles, rows, used, sq_dist, places = grid
    k = palette.shape[0]
    half = np.float32(3.5)
    r, g, b = np.int64(red) >> 3, np.int64(green) >> 3, np.int64(blue) >> 3
    cell = r << 10 | g << 5 | b
    red, green, blue = np.float32(8 * r) + half, np.float32(8 * g) + half, np.float32(8 * b) + half
    reds, greens, blues = channels[0], channels[1], channels[2]
    for j in range(sq_dist.shape[0]):
        x, y, z = reds[j] - red, greens[j] - green, blues[j] - blue
        sq_dist[j] = x * x + y * y + z * z
    limit = least_of(sq_dist)
    best = 0
    while sq_dist[best] > limit:
        best += 1
    red, green, blue = palette[best, 0], palette[best, 1], palette[best, 2]
    for j in range(sq_dist.shape[0]):
        apart = abs(reds[j] - red) + abs(greens[j] - green) + abs(blues[j] - blue)
        sq_dist[j] -= np.float32(2) * half * apart
    count, _ = select_within(sq_dist, np.int64(k), limit, places)
    needed = -(-count // TILE)
    if used[0] + needed > tiles.shape[0]:
        cells[:] = 0
        used[0] = 0
    first = used[0]
    cells[cell, 0] = first
    cells[cell, 1] = needed
    used[0] += needed
    row = np.uint32(0)
    for place in range(needed * TILE):
        if place < count:
            row = np.uint32(places[np.uint64(place)])
        tile, lane = np.uint64(first + (place // TILE)), np.uint64(place % TILE)
        for f in range(3):
            tiles[tile, f, lane] = np.uint8(palette[row, f])
        rows[tile, lane] = row


@kernel
def map_colors(colors, start, stop, grid, rows):
    """Find the nearest colour of the palette for each of some colours.

    colors  (n, 3) uint8  colours
    start, stop           which of them
    grid    Grid          inout
    rows    (n,)   int32  out: rows of the palette
    """
    cells, tiles, palette_rows = grid.cells, grid.tiles, grid.rows
    for i in range(start, stop):
        red = np.float32(colors[i, 0])
        green = np.float32(colors[i, 1])
        blue = np.float32(colors[i, 2])
        row = find(cells, tiles, palette_rows, red, green, blue)
        if row < 0:
            learn(grid, red, green, blue)
            row = find(cells, tiles, palette_rows, red, green, blue)
        rows[i] = row
