"""The nearest colour of a palette, through a grid of cells learned on the way.

The cube of colours is cut into 32 x 32 x 32 cells. The first colour that falls into a cell has
the palette sieved once: a colour of the palette can be nearest to some point of the cell only if
it is no farther from the cell than the one whose farthest point of the cell is nearest. The few
that are left are kept in tiles of sixteen, so that finding the nearest is a handful of vector
instructions with no branch to mispredict.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kmq.kernels.jit import kernel
from kmq.kernels.simd import LANES, select_within

TILE = LANES
CELLS = 1 << 15
# Where no colour is.
FAR = 1e6


class Grid(NamedTuple):
    """What has been learned of the cells so far.

    palette  (k, 3)     float32  the colours, whole numbers
    channels (3, >=k)   float32  the same, one row a channel, then `FAR` up to whole sixteens
    cells    (32768, 2) int32    first tile of each cell and their number; 0 where not yet known
    tiles    (t, 3, 16) uint8    red, green and blue of candidates, ascending; the last one repeats
    rows     (t, 16)    int32    their rows in the palette
    used     (1,)       int64    tiles in use; where there is no more room, all are forgotten
    """

    palette: np.ndarray
    channels: np.ndarray
    cells: np.ndarray
    tiles: np.ndarray
    rows: np.ndarray
    used: np.ndarray


def _find(
    typingctx: Any, cells: Any, tiles: Any, rows: Any, red: Any, green: Any, blue: Any
) -> Any:
    """Row of the palette nearest to a colour, ties to the lowest; -1 in a cell not yet known.

    Sixteen squared distances times 16 plus their lanes stay below 2²⁴, so that float32 holds them
    exactly: the least of these keys is the nearest colour. An intrinsic, because a compiled
    function that is handed five arrays counts their references, at six times the cost of this.

    cells             (32768, 2) int32    first tile of each cell and their number
    tiles             (t, 3, 16) uint8    colours
    rows              (t, 16)    int32    their rows in the palette
    red, green, blue  float32             a colour of whole numbers, 0 to 255
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size, number, real = ir.IntType(64), ir.IntType(32), ir.FloatType()
        bytes16, ints, reals = (
            ir.VectorType(scalar, TILE) for scalar in (ir.IntType(8), number, real)
        )
        cell_data, tile_data, row_data = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[:3], args[:3], strict=True)
        )
        cell = size(0)
        lanes = []
        for value in args[3:]:
            side = builder.lshr(builder.fptoui(value, size), size(3))
            cell = builder.or_(builder.shl(cell, size(5)), side)
            lane = builder.insert_element(ir.Constant(reals, ir.Undefined), value, number(0))
            lanes.append(builder.shuffle_vector(lane, lane, ir.Constant(ints, [0] * TILE)))
        entry = builder.shl(cell, size(1))
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
            distances = (builder.lshr(value, number(4)) for value in (key, builder.load(best)))
            with builder.if_then(builder.icmp_unsigned("<", *distances)):
                builder.store(key, best)
                lane = builder.zext(builder.and_(key, number(TILE - 1)), size)
                place = builder.add(builder.mul(tile, size(TILE)), lane)
                builder.store(builder.load(builder.gep(row_data, [place])), result)
        return builder.load(result)

    return types.int32(cells, tiles, rows, red, green, blue), codegen


find: Any = intrinsic(_find)


@kernel
def learn(grid, red, green, blue):
    """Find the colours that can be nearest to some point of a colour's cell.

    grid              Grid     inout
    red, green, blue  float32  the colour: whole numbers, 0 to 255
    """
    palette, channels, cells, tiles, rows, used = grid
    k = palette.shape[0]
    half = np.float32(3.5)
    cell = np.int64(0)
    room = channels.shape[1]
    lowest = np.zeros(room, np.float32)
    farthest = np.zeros(room, np.float32)
    places = np.empty(room, np.int32)
    for f in range(3):
        side = np.int64(red if f == 0 else green if f == 1 else blue) >> 3
        cell = cell << 5 | side
        middle = np.float32(side << 3) + half
        for j in range(room):
            off = abs(channels[f, j] - middle)
            farthest[j] += (off + half) * (off + half)
            off = max(off - half, np.float32(0))
            lowest[j] += off * off
    least = np.full(TILE, np.inf, np.float32)
    for start in range(0, room, TILE):
        for lane in range(TILE):
            least[lane] = min(least[lane], farthest[start + lane])
    count, _ = select_within(lowest, np.int64(k), least.min(), places)
    needed = -(-count // TILE)
    if used[0] + needed > tiles.shape[0]:
        cells[:] = 0
        used[0] = 0
    first = used[0]
    cells[cell, 0] = first
    cells[cell, 1] = needed
    used[0] += needed
    for place in range(needed * TILE):
        j = places[min(place, count - 1)]
        tile, lane = first + place // TILE, place % TILE
        for f in range(3):
            tiles[tile, f, lane] = np.uint8(palette[j, f])
        rows[tile, lane] = j


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
